"""Maps: many vectors as points in two or three dimensions, by PCA at once, by UMAP or t-SNE when they are ready.

A map is fitted once for its vectors, method, parameters, seed and library versions, and kept on disk under that
content's digest (`store`). `background` fits the slow ones in a process of their own; `place` puts a new vector on a
map; `quality` says how far to trust a picture. Distances between clusters, and their sizes, carry no meaning in UMAP
and t-SNE.
"""

from __future__ import annotations

from fusion.projections.background import Job, start
from fusion.projections.layouts import TsneSettings, UmapSettings
from fusion.projections.placing import place
from fusion.projections.store import Projection, cached, project, projection_digest
from fusion.projections.trust import Quality, quality
from fusion.projections.vectors import centre

__all__ = [
    "Job",
    "Projection",
    "Quality",
    "TsneSettings",
    "UmapSettings",
    "cached",
    "centre",
    "place",
    "project",
    "projection_digest",
    "quality",
    "start",
]
