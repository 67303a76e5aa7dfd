"""Embeddings of several dtypes: the loss is that of all in the dtype that torch promotes to."""

import re
from pathlib import Path

import loss_calls
import pytest
import torch
from loss_calls import CALLS, modules
from torch import Tensor

from tsssl_fast import functional

BF16, FP16, FP32, FP64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
# Names of calls of two or more embeddings.
SEVERAL = [name for name, call in CALLS.items() if sum(len(s) > 1 for s in call.shapes) > 1]
NO_LOSSES = {
    *("extrapolate_positives", "interpolate_negatives", "mix_hard_negatives", "nearest_keys"),
    *("similarity_aggregate", "segment_mean", "slot_pool", "neighbour_mean", "score_distribution"),
    *("differentiable_sort", "slerp", "slerp_limit", "latent_positives", "projected_gradient"),
    *("virtual_adversarial_direction", "virtual_adversarial_loss"),
    *("maximum_mean_discrepancy", "rank_devices", "quality_weights"),
    *("mix_hardest_pairs", "core_tuning_loss"),  # draws how much is mixed
}


def test_every_loss_is_in_the_table() -> None:
    text = Path(loss_calls.__file__).read_text()
    names = {n for n in functional.__all__ if n.islower()} - NO_LOSSES
    assert len(names) > 15
    assert [n for n in names if not re.search(rf"\b{n}\b", text)] == []


def gradients(loss: Tensor, inputs: list[Tensor], constant: tuple[int, ...]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [x for i, x in enumerate(inputs) if i not in constant]))


@pytest.mark.parametrize(
    "dtypes", [(FP32, BF16), (FP16, FP32), (FP32, FP64), (BF16, FP16)], ids=str
)
@pytest.mark.parametrize("name", SEVERAL)
def test_several_dtypes(name: str, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    call = CALLS[name]
    wide = torch.promote_types(*dtypes)
    given = [
        x.to(dtypes[min(i, 1)]) if x.dim() > 1 else x.float() for i, x in enumerate(call.inputs())
    ]
    leaves = [x.clone().requires_grad_() for x in given]
    same = [(x.to(wide) if x.dim() > 1 else x).requires_grad_() for x in given]
    loss, expected = call.loss(*leaves), call.loss(*same)
    assert loss.dtype == expected.dtype
    torch.testing.assert_close(loss, expected)
    found = gradients(loss, leaves, call.constant)
    for x, y in zip(found, gradients(expected, same, call.constant), strict=True):
        torch.testing.assert_close(x, y.to(x.dtype))
    wanted = [x.dtype for i, x in enumerate(leaves) if i not in call.constant]
    assert [x.dtype for x in found] == wanted


@pytest.mark.parametrize("name", [n for n, (_, call) in modules().items() if len(call.shapes) > 1])
def test_modules(name: str) -> None:
    _, call = modules()[name]
    a, b = call.inputs(FP32)
    torch.testing.assert_close(call.loss(a.bfloat16(), b), call.loss(a.bfloat16().float(), b))


def test_one_dtype_is_not_copied() -> None:
    """Nothing is converted where nothing differs."""
    z1, z2 = torch.randn(2, 4, 3).unbind()
    with torch.profiler.profile() as seen:
        functional.nt_xent_loss(z1, z2)
        functional.vicreg_loss(z1, z2)
    assert "aten::to" not in {event.key for event in seen.key_averages()}
