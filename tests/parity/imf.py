"""An IMF parity case: build from its config, load its weights by their official names, return its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import elu

from fusion.blocks.graph import directed
from fusion.losses import agreement
from fusion.metrics.ranking import filtered_ranks
from fusion.models.imf import BRANCHES, IMF, MODALITIES
from fusion.models.imf_inputs import pooled
from fusion.models.imf_structure import StructureEncoder
from fusion.models.official import imf as names
from fusion.types import Batch, Graph

SHORT = {"structure": "s", "image": "i", "text": "d", "fused": "mm"}


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    if "image_raw" in inputs:
        return {f"{m}_pooled": pooled(inputs[f"{m}_raw"], 256, m) for m in ("image", "text")}
    if "edges" in inputs:
        return structure(config, weights, inputs)
    model = IMF(names.config(weights, fusion_dropout=0.0, dropout=0.0, map_dropout=0.0, output_dropout=0.0))
    assert model.config.rank == config["mutan_rank"]
    state = {own: weights[names.official_name(own)] for own in model.state_dict()}
    assert set(weights) - {names.official_name(own) for own in state} == set(names.UNUSED)
    model.load_state_dict(state)
    true = (inputs["target"] > 0.5).nonzero()
    count = config["entities"]
    batch = Batch(
        features={}, pooled={}, mask={}, kept={}, present=torch.ones(count, 3, dtype=torch.bool),
        modalities=MODALITIES, ids=tuple(str(i) for i in range(len(inputs["query"]))), query=inputs["query"][:, :2],
        target=true,
    )  # fmt: skip
    gain, base = model.smoothing()
    target = torch.full((len(batch), count), base).index_put((true[:, 0], true[:, 1]), torch.tensor(gain + base))
    torch.testing.assert_close(target, inputs["target"])
    model.train()
    if not trained(config):  # the norms take their running statistics
        model.context.eval()
    output = model(batch, trace=False)
    terms = model.loss(output, batch)
    total = sum(terms.values())
    assert isinstance(total, Tensor)
    total.backward()
    made = output.extras
    result = {"loss_total": total, "fused_head": output.fused, "fused_entities": made["table/fused"]}
    logits = torch.stack([made[f"context/{k}"] @ made[f"table/{k}"].T for k in BRANCHES], 1)
    for place, k in enumerate(BRANCHES):
        result[f"score_{SHORT[k]}"] = logits[:, place].sigmoid()
        result[f"loss_{SHORT[k]}"] = terms[f"bce/{k}"]
        result[f"tucker_{SHORT[k]}"] = made[f"context/{k}"]
    result["score_fused"] = model.decide(logits)
    with torch.no_grad():
        relation = inputs["query"][:, 1]
        result["fused_relation"] = model.fuse_relations([model.relations[m][relation] for m in MODALITIES])
    result |= contrastive(model, inputs["contrastive_entities"]) | gradients(model)
    norms = {own: value for own, value in model.named_buffers() if own.endswith(("running_mean", "running_var"))}
    if trained(config):
        return result | {f"bn_after/{names.official_name(own)}": value for own, value in norms.items()}
    return result | evaluation(model, batch, config, inputs)


def trained(config: dict) -> bool:
    """Whether the case was run with the statistics of its batch, which nothing but its description says."""
    return "training mode" in config["mode"]


def contrastive(model: IMF, entities: Tensor) -> dict[str, Tensor]:
    """The released contrastive value and its derivative by the rows of each modality."""
    rows = {m: value.detach()[entities].requires_grad_() for m, value in model.inputs(blank(model)).items()}
    value = agreement(list(rows.values()), "whole")
    value.backward()
    found = {f"contrastive_grad_{m}": row.grad for m, row in rows.items() if row.grad is not None}
    return {"contrastive": value, **found}


def blank(model: IMF) -> Batch:
    """All entities, everything there, no question."""
    present = torch.ones(model.config.entities, 3, dtype=torch.bool)
    return Batch({}, {}, {}, {}, present, MODALITIES, ())


def evaluation(model: IMF, batch: Batch, config: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Filtered ranks of the test triples by the fused chance, as tail and, read backwards, as head."""
    model.eval()
    relations, found = config["relations"], {}
    every = torch.cat([inputs[f"{split}_triples"] for split in ("train", "valid", "test")])
    test = inputs["test_triples"]
    ways = {"tail": lambda t: t, "head": lambda t: torch.stack((t[:, 2], t[:, 1] + relations, t[:, 0]), 1)}
    with torch.no_grad():
        ready = replace(batch, pooled=model.tables(batch))
        for name, turn in ways.items():
            query, known = turn(test), turn(every)
            chance = model.decide(model.scores(ready, query))
            same = (query[:, None, :2] == known[None, :, :2]).all(-1).nonzero()
            found[name] = filtered_ranks(chance, query[:, 2], same[:, 0], known[same[:, 1], 2])
    figures = [[(rank <= k).double().mean() for k in (1, 3, 10)] + [rank.mean(), (1 / rank).mean()]
               for rank in found.values()]  # fmt: skip
    metrics = torch.tensor(figures).mean(0)
    return {"eval/metrics": metrics} | {f"eval/rank_{name}": rank for name, rank in found.items()}


def gradients(model: Any, named: Callable[[str], str] = names.official_name) -> dict[str, Tensor]:
    """Of every parameter by its official name, whole and as a norm."""
    found = {}
    for own, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"grad/{named(own)}"] = parameter.grad
            found[f"grad_norm/{named(own)}"] = parameter.grad.norm()
    return found


def structure(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The graph encoder: every output of its case."""
    encoder = StructureEncoder(names.structure_config(
        weights, dropout=0.0, slope=config["alpha"], margin=config["margin"], negatives=config["neg_num"]
    ))  # fmt: skip
    assert encoder.config.heads == config["n_heads"]
    state = {own: weights[names.structure_name(own)] for own in encoder.state_dict()}
    assert set(weights) - {names.structure_name(own) for own in state} == set(names.OVERWRITTEN)
    encoder.load_state_dict(state)
    tail, head = inputs["edges"]
    graph = Graph(torch.stack((head, tail)), torch.zeros_like(head))
    made = encoder(graph)
    true = len(inputs["triples"]) // (1 + config["neg_num"])
    loss = encoder.loss(made, inputs["triples"][:true], inputs["triples"][true:])
    loss.backward()
    near, result = directed(graph, config["entities"]), {"entity_out": made[0], "relation_out": made[1], "loss": loss}
    with torch.no_grad():
        heads = [elu(one(encoder.entities, near)) for one in encoder.heads]
        result |= {f"head_{i}": one for i, one in enumerate(heads)}
        result["out_layer"] = encoder.output(torch.cat(heads, 1), near)
    return result | gradients(encoder, names.structure_name)
