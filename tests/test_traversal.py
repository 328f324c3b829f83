"""A walk along one latent dimension moves that dimension alone, and at the sample's own place nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fusion.models import mmvae, mopoe, mvae
from fusion.models.vae import VAE
from fusion.signals import CrossGeneration, Posterior
from fusion.streams.traversal import STEPS, Reach, along, order
from fusion.types import FusionError
from tests import vae_toys
from tests.toys import TOYS

CLASSES: dict[str, type[VAE]] = {"mvae": mvae.MVAE, "mmvae": mmvae.MMVAE, "mopoe": mopoe.MoPoE}
DEAF = 4  # the dimension that no decoder reads


def looked(key: str) -> tuple[VAE, Posterior, CrossGeneration]:
    """A model whose decoders read all dimensions but one, and one sample under it."""
    torch.manual_seed(5)
    model = CLASSES[key](TOYS[key].config()).eval()
    for decoder in model.decoders.values():
        first = next(one for one in decoder.modules() if isinstance(one, nn.Linear))
        with torch.no_grad():
            first.weight[:, DEAF] = 0
    with torch.inference_mode():
        trace = model(vae_toys.batch(model.config, 3)).trace.at(0)
    posterior, made = trace.first(Posterior), trace.first(CrossGeneration)
    assert posterior is not None
    assert made is not None
    return model, posterior, made


@pytest.mark.parametrize("reach", ["prior", "posterior"])
@pytest.mark.parametrize("key", list(CLASSES))
def test_at_its_own_place_it_is_the_reconstruction_to_the_bit(key: str, reach: Reach) -> None:
    model, posterior, made = looked(key)
    for dimension in range(model.config.latent):
        found = along(model, posterior, dimension, reach)
        assert torch.equal(found.made.value[0, found.here], made.value[0, -1])
        assert found.places[found.here] == posterior.joint[0, dimension]
        assert (np.diff(found.places) >= 0).all()
        assert all(one[found.here] == 0 for one in found.moved.values())


@pytest.mark.parametrize("key", list(CLASSES))
def test_a_dimension_that_no_decoder_reads_changes_nothing_and_another_does(key: str) -> None:
    model, posterior, _ = looked(key)
    deaf = along(model, posterior, DEAF)
    assert all(not one.any() for one in deaf.moved.values())
    assert torch.equal(deaf.made.value[0, 0], deaf.made.value[0, -1])
    read = along(model, posterior, DEAF + 1)
    assert all(one[0] > 0 for one in read.moved.values())
    assert all(one[-1] > 0 for one in read.moved.values())


def test_all_other_dimensions_stay_where_the_posterior_put_them() -> None:
    model, posterior, _ = looked("mopoe")
    found = along(model, posterior, 2, "posterior")
    z = posterior.joint.clone()
    z[0, 2] += 3 * posterior.joint_scale[0, 2]
    wanted = model.shown(model.decode(z))
    flat = torch.cat([wanted[m].flatten(1) for m in model.config.modalities], 1)
    torch.testing.assert_close(found.made.value[0, -1], flat[0])
    assert found.here == STEPS.index(0)


def test_places_lie_as_far_as_the_prior_or_the_posterior_reaches() -> None:
    model, posterior, _ = looked("mmvae")
    wide, narrow = (along(model, posterior, 1, reach) for reach in ("prior", "posterior"))
    assert len(wide.places) == len(STEPS) + 1
    assert wide.places[-1] == pytest.approx(3 * float(posterior.prior_scale[0, 1]))
    middle, spread = float(posterior.joint[0, 1]), float(posterior.joint_scale[0, 1])
    assert narrow.places == pytest.approx(np.array([middle + k * spread for k in STEPS]), rel=1e-5)


def test_dimensions_come_in_the_order_of_what_they_say() -> None:
    _, posterior, _ = looked("mvae")
    kl = posterior.kl[0, order(posterior)]
    assert (kl.diff() <= 0).all()


def test_a_dimension_that_is_not_there_is_refused() -> None:
    model, posterior, _ = looked("mvae")
    with pytest.raises(FusionError, match="no latent dimension 11; this model has 10"):
        along(model, posterior, 10)
