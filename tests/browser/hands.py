"""What a person does on a page: drop a file, type, click, draw a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page

from tests.browser.chromium import settled

MIDDLE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))  # shares of the picture's width and height


def widget(page: Page, key: str) -> Locator:
    """What the app drew under a key of its own."""
    return page.locator(f".st-key-{key}")


def drop(page: Page, key: str, *files: Path) -> None:
    """Drop files on an uploader."""
    widget(page, key).locator("input[type=file]").set_input_files([str(file) for file in files])
    page.wait_for_timeout(300)  # the upload begins a run of the script
    settled(page)


def lasso(page: Page, key: str, corners: Sequence[tuple[float, float]] = MIDDLE) -> None:
    """Draw a closed line on a picture through corners given as shares of its plotting area."""
    plot = widget(page, key).locator(".js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    plot.hover()
    widget(page, key).locator(".modebar-btn[data-val=lasso]").first.click()
    page.wait_for_timeout(500)  # Plotly puts a new drag layer in place
    area = widget(page, key).locator(".nsewdrag").first.bounding_box()
    assert area is not None, f"the picture {key} is not on screen"
    path = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (*corners, corners[0])]
    page.mouse.move(*path[0])
    page.mouse.down()
    for x, y in path[1:]:
        page.mouse.move(x, y, steps=10)
    page.mouse.up()
    page.wait_for_timeout(500)
    settled(page)


def choose(page: Page, key: str, label: str) -> None:
    """Press one button of a row of choices."""
    widget(page, key).get_by_role("radio", name=label, exact=True).or_(
        widget(page, key).get_by_role("button", name=label, exact=True)
    ).first.click()
    page.wait_for_timeout(300)
    settled(page)


def click_point(page: Page, key: str, curve: int, point: int) -> None:
    """Click one point of a picture, named as Plotly names it."""
    plot = widget(page, key).locator(".js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    at = plot.evaluate(
        """(plot, [curve, point]) => {
            const trace = plot._fullData[curve], layout = plot._fullLayout, box = plot.getBoundingClientRect();
            const x = layout[trace.xaxis.replace('x', 'xaxis')], y = layout[trace.yaxis.replace('y', 'yaxis')];
            const place = (axis, values) => axis._offset + axis.d2p(values[point]);
            return [box.left + place(x, plot.calcdata[curve].map(p => p.x)),
                    box.top + place(y, plot.calcdata[curve].map(p => p.y))];
        }""",
        [curve, point],
    )
    page.mouse.move(*at)
    page.wait_for_timeout(200)  # Plotly needs a hover before it takes a click
    page.mouse.click(*at)
    page.wait_for_timeout(300)
    settled(page)
