"""From a set of sequences to a checkpoint with honest figures: what `train` and `evaluate` do for streams."""

from __future__ import annotations

import dataclasses
import sys
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fusion import checkpoints, histories, jobs, types
from fusion.data import DataSet, open_data
from fusion.files import digest, home
from fusion.metrics.intervals import paired_bootstrap
from fusion.models import MODELS
from fusion.models.base import ClosedForm
from fusion.settings import known_names, parsed
from fusion.signals import Canonical
from fusion.streams import card, spaces
from fusion.streams.baselines import all_ridges, pooled
from fusion.streams.evaluation import answers, curve, figures, figures_of, prior
from fusion.streams.inputs import Scale, Streams, read
from fusion.streams.probe import Probed, probed
from fusion.streams.training import StageEpoch, StreamRecipe, fit
from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.models.base import FusionModel

SCALE = "scale.safetensors"  # of the features, beside the weights
NETWORKS = ("early", "late")  # trained beside as baselines, with the same recipe and seeds
CURVE_SEEDS = (0, 1, 2)
ROUNDS = 200  # of a permutation test
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What a run reads: the data set, and its samples on the scale of those to train on."""

    dataset: DataSet
    streams: Streams

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest score."""
        assert self.dataset.streams is not None, "read() takes nothing else"
        return self.dataset.streams.scale

    @property
    def words(self) -> tuple[str, ...]:
        """Names of parts of the scale, where scores have them."""
        return () if self.dataset.streams is None or self.streams.classes else self.dataset.streams.words


def train(
    key: str, data: str, *, name: str | None = None, seed: int = 37, seeds: int = 1, resume: bool = False,
    say: Say = print, settings: Mapping[str, str] | None = None, wanted: Mapping[str, Any] | None = None,
) -> Checkpoint:  # fmt: skip
    """Train on the train samples, choose the epoch on the valid ones, measure on those to test, save with a card.

    seeds: how many runs, seed, seed + 1, ...; the first one is kept under the name, whatever the others reach; the
    baselines are trained with the same seeds. settings: fields of the model's Config or of the recipe as text, and
    `modalities`, which of the data set's to read; wanted: fields of the recipe, None as it is.
    Raises FusionError for data or settings that don't fit, before anything is trained.
    """
    settings = dict(settings or {})
    kind: Any = MODELS[key].Config
    known_names(settings, kind, StreamRecipe, less=("widths", "steps", "classes", "rates", "text_rate", "noise"))
    task = opened(data, settings, say, raw="likelihoods" in {f.name for f in dataclasses.fields(kind)})
    if not task.streams.labelled and types.Task.REPRESENTATION not in MODELS[key].card.tasks:
        raise FusionError(
            f'"{task.dataset.name}" has no labels, and {MODELS[key].card.name} learns from them; choose a system of a '
            "shared space (mcca, kcca, mvae, mmvae, mopoe), or label some samples."
        )
    config, recipe = _configured(kind, task, settings, wanted or {})
    title = name or f"{key}-{task.dataset.key}"
    numbers = range(seed, seed + seeds)
    titles = [title if number == seed else f"{title}-{number}" for number in numbers]
    made = [
        _one(key, config, task, replace(recipe, seed=number), one, resume, say)
        for number, one in zip(numbers, titles, strict=True)
    ]
    models = [load(one) for one in made]
    found = dict(made[0].metrics)
    if task.streams.labelled:
        found["seeds"] = [{"seed": one.metrics["seed"], **_main(one.metrics["test"])} for one in made]
        found |= _compared(key, task, recipe, models, numbers, say)
    return _save(models[0], task, title, recipe, found)


