"""Writes the gloss set's card: what it is, how it was made, its counts, its warnings and its sources."""

import os
from pathlib import Path

COLUMNS = (
    "sentences",
    "definitions",
    "synsets",
    "pictures",
    "with_an_entity",
    "LOC",
    "PER",
    "ORG",
    "MISC",
    "train",
    "valid",
    "test",
)
EXPLAINED = """\
## How it was made
1. Part `picture` and `flag`: an emoji whose English CLDR name is a WordNet noun, with the gloss of one sense. Lexicographer
   files decide between senses, in tiers by emoji group (tools/gloss_links.py); a flag takes the sense that is a country.
2. Part `country`: glosses that name exactly one country with a flag, at most 40 a flag, chosen by a seed.
3. The headword, its synonyms and their plurals are masked in parts `picture` and `flag` by the word "{mask}".
4. Tags: capitalised names that WordNet itself holds, the longest from left to right (tools/gloss_tags.py).
5. A picture has one fold and one split, and so has a synset. Test is a fifth of the pictures.

## Why the counts are what they are
- Names of peoples, tongues, faiths (MISC) and of bodies such as Congress (ORG) are in the gazetteer beside WordNet's named
  instances, and the most frequent sense *so written* decides: with the first sense of the lower-case form alone, Turkey
  would be a bird and never a country. So LOC and MISC are far more than named instances alone would give.
- The tiers keep more pictures than a filter by single files, since a name with no sense in the first tier may have one in
  the next; what that let in wrongly was struck by reading.
- Twenty countries that CLDR and WordNet call by different names (Türkiye, Czechia) are linked by a table.
- Part `country` leaves out synsets of the other parts, and a synset keeps one flag, so that splits share neither.

## Warnings
- Tags are **silver**: made by a rule, with low recall; they follow one gazetteer, so a tagger can score high by learning
  the list. ORG and PER are thin. Use the read sentences (`gold`) before calling an F1 a result. They were read once, by
  one reader.
- In part `country` every sentence holds an entity, and most are LOC: it suits matching, not tagging alone.
- A flag says which country a sentence names, never what type the entity has.
- Flags leave the picture score with nothing but colour: report flags and pictures apart.
- Links that were read and struck have `link_ok` false. `protocol` marks every picture definition, struck or not.
- Made for demonstration: not a measure to compare papers by.
"""


def write_card(path: Path, meta: dict) -> None:
    """The card as Markdown, from what meta.json says."""
    lines = [
        "# Gloss pictures",
        "",
        "WordNet glosses with silver entity tags, each with the picture of its headword or the flag of a country it names.",
        "",
    ]
    lines += [
        "| part | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]
    for part, row in meta["counts"].items():
        lines.append(f"| {part} | " + " | ".join(f"{row[name]:,}" for name in COLUMNS) + " |")
    lines += [
        "",
        f"Picture definitions (`protocol`): {meta['protocol_definitions']}. Sentences with read tags (`gold`): {meta['gold_sentences']}.",
    ]
    if meta["links"]:
        lines.append(
            "Picture links read: " + ", ".join(f"{count} {verdict}" for verdict, count in meta["links"].items()) + "."
        )
    lines += [
        "",
        EXPLAINED.format(mask=meta["mask"]),
        "## Sources",
        "",
        "| package | version | licence | sha256 | used for |",
        "|---|---|---|---|---|",
    ]
    for name, row in meta["sources"].items():
        lines.append(f"| {name} | {row['version']} | {row['licence']} | `{row['sha256']}` | {row['used']} |")
    aside = path.with_name(f".{path.name}")
    aside.write_text("\n".join([*lines, "", "Full licence texts: LICENSES/."]) + "\n", "utf-8")
    os.replace(aside, path)
