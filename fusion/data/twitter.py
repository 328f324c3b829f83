"""Twitter-2015 and Twitter-2017: folders of train.txt, valid.txt and test.txt in the IMGID format, plain or gzipped.

    IMGID:17
    token <TAB> tag
    ...
    (a blank line)

Tags are B- and I- of PER, LOC, ORG and MISC; 2015 writes OTHER for MISC. The pictures, named <id>.jpg, lie in a folder
below; without one it is a set of texts. Tweets come split into words, and keep them.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fusion.data.dataset import DataSet
from fusion.data.decoding import decode
from fusion.data.pairs import sentence, user_key, writable
from fusion.data.pictures import Pictures
from fusion.files import digest, shorten
from fusion.types import FusionError, Image, Sample, Text

SPLITS = {"train": ("train",), "valid": ("valid", "dev", "val"), "test": ("test",)}
ENDINGS = (".txt", ".txt.gz")
FOLDERS = ("images", "twitter2015_images", "twitter2017_images", "twitter_images")
BYTES = 64 * 2**20  # of one file, unpacked; the largest has half a megabyte
_TAG = re.compile(r"O|[BI]-(?:PER|LOC|ORG|MISC)")


def is_twitter(root: Path) -> bool:
    """Whether a folder has a file of a split that begins with IMGID."""
    return any(
        _opened(path, 4096).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"IMGID:") for path in _files(root).values()
    )


def read(root: Path) -> DataSet:
    """The tweets of a folder in the order train, valid, test. Raises FusionError when none can be read."""
    names = next((name for name in (*FOLDERS, f"{root.name}_images") if (root / name).is_dir()), "")
    pictures = Pictures(root)
    problems: list[str] = []
    samples: list[Sample] = []
    marks: list[str] = []
    late: Counter[str] = Counter()  # entities that begin with I-, by split
    for split, path in _files(root).items():
        data = _opened(path, BYTES + 1)
        if len(data) > BYTES:
            raise FusionError(f'"{path.name}" unpacks to more than {BYTES >> 20} MB; no Twitter split is that large.')
        marks.append(digest(split, data))
        seen: Counter[str] = Counter()
        for line, image_id, tokens in _tweets(decode(data, path.name)[0], path.name, problems):
            seen[image_id] += 1
            tags = _tags([tag for _, tag in tokens], f'"{path.name}", line {line}', problems)
            late[split] += _late(tags)
            words = tuple(writable(token) or "\ufffd" for token, _ in tokens)
            parts: dict[str, Text | Image] = {"text": Text(" ".join(words), words)}
            lacks = ""
            if names:
                found, wrong = pictures.find(f"{names}/{image_id}.jpg")
                if found is None:
                    lacks = sentence(wrong)
                    problems.append(f'"{path.name}", line {line}: {wrong}; the text stays without it')
                else:
                    parts["image"] = Image(path=found)
            id = f"{split}-{image_id}" + (f"-{seen[image_id]}" if seen[image_id] > 1 else "")
            samples.append(Sample(id, parts, split, tags, problem=lacks))
    if not samples:
        raise FusionError(
            f'"{root.name}" has no tweet that can be read: {problems[0] if problems else "its files are empty"}.'
        )
    mark = digest("twitter", *marks, pictures.fingerprint())
    notes = _notes(late, bool(names))
    return DataSet(user_key(root), root.name, tuple(samples), tuple(problems), "yours", root, mark, notes, str(root))


def _files(root: Path) -> dict[str, Path]:
    """The file of each split that is there."""
    found = {}
    for split, names in SPLITS.items():
        paths = [root / (name + ending) for name in names for ending in ENDINGS]
        there = next((path for path in paths if path.is_file()), None)
        if there is not None and there.resolve().is_relative_to(root.resolve()):
            found[split] = there
    return found


def _opened(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of a file, unpacked. Raises FusionError on one that can't be read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return stream.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        raise FusionError(
            f'"{path.name}" can\'t be read: it is damaged, or not yours to read. Copy it again.'
        ) from error


def _tweets(text: str, name: str, problems: list[str]) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Line of the IMGID, image id, and the (token, tag) pairs of each tweet; one without id or words is named."""
    at, image_id = 0, ""
    tokens: list[tuple[str, str]] = []
    for number, line in enumerate((*text.split("\n"), "IMGID:"), 1):  # one more ends the last tweet
        if line.startswith("IMGID:"):
            if image_id and tokens:
                yield at, image_id, tokens
            elif image_id or tokens:
                lacks = "words" if image_id else "line IMGID:<id> above its words"
                problems.append(f'"{name}", line {at or 1}: a tweet has no {lacks}; it was left out')
            at, image_id, tokens = number, writable(line[6:].strip()), []
        elif line.strip():
            token, _, tag = line.partition("\t")
            if not tag.strip():
                problems.append(f'"{name}", line {number}: it has no tag after a tab; its word was taken as O')
            tokens.append((token, tag.strip() or "O"))


def _tags(written: list[str], place: str, problems: list[str]) -> tuple[str, ...]:
    """Tags with MISC for OTHER; an unknown one is named and becomes O."""
    tags = [tag.replace("-OTHER", "-MISC") for tag in written]
    unknown = sorted({tag for tag in tags if not _TAG.fullmatch(tag)})
    if unknown:
        problems.append(f"{place}: unknown tags ({shorten(', '.join(unknown))}) were taken as O")
    return tuple("O" if tag in unknown else tag for tag in tags)


def _late(tags: tuple[str, ...]) -> int:
    """Entities that begin with I-: after O, or after another type."""
    return sum(tag[0] == "I" and before[1:] != tag[1:] for before, tag in zip(("O", *tags), tags, strict=False))


def _notes(late: Counter[str], pictures: bool) -> tuple[str, ...]:
    notes = [] if pictures else ["There is no folder of pictures: the texts stand alone."]
    if late.total():
        counts = ", ".join(f"{split} {count}" for split, count in late.items() if count)
        notes.append(f"Some entities begin with I- instead of B- ({counts}); they are kept as they are written.")
    return tuple(notes)
