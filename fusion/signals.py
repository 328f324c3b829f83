"""What a model says about how it fused: typed signals, and the trace that holds them.

A forward pass returns a `Trace`. Each signal carries tensors with B first, the axis labels that a picture needs, its
unit, what its values sum to one over, and one caveat that stands under every picture of it. Views are found by the
type of a signal, so a new model gets its pictures by returning signals (fusion/views).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fusion.types import Steps


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What every signal has: a name in the paper's words, a unit, and a caveat for its reader."""

    name: str
    value: Tensor  # its numbers; every kind says which axes they have
    unit: str  # probability | weight | cosine | logit | none
    normalised_over: str | None = None  # the axis over which values sum to one
    caveat: str = ""  # key of assets/words: what a reader may wrongly conclude
    per_sample: bool = True  # False: learned, the same for every sample
    settable: bool = False  # whether `Batch.fixed` reaches it by its name

    def map(self, change: Callable[[Tensor], Tensor]) -> Signal:
        """The same signal with each of its tensors changed."""
        changed = {f.name: _map(getattr(self, f.name), change) for f in fields(self)}
        return replace(self, **changed)

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by field name, B first."""
        found: dict[str, Tensor] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                found[f.name] = value
            elif isinstance(value, dict):
                found |= {f"{f.name}.{key}": item for key, item in value.items() if isinstance(item, Tensor)}
        return found


def _map(value: object, change: Callable[[Tensor], Tensor]) -> object:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map(item, change) for key, item in value.items()}
    return value


@dataclass(frozen=True, kw_only=True)
class Embedding(Signal):
    """One vector a sample, of one modality or fused."""

    value: Tensor  # (B, D)
    modality: str  # or "fused"


@dataclass(frozen=True, kw_only=True)
class Attention(Signal):
    """How much each query step took from each key step; before dropout, so rows sum to one."""

    value: Tensor  # (B, H, Q, K)
    layer: int
    layers: int  # how many layers this signal's stack has
    queries: str  # modality of the queries
    keys: str
    query_mask: Tensor  # (B, Q) bool, real steps
    key_mask: Tensor  # (B, K) bool


@dataclass(frozen=True, kw_only=True)
class ModalityWeights(Signal):
    """The share of each modality, summing to one."""

    value: Tensor  # (B, M)
    modalities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModalityScores(Signal):
    """One number a modality that needs not sum to anything: a cosine, a confidence, the precision of a loss."""

    value: Tensor  # (B, M)
    modalities: tuple[str, ...]
    neutral: float | None = None  # the value that says nothing, where there is one


@dataclass(frozen=True, kw_only=True)
class EdgeWeights(Signal):
    """How much an entity took from each of its neighbours in a graph, itself included; the largest K of them."""

    value: Tensor  # (B, H, K), 0 beyond the edges
    layer: int
    layers: int
    entity: Tensor  # (B,) int, whose edges they are
    neighbours: Tensor  # (B, K) int, entity at the other end, -1 beyond the edges; its own number is its self-loop
    mask: Tensor  # (B, K) bool, True = an edge
    degree: Tensor  # (B,) int, how many edges there are, shown or not


@dataclass(frozen=True, kw_only=True)
class Gate(Signal):
    """How much of a modality is let in, 0 closed to 1 open, a step or a feature at a time."""

    value: Tensor  # (B, T) or (B, T, D), in [0, 1]
    modality: str  # what is let in
    steps: str  # modality whose steps T are
    mask: Tensor  # (B, T) bool
    neutral: float = 0.5  # the untrained value


@dataclass(frozen=True, kw_only=True)
class Match(Signal):
    """Whether the modalities of a sample belong together."""

    value: Tensor  # (B,)


@dataclass(frozen=True, kw_only=True)
class Marginals(Signal):
    """Probability of each class at each step."""

    value: Tensor  # (B, T, C), rows sum to one
    classes: tuple[str, ...]
    steps: str
    mask: Tensor  # (B, T) bool


@dataclass(frozen=True, kw_only=True)
class Parts(Signal):
    """Signed voices that add up exactly to a named total, of each class at each step or of one number a sample."""

    value: Tensor  # (B, V, T, C), or (B, V) where there are neither steps nor classes
    voices: tuple[str, ...]
    total: str  # name of what they add up to
    classes: tuple[str, ...] = ()
    steps: str = ""
    mask: Tensor | None = None  # (B, T) bool


@dataclass(frozen=True, kw_only=True)
class Opinions(Signal):
    """What each voice answers on its own (a modality, a branch), beside what they answer together."""

    value: Tensor  # (B, V) scores, or (B, V, C) probabilities of classes
    voices: tuple[str, ...]
    present: Tensor  # (B, V) bool, False where a voice had nothing to answer from
    together: Tensor  # (B,) or (B, C), what the model answers
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Signal):
    """What a model makes of the steps of one modality, beside what they were."""

    value: Tensor  # (B, T, D) the guess
    truth: Tensor  # (B, T, D)
    steps: str  # modality whose steps T are
    mask: Tensor  # (B, T) bool, real steps
    hidden: Tensor  # (B, T) bool, real steps that the model did not see
    scale: Tensor  # (B, D) > 0, spread of each feature, to compare errors with


@dataclass(frozen=True, kw_only=True)
class Posterior(Signal):
    """Where each modality alone, every subset and all together put a sample in the latent space, and how surely.

    Means and standard deviations. What isn't there stands as the prior, and `present` says so.
    """

    value: Tensor  # (B, M, Z) mean of each expert
    scale: Tensor  # (B, M, Z) > 0
    present: Tensor  # (B, M) bool
    joint: Tensor  # (B, Z) mean of all that is there
    joint_scale: Tensor  # (B, Z)
    prior_scale: Tensor  # (B, Z) of the prior, whose mean is 0
    subset_mean: Tensor  # (B, S, Z), S = 2^M - 1
    subset_scale: Tensor  # (B, S, Z)
    subset_present: Tensor  # (B, S) bool, every member is there
    share: Tensor  # (B, M + 1, Z) of the prior and of each expert in every dimension, summing to one
    kl: Tensor  # (B, Z) nats, from the prior to the joint posterior
    distance: Tensor  # (B, M, M) 2-Wasserstein between experts as Gaussians, 0 where one isn't there
    modalities: tuple[str, ...]
    subsets: tuple[tuple[str, ...], ...]  # S
    rule: str  # poe | moe | mopoe


@dataclass(frozen=True, kw_only=True)
class CrossGeneration(Signal):
    """What each modality alone, and several together, make of every modality; features of all stand side by side.

    N features: the T x D numbers of the first modality, of the second, and so on (`sizes`).
    """

    value: Tensor  # (B, G, N) means or probabilities made from each source
    truth: Tensor  # (B, N), 0 where it isn't known
    real: Tensor  # (B, N) bool, what is known of the truth
    told: Tensor  # (B, G) bool, whether all of the source was there
    sources: tuple[str, ...]  # G names: the modalities, then some of them together ("a+b"), then "all" that is there
    modalities: tuple[str, ...]  # M
    sizes: tuple[tuple[int, int], ...]  # T and D of each
    likelihoods: tuple[str, ...]  # of each: normal | laplace | bernoulli | categorical
    pictures: tuple[tuple[int, ...], ...]  # C, H, W of each, () of no picture
    tokens: tuple[tuple[str, ...], ...]  # D names of one-hot columns of each, "" ends a text; () without
    inked: tuple[str, ...] = ()  # modalities whose pictures are ink: 1 is dark


@dataclass(frozen=True, kw_only=True)
class Norms(Signal):
    """Length of one vector a step relative to another: whether an open gate lets anything through."""

    value: Tensor  # (B, T), >= 0
    steps: str
    mask: Tensor  # (B, T) bool


@dataclass(frozen=True, kw_only=True)
class Transitions(Signal):
    """Learned score of going from one class to the next."""

    value: Tensor  # (C, C) from, to
    start: Tensor  # (C,)
    end: Tensor  # (C,)
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Attribution(Signal):
    """How far each step of one modality moved one number of the answer, as one method of explaining tells it."""

    value: Tensor  # (B, T), 0 where there is nothing to tell
    steps: str  # modality
    mask: Tensor  # (B, T) bool, steps that were judged
    signed: bool  # False: shares without a direction, as attention gives them
    error: Tensor | None = None  # (B, T) standard error, of values that were sampled


@dataclass(frozen=True, kw_only=True)
class Effects(Signal):
    """What changed when an input was changed: one row a condition, one column an observable."""

    value: Tensor  # (B, V, O) observables under each condition; the first condition is "as it is"
    conditions: tuple[str, ...]  # as it is, then what was done, e.g. "image removed"
    observables: tuple[str, ...]
    units: tuple[str, ...]  # of each observable
    said: tuple[tuple[str, ...], ...] = field(default_factory=tuple)  # B rows: the prediction in words by condition


@dataclass(frozen=True, kw_only=True)
class Canonical(Signal):
    """Directions of several views that agree: how strongly, whether elsewhere too, and which inputs they follow."""

    value: Tensor  # (K, P) correlation of each component between each pair of views, in the rows that were fitted
    modalities: tuple[str, ...]  # V; pairs go (0, 1), (0, 2), ..., (1, 2), ...
    eigenvalues: Tensor  # (K,) what was solved for; no correlation for more than two views or with a ridge
    loadings: dict[str, Tensor]  # {m: (D, K)} correlation of each input column with the score of its view
    redundancy: Tensor  # (V, K) mean squared loading times mean squared correlation with the other views
    rank: Tensor  # (V,) directions of each view that have variance
    scores: dict[str, Tensor]  # {m: (S, K)} of some rows, standardised; held-out ones where there are some
    rows: int  # that were fitted
    held_out: Tensor | None = None  # (K, P) the same correlations in other rows
    held_out_rows: int = 0
    p: Tensor | None = None  # (K,) chance of a link as strong where rows don't belong together
    rounds: int = 0  # of the permutation test behind it


KINDS: tuple[type[Signal], ...] = (
    Embedding, Attention, ModalityWeights, ModalityScores, EdgeWeights, Gate, Match, Marginals, Parts, Opinions,
    Reconstruction, Norms, Transitions, Attribution, Effects, Posterior, CrossGeneration, Canonical,
)  # fmt: skip

S = TypeVar("S", bound=Signal)


@dataclass(frozen=True)
class Trace:
    """The signals of one forward pass, in the system's own order, with the step labels of each modality."""

    signals: tuple[Signal, ...] = ()
    steps: Mapping[str, tuple[Steps, ...]] = field(default_factory=dict)  # {m: B rows}, shared by all signals

    def __post_init__(self) -> None:
        names = [signal.name for signal in self.signals]
        assert len(set(names)) == len(names), f"two signals have one name: {names}"

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __contains__(self, name: str) -> bool:
        return any(signal.name == name for signal in self.signals)

    def __getitem__(self, name: str) -> Signal:
        for signal in self.signals:
            if signal.name == name:
                return signal
        raise KeyError(f"no signal {name!r}; there are {', '.join(s.name for s in self.signals)}")

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """The signals of one kind, in order."""
        return tuple(signal for signal in self.signals if isinstance(signal, kind))

    def first(self, kind: type[S]) -> S | None:
        """The first signal of a kind, None when the model has none."""
        return next(iter(self.of(kind)), None)

    def at(self, row: int) -> Trace:
        """The trace of one sample, B = 1."""
        pick = lambda tensor: tensor[row : row + 1]  # noqa: E731
        signals = tuple(signal.map(pick) if signal.per_sample else signal for signal in self.signals)
        return Trace(signals, {name: rows[row : row + 1] for name, rows in self.steps.items()})

    def cpu(self) -> Trace:
        """The same trace, detached, on the CPU: what leaves a forward pass."""
        return Trace(tuple(s.map(lambda tensor: tensor.detach().cpu()) for s in self.signals), self.steps)

    def plus(self, *signals: Signal) -> Trace:
        """The trace with more signals after its own."""
        return Trace((*self.signals, *signals), self.steps)


@dataclass(frozen=True)
class FusionOutput:
    """What a forward pass returns: the prediction in the shape of the task, the fused vectors, and the trace."""

    prediction: Tensor
    fused: Tensor  # (B, D)
    trace: Trace
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # what `loss` needs and no picture shows


@dataclass(frozen=True)
class Explanation:
    """An answer to "why", drawn by the same views: its trace, what it cost, and how far it can be believed."""

    method: str
    target: str
    trace: Trace
    passes: int  # rows that went through the model, a row back counted as one more
    seconds: float
    gap: float | None = None  # how far the parts miss the change that they should add up to, as a share of it
    faithfulness: str = ""  # one sentence, measured


def finite(tensor: Tensor) -> bool:
    """Whether every number is finite."""
    return bool(torch.isfinite(tensor).all())
