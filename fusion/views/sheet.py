"""A figure in the making: plain dicts that Plotly sees once, at the end.

Plotly checks every later change of a finished figure for some milliseconds; a page with ten pictures felt it.
"""

from __future__ import annotations

import plotly.graph_objects as go

from fusion.views.palette import CHOSEN, INK, TEXT

BAR = 62  # pixels above a plot for its colour bar


class Sheet:
    """Traces, axes, shapes and notes of one figure: transparent, no title, small margins that grow with labels.

    Its text has the colour of whatever theme it is shown under (palette.TEXT).
    """

    def __init__(self, key: str, height: int, *, top: int = 8, bottom: int = 36, left: int = 8, right: int = 8) -> None:
        axis = {
            "automargin": True, "zeroline": False, "fixedrange": True, "ticks": "", "tickfont": {"color": TEXT},
            "title": {"standoff": 6, "font": {"color": TEXT}},
        }  # fmt: skip
        self.data: list[dict[str, object]] = []
        self.shapes: list[dict[str, object]] = []
        self.notes: list[dict[str, object]] = []
        self.images: list[dict[str, object]] = []
        self.layout: dict[str, object] = {
            "template": {}, "height": height, "uirevision": key, "dragmode": False, "hovermode": "closest",
            "bargap": 0.25, "margin": {"l": left, "r": right, "t": top, "b": bottom, "pad": 2},
            "font": {"color": TEXT, "size": 12}, "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)", "xaxis": axis, "yaxis": axis,
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
        }  # fmt: skip

    def add(self, kind: str, **trace: object) -> None:
        """One more trace of a kind (bar, heatmap, scatter, scattergl)."""
        self.data.append({"type": kind, **trace})

    def set(self, **changes: object) -> None:
        """Change the layout; dicts are merged, not replaced. A new axis starts from the first one's settings."""
        for name in changes:
            if name[1:5] == "axis" and name not in self.layout:
                first = self.layout[name[:5]]
                assert isinstance(first, dict)
                kept = {k: v for k, v in first.items() if k not in ("range", "domain", "tickvals", "ticktext")}
                self.layout[name] = {**kept, "title": {"standoff": 6, "font": {"color": TEXT}}}
        self.layout = _merged(self.layout, changes)

    def clicks(self) -> None:
        """Let points be chosen, without fading the others."""
        self.set(clickmode="event+select")
        for trace in self.data:
            marker = trace.get("marker")
            if not isinstance(marker, dict):
                continue
            shown = marker.get("opacity", 1)
            same = {"marker": {"opacity": shown}}
            trace |= {"selected": same, "unselected": same}

    def frame(self, x: tuple[float, float], y: tuple[float, float], width: float = 2) -> None:
        """A frame around what was chosen, in the units of the axes."""
        self.shapes.append(
            {"type": "rect", "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1], "line": {"color": CHOSEN, "width": width}}
        )

    def rule(self, x: float, *, dash: str = "dash", colour: str = INK, width: float = 1.5, axis: str = "") -> None:
        """An upright line over the whole height of a panel; `axis` is "", "2", "3"..."""
        self.shapes.append(
            {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{axis}", "yref": f"y{axis} domain",
             "line": {"color": colour, "width": width, "dash": dash}}
        )  # fmt: skip

    def note(self, text: str, **place: object) -> None:
        """Some words in the figure."""
        self.notes.append({"text": text, "showarrow": False, **place})

    def figure(self) -> go.Figure:
        """The finished figure. Plotly's own check takes 20 ms a figure on a slow machine: a test makes it instead."""
        extra = {"shapes": self.shapes, "annotations": self.notes, "images": self.images}
        return go.Figure({"data": self.data, "layout": {**self.layout, **extra}}, _validate=False)


def heat(key: str, lines: int, *, longest: int = 0, extra: int = 0) -> Sheet:
    """A sheet for a heat map of some lines: room for the colour bar above and for labels below.

    longest: characters of the longest slanted label along the bottom; extra: pixels for a title there.
    """
    bottom = 24 + round(longest * 5.6) + extra
    sheet = Sheet(
        key, BAR + bottom + (22 if lines <= 30 else 14) * lines, top=4, bottom=bottom
    )  # Plotly makes the room
    sheet.set(xaxis={"type": "category", "showgrid": False}, yaxis={**LINES, "showgrid": False})
    return sheet


# A line for each category, from the top down, none of the labels left out.
LINES = {"type": "category", "autorange": "reversed", "tickmode": "linear", "dtick": 1}


def bar(title: str, *, below: bool = False) -> dict[str, object]:
    """A colour bar with its unit, lying above the plot (or below it, where nothing else is written there)."""
    place = {"y": 0, "yanchor": "top", "ypad": 8} if below else {"y": 1, "yanchor": "bottom", "ypad": 6}
    return {
        "title": {"text": title, "side": "bottom" if below else "top"}, "orientation": "h", "thickness": 10, "len": 0.9,
        "x": 0.5, "xanchor": "center", "nticks": 5, "outlinewidth": 0, **place,
    }  # fmt: skip


def _merged(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    """Two nested dicts as one, the new values winning."""
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        result[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result
