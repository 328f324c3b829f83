"""An HSCL parity case: a part or the whole, its weights by their official names, its outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.blocks.multihead import MultiHead
from fusion.losses import supcr
from fusion.models.hscl import HSCL, Config, Encoder, FusionLayer
from fusion.models.official import bert as released_bert
from fusion.models.official import hscl as names
from fusion.types import Batch


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    if "features" in inputs:
        return _losses(config, inputs)
    if "nhid" in config:
        return _encoder(config, weights, inputs)
    if "x_kv" in inputs:
        return _layer(config, weights, inputs)
    return _whole(config, weights, inputs)


def _losses(config: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    features = inputs["features"].clone().requires_grad_()
    one, other, target = features[:, 0], features[:, 1], inputs["labels"][:, 0]
    made = {
        "supcr_released": supcr(one, other, target, config["temperature"], "positive"),
        "supcr_published": supcr(one, other, target, config["temperature"]),
        "similarity": (one - other).norm(dim=-1).mean(),
    }
    result: dict[str, Tensor] = dict(made)
    for name, value in made.items():
        result[f"{name}_grad"] = torch.autograd.grad(value, features, retain_graph=True)[0]
    return result


def _filled(module: nn.Module, name: object, weights: dict[str, Tensor], unread: tuple[str, ...] = ()) -> nn.Module:
    state = {own: weights[name(own)] for own in module.state_dict()}  # type: ignore[operator]
    used = {name(own) for own in state} | set(unread)  # type: ignore[operator]
    assert used == set(weights), used ^ set(weights)
    module.load_state_dict(state)
    return module


def _gradients(module: nn.Module, name: object) -> dict[str, Tensor]:
    found = {name(own): p.grad for own, p in module.named_parameters() if p.grad is not None}  # type: ignore[operator]
    return {f"grad/{key}": value for key, value in found.items()} | {
        f"grad_norm/{key}": value.norm() for key, value in found.items()
    }


def _encoder(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    encoder = Encoder(config["ninp"], config["nhead"], config["nhid"], config["nlayers"], 0.0)
    _filled(encoder, names.encoder_name, weights, (names.POSITIONS,))
    x = inputs["x"].clone().requires_grad_()
    seen = torch.arange(len(x)) < inputs["lengths"][:, None]  # (B, T)
    hidden = encoder.placed(x.transpose(0, 1))
    table = weights[names.POSITIONS][: len(x), 0, : x.shape[2]]
    torch.testing.assert_close(encoder.placed(torch.zeros(1, *x.shape[::2]))[0], table)
    result = {"padding_mask": ~seen, "after_positions": hidden.transpose(0, 1)}
    for number, layer in enumerate(encoder.layers):
        hidden = layer(hidden, seen)
        result[f"layer_{number}"] = hidden.transpose(0, 1)
    result["output"] = encoder(x.transpose(0, 1), seen).transpose(0, 1)
    (result["output"] * inputs["probe"])[seen.T].sum().backward()
    assert x.grad is not None
    return result | {"dx": x.grad} | _gradients(encoder, names.encoder_name)


def _layer(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    heads = config["cross_heads"]
    layer = FusionLayer(config["embed_dim"], config["kdim"], heads, 0.0, "input")
    layer.own = MultiHead(config["embed_dim"], config["self_heads"], 0.0)
    _filled(layer, names.fusion_name, weights)
    x, other = (inputs[name].clone().requires_grad_() for name in ("x", "x_kv"))
    read = torch.ones(x.shape[1], len(x), dtype=torch.bool)
    made = layer(x.transpose(0, 1), other.transpose(0, 1), read, ~inputs["key_padding_mask"], trace=True)
    (made.output.transpose(0, 1) * inputs["probe"]).sum().backward()
    assert x.grad is not None
    assert other.grad is not None
    return {
        "output": made.output.transpose(0, 1), "dx": x.grad, "dx_kv": other.grad,
        "self_attention_mean": made.self_attention.mean(1), "after_self": made.attended.transpose(0, 1),
        "cross_attention_mean": made.cross_attention.mean(1), "after_cross": made.crossed.transpose(0, 1),
    } | _gradients(layer, names.fusion_name)  # fmt: skip


def _bert(config: dict, weights: dict[str, Tensor]) -> nn.Module:
    from transformers import BertModel

    own = {k.removeprefix(names.TEXT_ENCODER): v for k, v in weights.items() if k.startswith(names.TEXT_ENCODER)}
    own.pop("embeddings.position_ids", None)
    bert = BertModel(released_bert.config(weights, names.TEXT_ENCODER, config["bert_heads"], dropout=0.0))
    bert.load_state_dict(own)
    return bert


def _whole(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    encoders = [config["encoders"][name] for name in ("acoustic", "visual")]
    settings = names.config(
        weights, heads=config["fusion_heads"], encoder_heads=tuple(one["heads"] for one in encoders), dropout=0.0,
        temperature=config["temperature"], similarity_weight=config["alpha"], single_weight=config["w1"],
        pair_weight=config["w2"],
    )  # fmt: skip
    assert settings.encoder_inner == tuple(one["ffn"] for one in encoders)
    model = HSCL(settings).train()
    bert = _bert(config, weights).train()
    unread = tuple(key for key in weights if key.startswith(names.TEXT_ENCODER) or key in names.UNREAD)
    _filled(model, lambda own: names.official_name(own, settings.modalities), weights, unread)
    text = bert(
        inputs["bert_sent"], attention_mask=inputs["bert_sent_mask"], token_type_ids=inputs["bert_sent_type"]
    ).last_hidden_state
    batch = _batch(inputs, text)
    cls = {"audio": inputs["cls_a_noise"].flatten(), "vision": 0.2 * inputs["cls_v_noise"].flatten()}
    made = model(batch, trace=False, cls=cls)
    read, others = model.encode(batch, cls)[1:]
    first = lambda value: value.transpose(0, 1)  # noqa: E731
    result = {
        "text_hidden": text, "prediction": made.prediction[:, None], "fusion": made.extras["feature"],
        "feature": made.extras["pairs"], "feature_at": made.extras["views_audio"],
        "feature_vt": made.extras["views_vision"], "acoustic_encoded": first(others[0][0]),
        "visual_encoded": first(others[1][0]),
    }  # fmt: skip
    for name, fusion, (encoded, seen) in zip(("ta", "tv"), model.fusions, others, strict=True):
        crossed = fusion(text, encoded, read, seen, trace=True)
        result |= {
            f"{name}_self_attention_mean": crossed.self_attention.mean(1),
            f"{name}_after_self": first(crossed.attended),
            f"{name}_cross_attention_mean": crossed.cross_attention.mean(1),
            f"{name}_after_cross": first(crossed.crossed), f"{name}_output": first(crossed.output),
        }  # fmt: skip
    return result | _trained(model, bert, made, batch)


def _batch(inputs: dict[str, Tensor], text: Tensor) -> Batch:
    size = len(text)
    features = {"text": text, "audio": inputs["acoustic"].transpose(0, 1), "vision": inputs["visual"].transpose(0, 1)}
    mask = {"text": inputs["bert_sent_mask"].bool()} | {
        name: torch.arange(features[name].shape[1]) < inputs[lengths][:, None]
        for name, lengths in (("audio", "a_len"), ("vision", "v_len"))
    }
    return Batch(
        features=features, pooled={}, mask=mask, kept=mask, present=torch.ones(size, 3, dtype=torch.bool),
        modalities=("text", "audio", "vision"), ids=tuple(map(str, range(size))), target=inputs["labels"][:, 0],
    )  # fmt: skip


def _trained(model: HSCL, bert: nn.Module, made: object, batch: Batch) -> dict[str, Tensor]:
    extras, config = made.extras, model.config  # type: ignore[attr-defined]
    views = {"fus": extras["pairs"], "at": extras["views_audio"], "vt": extras["views_vision"]}
    for one in views.values():
        one.retain_grad()
    target, result = batch.target, {}
    for name, one in views.items():
        result[f"loss_supcr_{name}"] = supcr(one[:, 0], one[:, 1], target, config.temperature, "positive")  # type: ignore[arg-type]
        result[f"published_supcr_{name}"] = supcr(one[:, 0], one[:, 1], target, config.temperature)  # type: ignore[arg-type]
    for name in ("at", "vt"):
        result[f"loss_sim_{name}"] = (views[name][:, 0] - views[name][:, 1]).norm(dim=-1).mean()
        result[f"loss_{name}"] = result[f"loss_supcr_{name}"] + config.similarity_weight * result[f"loss_sim_{name}"]
    terms = model.loss(made, batch)  # type: ignore[arg-type]
    result |= {"loss_l1": terms["prediction"], "loss_total": torch.stack(list(terms.values())).sum()}
    result["loss_total"].backward()
    result |= {"dfeature": views["fus"].grad, "dfeature_at": views["at"].grad, "dfeature_vt": views["vt"].grad}
    result |= _gradients(model, lambda own: names.official_name(own, config.modalities))
    return result | _gradients(bert, lambda own: names.TEXT_ENCODER + own)


__all__ = ["Config", "outputs"]
