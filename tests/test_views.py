"""Pictures of one sample show the numbers of their signals, say their extreme in words, and survive every input."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from fusion import words
from fusion.signals import (
    KINDS,
    Effects,
    Embedding,
    Gate,
    Marginals,
    Match,
    ModalityWeights,
    Norms,
    Parts,
    Trace,
    Transitions,
)
from fusion.types import Image, Sample, Text
from fusion.views import VIEWS, attention, base, draw, draw_all, embedding, gate, heads, match, parts, strips, tags
from fusion.views.palette import TEXT
from fusion.views.speech import num, percent
from tests.traces import CLASSES, Compared, made, picture_bytes, values

SAMPLE, TRACE = made()
LANGUAGES = ("en", "zh")


@pytest.fixture(autouse=True)
def _english():
    words.use("en")
    yield
    words.use("en")


def of(kind: type, trace: Trace = TRACE):
    return trace.first(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_signal_has_a_picture(kind):
    assert VIEWS[kind]
    assert [picture for picture in draw(of(kind), SAMPLE, TRACE) if picture is not None]


def test_no_view_for_a_kind_that_does_not_exist():
    assert set(VIEWS) == set(KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_is_complete_valid_and_in_the_language(language):
    words.use(language)
    sections = draw_all(TRACE, SAMPLE, None, word=1)
    keys = [picture.key for _, pictures in sections for picture in pictures]
    assert len(keys) == len(set(keys)) > 15
    for heading, pictures in sections:
        assert heading
        for picture in pictures:
            assert picture.title
            assert picture.finding
            assert picture.shows
            assert picture.hides
            assert picture.alt
            assert len(picture.table)
            go.Figure(json.loads(picture.figure.to_json()))  # Plotly's own check, which `Sheet` leaves out
            assert picture.figure.layout.title.text is None
            assert picture.figure.layout.uirevision == picture.key
            assert picture.figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
            assert picture.figure.layout.font.color == TEXT
            said = picture.title + picture.finding + picture.shows + picture.hides + picture.alt
            assert "{" not in said
            assert any("\u4e00" <= c <= "\u9fff" for c in said) == (language == "zh")


def test_figures_hold_small_numbers():
    for _, pictures in draw_all(TRACE, SAMPLE, None):
        for picture in pictures:
            for trace in picture.figure.data:
                for name in ("x", "y", "z"):
                    found = trace.to_plotly_json().get(name)
                    assert not isinstance(found, np.ndarray) or found.dtype != np.float64, (picture.key, name)
            assert len(picture.figure.to_json()) < 200_000


def test_a_matrix_shows_the_mean_of_the_heads_by_word_with_pieces_merged():
    sample, trace = made(("Messi", "runs"), pieces=(2, 1), heads=3)
    signal = trace["text_attention_1"]
    picture = attention.matrix(signal, sample, trace)
    weights = signal.value[0].mean(0).numpy()  # steps: [CLS] Me ##ssi runs [SEP] [PAD] [PAD]
    asking = np.stack((weights[1:3].mean(0), weights[3]))
    expected = np.stack((asking[:, 1:3].sum(1), asking[:, 3]), 1)
    np.testing.assert_allclose(values(picture.figure), expected, atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1:3].to_numpy(np.float32), expected, atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1:].sum(axis=1), 1, atol=1e-5)  # with the share of the marks
    assert num(expected.max()) in picture.alt
    one = attention.matrix(signal, sample, trace, head=2)
    weights = signal.value[0, 2].numpy()
    np.testing.assert_allclose(values(one.figure)[1], [weights[3, 1:3].sum(), weights[3, 3]], atol=1e-6)


@pytest.mark.parametrize("head", [None, 3])
def test_regions_show_the_weights_of_the_word_where_they_belong(head):
    signal = TRACE["region_attention"]
    picture = attention.regions(signal, SAMPLE, TRACE, word=6, head=head)
    weights = signal.value[0].mean(0) if head is None else signal.value[0, head]
    row = weights[7].numpy()  # word 6 is step 7, after [CLS]
    np.testing.assert_allclose(values(picture.figure), row.reshape(7, 7), atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1], row, atol=1e-6)
    best = int(row.argmax())
    assert num(row.max()) in picture.alt
    assert f"row {best // 7 + 1}, column {best % 7 + 1}" in picture.finding
    assert "Rosario" in picture.finding
    x, y = values(picture.figure, 1, "x")[best], values(picture.figure, 1, "y")[best]
    assert (int(y), int(x)) == divmod(best, 7)
    assert picture.pick(1, best) == best
    assert picture.pick(0, 0) is None
    assert picture.pick(1, 49) is None


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (14, 14)])
@pytest.mark.parametrize("marks", [0, 1])
def test_regions_follow_the_names_of_any_grid(grid, marks):
    sample, trace = made(grid=grid, marks=marks)
    signal = trace["region_attention"]
    picture = attention.regions(signal, sample, trace, word=0)
    assert values(picture.figure).shape == grid
    np.testing.assert_allclose(values(picture.figure).ravel(), signal.value[0].mean(0)[1, marks:], atol=1e-6)


def test_regions_of_a_text_are_no_picture():
    assert attention.regions(TRACE["text_attention_1"], SAMPLE, TRACE) is None


def test_unnamed_regions_of_a_square_are_a_square():
    bare = Trace((TRACE["region_attention"],), {})
    picture = attention.regions(bare["region_attention"], SAMPLE, bare)
    assert values(picture.figure).shape == (7, 7)


@pytest.mark.parametrize(
    ("size", "fit", "place"),
    [
        ((40, 20), "pad", (0, 0.25, 1, 0.5)), ((20, 40), "pad", (0.25, 0, 0.5, 1)), ((30, 30), "pad", (0, 0, 1, 1)),
        ((40, 20), "stretch", (0, 0, 1, 1)), ((40, 20), "crop", (-0.5, 0, 2, 1)),
    ],
)  # fmt: skip
def test_the_picture_lies_where_the_encoder_saw_it(size, fit, place):
    sample = Sample("one", {"image": Image(data=picture_bytes(*size))})
    behind = attention.backdrop(sample, picture_bytes(*size), fit)
    assert (behind.left, behind.top, behind.width, behind.height) == pytest.approx(place)
    assert behind.address.startswith("data:image/png;base64,")
    figure = attention.regions(TRACE["region_attention"], sample, TRACE, picture=picture_bytes(*size), fit=fit).figure
    image = figure.layout.images[0]
    assert (image.x + 0.5) / 7 == pytest.approx(place[0])
    assert image.sizey / 7 == pytest.approx(place[3])


def test_without_an_image_no_heat_is_shown():
    sample = Sample("one", {"text": Text("Messi")})
    for view in (attention.regions, attention.words, attention.matrix):
        picture = view(TRACE["region_attention"], sample, TRACE)
        assert "no image" in picture.finding
        assert not picture.figure.data


def test_words_show_what_each_word_gives_a_region():
    signal = TRACE["region_attention"]
    picture = attention.words(signal, SAMPLE, TRACE, region=10)
    expected = signal.value[0].mean(0)[1:9, 10].numpy()
    np.testing.assert_allclose(values(picture.figure, 0, "x"), expected, atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1], expected, atol=1e-6)
    assert num(expected.max()) in picture.alt
    assert picture.pick(0, 3) == 3


def test_the_head_map_has_every_head_and_the_mean_of_each_layer():
    picture = heads.heads(TRACE["region_attention"], SAMPLE, TRACE, chosen=("region_attention", None))
    assert len(picture.marks[0]) == 4 * (5 + 1)
    assert picture.pick(0, 0) == ("text_attention_1", 0)
    assert picture.pick(0, 5) == ("text_attention_1", None)
    assert picture.pick(0, 23) == ("region_attention", None)
    colours = np.asarray(picture.figure.data[0].marker.color)
    weights = TRACE["region_attention"].value[0, :, 1:9].numpy()
    np.testing.assert_allclose(colours[18:23], weights.max(-1).mean(-1), atol=1e-6)
    assert colours[23] == pytest.approx(weights.mean(0).max(-1).mean(), abs=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 3], colours, atol=1e-6)
    single = [c for c, mark in zip(colours, picture.marks[0], strict=True) if mark[1] is not None]
    assert num(max(single)) in picture.alt
    ring = picture.figure.data[1]
    assert ring.x[0] == picture.figure.data[0].x[23]


def test_cells_of_the_head_map_are_28_pixels():
    figure = heads.heads(TRACE["region_attention"], SAMPLE, TRACE).figure
    inner = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
    low, high = figure.layout.xaxis.range
    assert inner / (high - low) == pytest.approx(28)
    inner = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    low, high = figure.layout.yaxis.range
    assert inner / abs(high - low) == pytest.approx(28)


@pytest.mark.parametrize("name", heads.STATISTICS)
def test_statistics_of_known_heads(name):
    sharp, even = np.asarray([[0, 1, 0, 0]]), np.full((1, 4), 0.25)
    weights = np.stack((sharp, even)).astype(np.float32)
    real = np.asarray([True, True, True, False])
    expected = {"top": (1, 0.25), "entropy": (0, np.log(4)), "real": (1, 0.75)}[name]
    np.testing.assert_allclose(heads.statistic(weights, name, real), expected, atol=1e-6)


def test_gates_show_mean_spread_and_what_came_through():
    sample, trace = made(("Messi", "runs"), pieces=(2, 1))
    signal = of(Gate, trace)
    picture = gate.steps(signal, sample, trace)
    steps = signal.value[0].numpy()
    by_word = np.stack((steps[1:3].mean(0), steps[3]))
    np.testing.assert_allclose(values(picture.figure, 0, "x"), by_word.mean(1), atol=1e-6)
    low, high = np.percentile(by_word, (10, 90), axis=1)
    np.testing.assert_allclose(picture.figure.data[0].error_x.array, high - by_word.mean(1), atol=1e-6)
    np.testing.assert_allclose(picture.figure.data[0].error_x.arrayminus, by_word.mean(1) - low, atol=1e-6)
    norms = of(Norms, trace).value[0].numpy()
    np.testing.assert_allclose(values(picture.figure, 1, "x"), (norms[1:3].mean(), norms[3]), atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1], by_word.mean(1), atol=1e-6)
    assert num(by_word.mean(1).max()) in picture.alt
    assert picture.pick(0, 1) == 1


def test_gates_without_features_or_norms_are_drawn_too():
    T = len(TRACE.steps["text"][0].labels)
    signal = Gate(
        name="flat", unit="weight", value=torch.rand(1, T), modality="image", steps="text", mask=of(Gate).mask
    )
    trace = Trace((signal,), TRACE.steps)
    assert len(draw(signal, SAMPLE, trace)) == 2
    np.testing.assert_allclose(
        values(gate.blocks(signal, SAMPLE, trace).figure).ravel(), signal.value[0, 1:9].numpy(), atol=1e-6
    )


@pytest.mark.parametrize("features", [5, 64, 70])
def test_blocks_are_means_of_neighbouring_features(features):
    sample, trace = made(features=features)
    picture = gate.blocks(of(Gate, trace), sample, trace)
    steps = of(Gate, trace).value[0, 1:9].numpy()
    edges = np.linspace(0, features, min(32, features) + 1).astype(int)
    expected = np.stack([steps[:, a:b].mean(1) for a, b in pairwise(edges)], 1)
    np.testing.assert_allclose(values(picture.figure), expected, atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 1:].to_numpy(np.float32), expected, atol=1e-6)
    assert num(expected.max()) in picture.alt


def test_marginals_show_the_first_piece_of_each_word_and_the_decoded_path():
    sample, trace = made(("Messi", "runs"), pieces=(2, 1))
    signal = of(Marginals, trace)
    T = signal.value.shape[1]
    path = [0, 1, 4, 0, 0, *[-1] * (T - 5)]
    picture = tags.marginals(signal, sample, trace, path=path)
    expected = signal.value[0, [1, 3]].numpy()
    np.testing.assert_allclose(picture.table.iloc[:, 2:].to_numpy(np.float32), expected, atol=1e-6)
    shown = [CLASSES.index(name) for name in picture.figure.data[0].x]
    np.testing.assert_allclose(values(picture.figure), expected[:, shown], atol=1e-6)
    assert list(picture.table.iloc[:, 1]) == ["B-PER", "O"]
    assert num(expected.max()) in picture.alt


def test_parts_add_up_to_their_total():
    signal = of(Parts)
    picture = parts.bars(signal, SAMPLE, TRACE, word=4)
    expected = signal.value[0, :, 5].numpy()
    for voice in range(3):
        np.testing.assert_allclose(values(picture.figure, voice, "x"), expected[voice], atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 3, "x"), expected.sum(0), atol=1e-6)
    np.testing.assert_allclose(picture.table.iloc[:, 4], expected.sum(0), atol=1e-5)
    assert num(expected.flat[np.abs(expected).argmax()]) in picture.alt
    assert "dog" in picture.finding


def test_transitions_show_start_as_a_row_and_end_as_a_column():
    signal = of(Transitions)
    z = values(tags.transitions(signal, SAMPLE, TRACE).figure)
    np.testing.assert_allclose(z[1:, :-1], signal.value.numpy(), atol=1e-6)
    np.testing.assert_allclose(z[0, :-1], signal.start.numpy(), atol=1e-6)
    np.testing.assert_allclose(z[1:, -1], signal.end.numpy(), atol=1e-6)
    assert num(float(signal.value.max())) in tags.transitions(signal).alt
    assert np.isnan(z[0, -1])


def test_the_drop_test_says_what_moved_in_words():
    signal = of(Effects)
    picture = strips.drop(signal, SAMPLE, TRACE)
    for i in range(3):
        np.testing.assert_allclose(values(picture.figure, i, "x"), signal.value[0, :, i].numpy(), atol=1e-6)
        assert num(np.nanmax(signal.value[0, :, i].numpy())) in picture.alt
    assert "−0.61 ↓ lower" in picture.alt
    assert (
        "Without image: confidence 0.94 → 0.22 (−0.72 ↓ lower); the prediction becomes “Messi (PER)”."
        in picture.finding
    )
    assert "nothing found" in picture.finding
    assert picture.table.iloc[0, 0] == "As it is"
    assert "not defined" in [note.text for note in picture.figure.layout.annotations]


def test_labels_of_the_drop_test_never_cross_its_dashed_line():
    signal = of(Effects)
    figure = strips.drop(signal, SAMPLE, TRACE).figure
    for i in range(3):
        column = signal.value[0, :, i].numpy()
        axis = "" if i == 0 else str(i + 1)
        line = next(shape.x0 for shape in figure.layout.shapes if shape.xref == f"x{axis}")
        assert line == pytest.approx(column[0])
        notes = [note for note in figure.layout.annotations if note.xref == f"x{axis}" and note.xshift]
        assert [int(note.y) for note in notes] == np.flatnonzero(np.isfinite(column)).tolist()
        for note in notes:
            value = float(column[int(note.y)])
            assert note.text.startswith(num(value))
            assert note.xanchor == "left"
            assert note.x >= max(line, value) - 1e-6


def test_weights_are_the_weights():
    picture = strips.weights(of(ModalityWeights), SAMPLE, TRACE, usual=np.asarray([[0.4], [0.5], [0.6]]).repeat(3, 1))
    np.testing.assert_allclose(values(picture.figure, 0, "x"), [0.65, 0.25, 0.10], atol=1e-6)
    assert "0.65" in picture.alt
    assert "usual weight of text is 0.5" in picture.finding


def test_closeness_is_the_cosine():
    first, second = (s.value[0].numpy() for s in TRACE.of(Embedding))
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    picture = embedding.closeness(of(Embedding), SAMPLE, TRACE)
    np.testing.assert_allclose(values(picture.figure), [[1, expected], [expected, 1]], atol=1e-5)
    assert num(expected) in picture.alt
    alone = Trace((of(Embedding),))
    assert "Only one" in embedding.closeness(of(Embedding), SAMPLE, alone).finding


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "groups",
    [
        (), ("a",), ("a", "a", "a"), tuple(f"word{i}" for i in range(230)),
        ("<b>", "$x$", "&amp;", "\ud800", "\x00", "א", "🦙"),
    ],
    ids=["none", "one", "repeated", "long", "hostile"],
)  # fmt: skip
def test_any_sentence_draws(groups, language):
    words.use(language)
    sample, trace = made(groups, layers=1, features=33)
    for _, pictures in draw_all(trace, sample, Compared(), word=0, region=0):
        for picture in pictures:
            made_again = json.loads(picture.figure.to_json())
            go.Figure(made_again)
            picture.figure.to_json().encode("utf-8")  # a lone surrogate would fail
            assert picture.finding
            assert (picture.figure.layout.height or 0) < 4000
    if len(groups) > 200:
        finding = gate.steps(of(Gate, trace), sample, trace).finding
        assert "100" in finding
        assert "230" in finding


def test_repeated_words_keep_a_line_each():
    sample, trace = made(("a", "b", "a"))
    figure = gate.steps(of(Gate, trace), sample, trace).figure
    assert len(set(figure.data[0].y)) == 3
    assert [label.strip("\u200b") for label in figure.data[0].y] == ["a", "b", "a"]


def test_markup_of_a_person_is_shown_not_read():
    sample, trace = made(("<b>x</b>", "y"))
    figure = gate.steps(of(Gate, trace), sample, trace).figure
    assert figure.data[0].y[0] == "&lt;b&gt;x&lt;/b&gt;"
    assert "<b>x</b>" in gate.steps(of(Gate, trace), sample, trace).table.iloc[0, 0]


def test_a_trace_without_names_is_numbered():
    bare = Trace(TRACE.signals, {})
    picture = gate.steps(of(Gate), SAMPLE, bare)
    assert list(picture.table.iloc[:, 0]) == [str(i + 1) for i in range(10)]  # all real steps, marks included


def test_a_batch_is_refused():
    with pytest.raises(AssertionError, match="one sample"):
        base.array(torch.zeros(2, 3))


def test_bfloat16_is_drawn():
    signal = of(Gate).map(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)
    assert values(gate.steps(signal, SAMPLE, TRACE).figure, 0, "x").dtype == np.float32


def test_a_caveat_of_a_plugin_stands_as_it_is():
    signal = Match(name="own", unit="none", value=torch.tensor([3.2]), caveat="Never trust me on Mondays.")
    assert match.hills(signal, SAMPLE, Trace((signal,))).hides == "Never trust me on Mondays."


def test_numbers_have_two_or_three_digits():
    assert [num(v) for v in (0.5, 0.7312, 12.345, 1239.6, -0.00421, 0, 5e-5, float("nan"), 0.996)] == [
        "0.5", "0.731", "12.3", "1,240", "−0.0042", "0", "5.0e−05", "–", "0.996",
    ]  # fmt: skip
    assert [percent(v) for v in (0, 0.0004, 0.041, 0.62, 1)] == [
        "0\u00a0%",
        "< 0.1\u00a0%",
        "4.1\u00a0%",
        "62\u00a0%",
        "100\u00a0%",
    ]
    assert [percent(v) for v in (0.994, 0.9964, 0.99999)] == ["99\u00a0%", "99.6\u00a0%", "99.9\u00a0%"]  # not all


def test_text_takes_the_colour_that_the_page_gives_it():
    from streamlit.elements.lib.streamlit_plotly_theme import GRAY_90  # what its page replaces by the text colour

    assert TEXT == GRAY_90
