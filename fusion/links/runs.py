"""From one graph to a checkpoint with honest figures: what `train` and `evaluate` do for link prediction."""

from __future__ import annotations

import dataclasses
import shutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fusion import checkpoints, histories, jobs
from fusion.data import open_data
from fusion.data.feature_files import read
from fusion.data.link_features import link_features
from fusion.files import atomic_file, home, inside
from fusion.links import card
from fusion.links.baselines import BASELINES, BATCH, CHECK, EPOCHS, RATE, SETTINGS, Popularity
from fusion.links.evaluation import figures, margin, ranks_of, told
from fusion.links.inputs import FILE, OUTER, Fusing, encoders_of, everything, read_features, without
from fusion.links.structure import structure_rows
from fusion.links.training import LinkRecipe, fit
from fusion.models import MODELS
from fusion.models.imf import BRANCHES, MODALITIES
from fusion.settings import known_names, parsed
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet
    from fusion.data.graph_features import GraphFeatures
    from fusion.data.triples import TripleSet
    from fusion.links.training import Linker
    from fusion.models.imf import IMF, Config
    from fusion.training import Epoch
    from fusion.types import Batch

FEATURES = "features"  # folder of feature files inside a checkpoint
POPULARITY = "popularity"
LARGE = 40_000  # triples above which TransE, whose distances are slow, is left out unless asked for
# what a small graph wants, where the paper's settings are for a large one (docs/decisions)
DEFAULTS: dict[str, Any] = {
    "width": 96, "inputs": "projected", "offsets": True, "fusion_dropout": 0.1, "dropout": 0.3, "map_dropout": 0.0,
    "output_dropout": 0.4, "contrastive_weight": 3e-4,
}  # fmt: skip
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What a run reads: the data set, its features, and the batch of both."""

    dataset: DataSet
    features: GraphFeatures
    batch: Batch
    files: tuple[Path, ...] = ()

    @property
    def triples(self) -> TripleSet:
        """The graph, which `everything` made sure of."""
        assert self.dataset.triples is not None
        return self.dataset.triples


def train(
    key: str, data: str, *, name: str | None = None, seed: int = 37, seeds: int = 1, resume: bool = False,
    say: Say = print, files: Sequence[Path] = (), settings: Mapping[str, str] | None = None,
    wanted: Mapping[str, Any] | None = None,
) -> Checkpoint:  # fmt: skip
    """Train on the train triples, choose the epoch on the valid ones, measure on those to test, save with a card.

    seeds: how many runs, seed, seed + 1, ...; the first one is kept under the name, whatever the others reach; the
    baselines are trained with the same seeds. settings: fields of the model's Config or of the recipe as text, and
    modalities; wanted: fields of the recipe, None as it is.
    Raises FusionError for data, settings or features that don't fit, before anything is trained.
    """
    settings = dict(settings or {})
    kinds = (MODELS[key].Config, LinkRecipe)
    known_names(settings, *kinds, more=("modalities",), less=("entities", "relations", "image_width", "text_width"))
    task = _task(data, settings.pop("modalities", ""), files, say)
    config, recipe = _configured(key, task, settings, wanted or {})
    title = name or f"{key}-{task.dataset.key}"
    made, ranks = [], []
    for number in range(seed, seed + seeds):
        own = title if number == seed else f"{title}-{number}"
        saved, found = _one(key, config, task, replace(recipe, seed=number), own, resume, say)
        made.append(saved)
        ranks.append(found)
    others = _baselines(task, recipe, range(seed, seed + seeds), home() / "runs" / title, resume, say)
    found = dict(made[0].metrics) | _compared(task, made, ranks, others)
    model = checkpoints.load(made[0])
    saved = _save(model, task, title, replace(recipe, seed=seed), found)  # type: ignore[arg-type]  # key is its system
    for path in (home() / "runs" / title).glob("*.ranks.npy"):
        path.unlink()
    return saved


def _task(data: str, modalities: str, files: Sequence[Path], say: Say) -> Task:
    """Open and check everything that a run reads."""
    dataset = open_data(data)
    for problem in dataset.problems:
        say(problem)
    if dataset.triples is None:
        raise FusionError(f'"{dataset.name}" holds no triples to predict; train on keywords, or on triples:PATH.')
    for split in ("train", "valid", "test"):
        if not len(dataset.triples.part(split)):
            raise FusionError(f'"{dataset.name}" has no {split} triples; a run needs some to train on, to choose by '
                              "and to test.")  # fmt: skip
    chosen = [m.strip() for m in modalities.split(",") if m.strip()] or list(MODALITIES)
    wrong = [m for m in chosen if m not in MODALITIES]
    if wrong or MODALITIES[0] not in chosen:
        raise FusionError(f'modalities="{modalities}" must hold structure, and perhaps {" and ".join(MODALITIES[1:])}.')
    say(f"Features of {len(dataset)} entities (kept for the next time)...")
    features = without(link_features(dataset, tuple(m for m in OUTER if m in chosen), files), len(dataset))
    return Task(dataset, features, everything(dataset, features), tuple(files))


def _configured(
    key: str, task: Task, settings: Mapping[str, str], wanted: Mapping[str, Any]
) -> tuple[Config, LinkRecipe]:
    """The model's settings and the recipe: our defaults, then what was asked for."""
    kind: Any = MODELS[key].Config
    widths = task.features.widths
    values: dict[str, Any] = DEFAULTS | {
        "entities": len(task.dataset), "relations": len(task.triples.relations),
        "image_width": widths.get("image", 1), "text_width": widths.get("text", 1),
    }  # fmt: skip
    recipe: dict[str, Any] = {}
    fields = {f.name for f in dataclasses.fields(kind)}
    told_of = typing.get_type_hints(kind) | typing.get_type_hints(LinkRecipe)
    for name, text in settings.items():
        (values if name in fields else recipe)[name] = parsed(name, text, told_of[name])
    recipe |= {k: v for k, v in wanted.items() if v is not None}
    return kind(**values), replace(LinkRecipe(), **recipe)


