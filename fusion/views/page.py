"""A page to send on: one HTML file with pictures, words and numbers that asks nobody for anything.

Its pictures stand still (SVG or WebP, no script at all in the file) or are drawn by Plotly, which is then inside it
once. It follows the reader's light or dark setting, prints, and forbids itself any request to the outside.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from plotly.offline import get_plotlyjs

from fusion.views.page_style import SCRIPT, STYLE
from fusion.views.palette import TEXT
from fusion.views.png import figure_json
from fusion.words import current, t, use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fusion.views.base import Picture
    from fusion.views.still import Still

Sections: TypeAlias = "Sequence[tuple[str, Sequence[Picture]]]"
MOST_TABLE_ROWS = 500  # of a table inside the page; the CSV has them all


@dataclass(frozen=True)
class Page:
    """What a page says, in its order. Everything is plain text; pictures of a section follow one another."""

    title: str
    lead: str = ""  # what it is of, in a sentence
    text: str = ""  # what a person wrote, shown as a quotation
    photographs: tuple[tuple[str, str], ...] = ()  # (address "data:image/...", text alternative)
    figures: tuple[tuple[str, str, str], ...] = ()  # the first things to know: name, value, what stands below it
    notes: tuple[str, ...] = ()  # what a reader must know before believing them
    facts: Mapping[str, str] = field(default_factory=dict)  # of what, with what, when
    sections: Sections = ()
    tables: tuple[tuple[str, pd.DataFrame], ...] = ()  # a heading and its rows
    made: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # heading -> settings and versions, at the end

    @property
    def pictures(self) -> dict[str, Picture]:
        """Every picture by its place."""
        return {
            place(number, order): picture
            for number, (_, pictures) in enumerate(self.sections)
            for order, picture in enumerate(pictures)
        }


def place(section: int, order: int) -> str:
    """What a picture is called within a page."""
    return f"figure-{section}-{order}"


def html_report(title: str, sections: Sections, facts: Mapping[str, str], language: str) -> str:
    """A page of pictures that answer to the pointer, under facts."""
    return html_page(Page(title, sections=sections, facts=facts), language)


def html_page(page: Page, language: str, stills: Mapping[str, Still] | None = None, rows: int = MOST_TABLE_ROWS) -> str:
    """One self-contained HTML file.

    stills: every picture of the page as it stands; without them Plotly draws. rows: most of a table, which says so.
    """
    before = current()
    use(language)
    try:
        body = "".join((_top(page), _contents(page), _sections(page, stills, rows), _tables(page, rows), _made(page)))
    finally:
        use(before)
    scripts, allowed = "", ""
    if stills is None:
        plotly = get_plotlyjs().replace("</script", "<\\/script")
        scripts = f"<script>{plotly}</script><script>{SCRIPT.replace('TEXT', TEXT)}</script>"
        allowed = " script-src 'unsafe-inline';"
    policy = f"default-src 'none';{allowed} style-src 'unsafe-inline'; img-src data: blob:"
    return (
        f'<!doctype html>\n<html lang="{_text(language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(page.title)}</title><style>{STYLE}</style></head><body><main>{body}</main>{scripts}"
        "</body></html>\n"
    )


def _text(value: str) -> str:
    """Text as HTML shows it: escaped, without the characters that no file encodes."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "\ufffd", value))


def _top(page: Page) -> str:
    """Title, what it is of, and the first things to know."""
    parts = [f"<h1>{_text(page.title)}</h1>"]
    if page.lead:
        parts.append(f'<p class="lead">{_text(page.lead)}</p>')
    shown = "".join(
        f'<img src="{_text(address)}" alt="{_text(alt)}">'
        for address, alt in page.photographs
        if re.fullmatch(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/=]+", address)
    )
    said = f"<blockquote>{_text(page.text)}</blockquote>" if page.text else ""
    if shown or said:
        parts.append(f'<div class="sample">{shown}{said}</div>')
    if page.figures:
        cells = "".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd><dd>{_text(under)}</dd></div>"
            for name, value, under in page.figures
        )
        parts.append(f'<dl class="figures">{cells}</dl>')
    parts += [f'<p class="note">{_text(note)}</p>' for note in page.notes]
    if page.facts:
        parts.append(_facts(page.facts))
    parts.append(f'<p class="lead">{_text(t("report.intro"))}</p>')
    return f"<header>{''.join(parts)}</header>"


