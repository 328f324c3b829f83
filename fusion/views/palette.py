"""Colours that tell modalities and values apart, also for readers who see few colours, and the shapes beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The text colour of the theme. Streamlit's page replaces this very colour by it in the browser, in light and dark (it
# is GRAY_90 of its Plotly theme; a test compares), and our reports do the same: one figure serves both themes.
TEXT = "#000037"
INK = "#7A7A7A"  # "the text colour" of a mark: a grey with 4:1 on white and on the dark background alike
CHOSEN = "#D55E00"  # rings and frames of what was chosen
SEQUENTIAL = (
    "#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838",
)  # fmt: skip  # cividis
DIVERGING = (
    "#084594", "#3869A8", "#688CBC", "#97B0CF", "#C7D3E3", "#E9D7C7", "#DCB797", "#CE9866", "#C17836", "#B35806",
)  # fmt: skip
CATEGORIES = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#332288", "#7A7A7A",
)  # fmt: skip  # Okabe-Ito first
COLOURS = {
    "text": "#0072B2", "image": "#D55E00", "video": "#D55E00", "vision": "#D55E00", "graph": "#009E73",
    "audio": "#CC79A7", "attribute": "#E69F00", "relation": "#56B4E9", "name": "#882255", "character": "#999933",
    "char": "#999933", "drawing": "#E69F00",
    "description": "#332288", "structure": "#009E73", "twin": "#E69F00", "fused": INK, "bias": INK,
}  # fmt: skip
SHAPES = {
    "text": "circle", "image": "diamond", "video": "diamond", "vision": "diamond", "graph": "square",
    "audio": "triangle-up", "attribute": "cross", "relation": "x", "name": "pentagon", "character": "star",
    "char": "star", "drawing": "diamond-tall",
    "description": "triangle-down", "structure": "square", "twin": "diamond-tall", "fused": "hexagon",
}  # fmt: skip
VERDICTS = {
    "": INK, "keep": "#009E73", "unsure": "#56B4E9", "fix": "#E69F00", "disagreement": "#CC79A7", "mismatch": "#D55E00",
}  # fmt: skip  # "" for what nobody judged; the gravest last, which lies on top
PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")  # a second sign beside the colour, by order


@dataclass(frozen=True)
class Tints:
    """Colours of their own for kinds of points, which are drawn in this order: the last one lies on top."""

    colours: Mapping[str, str]  # {kind: colour}
    quiet: str = ""  # the kind that is drawn pale and small, below all others


def scale(colours: Sequence[str]) -> list[list[float | str]]:
    """Colours as Plotly wants them: pairs of a place in 0..1 and a colour."""
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def thin(colour: str, share: float) -> str:
    """A colour through which one sees, for a spread: ("#0072B2", 0.2) -> "rgba(0,114,178,0.20)"."""
    return f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},{share:.2f})"
