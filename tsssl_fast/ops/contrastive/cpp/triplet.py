"""`triplet` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.sides import Sides
from tsssl_fast.ops.contrastive.rules import Rules


def triplet_forward(
    z: Tensor, margin: float, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sides = Sides(z, z, rules)
    norms, loss = sides.q.new_empty(len(z)), sides.q.new_empty(len(z))
    rows = sides.q.new_empty((len(spec.TRIPLET_ROWS), len(z)))
    nearest = torch.empty(len(z), dtype=torch.int32)
    sides.kernel("triplet_forward")(
        *(sides.tuples[0], z.shape[1], rules.normalize, margin, native.threads()),
        *(norms.data_ptr(), rows.data_ptr(), nearest.data_ptr(), loss.data_ptr()),
    )
    return loss, rows, nearest, norms


def triplet_backward(
    grad: Tensor,
    z: Tensor,
    margin: float,
    rules: Rules,
    rows: Tensor,
    nearest: Tensor,
    norms: Tensor,
) -> Tensor:
    sides = Sides(z, z, rules)
    grad = grad.to(sides.q.dtype).contiguous()
    out = sides.q.new_empty(z.shape)
    sides.kernel("triplet_backward")(
        *(sides.tuples[0], z.shape[1], rules.normalize, margin, native.threads()),
        *(norms.data_ptr(), rows.data_ptr(), nearest.data_ptr(), grad.data_ptr(), out.data_ptr()),
    )
    return out.to(z.dtype)
