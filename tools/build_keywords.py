"""Builds the emoji and keywords graph from pinned packages:

    python tools/build_keywords.py --downloads DIR --out assets/data/keywords

One graph to predict links in. Its entities are emoji (Noto picture, English name), the English keywords that 3 to 120
emoji share, and the subgroups and groups that Unicode files emoji under. An emoji's own name is not its keyword. What
has fewer than two triples is left out, until nothing more has to be. Triples are split 85 / 5 / 10 by a fixed seed, all
of two entities together; one is held out only while both its ends keep a training triple, and inGroup stays in train.
Rows and ids are shuffled. DIR and the tools are those of build_gloss.py; run that one and build_names.py first: their
pictures are used, none is stored again. The same inputs give the same bytes.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from build_emoji import JOINER, annotations, bare
from build_gloss import unpack
from gloss_links import Emoji, read_emoji
from keywords_card import write_card

from fusion.data.graphs import SPLITS
from fusion.data.keywords import spelled_within
from fusion.data.triples import split_triples

SEED = 37
FEWEST, MOST = 3, 120  # emoji that share a keyword which is an entity
LEAST = 2  # triples of an entity
RELATIONS = ("hasKeyword", "inSubgroup", "hasPart", "inGroup")
Thing = tuple[str, str]  # ("emoji", its code) | ("keyword", it) | ("subgroup", its name) | ("group", its name)


def described(
    emoji: list[Emoji], names: dict[str, str], keywords: dict[str, list[str]]
) -> set[tuple[Thing, int, Thing]]:
    """Every triple, before any entity is left out."""
    shared = Counter(word for one in emoji for word in keywords.get(bare(one), []))
    place = {bare(one): ("emoji", one.code) for one in emoji}
    found: set[tuple[Thing, int, Thing]] = set()
    for one in emoji:
        me = ("emoji", one.code)
        for word in keywords.get(bare(one), []):
            if FEWEST <= shared[word] <= MOST and word != names[bare(one)]:
                found.add((me, 0, ("keyword", word)))
        found.add((me, 1, ("subgroup", one.subgroup)))
        parts = bare(one).split(JOINER)
        found |= {(me, 2, place[part]) for part in parts if len(parts) > 1 and part in place}
        found.add((("subgroup", one.subgroup), 3, ("group", one.group)))
    return found


def pruned(triples: Iterable[tuple[Thing, int, Thing]]) -> list[tuple[Thing, int, Thing]]:
    """Without entities of fewer than LEAST triples, again and again until there are none; in a fixed order."""
    left = sorted(triples)
    while True:
        degree = Counter(end for head, _, tail in left for end in (head, tail))
        kept = [row for row in left if degree[row[0]] >= LEAST and degree[row[2]] >= LEAST]
        if len(kept) == len(left):
            return kept
        left = kept


def build(root: Path, out: Path) -> dict[str, object]:
    """Writes entities.parquet and graph.npz; returns what meta.json says."""
    rng = np.random.default_rng(SEED)
    known = pd.read_parquet(out.parent / "names" / "items.parquet").set_index("id")["image"]
    emoji = {one.code: one for one in read_emoji(root) if f"n{one.code}" in known.index}
    names, keywords = annotations(root, "en")
    triples = pruned(described(list(emoji.values()), names, keywords))
    things = sorted({end for head, _, tail in triples for end in (head, tail)})
    things = [things[at] for at in rng.permutation(len(things))]
    row = {thing: at for at, thing in enumerate(things)}
    rows = []
    for at, (kind, name) in enumerate(things):
        made = {"id": f"k-{at:04d}", "name": name.replace("-", " "), "image": "", "kind": kind, "emoji": ""}
        if kind == "emoji":
            one = emoji[name]
            made |= {"name": one.name, "image": known[f"n{name}"], "kind": one.group, "emoji": one.text}
        elif kind != "subgroup":
            made["name"] = name
        rows.append(made)
    numbers = np.array(sorted((row[head], relation, row[tail]) for head, relation, tail in triples), dtype=np.int32)
    split = split_triples(numbers, seed=SEED, stay=[RELATIONS.index("inGroup")])
    frame = pd.DataFrame(rows)
    aside = out / ".entities.parquet"
    frame.to_parquet(aside, index=False, compression="zstd")
    os.replace(aside, out / "entities.parquet")
    with (out / ".graph.npz").open("wb") as stream:
        np.savez_compressed(stream, triples=numbers, split=split)
    os.replace(out / ".graph.npz", out / "graph.npz")
    said = spelled_within(numbers, list(frame["name"]))
    return {
        "word": "silver", "seed": SEED, "relations": RELATIONS, "counts": counts(frame, numbers, split, said),
        "copied_test": np.flatnonzero(said & (split == SPLITS.index("test"))).tolist(),
    }  # fmt: skip


def counts(frame: pd.DataFrame, triples: np.ndarray, split: np.ndarray, said: np.ndarray) -> dict[str, object]:
    """What the card's tables say."""
    test = split == SPLITS.index("test")
    keyword = triples[:, 1] == RELATIONS.index("hasKeyword")
    plain = frame["kind"].value_counts()
    return {
        "entities": len(frame), "with_picture": int((frame["image"] != "").sum()),
        **{f"{name}s": int(plain[name]) for name in ("keyword", "subgroup", "group")},
        "triples": len(triples),
        **{name: int((split == at).sum()) for at, name in enumerate(SPLITS)},
        "relations": {
            name: {part: int(((triples[:, 1] == at) & (split == other)).sum()) for other, part in enumerate(SPLITS)}
            for at, name in enumerate(RELATIONS)
        },
        "test_keywords": int((test & keyword).sum()), "test_keywords_copied": int((test & keyword & said).sum()),
    }  # fmt: skip


def main() -> None:
    """Reads the arguments, builds, and writes meta.json and card.md."""
    parser = argparse.ArgumentParser(description="Builds the emoji and keywords graph from pinned packages.")
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        unpack(arguments.downloads, Path(folder))
        meta = build(Path(folder), arguments.out)
    path = arguments.out / "meta.json"
    aside = arguments.out / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(aside, path)
    write_card(arguments.out / "card.md", meta)
    print(json.dumps(meta["counts"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
