"""Writes the card of the emoji and keywords graph from what was counted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXT = """# Emoji and keywords

Word: **{word}**. Keywords, subgroups and groups are those of CLDR and Unicode, taken as they are; a rule made triples
of them. No person checked them all.

One graph, to predict links in: which keyword an emoji has, which emoji a keyword belongs to. Emoji have a Noto picture
and their English name; keywords, subgroups and groups have a name alone. Built by `tools/build_keywords.py`; sources,
licences and checksums are in `../sources.tsv`.

## What is in it

{entities:,} entities: {with_picture:,} emoji with a picture, {keywords:,} keywords, {subgroups} subgroups, {groups}
groups. {triples:,} triples: {train:,} to train on, {valid} to choose by, {test} to test.

| relation | train | valid | test |
|---|---|---|---|
{rows}
* A keyword is an entity when 3 to 120 emoji share it. An emoji's own name is not its keyword.
* Countries' flags and the skin tones are left out: they have no picture among the emoji sets that come with this.
* Entities with fewer than two triples are left out, until none is left.
* Split 85 / 5 / 10 with seed {seed}. A triple is held out only while both its ends keep a training triple. All triples
  between two entities, either way round, are in one split: none held out stands in train turned round or by another
  relation. `inGroup` stays in train: {groups} groups are too few to ask for.
* Rows and ids are shuffled: neither numbering nor order says anything.
* An emoji has no description: its keywords are what is to be found.

## What can be copied

{test_keywords_copied} of the {test_keywords} test triples of `hasKeyword` have the keyword literally in the emoji's
name ("red heart", "heart"), so that a model which reads names can copy it. Figures on the other
{test_keywords_left} are to be given apart. `copied_test` in `meta.json` lists the test triples with one name inside
the other, by their row in `graph.npz`.

## Warnings

* Many keywords are near synonyms, so a wrong answer is often a fair one.
* A name and a keyword of one emoji come from the same people: they are not independent.
* This is a small demonstration set. Its figures compare with nothing published.
"""


def write_card(path: Path, meta: Mapping[str, Any]) -> None:
    """Write the card aside and rename it. `meta`: what meta.json says. Any: what JSON holds."""
    counts = dict(meta["counts"])
    rows = "".join(
        f"| {name} | {of['train']:,} | {of['valid']:,} | {of['test']:,} |\n"
        for name, of in counts.pop("relations").items()
    )
    left = counts["test_keywords"] - counts["test_keywords_copied"]
    text = TEXT.format(word=meta["word"], seed=meta["seed"], rows=rows, test_keywords_left=left, **counts)
    aside = path.with_name(f".{path.name}")
    aside.write_text(text, "utf-8")
    os.replace(aside, path)
