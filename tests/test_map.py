"""The Map page's own matters: cuts by columns, histograms, labels, dimensions and large sets."""

import numpy as np
import pandas as pd
import pytest

from fusion.observations import Observed
from fusion.views import embedding, histogram
from fusion.views.palette import INK, Tints
from pages.parts import atlas, map_filters
from pages.parts.atlas import Column
from pages.parts.place import Rows, _rows
from tests.opening import opened


def columns() -> dict[str, Column]:
    return {
        "error": Column("error", np.array([0.1, 0.5, np.nan, 0.9, 0.2], np.float32)),
        "la~bel;x": Column("label", np.array(["a", "b; c~d", None, "a", "世"], dtype=object)),
    }


@pytest.mark.parametrize(
    "cuts", [{}, {"error": (0.1, 0.5)}, {"la~bel;x": ("b; c~d", "世")}, {"error": (-2.5, 1e-7), "la~bel;x": ("a",)}]
)
def test_cuts_come_back_from_the_address(cuts: dict[str, map_filters.Cut]) -> None:
    text = map_filters.written(cuts)
    assert map_filters.read(text, columns()) == cuts


@pytest.mark.parametrize("text", ["error", "error~1", "error~x~y", "error~nan~1", "other~1~2", ";;~~", "error~inf~inf"])
def test_a_broken_cut_in_an_address_cuts_nothing(text: str) -> None:
    assert map_filters.read(text, columns()) == {}


def test_a_cut_keeps_its_range_with_both_ends_and_nothing_unknown() -> None:
    table = columns()
    assert map_filters.inside(table["error"], (0.1, 0.5)).tolist() == [True, True, False, False, True]
    assert map_filters.inside(table["la~bel;x"], ("a", "世")).tolist() == [True, False, False, True, True]


def rows() -> Rows:
    pairs = np.array([[0, 3], [1, 4], [2, 5]])
    return Rows(
        np.arange(12, dtype=np.float32).reshape(6, 2), np.array(["text"] * 3 + ["image"] * 3), np.array([0, 1, 2] * 2),
        ("a", "b", "c") * 2, pairs, 6,
    )  # fmt: skip


def test_a_part_of_the_points_keeps_whole_pairs_only() -> None:
    part = atlas.part_of(rows(), np.array([0, 1, 4]))
    assert part.ids == ("a", "b", "b")
    assert part.pairs.tolist() == [[1, 2]]
    assert part.vectors.tolist() == rows().vectors[[0, 1, 4]].tolist()


def test_a_histogram_counts_all_and_what_is_kept() -> None:
    values = np.array([0.0, 0.1, 0.5, np.nan, 1.0, 1.0], np.float32)
    kept = np.array([True, False, True, True, False, True])
    picture = histogram.numbers(values, kept, "error")
    every, left = (np.asarray(trace.y) for trace in picture.figure.data)
    assert every.sum() == 5
    assert left.sum() == 3
    assert (left <= every).all()
    assert "3 of 5" in picture.finding
    picture = histogram.names(["a", "b", "a"], np.array([True, False, False]), "label")
    assert [list(trace.y) for trace in picture.figure.data] == [[2, 1], [1, 0]]


def test_a_label_stands_in_the_middle_of_a_group_that_lies_together() -> None:
    random = np.random.default_rng(0)
    code = np.repeat([0, 1, 2], 50)
    points = np.array([[0, 0], [10, 0], [5, 9]])[code] + random.normal(size=(150, 2))
    points[code == 2] = 20 * random.normal(size=(50, 2))  # the third lies everywhere
    found = atlas.labels_of(points.astype(np.float32), code, [("one",), (), ("three",)])
    assert [label.text for label in found] == ["one"]
    assert np.hypot(found[0].x, found[0].y) < 0.5


def test_colours_follow_kinds_and_shapes_follow_modalities() -> None:
    points = np.random.default_rng(1).normal(size=(8, 2)).astype(np.float32)
    modalities, kinds = ["text", "image"] * 4, ["cat"] * 4 + ["dog"] * 4
    picture = embedding.scatter(points, modalities, list("abcdefgh"), kinds=kinds, beyond=points[:2], density=True)
    drawn = [trace for trace in picture.figure.data if trace.type == "scatter" and trace.name in kinds]
    assert len(drawn) == 4
    assert len({(trace.marker.color, trace.marker.symbol) for trace in drawn}) == 4
    assert len({trace.marker.color for trace in drawn}) == len({trace.marker.symbol for trace in drawn}) == 2
    assert [trace.showlegend for trace in drawn].count(True) == 2
    for trace, marks in zip(picture.figure.data, picture.marks, strict=False):
        assert np.array_equal(points[list(marks)], np.stack((trace.x, trace.y), 1))
    assert sum(trace.type == "contour" for trace in picture.figure.data) == 4


