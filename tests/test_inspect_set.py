"""Runs over whole sets: killed at any moment, refused twice at once, over damaged pictures, on a disk that is full."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from fusion.data import open_data
from fusion.data.mismatch import mismatch
from fusion.files import ASSETS
from fusion.triage import between, recording, running, tables
from fusion.triage.cleaning import belongs
from fusion.triage.conditions import Condition
from fusion.triage.known import runs
from fusion.triage.running import inspect_set
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from fusion.types import FusionError
from tests import triage_toys
from tests.triage_toys import SIZE, Toy, pairs

ROOT = Path(__file__).resolve().parent.parent
COUNT = 40 * SIZE - 20  # forty shards, the last one not full
KILLS = 20


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    """Runs of made-up pairs."""
    monkeypatch.setattr(running, "Inspector", Toy)
    monkeypatch.setattr(Toy, "log", None)
    return Toy


def rows(folder: Path) -> bytes:
    name = json.loads((folder / "meta.json").read_text("utf-8"))["rows"]
    return (folder / name).read_bytes()


def test_a_run_that_is_killed_twenty_times_gives_the_same_file(tmp_path: Path) -> None:
    children = multiprocessing.get_context("forkserver")
    children.set_forkserver_preload(["tests.triage_toys"])

    def start(folder: Path, pause: float) -> multiprocessing.process.BaseProcess:
        child = children.Process(target=triage_toys.run, args=(str(folder), COUNT, str(folder) + ".log", pause))
        child.start()
        return child

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child = start(whole, 0.0)
    child.join(120)
    assert child.exitcode == 0
    moments, killed = random.Random(4), 0
    for _ in range(KILLS):
        child = start(broken, 0.02)
        until = time.monotonic() + 60
        while not (broken / "meta.json").exists():  # from here on it does something
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(moments.random() * 0.3)
        child.kill()
        child.join(60)
        killed += child.exitcode != 0
    child = start(broken, 0.0)
    child.join(120)
    assert child.exitcode == 0
    assert killed > KILLS // 2  # the last ones may have ended by themselves
    assert rows(broken) == rows(whole)
    for name in ("text", "image"):
        lines = [(folder / "vectors" / f"{name}.npy").read_bytes() for folder in (whole, broken)]
        assert lines[0] == lines[1]
    looked = Path(f"{broken}.log").read_text().split()
    assert sorted(set(map(int, looked))) == list(range(40))
    assert len(looked) <= 40 + killed  # nothing twice but the one that it was at


def test_a_shard_that_was_damaged_is_looked_at_again_and_no_other(
    toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    inspect_set(pairs(5 * SIZE), out=folder)
    before = rows(folder)
    shard = folder / "shards" / "000002.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    with (folder / "vectors" / "image.npy").open("r+b") as stream:
        stream.seek(-10, os.SEEK_END)
        stream.write(b"\1" * 10)
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    del meta["rows"]
    (folder / "meta.json").write_text(json.dumps(meta), "utf-8")
    monkeypatch.setattr(Toy, "log", log)
    inspect_set(pairs(5 * SIZE), out=folder)
    assert log.read_text().split() == ["2", "4"]
    assert rows(folder) == before


def test_a_run_that_is_there_is_opened_and_nothing_is_looked_at(
    toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fusion_home: Path
) -> None:
    first = inspect_set(pairs(2 * SIZE))
    monkeypatch.setattr(Toy, "log", tmp_path / "log")
    told: list[tuple[int, int]] = []
    again = inspect_set(pairs(2 * SIZE), progress=lambda *at: told.append(at))
    assert again.folder == first.folder
    assert first.folder.is_relative_to(fusion_home)
    assert told == [(2 * SIZE, 2 * SIZE)]
    assert not (tmp_path / "log").exists()


def test_wrong_pairs_come_first_and_every_row_once(toy: type[Toy], tmp_path: Path) -> None:
    store = inspect_set(pairs(COUNT), out=tmp_path / "run")
    frame = store.page(limit=COUNT)
    assert frame["rank"].tolist() == list(range(1, COUNT + 1))
    assert frame["suspicion"].is_monotonic_decreasing
    assert sorted(frame["row"]) == list(range(COUNT))
    assert set(frame["id"]) == {sample.id for sample in pairs(COUNT).samples}
    wrong = frame["row"].head(COUNT // 10) % 10 == 0
    assert wrong.mean() > 0.9
    text = store.vectors("text")
    for row in (0, COUNT - 1):
        np.testing.assert_allclose(text[row], triage_toys.unit(row), atol=1e-3)
    assert store.count_of([Condition("problem", "=", "no picture")]) == 1
    assert store.meta["problems"] == 1


def test_comparing_tells_how_far_it_is(toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "BLOCK", 50 * COUNT)  # so that there are several blocks
    looked, compared = [], []
    inspect_set(pairs(COUNT), out=tmp_path / "run", progress=lambda *at: looked.append(at),
                comparing=lambda *at: compared.append(at))  # fmt: skip
    assert looked[-1] == (COUNT, COUNT)
    assert len(compared) > 4
    assert [done for done, _ in compared] == sorted(done for done, _ in compared)
    assert compared[-1] == (2 * COUNT, 2 * COUNT)  # each pair as it is, and exchanged


def test_a_set_of_one_shard_tells_that_it_was_looked_at(toy: type[Toy], tmp_path: Path) -> None:
    looked = []
    inspect_set(pairs(SIZE // 2), out=tmp_path / "run", progress=lambda *at: looked.append(at))
    assert (looked[0], looked[-1]) == ((0, SIZE // 2), (SIZE // 2, SIZE // 2))


def test_two_runs_in_one_folder_are_refused(toy: type[Toy], tmp_path: Path) -> None:
    with recording.alone(tmp_path / "run"), pytest.raises(FusionError, match="Another run is writing"):
        inspect_set(pairs(SIZE), out=tmp_path / "run")
    assert inspect_set(pairs(SIZE), out=tmp_path / "run").count == SIZE  # the lock went with its owner


def test_a_folder_of_other_content_is_refused_by_hash(toy: type[Toy], tmp_path: Path) -> None:
    inspect_set(pairs(SIZE), out=tmp_path / "run")
    then, now = pairs(SIZE).digest[:12], pairs(SIZE + 1).digest[:12]
    with pytest.raises(FusionError, match=rf"the data \(hash {then} then, {now} now\)"):
        inspect_set(pairs(SIZE + 1), out=tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("", "utf-8")
    with pytest.raises(FusionError, match=r'other files, such as "thesis.tex"'):
        inspect_set(pairs(SIZE), out=tmp_path / "mine")


def test_data_that_changed_are_another_run_and_it_is_said(toy: type[Toy], fusion_home: Path) -> None:
    said: list[str] = []
    first = inspect_set(pairs(SIZE), notice=said.append)
    assert said == []
    second = inspect_set(pairs(SIZE + 1), notice=said.append)
    assert second.folder != first.folder
    then, now = pairs(SIZE).digest[:12], pairs(SIZE + 1).digest[:12]
    assert f"The data changed since the run in {first.folder.name} (hash {then} then, {now} now)" in said[0]
    assert Store.open(first.folder).count == SIZE  # the first one is still there


def test_a_run_begun_under_other_versions_starts_anew(
    toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    store = inspect_set(pairs(2 * SIZE), out=folder)
    before = rows(folder)
    meta = {**store.meta, "made_with": {"torch": "1.0"}}
    del meta["rows"]
    (folder / "meta.json").write_text(json.dumps(meta), "utf-8")
    monkeypatch.setattr(Toy, "log", tmp_path / "log")
    said: list[str] = []
    inspect_set(pairs(2 * SIZE), out=folder, notice=said.append)
    assert (tmp_path / "log").read_text().split() == ["0", "1"]
    assert said == ["The run began under other versions or on another device, so it starts anew."]
    assert rows(folder) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = tmp_path / "run"

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(FusionError, match=r'The disk of "run" is full'):
            inspect_set(pairs(2 * SIZE), out=folder)
    assert not list(folder.glob("vectors/*"))
    assert not list(folder.glob("shards/*"))
    with monkeypatch.context() as patched:
        patched.setattr(recording.parquet, "write_table", full)
        with pytest.raises(FusionError, match="is full"):
            inspect_set(pairs(2 * SIZE), out=folder)
    assert not list(folder.glob("shards/*"))  # nothing half-written
    assert inspect_set(pairs(2 * SIZE), out=folder).count == 2 * SIZE


def test_a_folder_that_cant_be_written_is_a_sentence(
    toy: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(FusionError, match="Nothing can be written"):
        inspect_set(pairs(SIZE), out=tmp_path / "file" / "run")

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(FusionError, match=r"read-only file system\. Name a folder"):
        inspect_set(pairs(SIZE), out=tmp_path / "run")


def test_runs_elsewhere_are_listed_until_their_folder_goes(toy: type[Toy], tmp_path: Path, fusion_home: Path) -> None:
    inspect_set(pairs(SIZE), out=tmp_path / "elsewhere")
    inspect_set(pairs(2 * SIZE))
    found = {run.count: run for run in runs()}
    assert set(found) == {SIZE, 2 * SIZE}
    assert found[SIZE].folder == (tmp_path / "elsewhere").resolve()
    assert all(run.finished and run.done == run.count for run in found.values())
    shutil.rmtree(tmp_path / "elsewhere")
    assert [run.count for run in runs()] == [2 * SIZE]


def huge() -> bytes:
    """A picture of 900 megapixels, by its header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen pairs: one picture is damaged, one huge, one not there, and one has no text."""
    folder = tmp_path_factory.mktemp("pairs")
    pictures = sorted((ASSETS / "data" / "gallery").rglob("*.jpg"))[:9]
    assert len(pictures) == 9
    lines = [f"p{at}.jpg,=A picture {at},s{at}" for at in range(9)]
    for at, picture in enumerate(pictures):
        shutil.copy(picture, folder / f"p{at}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing more")
    (folder / "huge.png").write_bytes(huge())
    lines += ["broken.jpg,A broken one,broken", "huge.png,A huge one,huge", "absent.jpg,None,absent"]
    lines += ["p0.jpg,,silent"]
    (folder / "pairs.csv").write_text("image,text,id\n" + "\n".join(lines) + "\n", "utf-8")
    return folder / "pairs.csv"


@pytest.fixture(scope="module")
def inspected(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The thirteen pairs under the untrained encoders."""
    return inspect_set(str(manifest), out=tmp_path_factory.mktemp("inspected") / "run")


