"""The losses as functions: they check their arguments, then call a registered operator.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest that
can run the inputs (see tsssl_fast.explain).
"""

import torch
from torch import Tensor

from tsssl_fast import _checks, dispatch
from tsssl_fast import ops as ops  # registers the operators
from tsssl_fast.alignment import (
    mse_alignment,
    negative_cosine_similarity,
    smooth_l1_alignment,
)
from tsssl_fast.decorrelation import (
    barlow_twins_loss,
    covariance_penalty,
    invariance,
    variance_penalty,
    vicreg_loss,
)

__all__ = [
    "barlow_twins_loss",
    "covariance_penalty",
    "invariance",
    "mse_alignment",
    "negative_cosine_similarity",
    "nt_xent",
    "smooth_l1_alignment",
    "variance_penalty",
    "vicreg_loss",
]


def nt_xent(
    z1: Tensor,
    z2: Tensor,
    temperature: float = 0.1,
    reduction: str = "mean",
    *,
    backend: str | None = None,
) -> Tensor:
    """NT-Xent (SimCLR): every series against its other view and all series of the batch.

    With z = [z1; z2], u = z / ||z|| and p(i) the other view of i, for each of the 2N rows:
    loss_i = -log( exp(<u_i, u_p(i)> / tau) / sum_{k != i} exp(<u_i, u_k> / tau) ).
    Source: equation (1) of the SimCLR-TS report; Chen et al., ICML 2020.

    Args:
        z1, z2: (N, D) embeddings of two views of the same N series; float16, bfloat16, float32 or
            float64, the same device. Row i of both belongs to series i. Not normalised: this is.
        temperature: tau > 0.
        reduction: "mean" over the 2N rows, "sum", or "none" for (2N,): the rows of z1, then of z2.
        backend: see the module.

    Returns:
        The loss; float32 for 16-bit inputs (the arithmetic is float32), else the inputs' dtype.
        N = 1 gives 0 with zero gradient. A row with norm <= 1e-12 has cosine 0 with everything and
        gets zero gradient. Gradients flow to both inputs, in their dtype.

    Raises:
        TypeError: an input is no floating tensor, or dtypes differ.
        ValueError: not (N, D), N = 0, shapes or devices differ, temperature not finite or <= 0,
            unknown reduction or backend.
        BackendUnavailableError: the backend asked for can not run these inputs.
    """
    _checks.matrix("z1", z1)
    _checks.matrix("z2", z2)
    _checks.alike(("z1", "z2"), (z1, z2))
    temperature = _checks.positive("temperature", temperature)
    _checks.choice("reduction", reduction, _checks.REDUCTIONS)
    loss, _ = torch.ops.tsssl_fast.nt_xent(z1, z2, temperature, _backend(backend))
    return _checks.reduce(loss, reduction)


def _backend(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""
