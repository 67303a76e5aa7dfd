"""The C++ kernels (csrc/kernels/contrastive.cpp) on torch tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.contrastive import keys, spec
from tsssl_fast.ops.contrastive.rules import Rules

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


def _kernel(name: str, dtype: torch.dtype, suffix: str = "") -> Any:
    return getattr(_native.module(), f"{name}_{suffix or _SUFFIX[dtype]}")


def _rows(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    if z.dtype not in _SUFFIX:
        z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(-1) == 1 or z.shape[-1] == 1 else z.contiguous()


def _nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool, suffix: str = ""
) -> tuple[Tensor, Tensor, Tensor]:
    n, dim = z1.shape
    z1, z2 = _rows(z1), _rows(z2)
    loss = z1.new_empty(2 * n if reduction == "none" else ())
    saved = z1.new_empty((len(spec.NT_XENT_ROWS), 2 * n))
    side = spec.kept_rows(2 * n, dim) if keep else 0
    # With a reduction the gradient is formed here, from exponentials in working memory.
    formed = side > 0 and reduction != "none"  # spec.GRADIENT_DIMS
    kept = z1.new_empty((2, n, dim) if formed else side * side)
    _kernel("nt_xent_forward", z1.dtype, suffix)(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, spec.REDUCTIONS.index(reduction), _native.threads()),
        *(loss.data_ptr(), saved.data_ptr(), side, kept.data_ptr()),
    )
    return loss, saved, kept


def _nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    kept: Tensor,
    temperature: float,
    reduction: str,
    suffix: str = "",
) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    dtype = z1.dtype
    if kept.dim() == spec.GRADIENT_DIMS:
        return (kept[0] * grad).to(dtype), (kept[1] * grad).to(dtype)
    z1, z2 = _rows(z1), _rows(z2)
    if grad.dtype != z1.dtype:
        grad = grad.to(z1.dtype)
    grad1, grad2 = z1.new_empty((n, dim)), z2.new_empty((n, dim))
    _kernel("nt_xent_backward", z1.dtype, suffix)(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, spec.REDUCTIONS.index(reduction), _native.threads()),
        *(saved.data_ptr(), kept.data_ptr(), grad.data_ptr()),
        *(grad.stride(0) if reduction == "none" else 0, grad1.data_ptr(), grad2.data_ptr()),
    )
    return (grad1, grad2) if dtype == z1.dtype else (grad1.to(dtype), grad2.to(dtype))


def _nt_xent_bf16_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str
) -> tuple[Tensor, Tensor]:
    return _nt_xent_forward(z1, z2, temperature, reduction, False, "bf16")[:2]


def _nt_xent_bf16_backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float, reduction: str
) -> tuple[Tensor, Tensor]:
    kept = saved.new_empty(0)
    return _nt_xent_backward(grad, z1, z2, saved, kept, temperature, reduction, "bf16")


def _groups(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[object, ...]:
    groups, n, dim = z1.shape
    return (
        *(z1.data_ptr(), z2.data_ptr(), z1.stride(1), z2.stride(1), z1.stride(0), z2.stride(0)),
        *(groups, n, dim, 0 if lengths is None else lengths.data_ptr()),
        *(1 / temperature, normalize),
    )


def _grouped_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    z1, z2 = _rows(z1), _rows(z2)
    size = (z1.shape[0], 2 * z1.shape[1])
    loss = z1.new_zeros(size)
    saved = z1.new_empty((len(spec.NT_XENT_ROWS), *size))
    arguments = _groups(z1, z2, lengths, temperature, normalize)
    kernel = _kernel("grouped_forward", z1.dtype)
    kernel(arguments, _native.threads(), loss.data_ptr(), saved.data_ptr())
    return loss, saved


def _grouped_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    dtype = z1.dtype
    z1, z2 = _rows(z1), _rows(z2)
    grad = grad.to(z1.dtype).contiguous()
    grad1, grad2 = z1.new_empty(z1.shape), z2.new_empty(z2.shape)
    arguments = _groups(z1, z2, lengths, temperature, normalize)
    _kernel("grouped_backward", z1.dtype)(
        *(arguments, _native.threads(), saved.data_ptr(), grad.data_ptr()),
        *(grad1.data_ptr(), grad2.data_ptr()),
    )
    return grad1.to(dtype), grad2.to(dtype)


def _grouped_pulled(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
    pull: float,
    grad1: Tensor,
    grad2: Tensor,
) -> Tensor:
    """Gradients lie as the views do: strides are the same where a size is above 1."""
    loss = z1.new_empty(len(z1))
    _kernel("grouped_pulled", z1.dtype)(
        *(_groups(z1, z2, lengths, temperature, normalize), _native.threads(), pull),
        *(loss.data_ptr(), grad1.data_ptr(), grad2.data_ptr()),
    )
    return loss


class _Problem:
    """Arguments of one call in the kernel's order, and the tensors that keep its memory alive."""

    def __init__(self, q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules) -> None:
        self.q, self.k = _rows(q), None if k is None else _rows(k)
        self.dtype = self.q.dtype
        m, dim = q.shape
        p = m if k is None else len(k)
        self.rows = m + (p if rules.columns else 0)
        self.scales = m if k is None else m + p
        q_id, k_id = _codes(rules.q_id, rules.k_id)
        q_group, k_group = _codes(rules.q_group, rules.k_group)
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


