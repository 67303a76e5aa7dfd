"""`triplet` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.problem import Problem
from tsssl_fast.ops.contrastive.rules import Rules


def triplet_forward(
    z: Tensor, margin: float, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    problem = Problem(z, None, 1.0, rules)
    norms, loss = problem.q.new_empty(len(z)), problem.q.new_empty(len(z))
    rows = problem.q.new_empty((len(spec.TRIPLET_ROWS), len(z)))
    nearest = torch.empty(len(z), dtype=torch.int32)
    arguments = (problem.native, margin, native.threads(), norms, rows, nearest, loss)
    problem.kernel("triplet_forward")(*arguments)
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
    problem = Problem(z, None, 1.0, rules)
    grad = grad.to(problem.q.dtype).contiguous()
    out = problem.q.new_empty(z.shape)
    arguments = (problem.native, margin, native.threads(), norms, rows, nearest, grad, out)
    problem.kernel("triplet_backward")(*arguments)
    return out.to(z.dtype)
