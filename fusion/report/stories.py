"""What the demo tells, asked of the bundled checkpoints and stored: four stories from held-out samples.

The demo shows assets/demo.json and loads no model. `python -m fusion stories` asks the checkpoints again and writes it;
a test holds what is stored against what they say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fusion.files import ASSETS, atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Pipeline
    from fusion.types import Sample

STORED = ASSETS / "demo.json"
DIGITS = 5  # of a number that is stored

# Chosen by looking through held-out samples for ones on which the checkpoint does what the story says.
TRUCK = "a03930630-0"  # a light truck: a word is taken for a place, unless the picture is there
KANGAROO = "a01877134-0"  # leaping marsupials, and four pictures of something else
OTHERS = ("a03930630-0", "a07635155-0", "a02129165-0", "a03851787-0")
SLOTH = "en-0551"  # its name and its links lead elsewhere
FROWN = "v1f64d-200d-2642"  # a man frowning: the words say a feeling, the voice and the picture a person

Story = dict[str, Any]  # JSON


def observe() -> dict[str, Any]:
    """Every story as the bundled checkpoints tell it now."""
    return {"version": 1, "stories": {"truck": truck(), "kangaroo": kangaroo(), "sloth": sloth(), "frown": frown()}}


def write(path: Path = STORED) -> int:
    """Store what the checkpoints say. -> bytes"""
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(observe(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        aside.chmod(0o644)
    return path.stat().st_size


def _told(checkpoint: Checkpoint, dataset: DataSet, id: str) -> Story:
    """Of what a story is."""
    return {
        "checkpoint": checkpoint.name, "weights": checkpoint.digest, "data": dataset.key,
        "data_digest": dataset.digest, "id": id,
    }  # fmt: skip


def _picture(sample: Sample) -> str:
    """Where its picture lies below the assets."""
    image = sample.image()
    assert image is not None, "a story has a picture"
    assert image.path is not None, "of the bundled ones"
    return image.path.resolve().relative_to(ASSETS).as_posix()


def _round(value: float) -> float:
    return round(float(value), DIGITS)


def _pairs() -> tuple[Pipeline, DataSet]:
    from fusion.checkpoints import find
    from fusion.data import open_data
    from fusion.inference import Pipeline

    return Pipeline.open(find("maf-gloss")), open_data("gloss")


def _read(pipeline: Pipeline, sample: Sample) -> Story:
    """Names, how likely each word is part of one, how well the two fit, and how much of the picture is let in."""
    from fusion.inference import first_pieces
    from fusion.signals import Attention, Marginals

    seen = pipeline.inspect(sample)
    steps = seen.trace.steps["text"][0]
    opens = first_pieces(steps.group)
    signal = next(one for one in seen.trace.of(Marginals))
    none = [signal.classes.index(name) for name in ("O", "PAD", "X", "[CLS]", "[SEP]") if name in signal.classes]
    count = min(signal.value.shape[1], len(opens))
    inside = 1 - signal.value[0, :count, none].sum(-1)
    looked = next((one for one in seen.trace.of(Attention) if one.keys == "image"), None)
    told: Story = {
        "names": [[one.text, one.type, _round(one.probability)] for one in seen.spans],
        "words": list(steps.groups),
        "chances": [_round(max(value, 0.0)) for value in inside[opens[:count]].tolist()],
    }
    if sample.image() is not None and seen.match is not None and seen.mean_gate is not None:
        told |= {"match": _round(seen.match), "let_in": _round(seen.mean_gate), "image": _picture(sample)}
        assert looked is not None
        heat = looked.value[0].mean(0)[:count][opens[:count]]
        told["looks"] = [[round(float(v), 4) for v in row] for row in heat.tolist()]
    return told


def truck() -> Story:
    """A sentence with its picture, without one, and with another."""
    from fusion.types import Sample

    pipeline, dataset = _pairs()
    sample, other = dataset.get(TRUCK), dataset.get(KANGAROO)
    alone = Sample("alone", {"text": sample.parts["text"]})
    swapped = Sample("swapped", {"text": sample.parts["text"], "image": other.parts["image"]})
    read = {name: _read(pipeline, one) for name, one in (("with", sample), ("without", alone), ("wrong", swapped))}
    for name in ("without", "wrong"):
        read[name].pop("looks", None)
    return _told(pipeline.checkpoint, dataset, TRUCK) | {"text": sample.text(), **read}


def kangaroo() -> Story:
    """A sentence with its own picture and with others."""
    from fusion.types import Sample

    pipeline, dataset = _pairs()
    sample = dataset.get(KANGAROO)
    held = pipeline.reference
    assert held is not None, "the bundled checkpoint has held-out scores"
    rows = []
    for id in (KANGAROO, *OTHERS):
        parts = {"text": sample.parts["text"], "image": dataset.get(id).parts["image"]}
        found = _read(pipeline, Sample(id, parts))
        rows.append({"id": id, **{name: found[name] for name in ("image", "match", "let_in")},
                     "above": _round(held.percentile(found["match"]))})  # fmt: skip
    return _told(pipeline.checkpoint, dataset, KANGAROO) | {"text": sample.text(), "pictures": rows}


def sloth() -> Story:
    """Places of an entity's partner by each modality alone, by all, and by all but the picture."""
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import stored, whole
    from fusion.checkpoints import find
    from fusion.data import open_data

    checkpoint, dataset = find("meaformer-emoji"), open_data("emoji")
    aligned = stored(checkpoint, dataset) or whole(Aligner.open(checkpoint, dataset))
    pairs = aligned.pairs("test").set_index("id")
    row = pairs.loc[SLOTH].to_dict()
    one, other = dataset.get(SLOTH), dataset.get(str(row["partner"]))
    return _told(checkpoint, dataset, SLOTH) | {
        "partner": other.id, "names": [one.called(), other.called()], "images": [_picture(one), _picture(other)],
        "among": len(pairs), "place": int(row["rank"]),
        "alone": {m: int(row[f"rank_{m}"]) for m in aligned.modalities},
        "without_image": int(row["rank"] + row["effect_image"]),
    }  # fmt: skip