def opened(data: str, settings: dict[str, str], say: Say = lambda _: None, *, raw: bool = False) -> Task:
    """Open and check everything that a run reads; takes `modalities` out of the settings.

    raw: whether pictures and letters stay as they are, for a system that makes them.
    """
    dataset = open_data(data)
    for problem in dataset.problems:
        say(problem)

    def progress(modality: str, done: int, total: int) -> None:
        jobs.report(done, total, f"encoding {modality}")

    say(f"Features of {len(dataset)} samples (what is encoded is kept for the next time)...")
    streams = read(dataset, progress)
    asked = [m.strip() for m in settings.pop("modalities", "").split(",") if m.strip()]
    unknown = [m for m in asked if m not in streams.names]
    if unknown or len(set(asked)) < len(asked):
        raise FusionError(
            f'modalities="{",".join(asked)}": "{dataset.name}" has {", ".join(streams.names)}; name each once.'
        )
    widest = parsed("widest", settings.get("widest", "0"), int)
    streams = streams.of(asked) if asked else streams
    kept = spaces.left_raw(streams) if raw else ()
    return Task(dataset, streams.scaled(widest, raw=kept, labelled=streams.labelled))


def _configured(
    kind: Any, task: Task, settings: Mapping[str, str], wanted: Mapping[str, Any]
) -> tuple[Any, StreamRecipe]:
    """The model's settings and the recipe: what the data ask for, then what was asked for."""
    streams = task.streams
    own = vars(sys.modules[kind.__module__]).get("RECIPE", {})  # of the system, where it has one of its own
    values: dict[str, Any] = {
        "modalities": streams.names, "widths": streams.widths, "steps": tuple(streams.steps[m] for m in streams.names),
        "classes": streams.classes,
    }  # fmt: skip
    fields, told_of = {f.name for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    if "likelihoods" in fields:
        values |= spaces.made_of(streams)
    recipe = {name: value for name, value in own.items() if name not in fields}
    values = {name: value for name, value in (values | own).items() if name in fields}
    told_of = typing.get_type_hints(StreamRecipe) | told_of
    for name, text in settings.items():
        (values if name in fields else recipe)[name] = parsed(name, text, told_of[name])
    recipe |= {k: v for k, v in wanted.items() if v is not None}
    if "c" in settings:
        recipe["choose_ridge"] = False  # it was asked for
    return kind(**values), replace(StreamRecipe(), **recipe)


def _one(key: str, config: Any, task: Task, recipe: StreamRecipe, title: str, resume: bool, say: Say) -> Checkpoint:
    """One seed, trained, saved and measured."""
    folder, target = home() / "runs" / title, home() / "checkpoints" / title
    if resume and (target / "config.json").exists() and not (folder / "state.pt").exists():
        done = checkpoints.read(target)
        if done.metrics.get("seed") == recipe.seed and load(done).config == config:
            say(f"{title} was trained already.")
            return done
    if not resume:
        (folder / "state.pt").unlink(missing_ok=True)
        histories.begin(folder)
    model, epoch, seconds = run(key, config, task, recipe, folder, say)
    found: dict[str, Any] = {"seed": recipe.seed, "epoch": epoch.chosen, "seconds": round(seconds)}
    found |= {"prior": prior(task.streams).tolist()} if task.streams.labelled else {}
    found |= {"scale": list(task.span), "words": list(task.words)}
    found |= {"valid": epoch.scores, "recipe": dataclasses.asdict(recipe), "classes": list(task.streams.classes)}
    saved = _save(model, task, title, recipe, found)
    stored = load(saved)  # half precision: what is measured is what is kept
    say("Measuring on the samples to test...")
    if task.streams.labelled:
        found["test"] = figures(stored, task.streams, "test", task.span, seeds=CURVE_SEEDS)
    if isinstance(stored, Probed) or not task.streams.labelled:
        found["space"] = spaces.figures(stored, task.streams, "test", say)
    made = _save(stored, task, title, recipe, found)
    (folder / "state.pt").unlink(missing_ok=True)
    return made


def run(
    key: str, config: Any, task: Task, recipe: StreamRecipe, folder: Path | None, say: Say
) -> tuple[FusionModel, StageEpoch, float]:
    """Train a new model, told epoch by epoch. -> it as it was at its best epoch, that epoch, seconds in all"""
    torch.manual_seed(recipe.seed)
    model = MODELS[key](config)
    if isinstance(model, ClosedForm):
        return _solved(model, task, recipe, say)
    labelled = model.task is not types.Task.REPRESENTATION
    count = {split: len(task.streams.rows(split, labelled=labelled)) for split in ("train", "valid")}
    say(
        f"{model.card.name}: {count['train']} samples to train on, {count['valid']} to choose by; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, seed {recipe.seed}."
    )
    best, seconds = None, 0.0
    for epoch in fit(model, task.streams, recipe, folder=folder):
        jobs.report(epoch.number, recipe.epochs, epoch.stage)
        histories.add(folder, epoch.stage, epoch.number, epoch.losses, epoch.scores, best=epoch.best)
        seconds += epoch.seconds
        if best is None or epoch.stage != best.stage or epoch.best:
            best = epoch
        scores = "  ".join(f"{k} {v:.3f}" for k, v in epoch.scores.items())
        say(
            f"{epoch.stage} {epoch.number}/{recipe.epochs}  loss {sum(epoch.losses.values()):.4f}  {scores}  "
            f"{epoch.seconds:.1f} s{' *' * epoch.best}"
        )
    assert best is not None, "an epoch comes first"
    done = model.cpu().eval()
    return _answering(done, task.streams), best, seconds


def _answering(model: FusionModel, streams: Streams) -> FusionModel:
    """A system of a shared space with its linear reader, where there are labels to read; any other as it is."""
    return probed(model, streams) if model.task is types.Task.REPRESENTATION and streams.labelled else model


def _solved(model: ClosedForm, task: Task, recipe: StreamRecipe, say: Say) -> tuple[FusionModel, StageEpoch, float]:
    """A system that is solved in one go, measured on the valid samples, with its linear reader."""
    streams, started = task.streams, time.perf_counter()
    train, valid = (streams.rows(split, labelled=False) for split in ("train", "valid"))
    say(f"{model.card.name}: {len(train)} samples to fit, {len(valid)} held out.")
    choose: Any = getattr(model, "choose_c", None)
    if recipe.choose_ridge and choose is not None:
        whole = valid[torch.from_numpy(streams.present[valid.numpy()].all(1))]
        tried = choose(spaces.batches(streams, train), pooled(streams, whole))
        told = ", ".join(f"{c:g}: {value:.3f}" for c, value in zip(tried.grid, tried.held_out, strict=True))
        say(f"Mean held-out correlation by ridge c: {told}; taken: {tried.c:g}.")
        model = type(model)(replace(model.config, c=(tried.c,)))
    solved = model.solve(spaces.batches(streams, train), spaces.batches(streams, valid), rounds=ROUNDS)
    for remark in solved.remarks:
        say(t(remark.key, **remark.values))
    model.eval()
    told = next(iter(model.learned().of(Canonical)))
    assert told.held_out is not None, "rows were held out"
    scores = {"score": float(told.held_out.mean()), "fitted": float(told.value.mean())}
    said = "fitted {fitted:.3f}, held out {score:.3f}".format(**scores)
    say(f"mean correlation of {len(told.value)} components: {said}")
    seconds = time.perf_counter() - started
    return _answering(model, streams), StageEpoch(1, {}, scores, True, 1, seconds, {}, "fusion"), seconds


def _compared(
    key: str, task: Task, recipe: StreamRecipe, ours: Sequence[FusionModel], seeds: Sequence[int], say: Say
) -> dict[str, Any]:
    """Ridge maps and the plain networks beside ours: figures, how far we are above each, areas under missing data."""
    streams, rows = task.streams, task.streams.rows("test")
    areas = {key: [curve(m, streams, rows, "modalities", seeds=CURVE_SEEDS) for m in ours]}
    said = {key: [answers(m, streams, rows) for m in ours]}
    baselines = {name: [one] for name, one in all_ridges(streams).items()}
    for name in (name for name in NETWORKS if name in MODELS and name != key):
        said[name], areas[name] = [], []
        for seed in seeds:
            say(f"The baseline {name}, seed {seed}...")
            kind: Any = MODELS[name].Config
            config = kind(
                modalities=streams.names, widths=streams.widths, steps=tuple(streams.steps.values()),
                classes=streams.classes,
            )  # fmt: skip
            one = replace(recipe, seed=seed)
            state = home() / "runs" / f"baseline-{name}-{_same(task, config, one)}"
            model, _, _ = run(name, config, task, one, state, lambda _: None)
            said[name].append(answers(model, streams, rows))
            areas[name].append(curve(model, streams, rows, "modalities", seeds=CURVE_SEEDS))
    baselines |= {name: runs for name, runs in said.items() if name != key}
    tell = lambda runs: [figures_of(streams, rows, one, task.span) for one in runs]  # noqa: E731
    return {
        "baselines": {name: tell(runs) for name, runs in baselines.items()},
        "margin": {name: _margin(streams, rows.numpy(), said[key], runs) for name, runs in baselines.items()},
        "areas": {name: [float(one.area.mean()) for one in found] for name, found in areas.items()},
        "half_missing": {
            name: [float(one.values[:, one.rates.index(0.5)].mean()) for one in found] for name, found in areas.items()
        },
    }  # fmt: skip


def _same(task: Task, config: Any, recipe: StreamRecipe) -> str:
    """What a baseline is known by: systems that are trained alike on the same samples share it."""
    told = (dataclasses.asdict(config), dataclasses.asdict(recipe), task.streams.names, task.streams.encoders)
    return digest(task.dataset.digest, repr(told))[:16]


def _margin(
    streams: Streams, rows: np.ndarray, ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]
) -> dict[str, float]:
    """How far our mean figure is above theirs, above 0 is better, with its 95 % interval over samples."""
    true = streams.target.numpy()[rows]

    def good(runs: Sequence[np.ndarray]) -> np.ndarray:
        each = [(one.argmax(1) == true).astype(float) if streams.classes else -np.abs(one - true) for one in runs]
        return np.mean(each, 0)

    found = paired_bootstrap(good(ours), good(theirs))
    return {"value": found.value, "low": found.low, "high": found.high, "other": float(good(theirs).mean())}