def _facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(k)}</dt><dd>{_text(str(v))}</dd>' for k, v in facts.items())}</dl>"


def _contents(page: Page) -> str:
    """A list of what follows, each a jump away; none for a page of one part."""
    named = [(f"part-{number}", heading) for number, (heading, _) in enumerate(page.sections)]
    named += [(f"table-{number}", heading) for number, (heading, _) in enumerate(page.tables)]
    named += [("made", t("report.made"))] if page.made else []
    if len(named) < 2:
        return ""
    items = "".join(f'<li><a href="#{name}">{_text(heading)}</a></li>' for name, heading in named)
    return f'<nav aria-labelledby="contents"><h2 id="contents">{_text(t("report.contents"))}</h2><ol>{items}</ol></nav>'


def _sections(page: Page, stills: Mapping[str, Still] | None, rows: int) -> str:
    return "".join(
        f'<section id="part-{number}"><h2>{_text(heading)}</h2>'
        + "".join(
            _figure(name := place(number, order), picture, None if stills is None else stills[name], rows)
            for order, picture in enumerate(pictures)
        )
        + "</section>"
        for number, (heading, pictures) in enumerate(page.sections)
    )


def _tables(page: Page, rows: int) -> str:
    return "".join(
        f'<section id="table-{number}"><h2>{_text(heading)}</h2><div class="scroll" tabindex="0">'
        f"{_table(table, rows)}</div></section>"
        for number, (heading, table) in enumerate(page.tables)
    )


def _made(page: Page) -> str:
    """Settings and versions: what it takes to make the same page again."""
    if not page.made:
        return ""
    groups = "".join(f"<h3>{_text(heading)}</h3>{_facts(facts)}" for heading, facts in page.made.items())
    return f'<section id="made"><h2>{_text(t("report.made"))}</h2>{groups}</section>'


def _figure(name: str, picture: Picture, still: Still | None, rows: int) -> str:
    """A picture with everything around it."""
    table = ""
    if not picture.table.empty:
        table = (
            f'<details><summary>{_text(t("report.table"))}</summary><div class="scroll">'
            f"{_table(picture.table, rows)}</div></details>"
        )
    drawn = _plotted(name, picture) if still is None else _standing(picture, still)
    return (
        f"<figure><h3>{_text(picture.title)}</h3>"
        f'<p class="finding">{_text(picture.finding)}</p>{drawn}'
        f"<figcaption><p>{_text(picture.shows)}</p><p>{_text(picture.hides)}</p></figcaption>{table}</figure>"
    )


def _plotted(name: str, picture: Picture) -> str:
    """A picture for Plotly to draw."""
    return (
        f'<div class="plot" role="img" aria-label="{_text(picture.alt)}" data-figure="{name}"></div>'
        f'<script type="application/json" id="{name}">{_json(picture)}</script>'
    )


def _standing(picture: Picture, still: Still) -> str:
    """A picture that was drawn before."""
    wide = ' data-wide=""' if picture.figure.layout["width"] is None else ""
    if still.svg:
        return f'<div class="still" role="img" aria-label="{_text(picture.alt)}"{wide}>{still.svg}</div>'
    return (
        f'<div class="still"{wide}><picture>'
        f'<source srcset="{_text(still.dark)}" media="screen and (prefers-color-scheme: dark)">'
        f'<img src="{_text(still.light)}" alt="{_text(picture.alt)}"></picture></div>'
    )


def _json(picture: Picture) -> str:
    """The figure as JSON that can stand inside a script element."""
    made = figure_json(picture)
    return made.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _number(value: float) -> str:
    """Three digits, a large number whole."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def _table(table: pd.DataFrame, most: int) -> str:
    """A table of at most some rows, numbers with three digits, everything escaped."""
    shown = table.head(most)
    columns = [shown.iloc[:, i] for i in range(shown.shape[1])]  # by place: names may repeat
    cells = [[_number(v) if c.dtype.kind == "f" else str(v) for v in c] for c in columns]
    head = "".join(f'<th scope="col">{_text(str(column))}</th>' for column in shown.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cells[i][row])}</td>" for i in range(shown.shape[1])) + "</tr>"
        for row in range(len(shown))
    )
    note = ""
    if len(shown) < len(table):
        note = f"<p>{_text(t('views.showing', shown=len(shown), count=len(table)))}</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
