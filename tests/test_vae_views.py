"""Pictures of posteriors and of what is made from them say what their numbers are, in both languages."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from fusion import words
from fusion.signals import CrossGeneration, Posterior, Trace
from fusion.streams.traversal import Walk
from fusion.views import generation, posterior
from fusion.views.speech import num, say
from tests.traces import made

SAMPLE, TRACE = made()


@pytest.fixture(autouse=True, params=list(words.LANGUAGES))
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    words.use(request.param)
    yield request.param
    words.use("en")


def told() -> Posterior:
    found = TRACE.first(Posterior)
    assert found is not None
    return found


def crossed() -> CrossGeneration:
    found = TRACE.first(CrossGeneration)
    assert found is not None
    return found


def test_experts_are_drawn_where_they_stand_and_an_absent_one_is_not() -> None:
    signal = told()
    picture = posterior.experts(signal, SAMPLE, Trace())
    kl = signal.kl[0].numpy()
    order = np.argsort(-kl)
    names = [trace.name for trace in picture.figure.data]
    assert names == [say("text"), say("image"), words.t("views.posterior.joint")]
    np.testing.assert_allclose(picture.figure.data[0].x, signal.value[0, 0].numpy()[order])
    np.testing.assert_allclose(picture.figure.data[0].error_x.array, signal.scale[0, 0].numpy()[order])
    assert f"z{order[0] + 1}" in picture.finding
    assert words.t("views.posterior.apart", a=say("text"), b=say("image"), value="1.7") in picture.finding
    assert num(float(kl.max())) in picture.finding
    assert len(picture.table) == 7
    assert not any(say("audio") in column for column in picture.table.columns)


def test_shares_name_who_weighs_most() -> None:
    signal = told()
    picture = posterior.shares(signal, SAMPLE, Trace())
    table = signal.share[0].numpy()
    assert np.asarray(picture.figure.data[0].z).shape == (4, 7)
    top = ("text", "image", "audio")[int(table[1:].mean(1).argmax())]
    assert picture.finding.startswith(say(top))
    np.testing.assert_allclose(picture.table.iloc[:, 2:].to_numpy().sum(1), 1, atol=1e-5)
    mixture = posterior.shares(replace(signal, rule="moe"), SAMPLE, Trace())
    assert mixture.title != picture.title


def test_what_a_subset_loses_is_its_distance_and_the_whole_loses_nothing() -> None:
    signal = told()
    same = signal.subset_mean.clone()
    same[0, 3], spread = signal.joint[0], signal.subset_scale.clone()
    spread[0, 3] = signal.joint_scale[0]
    picture = posterior.subsets(replace(signal, subset_mean=same, subset_scale=spread), SAMPLE, Trace())
    away = picture.table.iloc[:, 1].to_numpy()
    assert len(away) == 3
    assert away[2] == pytest.approx(0)
    wanted = torch.cat((same[0, 0] - signal.joint[0], spread[0, 0] - signal.joint_scale[0])).norm()
    assert away[0] == pytest.approx(float(wanted), rel=1e-5)
    one = torch.tensor([[True] + [False] * 6])
    alone = posterior.subsets(replace(signal, subset_present=one), SAMPLE, Trace())
    assert say("text") in alone.finding


def test_dimensions_in_use_are_counted() -> None:
    picture = posterior.dimensions(np.asarray([0.0, 2.5, 0.05, 1.0]), np.asarray([0.0, 1.1, 0.02, 0.4]))
    assert "z2" in picture.finding
    assert num(2.5) in picture.finding
    assert [len(trace.x) for trace in picture.figure.data] == [3, 1]


def test_the_grid_reads_words_shows_pictures_and_leaves_absent_sources_out() -> None:
    signal = crossed()
    picture = generation.grid(signal, SAMPLE, Trace())
    rows = ["truth", "text", "image", "all"]
    assert len(picture.table) == len(rows)
    assert picture.table.iloc[0, 1] == "abc"
    best = signal.value[0, 1, :20].reshape(5, 4).argmax(1).tolist()
    ended = best.index(3) if 3 in best else len(best)
    read = "".join("abc"[i] for i in best[:ended]) or "·"
    assert picture.table.iloc[2, 1] == read
    assert f"“{read}”" in picture.finding
    error = (signal.value[0, 1, 20:32] - signal.truth[0, 20:32]).abs().mean()
    assert picture.table.iloc[2, 4] == pytest.approx(float(error), rel=1e-5)
    assert np.isnan(picture.table.iloc[1, 6]), "the truth of what isn't there isn't known"
    faces = [image.source for image in picture.figure.layout.images]
    assert len(faces) == 3 + 4  # truth has no strip of what isn't there
    assert all(face.startswith("data:image/png;base64,") for face in faces)
    assert say("image") in picture.finding


def test_ink_is_dark_on_light_and_light_is_not() -> None:
    signal = crossed()
    drawn = []
    for one in (signal, replace(signal, inked=("image",))):
        grid = generation.grid(one, SAMPLE, Trace())
        data = base64.b64decode(grid.figure.layout.images[0].source.partition(",")[2])
        drawn.append(np.asarray(PIL.Image.open(io.BytesIO(data)), float))
    np.testing.assert_allclose(drawn[0] + drawn[1], 255, atol=1)
    assert np.corrcoef(drawn[0][::24, ::24].ravel(), signal.truth[0, 20:32].numpy())[0, 1] > 0.99


def test_a_subset_that_is_all_there_is_stands_once_and_a_smaller_one_beside_it() -> None:
    signal, more = crossed(), torch.rand(1, 3, 38)
    asked = ("text", "image", "audio", "text+image", "text+audio", "image+audio", "all")
    value = torch.cat((signal.value[:, :3], more, signal.value[:, 3:]), 1)
    two = torch.tensor([[True, True, False, True, False, False, True]])
    here = replace(signal, value=value, sources=asked, told=two)
    assert len(generation.grid(here, SAMPLE, Trace()).table) == 1 + 3
    every = generation.grid(replace(here, told=torch.ones_like(two)), SAMPLE, Trace())
    assert len(every.table) == 1 + 7
    together = f"{say('image')} + {say('audio')}"
    assert words.t("views.generation.from", name=together) in every.table.iloc[:, 0].tolist()
    assert together in every.finding, "of the text, which it was not told, it says something"


def test_a_walk_frames_its_own_place_and_says_what_changes() -> None:
    signal = crossed()
    value = signal.value[:, [0, 1, 1, 3]].clone()
    places, names = np.asarray([-3.0, 0.4, 1.0, 3.0], np.float32), ("0", "1", "2", "3")
    made = replace(signal, value=value, sources=names, told=torch.ones(1, 4, dtype=torch.bool))
    cut = {"text": slice(0, 20), "image": slice(20, 32), "audio": slice(32, 38)}
    moved = {m: (value[0] - value[0, 1])[:, part].abs().mean(1).numpy() for m, part in cut.items()}
    picture = generation.walk(Walk(4, places, 1, made, moved))
    frame = picture.figure.layout.shapes[0]
    assert (frame.x0, frame.x1) == pytest.approx((0.52, 1.48))
    assert len(picture.table) == 4
    assert "z5" in picture.finding
    assert num(float(moved["image"].max())) in picture.finding
    assert picture.table.iloc[1, 2] == picture.table.iloc[2, 2] == 0
    same = replace(made, value=value[:, [1, 1, 1, 1]])
    still = generation.walk(Walk(4, places, 1, same, {m: np.zeros(4, np.float32) for m in moved}))
    assert still.finding == words.t("views.walk.still", name="z5", low="−3", high="3")


def test_an_expert_that_says_next_to_nothing_is_not_drawn_and_is_named() -> None:
    signal = told()
    wide = signal.scale.clone()
    wide[0, 1] = torch.inf
    picture = posterior.experts(replace(signal, scale=wide), SAMPLE, Trace())
    one = words.t("views.posterior.faint.one", count=7, name=say("image"))
    assert words.t("views.posterior.faint", names=one, all=7) in picture.finding
    assert np.isnan(picture.figure.data[1].x).all()
    assert words.t("views.posterior.apart", a=say("text"), b=say("image"), value="1.7") not in picture.finding
    assert np.isfinite(picture.figure.layout.xaxis.range).all()


def test_a_grid_without_names_of_tokens_or_a_known_truth_still_says_something() -> None:
    signal = crossed()
    bare = replace(
        signal, tokens=((), (), ()), real=torch.zeros_like(signal.real), told=torch.tensor([[True, False, False, True]])
    )
    picture = generation.grid(bare, SAMPLE, Trace())
    assert words.t("views.generation.unknown") in picture.finding
    assert picture.table.iloc[0, 1] == words.t("views.generation.absent")
    assert all(one.isdigit() for one in picture.table.iloc[1, 1].split())
