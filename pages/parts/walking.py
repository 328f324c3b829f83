"""Inspect for a system that makes samples: one latent dimension of a sample moves, and all that is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import chrome, stream_cache

if TYPE_CHECKING:
    from fusion.streams.traversal import Reach
    from fusion.views import Picture
    from pages.parts.stream_tabs import Looked

REACHES = ("prior", "posterior")


@chrome.fragment
def show(on: Looked) -> None:
    """The choice of a dimension, the one that says most first, and how far it goes; what is made along it."""
    from fusion.signals import Posterior
    from fusion.streams import traversal
    from fusion.views import generation
    from fusion.views.speech import num

    posterior = on.seen.trace.first(Posterior)
    reader = stream_cache.reader(on.checkpoint, on.dataset)
    if posterior is None or not traversal.walkable(reader):
        return
    kl = posterior.kl[0].tolist()
    names = {z: t("streams.walk.one", name=f"z{z + 1}", value=num(kl[z])) for z in traversal.order(posterior)}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="walk_controls"):
        if st.session_state.get("walk_dimension") not in names:
            st.session_state.pop("walk_dimension", None)
        dimension = int(st.selectbox(
            t("streams.walk.dimension"), list(names), key="walk_dimension", format_func=names.__getitem__, width=260,
            help=t("streams.walk.dimension.help"),
        ))  # fmt: skip
        wanted = st.segmented_control(
            t("streams.walk.reach"), REACHES, key="walk_reach", required=True, help=t("streams.walk.reach.help"),
            format_func=lambda one: t(f"streams.walk.{one}"),
            default=None if "walk_reach" in st.session_state else REACHES[0],
        )  # fmt: skip

    reach: Reach = "posterior" if wanted == "posterior" else "prior"

    def make() -> Picture:
        return generation.walk(traversal.walk(reader, posterior, dimension, reach))

    on.show(make, f"walk_{dimension}_{reach}")
