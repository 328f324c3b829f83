"""A copy of the manifest without the pairs that people found wrong.

A sample is left out when all who decided on it say mismatch; where they differ it stays, marked. The copy has every
column of the manifest as it was, and every row and line that the run didn't look at, be it the second one of an id.
Two columns are new: triage_verdict (keep, fix, unsure, disagreement, or empty where nobody looked) and triage_note,
with a number where the manifest has them already. Paths of pictures are written anew where the copy lies in another
folder. What is no table (a folder, a bundled set, sequences, graphs) becomes a table of what stays: id, split and, of
pairs, image and text.

    cleaned(store, verdicts, path, placed=False) -> rows that stay
    belongs(store) -> the folder that the set lies in, None for one without a folder of its own
    obstacle(store, kind) -> why a copy of a kind can't be written, as far as a look at the manifest tells
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.data import open_data
from fusion.data.pairs import halves, writable
from fusion.data.pictures import Pictures
from fusion.data.tables import Table, plain, read, roles
from fusion.files import file_digest, shorten
from fusion.triage import manifests, tables
from fusion.triage.manifests import LINES, PARQUET, Row, Rows, distinct
from fusion.triage.verdicts import settled
from fusion.types import FusionError, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fusion.triage.store import Store
    from fusion.triage.verdicts import Verdicts

VERDICT, NOTE = "triage_verdict", "triage_note"
GONE = "mismatch"
Said = tuple[str, str]  # verdict and note of a row
NOTHING: Said = ("", "")


def belongs(store: Store) -> Path | None:
    """The folder of the manifest, or the folder that is the set; None for a bundled set."""
    place = _data(store)
    if place.is_dir():
        return place.resolve()
    return place.parent.resolve() if place.is_file() else None


def cleaned(store: Store, verdicts: Verdicts, path: str | Path, *, placed: bool = False) -> int:
    """Write the copy, by the ending of its path: .csv, .jsonl or .parquet. -> rows that stay

    placed: paths of pictures are those from the folder that the set `belongs` in, whole ones without such a folder, as
    a copy needs that is put there later; else they are those from the copy's own folder.
    Raises FusionError when the manifest isn't there any more, isn't the one that the run looked at, is the file to be
    written, or holds what such a copy can't.
    """
    kind = tables.ending(path)
    if tables.REMOTE.match(str(path)):
        raise FusionError("The copy names pictures by their place beside it; write it to a folder of this machine.")
    target, manifest = Path(path).expanduser(), _data(store)
    folder = belongs(store) if placed else target.parent.resolve()
    notes = {row["id"]: row["note"] for row in verdicts.table().to_dict("records") if row["note"]}
    told = {id: (settled(opinions), notes.get(id, "")) for id, opinions in verdicts.now().items()}
    if kind == ".csv":  # the manifest's own cells stay as they were: they are data, and their owner's
        told = {id: (verdict, tables.defused_cell(note)) for id, (verdict, note) in told.items()}
    if not store.meta.get("manifest_digest"):
        rows = _of_samples(store, folder)
        said = {number: told[id] for number, id in enumerate(store.column("id")) if id in told}
        with tables.writing(target) as aside:
            return manifests.write(_judged(rows, said), target, aside)
    _check(manifest, target, str(store.meta["manifest_digest"]))
    table = read(manifest)
    said = {number: told[id] for number, id in _looked_at(table, manifest).items() if id in told}
    moved, image = _mover(manifest.parent, folder), table.columns[roles(table.columns)["image"]]
    with tables.writing(target) as aside:
        if kind == manifest.suffix.lower() == PARQUET:
            return manifests.change(manifest, aside, lambda group, first: _group(group, first, said, image, moved))
        rows = _judged(manifests.rows(manifest, table), said, image, moved)
        return manifests.write(rows, target, aside, verbatim=manifest.suffix.lower() in LINES)


def obstacle(store: Store, kind: str) -> str:
    """Why no copy that ends in `kind` can be written, "" where nothing is in the way; said before one is asked for.

    The manifest is hashed, and of a Parquet the first picture is read.
    """
    if not (then := str(store.meta.get("manifest_digest") or "")):
        return ""
    manifest = _data(store)
    try:
        _check(manifest, Path(f"copy{kind}"), then)
        if manifest.suffix.lower() == PARQUET and kind != PARQUET and _holds_pictures(manifest):
            return f'"{shorten(manifest.name)}" holds the pictures themselves, and {kind} can\'t; take {PARQUET}.'
    except FusionError as error:
        return str(error)
    return ""


def _holds_pictures(manifest: Path) -> bool:
    """Whether the first row of a Parquet has the bytes of its picture, and no path."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(manifest)
    image = file.schema_arrow.names[roles(file.schema_arrow.names)["image"]]
    for batch in file.iter_batches(batch_size=1, columns=[image]):
        cell = batch.column(0)[0].as_py()
        return isinstance(cell, bytes) or (isinstance(cell, dict) and bool(cell.get("bytes")))
    return False


