"""From a data set to a checkpoint with honest figures: what `train` and `evaluate` of the command line do."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from fusion import checkpoints, evaluation, histories, reference, warm_start
from fusion.encoders import TextEncoder, fresh, image_encoder, text_encoder
from fusion.encoders.cache import FeatureCache
from fusion.encoders.conse import Conse
from fusion.features import Features, encode, told
from fusion.files import home
from fusion.inference import Pipeline
from fusion.metrics.calibration import fit_isotonic
from fusion.models import MODELS
from fusion.models.maf import CLASSES, MAF, Config
from fusion.training import ENCODER, Epoch, Recipe, Tuned, fit
from fusion.types import FusionError, Image, Sample, Text

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.models.base import FusionModel

TEXT_WEIGHTS = "encoders/text.safetensors"  # of a fine-tuned text encoder, inside the checkpoint
ENCODERS = {"text": "minilm+shape", "image": "efficientnet-lite0"}
SETTINGS = Config(
    text_width=384, shape_width=10, image_width=1280, max_length=64, inner_width=768, cm_padding="masked",
    negative_rate=32,
    tagging_share=0.1,  # a sentence's log-likelihood sums some twenty words and would drown the two other terms
)  # fmt: skip
# The matching path starts trained (fusion.warm_start) and every rate tried lowered it on inner validation pairs, so it
# is held; frozen features need a faster tagger than fine-tuned ones (docs/decisions/0011).
RECIPE = Recipe(
    epochs=10, rate=2e-5, patience=4, noise=0.2, decay=0.05,
    rates=(
        ("emission.", 100.0), ("crf.", 100.0), ("shape_map.", 20.0), ("gate_", 20.0), ("align_", 30.0),
    ),
)  # fmt: skip
HELD = (("cross.", 0.0), ("region_map.", 0.0), ("match.", 0.0))  # rates of what starts trained
TASKS = (("f1",), ("auc", "auc_group", "text_r10"))  # the validation figures of each
PICTURES = 100  # different ones, below which nothing starts trained


@dataclass(frozen=True)
class Material:
    """Encoded samples of a data set and how they are split."""

    features: Features  # everything, second renderings included
    views: Tensor  # (N, 2) picture indices, -1 without a second rendering
    group: np.ndarray  # (N,) what same-group negatives are drawn within, "" without
    rows: Mapping[str, Tensor]  # {split: row indices}
    samples: Sequence[Sample]
    own: np.ndarray  # (N,) bool, of the data set itself; False for further training pairs
    prior: Tensor | None = None  # (U, D) pictures placed among texts by ConSE, None where the encoders can't

    def split(self, name: str) -> Features:
        """The samples of a split."""
        return self.features.rows(self.rows[name])

    def retold(self, text: TextEncoder, limit: int, *splits: str) -> Material:
        """The same with the texts of some splits encoded by another encoder that cuts the same word pieces."""
        rows = torch.cat([self.rows[name] for name in splits])
        part = self.features.rows(rows).retold(text, [self.samples[i] for i in rows.tolist()], limit)
        steps, pooled = self.features.text_steps.clone(), self.features.text_pooled.clone()
        steps[rows], pooled[rows] = part.text_steps, part.text_pooled
        return replace(self, features=replace(self.features, text_steps=steps, text_pooled=pooled))


def material(
    samples: Sequence[Sample], *, classes: tuple[str, ...] = CLASSES, limit: int = 64,
    progress: Callable[[int, int], None] | None = None, encoders: Mapping[str, str] = ENCODERS,
    of: Mapping[str, int] | None = None,
) -> Material:  # fmt: skip
    """Encode samples and their second renderings (note "image2", a path beside the first), kept on disk by content.

    of: ids of the data set that the samples belong to, where further training pairs are among them.
    """
    second = [_second(sample) for sample in samples]
    extra = [
        Sample(f"{s.id} second", {"text": Text(""), "image": image})
        for s, image in zip(samples, second, strict=True)
        if image
    ]
    text, image = text_encoder(encoders["text"]), image_encoder(encoders["image"])
    features = encode(
        [*samples, *extra], text, image, limit=limit, classes=classes, cache=FeatureCache(), progress=progress, skip={}
    )
    views = torch.full((len(samples), 2), -1)
    views[:, 0] = features.image_of[: len(samples)]
    views[torch.tensor([s is not None for s in second], dtype=torch.bool), 1] = features.image_of[len(samples) :]
    splits = {name: [i for i, s in enumerate(samples) if s.split == name] for name in ("train", "valid", "test")}
    return Material(
        features.rows(torch.arange(len(samples))), views, np.array([s.note.get("group", "") for s in samples]),
        {name: torch.tensor(rows, dtype=torch.long) for name, rows in splits.items()}, samples,
        np.array([of is None or s.id in of for s in samples]),
        Conse(text, image).embed_images(features.image_pooled) if image.head is not None else None,
    )  # fmt: skip


def _second(sample: Sample) -> Image | None:
    from fusion.data import gloss

    name = sample.note.get("image2", "")
    if not name:
        return None
    return Image(path=(gloss.FOLDER if name.startswith("images2/") else gloss.FOLDER.parent) / name)


def gloss_samples() -> list[Sample]:
    """The gloss set with the emoji names as further training pairs; names of held-out pictures are left out."""
    from fusion.data import gloss, names

    return [*gloss.load(), *(s for s in names.load("train"))]


def own_samples(dataset: DataSet, seed: int) -> list[Sample]:
    """A user's pairs with their own splits, or 80/10/10 by the seed where they have none."""
    if any(s.split == "train" for s in dataset.samples) and any(s.split == "valid" for s in dataset.samples):
        return list(dataset.samples)
    if len(dataset.samples) < 50:
        raise FusionError(f'"{dataset.name}" has {len(dataset.samples)} samples; training needs 50 or more. Add pairs.')
    order = np.random.default_rng(seed).permutation(len(dataset.samples))
    tenth = len(order) // 10
    split = np.full(len(order), "train", dtype=object)
    split[order[:tenth]], split[order[tenth : 2 * tenth]] = "valid", "test"
    return [replace(sample, split=str(name)) for sample, name in zip(dataset.samples, split, strict=True)]