def test_pictures_that_cant_be_read_are_marked_and_the_run_goes_on(inspected: Store) -> None:
    frame = inspected.page(limit=20).set_index("id")
    assert len(frame) == 13
    assert "no picture, or a damaged one" in frame.at["broken", "problem"]
    assert "megapixels" in frame.at["huge", "problem"]
    assert frame.at["absent", "problem"] == 'There is no file "absent.jpg".'
    assert frame.at["absent", "text"] == "None"
    assert frame.at["silent", "problem"] == "Its text is empty."
    assert frame.at["silent", "picture"]
    assert frame["problem"].ne("").sum() == inspected.meta["problems"] == 4
    assert "absent.jpg" in inspected.meta["left_out"][0]
    assert frame["cosine"].isna().sum() == 4
    assert frame["suspicion"].notna().sum() >= 9
    assert inspected.count == inspected.meta["count"] == 13


def test_the_command_line_makes_a_run_and_takes_verdicts_out_and_in(manifest: Path, tmp_path: Path) -> None:
    def fusion(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"FUSION_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "fusion", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)

    made = fusion("inspect-set", manifest, "--out", tmp_path / "run")
    assert made.returncode == 0, made.stderr
    assert "13 samples" in made.stdout
    assert "Most suspicious: " in made.stdout
    assert "broken: " in made.stdout
    assert "absent.jpg" in made.stdout
    Verdicts.open(tmp_path / "run", "Ann").put("s3", "mismatch")
    assert fusion("verdicts", tmp_path / "run", "export", tmp_path / "out.csv").returncode == 0
    assert json.loads(fusion("verdicts", tmp_path / "run", "import", tmp_path / "out.csv", "--json").stdout) == {
        "run": str(tmp_path / "run"), "rows": 0, "unknown": 0,
        "counts": {"keep": 0, "mismatch": 1, "fix": 0, "unsure": 0, "disagreement": 0},
    }  # fmt: skip
    absent = fusion("verdicts", tmp_path / "absent", "export", tmp_path / "out.csv")
    assert absent.returncode == 2
    assert 'There is no run "' in absent.stderr
    wrong = fusion("inspect-set", "digits")
    assert wrong.returncode == 2
    assert "name one with --checkpoint" in wrong.stderr


def test_the_cleaned_manifest_opens_again_without_the_mismatches(
    inspected: Store, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path)
    shutil.copytree(inspected.folder, tmp_path)
    ann, bo = Verdicts.open(tmp_path, "Ann"), Verdicts.open(tmp_path, "Bo")
    ann.put("s0", "mismatch")
    ann.put("s1", "mismatch")
    bo.put("s1", "keep")
    bo.put("s2", "fix", "=other()")
    assert ann.cleaned(inspected, tmp_path / "clean.csv") == 12
    frame = pd.read_csv(tmp_path / "clean.csv", keep_default_na=False, encoding="utf-8-sig").set_index("id")
    assert "s0" not in frame.index
    assert frame.at["s1", "triage_verdict"] == "disagreement"
    assert frame.at["s2", "triage_verdict"] == "fix"
    assert frame.at["s2", "triage_note"] == "'=other()"
    assert frame.at["s2", "text"] == "=A picture 2"  # the owner's data are not touched
    monkeypatch.setenv("FUSION_DATA_ROOTS", str(manifest.parent))  # pictures stay where they are
    before = open_data(manifest).get("s4").image()
    beside = manifest.parent / "clean.csv"
    try:
        assert ann.cleaned(inspected, beside) == 12
        for again in (open_data(tmp_path / "clean.csv"), open_data(beside)):
            assert len(again) == 10  # the picture that wasn't there still isn't
            assert again.get("s4").image() == before
    finally:
        beside.unlink()
    manifest_text = manifest.read_text("utf-8")
    try:
        manifest.write_text(manifest_text + "p1.jpg,More,more\n", "utf-8")
        with pytest.raises(FusionError, match="changed since the run"):
            ann.cleaned(inspected, tmp_path / "clean.csv")
    finally:
        manifest.write_text(manifest_text, "utf-8")


def test_a_copy_for_another_place_names_pictures_as_from_there(
    inspected: Store, manifest: Path, tmp_path: Path, fusion_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = Verdicts.open(inspected.folder)
    assert belongs(inspected) == manifest.parent
    verdicts.cleaned(inspected, tmp_path / "clean.csv", placed=True)
    frame = pd.read_csv(tmp_path / "clean.csv", keep_default_na=False, encoding="utf-8-sig").set_index("id")
    assert (manifest.parent / frame.at["s4", "image"]).is_file()
    assert "/" not in frame.at["s4", "image"]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for row in range(3):
        PIL.Image.new("RGB", (32, 32), (row * 60, 90, 120)).save(pictures / f"{row}.png")
        (pictures / f"{row}.txt").write_text(f"A picture {row}", "utf-8")
    store = inspect_set(str(pictures), out=tmp_path / "run")
    assert belongs(store) == pictures
    Verdicts.open(store.folder).cleaned(store, tmp_path / "other.csv", placed=True)
    shutil.copy(tmp_path / "other.csv", pictures / "clean.csv")
    assert {sample.id for sample in open_data(pictures / "clean.csv").samples} == set(store.column("id"))
    bundled = inspect_set("gallery", out=tmp_path / "bundled")
    assert belongs(bundled) is None
    Verdicts.open(bundled.folder).cleaned(bundled, tmp_path / "bundled.csv", placed=True)
    frame = pd.read_csv(tmp_path / "bundled.csv", encoding="utf-8-sig")
    assert all(Path(place).is_absolute() and Path(place).is_file() for place in frame["image"])


def test_sets_without_a_table_are_cleaned_to_one(tmp_path: Path, fusion_home: Path) -> None:
    store = inspect_set("gallery", out=tmp_path / "run")
    ann = Verdicts.open(store.folder, "Ann")
    gone = store.page(limit=1).at[0, "id"]
    ann.put(gone, "mismatch")
    assert ann.cleaned(store, tmp_path / "clean.parquet") == store.count - 1
    frame = pd.read_parquet(tmp_path / "clean.parquet")
    assert gone not in set(frame["id"])
    assert (tmp_path / frame["image"].iloc[0]).resolve().is_file()


def test_a_set_and_a_checkpoint_that_dont_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="doesn't read"):
        inspect_set("gallery", "mvae-digits", out=tmp_path / "run")
    with pytest.raises(FusionError, match=r'no engine "spark"'):
        inspect_set("gallery", engine="spark")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "checkpoint", "vectors"),
    [("digits", "mvae-digits", "image"), ("keywords", "imf-keywords", "tail"), ("emoji", "mclea-emoji", "left")],
)
def test_sets_of_every_kind_are_ranked(data: str, checkpoint: str, vectors: str, tmp_path: Path) -> None:
    store = inspect_set(data, checkpoint, out=tmp_path / "run")
    assert store.meta["kind"] in ("streams", "triples", "graph")
    assert len(store.vectors(next(name for name in store.names() if vectors in name))) == store.count
    assert store.page(limit=store.count)["suspicion"].is_monotonic_decreasing
    assert len(set(store.page(limit=store.count)["id"])) == store.count


def test_planted_mismatches_stand_before_the_rest(tmp_path: Path) -> None:
    planted, wrong = mismatch(open_data("gallery"), 0.2, 1)
    store = inspect_set(planted, out=tmp_path / "run")
    assert store.column("note_mismatched").tolist() == ["1" if one else "0" for one in wrong]


def test_a_table_at_an_address_is_fetched_and_ranked(manifest: Path, tmp_path: Path, fusion_home: Path) -> None:
    frame = pd.DataFrame({
        "image": [(manifest.parent / f"p{at}.jpg").read_bytes() for at in range(6)],
        "text": [f"A picture {at}" for at in range(6)],
    })  # fmt: skip
    address = "memory://bucket/pairs.parquet"
    tables.write(frame, address)
    store = inspect_set(address, out=tmp_path / "run")
    assert store.count == 6
    assert store.page(limit=6)["cosine"].notna().all()
    assert store.meta["manifest_digest"]
    with pytest.raises(FusionError, match="can't be fetched"):
        inspect_set("memory://bucket/absent.parquet")
    with pytest.raises(FusionError, match="can't be fetched"):
        inspect_set("nothing://bucket/pairs.parquet")
