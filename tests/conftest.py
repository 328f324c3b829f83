"""One torch thread, fixed seeds, a home of their own for caches, and what to do where there is no browser or GPU."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

# Before torch is imported anywhere: waiting threads sleep, and no test writes into the home of whoever runs it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["FUSION_HOME"] = tempfile.mkdtemp(prefix="fusion-home-")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch

from fusion import words
from tests.browser.chromium import REQUIRED, chromium


def pytest_configure() -> None:
    torch.set_num_threads(1)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["FUSION_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what can't run here; FUSION_REQUIRE_BROWSER=1 makes a missing browser a failure.

    Files that drive a browser come first: they are the longest, and one of them last leaves every other core idle.
    """
    driven = {item.path for item in items if "browser" in item.keywords}
    items.sort(key=lambda item: item.path not in driven)  # whole files, in the order that they had
    no_browser = pytest.mark.skip(reason="no Chromium here: install chromium, or name one in FUSION_CHROMIUM")
    no_gpu = pytest.mark.skip(reason="torch finds no accelerator here")
    has_gpu = torch.accelerator.current_accelerator(check_available=True) is not None
    for item in items:
        if "browser" in item.keywords and chromium() is None and not REQUIRED:
            item.add_marker(no_browser)
        if "gpu" in item.keywords and not has_gpu:
            item.add_marker(no_gpu)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """The same random numbers and the same language, whatever ran before in this process."""
    words.use("en")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  libraries that draw from the old global state
    torch.manual_seed(0)


@pytest.fixture
def fusion_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for one test, for those that fill or break a cache."""
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
