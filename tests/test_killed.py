"""What a killed process leaves behind: a run over a data set goes on where it stopped, and half-written files go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fusion import checkpoints, files, observations
from fusion.checkpoints import Checkpoint
from fusion.data import open_data
from fusion.models.maf import MAF, Config

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 8  # samples: five chunks of the gallery
CHILD = """
import json, sys, time
import torch
torch.set_num_threads(1)
from fusion import checkpoints, observations
from fusion.data import open_data
from fusion.inference import Pipeline
from pathlib import Path
observations.CHUNK = int(sys.argv[2])
measure, ran, told = observations.measure, [], []
observations.measure = lambda *given: ran.append(1) or measure(*given)
def progress(done, total):
    told.append(done)
    time.sleep(float(sys.argv[3]))
observations.observe(Pipeline.open(checkpoints.read(Path(sys.argv[1]))), open_data("gallery"), progress)
print(json.dumps({"ran": len(ran), "told": told}))
"""


def run(tiny: Checkpoint, home: Path, pause: float = 0.0) -> subprocess.Popen[bytes]:
    """A process of its own that runs the gallery, `pause` seconds after each chunk."""
    environment = os.environ | {"FUSION_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD, str(tiny.folder), str(CHUNK), str(pause)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small MAF with random weights on the bundled encoders."""
    torch.manual_seed(3)
    config = Config(
        text_width=384, shape_width=10, image_width=1280, pooled_width=384, max_length=64, heads=4, inner_width=48,
        cm_padding="masked",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("killed") / "tiny"
    checkpoints.save(
        folder, MAF(config).eval(), encoders={"text": "minilm+shape", "image": "efficientnet-lite0"}, data="gloss",
        metrics={}, card="", origin={},
    )  # fmt: skip
    return checkpoints.read(folder)


def kept(home: Path) -> list[Path]:
    return sorted((home / "observations").glob("*.partial/*.safetensors"))


def test_a_run_that_was_killed_goes_on_with_the_same_result(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "CHUNK", CHUNK)
    dataset, home = open_data("gallery"), tmp_path / "broken"
    unbroken = run(tiny, tmp_path / "whole")  # in a process like the others: the last bits depend on more than the code
    assert json.loads(unbroken.communicate(timeout=180)[0])["ran"] == 5
    assert not kept(tmp_path / "whole")

    child = run(tiny, home, 1.0)
    try:
        until = time.monotonic() + 180
        while len(kept(home)) < 2:
            assert child.poll() is None, "the child ended before it was killed"
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    before = kept(home)
    assert 2 <= len(before) < 5
    before[-1].write_bytes(before[-1].read_bytes()[:100])  # as a full disk would leave it: it is run again

    monkeypatch.setenv("FUSION_HOME", str(home))
    assert observations.stored(tiny, dataset) is None
    said = json.loads(run(tiny, home).communicate(timeout=180)[0])
    assert said["ran"] == 5 - len(before) + 1
    assert said["told"][0] == CHUNK * (len(before) - 1)
    assert said["told"][-1] == len(dataset)
    resumed = observations.stored(tiny, dataset)
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "whole"))
    whole = observations.stored(tiny, dataset)
    assert resumed is not None
    assert whole is not None
    pd.testing.assert_frame_equal(resumed.frame, whole.frame, check_exact=True)
    for name, vectors in whole.vectors.items():
        np.testing.assert_array_equal(resumed.vectors[name], vectors)
    assert not list((home / "observations").glob("*.partial"))


def test_chunks_that_nobody_took_up_again_go(tmp_path: Path) -> None:
    young, old = tmp_path / "young.partial", tmp_path / "old.partial"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    observations._clear(tmp_path / "done.partial")
    assert young.exists()
    assert not old.exists()


def age(path: Path, days: float) -> None:
    past = time.time() - days * 86_400
    os.utime(path, (past, past))


def test_what_a_killed_save_left_goes_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    child = (
        "import os, sys\nfrom pathlib import Path\nfrom fusion.files import atomic_file, atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1]) / 'model') as aside, atomic_file(Path(sys.argv[1]) / 'row') as row:\n"
        "    (aside / 'weights').write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", child, str(tmp_path)], env=environment, check=False).returncode == -9
    left = sorted(tmp_path.iterdir())
    assert len(left) == 2
    mine = [tmp_path / ".bashrc.original", tmp_path / ".model.aside-notes", tmp_path / "model.aside-abcdefgh"]
    for path in mine:
        path.write_text("a file of the user", encoding="utf-8")
        age(path, 30)
    files.sweep(tmp_path)
    assert all(path.exists() for path in left)  # it may still be written
    for path in left:
        age(path, 1.1)
    files._swept.clear()  # a process looks once a day
    with files.atomic_file(tmp_path / "other") as aside:
        aside.write_text("whole", encoding="utf-8")
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in mine)


def test_a_folder_moved_away_for_a_successor_that_never_came_is_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".model.old.aside-abcd1234"
    (aside / "model").mkdir(parents=True)
    (aside / "model" / "weights").write_text("the only copy", encoding="utf-8")
    age(aside, 2)
    files.sweep(tmp_path)
    assert (tmp_path / "model" / "weights").read_text(encoding="utf-8") == "the only copy"
    assert not aside.exists()


def test_an_old_folder_whose_successor_is_there_goes(tmp_path: Path) -> None:
    aside = tmp_path / ".model.old.aside-abcd1234"
    (aside / "model").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "new").touch()
    age(aside, 2)
    files.sweep(tmp_path)
    assert (tmp_path / "model" / "new").exists()
    assert not aside.exists()
