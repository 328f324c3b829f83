"""The card of a checkpoint that reads streams, in Markdown, from its figures alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    target = f"one of {len(config.classes)} classes" if config.classes else "a score"
    read = ", ".join(
        f"{m} (up to {t} steps of {d})" for m, t, d in zip(config.modalities, config.steps, config.widths, strict=True)
    )
    hidden = (
        f"while training, {recipe.hide} were hidden at a rate of {recipe.hide_rate:g}"
        if recipe.hide_rate
        else "nothing was hidden while training"
    )
    lines = [
        f"# {model.card.name} on {dataset.name}", "",
        f"Answers with {target} from {read}. Trained on the train samples of *{dataset.name}* ({dataset.word}), "
        f"encoders frozen, seed {recipe.seed}, epoch {found['epoch']} of {recipe.epochs} at most, learning rate "
        f"{recipe.rate:g}, {recipe.batch} samples a step; {hidden}. The epoch was chosen on the valid samples. "
        f"{found['seconds']:,} seconds.{_settings(model)}", "",
    ]  # fmt: skip
    test = found.get("test")
    if test is None:
        return "\n".join(lines) + "\n"
    lines += _main(test, found, model.card.name) + _subsets(test) + _missing(test, found, model.card.key)
    return "\n".join([*lines, "", *dataset.notes]).rstrip() + "\n"


def _settings(model: FusionModel) -> str:
    """The settings that differ from the defaults, which are the paper's."""
    config, usual = model.config, type(model.config)()
    read = ("modalities", "widths", "steps", "classes")
    names = [f.name for f in dataclasses.fields(config) if f.name not in read]
    changed = [f"{n} = {getattr(config, n)}" for n in names if getattr(config, n) != getattr(usual, n)]
    return f" Other than by default: {', '.join(changed)}." if changed else ""


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
        clear = "" if one["low"] > 0 else " **not clearly above**" if one["high"] > 0 else " **below**"
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
