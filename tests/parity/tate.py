"""A TATE parity case: build from its config, load its variables by their names, return its outputs."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fusion.models.official.tate import ORDER, UNUSED, config, from_official, official_name, to_official
from fusion.models.tate import TATE
from fusion.models.tate_blocks import Inside
from fusion.signals import FusionOutput, Trace
from fusion.types import Batch

SHORT = {"vision": "visual", "audio": "audio", "text": "text"}
NAMES = {"joint": "joint", "decoder": "decoder"} | SHORT


def _settings(case: dict, weights: dict[str, Tensor]) -> dict:
    """Switches of the released code, dropout off; which constant tag it was the mode says."""
    digits = re.search(r"tag ((?:[01] ){3}[01])", case["mode"])
    fixed = {"tag": "sample"}
    if digits is not None and "follows the flag" not in case["mode"]:
        fixed = {"tag": "constant", "constant_tag": tuple(int(d) for d in digits[1].split())}
        if fixed["constant_tag"] == (0, 0, 0, 1):  # the program for IEMOCAP
            fixed["decay"] = 1e-5
    made = vars(
        config(
            weights, case["heads"], (case["visual_len"], case["audio_len"], case["text_len"]),
            eval_dropout=False, dropout=0.0, **fixed,
        )
    )  # fmt: skip
    assert made["width"] == case["att_dim"]
    assert len(made["classes"]) == case["classes"]
    return made


def _batch(inputs: dict[str, Tensor]) -> Batch:
    """Rows of zeros are padding, or of a missing modality; a missing one has nothing but them."""
    features = {m: inputs[SHORT[m]] for m in ORDER}
    mask = {m: (x != 0).any(-1) for m, x in features.items()}
    return Batch(
        features=features, pooled={}, mask=mask, kept=mask, present=torch.stack([mask[m].any(1) for m in ORDER], 1),
        modalities=ORDER, ids=tuple(str(i) for i in range(len(inputs["label"]))), target=inputs["label"],
    )  # fmt: skip


def _inside(part: str, inside: Inside, result: Tensor) -> dict[str, Tensor]:
    assert inside.attention is not None
    return {
        f"attention_{NAMES[part]}": inside.attention.transpose(0, 1).flatten(0, 1),  # (H B, T, T)
        f"encoder_{NAMES[part]}": result,
        f"after_attention_{NAMES[part]}": inside.after,
    }


def outputs(case: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name."""
    settings = TATE.Config(**_settings(case, weights))
    model = TATE(settings)
    known = {own: official_name(own, settings.weighted) for own in model.state_dict()}
    used = set(known.values()) | {key for key in weights if any(pattern.match(key) for pattern in UNUSED)}
    assert used == set(weights), set(weights) ^ used
    model.load_state_dict({own: from_official(own, weights[name]) for own, name in known.items()})
    batch = _batch(inputs)
    if settings.tag == "sample":
        flags = [[m not in missing for m in ORDER] for missing in (_missing(f) for f in inputs["flag"].tolist())]
        assert torch.equal(batch.present, torch.tensor(flags)), "a flag says otherwise than the zeros"
    made = model.run(batch, trace=True)
    result: dict[str, Tensor] = {"probability": made.prediction.softmax(-1), "readout": made.fused}
    for number, m in enumerate(ORDER):
        result |= _inside(m, made.inside[m], made.own[number])
        result[f"projected_{SHORT[m]}"] = made.projected[number]
    result |= _inside("joint", made.inside["joint"], made.encoded) | {"tagged_input": made.tagged}
    result |= _inside("decoder", made.inside["decoder"], made.decoded)
    if made.sure is not None:
        result["modality_weights"] = made.sure.weight.T
        result |= {f"pooled_{SHORT[m]}": made.sure.pooled[:, number] for number, m in enumerate(ORDER)}
    output = FusionOutput(made.prediction, made.fused, Trace(), made.extras())
    target = inputs["pretrained_output"]
    terms = model.terms(output, inputs["label"], (target, torch.full_like(target[..., 0], 1 / target.shape[1])))
    result |= {
        "loss_ce": terms["answer"],
        "loss_l2": terms["decay"] / settings.decay * 1e-4,
        "loss_pretrained_kl": terms["teacher"] / settings.teacher_weight,
        "loss_decoder_kl": terms["decoder"] / settings.decoder_weight,
        "loss_tag": terms["tag"] / settings.tag_weight,
        "loss_total": torch.stack(list(terms.values())).sum(),
    }
    result["loss_total"].backward()
    for own, parameter in model.named_parameters():
        assert parameter.grad is not None
        result[f"grad/{known[own]}"] = to_official(own, parameter.grad)
        result[f"grad_norm/{known[own]}"] = parameter.grad.norm()
    return result


def _missing(flag: int) -> tuple[str, ...]:
    v, a, t = ORDER
    return {-1: (), 0: (v,), 1: (a,), 2: (t,), 3: (a, t), 4: (v, t), 5: (v, a)}[flag]
