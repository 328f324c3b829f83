"""Official MCLEA and MEAformer state dicts -> ours, with the data they were trained on: they hold no features.

A file says its sizes by the shapes of its tensors. What it doesn't say must be told: the modalities that were read
(MEAformer's layers of names are there even where they weren't), the heads of the transformer, and features that this
program can't compute. `*_wight_dic.pkl` of MEAformer, its meta weights, fixes how many modalities there are and is
compared with the weights that the adopted model gives. Nothing in a file ever runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fusion import checkpoints
from fusion.alignment.inputs import GRAPH, encoders_of, everything
from fusion.alignment.inspection import FILE
from fusion.data.feature_files import read
from fusion.data.graph_features import graph_features
from fusion.files import file_digest
from fusion.foreign import Foreign, arrays, fill, state_dict
from fusion.models.mclea import MCLEA
from fusion.models.mclea import Config as MCLEAConfig
from fusion.models.meaformer import Config as MEAformerConfig
from fusion.models.meaformer import MEAformer
from fusion.models.official import entities, meaformer
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.data.graph_features import GraphFeatures
    from fusion.models.base import FusionModel

KEPT = "meta_weights.safetensors"  # the official weights, beside our own
EMBEDDING = "entity_emb.weight"


def adopt(
    source: Path, destination: Path, dataset: DataSet, *, modalities: Sequence[str] = (), heads: int = 1,
    files: Sequence[Path] = (), weights: Path | None = None,
) -> Checkpoint:  # fmt: skip
    """Turn an official state dict into a checkpoint, with the released switches and copies of the feature files.

    modalities: those that were read, in any order; by default all that `weights` counts, or, for MCLEA, all that the
    file has layers of. heads: of MEAformer's transformer. files: features of `dataset`, see docs/feature-files.md.
    Raises FusionError on damaged or code-bearing files, tensors that are missing or unknown, another number of
    entities, and features of another width.
    """
    _check_destination(destination)
    file = state_dict(source, meaformer.PREFIX)
    given = _given(weights) if weights is not None else None
    read_ = _modalities(file, modalities, given)
    config = _config(file, read_, heads)
    if config.entities != len(dataset):
        raise FusionError(
            f'{file.name} has a vector for each of {config.entities} entities and "{dataset.name}" has {len(dataset)}; '
            "open the data that it was trained on, both graphs of it, with nothing left out."
        )
    model, dropped = _filled(file, config)
    features = _features(dataset, config, files)
    named = encoders_of(features, read_) | _copies(dataset, files)
    origin: dict[str, Any] = {
        "kind": "adopted", "source": f"{model.card.official}: {file.name}", "official": False,
        "sha256": {path.name: file_digest(path) for path in (source, *files, *([weights] if weights else []))},
        "dropped": dropped, "counted_here": [m for m in read_ if features.sources.get(m) == "counts"],
    }  # fmt: skip
    if given is not None:
        origin["meta_weights"] = _agreement(model, dataset, features, given)

    def beside(aside: Path) -> None:
        for number, path in enumerate(files, 1):
            shutil.copyfile(path, aside / _copied(number, path))
        if given is not None:
            save_file({"meta_weight": given}, aside / KEPT)

    return checkpoints.save(
        destination, model, encoders=named, data=dataset.spec, metrics={}, card=_card(destination.name, model, origin),
        origin=origin, fill=beside,
    )  # fmt: skip


def _check_destination(destination: Path) -> None:
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    if not all((destination / name).is_file() for name in ("config.json", "weights.safetensors")):
        raise FusionError(
            f'"{destination.name}" exists and is no checkpoint, and would be replaced; choose another folder.'
        )


def _given(path: Path) -> Tensor:
    """Meta weights of all entities (N, M), from a dictionary of them. Raises FusionError when they are none."""
    found = arrays(path).get("all")
    if found is None or found.ndim != 2 or found.shape[1] not in (4, 6):
        raise FusionError(f'{path.name} has no table "all" of 4 or 6 weights an entity; use *_wight_dic.pkl.')
    weights = found.float()
    if bool((weights < 0).any()) or not torch.allclose(weights.sum(1), torch.ones(len(weights)), atol=1e-3):
        raise FusionError(f"The rows of {path.name} are no weights: they don't sum to one. Use *_wight_dic.pkl.")
    return weights.contiguous()


def _modalities(file: Foreign, told: Sequence[str], given: Tensor | None) -> tuple[str, ...]:
    """Which modalities the run read, in the order of its stack."""
    order = entities.FUSION_ORDER
    unknown = [m for m in told if m not in order]
    if unknown:
        raise FusionError(f'The official programs have no modality "{unknown[0]}"; they have {", ".join(order)}.')
    if told:
        found = tuple(m for m in order if m in told)
    elif given is not None:
        found = order[: given.shape[1]]
    elif _is_meaformer(file):
        raise FusionError(
            f"{file.name} doesn't say which modalities were read: its layers of names are there even where they "
            "weren't. Name them with --modalities, or give its *_wight_dic.pkl with --weights."
        )
    else:
        found = tuple(m for m in order if m == GRAPH or f"{entities.SHORT[m]}_fc.weight" in file.tensors)
    if given is not None and len(found) != given.shape[1]:
        raise FusionError(f"The weights are of {given.shape[1]} modalities, and {len(found)} were named; name those.")
    lacking = [f"{entities.SHORT[m]}_fc.weight" for m in found if m != GRAPH]
    lacking = [name for name in (EMBEDDING, *lacking) if file.axis(name, 1) is None]
    if lacking or GRAPH not in found:
        what = f"lacks {', '.join(lacking)}" if lacking else "is read without its graph"
        raise FusionError(f"{file.name} {what}; name the modalities of the run with --modalities, graph among them.")
    return found


def _is_meaformer(file: Foreign) -> bool:
    return any(name.startswith("fusion.fusion_layer.") for name in file.tensors)


def _config(file: Foreign, modalities: tuple[str, ...], heads: int) -> Any:  # Any: a Config of either system
    """Sizes by shapes, switches as released. Raises FusionError when a tensor that fixes a size isn't there."""
    try:
        if _is_meaformer(file):
            return MEAformerConfig.released(**meaformer.settings(file.tensors, modalities, heads))
        layers = {m for m in modalities if f"{entities.SHORT[m]}_pro.l1.weight" in file.tensors}
        return MCLEAConfig.released(
            **entities.sizes(file.tensors, modalities), widths=entities.widths(file.tensors, modalities),
            name_width="own", projected=tuple(m for m in modalities if m in layers),
        )  # fmt: skip
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, FusionError):
            raise
        raise FusionError(
            f"{file.name} lacks a tensor of the graph encoder, or has one of another shape ({error}); save the state "
            "dict of the whole model."
        ) from None


