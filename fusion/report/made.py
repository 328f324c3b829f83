"""What every page of a report tells of itself: of which weights and data it is, by what settings and versions."""

from __future__ import annotations

import base64
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import fusion
from fusion.files import atomic_file
from fusion.words import catalogue, current, t

if TYPE_CHECKING:
    from pathlib import Path

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.models.base import FusionModel
    from fusion.types import Image
    from fusion.views.page import Page

PACKAGES = ("torch", "numpy", "plotly", "transformers", "safetensors")
SIDE = 480  # pixels of the longer side of a photograph in a page
LONGEST = 400  # characters of a setting
BYTES = 3_000_000  # of a page whose pictures stand still
FEWER = (100, 20, 5)  # rows of each table, tried one after another where a page is larger


def facts(
    checkpoint: Checkpoint, model: FusionModel | type[FusionModel], dataset: DataSet | None = None
) -> dict[str, str]:
    """What a report is of: checkpoint, weights, system, and the data with its hash."""
    told = {
        t("report.checkpoint"): checkpoint.name,
        t("report.weights"): checkpoint.digest,
        t("report.model"): model.card.name,
    }
    if dataset is not None:
        told |= {t("report.data"): named(dataset), t("report.data_hash"): dataset.digest}
    return told


def named(dataset: DataSet) -> str:
    """What a data set is called: a bundled one in the language in use."""
    from fusion.data import DATASETS

    key = dataset.spec or dataset.key
    return t(f"data.{key}") if key in DATASETS and f"data.{key}" in catalogue("en") else dataset.name


def today() -> dict[str, str]:
    """Version and time."""
    return {t("report.version"): fusion.__version__, t("report.date"): time.strftime("%Y-%m-%d %H:%M")}


def made(checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
    """Settings of the model, how it was trained, and the versions that made the page."""
    from fusion import device

    settings = {name: _said(value) for name, value in checkpoint.config.items()}
    trained = {
        t("report.trained.data"): checkpoint.data,
        t("report.trained.when"): checkpoint.created,
        **{t("report.trained.encoder", name=m): name for m, name in checkpoint.encoders.items()},
        **{t("report.trained.origin", name=name): _said(value) for name, value in checkpoint.origin.items()},
        **{t("report.trained.version", name=name): value for name, value in checkpoint.versions.items()},
    }
    versions = {"fusionscope": fusion.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # an optional one
            versions[name] = "–"
    told = device.describe()
    versions[t("report.device")] = told.get("name", told["device"])
    return {t("report.settings"): settings, t("report.trained"): trained, t("report.versions"): versions}


def _said(value: Any) -> str:  # Any: what JSON holds
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = text or "–"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def photograph(image: Image | None, alt: str) -> tuple[tuple[str, str], ...]:
    """A picture as a page holds it; nothing where there is none."""
    from fusion.encoders.pictures import open_picture, thumbnail

    if image is None:
        return ()
    data = thumbnail(open_picture(image), SIDE)
    kind = "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpeg"
    return ((f"data:image/{kind};base64,{base64.b64encode(data).decode()}", alt),)


def write_page(path: Path, page: Page, *, interactive: bool = False) -> tuple[int, str]:
    """One HTML file, whole. -> (its bytes, one sentence on why its pictures are not still ones, "" when they are)

    Without a Chrome, or when asked, Plotly draws the pictures and is inside the file.
    """
    from fusion.views.page import html_page
    from fusion.views.still import stills

    found = None if interactive else stills(page.pictures)
    data = html_page(page, current(), found).encode("utf-8")
    for rows in FEWER if found is not None else ():
        if len(data) > BYTES:
            data = html_page(page, current(), found, rows).encode("utf-8")
    with atomic_file(path) as aside:
        aside.write_bytes(data)
        aside.chmod(0o644)
    return len(data), "" if interactive or found is not None else t("report.still.absent")
