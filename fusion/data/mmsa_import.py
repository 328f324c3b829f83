"""Feature files of the MMSA programs -> checked safe copies, as fusion.data.mmsa opens them.

The pickle is a dictionary of `train`, `valid` and `test`; each of them holds arrays by name (raw_text, id, text,
text_bert, audio, vision, their lengths, labels), a row a sample. Nothing wrong is passed over in silence: what can be
put right is, and said with its row; what can't be leaves its row out; a file that contradicts itself is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusion.data import mmsa, unpickling
from fusion.data.graphs import SPLITS
from fusion.data.mmsa_sequences import Sequences, align, sequences
from fusion.data.pairs import writable
from fusion.data.streams import SENTIMENT
from fusion.files import atomic_folder, file_digest, shorten
from fusion.types import FusionError

PUBLISHED = {
    "78e0f8b5": ("MOSI, unaligned", (-3.0, 3.0)), "d3994fd2": ("MOSI, aligned", (-3.0, 3.0)),
    "ad8b23d5": ("MOSEI, unaligned", (-3.0, 3.0)), "45eccfb7": ("MOSEI, aligned", (-3.0, 3.0)),
    "c9e20c13": ("SIMS, unaligned", (-1.0, 1.0)),
}  # first digits of the file's sha256 -> what it is, and its scale  # fmt: skip
SCALES = ((-1.0, 1.0), (-3.0, 3.0))
ALIASES = {"train": ("train",), "valid": ("valid", "dev"), "test": ("test",)}
LABELS = {"regression_labels": "target", "regression_labels_T": "label_text", "regression_labels_A": "label_audio",
          "regression_labels_V": "label_vision"}  # fmt: skip
SAID = 20  # sentences about rows of one kind; the rest is counted
OWN_MEMORY = 0.85  # of the machine's, which a file may take: it is unpacked whole
Progress = Callable[[int, int], None]


@dataclass
class Rows:
    """What the samples are, in the order of the splits; a row that can't be used is marked, not taken out yet."""

    split: list[str] = field(default_factory=list)
    place: list[str] = field(default_factory=list)  # how a sentence names the row: 'train row 17 ("video$_$3")'
    id: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    annotation: list[str] = field(default_factory=list)
    keep: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


@dataclass
class Report:
    """Sentences of one kind each, shortened to the first rows and a count."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, sentence: str) -> None:
        """One more sentence of a kind."""
        self.found.setdefault(kind, []).append(sentence)

    def sentences(self) -> list[str]:
        """All of them, at most SAID of a kind."""
        told = []
        for kind, rows in self.found.items():
            told += rows[:SAID]
            if len(rows) > SAID:
                told.append(f"{kind}: {len(rows) - SAID:,} more rows like the {SAID} named above.")
        return told


def import_file(
    path: Path,
    folder: Path,
    scale: tuple[float, float] | None = None,
    *,
    classes: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the safe copy of a feature file and return what its meta.json says (Any: what JSON holds).

    scale: lowest and highest score, from the published table or the labels unless given. classes: predict the file's
    classes instead of its scores. Raises FusionError when the file is hostile, contradicts itself or leaves no sample.
    """
    name = shorten(path.name)
    parts = _parts(path, name)
    sha256 = file_digest(path)
    published, usual = PUBLISHED.get(sha256[:8], ("", None))
    rows, report, notes = _rows(name, parts), Report(), []
    table = [_sequences(name, parts, modality, rows, report, progress) for modality in mmsa.UNITS]
    found = {one.name: one for one in table if one is not None}
    align(tuple(found.values()))
    has_text = np.array([bool(text.strip()) for text in rows.text])
    if "text" in found:
        has_text = found["text"].present
    labels, names, limits = _labels(name, parts, rows, report, scale or usual, classes)
    _drop_empty(rows, found, has_text, report)
    _drop_twins(rows, report)
    if not rows.keep.any():
        raise FusionError(f'"{name}" leaves no sample: {report.sentences()[0]}')
    notes += _notes(published, sha256, rows, found, parts)
    _say_shared(rows, notes)
    kept = np.flatnonzero(rows.keep)
    meta = {
        "format": mmsa.FORMAT, "title": published or path.stem, "file": name, "sha256": sha256, "published": published,
        "modalities": [
            {"name": m, "width": found[m].width if m in found else 0,
             "steps": int(found[m].length[kept].max(initial=0)) if m in found else 0}
            for m in mmsa.UNITS
            if m in found or (m == "text" and has_text[kept].any())
        ],
        "classes": list(names), "scale": list(limits), "words": list(SENTIMENT) if not names else [],
        "notes": notes, "problems": report.sentences(), "samples": len(kept),
        "splits": {split: int(sum(rows.split[at] == split for at in kept)) for split in SPLITS},
    }  # fmt: skip
    _write(folder, meta, rows, kept, found, labels, has_text, progress)
    return meta


