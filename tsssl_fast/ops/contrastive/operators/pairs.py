"""`pair_logsumexp`: log-sum-exp over classes of pairs, differentiable in both sides and in beta."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, fake_choice, saved_choice, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import pairs as reference
from tsssl_fast.ops.contrastive.rules import Rules

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

_RULES = (
    "Tensor? q_id, Tensor? k_id, Tensor? q_group, Tensor? k_group, Tensor? q_valid, "
    "Tensor? k_valid, Tensor? mask, Tensor? weight, bool normalize, bool symmetric, "
    "bool skip_diagonal, int group_rule"
)


def pair_logsumexp(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, precision: str = "", backend: str = ""
) -> Tensor:
    """The (3, rows) statistics of reference.pair_logsumexp; gradients to q, k and beta."""
    return _operator(q, k, beta, *rules, False, precision, backend)[0]


def pair_statistics(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, precision: str = "", backend: str = ""
) -> tuple[Tensor, Tensor]:
    """The same, and from the same pass the rows of spec.STATISTICS, without gradient."""
    out, _, _, statistics, _ = _operator(q, k, beta, *rules, True, precision, backend)
    return out, statistics


def _tensors(q: Tensor, k: Tensor | None) -> tuple[Tensor, ...]:
    return (q,) if k is None else (q, k)


def _forward(q: Tensor, k: Tensor | None, beta: Tensor, *rest: Any) -> Outputs:
    *rules, statistics, precision, backend = rest
    kernel = dispatch.select("pair_logsumexp", _tensors(q, k), backend)
    choice = CHOICES[precision] if precision else torch_setting(q)
    return *kernel(q, k, beta, Rules(*rules), statistics, choice), saved_choice(fill_value=choice)


def _sizes(q: Tensor, k: Tensor | None, rules: Rules) -> tuple[int, int]:
    scales = q.shape[0] if k is None else q.shape[0] + k.shape[0]
    return (scales if rules.symmetric else q.shape[0]), scales


def _forward_fake(q: Tensor, k: Tensor | None, beta: Tensor, *rest: Any) -> Outputs:
    *rules, statistics, _, _ = rest
    rows, scales = _sizes(q, k, Rules(*rules))
    dtype = spec.compute_dtype(q.dtype)
    return (
        q.new_empty((3, rows), dtype=dtype),
        q.new_empty((len(spec.SUM_ROWS), rows), dtype=dtype),
        q.new_empty(scales, dtype=dtype),
        q.new_empty((len(spec.STATISTICS), rows if statistics else 0), dtype=dtype),
        fake_choice(),
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    sums: Tensor,
    scale: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *rules, backend = rest
    kernel = dispatch.select("pair_logsumexp_backward", _tensors(q, k), backend)
    return kernel(grad, q, k, beta, Rules(*rules), sums, scale, key_gradient, int(choice))


def _backward_fake(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    sums: Tensor,
    scale: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    keys = k.shape if k is not None and key_gradient else (0,)
    return q.new_empty(q.shape), q.new_empty(keys), beta.new_empty(())


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, beta, *rules, _, _, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.tail = tuple(rules[8:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(q, k, beta, output[1], output[2], output[4], *rules[:8])


def _differentiate(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    q, k, beta, sums, scale, choice, *arrays = ctx.saved_tensors
    dq, dk, d_beta = _first_order(
        *(grad, q, k, beta, sums, scale, choice, ctx.needs_input_grad[1]),
        *(*arrays, *ctx.tail, ctx.backend),
    )
    keys = dk if ctx.needs_input_grad[1] else None
    return dq, keys, d_beta, *[None] * 15


def _define(q: Tensor, k: Tensor | None, beta: Tensor, *rest: Any) -> tuple[Any, ...]:
    *rules, statistics = rest
    return *reference.forward(q, k, beta, Rules(*rules), statistics), None


def _define_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    sums: Tensor,
    scale: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *rules: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    def rows(q: Tensor, beta: Tensor, *keys: Tensor) -> Tensor:
        return reference.pair_logsumexp(q, keys[0] if keys else k, beta, Rules(*rules))

    keys = (k,) if k is not None and key_gradient else ()
    dq, d_beta, *dk = torch.func.vjp(rows, q, beta, *keys)[1](grad)
    return dq, dk[0] if keys else q.new_empty(0), d_beta


_operator = registration.define(
    f"pair_logsumexp(Tensor q, Tensor? k, Tensor beta, {_RULES}, bool statistics, str precision, "
    "str backend) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    "pair_logsumexp_backward(Tensor grad, Tensor q, Tensor? k, Tensor beta, Tensor sums, "
    f"Tensor scale, Tensor choice, bool key_gradient, {_RULES}, str backend) "
    "-> (Tensor, Tensor, Tensor)",
    _backward,
    _backward_fake,
    definition=_define_backward,
)