def _filled(file: Foreign, config: Any) -> tuple[FusionModel, list[str]]:  # Any: as above
    """The model with its weights, and a line a group of tensors that nothing reads."""
    kind: Any = MEAformer if isinstance(config, MEAformerConfig) else MCLEA  # Any: each takes its own Config
    own_name = meaformer.official_name if kind is MEAformer else entities.official_name
    with torch.device("meta"):
        model = kind(config)
    wanted, tensors = model.state_dict(), dict(file.tensors)
    for own, (name, order) in entities.SLOTTED.items():
        if own in wanted and name in tensors:
            if tensors[name].numel() != len(order):
                raise FusionError(
                    f"{name} in {file.name} has {tensors[name].numel()} numbers; it should have {len(order)}, one a "
                    "modality."
                )
            tensors[name] = entities.from_official(own, tensors[name], config.slotted)
    away = [entities.SHORT[m] for m in entities.FUSION_ORDER if m not in config.modalities]
    unread = tuple(f"{short}_{kind_}." for short in away for kind_ in ("fc", "pro"))
    groups = {f"layers of modalities that were not read in {file.name}": unread}
    if kind is MEAformer and config.inner_width == 0:
        layers = range(config.fusion_layers)
        groups[f"feed-forward parts of {file.name} that were switched off"] = tuple(
            f"fusion.fusion_layer.{i}.{part}." for i in layers for part in ("intermediate", "output")
        )
    every = tuple(start for starts in groups.values() for start in starts)
    state = fill(
        replace(file, tensors=tensors), wanted, lambda own: own_name(own).removeprefix(meaformer.PREFIX), every
    )
    model.load_state_dict(state, assign=True)
    dropped = []
    for what, starts in groups.items():
        found = [value for name, value in tensors.items() if starts and name.startswith(starts)]
        if found:
            dropped.append(f"{what}: {len(found)} tensors, {sum(value.numel() for value in found):,} numbers")
    return model.eval().requires_grad_(False), dropped


