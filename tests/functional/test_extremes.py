"""Numbers at the ends of their range, the same from every backend; temperatures that are none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tsssl_fast import functional

BACKENDS = ["reference", "cpp", "numba"]


def same_row(q: Tensor, k: Tensor, **options: object) -> Tensor:
    """The engine with an option that no kernel has."""
    ids = torch.arange(len(q))
    return functional.contrastive_loss(q, k, q_ids=ids, k_ids=ids, hardness=0.5, **options)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "nt_xent": functional.nt_xent_loss,
    "info_nce": functional.info_nce_loss,
    "siglip": functional.siglip_loss,
    "hardness": same_row,
    "barlow_twins": lambda q, k, **options: functional.barlow_twins_loss(
        q, k, eps=1e-30, **options
    ),
}


@pytest.mark.parametrize("scale", [2.0**60, 2.0**63, 2.0**80, 2.0**-30])
@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, b) for name in LOSSES for b in BACKENDS if name != "hardness" or b == "reference"],
)
def test_scale_does_not_matter(name: str, backend: str, scale: float) -> None:
    """Where cosines are compared: squares of 2^64 overflow."""
    g = torch.Generator().manual_seed(0)
    q, k = (torch.randn(16, 8, generator=g) for _ in range(2))
    found = []
    for factor in (1.0, scale):
        leaf = (q * factor).requires_grad_()
        loss = LOSSES[name](leaf, k * factor, backend=backend)
        found.append((loss.detach(), torch.autograd.grad(loss, leaf)[0] * factor))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


TEMPERED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": lambda z, t: functional.nt_xent_loss(z, z.flip(1), temperature=t),
    "info_nce": lambda z, t: functional.info_nce_loss(z, z.flip(1), temperature=t),
    "clip": lambda z, t: functional.clip_loss(z, z.flip(1), temperature=t),
    "dcl": lambda z, t: functional.dcl_loss(z, z.flip(1), temperature=t),
    "sup_con": lambda z, t: functional.sup_con_loss(z, torch.arange(8) % 2, temperature=t),
    "groups": lambda z, t: functional.grouped_nt_xent_loss(
        z.view(2, 4, 4), z.flip(1).view(2, 4, 4), temperature=t
    ),
    "hierarchical": lambda z, t: functional.hierarchical_contrastive_loss(
        z.view(2, 4, 4), z.flip(1).view(2, 4, 4), temperature=t
    ),
    "rows": lambda z, t: functional.info_nce_loss(z, z.flip(1), temperature=t.expand(8)),
    "relation": lambda z, t: functional.info_nce_loss(
        z, z.flip(1), temperature=functional.PairTemperature(0.1, t)
    ),
}


@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", TEMPERED)
def test_a_tensor_that_is_no_temperature(name: str, value: float) -> None:
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"^temperature.*: .*; accepted: finite numbers > 0"):
        TEMPERED[name](z, torch.tensor(value))


@pytest.mark.parametrize("name", TEMPERED)
def test_a_learned_temperature(name: str) -> None:
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    temperature = torch.tensor(0.2, requires_grad=True)
    TEMPERED[name](z, temperature).sum().backward()
    assert temperature.grad is not None
    assert temperature.grad.isfinite()
