"""From two graphs to a checkpoint with honest figures: what `train` and `evaluate` do for models that align."""

from __future__ import annotations

import dataclasses
import shutil
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fusion import checkpoints, histories, jobs
from fusion.alignment import card
from fusion.alignment.evaluation import figures, margin, stability
from fusion.alignment.inputs import GRAPH, encoders_of, everything, start_linear
from fusion.alignment.inspection import FILE, Aligner
from fusion.alignment.training import AlignmentEpoch, AlignmentRecipe, fit
from fusion.alignment.whole import whole
from fusion.data import open_data
from fusion.data.graph_features import graph_features
from fusion.files import home
from fusion.models import MODELS
from fusion.models.entities import MODALITIES
from fusion.settings import known_names, parsed
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.alignment.inputs import EntityModel
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet
    from fusion.data.graph_features import GraphFeatures
    from fusion.models.entities import EntityConfig
    from fusion.types import Batch

FEATURES = "features"  # folder of feature files inside a checkpoint
LEFT_OUT = {"emoji": ("attribute", "relation", "description", "char")}  # why: docs/decisions/0013
WIDTH = 256  # D of every modality of MEAformer, and of MCLEA's wider features
DEFAULTS: dict[str, Any] = {"missing": "masked", "relation_scaling": "log", "pairs": 512}
# phi would fall where a loss is high (docs/decisions/0013)
MEAFORMER: dict[str, Any] = {"width": WIDTH, "detach_phi": True}
Say = Callable[[str], None]


def defaults(system: str) -> dict[str, Any]:
    """The settings that a training of a system starts from, where they are not those of its own fields."""
    return DEFAULTS | (MEAFORMER if system == "meaformer" else {})


@dataclass(frozen=True)
class Task:
    """What a run reads: the data set, its features, and how links are split."""

    dataset: DataSet
    features: GraphFeatures
    batch: Batch
    files: tuple[Path, ...] = ()

    def pairs(self, split: str) -> Tensor:
        """(P, 2) int. Raises FusionError when there is none."""
        assert self.dataset.graph is not None, "everything() takes nothing else"
        found = self.dataset.graph.pairs(split)
        if len(found) < 2:
            raise FusionError(
                f'"{self.dataset.name}" has {len(found)} {split} links; two are needed to train, to choose and to '
                "test. Give more links."
            )
        return torch.from_numpy(found).long()


def train(
    key: str, data: str, *, name: str | None = None, seed: int = 37, seeds: int = 1, resume: bool = False,
    say: Say = print, files: Sequence[Path] = (), settings: Mapping[str, str] | None = None,
    wanted: Mapping[str, Any] | None = None,
) -> Checkpoint:  # fmt: skip
    """Train on the train links, choose the epoch on the held-out ones, measure on those to test, save with a card.

    seeds: how many runs, seed, seed + 1, ...; the first one is kept under the name, whatever the others reach.
    settings: fields of the model's Config or of the recipe as text; wanted: fields of the recipe, None as it is.
    Raises FusionError for data, settings or features that don't fit, before anything is trained.
    """
    settings = dict(settings or {})
    # "width" sets those of MCLEA at once
    known_names(settings, MODELS[key].Config, AlignmentRecipe, more=("width",), less=("entities", "rates", "flatten"))
    task = _task(data, settings, files, say)
    config, recipe = _configured(key, task, settings)
    recipe = replace(recipe, **{k: v for k, v in (wanted or {}).items() if v is not None}, seed=seed)
    title = name or f"{key}-{task.dataset.key}"
    titles = [title if i == 0 else f"{title}-{seed + i}" for i in range(seeds)]
    made = [_one(key, config, task, replace(recipe, seed=seed + i), one, resume, say) for i, one in enumerate(titles)]
    aligners = [Aligner.open(one, task.dataset) for one in made]
    found = dict(made[0].metrics)
    found["seeds"] = [{"seed": one.metrics["seed"], **_main(one.metrics["test"])} for one in made]
    assert task.dataset.graph is not None
    pairs = task.dataset.graph.pairs("test")
    hits = [whole(one).frame["rank"].to_numpy()[pairs[:, 0]] <= 1 for one in aligners]
    found["margin"] = margin(hits, task.features, pairs, config.modalities)
    if seeds > 1:
        found["stability"] = stability([one.weights for one in aligners], config.modalities, pairs.ravel())
        found["faithful_seeds"] = [one.metrics["test"]["faithful"] for one in made]
    return _save(aligners[0].model, task, title, recipe, found)  # type: ignore[arg-type]  # of the same system


