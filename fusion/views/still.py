"""Pictures that stand still: SVG, or two WebPs where an SVG would be large, drawn by a Chrome of this machine.

An SVG stands inside the page that shows it, so that its text takes the colour of the page (--ink) and its lines that of
lines (--line), in light and dark alike; no script is needed to see it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusion.views.palette import TEXT
from fusion.views.png import browser, figure_json, in_browser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.views.base import Picture

WIDTH = 880  # pixels of a picture that has no width of its own
LARGE = 160_000  # characters of an SVG above which two WebPs are smaller
LINE = "#d9dce3"  # of lines, replaced by the page's own
INK, DARK = "#1d2129", "#fafafa"  # of text in a WebP for a light and for a dark page
DARK_LINE = "#3a3f4a"

SCRIPT = """
(async function(){
  var figures=JSON.parse(document.getElementById('figures').textContent),out={};
  var family='system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif';
  function plain(text){return btoa(unescape(encodeURIComponent(text)));}
  function themed(figure,ink,line){
    var made=JSON.parse(JSON.stringify(figure).split('TEXT').join(ink));
    var axis={gridcolor:line,zerolinecolor:line,linecolor:line};
    made.layout.template={layout:{font:{color:ink,size:12,family:family},xaxis:axis,yaxis:axis}};
    return made;
  }
  for(var name in figures){
    var figure=figures[name],size={width:figure.layout.width||WIDTH,height:figure.layout.height||400};
    try{
      var svg=await Plotly.toImage(themed(figure,'TEXT','LINE'),{...size,format:'svg',imageDataOnly:true});
      out[name+' svg']=svg.length>LARGE?'':plain(svg);
      if(svg.length>LARGE){
        out[name+' light']=await Plotly.toImage(themed(figure,'INK','LINE'),{...size,format:'webp',scale:1.5});
        out[name+' dark']=await Plotly.toImage(themed(figure,'DARK_INK','DARK_LINE'),{...size,format:'webp',scale:1.5});
      }
    }catch(error){out[name+' svg']='';}
  }
  var box=document.createElement('pre');box.id='made';box.textContent=JSON.stringify(out);
  document.body.replaceChildren(box);
})();
"""


@dataclass(frozen=True)
class Still:
    """A picture without a script: markup of an SVG, or else the addresses (data:) of a light and a dark WebP."""

    svg: str = ""
    light: str = ""
    dark: str = ""


def stills(pictures: Mapping[str, Picture]) -> dict[str, Still] | None:
    """Every picture as it stands on a page, by the same names. None where no Chrome is found, or it failed on one."""
    chrome = browser()
    if chrome is None:
        return None
    if not pictures:
        return {}
    script = SCRIPT
    for name, value in (
        ("DARK_LINE", DARK_LINE), ("DARK_INK", DARK), ("INK", INK), ("LINE", LINE), ("TEXT", TEXT),
        ("WIDTH", str(WIDTH)), ("LARGE", str(LARGE)),
    ):  # fmt: skip
        script = re.sub(rf"\b{name}\b", value, script)
    made = in_browser(chrome, {name: figure_json(picture) for name, picture in pictures.items()}, script)
    found = {name: _still(made, name) for name in pictures}
    return None if any(one is None for one in found.values()) else {k: v for k, v in found.items() if v is not None}


def _still(made: Mapping[str, str], name: str) -> Still | None:
    svg, light, dark = (made.get(f"{name} {kind}", "") for kind in ("svg", "light", "dark"))
    if svg:
        return Still(svg=_inline(base64.b64decode(svg).decode("utf-8")))
    if light.startswith("data:image/") and dark.startswith("data:image/"):
        return Still(light=light, dark=dark)
    return None


def _inline(svg: str) -> str:
    """An SVG that can stand in a page: scalable, in the page's colours, and without links or handlers."""
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL).strip()
    size = re.match(r'<svg\b[^>]*?\bwidth="([\d.]+)"[^>]*?\bheight="([\d.]+)"', svg)
    if size and " viewBox=" not in svg[: svg.index(">")]:
        svg = svg.replace("<svg", f'<svg viewBox="0 0 {size[1]} {size[2]}"', 1)
    for colour, name in ((TEXT, "--ink"), (LINE, "--line")):
        numbers = ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
        svg = svg.replace(f"rgb({numbers})", f"var({name})").replace(colour, f"var({name})")
    svg = re.sub(r'(<[a-zA-Z][^<>]*?\sstyle=")([^"]*)"', lambda found: f'{found[1]}{_styled(found[2])}"', svg)
    return re.sub(r"</?a\b[^>]*>", "", svg)


def _styled(style: str) -> str:
    """A style without what the page itself says: the font, and what is so anyway."""
    return re.sub(r"font-family: [^;]*;|(fill|stroke)-opacity: 1;|(?<![a-z-])opacity: 1;", "", style).strip()
