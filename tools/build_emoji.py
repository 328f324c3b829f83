"""Builds the emoji graphs from pinned packages:  python tools/build_emoji.py --downloads DIR --out assets/data/emoji

Two graphs of the same emoji. One has Noto pictures, English names and keywords; the other Fluent flat pictures, Chinese
names and keywords. An emoji that both sets draw and both languages name is in both, flags apart; the same code points
are the same thing. Keywords that 2 to 60 emoji of a graph share are entities of that graph alone. What comes from one
source for both (subgroups, parts of joined emoji) is shuffled, and each triple goes to one graph only, so that no graph
copies the other. Rows and ids are shuffled in each graph. DIR and the tools are those of build_gloss.py; run that one
and build_names.py first: their pictures are used, not stored again. The same inputs give the same bytes.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from build_gloss import unpack
from gloss_links import VARIATION, Emoji, read_emoji
from gloss_pictures import Drawings, save

SEED = 37
FEWEST, MOST = 2, 60  # emoji that share a keyword which is an entity
TRAIN, HELD = 475, 48  # links to learn from, and how many of them to choose by
JOINER = "\u200d"
LANGUAGES = ("en", "zh")
RELATIONS = ("hasKeyword", "inSubgroup", "hasPart")
CLDR = (("cldr-annotations-full", "annotations"), ("cldr-annotations-derived-full", "annotationsDerived"))


def annotations(root: Path, language: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Names and keywords of one language by emoji, without variation selectors."""
    names, keywords = {}, {}
    for package, folder in CLDR:
        table = json.loads((root / package / folder / language / "annotations.json").read_text("utf-8"))
        for text, row in table[folder]["annotations"].items():
            bare = text.replace(VARIATION, "")
            keywords[bare] = list(dict.fromkeys(row.get("default", [])))
            if "tts" in row:
                names[bare] = row["tts"][0]
    return names, keywords


def bare(emoji: Emoji) -> str:
    """Its characters without variation selectors."""
    return emoji.text.replace(VARIATION, "")


def chosen(root: Path, drawings: Drawings) -> list[Emoji]:
    """Emoji that are no flag, with a picture in both sets and a name in both languages."""
    named = [annotations(root, language)[0] for language in LANGUAGES]
    return [
        one
        for one in read_emoji(root)
        if one.file and one.group != "Flags" and one.code in drawings.fluent and all(bare(one) in n for n in named)
    ]


