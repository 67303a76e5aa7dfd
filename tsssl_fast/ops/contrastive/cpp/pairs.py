"""`pair_logsumexp` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import codes_of, native_kernel, rows_of
from tsssl_fast.ops.contrastive.rules import Rules


class _Problem:
    """Arguments of one call in the kernel's order, and the tensors that keep its memory alive."""

    def __init__(self, q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules) -> None:
        self.q, self.k = rows_of(q), None if k is None else rows_of(k)
        self.dtype = self.q.dtype
        m, dim = q.shape
        p = m if k is None else len(k)
        self.rows = m + (p if rules.columns else 0)
        self.scales = m if k is None else m + p
        q_id, k_id = codes_of(rules.q_id, rules.k_id)
        q_group, k_group = codes_of(rules.q_group, rules.k_group)
        mask = None if rules.mask is None else rules.mask.contiguous()
        weight = None if rules.weight is None else rules.weight.to(self.dtype).contiguous()
        q_valid = None if rules.q_valid is None else rules.q_valid.contiguous()
        k_valid = None if rules.k_valid is None else rules.k_valid.contiguous()
        self.alive = (q_id, k_id, q_group, k_group, q_valid, k_valid, mask, weight)
        addresses = [0 if t is None else t.data_ptr() for t in self.alive]
        self.arguments = (
            *(self.q.data_ptr(), self.q.stride(0), m),
            *((0, 0, m) if self.k is None else (self.k.data_ptr(), self.k.stride(0), p)),
            *(dim, beta.item(), rules.normalize, rules.columns, rules.skip_diagonal),
            rules.group_rule,
            (*addresses[:7], p, addresses[7], p),
        )

    def key_scale(self, scale: Tensor) -> int:
        return 0 if self.k is None else scale[len(self.q) :].data_ptr()


def pairs_forward(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    problem = _Problem(q, k, beta, rules)
    out = problem.q.new_empty((3, problem.rows))
    sums = problem.q.new_empty((len(spec.SUM_ROWS), problem.rows))
    scale = problem.q.new_empty(problem.scales)
    found = problem.q.new_empty((len(spec.STATISTICS), problem.rows if statistics else 0))
    native_kernel("pairs_forward", problem.dtype)(
        *problem.arguments,
        *(native.threads(), scale.data_ptr(), problem.key_scale(scale)),
        *(sums.data_ptr(), found.data_ptr() if statistics else 0, problem.rows, out.data_ptr()),
    )
    return out, sums, scale, found


def pairs_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    sums: Tensor,
    scale: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    problem = _Problem(q, k, beta, rules)
    grad = grad.to(problem.dtype).contiguous()
    grad_q = problem.q.new_empty(q.shape)
    keys = k is not None and key_gradient
    grad_k = problem.q.new_empty(k.shape if k is not None and keys else 0)
    d_beta = native_kernel("pairs_backward", problem.dtype)(
        *problem.arguments,
        *(native.threads(), scale.data_ptr(), problem.key_scale(scale)),
        *(sums.data_ptr(), problem.rows, grad.data_ptr()),
        *(grad_q.data_ptr(), grad_k.data_ptr() if keys else 0),
    )
    return grad_q.to(q.dtype), grad_k.to(q.dtype), beta.new_full((), d_beta)
