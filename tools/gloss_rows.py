"""The rows of the gloss set: sentences with a picture, masked, tagged and split."""

import json
import random
from dataclasses import dataclass, field

from gloss_links import Emoji, Link
from gloss_tags import Name, mask, tag
from gloss_wordnet import Nouns, sentences

SEED = 7
CAP = 40  # sentences a flag: without it the United States alone would have over two thousand
FOLDS = 5
TEST_FOLD, SHARED_FOLD = 4, 3  # a fifth of the pictures is test; every second one of the next fifth is valid


@dataclass
class Row:
    """One sentence with one picture."""

    id: str
    part: str  # picture | flag | country
    kind: str  # definition | example
    text: str
    text_full: str
    emoji: Emoji
    synset: str
    headword: str
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    split: str = ""
    fold: int = -1


def named_rows(links: list[Link], nouns: Nouns, names: dict[str, Name], plurals: dict[str, list[str]]) -> list[Row]:
    """Part A: the glosses of the linked senses, headword and synonyms masked."""
    rows = []
    for one in links:
        synset = nouns.synsets[one.synset]
        part = "flag" if one.emoji.country else "picture"
        for count, (kind, full) in enumerate(sentences(synset.gloss)):
            text = mask(full, (*synset.forms, one.emoji.word), plurals)
            spans = [(start, end, name.kind) for start, end, name in tag(text, names)]
            rows.append(
                Row(f"a{one.synset}-{count}", part, kind, text, full, one.emoji, one.synset, one.emoji.word, spans)
            )
    return rows


def country_rows(links: list[Link], nouns: Nouns, names: dict[str, Name], taken: set[str]) -> list[Row]:
    """Part B: sentences that name exactly one country with a flag, at most CAP a flag, chosen by the seed.

    Synsets of part A stay out, and a synset keeps its first flag: so neither a synset nor a picture is in two splits.
    """
    flags = {one.synset: one.emoji for one in links if one.emoji.country}
    found: dict[str, list[Row]] = {offset: [] for offset in flags}
    for synset in nouns.synsets.values():
        if synset.offset in taken:
            continue
        own = ""
        for count, (kind, text) in enumerate(sentences(synset.gloss)):
            spans = tag(text, names)
            named = {name.synset for *_, name in spans if name.synset in flags}
            if len(named) != 1 or (own and named != {own}):
                continue
            own = named.pop()
            marks = [(start, end, name.kind) for start, end, name in spans]
            row = Row(
                f"b{synset.offset}-{count}",
                "country",
                kind,
                text,
                text,
                flags[own],
                synset.offset,
                synset.forms[0],
                marks,
            )
            found[own].append(row)
    rows = []
    for offset, candidates in found.items():
        chosen = random.Random(f"{SEED}:{offset}").sample(range(len(candidates)), min(CAP, len(candidates)))
        rows += [candidates[i] for i in sorted(chosen)]
    return rows


def split(rows: list[Row]) -> None:
    """Gives every picture one fold and one split, so that no picture and no synset is in two.

    Pictures are dealt in turn within their group; flags from the most sentences to the fewest, forth and back, so that
    the folds are of a size.
    """
    weight: dict[str, int] = {}
    stratum: dict[str, str] = {}
    for row in rows:
        weight[row.emoji.code] = weight.get(row.emoji.code, 0) + 1
        stratum[row.emoji.code] = "Flags" if row.emoji.country else row.emoji.group
    place: dict[str, tuple[int, str]] = {}
    dealt = {"Flags": 0, "": 0}
    for name in sorted(set(stratum.values())):
        codes = sorted(code for code in stratum if stratum[code] == name)
        random.Random(f"{SEED}:{name}").shuffle(codes)
        if name == "Flags":
            codes.sort(key=lambda code: -weight[code])  # stable: equals stay shuffled
        queue = "Flags" if name == "Flags" else ""
        for code in codes:
            turn, at = divmod(dealt[queue], FOLDS)
            fold = FOLDS - 1 - at if turn % 2 else at
            place[code] = (
                fold,
                "test" if fold == TEST_FOLD else "valid" if fold == SHARED_FOLD and turn % 2 else "train",
            )
            dealt[queue] += 1
    for row in rows:
        row.fold, row.split = place[row.emoji.code]


def as_record(row: Row, second: set[str], verdict: dict[str, str], gold: dict[str, str]) -> dict[str, object]:
    """One line of items.parquet. `second` holds the codes with a Fluent picture."""
    code = row.emoji.code
    return {
        "id": row.id,
        "part": row.part,
        "kind": row.kind,
        "text": row.text,
        "text_full": row.text_full,
        "image": f"images/{code}.png",
        "image2": f"images2/{code}.png" if code in second else "",
        "emoji": row.emoji.text,
        "name": row.emoji.name,
        "group": row.emoji.group,
        "subgroup": row.emoji.subgroup,
        "synset": row.synset,
        "headword": row.headword,
        "split": row.split,
        "fold": row.fold,
        "protocol": row.part == "picture" and row.kind == "definition",
        "link_ok": verdict.get(row.synset, "keep") != "strike",
        "silver": json.dumps([list(span) for span in row.spans]),
        "gold": gold.get(row.id, ""),
    }
