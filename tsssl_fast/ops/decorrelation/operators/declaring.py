"""How the operators of the family are made, each with its backward.

In Python the views stand side by side, `(*z, settings, flags, precision, backend)`, also where the
schema has them in a list: the derivative then knows each of them, torch.func's included.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import (
    CHOICES,
    fake_choice,
    saved_choice,
    torch_setting,
    widest,
)
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators.terms import finished, on_device
from tsssl_fast.ops.decorrelation.reference import BACKEND as REFERENCE
from tsssl_fast.ops.decorrelation.spec import Outputs

_DEFINITION = finished(REFERENCE, on_device).kernels
_OPTIONS = "float[] settings, int flags"
_RESULT = f"({', '.join(f'Tensor {name}' for name in (*Outputs._fields, 'choice'))})"
Gradients = tuple[Tensor, ...]
Results = tuple[Tensor, ...]  # spec.Outputs, and what the products were allowed
Forward = Callable[..., Results]


def define(name: str, views: str, gradients: str, terms: int, sizes: spec.Sizes) -> Forward:
    """The operators `name`, which gives Results, and `<name>_backward`; returns the former.

    views, gradients: as the schema has them. terms: how many the loss has. sizes: of what is saved.
    """
    name_backward = f"{name}_backward"

    def run(*args: Any) -> Results:
        *z, settings, flags, precision, backend = args
        kernel = dispatch.select(name, z, backend)
        choice = CHOICES[precision] if precision else torch_setting(z[0])
        return *kernel(z, settings, flags, choice), saved_choice(fill_value=choice)

    def fake(*args: Any) -> Results:
        *z, _, flags, _, _ = args
        like = z[0].new_empty((), dtype=spec.compute_dtype(z[0].dtype))
        n, dim = z[0].shape
        moments, matrices = sizes(len(z), n, dim, flags)
        wide = like.new_empty(moments, dtype=widest(like))
        outputs = Outputs(like, like.new_empty(terms), wide, like.new_empty(matrices))
        return *outputs, fake_choice()

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *z, ctx.settings, ctx.flags, _, backend = inputs
        ctx.backend = backend or dispatch.resolve("")  # the backward runs where the forward did
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*z, *output[2:])

    def differentiate(ctx: Any, grad_loss: Any, grad_terms: Any, *_: Any) -> tuple[Any, ...]:
        options = (ctx.settings, ctx.flags, ctx.backend)
        return (
            *first_order(grad_loss, grad_terms, *ctx.saved_tensors, *options),
            None,
            None,
            None,
            None,
        )

    def run_backward(grad_loss: Tensor | None, grad_terms: Tensor | None, *args: Any) -> Gradients:
        *z, moments, matrices, choice, settings, flags, backend = args
        kernel = dispatch.select(name_backward, z, backend)
        rest = (moments, matrices, settings, flags, int(choice))
        return tuple(kernel(grad_loss, grad_terms, z, *rest))

    def fake_backward(*args: Any) -> Gradients:
        return tuple([z.new_empty(z.shape) for z in args[2:-6]])

    definition, define_backward = _definitions(name)
    make = _of_a_list if views.startswith("Tensor[]") else registration.define
    first_order = make(
        f"{name_backward}(Tensor? grad_loss, Tensor? grad_terms, {views}, Tensor moments, "
        f"Tensor second_moments, Tensor choice, {_OPTIONS}, str backend) -> {gradients}",
        run_backward,
        fake_backward,
        definition=define_backward,
    )
    schema = f"{name}({views}, {_OPTIONS}, str precision, str backend) -> {_RESULT}"
    return make(
        schema,
        run,
        fake,
        setup_context=setup_context,
        backward=differentiate,
        definition=definition,
    )


def _definitions(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The operator and its backward in plain torch, differentiable."""

    def definition(*args: Any) -> tuple[Any, ...]:
        *z, settings, flags = args
        return *_DEFINITION[name](z, settings, flags, CHOICES["ieee"]), None

    def backward(grad_loss: Tensor | None, grad_terms: Tensor | None, *args: Any) -> Any:
        *z, _, _, _, settings, flags = args
        upstream = [g for g in (grad_loss, grad_terms) if g is not None]

        def reached(*z: Tensor) -> list[Tensor]:
            found = definition(*z, settings, flags)
            wanted = zip(found[:2], (grad_loss, grad_terms), strict=True)
            return [x for x, g in wanted if g is not None]

        return torch.func.vjp(reached, *z)[1](upstream)

    return definition, backward


def _of_a_list(
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    definition: Callable[..., Any],
) -> Callable[..., Any]:
    """registration.define where the schema has the views in a list, and the functions have not."""
    name, arguments = schema.split("(", 1)
    if setup_context is None or backward is None:
        setup_context, backward = registration.derivative(name, definition)
    keep, differentiate = setup_context, backward
    before, after = (part.count(",") for part in arguments.split(") ->")[0].split("Tensor[] z"))

    def flat(args: tuple[Any, ...]) -> tuple[Any, ...]:
        return *args[:before], *args[before], *args[before + 1 :]

    def listed(args: tuple[Any, ...]) -> tuple[Any, ...]:
        return *args[:before], list(args[before:-after]), *args[-after:]

    registration.define(
        schema,
        lambda *args: run(*flat(args)),
        lambda *args: fake(*flat(args)),
        setup_context=lambda ctx, inputs, output: keep(ctx, flat(inputs), output),
        backward=lambda ctx, *grads: listed(differentiate(ctx, *grads)),
    )
    op = getattr(torch.ops.tsssl_fast, name)
    return registration.direct(
        name,
        lambda *args: op(*listed(args)),
        *(run, run, keep, differentiate),
        definition=definition,
        precise="str precision, str backend" in schema,
    )
