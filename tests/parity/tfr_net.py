"""A TFR-Net parity case: build from its config, load its weights by their official names, return its outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.models.official import tfr_net as names
from fusion.models.tfr_net import TFRNet

LETTERS = names.LETTERS


def _bert(config: dict, weights: dict[str, Tensor]) -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    own = {
        name.removeprefix(names.TEXT_ENCODER): value
        for name, value in weights.items()
        if name.startswith(names.TEXT_ENCODER)
    }
    own.pop("embeddings.position_ids", None)
    said = config["bert"]
    bert = BertModel(
        BertConfig(
            vocab_size=own["embeddings.word_embeddings.weight"].shape[0],
            hidden_size=own["embeddings.word_embeddings.weight"].shape[1], num_hidden_layers=said["layers"],
            num_attention_heads=said["heads"], intermediate_size=said["intermediate"], layer_norm_eps=1e-12,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            max_position_embeddings=own["embeddings.position_embeddings.weight"].shape[0],
            type_vocab_size=own["embeddings.token_type_embeddings.weight"].shape[0], attn_implementation="eager",
        )
    )  # fmt: skip
    bert.load_state_dict(own, strict=False)
    missing = set(dict(bert.named_parameters())) - set(own)
    assert not missing, missing
    return bert


def _encoded(bert: torch.nn.Module, text: Tensor) -> Tensor:
    ids, mask, segments = text.long().unbind(1)
    return bert(ids, attention_mask=mask, token_type_ids=segments).last_hidden_state


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    training = config["mode"].find("training mode") >= 0
    plain = names.plain(weights)
    wrapped = names.PREFIX if all(name.startswith(names.PREFIX) for name in weights) else ""
    settings = names.config(
        plain, heads=config["dst_feature_dim_nheads"][1], recon_heads=config["num_temporal_head"],
        dropout=0.0, attention_dropout=(0.0, 0.0, 0.0), recon_weights=tuple(map(float, config["weight_gen_loss"])),
        cmd=float(config["weight_sim_loss"]), causal=config["attn_mask"], recon_causal=config["attn_mask"],
        kernels=tuple(config["conv1d_kernel_sizes"]),
    )  # fmt: skip
    told = {
        "steps": config["seq_lens"], "widths": config["feature_dims"], "width": config["dst_feature_dim_nheads"][0],
        "cross_layers": config["nlevels"], "self_layers": config["intra_and_final_layers"],
        "hidden": config["fusion_hidden"], "gru_layers": config["fusion_gru_layers"],
        "head_width": config["cls_hidden_dim"],
    }  # fmt: skip
    for name, value in told.items():
        assert getattr(settings, name) == (tuple(value) if isinstance(value, list) else value), name
    bert, model = _bert(config, plain), TFRNet(settings)
    state = {name: plain[names.official_name(name)] for name in model.state_dict()}
    used = {names.official_name(name) for name in state} | {n for n in plain if n.startswith(names.TEXT_ENCODER)}
    assert used == set(plain), set(plain) ^ used
    model.load_state_dict(state)
    bert.train(training)
    model.train(training)

    damaged = {m: inputs[f"{m}_missing"].float() for m in ("audio", "vision")}
    truth = {m: inputs[m].float() for m in ("audio", "vision")}
    real = {m: inputs[f"{m}_mask"].bool() for m in ("audio", "vision")}
    damaged = {"text": _encoded(bert, inputs["text_missing"])} | damaged
    truth = {"text": _encoded(bert, inputs["text"])} | truth
    real = {"text": inputs["text"][:, 1].bool()} | real
    made, attentions = model.answer(damaged, real, trace=True)
    result = {"prediction": made["score"], "text_features_missing": damaged["text"], "text_features": truth["text"]}
    total, generate = F.l1_loss(made["score"], inputs["labels"]), torch.zeros(())
    result["loss_l1"] = total
    for m, letter in LETTERS.items():
        hidden, h = real[m] & ~inputs[f"{m}_keep"].bool(), made[f"hidden/{m}"]
        whole, guess, deep = model.guess(m, h, real[m], trace=True)
        smooth, moments = model.terms(guess, truth[m], hidden)
        one = smooth + settings.cmd * moments
        generate = generate + settings.of("recon_weights")[m] * one
        for source, other in LETTERS.items():
            name = f"{letter}_mem" if m == source else f"{letter}_with_{other}"
            place = [m, *(s for s in LETTERS if s != m)].index(source)
            result[f"attention_{name}"] = attentions[m, source][-1].mean(1)
            result[f"encoder_{name}"] = h.split(settings.width, -1)[place].transpose(0, 1)
        result |= {
            f"attention_{letter}_final": deep[-1].mean(1), f"{m}_hidden": h, f"{m}_hidden_global": whole,
            f"generated_{m}": guess, f"gru_{m}": made[f"gru/{m}"], f"gate_{m}": made[f"gate/{m}"],
            f"utterance_{m}": made[f"utterance/{m}"], f"smooth_l1_{m}": smooth, f"cmd_{m}": moments,
            f"loss_generate_{m}": one,
        }  # fmt: skip
        if m in model.project:
            result[f"projected_{letter}"] = made[f"projected/{m}"].transpose(1, 2)
    total = total + generate
    result |= {"loss_generate": generate, "loss_total": total, "fusion_normed": made["normed"]}
    if not training:
        return result
    result["batch_norm_running_mean_after"] = model.norm.running_mean
    result["batch_norm_running_var_after"] = model.norm.running_var
    total.backward()
    named = {names.official_name(name): p for name, p in model.named_parameters()}
    named |= {names.TEXT_ENCODER + name: p for name, p in bert.named_parameters()}
    for name, parameter in named.items():
        if parameter.grad is not None:
            result[f"grad/{wrapped}{name}"] = parameter.grad
            result[f"grad_norm/{wrapped}{name}"] = parameter.grad.norm()
    return result