def begin(settings: Config, train: Features, views: Tensor, seed: int, prior: Tensor | None = None) -> MAF:
    """A new model; its matching head starts from an aligned space (fusion.warm_start) where `aligns` says so."""
    torch.manual_seed(seed)
    model = MAF(settings)
    if not aligns(settings, train):
        return model
    there = (views[:, 0] >= 0).nonzero().squeeze(1)
    once = there[
        evaluation.first_of_each(train.image_of[there].numpy())
    ]  # a picture of forty texts counts once a text kind
    chosen = torch.cat(
        (once, there[torch.randperm(len(there), generator=torch.Generator().manual_seed(seed))[: len(once)]])
    )
    part = train.rows(chosen)
    warm_start.start(model, part, views[chosen], seed, prior=prior)
    wrong = evaluation.negatives(part, seed)
    with torch.inference_mode():
        logits = torch.cat([_logits(model.eval(), part, None), _logits(model, part, wrong)])
    true = torch.cat((torch.ones(len(part)), torch.zeros(len(part))))
    warm_start.settle(model, logits.clone(), true)
    return model


def aligns(settings: Config, train: Features) -> bool:
    """Whether there are pictures enough to learn an aligned space from."""
    return settings.use_image and len(evaluation.first_of_each(train.image_of.numpy())) >= PICTURES


def _logits(model: MAF, features: Features, image_rows: Tensor | None, size: int = 128) -> Tensor:
    """c_1 - c_0 of eq. (4). -> (N,)"""
    made = []
    for rows in torch.arange(len(features)).split(size):
        batch = features.batch(rows, None if image_rows is None else image_rows[rows])
        logits = model(batch, trace=False).extras["match_logits"]
        made.append(logits[:, 1] - logits[:, 0])
    return torch.cat(made)


