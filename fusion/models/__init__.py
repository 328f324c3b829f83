"""The systems: one file each, one line each in MODELS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.models.feature_fusion import Feature
from fusion.models.hscl import HSCL
from fusion.models.imf import IMF
from fusion.models.kcca import KCCA
from fusion.models.maf import MAF
from fusion.models.mcca import MCCA
from fusion.models.mclea import MCLEA
from fusion.models.meaformer import MEAformer
from fusion.models.mlp_fusion import Early, Hierarchical, Hybrid, Late
from fusion.models.mmvae import MMVAE
from fusion.models.mopoe import MoPoE
from fusion.models.mvae import MVAE
from fusion.models.tate import TATE
from fusion.models.tfr_net import TFRNet

if TYPE_CHECKING:
    from fusion.models.base import FusionModel

MODELS: dict[str, type[FusionModel]] = {
    "maf": MAF, "mclea": MCLEA, "meaformer": MEAformer, "imf": IMF, "hscl": HSCL, "tfr_net": TFRNet, "tate": TATE,
    "early": Early, "late": Late, "hierarchical": Hierarchical, "hybrid": Hybrid, "feature": Feature,
    "mvae": MVAE, "mmvae": MMVAE, "mopoe": MoPoE, "mcca": MCCA, "kcca": KCCA,
}  # fmt: skip
