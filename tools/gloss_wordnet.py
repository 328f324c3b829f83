"""Reads WordNet's noun files: the synsets, their glosses as sentences, and which entity type a named instance has.

Source: the formats that WordNet's own manual pages wndb(5) and lexnames(5) describe.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIN_WORDS = 3  # a sentence shorter than this says too little to match or to tag

# Each entity type and the synsets (form, lexicographer file) that mean it.
ANCHORS = {
    "PER": (("person", 3), ("spiritual being", 18)),
    "LOC": (
        ("location", 3),
        ("region", 15),
        ("dry land", 17),
        ("geological formation", 17),
        ("celestial body", 17),
        ("body of water", 17),
        ("structure", 6),
    ),
    "ORG": (("organization", 14), ("social group", 14)),
    "MISC": (("event", 3),),
}

PLACES = (15, 17)  # lexicographer files of locations and natural objects: LOC where no anchor stands above

QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True)
class Synset:
    """One noun sense: where it stands in the file, its words, its parents and its gloss."""

    offset: str  # 8 digits
    lexfile: int  # number of the lexicographer file, see lexnames(5)
    forms: tuple[str, ...]  # as written, with spaces
    parents: tuple[str, ...]  # hypernyms
    classes: tuple[str, ...]  # what it is an instance of; empty for a class
    gloss: str


@dataclass(frozen=True)
class Nouns:
    """All noun synsets, and the senses of every lower-case form in WordNet's order of frequency."""

    synsets: dict[str, Synset]
    senses: dict[str, tuple[str, ...]]

    def of(self, form: str) -> tuple[str, ...]:
        """Offsets of the senses of a form, () when WordNet lacks it."""
        return self.senses.get(form.lower(), ())


def read_nouns(folder: Path) -> Nouns:
    """The nouns of a folder that holds data.noun and index.noun."""
    synsets = {}
    for line in (folder / "data.noun").read_text("utf-8").splitlines():
        if not line.startswith("  "):  # the licence stands at the head, indented
            synset = read_synset(line)
            synsets[synset.offset] = synset
    senses = {}
    for line in (folder / "index.noun").read_text("utf-8").splitlines():
        if not line.startswith("  "):
            fields = line.split()
            senses[fields[0].replace("_", " ")] = tuple(fields[-int(fields[2]) :])
    return Nouns(synsets, senses)


def read_synset(line: str) -> Synset:
    """One line of data.noun."""
    head, gloss = line.split("|", 1)
    fields = head.split()
    words = int(fields[3], 16)  # hexadecimal, the only such field
    forms = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(words))
    start = 4 + 2 * words
    pointers = [fields[start + 1 + 4 * i : start + 5 + 4 * i] for i in range(int(fields[start]))]
    parents = tuple(target for symbol, target, *_ in pointers if symbol == "@")
    classes = tuple(target for symbol, target, *_ in pointers if symbol == "@i")
    return Synset(fields[0], int(fields[1]), forms, parents, classes, gloss.strip())


def sentences(gloss: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each sentence: the definition, then every quoted usage example, of MIN_WORDS words or more."""
    cut = re.search(r';\s*"', gloss)
    definition = gloss[: cut.start()] if cut else gloss
    examples = QUOTED.findall(gloss[cut.start() :]) if cut else []
    for kind, text in (("definition", definition), *(("example", example) for example in examples)):
        tidy = re.sub(r"\s+", " ", text).strip(" ;")
        if len(re.findall(r"\w+", tidy)) >= MIN_WORDS:
            yield kind, tidy


def typed_by(nouns: Nouns) -> dict[str, str]:
    """The entity type of each anchor synset: {offset: LOC | PER | ORG | MISC}. Raises KeyError if WordNet lacks one."""
    found = {}
    for kind, anchors in ANCHORS.items():
        for name, lexfile in anchors:
            match = [o for o in nouns.of(name) if nouns.synsets[o].lexfile == lexfile]
            if not match:
                raise KeyError(f"{name} in lexicographer file {lexfile}")
            found[match[0]] = kind
    return found


def instance_type(nouns: Nouns, synset: Synset, anchors: dict[str, str]) -> str:
    """LOC, PER, ORG or MISC of a named instance: the nearest anchor above it, else by its file."""
    level = list(synset.classes)
    seen = set()
    while level:
        for offset in level:
            if offset in anchors:
                return anchors[offset]
        seen.update(level)
        level = [p for o in level for p in nouns.synsets[o].parents if p not in seen]
    return "LOC" if synset.lexfile in PLACES else "MISC"