def score(features: Features, group: np.ndarray, seed: int) -> Callable[[Any], dict[str, float]]:
    """Validation figures; "score", the one to maximise, is the mean of the two tasks, tagging and matching.

    Matching is the mean of its own figures, so that none of them, read on a few dozen pairs, outweighs the tags. They
    are read on pictures: no flag of another split is in training, and a flag can't be guessed.
    """
    pictures = np.flatnonzero(group != "Flags")
    part, part_group = features.rows(torch.from_numpy(pictures)), group[pictures]

    def run(model: MAF) -> dict[str, float]:
        found = {}
        if features.targets is not None and bool((features.targets[:, 0] >= 0).any()):
            found["f1"] = evaluation.tag_f1(model, features)
        if model.config.use_image:
            seen = evaluation.figures(model, part, seed=seed, group=part_group if (part_group != "").any() else None)
            found |= {name: value for name, value in seen.items() if name != "f1"}
        tasks = [[found[name] for name in task if name in found] for task in TASKS]
        return found | {"score": float(np.mean([np.mean(figures) for figures in tasks if figures]))}

    return run


def train(
    key: str, data: str, *, name: str | None, seed: int, epochs: int | None, minutes: float, rate: float | None,
    batch: int | None, mismatch: float, resume: bool, say: Callable[[str], None], settings: Mapping[str, str],
    fine_tune: bool = False,
) -> Checkpoint:  # fmt: skip
    """Train, keep the best validation epoch, measure it on the test split, and save it with card and reference."""
    from fusion import cards
    from fusion.data import open_data, pairs_only
    from fusion.data.mismatch import mismatch as plant

    if key not in MODELS:
        raise FusionError(f'There is no system "{key}"; there are {", ".join(MODELS)}.')
    config = _changed(SETTINGS, settings)
    wanted = {"epochs": epochs, "rate": rate, "batch": batch, "minutes": minutes, "seed": seed}
    recipe = replace(RECIPE, **{k: v for k, v in wanted.items() if v is not None}, text_rate=1.0 if fine_tune else 0.0)
    dataset = pairs_only(open_data(data))
    samples = gloss_samples() if data == "gloss" else own_samples(dataset, seed)
    if mismatch:
        exchanged = plant(replace(dataset, samples=tuple(s for s in samples if s.split == "train")), mismatch, seed)[0]
        samples = [*exchanged.samples, *(s for s in samples if s.split != "train")]
    say(f"Encoding {len(samples)} samples (kept for the next time)...")
    encoders = ENCODERS if config.shape_width else ENCODERS | {"text": "minilm"}
    made = material(samples, limit=config.max_length, encoders=encoders, of=dataset.index)
    if aligns(config, made.split("train")):
        recipe = replace(recipe, rates=(*HELD, *recipe.rates))
    if not any(isinstance(s.target, tuple) for s in samples):
        say("These samples have no tags: matching and alignment are trained, tagging is not.")
    folder = home() / "runs" / (name or f"{key}-{dataset.key}-{seed}")
    if not resume:
        (folder / "state.pt").unlink(missing_ok=True)
        histories.begin(folder)
    epoch = run(made, config, recipe, folder, say)
    model = MAF(config)
    model.load_state_dict({k: v for k, v in epoch.state.items() if not k.startswith(ENCODER)})
    model.eval()
    text = {k.removeprefix(ENCODER): v.half() for k, v in epoch.state.items() if k.startswith(ENCODER)}
    if text:
        encoders = encoders | {"text": f"{encoders['text']}:{TEXT_WEIGHTS}"}
    target = home() / "checkpoints" / folder.name

    def fill(aside: Path) -> None:
        if text:
            (aside / TEXT_WEIGHTS).parent.mkdir()
            save_file(text, aside / TEXT_WEIGHTS)

    checkpoints.save(
        target, model, encoders=encoders, data=dataset.key, metrics={}, card="",
        origin={"trained": "here", "seed": seed}, half=True, fill=fill,
    )  # fmt: skip
    saved = checkpoints.read(target)
    stored = checkpoints.load(saved)  # half precision: what is measured is what is kept
    if text:
        made = made.retold(text_encoder(encoders["text"], saved.folder), config.max_length, "train", "valid", "test")
    held_out = make_reference(stored, made, seed, folds=0 if text else 5)
    figures = measure(stored, made, seed)
    figures |= {"recipe": dataclasses.asdict(recipe), "epoch": epoch.chosen, "mismatch": mismatch, "seed": seed}
    checkpoints.save(
        target, model, encoders=encoders, data=dataset.key, metrics=figures,
        card=cards.write(dataset, config, recipe, figures),
        origin={"trained": "here", "seed": seed}, half=True, fill=fill,
    )  # fmt: skip
    reference.save(target, held_out)
    (folder / "state.pt").unlink(missing_ok=True)
    return checkpoints.read(target)


