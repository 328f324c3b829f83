"""Handwritten digits: a scan, another hand's scan of the same digit, and its English word letter by letter.

The scans are the 1,797 of scikit-learn's `load_digits` (the test part of Optical Recognition of Handwritten Digits,
Alpaydin and Kaynak 1998, CC BY 4.0): 8 x 8 counts of dark pixels, 0 to 16, here divided by 16. They come as fourteen
forms one after the other, each of which repeats one sequence of digits in one hand, so whole forms go to a split: nine
to train on, two to choose by, three to test. What is synthetic: which two scans are a pair (drawn with a fixed seed
among those of the same digit in the same split, another form where there is one) and how the word is spelled.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pictures

from fusion.data.dataset import DataSet
from fusion.data.graphs import SPLITS
from fusion.data.planted import digest_of
from fusion.data.streams import StreamSet
from fusion.files import digest
from fusion.types import Image, Modality, Sample, Text

TITLE = "Handwritten digits in two hands, and their words"
FORMS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)  # the first row of each
TRAIN, VALID = 9, 2  # forms; the rest is to test
SEED = 37
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPELLINGS = ("lower", "upper", "capital", "called")  # three, THREE, Three, three!
END = ""  # the token that ends a word
LETTERS = (*sorted(set("".join(WORDS))), *sorted(set("".join(WORDS).upper())), "!", END)  # V columns
LONGEST = max(len(word) for word in WORDS) + 2  # T: a mark behind the word, and its end
SIDE = 8  # pixels
ENLARGED = 96


def load() -> DataSet:
    """The data set; nothing is fetched, the scans are part of scikit-learn."""
    from sklearn.datasets import load_digits  # slow to import

    counts, classes = load_digits(return_X_y=True)
    scans, target = (np.asarray(counts) / 16).astype(np.float32), np.asarray(classes).astype(np.int64)  # (N, 64), (N,)
    form = np.searchsorted(FORMS, np.arange(len(target)), side="right") - 1
    split = np.digitize(form, (TRAIN, TRAIN + VALID)).astype(np.uint8)
    draw = np.random.default_rng(SEED)
    twin = partners(target, form, split, draw)
    words = [
        spelled(WORDS[digit], SPELLINGS[kind])
        for digit, kind in zip(target, draw.integers(0, 4, len(target)), strict=True)
    ]
    text, length = encoded(words)
    faces = [_png(scan) for scan in scans]
    samples = tuple(
        Sample(
            f"d{row:04d}",
            {"image": Image(data=faces[row]), "twin": Image(data=faces[twin[row]]), "text": Text(words[row])},
            SPLITS[split[row]], int(target[row]), {"form": str(form[row] + 1), "twin form": str(form[twin[row]] + 1)},
        )
        for row in range(len(target))
    )  # fmt: skip
    one = np.ones(len(target), np.int64)
    streams = StreamSet(
        TITLE,
        (
            Modality("image", "image", SIDE * SIDE, 1, "picture"), Modality("twin", "image", SIDE * SIDE, 1, "picture"),
            Modality("text", "text", len(LETTERS), LONGEST, "letter"),
        ),
        {"image": scans[:, None], "twin": scans[twin][:, None], "text": text},
        {"image": one, "twin": one, "text": length}, np.ones((len(target), 3), bool), target, split,
        tuple(WORDS), note={"image": "ink", "twin": "ink"},  # the encoder of pictures from outside
        tokens={"text": LETTERS}, inked=("image", "twin"), groups=tuple(f"form {f + 1}" for f in form),
    )  # fmt: skip
    held = digest("digits", *words, str(twin.tolist()), digest_of(scans))
    return DataSet(
        "digits", TITLE, samples, word="synthetic pairs", digest=held, notes=_notes(split), spec="digits",
        streams=streams,
    )  # fmt: skip


def partners(target: np.ndarray, form: np.ndarray, split: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Another scan of the same digit in the same split, by another hand. (N,) each -> rows (N,)

    The rows of a digit, form by form, are rotated by at least the longest form, so that every scan is the twin of
    exactly one other; of two forms that differ in length a few rows meet another scan of their own.
    """
    twin = np.arange(len(target))
    for part in np.unique(split):
        for digit in np.unique(target):
            rows = draw.permutation(np.flatnonzero((split == part) & (target == digit)))
            rows = rows[np.argsort(form[rows], kind="stable")]
            largest = int(np.bincount(form[rows]).max())  # a step as long as the longest form leaves every form
            twin[rows] = np.roll(rows, int(draw.integers(largest, max(len(rows) - largest, largest) + 1)))
    return twin


def spelled(word: str, how: str) -> str:
    """A word in one of SPELLINGS.

    >>> [spelled("six", how) for how in SPELLINGS]
    ['six', 'SIX', 'Six', 'six!']
    """
    return {"lower": word, "upper": word.upper(), "capital": word.capitalize(), "called": f"{word}!"}[how]


def encoded(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Letters as one-hot steps, one end behind each word. -> (N, T, V) float32, real steps (N,)"""
    table = np.zeros((len(words), LONGEST, len(LETTERS)), np.float32)
    for row, word in enumerate(words):
        for step, letter in enumerate((*word, END)):
            table[row, step, LETTERS.index(letter)] = 1
    return table, np.array([len(word) + 1 for word in words], np.int64)


def read(steps: np.ndarray) -> str:
    """The word in one-hot steps or probabilities, up to its end. (T, V) -> text"""
    best = [LETTERS[column] for column in steps.argmax(1)]
    return "".join(best[: best.index(END)] if END in best else best)


def _png(scan: np.ndarray) -> bytes:
    """Dark ink on white, enlarged without smoothing, as a person would look at it."""
    stream = io.BytesIO()
    drawn = Pictures.fromarray(np.round(255 * (1 - scan.reshape(SIDE, SIDE))).astype(np.uint8))
    drawn.resize((ENLARGED, ENLARGED), Pictures.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


def _notes(split: np.ndarray) -> tuple[str, ...]:
    counts = ", ".join(f"{int((split == at).sum()):,} {name}" for at, name in enumerate(SPLITS))
    return (
        "The scans are real (Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, CC BY 4.0, as "
        "scikit-learn brings them); which two make a pair and how the word is spelled was drawn: synthetic pairs.",
        "What the modalities share is the digit alone. The hand of each scan and the spelling are private: no other "
        "modality can know them.",
        f"No form of the collection is in two splits ({counts}); the text says the digit exactly, so a classifier that "
        "reads it learns nothing about seeing.",
    )
