"""What a whole data set gave under a checkpoint, kept by content: a table of rows, its tensors, and a few facts.

A folder of rows.parquet, meta.json and, in the user's folder alone, vectors.safetensors: where vectors are wanted
elsewhere they are made again from the checkpoint. One bundled with a checkpoint is found before the user's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.files import atomic_folder, digest, home

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

VECTORS = "vectors.safetensors"


def key(what: str, checkpoint: Checkpoint, dataset: DataSet) -> str:
    """The content that it is of; what: the kind and version of the table."""
    return digest(what, checkpoint.digest, dataset.digest)[:24]


def place(what: str, checkpoint: Checkpoint, dataset: DataSet, *, bundled: bool) -> Path:
    """The folder beside the checkpoint, or the one in the user's folder."""
    if bundled:
        return checkpoint.folder / "observations" / dataset.key
    return home() / "observations" / key(what, checkpoint, dataset)


def found(what: str, checkpoint: Checkpoint, dataset: DataSet) -> Iterator[tuple[Path, dict[str, Any], pd.DataFrame]]:
    """Folder, facts and table of each place that holds this content; one that can't be read is as good as none."""
    import pandas as pd  # slow to import

    for bundled in (True, False):
        folder = place(what, checkpoint, dataset, bundled=bundled)
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            if meta["key"] != key(what, checkpoint, dataset):
                continue
            frame = pd.read_parquet(folder / "rows.parquet")
        except (OSError, ValueError, KeyError, TypeError):  # none, or half removed by hand: it is made again
            continue
        yield folder, meta, frame


def put(
    what: str, checkpoint: Checkpoint, dataset: DataSet, frame: pd.DataFrame, meta: Mapping[str, Any],
    vectors: Mapping[str, Tensor], *, bundled: bool,
) -> None:  # fmt: skip
    """Write a folder at once. vectors: by name, as they are; not written where they would be bundled."""
    from safetensors.torch import save_file

    told = {"key": key(what, checkpoint, dataset), "data": dataset.key, "checkpoint": checkpoint.name, **meta}
    with atomic_folder(place(what, checkpoint, dataset, bundled=bundled)) as aside:
        frame.to_parquet(aside / "rows.parquet", index=False, compression="zstd")
        if not bundled:
            save_file({name: value.cpu().contiguous() for name, value in vectors.items()}, aside / VECTORS)
        (aside / "meta.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
        for path in (aside, *aside.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)


def vectors(folder: Path) -> dict[str, Tensor] | None:
    """The tensors of a folder, None where they aren't there or can't be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / VECTORS)
    except (OSError, SafetensorError):
        return None