def _parts(path: Path, name: str) -> dict[str, dict[str, Any]]:
    """{split: its columns} of a file. Raises FusionError when it is no such file, or more than memory can hold."""
    if not path.is_file():
        raise FusionError(f'There is no file "{name}"; give the path of a feature file (.pkl).')
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if path.stat().st_size > OWN_MEMORY * memory:
        raise FusionError(
            f'"{name}" has {path.stat().st_size / 2**30:.1f} GB and this machine {memory / 2**30:.1f} GB of memory, '
            "and it has to be unpacked whole; import it on a larger machine and copy the folder."
        )
    loaded = unpickling.load(path)
    splits = {
        split: next((loaded[alias] for alias in aliases if alias in loaded), None)
        for split, aliases in ALIASES.items()
        if isinstance(loaded, dict)
    }
    splits = {split: part for split, part in splits.items() if part is not None}
    if not splits or not all(isinstance(part, dict) and part for part in splits.values()):
        have = (
            f"; it has {', '.join(shorten(str(key), 20) for key in list(loaded)[:8])}"
            if isinstance(loaded, dict)
            else ""
        )
        raise FusionError(
            f'"{name}" has no parts "train", "valid" and "test", each a dictionary of arrays{have}. It should be a '
            "feature file of the MMSA programs."
        )
    return splits


def _size(name: str, split: str, part: Mapping[str, Any]) -> int:
    """How many samples a split has. Raises FusionError when its columns disagree."""
    sizes = {
        key: len(value)
        for key, value in part.items()
        if isinstance(value, (list, np.ndarray)) and not (isinstance(value, np.ndarray) and value.ndim == 0)
    }
    counted = {key: sizes[key] for key in (*mmsa.UNITS, "regression_labels", "id", "raw_text") if key in sizes}
    if not counted:
        raise FusionError(f'"{name}": "{split}" has no text, audio, vision or labels; it should hold a row a sample.')
    first = next(iter(counted))
    for key in (*counted, *(key for key in sizes if key in LABELS or key.endswith("_lengths") or key == "text_bert")):
        if sizes[key] != counted[first]:
            raise FusionError(
                f'"{name}": in "{split}", {first} has {counted[first]:,} rows and {key} {sizes[key]:,}; each sample '
                "should have a row in both. Use the file as it was published."
            )
    return counted[first]


