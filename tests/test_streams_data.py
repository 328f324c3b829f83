"""Sets of sequences: rows stay aligned with the samples, scores are said in words, and what is absent is named."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.data.dataset import DataSet
from fusion.data.streams import SENTIMENT, StreamSet, split_numbers
from fusion.types import FusionError, Modality, Numbers, Sample, Text


def small(**changed: object) -> StreamSet:
    rng = np.random.default_rng(37)
    given = {
        "title": "Small",
        "modalities": (Modality("text", "text", 0), Modality("audio", "audio", 3, 4, "frame")),
        "features": {"audio": rng.standard_normal((5, 4, 3)).astype(np.float32)},
        "length": {"audio": np.array([4, 2, 0, 1, 3])},
        "present": np.array([[1, 1], [1, 1], [1, 0], [0, 1], [1, 1]], dtype=bool),
        "target": np.array([-3.0, 0.4, np.nan, 1.0, 2.9], dtype=np.float32),
        "split": split_numbers(["train", "train", "valid", "test", ""]),
        "scale": (-3.0, 3.0),
        "words": SENTIMENT,
    }
    return StreamSet(**(given | changed))


def test_a_score_is_said_by_the_nearest_name():
    said = small().said
    assert [said(v) for v in (-9, -3, -2.5, -2.51, -0.5, -0.51, 0, 0.49, 0.5, 3)] == [
        "strongly_negative", "strongly_negative", "negative", "strongly_negative", "neutral", "mildly_negative",
        "neutral", "neutral", "mildly_positive", "strongly_positive",
    ]  # fmt: skip
    assert said(float("nan")) == ""
    assert small(words=()).said(1) == ""
    assert small().in_words(0.6) == "mildly positive"
    assert small().in_words(float("nan")) == ""


def test_what_has_no_features_must_be_encoded():
    streams = small()
    assert streams.encoded == ("text",)
    assert streams.names == ("text", "audio")
    assert streams.scored
    assert streams.known.tolist() == [True, True, False, True, True]
    with pytest.raises(FusionError, match='no modality "image"; it has text, audio'):
        streams.modality("image")


def test_masks_and_steps_show_real_steps_only():
    streams = small()
    rows = np.array([1, 3])
    assert streams.mask("audio", rows).tolist() == [[True, True], [True, False]]
    assert streams.steps("audio", 1).shape == (2, 3)
    assert streams.steps("audio", 2).shape == (0, 3)
    assert streams.longest("audio") == 4
    assert streams.longest("audio", rows) == 2


def test_parts_of_a_set_keep_their_rows():
    streams = small()
    samples = tuple(
        Sample(f"s{row}", {"text": Text("words"), "audio": Numbers(streams.steps("audio", row))}, streams.split_of(row))
        for row in range(5)
    )
    data = DataSet("small", "Small", samples, streams=streams)
    assert data.kind == "streams"
    part = data.split("train")
    assert part.streams is not None
    assert part.streams.target.tolist() == streams.target[:2].tolist()
    assert part.streams.features["audio"].base is not None  # rows that follow one another are a view
    odd = streams.take([4, 0])
    assert np.array_equal(odd.features["audio"], streams.features["audio"][[4, 0]])
    assert odd.present.tolist() == [[True, True], [True, True]]
    assert data.summary()["modalities"]["audio"] == {"width": 3, "longest": 4, "present": 4}
    assert streams.rows("train").tolist() == [0, 1]
    assert streams.rows().tolist() == [0, 1, 2, 3, 4]


def test_rows_that_do_not_fit_are_no_set():
    with pytest.raises(AssertionError):
        small(present=np.ones((4, 2), dtype=bool))
    with pytest.raises(AssertionError):
        small(modalities=(Modality("text", "text", 0), Modality("audio", "audio", 7)))
