"""`key_logsumexp`: log-sum-exp over keys without gradient; the queries' gradient comes with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, torch_setting, widest
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, pair_logsumexp

Kernel = Callable[..., tuple[Tensor, Tensor]]


def key_logsumexp(
    q: Tensor,
    k: Tensor,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    beta: float,
    normalize: bool,
    precision: str = "",
    backend: str = "",
) -> Tensor:
    """log sum_j exp(beta <q_i, k_j>), (M,); -inf where no pair is left. Gradient to q alone."""
    gradient = torch.is_grad_enabled() and registration.differentiated(q)
    arguments = (q, k, q_valid, k_valid, beta, normalize, gradient, precision, backend)
    return _operator(*arguments)[0]


def composed(kernels: Any) -> Kernel:
    """The operator from a backend's own `pair_logsumexp`: the rows are independent, so the
    gradient of their sum holds the gradient of each."""

    def kernel(
        q: Tensor,
        k: Tensor,
        q_valid: Tensor | None,
        k_valid: Tensor | None,
        beta: float,
        normalize: bool,
        gradient: bool,
        precision: int,
    ) -> tuple[Tensor, Tensor]:
        q, k = (z.to(spec.compute_dtype(z.dtype)) for z in (q, k))
        rules = PLAIN._replace(q_valid=q_valid, k_valid=k_valid, normalize=normalize)
        scale = torch.full((), beta, dtype=widest(q), device=q.device)
        out, sums, scales, _ = kernels["pair_logsumexp"](q, k, scale, rules, False, precision)
        lse = out[0].clone()
        if not gradient:
            return lse, q.new_empty((0, q.shape[1]))
        ones = torch.zeros_like(out)
        ones[0] = 1
        backward = kernels["pair_logsumexp_backward"]
        return lse, backward(ones, q, k, scale, rules, sums, scales, False, precision)[0]

    return kernel


def _forward(q: Tensor, k: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    q_valid, k_valid, beta, normalize, gradient, precision, backend = rest
    kernel = dispatch.select("key_logsumexp", (q, k), backend)
    choice = CHOICES[precision] if precision else torch_setting(q)
    return kernel(q, k, q_valid, k_valid, float(beta), normalize, gradient, choice)


def _forward_fake(q: Tensor, k: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *_, gradient, _, _ = rest
    dtype = spec.compute_dtype(q.dtype)
    shape = (q.shape[0] if gradient else 0, q.shape[1])
    return q.new_empty(q.shape[0], dtype=dtype), q.new_empty(shape, dtype=dtype)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, q_valid, k_valid, *ctx.options, _, _, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], q, k, q_valid, k_valid)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 9
    return _first_order(grad, *ctx.saved_tensors, *ctx.options, ctx.backend), *(None,) * 8


def _backward(grad: Tensor, jacobian: Tensor, q: Tensor, *_: Any) -> Tensor:
    # A row without pairs has log-sum-exp -inf, whose gradient may be NaN: what it adds is zero.
    return torch.where(jacobian == 0, 0, jacobian * grad[:, None]).to(q.dtype)


def _rows(
    q: Tensor,
    k: Tensor,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    beta: float,
    normalize: bool,
) -> Tensor:
    rules = PLAIN._replace(q_valid=q_valid, k_valid=k_valid, normalize=normalize)
    scale = torch.full((), beta, dtype=spec.compute_dtype(q.dtype), device=q.device)
    return pair_logsumexp(q, k, scale, rules)[0]


def _define(*args: Any) -> tuple[Any, ...]:
    return _rows(*args[:-1]), None


def _define_backward(grad: Tensor, jacobian: Tensor, q: Tensor, *rest: Any) -> Tensor:
    (dq,) = torch.func.vjp(lambda q: _rows(q, *rest), q)[1](grad)
    return dq


_PAIRS = "Tensor q, Tensor k, Tensor? q_valid, Tensor? k_valid, Scalar beta, bool normalize"

_operator = registration.define(
    f"key_logsumexp({_PAIRS}, bool gradient, str precision, str backend) -> (Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    f"key_logsumexp_backward(Tensor grad, Tensor jacobian, {_PAIRS}, str backend) -> Tensor",
    _backward,
    lambda grad, jacobian, q, *_: q.new_empty(q.shape),
    definition=_define_backward,
)
