"""`nt_xent` by the Numba kernels: one group."""

from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.numba.grouped import Groups, grouped_backward
from tsssl_fast.ops.contrastive.numba.kernels import problem as numba_problem


def nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With a reduction the gradient is computed here, from logits in working memory, where they are
    few (spec.kept_rows): half a unit of products less, and a backward of one multiplication."""
    rows, dim = 2 * z1.shape[0], z1.shape[1]
    fused = keep and reduction != "none" and spec.kept_rows(rows, dim) > 0
    problem = Groups(z1[None], z2[None], None, True)
    z = problem.z1
    loss, saved = z.new_empty(rows), z.new_empty((len(spec.NT_XENT_ROWS), rows))
    made = numba_problem.settings(1 / temperature, True, False, z.dtype)
    memory = problem.schedule.memory(z, fused)
    problem.sums(made, memory, saved, loss)
    gradients = z.new_empty((2, *z1.shape) if fused else 0)
    if fused:
        grad = z.new_full((rows,), 1 / rows if reduction == "mean" else 1.0)
        problem.gradients(made, memory, saved, grad, gradients.unbind())
    return checks.reduce(loss, reduction), saved, z.new_empty(0), gradients


def nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    exponentials: Tensor,
    temperature: float,
    reduction: str,
) -> tuple[Tensor, Tensor]:
    rows = saved.shape[1]
    grad = grad.to(saved.dtype) / (rows if reduction == "mean" else 1)
    grad = grad.expand(rows)[None]
    out = grouped_backward(grad, z1[None], z2[None], saved[:, None], None, temperature, True)
    return out[0][0], out[1][0]
