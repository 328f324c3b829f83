"""Maps: exact, repeatable, kept whole or not at all, placing what they never saw, and made without anyone waiting."""

import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from fusion import projections
from fusion.files import ROOT
from fusion.projections import background, pca, store
from fusion.projections.layouts import SETTINGS, Settings
from fusion.types import FusionError


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))


def clusters(rows: int = 120, width: int = 16, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = 6.0 * np.random.default_rng(99).normal(size=(4, width))
    return (centres[np.arange(rows) % 4] + random.normal(size=(rows, width))).astype(np.float32)


def pairs_of_two(rows: int = 60) -> tuple[np.ndarray, list[str]]:
    text = clusters(rows)
    image = text + 0.3 * np.random.default_rng(1).normal(size=text.shape).astype(np.float32) + 20.0
    return np.vstack([text, image]), ["text"] * rows + ["image"] * rows


def wait(job: projections.Job, seconds: float = 200.0) -> str:
    end = time.monotonic() + seconds
    while job.state() == "running" and time.monotonic() < end:
        time.sleep(0.05)
    return job.state()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("shape", [(300, 20), (15, 20), (20, 20), (2, 5)])
def test_pca_is_the_singular_value_decomposition(shape: tuple[int, int], dims: int) -> None:
    x = (np.random.default_rng(0).normal(size=shape) * np.linspace(3, 1, shape[1]) + 50.0).astype(np.float32)
    found = projections.project(x, dims=dims)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    values = np.append(values, 0.0)[: max(dims, len(values))]
    expected = np.pad(left, ((0, 0), (0, 1)))[:, :dims] * values[:dims]
    for axis in range(dims):
        if values[axis] > 1e-6 * values[0]:
            sign = np.sign(expected[:, axis] @ found.points[:, axis])
            assert np.allclose(found.points[:, axis], sign * expected[:, axis], atol=1e-3)
            assert found.axes[axis][np.abs(found.axes[axis]).argmax()] > 0  # a map never flips
        else:
            assert np.allclose(found.points[:, axis], 0, atol=1e-3)
    assert found.explained == pytest.approx(tuple(values[:dims] ** 2 / (values**2).sum()), abs=1e-5)
    assert found.points.dtype == np.float32
    assert len(found.fitted) == shape[0]


def test_pca_of_equal_vectors_is_one_point() -> None:
    found = projections.project(np.full((9, 5), 3.3, dtype=np.float32))
    assert np.abs(found.points).max() < 1e-5
    assert found.explained == (0.0, 0.0)


def test_one_and_two_numbers_need_no_map_and_three_are_turned() -> None:
    for width in (1, 2):
        x = clusters(30, width)
        for dims in (2, 3):
            found = projections.project(x, "umap", dims=dims)
            assert found.method == "as is"
            assert (found.points[:, :width] == x).all()
            assert found.points.shape == (30, dims)
    x = clusters(30, 3)
    assert projections.project(x, "umap").method == "pca"
    assert projections.start(x).state() == "done"


def test_centring_takes_the_gap_away_and_nothing_else() -> None:
    x, labels = pairs_of_two()
    found = projections.centre(x, labels)
    assert np.allclose(found[:60].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(found[60:].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(found[:60] - found[0], x[:60] - x[0], atol=1e-4)
    raw = projections.project(x, labels=labels)
    centred = projections.project(x, labels=labels, centred=True)
    apart = lambda points: np.linalg.norm(points[:60].mean(axis=0) - points[60:].mean(axis=0))  # noqa: E731
    assert apart(raw.points) > 50
    assert apart(centred.points) < 1e-3


def test_a_map_is_kept_and_found_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = pairs_of_two()
    made = projections.project(x, labels=labels, centred=True)
    monkeypatch.setattr(store, "principal_axes", lambda *_: pytest.fail("fitted again"))
    again = projections.project(x.copy(), labels=np.array(labels), centred=True)
    for field in fields(made):
        assert np.array_equal(getattr(made, field.name), getattr(again, field.name)), field.name
    assert again.groups == ("image", "text")


def test_whatever_changes_a_map_changes_its_name() -> None:
    x, labels = pairs_of_two(20)
    other = x.copy()
    other[3, 3] += 1e-3
    name = projections.projection_digest
    names = [
        name(x), name(other), name(x.reshape(20, 32)), name(x, labels=labels), name(x, labels=labels, centred=True),
        name(x, labels=labels[::-1]), name(x, "umap"), name(x, "umap", seed=1),
        name(x, "umap", settings=projections.UmapSettings(min_dist=0.2)), name(x, dims=3), name(x, "umap", dims=3),
        name(x, "tsne"), name(x, "tsne", settings=projections.TsneSettings(perplexity=5)),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert name(x) == name(x.astype(np.float64)) == name(x, seed=5)  # PCA has no chance in it
    with pytest.raises(FusionError, match="choose one of pca, umap, tsne"):
        name(x, "isomap")
    with pytest.raises(FusionError, match="2 or 3 dimensions"):
        name(x, dims=4)
    with pytest.raises(FusionError, match="give TsneSettings"):
        name(x, "tsne", settings=projections.UmapSettings())


def test_a_file_that_cannot_be_read_is_made_again() -> None:
    x = clusters()
    made = projections.project(x)
    for content in (b"", b"not a map", store.path_of(made.digest).read_bytes()[:200]):
        store.path_of(made.digest).write_bytes(content)
        assert projections.cached(made.digest) is None
        assert np.array_equal(projections.project(x).points, made.points)


def test_a_stored_map_cannot_run_code() -> None:
    key = "0" * 64
    store.folder().mkdir(parents=True, exist_ok=True)
    np.savez(store.path_of(key), told=np.array([{"points": 1}], dtype=object))
    assert projections.cached(key) is None


def test_only_so_many_maps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_KEPT", 3)
    made = [projections.project(clusters(seed=seed)) for seed in range(5)]
    kept = [projections.cached(one.digest) is not None for one in made]
    assert sum(kept) == 3
    assert kept[-1]


def test_placing_by_pca_is_the_same_projection() -> None:
    x, labels = pairs_of_two()
    found = projections.project(x, labels=labels, centred=True)
    points, far = projections.place(found, x, x[[5, 70]], labels=labels, new_labels=["text", "image"])
    assert np.allclose(points, found.points[[5, 70]], atol=1e-4)
    assert not far.any()
    moved, _ = projections.place(found, x, x[[5]], labels=labels, new_labels=["image"])
    assert np.abs(moved - points[0]).max() > 1  # another modality's mean was taken away


def test_what_is_far_from_everything_is_said_to_be() -> None:
    x = clusters(400)
    found = projections.project(x)
    inside = clusters(200, seed=7)
    assert projections.place(found, x, inside)[1].mean() < 0.1
    assert projections.place(found, x, inside + 30.0)[1].all()


def test_placing_refuses_vectors_of_another_map() -> None:
    x, labels = pairs_of_two()
    found = projections.project(x, labels=labels)
    with pytest.raises(FusionError, match="120 vectors of 16"):
        projections.place(found, x[:50], x[:1])
    with pytest.raises(FusionError, match="'image', 'text'"):
        projections.place(found, x, x[:1], labels=labels, new_labels=["audio"])
    with pytest.raises(FusionError, match="'image', 'text'"):
        projections.place(found, x, x[:1])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("settings", [projections.UmapSettings(fitted=120), projections.TsneSettings(10, fitted=120)])
def test_a_layout_keeps_clusters_repeats_itself_and_places_the_rest(settings: Settings, dims: int) -> None:
    x = clusters(200)
    method = next(name for name, kind in SETTINGS.items() if isinstance(settings, kind))
    found = projections.project(x, method, seed=3, settings=settings, dims=dims)
    assert found.points.shape == (200, dims)
    assert len(found.fitted) == 120
    assert np.isfinite(found.points).all()
    centres = np.array([found.points[np.arange(200) % 4 == name].mean(axis=0) for name in range(4)])
    nearest = np.linalg.norm(found.points[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == np.arange(200) % 4).mean() > 0.95
    store.path_of(found.digest).unlink()
    assert np.array_equal(projections.project(x, method, seed=3, settings=settings, dims=dims).points, found.points)

    new = clusters(20, seed=11)
    together, far = projections.place(found, x, new)
    alone = np.vstack([projections.place(found, x, new[row : row + 1])[0] for row in range(20)])
    assert np.array_equal(together, alone)  # what else is dropped doesn't move a point
    assert (np.linalg.norm(together[:, None] - centres, axis=2).argmin(axis=1) == np.arange(20) % 4).all()
    assert far.mean() < 0.3
    assert projections.place(found, x, new + 40.0)[1].all()
    same, _ = projections.place(found, x, x[found.fitted[:5]])
    assert np.allclose(same, found.points[found.fitted[:5]], atol=1e-5)


def test_layouts_refuse_a_handful_of_vectors() -> None:
    for make in (lambda x: projections.project(x, "umap"), lambda x: projections.project(x, "tsne"), projections.start):
        with pytest.raises(FusionError, match="at least 10"):
            make(clusters(8))


def test_umap_is_not_imported_before_it_is_asked_for() -> None:
    told = "import sys, fusion.projections; print(sorted({'umap', 'numba', 'sklearn', 'streamlit'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_map_in_the_background_is_the_one_made_here_and_starting_takes_no_time() -> None:
    x, labels = pairs_of_two()
    start = time.process_time()
    job = projections.start(x, seed=2, labels=labels, centred=True)
    assert time.process_time() - start < 1.0
    assert job.state() == "running"
    pid = int(background._beside(job.digest, "lock").read_text())
    assert projections.start(x, seed=2, labels=labels, centred=True) == job  # one job a map
    assert int(background._beside(job.digest, "lock").read_text()) == pid
    assert wait(job) == "done", job.error()
    found = job.result()
    assert found is not None
    while background._held(job.digest):  # the map is there a moment before the process ends
        time.sleep(0.01)
    assert sorted(p.suffix for p in store.folder().iterdir()) == [".lock", ".npz"]  # nothing else is left
    store.path_of(job.digest).unlink()
    assert job.state() == "absent"
    here = projections.project(x, "umap", seed=2, labels=labels, centred=True)
    assert here.digest == job.digest
    assert np.array_equal(here.points, found.points)


def test_a_stopped_job_leaves_nothing_half_written_and_can_be_started_again() -> None:
    x = clusters(300)
    job = projections.start(x)
    assert job.stop()
    assert wait(job, 20) == "absent"
    assert job.result() is None
    assert not list(store.folder().glob("*.npz"))
    assert not job.stop()
    again = projections.start(x)
    assert again == job
    assert again.state() == "running"
    again.stop()
    assert wait(again, 20) == "absent"


def test_a_failed_job_says_why() -> None:
    x = clusters(40)
    key = projections.projection_digest(x, "umap")
    given = background._beside(key, "job")
    lock = background._lock(key)
    assert lock is not None
    told = {"method": "umap", "dims": 2, "seed": 0, "centred": False, "settings": {"fitted": 40}, "groups": None}
    with given.open("wb") as stream:
        np.savez(stream, vectors=x[:5], code=np.zeros(5), told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8))
    job = projections.Job(key)
    assert job.state() == "running"  # whoever holds the lock
    background._spawn(key, given, lock)
    os.close(lock)
    assert wait(job) == "failed"
    assert "at least 10" in job.error()
    started = projections.start(x)
    assert started.error() == ""
    started.stop()
    wait(started, 20)


def test_quality_is_that_of_scikit_learn_and_perfect_for_the_vectors_themselves() -> None:
    from sklearn.manifold import trustworthiness

    x = clusters(150, 10)
    points = projections.project(x).points
    found = projections.quality(x, points, k=9)
    assert found.trustworthiness == pytest.approx(trustworthiness(x, points, n_neighbors=9))
    assert found.continuity == pytest.approx(trustworthiness(points, x, n_neighbors=9))
    near = lambda a: np.argsort(np.linalg.norm(a[:, None] - a[None], axis=2) + 1e9 * np.eye(150), axis=1)[:, :10]  # noqa: E731
    shared = [len(set(p) & set(q)) / 10 for p, q in zip(near(x), near(points), strict=True)]
    assert found.overlap == pytest.approx(np.mean(shared))
    perfect = projections.quality(x[:, :2], x[:, :2], k=9, pairs=np.arange(150).reshape(-1, 2))
    assert (perfect.trustworthiness, perfect.continuity, perfect.overlap) == (1.0, 1.0, 1.0)
    assert perfect.partner_first == perfect.partner_first_map


def test_quality_finds_partners_with_ties_against_them() -> None:
    x, labels = pairs_of_two()
    rows = np.stack([np.arange(60), np.arange(60) + 60], axis=1)
    centred = projections.centre(x, labels)
    points = projections.project(x, labels=labels, centred=True).points
    found = projections.quality(centred, points, pairs=rows)
    assert found.partner_first == 1.0
    assert found.pairs == 60
    assert found.points == 120
    apart = np.linalg.norm(points[:60, None].astype(float) - points[None, 60:], axis=2)
    own = np.diag(apart).copy()
    np.fill_diagonal(apart, np.inf)
    assert found.partner_first_map == pytest.approx(np.mean(apart.min(axis=1) > own))
    flat = projections.quality(centred, np.zeros_like(points), pairs=rows)
    assert flat.partner_first_map == 0.0
    assert flat.trustworthiness < 0.7
    few = projections.quality(centred, points, pairs=rows, sample=40, seed=1)
    assert (few.points, few.pairs) == (40, 20)
    assert few == projections.quality(centred, points, pairs=rows, sample=40, seed=1)


def test_rows_far_from_zero_keep_their_shape() -> None:
    x = clusters(500, 12)
    near, shifted = pca.principal_axes(x), pca.principal_axes(x + 300.0)
    assert np.allclose(near[0], shifted[0], atol=1e-3)
    assert np.allclose(near[2], shifted[2], atol=1e-4)
