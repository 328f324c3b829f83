"""What MCCA and KCCA share: settings, what they read, their scores by view, and what a solution says of itself.

    z_v = (x_v - m_v) u_v,  fused = mean, sum or concatenation of the z_v of the views that a row has          (1)
    agreement = standard deviation over those views of z_v / s_v, s_v the spread of z_v in the fitted rows     (2)

x_v (B, D_v) the mean of the steps that may be read, z_v (B, K). A view that a row lacks has score 0, that of an average
row, and no part in (1) and (2). Literature: fusion/blocks/canonical.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from fusion.blocks import evidence
from fusion.blocks.canonical import Objective, Solution, correlations, fitted_correlations, signs, solve, spreads
from fusion.blocks.kernels import chosen
from fusion.blocks.whitening import Basis, Moments, pairs
from fusion.models.base import ClosedForm, Remark, Solved
from fusion.models.shared_inputs import complete, parts, read, tables
from fusion.models.shared_settings import SHOWN, Settings
from fusion.signals import Canonical, Embedding, FusionOutput, ModalityScores, Opinions, Signal, Trace
from fusion.types import FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fusion.blocks.evidence import Choice
    from fusion.models.shared_inputs import Views
    from fusion.types import Batch

KINDS = {"text": "text", "audio": "audio"}  # of a modality; all others are seen
PERMUTED = 2000  # rows that a permutation test exchanges
AXES = 512  # of all views together, that it reads
TOLD = 3  # components of which a trace tells the views apart
NAMED = 5  # rows or columns that a remark names


@dataclass(frozen=True)
class Fitted:
    """The data of one solution, before c is known."""

    basis: Basis
    rows: list[Tensor]  # V of (n', D): all rows that were fitted, or a sample of them
    constant: list[Tensor]  # V of (D,) bool, columns that are the same in every row
    directions: list[int]  # V counts of what a ridge of 0 would have to be fewer than the rows
    extra: Any = None  # what the system's own `features` needs


class SharedSpace(ClosedForm):
    """Views projected so that they agree; a system adds how it makes axes (`fit`) and scores (`project`)."""

    Config: ClassVar[type[Any]] = Settings
    mean_0: Tensor
    eigenvalues: Tensor
    correlation_train: Tensor
    correlation_heldout: Tensor
    p_value: Tensor
    redundancy: Tensor
    effective_rank: Tensor
    counts: Tensor  # rows fitted, rows held out, rounds of the permutation test

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.config, self.classes, self.task = config, (), Task.REPRESENTATION
        self.modalities = tuple(
            Modality(m, KINDS.get(m, "image"), width, steps, "step")
            for m, width, steps in zip(config.modalities, config.widths, config.steps, strict=True)
        )
        for name, shape in self.shapes().items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    # What each system has of its own.

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers by name, with their sizes; views are numbered."""
        views, k = range(len(self.config.modalities)), self.config.components
        count = len(pairs(len(views)))
        common: dict[str, tuple[int, ...]] = {
            "eigenvalues": (k,), "correlation_train": (k, count), "correlation_heldout": (k, count), "p_value": (k,),
            "redundancy": (len(views), k), "effective_rank": (len(views),), "counts": (3,),
        }  # fmt: skip
        for v in views:
            width = self.config.widths[v]
            common |= {f"mean_{v}": (width,), f"spread_{v}": (k,), f"loadings_{v}": (width, k)}
            common[f"shown_{v}"] = (self.config.shown, k)
        return common

    def fit(self, rows: Iterator[list[Tensor]], told: list[str]) -> Fitted:
        """Axes of blocks of complete rows, V of (b, D) each; `told` gets what a reader must know."""
        raise NotImplementedError

    def features(self, fitted: Fitted, rows: Sequence[Tensor]) -> list[Tensor]:
        """Rows along the axes of each view. V of (n, D) -> V of (n, r)"""
        raise NotImplementedError

    def place(self, fitted: Fitted, solution: Solution) -> dict[str, Tensor]:
        """The buffers from which `project` makes scores."""
        raise NotImplementedError

    def project(self, view: int, x: Tensor) -> Tensor:
        """Scores of one view. (B, D) float64 -> (B, K)"""
        raise NotImplementedError

    def loadings(self, fitted: Fitted, solution: Solution, scores: Sequence[Tensor]) -> list[Tensor]:
        """Correlation of each input column with the score of its view. scores V of (n', K) -> V of (D, K)"""
        raise NotImplementedError

    def whiten(self, basis: Basis, c: Sequence[float]) -> list[Tensor]:
        """d of each view. -> V of (r,)"""
        raise NotImplementedError

    @property
    def objective(self) -> Objective:
        """What is solved for."""
        raise NotImplementedError

    @property
    def ridged(self) -> bool:
        """Whether c is read at all."""
        return True

    # Solving.

    def solve(
        self, blocks: Views | Iterable[Batch], held_out: Views | Iterable[Batch] | None = None, *, rounds: int = 0
    ) -> Solved:  # fmt: skip
        """Fit, and measure: correlations in the fitted rows and in those held out, p-values, loadings, redundancy.

        Rows that lack a view are left out and named. Raises FusionError on views of different lengths or widths, NaN,
        a view that never changes, fewer than three rows, or c = 0 with no fewer columns than rows.
        """
        left_out: list[str] = []
        told: list[str] = []
        fitted = self.fit(self._complete(blocks, left_out), told)
        basis, ridges = fitted.basis, self.config.ridges()
        self._refuse(fitted, ridges)
        remarks = self._judge(fitted, left_out)
        found = min(self.config.components, *basis.ranks)
        if found < self.config.components:
            remarks.append(Remark("notice.fewer_components", {"asked": self.config.components, "found": found}))
        d = self.whiten(basis, ridges)
        solution = solve(basis, d, found, self.objective, diagonal=self.config.diagonal_blocks, told=told)
        self.config = replace(self.config, components=found)
        made = self.place(fitted, solution)
        self._keep(made)
        scores = self._scores(fitted.rows)
        sign = signs(scores[0])
        solution, scores = solution.flipped(sign), [one * sign for one in scores]
        made = self.place(fitted, solution)
        self._keep(made)
        counts = [float(basis.rows), 0.0, float(rounds)]
        correlated = fitted_correlations(basis, solution)
        found_loadings = zip(self.loadings(fitted, solution, scores), fitted.constant, strict=True)
        loadings = [torch.where(still[:, None], 0.0, one) for one, still in found_loadings]  # else rounding shows
        made |= {
            "eigenvalues": solution.eigenvalues, "correlation_train": correlated,
            "redundancy": _redundancy(loadings, fitted.constant, correlated),
            "effective_rank": torch.tensor(basis.ranks), "p_value": self._exchanged(fitted, d, found, rounds, told),
        }  # fmt: skip
        for v, (spread, load) in enumerate(zip(spreads(basis, solution), loadings, strict=True)):
            made |= {f"spread_{v}": spread, f"loadings_{v}": load}
        some = chosen(len(scores[0]), SHOWN, self.config.seed)
        shown = [one[some.to(one.device)] for one in scores]
        made["correlation_heldout"] = torch.zeros_like(correlated)
        if held_out is not None:
            missing: list[str] = []
            count, made["correlation_heldout"], shown = self._elsewhere(self._complete(held_out, missing))
            counts[1] = float(count)
        for v, scores in enumerate(shown):
            made[f"shown_{v}"] = scores / made[f"spread_{v}"].clamp(min=1e-300)
        made["counts"] = torch.tensor(counts, dtype=torch.float64)
        self.config = replace(self.config, shown=len(shown[0]))
        self._keep(made)
        self._tidy()
        return Solved(basis.rows, tuple(left_out), (*remarks, *self._remarks(told)))

    def _keep(self, made: Mapping[str, Tensor]) -> None:
        home = self.mean_0.device
        for name, value in made.items():
            self.register_buffer(name, value.detach().to(home, torch.float64).contiguous())

    def _tidy(self) -> None:
        """Leave no buffer that the settings, as they are now, don't have."""
        shapes = self.shapes()
        for name in [name for name, _ in self.named_buffers() if name not in shapes]:
            delattr(self, name)
        found = {name: tuple(value.shape) for name, value in self.named_buffers()}
        assert found == shapes, f"{found} but the settings say {shapes}"

    def _refuse(self, fitted: Fitted, ridges: Sequence[float]) -> None:
        """Raises FusionError on what allows no solution, or only one that says nothing."""
        names, rows = self.config.modalities, fitted.basis.rows
        for m, rank, c, directions in zip(names, fitted.basis.ranks, ridges, fitted.directions, strict=True):
            if not rank:
                raise FusionError(
                    f'The view "{m}" is the same in every row, so nothing can agree with it; leave it out.'
                )
            if c == 0 and self.ridged and directions >= rows - 1:
                raise FusionError(
                    f'"{m}" has {directions:,} directions for {rows:,} rows: with c = 0 it would agree perfectly with '
                    "anything. Set c above 0, or give more rows."
                )

    def _judge(self, fitted: Fitted, left_out: Sequence[str]) -> list[Remark]:
        """What a reader must know of the data."""
        names, rows, remarks = self.config.modalities, fitted.basis.rows, []
        if left_out:
            shown = ", ".join(left_out[:NAMED]) + (" ..." if len(left_out) > NAMED else "")
            remarks.append(Remark("notice.rows_left_out", {"count": len(left_out), "rows": shown}))
        for m, constant in zip(names, fitted.constant, strict=True):
            columns = constant.nonzero()[:, 0].tolist()
            if columns:
                shown = ", ".join(str(one + 1) for one in columns[:NAMED]) + (" ..." if len(columns) > NAMED else "")
                remarks.append(
                    Remark("notice.constant_columns", {"name": (m,), "count": len(columns), "columns": shown})
                )
        if sum(sorted(fitted.basis.ranks)[-2:]) >= rows - 1:
            remarks.append(Remark("notice.few_rows", {"rows": rows, "directions": max(fitted.basis.ranks)}))
        return remarks

    def _remarks(self, told: Sequence[str]) -> list[Remark]:
        return [Remark("notice.fell_back", {})] if "fell_back" in told else []

    def _exchanged(self, fitted: Fitted, d: Sequence[Tensor], found: int, rounds: int, told: list[str]) -> Tensor:
        """p of each component, from at most 2,000 rows and the axes with the most variance. -> (K,)"""
        if not rounds:
            return torch.zeros(found)
        seed, views = self.config.seed, len(fitted.rows)
        at = chosen(len(fitted.rows[0]), PERMUTED, seed).to(fitted.rows[0].device)
        rows = self.features(fitted, [one[at] for one in fitted.rows])
        most = max(found, AXES // views)
        whitened = [(x * one)[:, :most] for x, one in zip(rows, d, strict=True)]
        return evidence.permutation_test([x - x.mean(0) for x in whitened], found, rounds, seed)

    def _elsewhere(self, blocks: Iterator[list[Tensor]]) -> tuple[int, Tensor, list[Tensor]]:
        """Correlations in rows that were not fitted, and the scores of some of them. -> n, (K, P), V of (S, K)"""
        k, views = self.config.components, len(self.config.modalities)
        moments, kept = Moments([k] * views, self.mean_0.device), [self.mean_0.new_zeros(0, k)] * views
        for block in blocks:
            scores = self._scores(block)
            moments.add(scores)
            kept = [torch.cat((old, new))[:SHOWN] for old, new in zip(kept, scores, strict=True)]
        if moments.rows < 3:
            raise FusionError(f"{moments.rows} held-out rows have every view; a correlation needs three or more.")
        size = [moments.products[v, v].diagonal().clamp(min=0).sqrt() for v in range(views)]
        found = [
            moments.products[pair].diagonal() / (size[pair[0]] * size[pair[1]]).clamp(min=1e-300)
            for pair in pairs(views)
        ]
        return moments.rows, torch.stack(found, 1).clamp(-1, 1), kept

    def _scores(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """V of (n, D) -> V of (n, K)"""
        return [self._scores_of(v, x) for v, x in enumerate(rows)]

    def _complete(self, given: Views | Iterable[Batch], left_out: list[str]) -> Iterator[list[Tensor]]:
        return complete(self.config, given, self.mean_0.device, left_out)

    def _tables(self, given: Views, names: Sequence[str]) -> dict[str, Tensor]:
        return tables(self.config, given, names, self.mean_0.device)

    # What comes out.

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Fused scores (B, K), or (B, V K) for concat, as prediction and fused; scores by view in the trace."""
        self._solved()
        home, device = self.mean_0.device, batch.present.device
        vectors, there = read(self.config, batch)
        there = there.to(home)
        scores = [
            torch.where(there[:, v, None], self.project(v, x.to(home)), 0.0) for v, x in enumerate(vectors)
        ]  # fmt: skip
        stacked, here = torch.stack(scores, 1), there[..., None].double()  # (B, V, K), (B, V, 1)
        mean = stacked.sum(1) / here.sum(1).clamp(min=1)
        fused = {"mean": mean, "sum": stacked.sum(1), "concat": stacked.flatten(1)}[self.config.fuse]
        precise = all(batch.features[m].dtype == torch.float64 for m in self.config.modalities)
        back = lambda x: x.to(device) if precise else x.to(device, torch.float32)  # noqa: E731
        found = tuple(self._told(scores, stacked, here, there, mean, fused)) if trace else ()
        said = Trace(tuple(one.map(lambda x: back(x) if x.is_floating_point() else x.to(device)) for one in found))
        return FusionOutput(back(fused), back(fused), replace(said, steps=batch.steps if trace else {}))

    def _told(
        self, scores: list[Tensor], stacked: Tensor, here: Tensor, there: Tensor, mean: Tensor, fused: Tensor
    ) -> Iterator[Signal]:
        """Scores of every view and fused, how far the views are apart, and the first components view by view."""
        names, k = self.config.modalities, self.config.components
        for m, one in zip(names, scores, strict=True):
            yield Embedding(name=f"canonical_{m}", unit="none", value=one, modality=m, caveat="caveat.canonical_scores")
        yield Embedding(
            name="canonical_fused", unit="none", value=fused, modality="fused", caveat="caveat.canonical_scores"
        )
        spread = torch.stack([getattr(self, f"spread_{v}") for v in range(len(names))])  # (V, K)
        unit = stacked / spread.clamp(min=1e-300)
        count = here.sum(1).clamp(min=1)
        away = (unit - (unit * here).sum(1, keepdim=True) / count[:, None]) * here
        yield ModalityScores(
            name="agreement", unit="none", value=(away.square().sum(1) / count).sqrt(),
            modalities=tuple(f"component_{i + 1}" for i in range(k)), neutral=0.0, caveat="caveat.agreement",
        )  # fmt: skip
        for i in range(min(k, TOLD)):
            yield Opinions(
                name=f"component_{i + 1}", unit="none", value=stacked[..., i], voices=names, present=there,
                together=mean[:, i], caveat="caveat.component",
            )  # fmt: skip

    def learned(self) -> Trace:
        """Correlations fitted and held out, p-values, eigenvalues, loadings, redundancy, ranks, scores of some rows."""
        self._solved()
        names = self.config.modalities
        fitted, other, rounds = (int(one) for one in self.counts.tolist())
        return Trace((
            Canonical(
                name="canonical", unit="none", per_sample=False, value=self.correlation_train, modalities=names,
                eigenvalues=self.eigenvalues, redundancy=self.redundancy, rank=self.effective_rank,
                loadings={m: getattr(self, f"loadings_{v}") for v, m in enumerate(names)},
                scores={m: getattr(self, f"shown_{v}") for v, m in enumerate(names)}, rows=fitted,
                held_out=self.correlation_heldout if other else None, held_out_rows=other,
                p=self.p_value if rounds else None, rounds=rounds, caveat="caveat.canonical",
            ),
        ))  # fmt: skip

    def _solved(self) -> None:
        if not float(self.counts[0]):
            raise FusionError(f"This {self.card.name} was not solved yet; call solve with its data, or load one.")

    def transform(self, views: Views, which: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Scores of any of the views, projected with the fitted means. {m: (n, D)} -> {m: (n, K)} float64"""
        self._solved()
        names = self.config.modalities
        wanted = tuple(m for m in names if m in (views if which is None else set(which)))
        found = self._tables(views, wanted)
        return {m: self._scores_of(names.index(m), x) for m, x in found.items()}

    def _scores_of(self, view: int, x: Tensor) -> Tensor:
        return torch.cat([self.project(view, part) for part in parts(x)])

    def correlations(self, views: Views) -> Tensor:
        """Correlation of each component between each pair of views, in any rows. {m: (n, D)} -> (K, P)"""
        scores = self.transform(views, self.config.modalities)
        return correlations([scores[m] for m in self.config.modalities])

    def permutation_test(self, views: Views, rounds: int = 200, seed: int | None = None) -> Tensor:
        """Chance of a link as strong as each component's where rows don't belong together. -> (K,)

        The rows are whitened anew; at most 2,000 of them are exchanged. Source: fusion/blocks/evidence.py.
        """
        told: list[str] = []
        fitted = self.fit(self._complete(views, []), told)
        self._refuse(fitted, self.config.ridges())
        found = min(self.config.components, *fitted.basis.ranks)
        kept = self.config
        self.config = replace(kept, seed=kept.seed if seed is None else seed)
        try:
            return self._exchanged(fitted, self.whiten(fitted.basis, kept.ridges()), found, rounds, told)
        finally:
            self.config = kept

    def choose_c(
        self, views: Views | Iterable[Batch], held_out: Views, grid: Sequence[float] = evidence.GRID
    ) -> Choice:
        """Try ridges by their mean correlation in held-out rows; the model itself stays as it is."""
        fitted = self.fit(self._complete(views, []), [])
        self._refuse(fitted, [min(grid)] * len(self.config.modalities))
        found = min(self.config.components, *fitted.basis.ranks)
        other = list(self._tables(held_out, self.config.modalities).values())
        tried = []
        for c in grid:
            d = self.whiten(fitted.basis, (c,) * len(other))
            tried.append(solve(fitted.basis, d, found, self.objective, diagonal=self.config.diagonal_blocks))
        return evidence.choose(tried, fitted.basis, self.features(fitted, other), grid)


def _redundancy(loadings: Sequence[Tensor], constant: Sequence[Tensor], correlated: Tensor) -> Tensor:
    """Mean squared loading over the columns that change, times the mean squared correlation. -> (V, K)"""
    found = []
    for v, (load, still) in enumerate(zip(loadings, constant, strict=True)):
        own = [at for at, pair in enumerate(pairs(len(loadings))) if v in pair]
        found.append(load[~still].square().mean(0) * correlated[:, own].square().mean(1))
    return torch.stack(found)
