"""The card of a checkpoint that reads streams, in Markdown, from its figures alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusion.models.base import ClosedForm
from fusion.streams.probe import Probed
from fusion.types import Task

if TYPE_CHECKING:
    from fusion.data.dataset import DataSet
    from fusion.models.base import FusionModel
    from fusion.streams.training import StreamRecipe

COLUMNS = {
    "accuracy": "accuracy", "macro_f1": "macro F1", "mae": "MAE", "r": "r",
    "sign": "negative or not, all", "sign_nonzero": "negative or positive, without 0", "acc7": "Acc-7",
}  # fmt: skip
SAID = {"nothing": "the commonest answer", "early": "early fusion", "late": "late fusion"}


def write(dataset: DataSet, model: FusionModel, recipe: StreamRecipe, found: Mapping[str, Any]) -> str:
    """The card's text; a figure that was not measured has no row."""
    config = model.config
    target = f"one of {len(model.classes)} classes" if model.classes else "a score"
    space = "space" in found
    read = ", ".join(
        f"{m} (up to {t} steps of {d})" if t > 1 else f"{m} ({d} numbers)"
        for m, t, d in zip(config.modalities, config.steps, config.widths, strict=True)
    )
    hidden = (
        f"while training, {recipe.hide} were hidden at a rate of {recipe.hide_rate:g}"
        if recipe.hide_rate
        else "nothing was hidden while training"
    )
    how = (
        f"seed {recipe.seed}, epoch {found['epoch']} of {recipe.epochs} at most, learning rate {recipe.rate:g}, "
        f"{recipe.batch} samples a step; {hidden}. The epoch was chosen on the valid samples. "
    )
    closed = isinstance(model.inner if isinstance(model, Probed) else model, ClosedForm)
    does = (
        f"Brings {read} into one space. A linear reader of that space, fitted on the same samples and chosen on the "
        f"valid ones, answers with {target}" if isinstance(model, Probed) else f"Answers with {target} from {read}"
    )  # fmt: skip
    if model.task is Task.REPRESENTATION:
        does = f"Brings {read} into one space. The data have no labels, so nothing is answered from it"
    lines = [
        f"# {model.card.name} on {dataset.name}", "",
        f"{does}. Trained on the train samples of *{dataset.name}* ({dataset.word}), encoders frozen"
        f"{'; solved in one go. ' if closed else ', ' + how}{found['seconds']:,} seconds.{_settings(model)}", "",
    ]  # fmt: skip
    if space:
        lines += _space(found["space"])
    test = found.get("test")
    if test is None:
        return "\n".join([*lines, *(dataset.notes if space else ())]).rstrip() + "\n"
    lines += _main(test, found, model.card.name) + _subsets(test) + _missing(test, found, model.card.key)
    return "\n".join([*lines, "", *dataset.notes]).rstrip() + "\n"


def _settings(model: FusionModel) -> str:
    """The settings that differ from the defaults, which are the paper's."""
    config, usual = model.config, type(model.config)()
    read = ("modalities", "widths", "steps", "classes", "likelihoods", "pictures", "tokens", "inked", "rows", "shown")
    names = [f.name for f in dataclasses.fields(config) if f.name not in read]
    changed = [f"{n} = {getattr(config, n)}" for n in names if getattr(config, n) != getattr(usual, n)]
    return f" Other than by default: {', '.join(changed)}." if changed else ""