def _changed(config: Config, settings: Mapping[str, str]) -> Config:
    kinds = {f.name: type(getattr(config, f.name)) for f in dataclasses.fields(config)}
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in kinds or kinds[name] is tuple:
            raise FusionError(
                f'There is no setting "{name}"; there are {", ".join(k for k in kinds if k != "classes")}.'
            )
        try:
            values[name] = value.lower() in ("1", "true", "yes") if kinds[name] is bool else kinds[name](value)
        except ValueError:
            raise FusionError(f'The setting {name} takes a {kinds[name].__name__}, not "{value}".') from None
    return replace(config, **values)


def run(made: Material, config: Config, recipe: Recipe, folder: Path | None, say: Callable[[str], None]) -> Epoch:
    """Train on the train split with early stopping on the validation split. -> the best epoch"""
    from fusion import jobs

    features, views = made.split("train"), made.views[made.rows["train"]]
    started = time.perf_counter()
    model = begin(config, features, views, recipe.seed, made.prior)
    valid_group = made.group[made.rows["valid"].numpy()]
    say(
        f"{len(features)} training samples, {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"seed {recipe.seed}."
    )
    tuned = None
    if recipe.text_rate:
        encoder = fresh(ENCODERS["text"] if config.shape_width else "minilm")
        assert isinstance(encoder, TextEncoder)
        samples = [made.samples[i] for i in made.rows["train"].tolist()]
        tuned = Tuned(encoder, encoder.tokenise([told(sample) for sample in samples], features.text_mask.shape[1]))

    def judge(model: Any) -> dict[str, float]:
        now = made if tuned is None else made.retold(tuned.encoder, config.max_length, "valid")
        return score(now.split("valid"), valid_group, 0)(model)

    last = None
    for last in fit(model, features, recipe, judge, folder=folder, views=views, tuned=tuned):
        losses = "  ".join(f"{k} {v:.3f}" for k, v in last.losses.items())
        scores = "  ".join(f"{k} {v:.3f}" for k, v in last.scores.items())
        mark = " *" if last.best else ""
        say(f"epoch {last.number}/{recipe.epochs}  {losses}  |  {scores}  {time.perf_counter() - started:.0f} s{mark}")
        jobs.report(last.number, recipe.epochs, "training")
        histories.add(folder, "training", last.number, last.losses, last.scores, best=last.best)
    if last is None:
        raise FusionError("The run had ended already; train again without --resume.")
    return last


def make_reference(model: FusionModel, made: Material, seed: int, folds: int = 5) -> reference.Reference:
    """Scores of pairs that the scoring network never saw, true and exchanged, their calibration, and where data lie.

    Validation pairs are few, so with `folds` the training pairs are added, each scored by a network whose matching head
    started without its picture. That holds where nothing that the score reads is trained further, the texts' encoder
    included; give 0 elsewhere. Flags stay out: a flag can't be matched by a model that never saw it.
    """
    whole = made.split("valid")
    drawn = [_scored(model, whole, made.group[made.rows["valid"].numpy()], seed)]
    train, views = made.split("train"), made.views[made.rows["train"]]
    group = made.group[made.rows["train"].numpy()]
    if folds and model.config.use_image and len(evaluation.first_of_each(train.image_of.numpy())) >= 256:
        part = np.random.default_rng(seed).integers(0, folds, int(views.max()) + 1)  # by picture
        own = np.where(train.image_of.numpy() >= 0, part[train.image_of.numpy()], -1)
        second = np.where(views[:, 1].numpy() >= 0, part[views[:, 1].numpy()], -1)
        for fold in range(folds):
            rest = torch.from_numpy(np.flatnonzero((own != fold) & (second != fold)))
            start = begin(model.config, train.rows(rest), views[rest], seed, made.prior).eval()
            left = np.flatnonzero((own == fold) & made.own[made.rows["train"].numpy()])
            drawn.append(_scored(start, train.rows(torch.from_numpy(left)), group[left], seed))
    own_scores, wrong, same = (np.concatenate([one[i] for one in drawn]) for i in range(3))
    fitted = fit_isotonic(own_scores, wrong)
    grid = np.unique(np.concatenate((own_scores, wrong, [0.0, 1.0])))
    knots = np.stack((grid, np.asarray(fitted(grid))), 1)
    places = {
        "text": reference.place(train.text_pooled.numpy(), whole.text_pooled.numpy()),
        "image": reference.place(train.image_pooled[train.image_of[train.image_of >= 0].unique()].numpy(),
                                 whole.image_pooled[whole.image_of[whole.image_of >= 0].unique()].numpy()),
    }  # fmt: skip
    return reference.Reference(own_scores, wrong, same, knots, places)


