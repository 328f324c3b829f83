"""Draws the pictures of the gloss set: Noto and Fluent flat emoji and country flags, 64 pixels square on white."""

import io
import json
import os
import tempfile
from pathlib import Path

import cairosvg
from gloss_links import VARIATION, Emoji
from PIL import Image

SIDE = 64  # pixels
COLOURS = 64  # of the palette: about a third of the full file, and no difference that a 64-pixel emoji shows
FLAG_HEIGHT = 48  # pixels of a flag 64 wide, the 4:3 drawings of flag-icons


def on_white(picture: Image.Image) -> Image.Image:
    """A square RGB picture on white: what an encoder would make of a transparent one is not left to it."""
    rgba = picture.convert("RGBA")
    canvas = Image.new("RGBA", (SIDE, SIDE), "white")
    canvas.alpha_composite(rgba, ((SIDE - rgba.width) // 2, (SIDE - rgba.height) // 2))
    return canvas.convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """A palette PNG, written aside and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        small.save(stream, "PNG", optimize=True)
    Path(name).chmod(0o644)
    os.replace(name, path)


def render(svg: str, width: int, height: int) -> Image.Image:
    """An SVG drawn at a size in pixels."""
    data = cairosvg.svg2png(bytestring=svg.encode(), output_width=width, output_height=height)
    return Image.open(io.BytesIO(data))


class Drawings:
    """The unpacked packages under `root`, asked for one emoji at a time."""

    def __init__(self, root: Path) -> None:
        """Reads the Fluent icons; the others are files."""
        self.noto = root / "emoji-datasource-google/img/google/64"
        self.flags = root / "flag-icons/flags/4x3"
        icons = json.loads((root / "fluent-emoji-flat/icons.json").read_text("utf-8"))
        chars = json.loads((root / "fluent-emoji-flat/chars.json").read_text("utf-8"))
        bodies = icons["icons"] | {name: icons["icons"][row["parent"]] for name, row in icons["aliases"].items()}
        variation = f"{ord(VARIATION):x}"
        self.fluent = {
            "-".join(part for part in code.split("-") if part != variation): bodies[name]["body"]
            for code, name in chars.items()
            if name in bodies
        }
        self.side = icons.get("width", 32), icons.get("height", 32)

    def first(self, emoji: Emoji) -> Image.Image:
        """The Noto picture, or a country's flag."""
        if emoji.country:
            svg = (self.flags / f"{emoji.country}.svg").read_text("utf-8")
            return on_white(render(svg, SIDE, FLAG_HEIGHT))
        return on_white(Image.open(self.noto / emoji.file))

    def second(self, emoji: Emoji) -> Image.Image | None:
        """The Fluent flat picture, None where that set has none."""
        body = self.fluent.get(emoji.code)
        if emoji.country or body is None:
            return None
        width, height = self.side
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'
        return on_white(render(svg, SIDE, SIDE))
