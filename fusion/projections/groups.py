"""Groups of near vectors, and the words that set each apart: the labels of a map.

Groups are found in the original space, not on the map, so they are the same under every method. A word is judged by
how much more often it is in a group's texts than in the others', in standard deviations, with the words of all texts as
the prior. Source: Monroe, Colaresi, Quinn 2008, Political Analysis 16(4), the log-odds with an informative prior.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.neighbours import Array, Vectors

MOST, LEAST = 12, 8  # groups at most; members that make one worth a label
CLEAR = 3.0  # standard deviations above which a word sets a group apart
_FITTED = 2_000  # rows that the groups are found among; the rest join the nearest
_WORD = re.compile(r"[^\W\d_]{2,}")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")


def groups(vectors: Vectors, seed: int = 0) -> Array:
    """The group of each vector by k-means, one for each twenty or so rows, twelve at most. (N, D) -> (N,) int64

    Fewer than twice LEAST vectors are one group. The same seed gives the same groups.
    """
    X = matrix(vectors).astype(np.float32, copy=False)
    count = min(MOST, len(X) // 20)
    if count < 2:
        return np.zeros(len(X), dtype=np.int64)
    from sklearn.cluster import KMeans

    random = np.random.default_rng(seed)
    some = X if len(X) <= _FITTED else X[np.sort(random.choice(len(X), _FITTED, replace=False))]
    model = KMeans(count, n_init=2, max_iter=50, random_state=seed).fit(some)  # type: ignore[arg-type]  # its stub says str
    return np.asarray(model.predict(X), dtype=np.int64)


def words_of(text: str) -> set[str]:
    """The words of a text in lower case; of Chinese its pairs of characters, since it has no spaces."""
    found = {word.lower() for word in _WORD.findall(_CHINESE.sub(" ", text))}
    for run in _CHINESE.findall(text):
        found |= {run[i : i + 2] for i in range(len(run) - 1)} or {run}
    return found


def apart(texts: Sequence[str], code: Array, most: int = 2) -> list[tuple[str, ...]]:
    """The words that set each group apart, the clearest first, none where no word does.

    texts (N), each counts once for a word however often it holds it; code (N,) groups 0..K-1. -> K tuples of words
    """
    members = [np.flatnonzero(code == group) for group in range(int(code.max(initial=-1)) + 1)]
    known = {text: words_of(text) for text in dict.fromkeys(texts)}  # a text is often that of several points
    spoken = [known[text] for text in texts]
    everywhere = Counter(word for words in spoken for word in words)
    total = len(texts)
    found: list[tuple[str, ...]] = []
    for rows in members:
        if len(rows) < LEAST:
            found.append(())
            continue
        here = Counter(word for row in rows for word in spoken[row])
        clear = []
        for word, times in here.items():
            prior = everywhere[word]
            inside, outside = times + prior, (prior - times) + prior
            a = np.log(inside / (len(rows) + total - inside + 1))
            b = np.log(outside / (2 * total - len(rows) - outside + 1))
            z = (a - b) / np.sqrt(1 / inside + 1 / outside)
            if z > CLEAR and times >= 3:
                clear.append((-z, word))
        found.append(_different([word for _, word in sorted(clear)], most))
    return found


def _different(words: Sequence[str], most: int) -> tuple[str, ...]:
    """The first words of which none is the beginning of another ("face", "faces") or shares a character pair."""
    kept: list[str] = []
    for word in words:
        if not any(word.startswith(one) or one.startswith(word) or _overlap(word, one) for one in kept):
            kept.append(word)
        if len(kept) == most:
            break
    return tuple(kept)


def _overlap(a: str, b: str) -> bool:
    """Whether two pairs of Chinese characters are neighbours in one word."""
    return bool(_CHINESE.match(a) and _CHINESE.match(b)) and (a[-1] == b[0] or b[-1] == a[0])
