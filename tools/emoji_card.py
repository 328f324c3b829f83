"""Writes the card of the emoji graphs from what was counted and measured."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEAD = """# Emoji, two ways

Word: **{word}**. Links are made by a rule: the same code point is the same thing. No person checked them all.

Two graphs of the same emoji, to align. Graph 1: Noto pictures, English names and keywords. Graph 2: Fluent flat
pictures, Chinese names and keywords. Flags are left out: Fluent draws no country's. Built by `tools/build_emoji.py`,
measured by `tools/measure_emoji.py`; sources, licences and checksums are in `../sources.tsv`.

## What is in it

| | graph 1 (en) | graph 2 (zh) |
|---|---|---|
"""
ROWS = {
    "entities": "entities",
    "entities_with_a_triple": "of them with a triple",
    "emoji_without_a_triple": "emoji without one",
    "keywords": "keyword entities",
    "subgroups": "subgroup entities, without name or picture",
    "triples": "triples",
    "hasKeyword": "hasKeyword",
    "inSubgroup": "inSubgroup",
    "hasPart": "hasPart",
}
BODY = """
{links:,} links: {train} to train on, {valid} held out of those to choose by, {test:,} to test.

* A keyword is an entity when 2 to 60 emoji of its graph share it; keyword entities are never shared between graphs.
* Subgroups and the parts of joined emoji come from one source. They were shuffled with seed {seed} and each triple was
  given to one graph only: none stands in both. How many of each kind a graph got depends on that shuffle alone, so the
  split of {shared:,} such triples differs by a few from other builds of the same recipe, their sum doesn't.
* Counts of entities here include emoji that no triple touches: they are kept, to show what a model does without
  structure.
* Rows and ids are shuffled in each graph, and kinds of entities are mixed: neither numbering nor order says anything.
* No emoji has the same name in both graphs. {equal} keyword entities do ({names}): a keyword entity has no link, so a
  shared spelling gives nothing away but a likely neighbour.
* An emoji's keywords, all of them, are also its `description` and its attributes.

## Without training

The own partner among the {test:,} test entities of the other graph, graph 1 to graph 2, ties against it. Pictures by
efficientnet-lite0, texts by use; scores brought to mean 0 and spread 1, then added; structure: damped random walks to
the {known} links that are known.

| evidence | H@1 | H@10 | MRR |
|---|---|---|---|
"""
TAIL = """
`structure / 4` is a weight chosen by others on test links of this recipe, so its row is optimistic. `description` is
the whole list of keywords as text: it says more than a name, and a model that reads it has to be compared with the rows
that have it.

## Warnings

* CLDR's Chinese names and keywords were translated from the English list: names and keywords are not independent.
* Names score by what the text encoder was taught, pictures by the conventions that vendors share.
* This is a small demonstration set. Its figures compare with nothing published.
"""


def write_card(path: Path, meta: Mapping[str, Any]) -> None:
    """Write the card aside and rename it. `meta`: what meta.json says. Any: what JSON holds."""
    counts = meta["counts"]
    both = counts["graphs"]
    text = HEAD.format(word=meta["word"])
    text += "".join(f"| {said} | {both[0][key]:,} | {both[1][key]:,} |\n" for key, said in ROWS.items())
    equal = counts["names_equal_on_both_sides"]
    text += BODY.format(
        **{name: counts[name] for name in ("links", "train", "valid", "test")},
        seed=meta["seed"], equal=len(equal), names=", ".join(equal), known=counts["train"] + counts["valid"],
        shared=sum(side[name] for side in both for name in ("inSubgroup", "hasPart")),
    )  # fmt: skip
    for name, row in meta["baselines"].items():
        text += f"| {name} | {row['hits_1']:.3f} | {row['hits_10']:.3f} | {row['mrr']:.3f} |\n"
    aside = path.with_name(f".{path.name}")
    aside.write_text(text + TAIL, "utf-8")
    os.replace(aside, path)
