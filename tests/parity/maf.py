"""A MAF parity case: build from its config, load its weights by their official names, return its outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from fusion.losses import info_nce
from fusion.models.maf import MAF, Config
from fusion.models.official.maf import UNUSED, official_name
from fusion.types import Batch


def _bert(config: dict, weights: dict[str, Tensor]) -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    bert = BertModel(
        BertConfig(
            vocab_size=config["vocab_size"], hidden_size=config["hidden_size"],
            num_hidden_layers=config["num_hidden_layers"], num_attention_heads=config["num_attention_heads"],
            intermediate_size=config["intermediate_size"], layer_norm_eps=config.get("layer_norm_eps", 1e-12),
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            max_position_embeddings=weights["bert.embeddings.position_embeddings.weight"].shape[0],
            type_vocab_size=weights["bert.embeddings.token_type_embeddings.weight"].shape[0],
            attn_implementation="eager",
        )
    )  # fmt: skip
    own = {k.removeprefix("bert."): v for k, v in weights.items() if k.startswith("bert.")}
    own.pop("embeddings.position_ids", None)
    bert.load_state_dict(own, strict=False)
    missing = set(dict(bert.named_parameters())) - set(own)
    assert not missing, missing
    return bert


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    training = "labels" in inputs
    bert = _bert(config, weights)
    settings = Config.released(
        text_width=config["hidden_size"], image_width=config["region_dim"], regions=config["regions"],
        max_length=config["max_seq_length"], heads=config["num_attention_heads"], layers=config["cross_layers"],
        inner_width=config["intermediate_size"], dropout=0.0,
        classes=tuple(f"tag{i}" for i in range(config["num_labels"])),
        temperature=config.get("temp", 0.179), text_share=config.get("temp_lamb", 0.7),
        tagging_share=config.get("lamb", 0.62), negative_rate=config.get("negative_rate", 0),
    )  # fmt: skip
    model = MAF(settings)
    state = {name: weights[official_name(name)] for name in model.state_dict()}
    used = {official_name(name) for name in state} | {k for k in weights if k.startswith("bert.") or UNUSED.match(k)}
    assert used == set(weights), set(weights) ^ used
    model.load_state_dict(state)
    bert.train(training)
    model.train(training)

    text_mask, regions = inputs["input_mask"].bool(), config["regions"]
    encoded = bert(
        inputs["input_ids"], attention_mask=inputs["input_mask"], token_type_ids=inputs["segment_ids"],
        output_attentions=True,
    )  # fmt: skip
    size = len(text_mask)
    batch = Batch(
        features={"text": encoded.last_hidden_state, "image": inputs["visual_att"].flatten(2).transpose(1, 2)},
        pooled={"text": encoded.pooler_output, "image": inputs["visual_mean"]},
        mask={"text": text_mask, "image": torch.ones(size, regions, dtype=torch.bool)},
        kept={"text": text_mask, "image": inputs["added_input_mask"][:, :regions].bool()},
        present=torch.ones(size, 2, dtype=torch.bool),
        modalities=("text", "image"),
        ids=tuple(str(i) for i in range(size)),
        target=inputs.get("labels"),
    )
    output = model(batch)
    made, trace = output.extras, output.trace
    result = {
        "text_attention_last_mean": encoded.attentions[-1].mean(1),
        "text_hidden": encoded.last_hidden_state,
        "text_pooled": encoded.pooler_output,
        "region_proj": made["region_projection"],
        "cross_attention": trace.signals[config["cross_layers"]].value,
        "cross_output": made["cross_output"],
        "match_logits": made["match_logits"],
        "match_probability": trace["match_score"].value,
        "gate": trace["gate"].value,
        "emissions": made["emissions"],
        "gated_visual": made["gated"],
        "align_text": made["align_text"],
        "align_image": made["align_image"],
    }
    if not training:
        return result | {"tags": output.prediction}
    terms = model.loss(output, batch)
    total, lam = sum(terms.values()), settings.tagging_share
    forth = info_nce(made["align_text"], made["align_image"], settings.temperature, 1.0)
    back = info_nce(made["align_text"], made["align_image"], settings.temperature, 0.0)
    result |= {
        "match_labels": made["match_target"],
        "loss_cm": terms["matching"] / (1 - lam),
        "loss_t2i": forth,
        "loss_i2t": back,
        "loss_ca": terms["alignment"] / (1 - lam),
        "crf_log_likelihood": model.crf.log_likelihood(made["emissions"], inputs["labels"], text_mask),
        "loss_ner": terms["tagging"] / lam,
        "loss_total": total,
    }
    total.backward()
    named = {official_name(k): p for k, p in model.named_parameters()}
    named |= {f"bert.{k}": p for k, p in bert.named_parameters()}
    for name, parameter in named.items():
        if parameter.grad is not None:
            result[f"grad/{name}"] = parameter.grad
            result[f"grad_norm/{name}"] = parameter.grad.norm()
    return result
