"""Silver entity tags by a gazetteer that WordNet itself holds, the mask over a headword, and the word splitter's cut.

Three sources of names: named instances, typed by what they are instances of; capitalised bodies that WordNet files as
classes (NATO, Congress); and words for peoples, tongues and faiths (French, Germans), which CoNLL calls MISC.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from gloss_wordnet import Nouns, Synset, instance_type, typed_by

MASK = "something"  # one plain word: it reads as English, is one piece to a WordPiece model and is in no headword
LONGEST = 7  # words of the longest name that is looked for
WORD = re.compile(r"\w+|[^\w\s]")
BODIES = {"organization", "legislature"}  # sorts of body, ORG
# Sorts of people, tongues, faiths and their books, MISC ("testament": how WordNet files the two halves of the Bible).
PEOPLES = {"inhabitant", "religious person", "natural language", "ethnic group", "religion", "sacred text", "testament"}


@dataclass(frozen=True)
class Name:
    """What a written form stands for."""

    kind: str  # LOC | PER | ORG | MISC
    synset: str  # offset, "" for an adjective
    source: str  # instance | body | people


NOTHING = Name("", "", "")


def gazetteer(nouns: Nouns, adjectives: Path) -> dict[str, Name]:
    """Every capitalised form that names something, as written, to what its most frequent sense so written is."""
    anchors = typed_by(nouns)
    lower = {form for synset in nouns.synsets.values() for form in synset.forms if form.islower()}
    names: dict[str, Name] = {}
    for key, senses in nouns.senses.items():
        for offset in senses:  # in order of frequency
            synset = nouns.synsets[offset]
            for form in (f for f in synset.forms if f.lower() == key and f[0].isupper() and len(f) > 1):
                name = name_of(nouns, synset, anchors)
                if (
                    form in names
                ):  # the most frequent sense so written decides, but U.S. is the country before its government
                    if names[form].source == "body" and name and name.kind == "LOC":
                        names[form] = name
                    continue
                names[form] = name if name and not common(form, name, synset, lower) else NOTHING
    for form in pertaining(adjectives):
        if names.get(form, NOTHING) is NOTHING:
            names[form] = Name("MISC", "", "people")
    return {form: name for form, name in names.items() if name is not NOTHING}


def common(form: str, name: Name, synset: Synset, lower: set[str]) -> bool:
    """True for a single word that says something else more often than it names: King, Day; State, Interior."""
    if " " in form or form == synset.forms[0]:
        return form.lower() in lower and name.kind == "PER"
    if name.source == "body":
        return not (form.isupper() and len(form) > 2)
    return form.lower() in lower and name.kind in ("PER", "MISC")


def name_of(nouns: Nouns, synset: Synset, anchors: dict[str, str]) -> Name | None:
    """What a synset with a capitalised form names, None for what CoNLL leaves alone (taxa, months, titles)."""
    if synset.classes:
        return Name(instance_type(nouns, synset, anchors), synset.offset, "instance")
    above = {form for offset in ancestors(nouns, synset) for form in nouns.synsets[offset].forms}
    if above & PEOPLES:
        return Name("MISC", synset.offset, "people")
    if synset.lexfile == 14 and above & BODIES:
        return Name("ORG", synset.offset, "body")
    return None


def ancestors(nouns: Nouns, synset: Synset) -> set[str]:
    """Offsets of everything above a synset."""
    found: set[str] = set()
    level = list(synset.parents)
    while level:
        found.update(level)
        level = [parent for offset in level for parent in nouns.synsets[offset].parents if parent not in found]
    return found


def pertaining(adjectives: Path) -> list[str]:
    """Capitalised adjectives that pertain to a noun (French, Roman, Christian), from data.adj."""
    found = []
    for line in adjectives.read_text("utf-8").splitlines():
        fields = line.split("|", 1)[0].split()
        if line.startswith("  ") or fields[1] != "01":  # adj.pert
            continue
        words = int(fields[3], 16)
        forms = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(words)]
        found += [form for form in forms if form[0].isupper() and len(form) > 2]
    return found


def tag(text: str, names: dict[str, Name]) -> list[tuple[int, int, Name]]:
    """The longest names from left to right: (start, end, what). Spans are characters and cover whole words."""
    words = [(m.start(), m.end()) for m in WORD.finditer(text)]
    found, at = [], 0
    while at < len(words):
        for count in range(min(LONGEST, len(words) - at), 0, -1):
            start, end = words[at][0], words[at + count - 1][1]
            name = names.get(text[start:end]) or plural(text[start:end], names)
            if name and text[start].isupper():
                found.append((start, end, name))
                at += count
                break
        else:
            at += 1
    return found


def plural(form: str, names: dict[str, Name]) -> Name | None:
    """Peoples are written in the plural (Germans); other names are not looked for that way."""
    single = names.get(form[:-1]) if form.endswith("s") and len(form) > 4 else None
    return single if single and single.source == "people" else None


def mask(text: str, forms: tuple[str, ...], plurals: dict[str, list[str]]) -> str:
    """The text with every form, and its plural, replaced by MASK; forms in capitals (US) only where so written."""
    return masker(forms, plurals).sub(MASK, text) if forms else text


def masker(forms: tuple[str, ...], plurals: dict[str, list[str]]) -> re.Pattern[str]:
    """What `mask` replaces. `plurals` holds irregular ones by singular form."""
    exact, loose = [], []
    for form in sorted(set(forms), key=lambda f: (-len(f), f)):
        variants = [form, form + "s", form + "es", *plurals.get(form.lower(), [])]
        if form.endswith("y"):
            variants.append(form[:-1] + "ies")
        pattern = "|".join(re.escape(v).replace(r"\ ", r"[\s-]+") for v in sorted(variants, key=len, reverse=True))
        (exact if form.isupper() else loose).append(pattern)
    parts = [f"(?i:{'|'.join(loose)})"] if loose else []
    parts += [f"(?:{'|'.join(exact)})"] if exact else []
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")


def irregular_plurals(path: Path) -> dict[str, list[str]]:
    """noun.exc: {singular: [irregular plurals]}."""
    table: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        form, *singles = (
            line.replace("_", " ").split(" ") if "_" not in line else [p.replace("_", " ") for p in line.split()]
        )
        for single in singles:
            table.setdefault(single, []).append(form)
    return table
