"""A copy of the manifest without the pairs that people found wrong.

A sample is left out when all who decided on it say mismatch; where they differ it stays, marked. The copy has every
column of the manifest as it was, and two more: triage_verdict (keep, fix, unsure, disagreement, or empty where nobody
looked) and triage_note. Paths of pictures are written anew where the copy lies in another folder. What is no table
(a folder, a bundled set, sequences, graphs) becomes a table of what stays: id, split and, of pairs, image and text.

    cleaned(store, verdicts, path, placed=False) -> rows that stay
    belongs(store) -> the folder that the set lies in, None for one without a folder of its own
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.data import open_data
from fusion.data.pairs import writable
from fusion.data.tables import Table, plain, read, roles
from fusion.files import file_digest, shorten
from fusion.triage import tables
from fusion.triage.verdicts import settled
from fusion.types import FusionError, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from fusion.triage.store import Store
    from fusion.triage.verdicts import Verdicts

VERDICT, NOTE = "triage_verdict", "triage_note"
GONE = "mismatch"


def belongs(store: Store) -> Path | None:
    """The folder of the manifest, or the folder that is the set; None for a bundled set."""
    place = Path(str(store.meta.get("data", ""))).expanduser()
    if place.is_dir():
        return place.resolve()
    return place.parent.resolve() if place.is_file() else None


def cleaned(store: Store, verdicts: Verdicts, path: str | Path, *, placed: bool = False) -> int:
    """Write the copy, by the ending of its path: .csv, .jsonl or .parquet. -> rows that stay

    placed: paths of pictures are those from the folder that the set `belongs` in, whole ones without such a folder, as
    a copy needs that is put there later; else they are those from the copy's own folder.
    Raises FusionError when the manifest isn't there any more, or isn't the one that the run looked at.
    """
    kind = tables.ending(path)
    if tables.REMOTE.match(str(path)):
        raise FusionError("The copy names pictures by their place beside it; write it to a folder of this machine.")
    target = Path(path).expanduser()
    said = {id: settled(opinions) for id, opinions in verdicts.now().items()}
    notes = {row["id"]: row["note"] for row in verdicts.table().to_dict("records") if row["note"]}
    manifest = Path(str(store.meta.get("data", ""))).expanduser()
    folder = belongs(store) if placed else target.parent.resolve()
    frame = _of_table(store, manifest, folder) if store.meta.get("manifest_digest") else _of_samples(store, folder)
    frame = frame[[said.get(str(id)) != GONE for id in frame.index]]
    ids = [str(id) for id in frame.index]
    ours = {VERDICT: [said.get(id, "") for id in ids], NOTE: [notes.get(id, "") for id in ids]}
    if kind == ".csv":  # the manifest's own cells stay as they were: they are data, and their owner's
        ours = {name: [tables.defused_cell(cell) for cell in cells] for name, cells in ours.items()}
    frame = frame.drop(columns=list(ours), errors="ignore").assign(**ours)
    with tables.writing(target) as aside:
        if kind == ".csv":
            frame.to_csv(aside, index=False, encoding="utf-8-sig")
        elif kind == ".jsonl":
            frame.to_json(aside, orient="records", lines=True, force_ascii=False)
        else:
            frame.to_parquet(aside, index=False, compression="zstd")
    return len(frame)


def _of_table(store: Store, manifest: Path, folder: Path | None) -> pd.DataFrame:
    """The rows of a manifest by their ids, those that its reader left out included."""
    import pandas as pd

    if not manifest.is_file():
        raise FusionError(f'The manifest "{shorten(manifest.name)}" is not there any more; put it back.')
    now, then = file_digest(manifest), str(store.meta["manifest_digest"])
    if now != then:
        raise FusionError(
            f'The manifest "{shorten(manifest.name)}" changed since the run (hash {then[:12]} then, {now[:12]} now); '
            "put the old one back, or run it again."
        )
    table = read(manifest)
    where = roles(table.columns)
    ids = [_id(table, where, number, cells) for number, cells in table.rows]
    rows = [_moved(cells, where["image"], manifest.parent, folder or manifest.parent) for _, cells in table.rows]
    return pd.DataFrame(rows, columns=_distinct(table.columns), index=pd.Index(ids, dtype=object), dtype=object)


def _id(table: Table, where: dict[str, int], number: int, cells: Sequence[Any]) -> str:
    """What the reader of pairs calls a row."""
    given = writable(plain(cells[where["id"]]).strip()) if "id" in where else ""
    return given or f"{table.place}{number}"


def _moved(cells: Sequence[Any], image: int, before: Path, after: Path) -> list[Any]:
    """The cells with the path of the picture as it is from another folder."""
    made = list(cells)
    if isinstance(made[image], str) and made[image]:
        made[image] = _from(before / made[image].replace("\\", "/"), before, after, made[image])
    return made


def _from(picture: Path, before: Path, after: Path, written: str) -> str:
    if Path(written).is_absolute() or before.resolve() == after.resolve():
        return written
    return Path(os.path.relpath(picture, after.resolve())).as_posix()


def _of_samples(store: Store, folder: Path | None) -> pd.DataFrame:
    """A table of the samples themselves."""
    import pandas as pd

    frame = store.page("row", limit=store.count)
    told = frame[["id", "split"]].copy()
    if store.meta.get("kind") == "pairs":
        dataset = open_data(str(store.meta.get("data", "")))
        if dataset.digest != store.meta.get("data_digest"):
            raise FusionError(
                f'"{dataset.name}" changed since the run (hash {str(store.meta.get("data_digest"))[:12]} then, '
                f"{dataset.digest[:12]} now); put back what it was, or run it again."
            )
        samples = [dataset.get(id) for id in told["id"]]
        told = told.assign(image=[_place(s.image(), folder) for s in samples], text=[s.text() for s in samples])
    return told.set_index(pd.Index(told["id"].tolist(), dtype=object))


def _place(image: Image | None, folder: Path | None) -> str:
    if image is None or image.path is None:
        return ""
    whole = image.path.resolve()
    return (whole if folder is None else Path(os.path.relpath(whole, folder))).as_posix()


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: a table may name two alike, or none."""
    made: list[str] = []
    for at, name in enumerate(names, 1):
        made.append(name if name and name not in made else f"{name or 'column'}_{at}")
    return made