def _scored(model: FusionModel, features: Features, group: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """Scores of pairs without flags: their own pictures (n,), ten random ones (<= 10 n,), one of the group (<= n,)."""
    pictures = np.flatnonzero(group != "Flags")
    part, group = features.rows(torch.from_numpy(pictures)), group[pictures]
    there = (part.image_of >= 0).numpy()
    random = [evaluation.negatives(part, seed + i) for i in range(10)]
    near = evaluation.negatives(part, seed, group)
    return (
        evaluation.outputs(model, part).match[there],
        np.concatenate([evaluation.outputs(model, part, rows).match[there & _differ(part, rows)] for rows in random]),
        evaluation.outputs(model, part, near).match[there & _differ(part, near)],
    )


def _differ(features: Features, rows: Tensor) -> np.ndarray:
    return (features.image_of[rows] != features.image_of).numpy()


def measure(model: FusionModel, made: Material, seed: int) -> dict[str, Any]:
    """Held-out figures of the test split: all of it, and its parts."""
    test, group = made.split("test"), made.group[made.rows["test"].numpy()]
    figures: dict[str, Any] = {
        "test": evaluation.figures(model, test, seed=seed, group=group if (group != "").any() else None)
    }
    figures["test"]["n"] = len(test)
    emoji = (group != "Flags") & (group != "")
    if emoji.any() and not emoji.all():
        part = test.rows(torch.from_numpy(np.flatnonzero(emoji)))
        figures["pictures"] = evaluation.figures(model, part, seed=seed, group=group[emoji]) | {"n": len(part)}
    return figures


def evaluate(checkpoint: Checkpoint, data: str, split: str, mismatch: float, seed: int) -> dict[str, Any]:
    """Figures of a checkpoint on a split of a data set (all of it where it was never split)."""
    from fusion.data import open_data, pairs_only
    from fusion.data.mismatch import mismatch as plant
    from fusion.metrics.mismatch import fit_mixture, mismatch_rate

    dataset = pairs_only(open_data(data))
    if any(s.split for s in dataset.samples):
        dataset = dataset.split(split)
    planted = None
    if mismatch:
        dataset, planted = plant(dataset, mismatch, seed)
    pipeline = Pipeline.open(checkpoint)
    features = encode(
        dataset.samples, pipeline.text, pipeline.image, limit=pipeline.model.config.max_length,
        pads=pipeline.pads is not None, classes=pipeline.model.classes, skip={},
    )  # fmt: skip
    if features.targets is not None and bool((features.targets[:, 0] < 0).any()):
        features = replace(features, targets=None)
    group = np.array([s.note.get("group", "") for s in dataset.samples])
    found: dict[str, Any] = {"checkpoint": checkpoint.name, "data": dataset.key, "n": len(features)}
    found |= evaluation.figures(
        pipeline.model, features, seed=seed, pad=pipeline.pads, group=group if (group != "").any() else None
    )
    if pipeline.reference is not None:
        match = evaluation.outputs(pipeline.model, features, pad=pipeline.pads).match
        mixture = fit_mixture(pipeline.reference.true, pipeline.reference.shuffled)
        rate = mismatch_rate(mixture, match[(features.image_of >= 0).numpy()], seed=seed)
        found |= {"mismatch_rate": rate.value, "mismatch_low": rate.low, "mismatch_high": rate.high}
        if planted is not None:
            found["mismatch_planted"] = float(planted.mean())
    return found