def _data(store: Store) -> Path:
    return Path(str(store.meta.get("data", ""))).expanduser()


def _check(manifest: Path, target: Path, then: str) -> None:
    """Raises FusionError where the manifest is not there, not the one of the run, or would be overwritten."""
    name = shorten(manifest.name)
    if not manifest.is_file():
        raise FusionError(f'The manifest "{name}" is not there any more; put it back.')
    if target.resolve() == manifest.resolve():
        raise FusionError(f'"{name}" is the manifest itself; give its copy another name.')
    if (now := file_digest(manifest)) != then:
        raise FusionError(
            f'The manifest "{name}" changed since the run (hash {then[:12]} then, {now[:12]} now); put the old one '
            "back, or run it again."
        )


def _looked_at(table: Table, manifest: Path) -> dict[int, str]:
    """{number: id} of the rows that the run looked at: of those of one id, the first that has the most of a pair."""
    where, pictures = roles(table.columns), Pictures(manifest.parent)
    ids = {number: _id(table, where, number, cells) for number, cells in table.rows}
    often, best = Counter(ids.values()), dict[str, tuple[int, int]]()
    for number, cells in table.rows:
        if often[id := ids[number]] > 1:
            best[id] = max(best.get(id, (-1, 0)), (halves(cells, where, pictures), -number))
    return {number: id for number, id in ids.items() if often[id] == 1 or best[id][1] == -number}


def _id(table: Table, where: dict[str, int], number: int, cells: Sequence[Any]) -> str:
    """What the reader of pairs calls a row."""
    given = writable(plain(cells[where["id"]]).strip()) if "id" in where else ""
    return given or f"{table.place}{number}"


def _mover(before: Path, after: Path | None) -> Callable[[Any], Any]:
    """What makes the cell of a picture that of another folder; bytes and whole paths stay."""
    before, after = before.resolve(), (after or before).resolve()

    def moved(cell: Any) -> Any:
        if isinstance(cell, dict) and not cell.get("bytes"):
            return {**cell, "path": moved(cell.get("path"))}
        if not isinstance(cell, str) or not (written := cell.strip()) or before == after or Path(written).is_absolute():
            return cell
        return Path(os.path.relpath(before / written.replace("\\", "/"), after)).as_posix()

    return moved


def _judged(made: Rows, said: Mapping[int, Said], image: str = "", moved: Callable[[Any], Any] | None = None) -> Rows:
    """The rows that stay, with what was said of them, and their pictures where they are from another folder."""
    verdict, note = ours = distinct([*made.names, VERDICT, NOTE])[-2:]
    at = made.names[list(made.called).index(image)] if moved is not None else ""

    def kept() -> Iterator[tuple[int, Row]]:
        for number, row in made.rows:
            told = said.get(number, NOTHING)
            if told[0] == GONE:
                continue
            if not isinstance(row, str):
                row |= {verdict: told[0], note: told[1]}
                if moved is not None and at in row:
                    row[at] = moved(row[at])
            yield number, row

    return Rows([*made.called, *ours], [*made.names, *ours], kept())


def _group(group: Any, first: int, said: Mapping[int, Said], image: str, moved: Callable[[Any], Any]) -> Any:
    """As `_judged`, of a pyarrow.Table whose types stay."""
    import pyarrow as pa

    told = [said.get(first + at, NOTHING) for at in range(len(group))]
    at = group.schema.names.index(image)
    field = group.schema.field(at)
    if not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type):
        cells = group.column(at).to_pylist()
        if (there := [moved(cell) for cell in cells]) != cells:
            group = group.set_column(at, field, pa.array(there, field.type))
    for which, name in enumerate(distinct([*group.schema.names, VERDICT, NOTE])[-2:]):
        group = group.append_column(name, pa.array([one[which] for one in told], pa.string()))
    return group.filter(pa.array([one[0] != GONE for one in told], pa.bool_()))


def _of_samples(store: Store, folder: Path | None) -> Rows:
    """A table of the samples themselves."""
    names = ["id", "split"]
    cells: list[Sequence[Any]] = [store.column(name).tolist() for name in names]
    if store.meta.get("kind") == "pairs":
        dataset = open_data(str(store.meta.get("data", "")))
        if dataset.digest != store.meta.get("data_digest"):
            raise FusionError(
                f'"{dataset.name}" changed since the run (hash {str(store.meta.get("data_digest"))[:12]} then, '
                f"{dataset.digest[:12]} now); put back what it was, or run it again."
            )
        samples = [dataset.get(id) for id in cells[0]]
        names += ["image", "text"]
        cells += [[_place(one.image(), folder) for one in samples], [one.text() for one in samples]]
    rows = (dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True))
    return Rows(names, names, enumerate(rows))


def _place(image: Image | None, folder: Path | None) -> str:
    if image is None or image.path is None:
        return ""
    whole = image.path.resolve()
    return (whole if folder is None else Path(os.path.relpath(whole, folder))).as_posix()
