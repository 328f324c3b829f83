"""Ray gives what the plain loop gives, in the same order, and ends a run in a sentence; two workers on this machine."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray

from fusion.data import open_data
from fusion.triage import engine, ray_engine
from fusion.triage.engine import Inspector, Shard
from fusion.triage.running import inspect_set
from fusion.triage.store import Store
from fusion.types import FusionError

SIZE = 12  # samples of a shard: three of the gallery


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers on this machine, for all tests."""
    ray_engine._start(2)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # what Ray does itself
@pytest.mark.usefixtures("cluster")
def test_two_workers_give_what_the_plain_engine_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SIZE", SIZE)
    plain = inspect_set("gallery", "maf-gloss", out=tmp_path / "plain")
    spread = inspect_set("gallery", "maf-gloss", out=tmp_path / "ray", engine="ray", workers=2)
    assert spread.meta["engine"] == "ray"
    assert plain.meta["shards"] == 3
    one, other = (store.page(limit=store.count) for store in (plain, spread))
    assert one["id"].tolist() == other["id"].tolist()
    pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-6)
    for name in plain.names():
        np.testing.assert_allclose(
            plain.vectors(name).astype(float), spread.vectors(name).astype(float), rtol=0, atol=1e-6
        )
    # a run that one engine began is ended by the other
    (tmp_path / "plain" / "shards" / "000001.parquet").unlink()
    meta = (tmp_path / "plain" / "meta.json").read_text("utf-8").replace('"rows": "', '"rows_before": "')
    (tmp_path / "plain" / "meta.json").write_text(meta, "utf-8")
    inspect_set("gallery", "maf-gloss", out=tmp_path / "plain", engine="ray", workers=1)
    pd.testing.assert_frame_equal(one, Store.open(tmp_path / "plain").page(limit=99), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # what Ray does itself
@pytest.mark.usefixtures("cluster")
def test_a_worker_with_other_data_ends_the_run_in_a_sentence() -> None:
    meant = Inspector("gallery", None)
    meant.dataset = open_data("gallery").head(5)  # type: ignore[misc]  # as if the file here were another one
    with pytest.raises(FusionError, match="copy the same data to every machine"):
        list(ray_engine.run(meant, [0], 1))


def test_without_ray_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(FusionError, match=r'pip install "ray\[data\]=='):
        inspect_set("gallery", engine="ray", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cluster_that_isnt_there_is_a_sentence_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(FusionError, match=r"can't be reached: .*take the engine plain"):
            ray_engine._start(1)


def test_the_sentence_names_the_version_that_is_tested() -> None:
    assert f"=={ray.__version__}" in ray_engine.ABSENT


def test_a_shard_survives_being_sent() -> None:
    shard = Inspector(open_data("gallery"), None, size=SIZE)(1)
    again = Shard.unpacked(1, shard.packed())
    assert again.table.equals(shard.table)
    for name, value in shard.vectors.items():
        np.testing.assert_array_equal(again.vectors[name], value)
        assert again.vectors[name].dtype == np.float16
