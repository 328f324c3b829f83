"""Pictures of posteriors and of what is made from them say what their numbers are, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusion import words
from fusion.signals import CrossGeneration, Posterior, Trace
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
    assert picture.table.iloc[2, 1] == ("".join("abc"[i] for i in best[:ended]) or "·")
    error = (signal.value[0, 1, 20:32] - signal.truth[0, 20:32]).abs().mean()
    assert picture.table.iloc[2, 4] == pytest.approx(float(error), rel=1e-5)
    assert np.isnan(picture.table.iloc[1, 6]), "the truth of what isn't there isn't known"
    faces = [image.source for image in picture.figure.layout.images]
    assert len(faces) == 3 + 4  # truth has no strip of what isn't there
    assert all(face.startswith("data:image/png;base64,") for face in faces)
    assert say("image") in picture.finding


def test_a_grid_without_names_of_tokens_or_a_known_truth_still_says_something() -> None:
    signal = crossed()
    bare = replace(
        signal, tokens=((), (), ()), real=torch.zeros_like(signal.real), told=torch.tensor([[True, False, False, True]])
    )
    picture = generation.grid(bare, SAMPLE, Trace())
    assert words.t("views.generation.unknown") in picture.finding
    assert picture.table.iloc[0, 1] == words.t("views.generation.absent")
    assert all(one.isdigit() for one in picture.table.iloc[1, 1].split())