def _one(
    key: str, config: Config, task: Task, recipe: LinkRecipe, title: str, resume: bool, say: Say
) -> tuple[Checkpoint, np.ndarray]:
    """One seed, trained, saved and measured. -> it and its ranks (2 E', C) on the triples to test"""
    folder, target = home() / "runs" / title, home() / "checkpoints" / title
    if resume and (target / "config.json").exists() and not (folder / "state.pt").exists():
        done = checkpoints.read(target)
        if done.metrics.get("seed") == recipe.seed and dict(done.config) == dataclasses.asdict(config):
            say(f"{title} was trained already.")
            return _measured(done, task, recipe, dict(done.metrics))
    if not resume:
        for path in ("state.pt", "structure.pt"):
            (folder / path).unlink(missing_ok=True)
        histories.begin(folder)
    model, epoch = run(key, config, task, recipe, folder, say)
    found: dict[str, Any] = {"seed": recipe.seed, "epoch": epoch.chosen, "seconds": round(epoch.seconds)}
    found |= {"valid": epoch.scores, "recipe": dataclasses.asdict(recipe)}
    made, ranks = _measured(_save(model, task, title, recipe, found), task, recipe, found, say)
    for path in ("state.pt", "structure.pt"):
        (folder / path).unlink(missing_ok=True)
    return made, ranks


def _measured(
    saved: Checkpoint, task: Task, recipe: LinkRecipe, found: dict[str, Any], say: Say = lambda _: None
) -> tuple[Checkpoint, np.ndarray]:
    """A checkpoint with its figures on the triples to test, and its ranks (2 E', C) there."""
    say("Measuring on the triples to test...")
    ranks = _ranks(saved, task)  # half precision: what is measured is what is kept
    stored: IMF = checkpoints.load(saved)  # type: ignore[assignment]  # its system
    weights = dict(zip(BRANCHES, stored.weights(stored.read(task.batch)).tolist(), strict=True))
    now = found | {"test": figures(task.dataset, Fusing.columns, ranks), "weights": weights}
    return (saved if now == saved.metrics else _save(stored, task, saved.name, recipe, now)), ranks


