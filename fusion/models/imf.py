"""IMF: rank all entities as the tail of (head, relation, ?) by structure, picture, text and their product.

Paper: Li, Zhao, Xu, Zhang, Xing, "IMF: Interactive Multimodal Fusion Model for Link Prediction", WWW 2023,
doi:10.1145/3543507.3583554. Equations are numbered in the order of the computation.

    E^s a learned row an entity; E^v, E^t its picture's and its text's features, reduced to D    (1)
    f(x^s, x^v, x^t) = ReLU(sum_i rho(W^s_i x^s) * rho(W^v_i x^v) * rho(W^t_i x^t)),  rho(u) = ReLU(u + b)   (2)
    E^m = f(E^s, E^v, E^t),  Q^m = f'(Q^s, Q^v, Q^t)                                             (3)  fused rows
    x = drop(BN(e)),  R = drop(sum_c r_c W_c),  c = drop(BN(x^T R)),  y^k = sigmoid(c E^k)       (4)  each branch k
    y = sum_k g_k y^k,  g = softmax(gamma)                                                       (5)  decision
    L = sum_k BCE(y^k, t) + BCE(y, t) + lambda L_con,  t = 0.9 (1 where true) + 0.1 / N          (6)

E (N, D) and Q (2R, D) of each branch, e a head's row, r its relation's, W (D, D, D) a core a branch; relation r + R is
r read backwards, so that the head of (?, r, t) is the tail of (t, r + R, ?). L_con is `fusion.losses.agreement` of the
three rows of a batch's heads; the paper's exact form is unverified.

Differs from the official code (HestiaSky/IMF-Pytorch@df883e4), each a switch of `Config`:
* `decision`, `joint_loss`: the released code takes the plain mean of the branches and has no joint term.
* `contrastive`, `contrastive_norm`: its contrastive function is never called, and would be near ln 2 whatever it reads.
* `freeze_features`: it trains the tables of pictures and texts; here they stay what the encoders gave.
* `label_smoothing`: it adds 1 / N instead of 0.1 / N to every entry.
* `inputs`: it takes means of neighbouring features, whose order means nothing ("pooled"). "principal" keeps the
  directions of most variance, "projected" learns a linear map.
What an entity lacks is read as the mean of those that have it. Relations that a batch shares are made once, so they
share the dropout of eq. (2), not that of R, which is one draw a query for all branches.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusion.blocks.bilinear import BilinearPooling, RelationContext, map_masks
from fusion.blocks.one_to_all import one_to_all
from fusion.losses import agreement
from fusion.models.base import FusionModel
from fusion.models.imf_config import BRANCHES, MODALITIES, Config
from fusion.models.imf_inputs import EntityInputs
from fusion.models.imf_signals import link_signals
from fusion.signals import FusionOutput, ModalityWeights, Trace
from fusion.types import Card, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fusion.types import Batch


class IMF(FusionModel):
    """Interactive multimodal fusion for link prediction, over given features and learned rows of entities."""

    card = Card(
        key="imf",
        name="IMF",
        title="Interactive multimodal fusion for link prediction",
        paper="Li, Zhao, Xu, Zhang, Xing, WWW 2023, doi:10.1145/3543507.3583554",
        official="HestiaSky/IMF-Pytorch@df883e4",
        tasks=(Task.LINKS,),
        shows=("ModalityWeights", "ModalityScores", "Parts", "Embedding"),
    )
    Config = Config
    task = Task.LINKS
    classes = ()

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.modalities = (
            Modality("structure", "graph", config.width, None, "entity"),
            Modality("image", "image", config.image_width, None, "entity"),
            Modality("text", "text", config.text_width, None, "entity"),
        )
        self.inputs = EntityInputs(config)
        rows = lambda: nn.Parameter(nn.init.xavier_normal_(torch.empty(2 * config.relations, config.width)))  # noqa: E731
        self.relations = nn.ParameterDict({m: rows() for m in MODALITIES})
        pooling = len(MODALITIES), config.width, config.rank, config.fusion_dropout
        self.fuse_entities, self.fuse_relations = BilinearPooling(*pooling), BilinearPooling(*pooling)
        dropouts = config.dropout, config.output_dropout
        self.context = nn.ModuleDict({k: RelationContext(config.width, *dropouts) for k in BRANCHES})
        self.decision = nn.Parameter(torch.zeros(len(BRANCHES))) if config.decision == "learned" else None
        # a query has few answers: each entity starts with the chance 1 / N
        start = torch.full((len(BRANCHES),), -math.log(config.entities - 1))
        self.offsets = nn.Parameter(start) if config.offsets else None

    def begin(self, batch: Batch, structure: Tensor | None = None) -> None:
        """Take over what training starts from: directions and means of the features, and rows of the graph encoder.

        Call it once, before training. structure (N, D). Raises FusionError when its shape, or that of the features,
        doesn't fit.
        """
        self.inputs.begin(batch, structure)

    def weights(self, read: Tensor | None = None) -> Tensor:
        """The decision weights g of `BRANCHES`, which sum to 1; those of branches that aren't read are shared out.

        read (..., 4) bool -> (..., 4)
        """
        logits = self.relations["structure"].new_zeros(len(BRANCHES)) if self.decision is None else self.decision
        return (logits if read is None else logits.masked_fill(~read, -torch.inf)).softmax(-1)

    def read(self, batch: Batch) -> Tensor:
        """Which branches are read: none of a modality that no entity has; the fused one always. -> (4,) bool"""
        some = [self.inputs.has(batch, m).any() for m in MODALITIES]
        return torch.stack([*some, torch.ones_like(some[0])])

    def tables(self, batch: Batch) -> dict[str, Tensor]:
        """All that no query changes, for `Batch.pooled`: entities (N, D) and relations (2R, D) of each branch.

        Keys: "structure", "image", "text", "fused", "relation_structure" ..., and "input_image", "input_text" where
        the features are fixed, which training may keep. Made without dropout, in evaluation mode.
        """
        was = self.training
        self.eval()
        with torch.no_grad():
            fixed = self.inputs.fixed(batch)
            made = self._entities(replace(batch, pooled={**batch.pooled, **fixed}), None)
            relations = {f"relation_{m}": self.relations[m] for m in MODALITIES}
            relations["relation_fused"] = self.fuse_relations([self.relations[m] for m in MODALITIES])
        self.train(was)
        return {**fixed, **made, **{name: value.detach() for name, value in relations.items()}}

    def _entities(self, batch: Batch, heads: Tensor | None) -> dict[str, Tensor]:
        """Rows of all entities by branch (N, D), and of the heads (B, D) under "head_fused", each with its dropout."""
        made = self.inputs(batch)
        made["fused"] = self.fuse_entities([made[m] for m in MODALITIES])
        if heads is not None and self.training and self.config.fusion_dropout:
            made["head_fused"] = self.fuse_entities([made[m][heads] for m in MODALITIES])
        return made

    def contexts(self, tables: Mapping[str, Tensor], query: Tensor) -> dict[str, Tensor]:
        """What each branch looks for, eq. (4) up to c. {as `tables` gives}, query (B, 2..3) int -> {k: (B, D)}"""
        head, (unique, index) = query[:, 0], query[:, 1].unique(return_inverse=True)
        if "relation_fused" in tables:
            fused = tables["relation_fused"][unique]
        else:
            fused = self.fuse_relations([self.relations[m][unique] for m in MODALITIES])
        share = self.config.map_dropout if self.training else 0.0
        masks = map_masks(len(head), self.config.width, share, head.device)  # one draw for all four branches
        found = {}
        for k in BRANCHES:
            e = tables["head_fused"] if k == "fused" and "head_fused" in tables else tables[k][head]
            r = fused if k == "fused" else self.relations[k][unique]
            found[k] = self.context[k](e, r, index, masks)
        return found

    def scores(self, batch: Batch, query: Tensor) -> Tensor:
        """Logits of every entity as the answer, by branch; a whole chunk of queries at once. -> (B, 4, N)

        What `tables` made is taken from batch.pooled. Raises FusionError on a query beyond the entities or relations.
        """
        asked = self._asked(batch, query)
        tables = self._ready(batch)
        return self._logits(tables, self.contexts(tables, asked))

    def _logits(self, tables: Mapping[str, Tensor], contexts: Mapping[str, Tensor]) -> Tensor:
        """c E^k of every branch, candidates first in memory: the faster way round. -> (B, 4, N)"""
        shift = self.weights().new_zeros(len(BRANCHES)) if self.offsets is None else self.offsets
        if torch.is_grad_enabled():
            return torch.stack([contexts[k] @ tables[k].T + shift[i] for i, k in enumerate(BRANCHES)], 1)
        size = (len(BRANCHES), len(tables["fused"]), len(contexts["fused"]))
        made = shift.new_empty(size)
        for i, k in enumerate(BRANCHES):
            torch.addmm(shift[i], tables[k], contexts[k].T, out=made[i])
        return made.permute(2, 0, 1)

    def decide(self, logits: Tensor, read: Tensor | None = None) -> Tensor:
        """Eq. (5): the chance of every entity. logits (B, 4, N), read (4,) bool -> (B, N) in [0, 1]"""
        weights = self.weights(read)
        total = logits[:, 0].sigmoid() * weights[0]
        for i in range(1, len(BRANCHES)):
            total = torch.addcmul(total, logits[:, i].sigmoid(), weights[i])
        return total

    def columns(
        self, tables: Mapping[str, Tensor], contexts: Mapping[str, Tensor], rows: slice | Tensor, read: Tensor
    ) -> Iterator[Tensor]:
        """What a ranking compares, of some candidates: the logits of each branch, then the chance that is decided.

        Each (n, B), without a gradient, and written over by the next one, so that all stays in a processor's cache.
        tables, contexts (B, D) as the methods of their names give them; rows: a slice, or numbers (n,).
        """
        weights = self.weights(read).detach()
        logits, chance = weights.new_empty(2, len(tables["fused"][rows]), len(contexts["fused"]))
        chance.zero_()
        for i, k in enumerate(BRANCHES):
            torch.mm(tables[k].detach()[rows], contexts[k].detach().T, out=logits)
            yield logits if self.offsets is None else logits.add_(self.offsets[i].detach())
            chance.addcmul_(logits.sigmoid_(), weights[i])
        yield chance

    def _ready(self, batch: Batch) -> Mapping[str, Tensor]:
        """The tables made before, where they are there; never while training."""
        if not self.training and all(k in batch.pooled for k in BRANCHES):
            return batch.pooled
        return self._entities(batch, None)

    def _asked(self, batch: Batch, query: Tensor | None) -> Tensor:
        config = self.config
        if query is None or query.ndim != 2 or query.shape[1] not in (2, 3):
            raise FusionError("This system answers about triples; ask with a head and a relation, and a tail if known.")
        if len(batch.present) != config.entities:
            raise FusionError(
                f"The data has {len(batch.present)} entities and the checkpoint {config.entities}: it knows only the "
                "graph that it was trained on. Open that."
            )
        ends = query[:, [0, 2]] if query.shape[1] == 3 else query[:, :1]
        limits = ((ends, config.entities, "entity"), (query[:, 1], 2 * config.relations, "relation"))
        for numbers, limit, what in limits if len(query) else ():
            if int(numbers.min()) < 0 or int(numbers.max()) >= limit:
                raise FusionError(
                    f"The query names {what} {int(numbers.max())}; there are 0 to {limit - 1}. Relation r + "
                    f"{config.relations} is r read backwards."
                )
        return query

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """The K entities of the highest chance (B, K), known answers among them, and the fused row of the head.

        While training no candidates are made (-1): they would cost as much as the loss. Raises FusionError on features,
        entities or relations that don't fit.
        """
        query, config = self._asked(batch, batch.query), self.config
        most = min(config.candidates, config.entities)
        if self.training:
            made = self._entities(batch, query[:, 0])
            contexts = self.contexts(made, query)
            extras = {f"context/{k}": contexts[k] for k in BRANCHES} | {f"table/{k}": made[k] for k in BRANCHES}
            fused = made["head_fused"] if "head_fused" in made else made["fused"][query[:, 0]]
            none = query.new_full((len(query), config.candidates), -1)
            return FusionOutput(none, fused, Trace(), extras)
        tables, read = self._ready(batch), self.read(batch)
        contexts = self.contexts(tables, query)
        logits = self._logits(tables, contexts)
        chance = self.decide(logits, read)
        best = chance.topk(most, 1).indices
        told = query[:, 2] if query.shape[1] == 3 else best[:, 0]
        extras = {f"context/{k}": contexts[k] for k in BRANCHES} | {f"table/{k}": tables[k] for k in BRANCHES}
        shown = torch.cat((told[:, None], best), 1)  # the entity told about, then the candidates
        extras |= {
            "told": told, "candidate_logits": logits.gather(2, best[:, None].expand(-1, len(BRANCHES), -1)),
            "told_logits": logits.gather(2, told[:, None, None].expand(-1, len(BRANCHES), 1)).squeeze(2),
            "chance": chance.gather(1, shown)[:, 0], "candidate_chance": chance.gather(1, best),
        }  # fmt: skip
        told_of = link_signals(self, tables, query, extras, read) if trace else []
        signals = Trace(tuple(told_of), batch.steps)
        short = config.candidates - most
        found = torch.nn.functional.pad(best, (0, short), value=-1) if short else best
        return FusionOutput(found, tables["fused"][query[:, 0]], signals, extras)

    def smoothing(self) -> tuple[float, float]:
        """What a true answer and what every entry of the target gets."""
        return 0.9, (1.0 if self.config.label_smoothing == "whole" else 0.1) / self.config.entities

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (6) by term, in nats. batch.target (K, 2) int: row of the query and tail of every true answer, once."""
        config, made = self.config, output.extras
        assert batch.target is not None, "a training batch names the true answers"
        gain, base = self.smoothing()
        terms = one_to_all(
            [made[f"context/{k}"] for k in BRANCHES], [made[f"table/{k}"] for k in BRANCHES], batch.target, gain=gain,
            base=base, weights=self.weights() if config.joint_loss else None, offsets=self.offsets,
        )  # fmt: skip
        named = {f"bce/{k}": terms[i] for i, k in enumerate(BRANCHES)}
        if config.joint_loss:
            named["bce/joint"] = terms[-1]
        if config.contrastive and batch.query is not None:
            heads = batch.query[:, 0].unique()
            rows = [made[f"table/{m}"][heads] for m in MODALITIES]
            named["contrastive"] = config.contrastive_weight * agreement(rows, config.contrastive_norm)
        return named

    def learned(self) -> Trace:
        """The decision weights: one for all queries."""
        return Trace(
            (
                ModalityWeights(
                    name="decision_weight_learned", unit="weight", normalised_over="modality", per_sample=False,
                    value=self.weights().detach()[None], modalities=BRANCHES, caveat="caveat.decision_weight",
                ),
            )
        )  # fmt: skip