def shared_triples(emoji: list[Emoji], rng: np.random.Generator) -> list[list[tuple[int, int, str]]]:
    """(emoji, relation, subgroup or part) that one source says of both graphs, dealt out: each to one graph only."""
    place = {bare(one): at for at, one in enumerate(emoji)}
    found = [(at, 1, one.subgroup) for at, one in enumerate(emoji)]
    for at, one in enumerate(emoji):
        parts = bare(one).split(JOINER)
        found += [(at, 2, part) for part in dict.fromkeys(parts) if len(parts) > 1 and part in place]
    order = [found[at] for at in rng.permutation(len(found))]
    return [order[: len(order) // 2], order[len(order) // 2 :]]


class Side:
    """One graph: its entities in shuffled rows, and its triples."""

    def __init__(
        self, emoji: list[Emoji], words: list[list[str]], dealt: list[tuple[int, int, str]], rng: np.random.Generator
    ) -> None:
        """`words`: keywords of each emoji in this language; `dealt`: its share of the triples from one source."""
        shared = Counter(word for own in words for word in own)
        self.keywords = sorted(word for word, count in shared.items() if FEWEST <= count <= MOST)
        self.subgroups = sorted({what for _, relation, what in dealt if relation == 1})
        count = len(emoji) + len(self.keywords) + len(self.subgroups)
        self.row = rng.permutation(count)  # what it is -> its row in this graph
        keyword = {word: len(emoji) + at for at, word in enumerate(self.keywords)}
        group = {name: len(emoji) + len(self.keywords) + at for at, name in enumerate(self.subgroups)}
        place = {bare(one): at for at, one in enumerate(emoji)}
        triples = [(at, 0, keyword[word]) for at, own in enumerate(words) for word in own if word in keyword]
        triples += [(at, relation, group[what] if relation == 1 else place[what]) for at, relation, what in dealt]
        self.triples = sorted((int(self.row[h]), r, int(self.row[t])) for h, r, t in triples)

    def __len__(self) -> int:
        return len(self.row)


def build(root: Path, out: Path) -> dict[str, object]:
    """Writes entities.parquet and graph.npz, draws what is missing; returns what meta.json says."""
    rng = np.random.default_rng(SEED)
    drawings = Drawings(root)
    for code in [code for code in drawings.fluent if code.startswith("0")]:  # that set writes 00a9 for a9
        drawings.fluent["-".join(part.lstrip("0") for part in code.split("-"))] = drawings.fluent[code]
    emoji = chosen(root, drawings)
    both = [annotations(root, language) for language in LANGUAGES]
    words = [[keywords[bare(one)] for one in emoji] for _, keywords in both]
    dealt = shared_triples(emoji, rng)
    sides = [Side(emoji, own, share, rng) for own, share in zip(words, dealt, strict=True)]
    pictures = [first_pictures(out, emoji), second_pictures(out, emoji, drawings)]
    rows = [
        row for at, side in enumerate(sides) for row in entities(at, side, emoji, both[at][0], words[at], pictures[at])
    ]
    frame = pd.DataFrame(rows)
    offset = len(sides[0])
    triples = np.array(sides[0].triples + [(h + offset, r, t + offset) for h, r, t in sides[1].triples], dtype=np.int32)
    links = np.stack((sides[0].row[: len(emoji)], sides[1].row[: len(emoji)] + offset), 1).astype(np.int32)
    links = links[np.argsort(links[:, 0])]
    split = np.full(len(emoji), 2, dtype=np.uint8)
    order = rng.permutation(len(emoji))
    split[order[:TRAIN]], split[order[:HELD]] = 0, 1
    aside = out / ".entities.parquet"
    frame.to_parquet(aside, index=False, compression="zstd")
    os.replace(aside, out / "entities.parquet")
    with (out / ".graph.npz").open("wb") as stream:
        np.savez_compressed(stream, triples=triples, links=links, split=split)
    os.replace(out / ".graph.npz", out / "graph.npz")
    return {"word": "silver", "seed": SEED, "relations": RELATIONS, "counts": counts(frame, triples, links, split)}


def entities(
    side: int, graph: Side, emoji: list[Emoji], names: dict[str, str], words: list[list[str]], pictures: list[str]
) -> list[dict[str, object]]:
    """The rows of one graph in their shuffled order."""
    made: list[dict[str, object]] = [
        {"name": names[bare(one)], "words": own, "image": picture, "kind": one.group, "emoji": one.text}
        for one, own, picture in zip(emoji, words, pictures, strict=True)
    ]
    made += [{"name": word, "words": [], "image": "", "kind": "keyword", "emoji": ""} for word in graph.keywords]
    made += [{"name": "", "words": [], "image": "", "kind": "subgroup", "emoji": ""} for _ in graph.subgroups]
    what = np.argsort(graph.row)
    return [
        {"id": f"{LANGUAGES[side]}-{at:04d}", "side": side} | made[int(which)] for at, which in enumerate(what)
    ]  # fmt: skip


def first_pictures(out: Path, emoji: list[Emoji]) -> list[str]:
    """The Noto pictures of the other sets, below assets/data."""
    known = pd.read_parquet(out.parent / "names" / "items.parquet").set_index("id")["image"]
    return [known[f"n{one.code}"] for one in emoji]


def second_pictures(out: Path, emoji: list[Emoji], drawings: Drawings) -> list[str]:
    """The Fluent pictures of the other sets; those that these lack are drawn here."""
    known = pd.read_parquet(out.parent / "names" / "items.parquet").set_index("id")["image2"]
    found = []
    for one in emoji:
        path = known[f"n{one.code}"]
        if not path:
            drawn = drawings.second(one)
            assert drawn is not None
            path = f"emoji/images/{one.code}.png"
            save(drawn, out.parent / path)
        found.append(path)
    return found


def counts(frame: pd.DataFrame, triples: np.ndarray, links: np.ndarray, split: np.ndarray) -> dict[str, object]:
    """What the card's tables say."""
    both = []
    for side in (0, 1):
        mine = (frame["side"] == side).to_numpy()
        own = triples[mine[triples[:, 0]]]
        reached = np.zeros(len(frame), dtype=bool)
        reached[own[:, [0, 2]].ravel()] = True
        both.append(
            {
                "entities": int(mine.sum()),
                "entities_with_a_triple": int((mine & reached).sum()),
                "emoji_without_a_triple": int((mine & ~reached).sum()),
                "keywords": int((mine & (frame["kind"] == "keyword").to_numpy()).sum()),
                "subgroups": int((mine & (frame["kind"] == "subgroup").to_numpy()).sum()),
                "triples": len(own),
                **{name: int((own[:, 1] == at).sum()) for at, name in enumerate(RELATIONS)},
            }
        )
    names = [set(frame.loc[(frame["side"] == side) & (frame["name"] != ""), "name"]) for side in (0, 1)]
    return {
        "graphs": both,
        "links": len(links),
        **{name: int((split == at).sum()) for at, name in enumerate(("train", "valid", "test"))},
        "names_equal_on_both_sides": sorted(names[0] & names[1]),
    }


def main() -> None:
    """Reads the arguments, builds, and writes meta.json; the baselines in it are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "meta.json"
    kept = json.loads(path.read_text("utf-8")).get("baselines", {}) if path.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        unpack(arguments.downloads, Path(folder))
        meta = build(Path(folder), arguments.out) | {"baselines": kept}
    aside = arguments.out / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(aside, path)
    print(json.dumps(meta["counts"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