def _ranks(checkpoint: Checkpoint, task: Task, split: str = "test") -> np.ndarray:
    """(2 E', C) of a checkpoint as it is stored."""
    model: IMF = checkpoints.load(checkpoint)  # type: ignore[assignment]  # the callers check the system
    return ranks_of(Fusing(model, task.batch), task.triples, split)


def run(key: str, config: Config, task: Task, recipe: LinkRecipe, folder: Path | None, say: Say) -> tuple[IMF, Epoch]:
    """Train a new model: the graph encoder, then all of it. -> it as it was at its best check, and that epoch"""
    rows, spent = _structure(config, task, recipe, folder, say)
    torch.manual_seed(recipe.seed)
    model: IMF = MODELS[key](config)  # type: ignore[assignment]  # the callers check the task
    model.begin(task.batch, rows)
    say(
        f"{len(task.triples.part('train'))} triples to train on, {len(task.triples.part('valid'))} to choose by; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, seed {recipe.seed}."
    )
    best = followed(Fusing(model, task.batch, recipe.choice), task.triples, recipe, folder, say, spent)
    return model.cpu().eval(), best


def _structure(
    config: Config, task: Task, recipe: LinkRecipe, folder: Path | None, say: Say
) -> tuple[Tensor | None, float]:
    """Rows of the graph encoder, from `folder` where a resumed run made them, and the seconds that they took."""
    if not recipe.structure_epochs:
        return None, 0.0
    kept = folder / "structure.pt" if folder is not None else None
    if kept is not None and kept.exists():
        stored = torch.load(kept, weights_only=True, map_location="cpu")
        return stored["rows"], stored["spent"]
    assert task.batch.graph is not None, "everything() makes one"

    def progress(step: int, steps: int, loss: float) -> None:
        jobs.report(step, steps, "graph encoder")
        if step == steps or step % (10 * max(1, steps // 50)) == 0:
            say(f"graph encoder {step}/{steps}  loss {loss:.3f}")

    rows, spent = structure_rows(
        task.batch.graph, config.entities, config.relations, config.width, steps=recipe.structure_epochs,
        rate=recipe.structure_rate, seed=recipe.seed, minutes=recipe.minutes / 2, progress=progress,
    )  # fmt: skip
    if kept is not None:
        with atomic_file(kept) as aside:
            torch.save({"rows": rows, "spent": spent}, aside)
    return rows, spent


def followed(
    linker: Linker, triples: TripleSet, recipe: LinkRecipe, folder: Path | None, say: Say, spent: float = 0.0
) -> Epoch:
    """Train to the end, told epoch by epoch; the linker is left as it was at its best check. -> that epoch"""
    last = chosen = None
    for last in fit(linker, triples, recipe, folder=folder, spent=spent):
        jobs.report(last.number, recipe.epochs, "training")
        histories.add(folder, "training", last.number, last.losses, last.scores, best=last.best)
        chosen = last if last.best else chosen
        if last.scores:
            losses = f"loss {sum(last.losses.values()):.4f}  " if last.losses else ""
            scores = "  ".join(f"{k} {v:.3f}" for k, v in last.scores.items())
            say(f"epoch {last.number}/{recipe.epochs}  {losses}{scores}  {last.seconds:.0f} s{' *' * last.best}")
    assert last is not None, "an epoch comes first, and be it the one that was kept"
    linker.module.load_state_dict(last.state)
    best = chosen or last
    return replace(best, chosen=last.chosen, seconds=last.seconds)


def _baselines(
    task: Task, recipe: LinkRecipe, seeds: Sequence[int], folder: Path, resume: bool, say: Say
) -> dict[str, list[np.ndarray]]:
    """Ranks (2 E',) of each baseline and seed on the triples to test."""
    triples = task.triples
    popular = Popularity(triples.queries("train"), len(triples), len(triples.relations))
    found = {POPULARITY: [ranks_of(popular, triples, "test")[:, 0]]}
    names = [name for name in BASELINES if name in recipe.baselines]
    if len(triples.triples) > LARGE and recipe.baselines == LinkRecipe().baselines:
        names = [name for name in names if name != "transe"]
    for name in names:
        found[name] = []
        for seed in seeds:
            kept = folder / f"{name}-{seed}.ranks.npy"
            if resume and kept.exists():
                found[name].append(np.load(kept, allow_pickle=False))
                continue
            say(f"The baseline {name}, seed {seed}...")
            torch.manual_seed(seed)
            width, dropout = SETTINGS[name]
            made = BASELINES[name](len(triples), len(triples.relations), width, dropout, "one_of_all")
            own = replace(recipe, seed=seed, rate=RATE, batch=BATCH, epochs=EPOCHS, check=CHECK, patience=3)
            followed(made, triples, own, None, say)
            ranks = ranks_of(made, triples, "test")[:, 0]
            found[name].append(ranks)
            with atomic_file(kept) as aside, aside.open("wb") as stream:
                np.save(stream, ranks)
    return found


def _compared(
    task: Task, made: Sequence[Checkpoint], ranks: Sequence[np.ndarray], others: Mapping[str, list[np.ndarray]]
) -> dict[str, Any]:
    """All seeds, the baselines, and how far the mean of our runs is above each of them and each branch alone."""
    columns = list(Fusing.columns)
    ours = [one[:, -1] for one in ranks]
    found: dict[str, Any] = {"seeds": [], "baselines": {}, "margin": {}}
    for one in made:
        test = one.metrics["test"]
        found["seeds"].append(
            {"seed": one.metrics["seed"], **_main(test), "subsets": {k: _main(v) for k, v in test["subsets"].items()}}
        )
    for name, runs in others.items():
        rows = [figures(task.dataset, ("decision",), one[:, None]) for one in runs]
        found["baselines"][name] = [
            {**_main(row), "subsets": {k: _main(v) for k, v in row["subsets"].items()}} for row in rows
        ]
        found["margin"][name] = margin(ours, runs)
    branches = {name: [one[:, columns.index(name)] for one in ranks] for name in BRANCHES}
    best = max(branches, key=lambda name: np.mean([told(one)["mrr"] for one in branches[name]]))
    found["margin"][f"branch {best}"] = margin(ours, branches[best])
    return found


def _main(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: found[k] for k in ("mrr", "hits1", "hits3", "hits10", "tail", "head")}


def _save(model: IMF, task: Task, title: str, recipe: LinkRecipe, found: dict[str, Any]) -> Checkpoint:
    """Write the checkpoint with its figures, card and feature files."""
    names = {path: f"{FEATURES}/{i}-{path.name}" for i, path in enumerate(task.files)}
    ids = list(task.features.ids)
    given = {m: FILE + name for path, name in names.items() for m in read(path, ids, None)}
    encoders = {m: given.get(m, by) for m, by in encoders_of(task.features).items()}

    def fill(aside: Path) -> None:
        for path, name in names.items():
            (aside / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, aside / name)

    return checkpoints.save(
        home() / "checkpoints" / title, model, encoders=encoders, data=task.dataset.spec or task.dataset.key,
        metrics=found, card=card.write(task.dataset, model, recipe, found),
        origin={"trained": "here", "seed": recipe.seed, "digest": task.dataset.digest}, half=True, fill=fill,
    )  # fmt: skip


def evaluate(checkpoint: Checkpoint, data: str | None, split: str) -> dict[str, Any]:
    """Figures of a checkpoint on a split of its data set, or of the same data set opened from elsewhere."""
    dataset = open_data(data or checkpoint.data)
    named = sorted({name.removeprefix(FILE) for name in checkpoint.encoders.values() if name.startswith(FILE)})
    features = read_features(checkpoint, dataset, files=[inside(checkpoint.folder, name) for name in named])
    task = Task(dataset, features, everything(dataset, features))
    found = figures(dataset, Fusing.columns, _ranks(checkpoint, task, split), split)
    return {"checkpoint": checkpoint.name, "data": dataset.key, **found}