def _rows(name: str, parts: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Ids, texts and splits of all samples, in the order of the splits."""
    rows = Rows()
    for split, part in parts.items():
        N = _size(name, split, part)
        ids = _strings(part.get("id"), N) or [f"{split}-{at}" for at in range(N)]
        ids = [id or f"{split}-{at}" for at, id in enumerate(ids)]
        rows.split += [split] * N
        rows.id += ids
        rows.group += [id.split("$_$")[0] if "$_$" in id else id.split("\t")[0] for id in ids]
        rows.place += [f'{split} row {at} ("{shorten(id, 40)}")' for at, id in enumerate(ids)]
        rows.text += _strings(part.get("raw_text"), N) or [""] * N
        rows.annotation += _strings(part.get("annotations"), N) or [""] * N
    rows.id = [id.replace("\t", " ") for id in rows.id]
    rows.keep = np.ones(len(rows.id), bool)
    return rows


def _strings(values: object, N: int) -> list[str]:
    """N texts of a list or an array; [] where there is none. An id of several parts is joined by tabs."""
    if not isinstance(values, (list, np.ndarray)) or len(values) != N:
        return []
    given = values.tolist() if isinstance(values, np.ndarray) else values
    return [_text(value) for value in given]


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "\t".join(_text(one) for one in value[:8])
    if isinstance(value, np.ndarray):
        return _text(value.ravel()[:8].tolist())
    return writable(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _sequences(
    name: str, parts: Mapping[str, Mapping[str, Any]], modality: str, rows: Rows, report: Report,
    progress: Progress | None,
) -> Sequences | None:  # fmt: skip
    """One modality of all splits. Raises FusionError when they disagree."""
    having = [split for split in parts if parts[split].get(modality) is not None]
    if not having:
        return None
    missing = [split for split in parts if split not in having]
    if missing:
        raise FusionError(f'"{name}" has {modality} in "{having[0]}" and none in "{missing[0]}"; use one whole file.')
    tables, given = [], []
    for split, part in parts.items():
        table = part[modality]
        if not isinstance(table, np.ndarray) or table.ndim != 3 or table.dtype.kind not in "fiu":
            shape = f"of shape {table.shape} and kind {table.dtype}" if isinstance(table, np.ndarray) else "no array"
            raise FusionError(
                f'"{name}": {modality} of "{split}" is {shape}; it should be numbers (samples, steps, features).'
            )
        tables.append(table)
        given.append(_lengths(name, split, part, modality, len(table)))
    first = next(iter(parts))
    for split, table, lengths in zip(parts, tables, given, strict=True):
        for axis, what in ((2, "features a step"), (1, "steps")):
            if table.shape[axis] != tables[0].shape[axis]:
                why = "aligned and unaligned parts are mixed" if axis == 1 else "they come from different extractors"
                raise FusionError(
                    f'"{name}": {modality} has {tables[0].shape[axis]} {what} in "{first}" and {table.shape[axis]} in '
                    f'"{split}": {why}. Use a file whose parts were made together.'
                )
        if (lengths is None) != (given[0] is None):
            raise FusionError(
                f'"{name}": only one of "{first}" and "{split}" has {modality} lengths: aligned and unaligned parts '
                "are mixed. Use a file whose parts were made together."
            )
    lengths = None if given[0] is None else np.concatenate([one for one in given if one is not None])
    return sequences(modality, tables, lengths, rows.place, report.add, progress)


def _lengths(name: str, split: str, part: Mapping[str, Any], modality: str, N: int) -> np.ndarray | None:
    """Lengths as the file says them, of text those of the mask of its word pieces. (N,) int64, None without"""
    said = part.get(f"{modality}_lengths")
    if said is None and modality == "text":
        pieces = part.get("text_bert")
        if isinstance(pieces, np.ndarray) and pieces.ndim == 3 and pieces.shape[1] == 3 and pieces.dtype.kind in "fiu":
            return (pieces[:, 1] > 0).sum(1).astype(np.int64)
        return None
    if said is None:
        return None
    try:
        values = np.asarray(said, dtype=np.float64).reshape(N)
    except (TypeError, ValueError):
        raise FusionError(
            f'"{name}": {modality}_lengths of "{split}" are no {N:,} numbers; use another file.'
        ) from None
    return np.nan_to_num(values, nan=-1, posinf=2**31, neginf=-1).astype(np.int64)


def _labels(
    name: str, parts: Mapping[str, Mapping[str, Any]], rows: Rows, report: Report,
    scale: tuple[float, float] | None, classes: bool,
) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[float, float]]:  # fmt: skip
    """({column: (N,) labels}, names of classes, scale). Rows without a usable one are marked."""
    found: dict[str, np.ndarray] = {}
    for key, column in (LABELS | {"classification_labels": "class"}).items():
        if all(key in part for part in parts.values()):
            try:
                found[column] = np.concatenate(
                    [np.asarray(part[key], dtype=np.float64).reshape(-1) for part in parts.values()]
                )
            except (TypeError, ValueError):
                raise FusionError(f'"{name}": {key} are no numbers; use the file as it was published.') from None
            if len(found[column]) != len(rows.id):
                raise FusionError(f'"{name}": {key} has {len(found[column]):,} values, not one a sample.')
    if "target" not in found and "class" not in found:
        raise FusionError(f'"{name}" has neither regression_labels nor classification_labels; nothing can be learned.')
    if classes or "target" not in found:
        if "class" not in found:
            raise FusionError(f'"{name}" has no classification_labels; import its scores, without --classes.')
        return _classes(name, found, rows, report)
    target = found["target"]
    finite = target[np.isfinite(target)]
    if scale is None:
        scale = next((one for one in SCALES if np.mean(np.abs(finite) <= one[1]) >= 0.9), SCALES[-1])
    low, high = scale
    for at in np.flatnonzero(~np.isfinite(target)):
        report.add("no label", f"{rows.place[at]}: its label is {target[at]}; it was left out.")
        rows.keep[at] = False
    for at in np.flatnonzero(np.isfinite(target) & ((target < low) | (target > high))):
        report.add(
            "outside the scale",
            f"{rows.place[at]}: its label {target[at]:g} lies outside {low:g} to {high:g}; it was left out.",
        )
        rows.keep[at] = False
    return found, (), scale


def _classes(
    name: str, found: dict[str, np.ndarray], rows: Rows, report: Report
) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[float, float]]:
    """The file's classes in the place of its scores, named by its annotations where these agree."""
    values = found["class"]
    for at in np.flatnonzero(~np.isfinite(values) | (values != np.round(values))):
        report.add("no class", f"{rows.place[at]}: its class is {values[at]}; it was left out.")
        rows.keep[at] = False
    kinds = sorted({int(value) for value in values[rows.keep]})
    if not 2 <= len(kinds) <= 100:
        raise FusionError(f'"{name}" has {len(kinds)} classes; 2 to 100 can be told apart.')
    names = []
    for kind in kinds:
        said = {rows.annotation[at] for at in np.flatnonzero(rows.keep & (values == kind))} - {""}
        names.append(said.pop() if len(said) == 1 else str(kind))
    if len(set(names)) < len(names):
        names = [str(kind) for kind in kinds]
    number = {kind: at for at, kind in enumerate(kinds)}
    target = np.array([number.get(int(v), -1) if np.isfinite(v) else -1 for v in values], dtype=np.float64)
    return found | {"target": target}, tuple(names), (0.0, float(len(kinds) - 1))


def _drop_empty(rows: Rows, found: Mapping[str, Sequences], has_text: np.ndarray, report: Report) -> None:
    there = has_text.copy()
    for one in found.values():
        there |= one.present
    for at in np.flatnonzero(rows.keep & ~there):
        report.add("nothing there", f"{rows.place[at]}: it has no modality at all; it was left out.")
        rows.keep[at] = False


def _drop_twins(rows: Rows, report: Report) -> None:
    seen: dict[str, int] = {}
    for at in np.flatnonzero(rows.keep):
        first = seen.setdefault(rows.id[at], int(at))
        if first != at:
            report.add("the same id", f"{rows.place[at]}: {rows.place[first]} has the same id; it was left out.")
            rows.keep[at] = False


def _notes(
    published: str, sha256: str, rows: Rows, found: Mapping[str, Sequences], parts: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What a reader must know of the whole file."""
    told = [
        f"The file is the published one of {published}."
        if published
        else f"Unknown file (sha256 {sha256[:8]}...): none of the published MOSI, MOSEI and SIMS feature files."
    ]
    for one in found.values():
        told += one.notes(rows.keep)
    if "text" not in found:
        told.append("The file has no features of the text; a text encoder makes them from its sentences.")
    known = {*mmsa.UNITS, *LABELS, "raw_text", "id", "text_bert", "annotations", "classification_labels"}
    others = sorted({str(key) for part in parts.values() for key in part} - known)
    others = [key for key in others if not key.endswith("_lengths")]
    if others:
        told.append(f"Not read: {', '.join(shorten(key, 30) for key in others[:8])}.")
    return told


def _say_shared(rows: Rows, notes: list[str]) -> None:
    """A note where a video is in two splits: a model can then know the speaker."""
    splits: dict[str, set[str]] = {}
    for at in np.flatnonzero(rows.keep):
        if rows.group[at] != rows.id[at]:
            splits.setdefault(rows.group[at], set()).add(rows.split[at])
    both = sorted(group for group, found in splits.items() if len(found) > 1)
    if both:
        notes.append(
            f"{len(both):,} of {len(splits):,} videos are in more than one split, such as "
            f'"{shorten(both[0], 40)}" in {" and ".join(sorted(splits[both[0]]))}: a model can know the speaker.'
        )


def _write(
    folder: Path, meta: Mapping[str, Any], rows: Rows, kept: np.ndarray, found: Mapping[str, Sequences],
    labels: Mapping[str, np.ndarray], has_text: np.ndarray, progress: Progress | None,
) -> None:  # fmt: skip
    import pandas as pd  # slow to import

    columns: dict[str, Any] = {
        name: [values[at] for at in kept]
        for name, values in (
            ("id", rows.id), ("split", rows.split), ("group", rows.group), ("text", rows.text),
            ("annotation", rows.annotation),
        )
    }  # fmt: skip
    columns |= {name: values[kept] for name, values in labels.items()}
    for one in meta["modalities"]:
        name = one["name"]
        columns[f"{name}_present"] = found[name].present[kept] if name in found else has_text[kept]
        if name in found:
            columns[f"{name}_length"] = found[name].length[kept]
    try:
        with atomic_folder(folder) as aside:
            for name, one in found.items():
                one.write(aside / f"{name}.npy", kept, progress)
            pd.DataFrame(columns).to_parquet(aside / mmsa.TABLE, index=False, compression="zstd")
            (aside / mmsa.META).write_text(
                json.dumps(meta, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
            )
            aside.chmod(0o755)
    except OSError as error:
        raise FusionError(
            f'"{shorten(str(folder), 160)}" can\'t be written ({error.strerror}); choose another.'
        ) from error
