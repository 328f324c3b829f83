"""What becomes of an entity's partner under every subset of the modalities, and what each modality is worth by that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, stack

from fusion.alignment import scoring
from fusion.explain.ablation import shapley
from fusion.explain.subsets import called, members, subsets
from fusion.signals import Effects

Under = Callable[[tuple[str, ...]], tuple[Tensor, Tensor]]  # subset -> lengths of the blocks: own (M,), others (K, M)


def by_subset(
    made: Tensor, own: Tensor, others: Tensor, modalities: tuple[str, ...], at: int, name: Callable[[int], str],
    under: Under | None = None,
) -> Effects:  # fmt: skip
    """Rank of candidate `at` by joint cosine and that cosine under every subset, and who would be first.

    made (K, M) parts, own (M,) and others (K, M) lengths of `fusion.alignment.scoring`; name: what a reader calls a
    candidate by its place. under: the lengths that a model gives anew under a subset; without it the weights of what is
    left stay in proportion.
    """
    found = subsets(modalities)
    inside = members(found, modalities).to(made.device)
    scores = scoring.subset_cosines(made, own, others, inside)  # (K, S)
    if under is not None:
        cosines = scoring.cosines(made, own, others)
        for column, subset in enumerate(found[1:], 1):
            mine, theirs = under(subset)
            scores[:, column] = scoring.subset_cosines(cosines * mine * theirs, mine, theirs, inside[:1])[:, 0]
    first = {place: name(place) for place in scores.argmax(0).unique().tolist()}
    return Effects(
        name="subsets", unit="none", value=stack((scoring.ranks(scores, at).float(), scores[at]), -1)[None].cpu(),
        conditions=tuple(called(subset, modalities) for subset in found),
        observables=("partner_rank", "joint_cosine"), units=("rank", "cosine"),
        said=(tuple(first[place] for place in scores.argmax(0).tolist()),),
        caveat="caveat.subsets" if under is None else "caveat.subsets_recomputed",
    )  # fmt: skip


def worth(effects: Effects, modalities: tuple[str, ...]) -> Mapping[str, float]:
    """Shapley value of each modality for 1 / rank, which is 0 with nothing to rank by."""
    by_name = dict(zip(effects.conditions, (1 / effects.value[0, :, 0]).tolist(), strict=True))
    found = {frozenset(s): by_name[called(s, modalities)] for s in subsets(modalities)}
    return shapley(list(modalities), {**found, frozenset(): 0.0})
