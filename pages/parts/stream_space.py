"""The shared space of a system that answers nothing by itself: what views share, whether they find each other, and
what is made of what. From the figures that the checkpoint keeps and from what it learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import stream_cache

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from pages.parts.stream_fusion import Fusing


def kept(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The figures of the space, {} where there are none."""
    found = checkpoint.metrics.get("space")
    return found if isinstance(found, dict) else {}


def show(page: Fusing) -> None:
    """Correlations, retrieval between views, coherence, and the dimensions in use: whatever of them there is."""
    from fusion.signals import Canonical
    from fusion.types import Sample
    from fusion.views import VIEWS, posterior, spaces
    from fusion.views.speech import num, percent

    found = kept(page.checkpoint)
    learned = stream_cache.reader(page.checkpoint, page.dataset).model.learned()
    for signal in learned.of(Canonical):
        for view in VIEWS[Canonical]:
            make = lambda signal=signal, view=view: view(signal, Sample("", {}), learned)  # noqa: E731
            page.show(make, view.__name__, signal.name)
    pairs = found.get("pairs")
    if pairs:
        page.show(lambda: spaces.finding(pairs), "finding")
    made = found.get("generative") or {}
    if "cross" in made:
        classes = max(len(page.checkpoint.metrics.get("classes", ())), 1)
        page.show(lambda: spaces.coherence(made["cross"], 1 / classes), "coherence")
        st.markdown(t("fusing.space.joint", value=percent(made["joint"]), cross=percent(made["cross_mean"])))
    if "kl" in made and "variance" in made:
        kl, variance = (np.asarray(made[name], np.float32) for name in ("kl", "variance"))
        page.show(lambda: posterior.dimensions(kl, variance), "dimensions")
    if "nats" in made:
        st.caption(t("fusing.space.nats", value=num(round(made["nats"], 1)), draws=made["draws"]))
