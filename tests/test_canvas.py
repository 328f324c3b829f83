"""The map of very many points: what is packed, what lies over it, and which points a line holds."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from fusion.types import FusionError
from fusion.views import embedding
from fusion.views.canvas import HEADER, MAGIC, MOST_NAMED, UNKNOWN, Cloud, cloud, inside
from fusion.views.embedding import Placed
from fusion.views.palette import INK, Tints

COUNT = 400


def points(count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, 2)).astype(np.float32)


def made(count: int = COUNT, **more: object) -> Cloud:
    kinds = np.asarray(["text", "image"])[np.arange(count) % 2]
    return cloud(points(count), kinds, [f"id {i}" for i in range(count)], **more)  # type: ignore[arg-type]


def crossings(point: np.ndarray, polygon: np.ndarray) -> int:
    """How many edges a ray to the right of a point meets, one edge after the other."""
    met = 0
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if (ay <= point[1]) != (by <= point[1]):
            met += point[0] < ax + (point[1] - ay) / (by - ay) * (bx - ax)
    return met


@pytest.mark.parametrize("corners", [3, 4, 9, 60])
def test_a_line_holds_what_a_ray_out_of_it_crosses_an_odd_number_of_times(corners: int) -> None:
    xy = points()
    polygon = np.random.default_rng(corners).normal(size=(corners, 2))  # crosses itself
    rows = inside(xy, polygon)
    assert rows.tolist() == [row for row in range(COUNT) if crossings(xy[row].astype(float), polygon) % 2]
    assert len(rows)


def test_a_square_holds_its_points_once_and_a_line_without_corners_none() -> None:
    xy = np.asarray([[0, 0], [1, 1], [2, 2], [np.nan, 1], [1, 3]], np.float32)
    assert inside(xy, np.asarray([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]])).tolist() == [1, 2]
    assert not len(inside(xy, np.zeros((0, 2))))
    assert not len(inside(xy, np.asarray([[0, 0], [2, 2]])))


@pytest.mark.parametrize(
    "sent",
    [None, "abc", 3, [], [[0, 1], [1]], [[0, "x"], [1, 1], [2, 2]], [[0, float("nan")], [1, 1], [2, 0]],
     [[[0, 0], [1, 1]]] * 3, [[i % 7, i % 5] for i in range(2_000)]],
)  # fmt: skip
def test_what_is_no_line_chooses_nothing(sent: object) -> None:
    assert made().chosen(sent, hidden="text").tolist() == []


def test_kinds_that_were_hidden_are_not_chosen() -> None:
    everywhere = [[-9, -9], [9, -9], [9, 9], [-9, 9]]
    assert made().chosen(everywhere).tolist() == list(range(COUNT))
    assert made().chosen(everywhere, [0]).tolist() == list(range(1, COUNT, 2))


def test_the_bytes_hold_points_colours_and_names() -> None:
    drawn = made()
    sign, count, length, _, left, right, low, high, digest = HEADER.unpack(drawn.packed[: HEADER.size])
    assert (sign, count) == (MAGIC, COUNT)
    body = drawn.packed[HEADER.size :]
    xy = np.frombuffer(body, "<f4", 2 * COUNT).reshape(-1, 2)
    np.testing.assert_array_equal(xy, points())
    assert np.allclose([left, right, low, high], [*xy.min(0), *xy.max(0)][::2] + [*xy.min(0), *xy.max(0)][1::2])
    assert list(body[8 * COUNT : 9 * COUNT]) == [0, 1] * (COUNT // 2)
    assert body[9 * COUNT :].decode().split("\n") == [f"id {i}" for i in range(COUNT)]
    assert len(body) == 9 * COUNT + length
    assert drawn.over["points"] == digest.hex()


def test_many_points_travel_without_their_names() -> None:
    count = MOST_NAMED + 2
    drawn = made(count)
    assert len(drawn.packed) == HEADER.size + 9 * count
    assert drawn.named(1) == "id 1 · image"


def test_a_choice_leaves_the_bytes_as_they_are() -> None:
    plain, rings = made(), made(selected=[3, 5])
    many = plain.marked(np.arange(0, COUNT, 1)[: COUNT - 50], pairs=np.asarray([[0, 1]]), distances=np.ones(1))
    assert plain.packed == rings.packed == many.packed
    np.testing.assert_allclose(rings.over["rings"], points()[[3, 5]], rtol=1e-6)
    assert rings.over["bits"] == ""
    assert many.over["rings"] == []
    bits = np.unpackbits(np.frombuffer(base64.b64decode(str(many.over["bits"])), np.uint8), bitorder="little")
    assert np.flatnonzero(bits).tolist() == list(range(COUNT - 50))
    np.testing.assert_allclose(many.over["lines"], [points()[[0, 1]].ravel()], rtol=1e-6)
    assert "350" in str(many.over["chosen"])


def test_numbers_become_places_on_a_scale_and_their_absence_a_place_of_its_own() -> None:
    values = np.linspace(-2, 3, COUNT)
    values[7] = np.nan
    drawn = made(values=values, colour_name="score")
    assert (drawn.codes[0], drawn.codes[-1], drawn.codes[7]) == (0, 253, UNKNOWN)
    assert (np.diff(np.delete(drawn.codes, 7).astype(int)) >= 0).all()
    assert drawn.over["scale"]["low"] == "−2" or drawn.over["scale"]["low"] == "-2"  # type: ignore[index]
    assert [one["code"] for one in drawn.over["legend"]] == [UNKNOWN]  # type: ignore[attr-defined]
    assert len(drawn.over["colours"]) == UNKNOWN + 1  # type: ignore[arg-type]
    assert drawn.named(7) == "id 7 · image"
    assert drawn.named(0).startswith("id 0 · text · score ")


def test_a_quiet_kind_is_named_and_the_others_keep_their_colours() -> None:
    tints = Tints({"none": INK, "good": "#009E73", "bad": "#D55E00"}, quiet="none")
    drawn = cloud(points(3), ["bad", "none", "good"], list("abc"), tints=tints, said="One is bad.")
    assert drawn.over["quiet"] == 1
    assert drawn.over["colours"] == ["#D55E00", INK, "#009E73"]
    assert drawn.over["legend"] == [
        {"code": 1, "name": "none"},
        {"code": 2, "name": "good"},
        {"code": 0, "name": "bad"},
    ]
    assert "One is bad." in drawn.alt
    assert made().over["quiet"] == -1
    assert cloud(points(2), ["none", "bad"], list("ab"), values=np.ones(2), tints=tints).over["quiet"] == -1


def test_it_says_what_the_scatter_says() -> None:
    facts = {
        "pairs": np.asarray([[0, 1], [2, 3]]), "distances": np.asarray([0.5, 2.0], np.float32), "total": 900,
        "placed": Placed(np.zeros((2, 2), np.float32), ("text", "image"), 0.25), "method": "UMAP",
    }  # fmt: skip
    drawn = made(**facts)
    kinds = np.asarray(["text", "image"])[np.arange(COUNT) % 2]
    picture = embedding.scatter(points(), kinds.tolist(), [f"id {i}" for i in range(COUNT)], **facts)  # type: ignore[arg-type]
    assert (drawn.alt, drawn.finding, drawn.shows, drawn.hides) == (
        picture.alt, picture.finding, picture.shows, picture.hides,
    )  # fmt: skip
    assert drawn.table.equals(picture.table)
    assert drawn.over["alt"] == picture.alt
    assert "900" in str(drawn.over["note"])


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(FusionError):
        cloud(np.zeros((0, 2)), [], [])
    with pytest.raises(FusionError, match="300 kinds"):
        cloud(points(300), [f"kind {i}" for i in range(300)], ["a"] * 300)