def _codes(a: Tensor | None, b: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Identifiers as int32: themselves where they fit, else their rank."""
    if a is None or b is None:
        return None, None
    both = a if b is a else torch.cat([a, b])
    low, high = torch.aminmax(both)
    if low.item() < -(2**31) or high.item() >= 2**31:
        both = torch.unique(both, return_inverse=True)[1]
    both = both.to(torch.int32).contiguous()
    return both[: len(a)], both[-len(b) :]


def _pairs_forward(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    problem = _Problem(q, k, beta, rules)
    out = problem.q.new_empty((3, problem.rows))
    sums = problem.q.new_empty((len(spec.SUM_ROWS), problem.rows))
    scale = problem.q.new_empty(problem.scales)
    found = problem.q.new_empty((len(spec.STATISTICS), problem.rows if statistics else 0))
    _kernel("pairs_forward", problem.dtype)(
        *problem.arguments,
        *(_native.threads(), scale.data_ptr(), problem.key_scale(scale)),
        *(sums.data_ptr(), found.data_ptr() if statistics else 0, problem.rows, out.data_ptr()),
    )
    return out, sums, scale, found


def _pairs_backward(
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
    d_beta = _kernel("pairs_backward", problem.dtype)(
        *problem.arguments,
        *(_native.threads(), scale.data_ptr(), problem.key_scale(scale)),
        *(sums.data_ptr(), problem.rows, grad.data_ptr()),
        *(grad_q.data_ptr(), grad_k.data_ptr() if keys else 0),
    )
    return grad_q.to(q.dtype), grad_k.to(q.dtype), beta.new_full((), d_beta)


def _key_logsumexp(
    q: Tensor,
    k: Tensor,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    beta: float,
    normalize: bool,
    gradient: bool,
) -> tuple[Tensor, Tensor]:
    if not normalize or 2 * abs(beta) >= spec.FIXED_SHIFT_LIMIT[spec.compute_dtype(q.dtype)]:
        # Rows have maxima of their own, which a walk of its own has to find.
        return _composed_keys(q, k, q_valid, k_valid, beta, normalize, gradient)
    q, k = _rows(q), _rows(k)
    q_valid, k_valid = (None if v is None else v.contiguous() for v in (q_valid, k_valid))
    lse = q.new_empty(len(q))
    jacobian = q.new_empty(q.shape if gradient else (0, q.shape[1]))
    _kernel("key_logsumexp", q.dtype)(
        *(q.data_ptr(), q.stride(0), len(q), k.data_ptr(), k.stride(0), len(k), q.shape[1]),
        *(beta, 0 if q_valid is None else q_valid.data_ptr()),
        *(0 if k_valid is None else k_valid.data_ptr(), _native.threads()),
        *(lse.data_ptr(), jacobian.data_ptr() if gradient else 0),
    )
    return lse, jacobian


_composed_keys = keys.composed(
    {"pair_logsumexp": _pairs_forward, "pair_logsumexp_backward": _pairs_backward}
)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    bf16 = op in spec.BF16_OPERATORS
    if bf16 and not why and (lacking := _native.module().why_not_bf16()):
        why.append(lacking)
    dtypes = spec.BF16_DTYPES if bf16 else spec.DTYPES
    for tensor in tensors:
        if tensor.dtype not in dtypes:
            why.append(f"dtype={tensor.dtype} (supported: {', '.join(map(str, dtypes))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={
        "nt_xent": _nt_xent_forward,
        "nt_xent_backward": _nt_xent_backward,
        "nt_xent_bf16": _nt_xent_bf16_forward,
        "nt_xent_bf16_backward": _nt_xent_bf16_backward,
        "grouped_nt_xent": _grouped_forward,
        "grouped_nt_xent_backward": _grouped_backward,
        "grouped_nt_xent_pulled": _grouped_pulled,
        "pair_logsumexp": _pairs_forward,
        "pair_logsumexp_backward": _pairs_backward,
        "key_logsumexp": _key_logsumexp,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
