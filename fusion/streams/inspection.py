"""A checkpoint of streams at work on one sample: words typed, a picture or a recording dropped, or a row of a set."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion import types
from fusion.data import DataSet
from fusion.device import best, exclusive
from fusion.explain import edits
from fusion.explain.ablation import DOMINANCE, shapley
from fusion.explain.asking import Case
from fusion.explain.edits import Edit
from fusion.explain.subsets import NONE, called, members, one_removed, subsets
from fusion.inference import Notice
from fusion.signals import Effects, FusionOutput
from fusion.streams.encoding import encode_part
from fusion.streams.inputs import GIVEN, Scale, Streams
from fusion.streams.observed import Answer, StreamObservation
from fusion.streams.probe import Probed
from fusion.streams.runs import Task, fitting, load, scale_of, task_of
from fusion.types import Batch, FusionError, Numbers, Sample, Steps

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.models.base import FusionModel

TRIED = 20  # samples, until one has a modality that can be read
SMALL = 0.02  # of the range of the answer: smaller effects have no sign


class Reader:
    """A checkpoint with its encoders; one forward pass at a time. Its data set is opened when it is first needed."""

    def __init__(self, checkpoint: Checkpoint, model: FusionModel, data: str | DataSet | None = None) -> None:
        """data: another data set than the one it was trained on."""
        self.checkpoint, self.model, self._data = checkpoint, model, data
        self.scale: Scale | None = scale_of(checkpoint)
        self.prior = np.asarray(checkpoint.metrics.get("prior", []), np.float64)
        self._task: Task | None = None
        self._dataset: DataSet | None = None if data is None or isinstance(data, str) else fitting(checkpoint, data)

    @classmethod
    def open(cls, checkpoint: Checkpoint, data: str | DataSet | None = None) -> Reader:
        """Load the weights. Raises FusionError when the checkpoint can't be read."""
        return cls(checkpoint, load(checkpoint).to(best()[0]), data)

    @property
    def dataset(self) -> DataSet:
        """The data set whose samples are asked for by id, with nothing encoded yet.

        Raises FusionError when it can't be opened, or doesn't fit as far as can be told so early.
        """
        if self._dataset is None:
            if not self._data and self.checkpoint.origin.get("kind") == "adopted":
                raise FusionError(
                    f'What "{self.checkpoint.name}" was trained on is not recorded; name a data set, or do without its '
                    "samples."
                )
            self._dataset = fitting(self.checkpoint, self._data)
        return self._dataset

    @property
    def task(self) -> Task:
        """The data set as the checkpoint reads it, all of it encoded. Raises FusionError when they don't fit."""
        if self._task is None:
            self._task = task_of(self.checkpoint, self.dataset)
        return self._task

    @property
    def streams(self) -> Streams:
        """The samples of the data set."""
        return self.task.streams

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that the model reads."""
        return self.model.config.modalities

    @property
    def droppable(self) -> tuple[str, ...]:
        """The modalities that a person can bring: those with an encoder of their own."""
        return tuple(m for m in self.names if self.checkpoint.encoders.get(m, GIVEN) != GIVEN)

    def inspect(self, sample: Sample | str, made: Sequence[Edit] = ()) -> StreamObservation:
        """Everything that the pages show of a sample, or of the data set's sample of that id.

        Raises FusionError for a sample without any modality, a part that can't be read, or features that no one gave.
        """
        if self.model.task is types.Task.REPRESENTATION:
            raise FusionError(
                f'"{self.checkpoint.name}" was trained on data without labels, so nothing is answered; look at Map, or '
                "at how views find each other on Fusion."
            )
        started = time.perf_counter()
        sample = self.dataset.get(sample) if isinstance(sample, str) else sample
        before, notices = self.batch(sample)
        truth, after = self.truth(sample), before
        if made:
            sample, after, notices = self.after(sample, made)
        if isinstance(self.model, Probed):
            notices = (*notices, Notice("notice.probe", {"name": self.model.card.name}))
        encoded = time.perf_counter()
        with exclusive(self.checkpoint.digest), torch.inference_mode():
            now = self.model(after.to(best()[0]))
            was = self.model(before.to(best()[0])) if made else None
            found, effects, each = self._subsets(after, now)
        edits.check(made, now.trace, self.model.card.name)
        answer = self.answers(now)[0]
        worth = shapley([m for m in self.names if bool(after.has(m)[0])], found)
        total = sum(abs(v) for v in worth.values())
        alone = {one[0]: self.answer(value) for one, value in each.items() if len(one) == 1}
        here = sum(bool(after.has(m)[0]) for m in self.names)
        drop = one_removed(effects, here)
        done = time.perf_counter()
        return StreamObservation(
            sample=sample, checkpoint=self.checkpoint.name, classes=self.model.classes, scale=self.span,
            truth=truth, edits=tuple(made), answer=answer,
            trace=now.trace.cpu().plus(drop),  # its own steps: a model may name more than the batch does
            before=None if was is None else self.answers(was)[0],
            trace_before=None if was is None else was.trace.cpu(),
            alone=alone, effects=effects, drop=drop, shapley=worth,
            shares={m: abs(v) / total if total > 0 else 0.0 for m, v in worth.items()},
            badge=badge(worth, self.range), split_opinion=split_opinion(alone, self.span),
            present={m: bool(after.has(m)[0]) for m in self.names}, notices=notices,
            seconds={"encode": encoded - started, "model": done - encoded, "total": done - started},
        )  # fmt: skip

    def case(self, sample: Sample | str, made: Sequence[Edit] = ()) -> Case:
        """A sample after some edits, ready to be asked why. Raises FusionError as `inspect` does."""
        sample = self.dataset.get(sample) if isinstance(sample, str) else sample
        _, batch, _ = self.after(sample, made)
        return Case(self.model, batch.to(best()[0]), self.checkpoint.digest, self.prior_odds())

    def prior_odds(self) -> dict[str, float]:
        """The target from nothing: the mean score of training, or the log-odds of each class there."""
        if not self.prior.size:  # an adopted checkpoint doesn't record it: the middle, and even chances
            count = max(len(self.model.classes), 2)
            return dict.fromkeys(self.model.classes or ("",), -math.log(count - 1) if self.model.classes else 0.0)
        if not self.model.classes:
            return {"": float(self.prior.reshape(-1)[0])}
        chance = self.prior.clip(1e-6, 1 - 1e-6)
        return dict(zip(self.model.classes, np.log(chance / (1 - chance)).tolist(), strict=True))

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest score, as the checkpoint was trained on."""
        low, high = self.checkpoint.metrics.get("scale", (-1.0, 1.0))
        return float(low), float(high)

    @property
    def range(self) -> float:
        """How far an answer can move: 1 for chances, the length of the scale for scores."""
        return 1.0 if self.model.classes else self.span[1] - self.span[0]

    def truth(self, sample: Sample) -> str | float | None:
        """The class or score of a sample where it is known: as it says itself, else as its data set does."""
        value, row = sample.target, self.row(sample)
        if value is None and row is not None and self.dataset.streams is not None:
            value = float(self.dataset.streams.target[row])
        if value is None or isinstance(value, tuple) or not np.isfinite(value):
            return None
        if not self.model.classes:
            return float(value)
        return self.model.classes[int(value)] if value >= 0 else None

    def row(self, sample: Sample) -> int | None:
        """Where a sample stands in the data set, None where it is a person's own."""
        found = None if self._dataset is None else self._dataset.index.get(sample.id)
        return found if found is not None and self.dataset.samples[found] is sample else None

    def batch(self, sample: Sample, rows: Mapping[str, int | None] | None = None) -> tuple[Batch, tuple[Notice, ...]]:
        """One sample as the model reads it, and what was noticed of its parts.

        rows: the row of the data set that each modality is of, None for what is a person's own.
        """
        if rows is None:
            rows = dict.fromkeys(self.names, self.row(sample))
        features, mask, steps, present = {}, {}, {}, []
        notices: list[Notice] = []
        config = self.model.config
        for m, width, longest in zip(self.names, config.widths, config.steps, strict=True):
            value, names, told = self._part(sample, m, rows[m])
            notices += told
            there = value is not None and len(value) > 0
            if value is None or not there:
                value, names = torch.zeros(1, width), Steps(("",), (-1,), ())
            elif len(value) > longest:
                value = value[:longest]
                notices.append(Notice("notice.cut", {"modality": m, "limit": longest}))
            real = min(len(names.labels), len(value))  # an encoder of the checkpoint's own reads padding after it
            more = len(value) - real
            names = replace(names, labels=names.labels[:real] + ("",) * more, group=names.group[:real] + (-1,) * more)
            features[m], steps[m] = value[None], (names,)
            mask[m] = (torch.arange(len(value)) < real)[None] & there
            present.append(there)
            if not there:
                notices.append(Notice("notice.absent", {"modality": m}))
        if not any(present):
            raise FusionError(f"Nothing to answer from: bring one of {', '.join(self.names)}.")
        made = Batch(
            features=features, pooled={}, mask=mask, kept=mask, present=torch.tensor([present]), modalities=self.names,
            ids=(sample.id,), steps=steps,
        )  # fmt: skip
        return replace(made, whole=made), tuple(notices)

    def _part(self, sample: Sample, modality: str, row: int | None) -> tuple[Tensor | None, Steps, list[Notice]]:
        """Steps of one modality on the checkpoint's scale. -> (T, D) or None, their names, what was noticed"""
        name = self.checkpoint.encoders.get(modality, GIVEN)
        part, notices = sample.parts.get(modality), []
        given = None if row is None or self.dataset.streams is None else self.dataset.streams
        if isinstance(part, Numbers) or name == GIVEN or (given is not None and modality in given.features):
            if given is not None and modality in given.features:  # what it was trained and measured on
                if not given.present[row, given.names.index(modality)]:
                    return None, Steps((), (), ()), []
                value = torch.from_numpy(np.array(given.steps(modality, row or 0), np.float32))
            elif isinstance(part, Numbers):
                value = self._numbers(sample.id, modality, part)
            else:
                return None, Steps((), (), ()), []
            unit = next(m.unit for m in self.model.modalities if m.name == modality)
            labels = tuple(f"{unit} {i + 1}" for i in range(len(value)))
            names = Steps(labels, tuple(range(len(labels))), labels)
        else:
            longest = self.model.config.steps[self.names.index(modality)]
            found = encode_part(name, modality, sample, self.checkpoint.folder, longest)
            if found is None:
                return None, Steps((), (), ()), []
            value, names, notices = found
        return (value if self.scale is None else self.scale.apply(modality, value)), names, notices

    def _numbers(self, id: str, modality: str, part: Numbers) -> Tensor:
        """Features that came with a sample, (T, D) float32. Raises FusionError for another width, NaN and infinity."""
        width = self.model.config.widths[self.names.index(modality)]
        width = width if self.scale is None else len(self.scale.mean[modality])
        if part.values.ndim != 2 or part.values.shape[1] != width:
            raise FusionError(
                f'"{modality}" of sample "{id}" has the shape {part.values.shape}, and "{self.checkpoint.name}" reads '
                f"steps of {width} features; give those that it was trained on."
            )
        value = torch.from_numpy(np.array(part.values, np.float32))
        bad = ~torch.isfinite(value).all(1)
        if bad.any():
            raise FusionError(
                f'"{modality}" of sample "{id}" holds NaN or infinity at step {int(bad.nonzero()[0]) + 1}; set it to '
                "zero or leave the step out."
            )
        return value

    def edited(self, batch: Batch, edit: Edit) -> Batch:
        """The batch after one edit of what is read or made. Raises FusionError for a modality that isn't read."""
        if edit.how not in edits.INSIDE and edit.modality not in self.names:
            raise FusionError(f'"{edit.modality[:40]}" is none of {", ".join(self.names)}; edit one of them.')
        mean = None
        if edit.how == "mean":  # of standardised features it is zero
            width = batch.features[edit.modality].shape[2]
            mean = self._raw_mean(edit.modality) if self.scale is None else torch.zeros(width)
        donor = self.batch(self._other(batch.ids[0], edit))[0] if edit.how == "shuffle" else None
        return edits.of_batch(batch, edit, mean=mean, donor=donor)

    def after(self, sample: Sample, made: Sequence[Edit]) -> tuple[Sample, Batch, tuple[Notice, ...]]:
        """A sample after edits: as a person sees it, as the model reads it, and what was noticed of its parts.

        Raises FusionError for edits that can't be made and for those that leave nothing.
        """
        seen, rows = sample, dict.fromkeys(self.names, self.row(sample))
        for edit in made:
            if edit.how == "swap":
                seen, rows[edit.modality] = self._swapped(seen, edit)
            elif edit.how in edits.SEEN:
                seen, rows[edit.modality] = self._painted(seen, edit), None
        batch, notices = self.batch(seen, rows)
        for edit in made:
            batch = self.edited(batch, edit)
        if not bool(batch.present.any()):
            raise FusionError("Nothing is left to answer from; leave one modality in.")
        return seen, batch, notices

    def _swapped(self, sample: Sample, edit: Edit) -> tuple[Sample, int]:
        """The sample with one modality of another, and the row of that one."""
        other = self.dataset.get(edit.text)
        row, given = self.dataset.index[other.id], self.dataset.streams
        part = other.parts.get(edit.modality)
        stored = (
            given is not None
            and edit.modality in given.features
            and bool(given.present[row, given.names.index(edit.modality)])
        )
        if part is None and not stored:
            raise FusionError(f'Sample "{edit.text[:60]}" has no {edit.modality} to take; choose another.')
        parts = {m: own for m, own in sample.parts.items() if m != edit.modality}
        return replace(sample, parts=parts if part is None else {**parts, edit.modality: part}), row

    def _painted(self, sample: Sample, edit: Edit) -> Sample:
        """The sample with words replaced, or regions of its picture painted over."""
        from fusion.encoders import image_encoder

        name = self.checkpoint.encoders.get(edit.modality, GIVEN)
        if name in (GIVEN, ""):
            raise FusionError(f'"{edit.modality}" came as features; {edit.how} needs what they were made of.')
        grid, fit = (0, 0), "pad"
        if edit.how in ("paint", "blur"):
            _, names, _ = self._part(sample, edit.modality, None)
            if len(names.groups) == 1:
                raise FusionError(
                    f'"{edit.modality}" is read as a whole, without regions to {edit.how}; take noise or swap instead.'
                )
            fit = image_encoder(name, self.checkpoint.folder).recipe.fit
            side = math.isqrt(len(names.groups))
            grid = (side, len(names.groups) // max(side, 1))
        return edits.of_sample(sample, [edit], grid=grid, fit=fit)

    def _other(self, id: str, edit: Edit) -> Sample:
        """A sample whose features are taken; the others stay unencoded. Raises FusionError when none has any."""
        given = self.dataset.streams
        assert given is not None, "no other set fits"
        rows = np.flatnonzero(given.present[:, given.names.index(edit.modality)])
        rows = rows[[self.dataset.samples[row].id != id for row in rows]]
        for row in np.random.default_rng(edit.seed).permutation(rows)[:TRIED]:
            found = self.dataset.samples[row]
            value = self._part(found, edit.modality, int(row))[0]
            if value is not None and len(value):  # a part that can't be read is none
                return found
        raise FusionError(f"No other sample has {edit.modality}; choose another edit.")

    def _raw_mean(self, modality: str) -> Tensor:
        from fusion.streams.inputs import measured

        return measured(self.streams, self.streams.rows("train")).mean[modality]

    def answers(self, output: FusionOutput) -> list[Answer]:
        """What a model says of each row, in words."""
        return [self.answer(one) for one in self.numbers(output.prediction)]

    def numbers(self, prediction: Tensor) -> np.ndarray:
        """Scores (B,) or probabilities (B, C)."""
        value = prediction.float()
        return (value.softmax(-1) if value.ndim == 2 else value).cpu().numpy()

    def answer(self, value: np.ndarray) -> Answer:
        """One row of `numbers` in words."""
        if self.model.classes:
            chances = {name: float(p) for name, p in zip(self.model.classes, value, strict=True)}
            said = max(chances, key=chances.__getitem__)
            return Answer(said, None, chances, chances[said])
        score = float(value)
        return Answer(part_of(score, self.span, tuple(self.checkpoint.metrics.get("words", ()))), score, {}, score)

    def _subsets(
        self, batch: Batch, now: FusionOutput
    ) -> tuple[dict[frozenset[str], float], Effects, dict[tuple[str, ...], np.ndarray]]:
        """Every subset of what is present. -> {subset: observable}, the same as a signal, {subset: whole answer}"""
        there = [m for m in self.names if bool(batch.has(m)[0])]
        found = subsets(there)
        big = batch.rows([0] * len(found))
        present = torch.zeros(len(found), len(self.names), dtype=torch.bool)
        present[:, [self.names.index(m) for m in there]] = members(found, there).bool()
        big = replace(big, present=present)
        said = self.numbers(self.model(big.to(best()[0]), trace=False).prediction)
        if self.model.classes:
            top = int(self.numbers(now.prediction)[0].argmax())
            value = said[:, top]
            prior = float(self.prior[top]) if len(self.prior) else 1 / len(self.model.classes)
        else:
            value, prior = said, float(self.prior) if self.prior.ndim == 0 else 0.0
        names = tuple(called(one, there) for one in found)
        words = tuple(self.answer(one).said for one in said)
        effects = Effects(
            name="subsets", unit="probability" if self.model.classes else "score",
            value=torch.tensor(np.append(value, prior), dtype=torch.float32)[None, :, None],
            conditions=(*names, NONE), observables=("chance" if self.model.classes else "score",),
            units=("probability" if self.model.classes else "score",), said=((*words, ""),),
            caveat="caveat.stream_subsets",
        )  # fmt: skip
        table = {frozenset(one): float(v) for one, v in zip(found, value, strict=True)}
        return table | {frozenset(): prior}, effects, dict(zip(found, said, strict=True))


def part_of(score: float, span: tuple[float, float], words: tuple[str, ...]) -> str:
    """The nearest of names that stand at equal distances on a scale, as `StreamSet.said`."""
    if not words or not np.isfinite(score):
        return ""
    share = (min(max(score, span[0]), span[1]) - span[0]) / (span[1] - span[0])
    return words[int(np.floor(share * (len(words) - 1) + 0.5))]


def badge(worth: Mapping[str, float], length: float) -> str:
    """How modalities combine, by their Shapley values in units of the answer.

    conflict: two pull in different directions by more than 2 % of the range; dominance: one has more than 70 % of the
    total; complement: neither; alone: there is one.
    """
    if len(worth) < 2:
        return "alone"
    numbers = [value / length for value in worth.values()]
    total = sum(map(abs, numbers))
    if min(numbers) < -SMALL and max(numbers) > SMALL:
        return "conflict"
    return "dominance" if total > 0 and max(map(abs, numbers)) / total > DOMINANCE else "complement"


def split_opinion(alone: Mapping[str, Answer], span: tuple[float, float]) -> bool:
    """Whether modalities alone answer differently: with other classes, or with scores on both sides of the middle by
    more than a tenth of the scale."""
    if any(one.score is None for one in alone.values()):
        return len({one.said for one in alone.values()}) > 1
    middle, far = (span[0] + span[1]) / 2, (span[1] - span[0]) / 10
    scores = [one.score - middle for one in alone.values() if one.score is not None]
    return bool(scores) and min(scores) < -far and max(scores) > far