def _main(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: found[k] for k in ("hits1", "hits5", "hits10", "mrr", "back_hits1", "back_mrr")}


def _task(data: str, settings: dict[str, str], files: Sequence[Path], say: Say) -> Task:
    """Open and check everything that a run reads."""
    dataset = open_data(data)
    for problem in dataset.problems:
        say(problem)
    if dataset.graph is None:
        raise FusionError(
            f'"{dataset.name}" holds no graphs to align; train on emoji, or on a folder: dbp15k:PATH, fb15k_db15k:PATH.'
        )
    checked(dataset)
    asked = settings.pop("modalities", "")
    chosen = [m.strip() for m in asked.split(",") if m.strip()]
    if len(set(chosen)) < len(chosen):
        raise FusionError(f'modalities="{asked}" names one twice; name each once.')
    say(f"Features of {len(dataset)} entities (kept for the next time)...")
    read = [m for m in chosen if m != GRAPH] if chosen else None
    features = graph_features(dataset, read, files=files)
    left_out = LEFT_OUT.get(dataset.key, ("description",)) if not chosen else ()
    kept = [m for m in features.modalities if m not in left_out]
    if not chosen:
        chosen = [m for m in MODALITIES if m in (*kept, GRAPH)] + [m for m in kept if m not in MODALITIES]
    features = replace(
        features, features={m: features.features[m] for m in features.features if m in chosen},
        known={m: features.known[m] for m in features.known if m in chosen},
    )  # fmt: skip
    settings["modalities"] = ",".join(chosen)
    return Task(dataset, features, everything(dataset, features), tuple(files))


def checked(dataset: DataSet) -> None:
    """No entity may be in two links: one of them could train on what the other tests. Raises FusionError."""
    assert dataset.graph is not None
    entities, times = np.unique(dataset.graph.links, return_counts=True)
    if (times > 1).any():
        row = int(entities[times > 1][0])
        raise FusionError(
            f'{int((times > 1).sum())} entities are in more than one link, such as "{dataset.samples[row].id}": what '
            "is trained on would give away what is tested. Keep one link of each."
        )


def _configured(key: str, task: Task, settings: Mapping[str, str]) -> tuple[EntityConfig, AlignmentRecipe]:
    """The model's settings and the recipe: our defaults for these features, then what was asked for."""
    kind, modalities = MODELS[key].Config, tuple(settings["modalities"].split(","))
    widths, width = task.features.widths, parsed("width", settings.get("width", str(WIDTH)), int)
    inputs = tuple(width if m == GRAPH else widths[m] for m in modalities)
    values: dict[str, Any] = {
        "entities": len(task.dataset), "input_widths": inputs, "hidden_widths": (width,), **DEFAULTS,
    }  # fmt: skip
    if key == "mclea":
        values["widths"] = tuple(width if m == GRAPH else min(width, widths[m]) for m in modalities)
    else:
        values |= MEAFORMER | {"width": width}
    recipe: dict[str, Any] = {}
    fields = {f.name for f in dataclasses.fields(kind)}
    told = typing.get_type_hints(kind) | typing.get_type_hints(AlignmentRecipe)
    for name, text in settings.items():
        if name in told:
            (values if name in fields else recipe)[name] = parsed(name, text, told[name])
    return kind(**values), replace(AlignmentRecipe(), **recipe)


def _one(
    key: str, config: EntityConfig, task: Task, recipe: AlignmentRecipe, title: str, resume: bool, say: Say
) -> Checkpoint:
    """One seed, trained, saved and measured."""
    folder, target = home() / "runs" / title, home() / "checkpoints" / title
    if resume and (target / "config.json").exists() and not (folder / "state.pt").exists():
        done = checkpoints.read(target)
        if done.metrics.get("seed") == recipe.seed and dict(done.config) == _plain(config):
            say(f"{title} was trained already.")
            return done
    if not resume:
        (folder / "state.pt").unlink(missing_ok=True)
        histories.begin(folder)
    model, epoch = run(key, config, task, recipe, folder, say)
    found: dict[str, Any] = {"seed": recipe.seed, "epoch": epoch.chosen, "pairs": epoch.pairs}
    found |= {"valid": epoch.scores, "seconds": round(epoch.seconds), "recipe": dataclasses.asdict(recipe)}
    saved = _save(model, task, title, recipe, found)
    say("Measuring on the links to test...")
    found["test"] = figures(Aligner.open(saved, task.dataset))  # half precision: what is measured is what is kept
    found["test"]["found"] = _right(task, epoch)
    made = _save(model, task, title, recipe, found)
    (folder / "state.pt").unlink(missing_ok=True)
    return made