def _main(test: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("subsets", "curves", "confusion", "n", "main", "low", "high")
    areas = {f"area_{one['what']}": one["area"] for one in test["curves"]}
    return {k: v for k, v in test.items() if k not in left_out} | areas


def load(checkpoint: Checkpoint) -> FusionModel:
    """The model of a checkpoint, with its linear reader where it is one of a shared space."""
    model, path = checkpoints.load(checkpoint), checkpoint.folder / checkpoints.READER
    return Probed(model, classes_of(checkpoint), load_file(path)).eval() if path.exists() else model


def answers_of(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint answers anything: one of a shared space needs a reader, and that needs labels."""
    task = types.Task.REPRESENTATION
    return task not in MODELS[checkpoint.model].card.tasks or (checkpoint.folder / checkpoints.READER).exists()


def classes_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What a checkpoint tells apart; () where it answers with a score, or with nothing."""
    return tuple(checkpoint.config.get("classes", checkpoint.metrics.get("classes", ())))


def _save(model: FusionModel, task: Task, title: str, recipe: StreamRecipe, found: Mapping[str, Any]) -> Checkpoint:
    """Write the checkpoint with its figures, its card and the scale of its features."""

    def fill(aside: Path) -> None:
        assert task.streams.scale is not None, "a task is scaled"
        save_file(task.streams.scale.tensors(), aside / SCALE)
        if isinstance(model, Probed):
            save_file(model.tensors(), aside / checkpoints.READER)

    own = model.inner if isinstance(model, Probed) else model
    return checkpoints.save(
        home() / "checkpoints" / title, own, encoders=dict(task.streams.encoders),
        data=task.dataset.spec or task.dataset.key, metrics=found, card=card.write(task.dataset, model, recipe, found),
        origin={"trained": "here", "seed": recipe.seed, "digest": task.dataset.digest},
        half=not isinstance(own, ClosedForm), fill=fill,
    )  # fmt: skip


def scale_of(checkpoint: Checkpoint) -> Scale | None:
    """The scale that a checkpoint's features are brought to; None where it reads them as they are."""
    path = checkpoint.folder / SCALE
    return Scale.of(load_file(path)) if path.exists() else None


def fitting(checkpoint: Checkpoint, data: str | DataSet | None = None) -> DataSet:
    """The data set that a checkpoint was trained on, or another one, as far as can be told before it is encoded.

    Raises FusionError where the data set is of another kind, or has other modalities or classes.
    """
    dataset = data if isinstance(data, DataSet) else open_data(data or checkpoint.data)
    found, wanted = dataset.streams, tuple(checkpoint.config["modalities"])
    if found is None:
        raise FusionError(
            f'"{dataset.name}" holds no sequences, and "{checkpoint.name}" reads '
            f"{', '.join(wanted)}; choose the data set that it was trained on, or views:{dataset.spec or dataset.key}."
        )
    lacks = [m for m in wanted if m not in found.names]
    if lacks:
        raise FusionError(
            f'"{checkpoint.name}" reads {", ".join(wanted)}, and "{dataset.name}" has no {", ".join(lacks)}; choose a '
            "data set that has."
        )
    classes = classes_of(checkpoint)
    if answers_of(checkpoint) and classes != tuple(found.classes):
        raise FusionError(
            f'"{checkpoint.name}" answers with {", ".join(classes) or "a score"}, and '
            f'"{dataset.name}" has {", ".join(found.classes) or ("scores" if found.known.any() else "no labels")}; '
            "choose another data set."
        )
    _widths(checkpoint, dataset, {m: found.features[m].shape[2] for m in wanted if m in found.features})
    return dataset


def _widths(checkpoint: Checkpoint, dataset: DataSet, have: Mapping[str, int]) -> None:
    """Raises FusionError where features are wider or narrower than those that the checkpoint was trained on."""
    scale, config = scale_of(checkpoint), checkpoint.config
    wants = dict(zip(config["modalities"], config["widths"], strict=True))
    expected = {m: wants[m] if scale is None else len(scale.mean[m]) for m in have}
    if dict(have) != expected:
        raise FusionError(
            f'"{dataset.name}" has {list(have.values())} features a step and "{checkpoint.name}" reads '
            f"{list(expected.values())}; use the data set that it was trained on, or one with the same features."
        )


def task_of(checkpoint: Checkpoint, data: str | DataSet | None = None) -> Task:
    """The data set that a checkpoint was trained on, or another one, as the checkpoint reads it.

    Raises FusionError where the data set has other modalities, widths or classes.
    """
    dataset = fitting(checkpoint, data)
    streams = read(dataset).of(checkpoint.config["modalities"])
    _widths(checkpoint, dataset, {m: streams.features[m].shape[2] for m in streams.names})
    return Task(dataset, streams.on(scale_of(checkpoint)))


def evaluate(checkpoint: Checkpoint, data: str | None, split: str) -> dict[str, Any]:
    """Figures of a checkpoint on a split of its data set, or of another with the same modalities."""
    task = task_of(checkpoint, data)
    model = load(checkpoint)
    if answers_of(checkpoint):
        found = figures(model, task.streams, split, task.span, seeds=CURVE_SEEDS)
    else:
        rows = task.streams.rows(split, labelled=False)
        found = {"n": len(rows), "space": spaces.figures(model, task.streams, split)}
    return {"checkpoint": checkpoint.name, "data": task.dataset.key, "split": split, **found}


def flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without tables, for a terminal; subsets as one figure each."""
    if "space" in found:
        return {k: v for k, v in found.items() if k != "space"} | spaces.flat(found["space"])
    rows = {k: v for k, v in found.items() if not isinstance(v, (dict, list))}
    rows |= {f"only {name}" if name != "as_is" else name: one[found["main"]] for name, one in found["subsets"].items()}
    return rows | {f"area, {one['what']} missing": one["area"] for one in found["curves"]}
