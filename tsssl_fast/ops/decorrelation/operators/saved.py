"""What the operators of the family share: their schema's parts, fake outputs, saved tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import Outputs


def fake_outputs(z: Tensor, terms: int, moments: int, shape: Sequence[int]) -> Outputs:
    dtype = spec.compute_dtype(z.dtype)
    return Outputs(
        z.new_empty((), dtype=dtype),
        z.new_empty(terms, dtype=dtype),
        z.new_empty(moments, dtype=torch.float64),
        z.new_empty(shape, dtype=dtype),
    )


def save(ctx: Any, z: Sequence[Tensor], settings: Any, flags: int, backend: str, out: Any) -> None:
    ctx.settings, ctx.flags = settings, flags
    ctx.backend = dispatch.resolve(backend)  # the backward runs where the forward was asked to
    moments, second_moments = out[2:]
    ctx.mark_non_differentiable(moments, second_moments)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*z, moments, second_moments)


def watched(*grads: Tensor | None) -> bool:
    """Whether the backward has to be an operator: second derivatives, or a trace."""
    return torch.is_grad_enabled() or registration.traced([g for g in grads if g is not None])


def pair_setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    z1, z2, settings, flags, backend = inputs
    save(ctx, (z1, z2), settings, flags, backend, output)


OPTIONS = "float[] settings, int flags, str backend"
GRADS = "Tensor? grad_loss, Tensor? grad_terms"
SAVED = "Tensor moments, Tensor second_moments"
RESULT = f"({', '.join(f'Tensor {name}' for name in Outputs._fields)})"
