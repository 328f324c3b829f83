"""Builds the emoji names set from pinned packages:  python tools/build_names.py --downloads DIR --out assets/data/names

Every Noto picture that is neither a flag nor a skin tone, with its English CLDR name and keywords as text: more pairs
to learn matching from. A picture of the gloss set keeps that set's split and fold and is not stored twice, so nothing
held out there is trained on here. DIR and the tools are those of build_gloss.py; run that one first.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import pandas as pd
from build_gloss import unpack
from gloss_links import VARIATION, Emoji, read_emoji
from gloss_pictures import Drawings, save

SKIN_TONES = {f"1f3f{x}" for x in "bcdef"}


def keywords(root: Path) -> dict[str, list[str]]:
    """English CLDR keywords by emoji, without variation selectors."""
    found: dict[str, list[str]] = {}
    for package, folder in (
        ("cldr-annotations-full", "annotations"),
        ("cldr-annotations-derived-full", "annotationsDerived"),
    ):
        table = json.loads((root / package / folder / "en/annotations.json").read_text("utf-8"))
        for text, row in table[folder]["annotations"].items():
            found[text.replace(VARIATION, "")] = row.get("default", [])
    return found


def wanted(emoji: Emoji) -> bool:
    """Whether an emoji has a picture of its own thing."""
    return bool(emoji.file) and not emoji.country and not SKIN_TONES & set(emoji.code.split("-")[1:])


def build(root: Path, out: Path) -> int:
    """Draw what the gloss set lacks and write items.parquet. -> rows"""
    gloss = pd.read_parquet(out.parent / "gloss" / "items.parquet")
    known = gloss.drop_duplicates("image").set_index("image")[["split", "fold"]]
    second = {path.name for path in (out.parent / "gloss" / "images2").iterdir()}
    words, drawings, rows = keywords(root), Drawings(root), []
    for one in filter(wanted, read_emoji(root)):
        name = f"{one.code}.png"
        in_gloss = f"images/{name}" in known.index
        other = name in second
        if not in_gloss:
            save(drawings.first(one), out / "images" / name)
            drawn = drawings.second(one)
            other = drawn is not None
            if drawn is not None:
                save(drawn, out / "images2" / name)
        place = "gloss" if in_gloss else "names"
        split, fold = known.loc[f"images/{name}"] if in_gloss else ("train", -1)
        rows.append(
            {
                "id": f"n{one.code}",
                "text": ", ".join(dict.fromkeys([one.name, *words.get(one.text.replace(VARIATION, ""), [])])),
                "image": f"{place}/images/{name}",
                "image2": f"{place}/images2/{name}" if other else "",
                "emoji": one.text,
                "name": one.name,
                "group": one.group,
                "subgroup": one.subgroup,
                "split": split,
                "fold": int(fold),
            }
        )
    aside = out / ".items.parquet"
    pd.DataFrame(rows).to_parquet(aside, index=False, compression="zstd")
    os.replace(aside, out / "items.parquet")
    return len(rows)


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        unpack(arguments.downloads, Path(folder))
        print(build(Path(folder), arguments.out), "rows")


if __name__ == "__main__":
    main()
