"""Writes the gloss set's card: what it is, how it was made and read, its counts, its warnings and its sources."""

import os
from pathlib import Path

KINDS = ("LOC", "PER", "ORG", "MISC")
COLUMNS = ("sentences", "definitions", "synsets", "pictures", "with_an_entity", *KINDS, "train", "valid", "test")
WHAT = (
    "WordNet glosses with silver entity tags, each with the picture of its headword or the flag of a country it names."
)
EXPLAINED = """\
## How it was made
1. Part `picture` and `flag`: an emoji whose English CLDR name is a WordNet noun, with the gloss of one sense.
   Lexicographer files decide between senses, in tiers by emoji group (tools/gloss_links.py); a flag takes the sense
   that is a country.
2. Part `country`: glosses that name exactly one country with a flag, at most 40 a flag, chosen by a seed.
3. The headword, its synonyms and their plurals are masked in parts `picture` and `flag` by the word "{mask}". Of ten
   masks tried it keeps a sentence nearest to the unmasked one for MiniLM (mean cosine .81; "it" .79, "[...]" .76,
   "[MASK]" .61), on the 132 picture sentences that hold their headword; only leaving the word out came nearer (.82),
   which would leave no place to see.
4. Tags: capitalised names that WordNet itself holds, the longest from left to right (tools/gloss_tags.py).
5. A picture has one fold and one split, and so has a synset. Test is a fifth of the pictures.

## What was read
- links_reviewed.tsv: every picture link, definition against emoji name, the doubtful ones against the picture.
  `strike`: another sense than the one drawn; `doubt`: near it. Struck links have `link_ok` false and leave the set;
  `protocol` marks every picture definition, struck or not. Flags were read by name only.
- gold_reviewed.tsv: {gold} sentences of the test split, drawn by a seed: 60 pictures, 40 flags, 200 countries. **Read
  once, by one reader**, who saw the silver tags, so what both overlooked is still there. CoNLL's four kinds: peoples,
  tongues, faiths and events are MISC; common nouns and titles stay outside; Latin names of plants and animals, months
  and currencies have no tag. The rule for the silver tags was not changed after the reading.
- Against those, the silver tags have precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f} by whole spans. Most
  are LOC ({LOC} of {spans}).

## Why the counts are what they are
- Names of peoples, tongues, faiths (MISC) and of bodies such as Congress (ORG) are in the gazetteer beside WordNet's
  named instances, and the most frequent sense *so written* decides: with the first sense of the lower-case form alone,
  Turkey would be a bird and never a country. So MISC is far more than named instances alone would give.
- The tiers keep more pictures than a filter by single files, since a name with no sense in the first tier may have one
  in the next; what that let in wrongly was struck by reading.
- Nineteen flags that CLDR and WordNet call by different names (Türkiye, Czechia) are linked by a table.
- Part `country` leaves out synsets of the other parts, and a synset keeps one flag, so that splits share neither.

## Warnings
- Tags are **silver**: made by a rule; they follow one gazetteer, so a tagger can score high by learning the list. ORG
  and PER are thin. Only the read sentences (`gold`) tell how good a tagger is, and they come from the same glosses.
- In part `country` every sentence holds an entity, and most are LOC: it suits matching, not tagging alone.
- A flag says which country a sentence names, never what type the entity has.
- Flags leave the picture score with nothing but colour: report flags and pictures apart. A test flag was never seen in
  training, so matching flags on the test split is close to guessing.
- Free-text search over pictures is weak: the image encoder knows breeds, not "a dog".
- Made for demonstration: not a measure to compare papers by.

## Starting points for matching
Measured on an earlier build of part `picture` (556 definitions, masked, links not yet read): gloss to image among 556,
R@1 / 5 / 10: chance .002 / .009 / .018, ConSE without training .063 / .128 / .167. Five folds of 112: two linear heads
.117 / .345 / .497, with ConSE .187 / .376 / .495. Matched or not, AUC against a random picture / one of the same group:
ConSE .64 / .61, heads .81 / .72.

## Sources

| package | version | licence | sha256 | used for |
|---|---|---|---|---|"""


def write_card(path: Path, meta: dict) -> None:
    """The card as Markdown, from what meta.json says."""
    lines = ["# Gloss pictures", "", WHAT, ""]
    lines += ["| part | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |"]
    lines += ["|" + "---|" * (len(COLUMNS) + 1)]
    for part, row in meta["counts"].items():
        lines.append(f"| {part} | " + " | ".join(f"{row[name]:,}" for name in COLUMNS) + " |")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in meta["links"].items())
    lines += [
        "",
        f"Picture definitions (`protocol`): {meta['protocol_definitions']}. Picture links read: {verdicts}.",
        "",
    ]
    scores = meta["silver_against_gold"]
    spans = sum(scores[kind] for kind in KINDS)
    lines.append(EXPLAINED.format(mask=meta["mask"], gold=meta["gold_sentences"], spans=spans, **scores))
    for name, row in meta["sources"].items():
        lines.append(f"| {name} | {row['version']} | {row['licence']} | `{row['sha256']}` | {row['used']} |")
    aside = path.with_name(f".{path.name}")
    aside.write_text("\n".join([*lines, "", "Full licence texts: LICENSES/."]) + "\n", "utf-8")
    os.replace(aside, path)
