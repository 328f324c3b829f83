"""The card of a trained checkpoint in Markdown: what it was trained on and how good it is, from its figures alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion.data import DataSet
    from fusion.models.maf import Config
    from fusion.training import Recipe

ROWS = {
    "f1": "span F1",
    "auc": "matching AUC, random picture",
    "auc_group": "matching AUC, picture of the same group",
    "text_r1": "text to image R@1",
    "text_r5": "text to image R@5",
    "text_r10": "text to image R@10",
    "image_r10": "image to text R@10",
}


def write(dataset: DataSet, config: Config, recipe: Recipe, figures: dict[str, Any]) -> str:
    """The card's text; a figure that was not measured has no row."""
    lines = [
        f"# MAF on {dataset.name}",
        "",
        f"Trained on the train split of *{dataset.name}* (labels: {dataset.word}), encoders frozen, "
        f"seed {recipe.seed}, "
        f"epoch {figures['epoch']} of {recipe.epochs} at most, learning rate {recipe.rate:g}, batch {recipe.batch}.",
        f"Padding in the matching head: {config.cm_padding}. "
        f"Negatives exchange {config.negatives}, {config.negative_rate} of a batch. "
        "The matching head starts from an aligned space (fusion/warm_start.py).",
        "",
        "Held-out figures (test split; the epoch was chosen on the validation split):",
        "",
    ]
    columns = [name for name in ("test", "pictures") if name in figures]
    lines += [
        "| figure | " + " | ".join(f"{c}, n = {figures[c]['n']}" for c in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for key, words in ROWS.items():
        cells = [f"{figures[c][key]:.3f}" if key in figures[c] else "-" for c in columns]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines += ["", *dataset.notes]
    return "\n".join(lines).rstrip() + "\n"