def _space(space: Mapping[str, Any]) -> list[str]:
    """The space itself, on the samples to test; correlations on the valid ones."""
    lines: list[str] = []
    canonical = space.get("canonical")
    if canonical:
        rows = {"fitted": canonical["train"], "held out": canonical.get("held_out"), "p": canonical.get("p")}
        count = min(8, len(canonical["train"]))
        lines += [
            f"Canonical correlations, mean over the pairs of views, of the first {count} of {len(canonical['train'])} "
            f"components: {canonical['rows']:,} rows fitted, {canonical.get('held_out_rows', 0):,} held out; p by "
            f"{canonical.get('rounds', 0)} permutations.", "",
            "| | " + " | ".join(str(k + 1) for k in range(count)) + " |", "|---" * (count + 1) + "|",
        ]  # fmt: skip
        for name, values in rows.items():
            if values:
                lines.append(f"| {name} | " + " | ".join(f"{one:.3f}" for one in values[:count]) + " |")
        lines.append("")
    if space.get("pairs"):
        lines += [
            "| views | n | R@1 there, back | R@10 | MRR | gap | neighbours shared (chance) |",
            "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for one in space["pairs"]:
            both = lambda name, one=one: ", ".join(f"{value:.3f}" for value in one[name])  # noqa: E731
            lines.append(
                f"| {' and '.join(one['views'])} | {one['n']:,} | {both('r1')} | {both('r10')} | {both('mrr')} | "
                f"{one['gap']:.3f} | {one['neighbours']:.3f} ({one['neighbours_chance']:.3f}) |"
            )
        lines += ["", "How often a sample's own other view comes first among all samples to test, by cosine.", ""]
    made = space.get("generative")
    if made:
        lines.append(
            f"* Evidence of a sample, {made['draws']} draws: {made['nats']:.1f} nats. {made['active']} of "
            f"{made['dimensions']} latent dimensions in use (variance of the means above 0.01)."
        )
        if "joint" in made:
            sizes = ", ".join(f"{value:.3f} from {size}" for size, value in made["cross_by_size"].items())
            lines.append(
                f"* Coherence, by classifiers of each modality fitted on true training samples: what is made of other "
                f"modalities shows their class in {made['cross_mean']:.3f} (mean of classes; {sizes} given); all parts "
                f"of a draw of the prior show one class in {made['joint']:.3f}."
            )
        lines.append("")
    return lines


def _main(test: Mapping[str, Any], found: Mapping[str, Any], name: str) -> list[str]:
    rows: dict[str, Sequence[Mapping[str, Any]]] = {name: found.get("seeds") or [test]}
    for key, runs in found.get("baselines", {}).items():
        rows[SAID.get(key) or f"ridge on {key}"] = runs
    columns = [k for k in COLUMNS if k in test]
    lines = [
        f"{test['n']:,} samples to test, all modalities that they have. The {COLUMNS[test['main']]} of the kept run "
        f"lies between {test['low']:.3f} and {test['high']:.3f} (95 % bootstrap over samples). Ridge maps read the "
        "mean features of their modalities, their penalty chosen on the valid samples; the networks had the same "
        "recipe and seeds. Several seeds: mean (lowest to highest); the kept run is the first one, not the best.", "",
        "| | " + " | ".join(COLUMNS[k] for k in columns) + " |", "|---" * (len(columns) + 1) + "|",
    ]  # fmt: skip
    for who, runs in rows.items():
        lines.append(f"| {who} | " + " | ".join(_mean([one[k] for one in runs]) for k in columns) + " |")
    lines.append("")
    unit = "accuracy" if test["main"] == "accuracy" else "MAE, turned round so that above 0 is better"
    for key, one in found.get("margin", {}).items():
        clear = "" if one["low"] > 0 else " **below**" if one["high"] < 0 else " **not clearly above**"
        lines.append(
            f"* {unit}, ours less {SAID.get(key) or f'ridge on {key}'}: {one['value']:+.3f} ({one['low']:+.3f} to "
            f"{one['high']:+.3f}){clear}"
        )
    return [*lines, ""]


def _subsets(test: Mapping[str, Any]) -> list[str]:
    columns = [k for k in COLUMNS if k in test]
    lines = [
        "| modalities | n | " + " | ".join(COLUMNS[k] for k in columns) + " |", "|---" * (len(columns) + 2) + "|",
    ]  # fmt: skip
    for name, one in test["subsets"].items():
        told = name.replace("_", " ").replace("as is", "all")
        lines.append(f"| {told} | {one['n']:,} | " + " | ".join(f"{one[k]:.3f}" for k in columns) + " |")
    return [*lines, "", "The kept run, with one subset of modalities alone; with nothing, the commonest answer.", ""]


def _missing(test: Mapping[str, Any], found: Mapping[str, Any], key: str) -> list[str]:
    sign = 1 if test["main"] == "accuracy" else -1
    lines = [
        "| hidden at random | rate 0 | 0.3 | 0.5 | 0.8 | 1 | area |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in test["curves"]:
        at = [f"{sign * one['mean'][one['rates'].index(rate)]:.3f}" for rate in (0.0, 0.3, 0.5, 0.8, 1.0)]
        lines.append(f"| {one['what']} | {' | '.join(at)} | {sign * one['area']:.3f} |")
    lines += ["", f"The {COLUMNS[test['main']]} of the kept run, mean of {test['curves'][0]['seeds']} draws.", ""]
    for title, table in (("Area under the curve of missing modalities", "areas"), ("Half missing", "half_missing")):
        values = found.get(table, {})
        if len(values) > 1:
            told = [f"{'ours' if name == key else SAID.get(name, name)} {_mean([sign * v for v in runs])}"
                    for name, runs in values.items()]  # fmt: skip
            lines.append(f"* {title}: {'; '.join(told)}.")
    return lines


def _mean(values: Sequence[float]) -> str:
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ({min(values):.3f} to {max(values):.3f})"
