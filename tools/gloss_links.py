"""Which WordNet sense each emoji picture shows, and which country each flag stands for."""

import json
from dataclasses import dataclass
from pathlib import Path

from gloss_wordnet import Nouns

FLAG = "flag: "
VARIATION = "️"  # asks for a coloured drawing; names are kept without it
LETTER_A = 0x1F1E6  # regional indicator A; two of them spell an ISO 3166 code
TAG_BASE = 0xE0000  # tag characters spell a subdivision after a black flag
COUNTRY_CLASSES = ("country", "island", "district")  # what a flag's bearer is an instance of, the likeliest first

# Countries that CLDR and WordNet call by different names.
ALIASES = {
    "Antigua & Barbuda": "Antigua and Barbuda",
    "Bosnia & Herzegovina": "Bosnia and Herzegovina",
    "Congo - Brazzaville": "Republic of the Congo",
    "Congo - Kinshasa": "Democratic Republic of the Congo",
    "Curaçao": "Curacao",
    "Czechia": "Czech Republic",
    "Côte d’Ivoire": "Ivory Coast",
    "Eswatini": "Swaziland",
    "Hong Kong SAR China": "Hong Kong",
    "Macao SAR China": "Macao",
    "Myanmar (Burma)": "Myanmar",
    "North Macedonia": "Macedonia",
    "Palestinian Territories": "Palestine",
    "St. Helena": "Saint Helena",
    "St. Kitts & Nevis": "Saint Kitts and Nevis",
    "St. Vincent & Grenadines": "Saint Vincent and the Grenadines",
    "São Tomé & Príncipe": "Sao Tome and Principe",
    "Timor-Leste": "East Timor",
    "Trinidad & Tobago": "Trinidad and Tobago",
    "Türkiye": "Turkey",
}

# Flags whose bearer WordNet does not hold as a named instance; the name's instances are other places.
NOT_HELD = {"Jersey"}

# Lexicographer files (lexnames(5)) in tiers: the first tier that holds a sense of the name decides, and in it the most
# frequent sense. A subgroup's tiers stand before its group's.
TIERS: dict[str, tuple[tuple[int, ...], ...]] = {
    "Smileys & Emotion": ((18,), (8,), (6,), (10, 12, 17, 11)),
    "People & Body": ((18,), (8, 3), (6, 4, 10, 14)),
    "body-parts": ((8,),),
    "Animals & Nature": ((5, 20), (18,), (6,)),
    "Food & Drink": ((13,), (20,), (6,)),
    "Travel & Places": ((6,), (17,), (15, 28, 11, 4, 27, 9)),
    "place-geographic": ((17, 15), (6, 11, 4)),
    "sky & weather": ((17, 19), (6, 28, 11, 23)),
    "Activities": ((6,), (4,), (10, 18, 9)),
    "Objects": ((6,), (10, 21, 27), (20, 19)),
    "Symbols": ((10,), (6,), (4,)),
    "zodiac": ((15,), (17,)),
    "Flags": ((6,), (10,)),
}


@dataclass(frozen=True)
class Emoji:
    """One emoji: its characters, its English CLDR name, and where Unicode files it."""

    text: str
    name: str
    group: str
    subgroup: str
    code: str  # code points in hexadecimal, joined by "-", without variation selectors
    file: str  # name of its Noto picture, "" without one

    @property
    def country(self) -> str:
        """flag-icons' code of a country's flag, "" for any other picture."""
        if not self.name.startswith(FLAG):
            return ""
        marks = [ord(c) for c in self.text if c != VARIATION]
        if len(marks) == 2:
            return "".join(chr(ord("a") + m - LETTER_A) for m in marks)
        letters = "".join(chr(m - TAG_BASE) for m in marks[1:-1])
        return f"{letters[:2]}-{letters[2:]}"

    @property
    def word(self) -> str:
        """The name as WordNet writes it, without "flag: "."""
        name = self.name.removeprefix(FLAG)
        return ALIASES.get(name, name)


@dataclass(frozen=True)
class Link:
    """A picture and the one noun sense that it is taken to show."""

    emoji: Emoji
    synset: str  # offset
    senses: int  # how many noun senses the name has


def read_emoji(root: Path) -> list[Emoji]:
    """All emoji in Unicode's order, from the unpacked packages under `root` (one folder a package)."""
    groups = json.loads((root / "unicode-emoji-json/data-by-emoji.json").read_text("utf-8"))
    names = {}
    for package, folder in (
        ("cldr-annotations-full", "annotations"),
        ("cldr-annotations-derived-full", "annotationsDerived"),
    ):
        table = json.loads((root / package / folder / "en/annotations.json").read_text("utf-8"))
        names |= {k: v["tts"][0] for k, v in table[folder]["annotations"].items() if "tts" in v}
    pictures = {}
    for row in json.loads((root / "emoji-datasource-google/emoji.json").read_text("utf-8")):
        text = "".join(chr(int(part, 16)) for part in row["unified"].split("-"))
        pictures[text.replace(VARIATION, "")] = (row["image"] if row["has_img_google"] else "", row["subcategory"])
    found = []
    for text, row in groups.items():
        bare = text.replace(VARIATION, "")
        file, subgroup = pictures.get(bare, ("", ""))
        code = "-".join(f"{ord(c):x}" for c in bare)
        found.append(Emoji(text, names[bare], row["group"], subgroup, code, file))
    return found


def link(emoji: list[Emoji], nouns: Nouns) -> list[Link]:
    """Link A: each emoji whose name is a noun to one sense of it, and a sense to its first emoji."""
    taken: set[str] = set()
    links = []
    for one in emoji:
        sense = flag_sense(one, nouns) if one.country else picture_sense(one, nouns)
        if sense and sense not in taken and (one.country or one.file):
            taken.add(sense)
            links.append(Link(one, sense, len(nouns.of(one.word))))
    return links


def picture_sense(emoji: Emoji, nouns: Nouns) -> str:
    """The most frequent sense in the first tier that has one, "" without."""
    for tier in TIERS.get(emoji.subgroup, TIERS[emoji.group]):
        for offset in nouns.of(emoji.name):
            if nouns.synsets[offset].lexfile in tier:
                return offset
    return ""


def flag_sense(emoji: Emoji, nouns: Nouns) -> str:
    """The named instance that bears the flag: a country before an island before anything else, "" without."""
    if emoji.word in NOT_HELD:
        return ""
    named = [o for o in nouns.of(emoji.word) if nouns.synsets[o].classes and nouns.synsets[o].lexfile in (15, 17)]
    for kind in COUNTRY_CLASSES:
        for offset in named:
            if any(
                kind in word.lower().split()
                for parent in nouns.synsets[offset].classes
                for word in nouns.synsets[parent].forms
            ):
                return offset
    return named[0] if named else ""