def frown() -> Story:
    """What is answered from the words, from the voice, from both, and from all."""
    from fusion.checkpoints import find
    from fusion.data import open_data
    from fusion.streams.inspection import Reader

    reader = Reader.open(find("late-groups"), open_data("emoji-groups"))
    seen = reader.inspect(FROWN)
    effects = seen.effects
    rows = dict(
        zip(effects.conditions, zip(effects.value[0, :, 0].tolist(), effects.said[0], strict=True), strict=True)
    )
    asked = {
        "text": "only_text", "audio": "only_audio", "image": "only_image", "text+audio": "without_image",
        "all": "as_is",
    }  # fmt: skip
    answers = {name: {"said": rows[key][1], "truth": _round(rows[key][0])} for name, key in asked.items()}
    chances = {m: {c: _round(v) for c, v in one.chances.items()} for m, one in seen.alone.items()}
    return _told(reader.checkpoint, reader.dataset, FROWN) | {
        "text": seen.sample.text(), "image": _picture(seen.sample), "truth": seen.truth, "answers": answers,
        "alone": chances,
    }  # fmt: skip


def differences(stored: object, now: object, tolerance: float = 1e-4, at: str = "") -> list[str]:
    """Where two stories differ by more than a tolerance, in words. [] where they don't."""
    if isinstance(stored, dict) and isinstance(now, dict):
        found = [f"{at}: {sorted(set(stored) ^ set(now))}"] if set(stored) != set(now) else []
        return found + [d for k in stored if k in now for d in differences(stored[k], now[k], tolerance, f"{at}/{k}")]
    if isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        return [d for i, (a, b) in enumerate(zip(stored, now, strict=True))
                for d in differences(a, b, tolerance, f"{at}/{i}")]  # fmt: skip
    number = (int, float)
    if isinstance(stored, number) and isinstance(now, number):
        return [] if abs(stored - now) <= tolerance else [f"{at}: {stored} is {now}"]
    return [] if stored == now else [f"{at}: {stored} is {now}"]


def check() -> list[str]:
    """What of the stored stories the checkpoints no longer say."""
    return differences(json.loads(STORED.read_text("utf-8")), json.loads(json.dumps(observe())))
