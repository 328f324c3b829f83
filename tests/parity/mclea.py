"""An MCLEA parity case: build from its config, load its weights by their official names, return its outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusion.losses import choices, imitation, unit
from fusion.metrics.ranking import rank_pairs, similarities
from fusion.models.mclea import MCLEA, Config
from fusion.models.official import mclea as names
from fusion.models.official.entities import FUSION_ORDER, LOSS_ORDER, SHORT
from fusion.types import Batch, Graph

FULL = {short: m for m, short in SHORT.items()}


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    used = {FULL[short] for short in config["modalities_besides_structure"]} | {"graph"}
    modalities = tuple(m for m in FUSION_ORDER if m in used)
    heads = tuple(m for m in ("image", "attribute", "relation", "graph") if m in used)
    settings = Config.released(
        **names.sizes(weights, modalities), widths=names.widths(weights, modalities), name_width="own",
        projected=heads if config["use_project_head"] else (), temperature=config["tau"],
        ial_temperature=config["tau2"], zoom=config["zoom"], left_share=config["ab_weight"],
    )  # fmt: skip
    model = MCLEA(settings)
    state = {
        own: names.from_official(own, weights[names.official_name(own)], settings.slotted) for own in model.state_dict()
    }
    left_out = {f"{SHORT[m]}_{kind}" for m in SHORT if m not in used for kind in ("fc", "pro")}
    unknown = set(weights) - {names.official_name(own) for own in state}
    assert all(name.split(".")[0] in left_out for name in unknown), unknown
    model.load_state_dict(state)
    model.eval()

    triples = inputs["triples"]
    graph = Graph(triples[:, [0, 2]].T, triples[:, 1])
    batch = Batch(
        features={m: inputs[f"{SHORT[m]}_features"] for m in modalities if m != "graph"}, pooled={}, mask={}, kept={},
        present=torch.ones(config["entities"], len(modalities), dtype=torch.bool), modalities=modalities,
        ids=tuple(str(i) for i in range(len(inputs["train_links"]))), graph=graph, query=inputs["train_links"],
    )  # fmt: skip
    output = model(batch)
    terms = model.loss(output, batch)
    total = sum(terms.values())
    assert isinstance(total, Tensor)
    total.backward()
    made = output.extras
    wanted = choices(*made["joint"].unbind(1), settings.ial_temperature)
    result: dict[str, Tensor] = {"icl/joint": terms["icl/joint"], "loss_total": total}
    for m in modalities:
        rows = unit(made[f"embedding/{m}"])
        result[f"icl/{SHORT[m]}"] = model.icl(rows)
        result[f"ial/{SHORT[m]}"] = model.ial(rows, wanted)
        summed = imitation(
            *rows.unbind(1), wanted, settings.ial_temperature, left_share=settings.left_share, reduction="sum"
        )
        result[f"ial_sum/{SHORT[m]}"] = settings.zoom * summed
    result["loss_intra"] = torch.stack([terms[f"icl/{m}"] for m in LOSS_ORDER]).sum()
    result["loss_inter"] = torch.stack([terms[f"ial/{m}"] for m in LOSS_ORDER]).sum()
    order = [settings.slotted.index(m) for m in FUSION_ORDER]
    result["fusion_weights"] = model.weights()[torch.tensor(order)]
    everyone = torch.arange(config["entities"])
    with torch.no_grad():
        table = model.encoder.table(batch)
        encoded, read = model.encoder(batch, everyone, table)
        result |= {f"emb/{SHORT[m]}": value for m, value in encoded.items()}
        result["emb/joint"] = model.joint(encoded, read)
        result |= graph_layers(model, graph)
    result |= evaluation(result["emb/joint"], inputs["test_links"], config)
    result |= gradients(model, names)
    return result


def graph_layers(model: Any, graph: Graph) -> dict[str, Tensor]:
    """What each layer of the graph attention gives, by head (H, N, D)."""
    from torch.nn import functional as F

    from fusion.blocks.graph import GAT, adjacency

    structure, x, found = model.encoder.structure, model.encoder.own, {}
    if not isinstance(structure, GAT):
        return {}
    near = adjacency(graph, len(x))
    for number, layer in enumerate(structure.layers):
        received, _ = layer(x, near)
        found[f"gat_layer_{number}"] = layer.beside(received).transpose(0, 1)
        x = F.elu(layer.mean(received))
    return found


def evaluation(joint: Tensor, links: Tensor, config: dict) -> dict[str, Tensor]:
    """Distances, ranks and figures of the test links, both ways, without and with CSLS."""
    left, right = (unit(joint[side]) for side in links.unbind(1))
    measure = "cityblock" if config.get("distance_norm", 2) == 1 else "squared"
    result = {"eval/distance": 1 - similarities(left, right, measure)}
    for suffix, k in (("", 0), ("_csls", config["csls_k"])):
        if k:
            result["eval/distance_csls"] = 1 - similarities(left, right, measure, csls=k)
        for name, ranking in zip(("l2r", "r2l"), rank_pairs(left, right, measure=measure, csls=k), strict=True):
            result[f"eval/rank_{name}{suffix}"] = ranking.ranks
            figures = (ranking.hits(1), ranking.hits(10), ranking.mean, ranking.mrr)
            result[f"eval/metrics_{name}{suffix}"] = torch.tensor(figures)
    return result


def gradients(model: Any, key_map: Any) -> dict[str, Tensor]:
    """Of every parameter by its official name, whole and as a norm."""
    found = {}
    for own, parameter in model.named_parameters():
        if parameter.grad is not None:
            value = key_map.to_official(own, parameter.grad, model.config.slotted)
            found[f"grad/{key_map.official_name(own)}"] = value
            found[f"grad_norm/{key_map.official_name(own)}"] = value.norm()
    return found
