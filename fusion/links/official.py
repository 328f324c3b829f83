"""Official IMF state dicts -> ours: IMF.pth becomes a checkpoint over the triples that it was trained on.

The file holds the tables of entities, pictures and texts, so no features are read. Nothing in it ever runs. GAT_*.pth
is the graph encoder whose rows such a run could not load: `graph_encoder` opens it for its own sake.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fusion import checkpoints
from fusion.files import file_digest
from fusion.foreign import Foreign, fill, state_dict
from fusion.models.imf import IMF
from fusion.models.imf_structure import StructureEncoder
from fusion.models.official import imf as names
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet

ROWS, GRAPH = "entity_embeddings.weight", "spgat.out_att.W"


def adopt(source: Path, destination: Path, dataset: DataSet) -> Checkpoint:
    """Turn an official IMF state dict into a checkpoint with the released switches.

    Raises FusionError on damaged or code-bearing files, tensors that are missing or unknown, another number of entities
    or relations, and for the file of the graph encoder.
    """
    if destination.exists() and any(destination.iterdir()) and not (destination / "weights.safetensors").is_file():
        raise FusionError(
            f'"{destination.name}" exists and is no checkpoint, and would be replaced; choose another folder.'
        )
    file = state_dict(source)
    if GRAPH in file.tensors:
        raise FusionError(
            f"{source.name} is the graph encoder of IMF, which predicts no links alone; adopt the IMF.pth beside it."
        )
    model = filled(file)
    _check(model, file, dataset)
    dropped = [
        f"{name} in {file.name}, which no output reads: 1 tensor, {file.tensors[name].numel():,} numbers"
        for name in names.UNUSED
        if name in file.tensors
    ]
    origin: dict[str, Any] = {
        "kind": "adopted", "source": f"{model.card.official}: {file.name}", "official": False,
        "sha256": {source.name: file_digest(source)}, "dropped": dropped,
    }  # fmt: skip
    return checkpoints.save(
        destination, model, encoders={}, data=dataset.spec, metrics={}, card=_card(destination.name, origin),
        origin=origin,
    )  # fmt: skip


def filled(file: Foreign) -> IMF:
    """The model of a state dict, in evaluation mode. Raises FusionError where its tensors aren't those of IMF."""
    if file.axis(ROWS, 1) is None or file.axis("relation_embeddings.weight", 1) is None:
        raise FusionError(f"{file.name} has no tables of entities and relations; save the state dict of the whole IMF.")
    with torch.device("meta"):
        model = IMF(names.config(file.tensors))
    state = fill(file, model.state_dict(), names.official_name, names.UNUSED)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def graph_encoder(source: Path) -> StructureEncoder:
    """The graph encoder of a GAT_*.pth, in evaluation mode. Raises FusionError where its tensors aren't those."""
    file = state_dict(source)
    if file.axis("entity_embeddings", 1) is None or file.axis("relation_embeddings", 1) is None:
        raise FusionError(f"{file.name} has no tables of the graph encoder; use a GAT_*.pth of the official program.")
    with torch.device("meta"):
        encoder = StructureEncoder(names.structure_config(file.tensors))
    state = fill(file, encoder.state_dict(), names.structure_name, names.OVERWRITTEN)
    encoder.load_state_dict(state, assign=True)
    return encoder.eval().requires_grad_(False)


def _check(model: IMF, file: Foreign, dataset: DataSet) -> None:
    triples = dataset.triples
    if triples is None:
        raise FusionError(f'"{dataset.name}" holds no triples; name those that {file.name} was trained on: '
                          "--data triples:PATH.")  # fmt: skip
    said = model.config.entities, model.config.relations
    if said != (len(dataset), len(triples.relations)):
        raise FusionError(
            f'{file.name} knows {said[0]} entities and {said[1]} relations, and "{dataset.name}" has {len(dataset)} '
            f"and {len(triples.relations)}; open the data that it was trained on, with nothing left out."
        )


def _card(name: str, origin: Mapping[str, Any]) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    return f"""# {name}

Adopted from a file in the format of the official program ({IMF.card.official}), which published no weights: these can't
be compared with published ones, and are not called official. Licence: what their owner says.

Switches as released. The tables of pictures and texts are those of the file, trained like the others, so an image or a
text that is dropped changes nothing. Rows are entities in the order of the data's own files: another order gives
numbers that look plausible and mean nothing.

## Files
{hashes}

## Left out, because nothing reads it
{dropped}

## Figures
None: nothing was measured here. `python -m fusion evaluate` measures it on its data.
"""
