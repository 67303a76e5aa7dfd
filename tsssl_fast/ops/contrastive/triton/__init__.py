"""The Triton kernels as a backend: GPUs, and Triton's interpreter on the CPU."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.triton.availability import TritonBackend, dtype_reasons, with_precision
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.triton.tuning import FUSED_COLUMNS, fused, pitch


def _limits(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = dtype_reasons(tensors, spec.TRITON_DTYPES)
    most = max((len(t) for t in tensors if t.dim() > 0), default=0)
    if most > spec.TRITON_ROWS:
        why.append(f"{most} rows (supported: {spec.TRITON_ROWS})")
    z = tensors[0] if tensors else None
    if op.startswith("grouped") and z is not None and not fused(z.dtype, pitch(z.shape[-1])):
        limit = ", ".join(f"{n} of {kind}" for kind, n in FUSED_COLUMNS.items())
        why.append(f"groups of {z.shape[-1]} columns (supported: {limit})")
    return why


BACKEND = with_precision(
    TritonBackend(
        __name__,
        {
            "nt_xent": ("nt_xent", "nt_xent_backward"),
            "grouped": ("grouped_nt_xent", "grouped_nt_xent_backward"),
            "pairs": ("pair_logsumexp", "pair_logsumexp_backward"),
        },
        _limits,
    )
)
