"""A MEAformer parity case: build from its config, load its weights by their official names, return its outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from fusion.losses import unit
from fusion.models.meaformer import Config, MEAformer
from fusion.models.official import meaformer as names
from fusion.models.official.entities import LOSS_ORDER, SHORT
from fusion.types import Batch, Graph
from tests.parity.mclea import FULL, evaluation, gradients, graph_layers


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    modalities = tuple(FULL[short] for short in config["tokens"])
    settings = Config.released(
        **names.settings(weights, modalities, config["num_attention_heads"]), fusion_dropout=0.0,
        temperature=config["tau"], left_share=config["ab_weight"],
    )  # fmt: skip
    assert bool(settings.inner_width) == bool(config["use_intermediate"])
    model = MEAformer(settings)
    state = {
        own: names.from_official(own, weights[names.official_name(own)], settings.slotted) for own in model.state_dict()
    }
    unknown = set(weights) - {names.official_name(own) for own in state}
    assert all(names.unused(name, settings) for name in unknown), unknown
    model.load_state_dict(state)
    model.eval()

    triples = inputs["triples"]
    graph = Graph(triples[:, [0, 2]].T, triples[:, 1])
    features = {m: inputs[f"{SHORT[m]}_features"] for m in modalities if m not in ("graph", "image")}
    if "image" in modalities:
        features["image"] = unit(inputs["img_features_raw"])
    batch = Batch(
        features=features, pooled={}, mask={}, kept={},
        present=torch.ones(config["entities"], len(modalities), dtype=torch.bool), modalities=modalities,
        ids=tuple(str(i) for i in range(len(inputs["train_links"]))), graph=graph, query=inputs["train_links"],
    )  # fmt: skip
    output = model(batch)
    terms = model.loss(output, batch)
    total = sum(terms.values())
    assert isinstance(total, Tensor)
    total.backward()
    made = output.extras
    result = {"loss_total": total, "loss_joint": terms["icl/joint"]}
    for part in ("early", "late"):
        result[f"loss_{part}"] = torch.stack([terms[f"{part}/{m}"] for m in LOSS_ORDER]).sum()
    for number, m in enumerate(modalities):
        result[f"icl_early/{SHORT[m]}"] = model.icl(unit(made[f"embedding/{m}"]))
        result[f"icl_late/token_{number}"] = model.icl(made[f"late/{m}"])
    with torch.no_grad():
        everyone = model.fused(batch, torch.arange(config["entities"])[:, None])
        for m in modalities:
            result[f"emb/{SHORT[m]}"] = everyone[f"embedding/{m}"][:, 0]
        early = [unit(everyone[f"embedding/{m}"][:, 0]) for m in modalities]
        meta = everyone["meta_weight"][:, 0]
        result["meta_weights"] = meta
        result["emb/joint"] = torch.cat([meta[:, i : i + 1] * one for i, one in enumerate(early)], 1)
        result["hidden_states"] = everyone["token/hidden"][:, 0]
        for layer in range(settings.fusion_layers):
            result[f"attention/layer_{layer}"] = everyone[f"attention/{layer}"][:, 0]
        result |= graph_layers(model, graph)
    result |= evaluation(result["emb/joint"], inputs["test_links"], config)
    result |= gradients(model, names)
    return result
