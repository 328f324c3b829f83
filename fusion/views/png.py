"""PNGs of pictures, drawn by a Chrome or Chromium of this machine; without one, a sentence that says so."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs

from fusion.files import atomic_file
from fusion.views.palette import TEXT
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.views.base import Picture

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
WIDTH = 900  # pixels, drawn at twice the density
SECONDS = 120

SCRIPT = """
(async function(){
  var figures=JSON.parse(document.getElementById('figures').textContent),out={};
  for(var name in figures){
    var made=figures[name];
    made.layout.template={layout:{font:{color:'#1d2129',size:13},xaxis:{gridcolor:'#d9dce1'},yaxis:{gridcolor:'#d9dce1'}}};
    made.layout.paper_bgcolor='#ffffff';
    var size={format:'png',scale:2,width:made.layout.width||WIDTH,height:made.layout.height||400};
    try{out[name]=await Plotly.toImage(made,size);}catch(error){out[name]='';}
  }
  var box=document.createElement('pre');box.id='made';box.textContent=JSON.stringify(out);
  document.body.replaceChildren(box);
})();
"""


def figure_json(picture: Picture) -> str:
    """A figure as JSON without WebGL, which printers, old machines and headless browsers may lack."""
    made = picture.figure.to_json(engine="json") or "{}"
    return made.replace('"type":"scattergl"', '"type":"scatter"')


def browser() -> str | None:
    """The Chrome to draw with: FUSION_CHROMIUM when set, else the first one on the path, else None."""
    asked = os.environ.get("FUSION_CHROMIUM")
    return asked or next((found for name in BROWSERS if (found := shutil.which(name))), None)


def write_png(folder: Path, sections: Sequence[tuple[str, Sequence[Picture]]]) -> str:
    """One PNG a picture, named by its key. -> "" when done, else one sentence on why there are none."""
    chrome = browser()
    if chrome is None:
        return t("report.png.absent")
    pictures = {picture.key: picture for _, made in sections for picture in made}
    if not pictures:
        return ""
    drawn = _draw(chrome, pictures)
    missing = [key for key in pictures if not drawn.get(key)]
    for key, data in drawn.items():
        if data:
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", key).strip("._") or "picture"
            with atomic_file(folder / f"{name}.png") as aside:
                aside.write_bytes(data)
    return t("report.png.missing", count=len(missing)) if missing else ""


def _draw(chrome: str, pictures: dict[str, Picture]) -> dict[str, bytes]:
    """All pictures in one run of the browser. -> {key: PNG bytes}"""
    figures = {key: figure_json(picture).replace(TEXT, "#1d2129") for key, picture in pictures.items()}
    made = in_browser(chrome, figures, SCRIPT.replace("WIDTH", str(WIDTH)))
    return {key: base64.b64decode(address.partition(",")[2]) for key, address in made.items() if address}


def in_browser(chrome: str, figures: Mapping[str, str], script: str) -> dict[str, str]:
    """What a script makes of figures (JSON by key) in one run of the browser, which hands it back inside its page.

    script: reads #figures and leaves <pre id="made"> with JSON of ASCII strings without "<" and "&" by key. -> {} when
    the browser fails.
    """
    data = ",".join(f"{json.dumps(key)}:{figure}" for key, figure in figures.items())
    data = f"{{{data}}}".replace("<", "\\u003c").replace("&", "\\u0026")
    plotly = get_plotlyjs().replace("</script", "<\\/script")
    page = (
        '<!doctype html><html><head><meta charset="utf-8"></head><body>'
        f'<script type="application/json" id="figures">{data}</script><script>{plotly}</script>'
        f"<script>{script}</script></body></html>"
    )
    with tempfile.TemporaryDirectory(prefix="fusionscope-png-") as name:
        aside = Path(name) / "page.html"
        aside.write_text(page, encoding="utf-8")
        command = [
            chrome, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
            f"--user-data-dir={name}/profile", "--virtual-time-budget=60000", "--dump-dom",
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []), aside.as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return {}
    found = re.search(r'<pre id="made">(.*?)</pre>', done.stdout.decode("utf-8", "replace"), re.DOTALL)
    return json.loads(found[1]) if found else {}
