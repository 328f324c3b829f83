"""Planted mismatch: an exact share of the pairs gets the picture of another one, so that a score has a ground truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fusion.data.dataset import DataSet
from fusion.files import digest
from fusion.types import FusionError, Image, Sample

ENDS = 4096  # bytes at each end of a file; files of one size that agree in both are taken as the same picture


def mismatch(dataset: DataSet, rate: float, seed: int, within: str = "") -> tuple[DataSet, np.ndarray]:
    """The data set with round(rate x pairs) pictures exchanged, and which samples they are. -> (DataSet, (N,) bool)

    rate in [0, 1]; pairs are the samples with a picture. Those chosen exchange pictures among themselves, and none gets
    one that equals its own in path or content. within: a column of the note, such as "group"; pictures then only change
    places between samples that agree in it. An exchanged sample has note["mismatched"] "1" and in note["image_of"] the
    id of the sample that its picture came from; the others have note["mismatched"] "0".
    Raises FusionError on a rate outside [0, 1], or where too few pairs have another picture to exchange with.
    """
    if not 0.0 <= rate <= 1.0:  # NaN as well
        raise FusionError(f"A mismatch rate of {rate:g} is no share; give a number from 0 to 1, such as 0.2.")
    pairs = [row for row, sample in enumerate(dataset.samples) if sample.image() is not None]
    count = round(rate * len(pairs))
    random = np.random.default_rng(seed)
    donor = _donors(dataset.samples, pairs, count, within, random, dataset.name) if count else {}
    samples = tuple(_exchanged(dataset.samples, row, donor.get(row)) for row in range(len(dataset.samples)))
    planted = np.zeros(len(samples), dtype=bool)
    planted[list(donor)] = True
    how = f"mismatch {rate!r} {seed} {within}"
    key = f"{dataset.key}-mismatch-{round(rate * 100)}-{seed}" + (f"-{digest(within)[:4]}" if within else "")
    name = f"{dataset.name}, {count} of {len(pairs)} pictures exchanged"
    return replace(dataset, key=key, name=name, samples=samples, digest=digest(dataset.digest, how)), planted


def _exchanged(samples: Sequence[Sample], row: int, donor: int | None) -> Sample:
    sample = samples[row]
    if donor is None:
        return replace(sample, note={**sample.note, "mismatched": "0"})
    note = {**sample.note, "mismatched": "1", "image_of": samples[donor].id}
    return replace(sample, parts={**sample.parts, "image": samples[donor].parts["image"]}, note=note)


def _donors(
    samples: Sequence[Sample], pairs: list[int], count: int, within: str, random: np.random.Generator, name: str
) -> dict[int, int]:
    """The sample that each chosen one takes its picture from."""
    picture = dict(zip(pairs, _pictures([samples[row].parts["image"] for row in pairs]), strict=True))
    groups: dict[str, list[int]] = defaultdict(list)
    for row in pairs:
        groups[samples[row].note.get(within, "") if within else ""].append(row)
    able = [row for rows in groups.values() if len({picture[row] for row in rows}) > 1 for row in rows]
    if len(able) < count:
        where = f' of the same "{within}"' if within else ""
        raise FusionError(
            f'{count} pictures of "{name}" were to be exchanged, but only {len(able)} pairs have another picture'
            f"{where} to exchange with; give a lower rate."
        )
    chosen = set(random.choice(np.sort(able), count, replace=False).tolist())
    donor: dict[int, int] = {}
    for rows in groups.values():
        among = [row for row in rows if row in chosen]
        for row, other in zip(among, _deranged(among, picture, random), strict=True):
            if picture[other] == picture[row]:  # one picture is over half of those chosen: the others of the group help
                other = int(random.choice([one for one in rows if picture[one] != picture[row]]))
            donor[row] = other
    return donor


def _deranged(rows: list[int], picture: dict[int, int], random: np.random.Generator) -> list[int]:
    """For each row, in order, another row: a permutation in which no picture meets itself if there is one.

    Rows of one picture stand together on a ring, the pictures in a random order; each row takes what lies as many
    places on as the most frequent picture has rows.
    """
    if not rows:
        return []
    order = {
        kind: place for place, kind in enumerate(random.permutation(sorted({picture[row] for row in rows})).tolist())
    }
    ring = sorted(random.permutation(rows).tolist(), key=lambda row: order[picture[row]])
    step = max(Counter(picture[row] for row in rows).values())
    taken = {row: ring[(at + step) % len(ring)] for at, row in enumerate(ring)}
    return [taken[row] for row in rows]


def _pictures(images: Sequence[object]) -> list[int]:
    """A number a picture; equal for the same path, the same bytes, and files of one size that agree at both ends."""
    marks: dict[object, object] = {}
    sizes: dict[int, list[Image]] = defaultdict(list)
    for image in {image for image in images if isinstance(image, Image)}:
        if image.data is not None:
            marks[image] = digest(image.data)
        elif image.path is not None:
            marks[image] = image.path
            sizes[image.path.stat().st_size if image.path.exists() else -1].append(image)
    for size, alike in sizes.items():
        if size >= 0 and len(alike) > 1:
            marks |= {image: (size, _ends(image)) for image in alike}
    numbers: dict[object, int] = {}
    return [numbers.setdefault(marks[image], len(numbers)) for image in images]


def _ends(image: Image) -> str:
    assert image.path is not None, "only files are compared by their ends"
    with image.path.open("rb") as stream:
        first = stream.read(ENDS)
        stream.seek(max(image.path.stat().st_size - ENDS, 0))
        return digest(first, stream.read(ENDS))
