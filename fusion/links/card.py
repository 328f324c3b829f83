"""The card of a checkpoint that predicts links, in Markdown, from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion.data.dataset import DataSet
    from fusion.links.training import LinkRecipe
    from fusion.models.imf import IMF

COLUMNS = {"mrr": "MRR", "hits1": "H@1", "hits3": "H@3", "hits10": "H@10"}
SUBSETS = {
    "clean": "clean: in no other split, and not turned round in train",
    "own words": "neither name stands in the other, word for word",
    "own keywords": "keywords that do not stand in the emoji's name, letter for letter",
}
SAID = {"popularity": "popularity", "distmult": "DistMult", "transe": "TransE"}


def write(dataset: DataSet, model: IMF, recipe: LinkRecipe, found: Mapping[str, Any]) -> str:
    """The card's text; a figure that was not measured has no row."""
    config = model.config
    lines = [
        f"# {model.card.name} on {dataset.name}", "",
        f"Answers (head, relation, ?) among {config.entities:,} entities. Trained on the train triples of "
        f"*{dataset.name}* ({dataset.word}), encoders frozen, seed {recipe.seed}, epoch {found['epoch']} of "
        f"{recipe.epochs} at most, learning rate {recipe.rate:g}, {recipe.batch} queries a step; the epoch was chosen "
        f"by the filtered MRR of the valid triples, known answers of train and valid taken out. {found['seconds']:,} "
        "seconds of one processor at most"
        + (", the graph encoder included." if recipe.structure_epochs else "; the structure branch started at random, "
           "without the graph encoder, which was no better on the valid triples."), "",
        f"Width D = {config.width} (the paper: 256), inputs \"{config.inputs}\", dropouts {config.fusion_dropout:g}, "
        f"{config.dropout:g}, {config.map_dropout:g}, {config.output_dropout:g}, weight of the contrastive term "
        f"{config.contrastive_weight if config.contrastive else 0:g} (the paper's form is unverified; beside a mean "
        "over all entities a weight of 1 would be nearly the whole loss)"
        + (", an offset a branch that the paper does not have." if config.offsets else "."),
    ]  # fmt: skip
    test = found.get("test")
    if test is None:
        return "\n".join(lines) + "\n"
    lines += _main(test, found) + _seeds(found) + _branches(test, found) + _parts(test)
    return "\n".join([*lines, "", *dataset.notes]).rstrip() + "\n"


def _main(test: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    rows: dict[str, list[Mapping[str, Any]]] = {"IMF": found.get("seeds") or [test]}
    rows |= {SAID.get(name) or name: runs for name, runs in found.get("baselines", {}).items()}
    count = max(len(runs) for runs in rows.values())
    lines = [
        "", f"{test['n']:,} triples to test, asked both ways among {test['candidates']:,} entities, other known "
        "answers of every split taken out, a tie counts half. Baselines were trained and ranked by the same program, "
        "with the seeds of IMF and a loss that suits them (one answer of all), the epoch chosen alike."
        + (f" Means of {count} seeds (lowest to highest)." if count > 1 else "")
        + f" MRR of the kept run lies between {test['mrr_low']:.3f} and {test['mrr_high']:.3f} (95 % bootstrap over "
        "triples).", "",
    ]  # fmt: skip
    lines += _table("both directions", rows, None) + _table("tails", rows, "tail") + _table("heads", rows, "head")
    for name in test["subsets"]:
        parts = {who: [run["subsets"][name] for run in runs if name in run["subsets"]] for who, runs in rows.items()}
        lines += _table(f"{SUBSETS[name]} ({test['subsets'][name]['n']:,}), tails", parts, "tail")
        lines += _table(f"{SUBSETS[name]}, heads", parts, "head")
    for name, one in found.get("margin", {}).items():
        parts = [f"{way} {_signed(one[way])}" for way in ("tail", "head")]
        lines.append(
            f"* Mean MRR of both directions less that of {SAID.get(name) or name} ({one['other']:.3f}): "
            f"{_signed(one)}; "
            f"{', '.join(parts)}. In brackets 95 % bootstrap intervals, triples drawn together."
        )
    return lines


def _signed(one: Mapping[str, float]) -> str:
    return f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def _table(title: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], direction: str | None) -> list[str]:
    head = [f"| {title} | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines = []
    for name, runs in rows.items():
        told = [run[direction] if direction else run for run in runs]
        if told:
            lines.append(f"| {name} | " + " | ".join(_mean([one[k] for one in told]) for k in COLUMNS) + " |")
    return [*head, *lines, ""]


def _mean(values: Sequence[float]) -> str:
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _seeds(found: Mapping[str, Any]) -> list[str]:
    return ["", "The kept run is the first one, not the best one.", ""] if len(found.get("seeds", [])) > 1 else [""]


def _branches(test: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Each branch of the kept run alone, beside what is decided of all."""
    weights = found.get("weights", {})
    rows = {"decision": test} | dict(test["branches"])
    lines = [
        "Branches of the kept run, each ranking alone; \"fused\" is the branch of the product of the three. The weight "
        "is that of its chance in the decision, one for all queries.", "",
        "| branch | weight | MRR | tails | heads | H@10 |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in rows.items():
        weight = f"{weights[name]:.3f}" if name in weights else ""
        lines.append(
            f"| {name} | {weight} | {one['mrr']:.3f} | {one['tail']['mrr']:.3f} | {one['head']['mrr']:.3f} | "
            f"{one['hits10']:.3f} |"
        )
    return [*lines, ""]


MOST = 20  # relations in the card; metrics.json has all


def _parts(test: Mapping[str, Any]) -> list[str]:
    names = list(test["branches"])
    lines = [f"| relation | n | tails | heads | {' | '.join(names)} |", "|---" * (4 + len(names)) + "|"]
    for name, one in list(test["relations"].items())[:MOST]:
        branches = " | ".join(f"{one['branches'][k]:.3f}" for k in names)
        lines.append(f"| {name} | {one['n']:,} | {one['tail']['mrr']:.3f} | {one['head']['mrr']:.3f} | {branches} |")
    lines += ["", "MRR; branches: both directions.", ""]
    lines += ["| training triples of the answer | queries | MRR | H@10 |", "|---|---|---|---|"]
    return lines + [f"| {name} | {one['n']:,} | {one['mrr']:.3f} | {one['hits10']:.3f} |"
                    for name, one in test["popularity"].items()]  # fmt: skip