def _features(dataset: DataSet, config: Any, files: Sequence[Path]) -> GraphFeatures:  # Any: as above
    """What the model reads, checked against the widths of its layers."""
    widths = dict(zip(config.modalities, config.input_widths, strict=True))
    wanted = [m for m in config.modalities if m != GRAPH]
    ids = [sample.id for sample in dataset.samples]
    held = {m for path in files for m in read(path, ids, {m: widths[m] for m in wanted})}
    if "char" in wanted and "char" not in held:
        raise FusionError(
            "Pairs of letters have columns in the order of the official program, which its file doesn't hold; give "
            "them in a feature file with --features (docs/feature-files.md)."
        )
    return graph_features(dataset, wanted, files=files, widths={m: widths[m] for m in wanted})


def _copied(number: int, path: Path) -> str:
    return f"features-{number}{path.suffix}"


def _copies(dataset: DataSet, files: Sequence[Path]) -> dict[str, str]:
    """{m: the file inside the checkpoint that holds it}"""
    ids = [sample.id for sample in dataset.samples]
    return {m: FILE + _copied(number, path) for number, path in enumerate(files, 1) for m in read(path, ids)}


def _agreement(model: FusionModel, dataset: DataSet, features: GraphFeatures, given: Tensor) -> dict[str, float]:
    """How far the official weights are from those of the adopted model. Raises FusionError for another N."""
    if len(given) != len(dataset):
        raise FusionError(f"The weights are of {len(given)} entities and the data has {len(dataset)}; use one run's.")
    with torch.inference_mode():
        tables: Mapping[str, Tensor] = model.tables(everything(dataset, features))  # type: ignore[operator]
    if "meta_weight" not in tables:
        raise FusionError("Only MEAformer has a weight for each entity; leave --weights out for this file.")
    apart = (tables["meta_weight"] - given).abs()
    return {"largest_difference": float(apart.max()), "mean_difference": float(apart.mean())}


def _card(name: str, model: FusionModel, origin: Mapping[str, Any]) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    counted = ", ".join(origin["counted_here"])
    order = (
        f"""
Counted here, not read from the run: {counted}. The most frequent come first, as in the official program; where two are
equally frequent, their columns may be the other way round.
"""
        if counted
        else ""
    )
    compared = origin.get("meta_weights")
    weights = (
        f"""
Its meta weights, kept beside ours: the largest difference is {compared["largest_difference"]:.2g}, the mean one
{compared["mean_difference"]:.2g}. Large ones mean other features, another order of entities, or other modalities.
"""
        if compared
        else ""
    )
    return f"""# {name}

Adopted from a file in the format of the official program ({model.card.official}), which published no weights: these
can't be compared with published ones, and are not called official. Licence: what their owner says.

Switches as released; modalities: {", ".join(model.config.modalities)}.
{order}{weights}
## Files
{hashes}

## Left out, because nothing reads it
{dropped}

## Figures
None: nothing was measured here. `python -m fusion evaluate` measures it on its data.
"""
