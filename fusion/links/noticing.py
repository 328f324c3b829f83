"""What a reader must know of a question before believing its numbers: each a sentence of the word catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fusion.inference import Notice
from fusion.links.evaluation import words_of, words_within

if TYPE_CHECKING:
    from fusion.links.inspection import Predictor


def notices(
    predictor: Predictor, head: int, relation: int, tail: int | None, has: Mapping[str, bool],
    split_of: Mapping[int, str],
) -> tuple[Notice, ...]:  # fmt: skip
    """Of the question (head, relation, tail). has: which modalities the head has; split_of: known answers"""
    triples, samples = predictor.triples, predictor.dataset.samples
    name, backwards = triples.relation(relation)
    notes = []
    if not triples.frequency()[relation % len(triples.relations)]:
        notes.append(Notice("notice.link_relation", {"relation": name}))
    lacking = tuple(m for m, there in has.items() if not there)
    if lacking:
        notes.append(Notice("notice.link_imputed", {"modalities": lacking}))
    if tail is None:
        notes.append(Notice("notice.link_open", {}))
        return tuple(notes)
    split = split_of.get(tail, "")
    if not split:
        notes.append(Notice("notice.link_unknown", {}))
    elif split == "train":
        notes.append(Notice("notice.link_trained", {}))
    ends = (tail, head) if backwards else (head, tail)
    turned = _trained(predictor, ends[1], ends[0])
    if turned and split != "train":
        notes.append(Notice("notice.link_turned", {"relation": ", ".join(turned)}))
    if words_within(*(words_of(samples[row].parts.get("name")) for row in ends)):
        notes.append(Notice("notice.link_copied", {}))
    return tuple(notes)


def _trained(predictor: Predictor, head: int, tail: int) -> list[str]:
    """Names of the relations that lead from one entity to another in the training triples."""
    train = predictor.triples.part("train")
    rows = (train[:, 0] == head) & (train[:, 2] == tail)
    return [predictor.triples.relations[number] for number in sorted(set(train[rows, 1].tolist()))]
