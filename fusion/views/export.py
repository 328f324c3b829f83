"""Pictures and numbers outside the app: one HTML file that asks nobody for anything, CSV files, and PNGs."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from fusion.files import atomic_file
from fusion.signals import Attention, Effects, Marginals, ModalityScores, ModalityWeights, Parts, Transitions
from fusion.views.base import Picture
from fusion.views.palette import TEXT
from fusion.views.png import figure_json, write_png
from fusion.views.speech import plain
from fusion.words import current, t, use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fusion.signals import Signal, Trace

Sections: TypeAlias = "Sequence[tuple[str, Sequence[Picture]]]"
Axes: TypeAlias = "list[tuple[str, Sequence[object]]]"  # a name for each axis, and one for each place on it
MOST_TABLE_ROWS = 500  # of a table inside the page; the CSV has them all

STYLE = """
:root{color-scheme:light dark;--ink:#1d2129;--soft:#555c68;--line:#d9dce1;--back:#fff;--band:#f4f5f7}
@media(prefers-color-scheme:dark){:root{--ink:#fafafa;--soft:#b3b8c2;--line:#3a3f4a;--back:#0e1117;--band:#1a1e27}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1rem;background:var(--back);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",
sans-serif}
h1{font-size:1.6rem;line-height:1.25}
h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-top:1px solid var(--line);padding-top:1rem}
h2::first-letter{text-transform:uppercase}
h3{font-size:1.05rem;margin:1.4rem 0 .2rem}figure{margin:.5rem 0;min-width:0}.plot{width:100%;overflow-x:auto}
.finding{margin:.2rem 0;font-weight:600}figcaption p{margin:.25rem 0;color:var(--soft)}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.2rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.scroll{overflow-x:auto;max-height:26rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;
background:var(--band);padding:.8rem;border-radius:.4rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}summary{cursor:pointer;padding:.3rem 0}
@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
@media print{details{display:none}figure{break-inside:avoid}}
"""

SCRIPT = """
(function(){
  var dark=window.matchMedia('(prefers-color-scheme: dark)');
  function theme(){
    var ink=dark.matches?'#fafafa':'#1d2129',line=dark.matches?'#3a3f4a':'#d9dce1';
    var axis={color:ink,gridcolor:line,zerolinecolor:line,linecolor:line};
    return {layout:{font:{color:ink,size:12,family:'system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif'},
      xaxis:axis,yaxis:axis,hoverlabel:{bgcolor:dark.matches?'#1a1e27':'#ffffff',font:{color:ink}}}};
  }
  function draw(){
    document.querySelectorAll('.plot').forEach(function(box){
      var text=document.getElementById(box.dataset.figure).textContent;
      var made=JSON.parse(text.split('TEXT').join(dark.matches?'#fafafa':'#1d2129'));
      made.layout.template=theme();
      var wide=made.layout.width;
      if(wide){made.layout.width=Math.min(wide,box.clientWidth);}
      Plotly.react(box,made.data,made.layout,{responsive:!wide,displaylogo:false,displayModeBar:false});
    });
  }
  draw();
  dark.addEventListener('change',draw);
})();
"""


def html_report(title: str, sections: Sections, facts: Mapping[str, str], language: str) -> str:
    """One self-contained HTML file: facts, then every picture with its finding, caption, alternative text and numbers.

    sections: (heading, pictures) in order. facts: what was inspected, with what, when. The page follows the reader's
    light or dark setting, prints, and forbids itself any request to the outside.
    """
    before = current()
    use(language)
    try:
        body = "".join(_section(number, heading, pictures) for number, (heading, pictures) in enumerate(sections))
        listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(str(value))}</dd>" for name, value in facts.items())
        intro = _text(t("report.intro"))
    finally:
        use(before)
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    script = get_plotlyjs().replace("</script", "<\\/script")
    return (
        f'<!doctype html>\n<html lang="{_text(language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{_text(title)}</h1><p>{intro}</p><dl>{listed}</dl>{body}</main>"
        f"<script>{script}</script><script>{SCRIPT.replace('TEXT', TEXT)}</script></body></html>\n"
    )


def _text(value: str) -> str:
    """Text as HTML shows it: escaped, without the characters that no file encodes."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "\ufffd", value))


def _section(number: int, heading: str, pictures: Sequence[Picture]) -> str:
    return f"<section><h2>{_text(heading)}</h2>" + "".join(
        _figure(f"figure-{number}-{order}", picture) for order, picture in enumerate(pictures)
    ) + "</section>"  # fmt: skip


def _figure(name: str, picture: Picture) -> str:
    """A picture with everything around it."""
    table = ""
    if not picture.table.empty:
        table = (
            f'<details><summary>{_text(t("report.table"))}</summary><div class="scroll">{_table(picture.table)}</div>'
            "</details>"
        )
    return (
        f"<figure><h3>{_text(picture.title)}</h3>"
        f'<p class="finding">{_text(picture.finding)}</p>'
        f'<div class="plot" role="img" aria-label="{_text(picture.alt)}" data-figure="{name}"></div>'
        f'<script type="application/json" id="{name}">{_json(picture)}</script>'
        f"<figcaption><p>{_text(picture.shows)}</p><p>{_text(picture.hides)}</p></figcaption>{table}</figure>"
    )


def _json(picture: Picture) -> str:
    """The figure as JSON that can stand inside a script element."""
    made = figure_json(picture)
    return made.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _table(table: pd.DataFrame) -> str:
    """A table of at most MOST_TABLE_ROWS rows, numbers with three digits, everything escaped."""
    shown = table.head(MOST_TABLE_ROWS)
    columns = [shown.iloc[:, i] for i in range(shown.shape[1])]  # by place: names may repeat
    cells = [[f"{v:.3g}" if c.dtype.kind == "f" else str(v) for v in c] for c in columns]
    head = "".join(f'<th scope="col">{_text(str(column))}</th>' for column in shown.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cells[i][row])}</td>" for i in range(shown.shape[1])) + "</tr>"
        for row in range(len(shown))
    )
    note = ""
    if len(shown) < len(table):
        note = f"<p>{_text(t('views.showing', shown=len(shown), count=len(table)))}</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def file_name(name: str) -> str:
    """A signal's or a picture's name as a file name: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "signal"


def write_csv(folder: Path, trace: Trace) -> list[Path]:
    """Every number of every signal as CSV, one file a tensor, in full precision of float32. -> the files

    Leading axes are columns that name the row (head, step, voice); the last axis runs across.
    """
    written = []
    for signal in trace:
        for field, tensor in signal.tensors().items():
            values = tensor.detach().cpu().float().numpy()
            stem = file_name(signal.name if field == "value" else f"{signal.name}.{field}")
            with atomic_file(folder / f"{stem}.csv") as aside:
                _frame(values, signal, field, trace).to_csv(aside, index=False, float_format="%.7g")
            written.append(folder / f"{stem}.csv")
    return written


def _frame(values: np.ndarray, signal: Signal, field: str, trace: Trace) -> pd.DataFrame:
    """A tensor as a table: one row for each place on the leading axes."""
    axes = _axes(values, signal, field, trace)
    if values.ndim == 1:
        names, labels = axes[0]
        return pd.DataFrame({names: labels, field: values})
    *leading, (_, across) = axes
    index = np.indices(values.shape[:-1]).reshape(len(leading), -1)
    columns: dict[str, object] = {}
    for (name, labels), where in zip(leading, index, strict=True):
        columns[name] = where + 1
        if labels and isinstance(labels[0], str):
            columns[f"{name}_name"] = np.asarray(labels, object)[where]
    flat = pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=[str(c) for c in across])
    return pd.concat((pd.DataFrame(columns), flat), axis=1)


def _axes(values: np.ndarray, signal: Signal, field: str, trace: Trace) -> Axes:
    """A name for each axis and one for each place on it."""
    numbered = lambda count: list(range(1, count + 1))  # noqa: E731
    batch: Axes = [("sample", numbered(values.shape[0]))]
    shape = values.shape

    def steps(modality: str, count: int) -> Sequence[object]:
        rows = trace.steps.get(modality, ())
        if len(rows) != 1:
            return numbered(count)
        labels = [plain(label, 60) for label in rows[0].labels[:count]]
        return [*labels, *("" for _ in range(count - len(labels)))]

    if isinstance(signal, Attention) and field == "value":
        across = [f"{i + 1} {name}" for i, name in enumerate(steps(signal.keys, shape[3]))]
        return [*batch, ("head", numbered(shape[1])), ("query", steps(signal.queries, shape[2])), ("key", across)]
    if isinstance(signal, Marginals) and field == "value":
        return [*batch, ("step", steps(signal.steps, shape[1])), ("class", list(signal.classes))]
    if isinstance(signal, Parts) and signal.mask is None:
        return [*batch, ("voice", list(signal.voices))]
    if isinstance(signal, (ModalityWeights, ModalityScores)):
        return [*batch, ("modality", list(signal.modalities))]
    if isinstance(signal, Parts) and field == "value":
        places = steps(signal.steps, shape[2])
        return [*batch, ("voice", list(signal.voices)), ("step", places), ("class", list(signal.classes))]
    if isinstance(signal, Transitions):
        classes: list[object] = list(signal.classes)
        return [("class", classes)] if values.ndim == 1 else [("from", classes), ("to", classes)]
    if isinstance(signal, Effects):
        return [*batch, ("condition", list(signal.conditions)), ("observable", list(signal.observables))]
    modality = getattr(signal, "steps", None)
    rest: Axes = []
    for axis, count in enumerate(shape[1:], 1):
        if axis == 1 and modality is not None:
            rest.append(("step", steps(modality, count)))
        else:
            rest.append((f"axis_{axis}", numbered(count)))
    return [*batch, *rest]


__all__ = ["file_name", "html_report", "write_csv", "write_png"]