def test_kinds_with_colours_of_their_own_lie_over_the_quiet_one() -> None:
    points = np.random.default_rng(5).normal(size=(6, 2)).astype(np.float32)
    kinds, shapes = ["bad", "none", "good", "none", "bad", "none"], ["text", "image"] * 3
    tints = Tints({"none": INK, "good": "#009E73", "bad": "#D55E00"}, quiet="none")
    for made in (embedding.scatter, embedding.solid):
        xyz = points if made is embedding.scatter else np.column_stack((points, points[:, 0]))
        picture = made(xyz, shapes, list("abcdef"), kinds=kinds, tints=tints, said="Two are bad.")
        drawn = [(trace.name, trace.marker.color) for trace in picture.figure.data]
        assert list(dict.fromkeys(drawn)) == [("none", INK), ("good", "#009E73"), ("bad", "#D55E00")]
        pale, strong = picture.figure.data[0].marker, picture.figure.data[-1].marker
        assert pale.opacity < strong.opacity
        assert pale.size < strong.size
        assert "Two are bad." in picture.alt
        assert "Two are bad." in picture.finding
        assert "good" not in picture.finding


def test_lines_of_density_hold_their_share_of_the_points() -> None:
    points = np.random.default_rng(2).normal(size=(4000, 2)).astype(np.float32)
    picture = embedding.scatter(points, ["text"] * 4000, [""] * 4000, density=True)
    lines = [trace for trace in picture.figure.data if trace.type == "contour"]
    for trace, share in zip(lines, (0.1, 0.25, 0.5, 0.75), strict=True):
        z, level = np.asarray(trace.z), trace.contours.start
        column = np.abs(np.asarray(trace.x)[None] - points[:, :1]).argmin(1)
        row = np.abs(np.asarray(trace.y)[None] - points[:, 1:]).argmin(1)
        assert (z[row, column] >= level).mean() == pytest.approx(share, abs=0.06)


def test_three_dimensions_show_every_point_where_it_is() -> None:
    points = np.random.default_rng(3).normal(size=(30, 3)).astype(np.float32)
    picture = embedding.solid(points, ["text"] * 15 + ["image"] * 15, [str(i) for i in range(30)], selected=[2],
                              pairs=np.array([[0, 15]]))  # fmt: skip
    drawn = [trace for trace in picture.figure.data if trace.type == "scatter3d"]
    assert len(drawn) == len(picture.figure.data) == 4
    found = np.concatenate([np.stack((trace.x, trace.y, trace.z), 1) for trace in drawn[:2]])
    assert np.array_equal(found, points)
    assert list(picture.table.columns[-1:]) == ["z"]


def test_a_large_map_is_drawn_on_a_canvas_with_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(atlas, "DRAWN", 100)
    monkeypatch.setattr("pages.parts.canvas.show", lambda make, key, **told: drawn.append(make()))
    for more, labelled in (({}, True), ({"labels": "0"}, False)):
        opened("map", {"ckpt": "maf-gloss", "data": "gloss", **more})
        cloud = drawn[-1]
        places = np.array([place for *place, _ in cloud.over["words_at"]], np.float64)
        assert bool(len(places)) == labelled
        assert len(cloud.facts.xy) > 1000
    low, high = drawn[0].facts.xy.min(0), drawn[0].facts.xy.max(0)
    places = np.array([place for *place, _ in drawn[0].over["words_at"]])
    assert ((places >= low) & (places <= high)).all()
    assert all(words for *_, words in drawn[0].over["words_at"])


def test_pairs_are_the_rows_that_have_both_halves() -> None:
    text, image = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    text[1], image[2] = 0, 0
    frame = pd.DataFrame({"id": ["a", "b", "c", "d"]})
    found = _rows(Observed("some", "one", frame, {"text": text, "image": image}))
    assert found.ids == ("a", "c", "d", "a", "b", "d")
    assert found.pairs.tolist() == [[0, 3], [2, 5]]
    assert found.total == 6