def _plain(config: EntityConfig) -> dict[str, Any]:
    """As it is read back from JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def run(
    key: str, config: EntityConfig, task: Task, recipe: AlignmentRecipe, folder: Path | None, say: Say
) -> tuple[EntityModel, AlignmentEpoch]:
    """Train a new model. -> it as it was at its best check, and that epoch with the seconds of all"""
    torch.manual_seed(recipe.seed)
    model: EntityModel = MODELS[key](config)  # type: ignore[assignment]  # the callers check the task
    if recipe.start:
        start_linear(model, task.batch, dict(recipe.flatten))
    links = task.pairs("train"), task.pairs("valid")
    say(
        f"{len(links[0])} links to train on, {len(links[1])} to choose by; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, seed {recipe.seed}."
    )
    started, last, chosen = time.perf_counter(), None, None
    for last in fit(model, task.batch, *links, recipe, folder=folder):
        jobs.report(last.number, recipe.epochs, "training")
        histories.add(folder, "training", last.number, last.losses, last.scores, best=last.best)
        if last.best:
            chosen = last
        if last.scores:
            losses = f"loss {sum(last.losses.values()):.3f}  " if last.losses else ""
            scores = "  ".join(f"{k} {v:.3f}" for k, v in last.scores.items())
            say(
                f"epoch {last.number}/{recipe.epochs}  {losses}{scores}  {last.pairs} pairs  "
                f"{time.perf_counter() - started:.0f} s{' *' if last.best else ''}"
            )
    if last is None:
        raise FusionError("The run had ended already; train again without --resume.")
    model.load_state_dict(last.state)
    best = chosen or last
    return model.cpu().eval(), replace(
        best, chosen=last.chosen, seconds=time.perf_counter() - started, pairs=last.pairs, found=last.found
    )


def _right(task: Task, epoch: AlignmentEpoch) -> dict[str, Any]:
    """How many pairs iterative learning took up, and of those with a link how many are it."""
    assert task.dataset.graph is not None
    pairs = [] if epoch.found is None else epoch.found.cpu().tolist()
    partners = [(task.dataset.graph.partner(a), task.dataset.graph.partner(b), b) for a, b in pairs]
    linked = [one for one in partners if one[0] is not None or one[1] is not None]
    return {"pairs": len(pairs), "linked": len(linked), "right": sum(a == b for a, _, b in linked)}


def _save(model: EntityModel, task: Task, title: str, recipe: AlignmentRecipe, found: dict[str, Any]) -> Checkpoint:
    """Write the checkpoint with its figures, card and feature files."""
    names = {path: f"{FEATURES}/{i}-{path.name}" for i, path in enumerate(task.files)}
    encoders = encoders_of(task.features, model.config.modalities)
    given = {} if not names else _given(task, names)

    def fill(aside: Path) -> None:
        for path, name in names.items():
            (aside / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, aside / name)

    return checkpoints.save(
        home() / "checkpoints" / title, model, encoders=encoders | given, data=task.dataset.spec or task.dataset.key,
        metrics=found, card=card.write(task.dataset, model, recipe, found),
        origin={"trained": "here", "seed": recipe.seed, "digest": task.dataset.digest}, half=True, fill=fill,
    )  # fmt: skip


def _given(task: Task, names: Mapping[Path, str]) -> dict[str, str]:
    """{m: "file:NAME"} of the modalities that came from feature files."""
    from fusion.data.feature_files import read

    ids = list(task.features.ids)
    return {m: FILE + name for path, name in names.items() for m in read(path, ids, None)}


def evaluate(checkpoint: Checkpoint, data: str | None, split: str) -> dict[str, Any]:
    """Figures of a checkpoint on a split of its data set, or of the same data set opened from elsewhere."""
    dataset = open_data(data or checkpoint.data)
    return {"checkpoint": checkpoint.name, "data": dataset.key, **figures(Aligner.open(checkpoint, dataset), split)}
