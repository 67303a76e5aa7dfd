"""The C++ kernels of the sigmoid and the triplet loss (csrc/kernels/epilogues.cpp) on tensors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.ops.contrastive import cpp, spec
from tsssl_fast.ops.contrastive.rules import Rules


class _Sides:
    """Arguments of a call in the kernel's order, and the tensors that keep their memory alive."""

    def __init__(self, q: Tensor, k: Tensor, rules: Rules) -> None:
        self.q, self.k = cpp._rows(q), cpp._rows(k)
        q_id, k_id = cpp._codes(rules.q_id, rules.k_id)
        q_valid, k_valid = (
            None if x is None else x.contiguous() for x in (rules.q_valid, rules.k_valid)
        )
        self.alive = ((q_id, q_valid), (k_id, k_valid))
        self.tuples = [
            (z.data_ptr(), z.stride(0), len(z), *(0 if x is None else x.data_ptr() for x in arrays))
            for z, arrays in zip((self.q, self.k), self.alive, strict=True)
        ]

    def kernel(self, name: str) -> Callable[..., Any]:
        return cpp._kernel(name, self.q.dtype)


def _sigmoid_forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    sides = _Sides(q, k, rules)
    norms = sides.q.new_empty(len(q) + len(k))
    loss = sides.q.new_empty(len(q))
    sides.kernel("sigmoid_forward")(
        *(*sides.tuples, q.shape[1], rules.normalize, scale.item(), bias.item()),
        *(_native.threads(), norms.data_ptr(), norms[len(q) :].data_ptr(), loss.data_ptr()),
    )
    return loss, norms


def _sigmoid_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    rules: Rules,
    norms: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sides = _Sides(q, k, rules)
    grad = grad.to(sides.q.dtype).contiguous()
    grad_q = sides.q.new_empty(q.shape)
    grad_k = sides.q.new_empty(k.shape if key_gradient else 0)
    slopes = sides.kernel("sigmoid_backward")(
        *(*sides.tuples, q.shape[1], rules.normalize, scale.item(), bias.item()),
        *(_native.threads(), norms.data_ptr(), norms[len(q) :].data_ptr(), grad.data_ptr()),
        *(grad_q.data_ptr(), grad_k.data_ptr() if key_gradient else 0),
    )
    d_scale, d_bias = scale.new_full((), slopes[0]), bias.new_full((), slopes[1])
    return grad_q.to(q.dtype), grad_k.to(k.dtype), d_scale, d_bias


def _triplet_forward(
    z: Tensor, margin: float, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sides = _Sides(z, z, rules)
    norms, loss = sides.q.new_empty(len(z)), sides.q.new_empty(len(z))
    rows = sides.q.new_empty((len(spec.TRIPLET_ROWS), len(z)))
    nearest = torch.empty(len(z), dtype=torch.int32)
    sides.kernel("triplet_forward")(
        *(sides.tuples[0], z.shape[1], rules.normalize, margin, _native.threads()),
        *(norms.data_ptr(), rows.data_ptr(), nearest.data_ptr(), loss.data_ptr()),
    )
    return loss, rows, nearest, norms


def _triplet_backward(
    grad: Tensor,
    z: Tensor,
    margin: float,
    rules: Rules,
    rows: Tensor,
    nearest: Tensor,
    norms: Tensor,
) -> Tensor:
    sides = _Sides(z, z, rules)
    grad = grad.to(sides.q.dtype).contiguous()
    out = sides.q.new_empty(z.shape)
    sides.kernel("triplet_backward")(
        *(sides.tuples[0], z.shape[1], rules.normalize, margin, _native.threads()),
        *(norms.data_ptr(), rows.data_ptr(), nearest.data_ptr(), grad.data_ptr(), out.data_ptr()),
    )
    return out.to(z.dtype)


KERNELS: dict[str, Callable[..., Any]] = {
    "sigmoid_pairs": _sigmoid_forward,
    "sigmoid_pairs_backward": _sigmoid_backward,
    "triplet": _triplet_forward,
    "triplet_backward": _triplet_backward,
}
