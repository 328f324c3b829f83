"""Maps: many vectors as points on a plane, by PCA at once or by UMAP when it is ready; placing a new point on one.

A map is fitted once for its vectors, method, parameters, seed and library versions, and kept on disk under that
content's digest (`store`). `background` fits UMAP in a process of its own; `quality` says how far to trust a picture.
Distances between clusters, and their sizes, carry no meaning in UMAP.
"""

from __future__ import annotations

from fusion.projections.background import Job, start_umap
from fusion.projections.placing import place
from fusion.projections.plane import UmapSettings
from fusion.projections.store import Projection, cached, project, projection_digest
from fusion.projections.trust import Quality, quality
from fusion.projections.vectors import centre

__all__ = [
    "Job",
    "Projection",
    "Quality",
    "UmapSettings",
    "cached",
    "centre",
    "place",
    "project",
    "projection_digest",
    "quality",
    "start_umap",
]
