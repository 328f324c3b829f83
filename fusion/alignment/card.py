"""The card of a checkpoint that aligns entities, in Markdown, from its figures alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion.alignment.inputs import EntityModel
    from fusion.alignment.training import AlignmentRecipe
    from fusion.data.dataset import DataSet

COLUMNS = {"hits1": "H@1", "hits5": "H@5", "hits10": "H@10", "mrr": "MRR"}


def write(dataset: DataSet, model: EntityModel, recipe: AlignmentRecipe, found: dict[str, Any]) -> str:
    """The card's text; a figure that was not measured has no row."""
    titles = dataset.graph.titles if dataset.graph is not None else ("graph 1", "graph 2")
    lines = [
        f"# {model.card.name} on {dataset.name}", "",
        f"Aligns *{titles[0]}* with *{titles[1]}* by {', '.join(model.config.modalities)}. Trained on the train links "
        f"of *{dataset.name}* (links: {dataset.word}), encoders frozen, seed {recipe.seed}, epoch {found['epoch']} of "
        f"{recipe.epochs} at most, learning rate {recipe.rate:g}; the epoch was chosen on the held-out valid links, "
        f"{found['seconds']:,} seconds.",
    ]  # fmt: skip
    if recipe.start:
        lines.append("Linear maps start from the main directions of the features (fusion/alignment/inputs.py).")
    test = found.get("test")
    if test is None:
        return "\n".join(lines) + "\n"
    if test["found"]["pairs"]:
        took = test["found"]
        lines.append(
            f"Iterative learning took up {took['pairs']:,} pairs without reading a link; of the {took['linked']:,} "
            f"that have one, {took['right'] / max(took['linked'], 1):.1%} are right."
        )
    lines += _main(test, titles) + _margin(found) + _seeds(found) + _modalities(test, found) + _slices(test)
    return "\n".join([*lines, "", *dataset.notes]).rstrip() + "\n"


def _main(test: dict[str, Any], titles: tuple[str, str]) -> list[str]:
    rows = {
        f"joint, {titles[0]} to {titles[1]}": test,
        f"joint, {titles[1]} to {titles[0]}": {k: test[f"back_{k}"] for k in COLUMNS},
        "joint, without CSLS": test["plain"],
    }
    rows |= {f"{m} alone" + (", of this checkpoint" if test["untrained"] else ""): one
             for m, one in test["alone"].items()}  # fmt: skip
    rows |= {f"untrained: {names}": one for names, one in test["untrained"].items()}
    lines = [
        "", f"{test['n']:,} links to test, each among {test['candidates']:,} candidates of the other graph, ties "
        f"against the model, CSLS with k = {test['csls']}; {titles[0]} to {titles[1]} where nothing else is said. "
        f"Untrained: sums of cosines of the features as they come, with CSLS. H@1 of the first row lies between "
        f"{test['hits1_low']:.3f} and {test['hits1_high']:.3f} (95 % bootstrap over links).", "",
    ]  # fmt: skip
    return lines + _table("evidence", rows)


def _margin(found: dict[str, Any]) -> list[str]:
    """How the runs compare with the best untrained sum of what they read."""
    said = found.get("margin", {})
    lines = []
    for name, one in said.items():
        how = "with CSLS" if name == "csls" else "without CSLS"
        lines.append(
            f"* Mean H@1 over seeds less that of {one['over']}, untrained, {how} ({one['other']:.3f}): "
            f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f}, links drawn together)."
        )
    return ["", *lines] if lines else []


def _table(what: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    head = [f"| {what} | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    return head + [f"| {name} | " + " | ".join(f"{row[k]:.3f}" for k in COLUMNS) + " |" for name, row in rows.items()]


def _seeds(found: dict[str, Any]) -> list[str]:
    seeds = found.get("seeds", [])
    if len(seeds) < 2:
        return []
    mean = {k: sum(one[k] for one in seeds) / len(seeds) for k in COLUMNS}
    rows = {f"seed {one['seed']}": one for one in seeds} | {"mean": mean}
    return ["", "The kept run is the first one, not the best one.", "", *_table("seed", rows)]


def _modalities(test: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What each modality does, and whether its weight says so."""
    stable = found.get("stability", {})
    lines = [
        "", "Without: H@1 when the modality is left out, the other weights kept. Weight and effect: Spearman, over the "
        "entities to test, of an entity's weight of the modality with how far its partner falls without it; - where "
        "one weight serves all. Seeds: mean Spearman of the weights over pairs of seeds.", "",
        "| modality | without | weight and effect | seeds |", "|---|---|---|---|",
    ]  # fmt: skip
    for m, one in test["without"].items():
        said = test["faithful"].get(m)
        faithful = "-" if said is None else f"{said[0]:.2f} ({said[1]:.2f} to {said[2]:.2f})"
        agreed = stable.get(m)
        lines.append(f"| {m} | {one['hits1']:.3f} | {faithful} | {'-' if agreed is None else f'{agreed:.2f}'} |")
    return lines


def _slices(test: dict[str, Any]) -> list[str]:
    if not test["slices"]:
        return []
    lines = ["", "| links | n | H@1 | MRR |", "|---|---|---|---|"]
    return lines + [f"| {name} | {one['n']:,} | {one['hits1']:.3f} | {one['mrr']:.3f} |"
                    for name, one in test["slices"].items()]  # fmt: skip
