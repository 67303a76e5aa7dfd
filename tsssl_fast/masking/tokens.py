"""Taking out the visible tokens and putting them back."""

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.common.renaming import renamed
from tsssl_fast.masking.fills import check_token
from tsssl_fast.ops.masking.operators.tokens import gather_tokens, restore_tokens


@renamed(mask="hidden")
def keep_indices(hidden: Tensor) -> Tensor:
    """Where the visible tokens are: (N, L) bool to (N, K) int64, ascending.

    Raises ValueError where rows hide different numbers of tokens, or all of them.
    """
    if not isinstance(hidden, Tensor) or hidden.dtype != torch.bool or hidden.dim() != 2:
        shape = tuple(getattr(hidden, "shape", ()))
        given = f"{getattr(hidden, 'dtype', type(hidden).__name__)} {shape}"
        raise ValueError(f"hidden: {given}; accepted: (N, L) bool, True where hidden")
    visible = ~hidden
    counts = visible.sum(1)
    least, most = int(counts.min()), int(counts.max())
    if least != most or least == 0:
        raise ValueError(
            f"hidden: rows with {least} to {most} visible tokens; accepted: the same number >= 1 "
            "in every row"
        )
    return visible.nonzero()[:, 1].view(len(hidden), most)


def _check_tokens(name: str, x: Tensor, keep: Tensor) -> None:
    checks.floating(name, x)
    if x.dim() != 3 or 0 in x.shape:
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: (N, L, D), all sizes >= 1")
    if not isinstance(keep, Tensor) or keep.dtype != torch.int64:
        given = getattr(keep, "dtype", type(keep).__name__)
        raise TypeError(f"keep: {given}; accepted: an int64 tensor")
    if keep.dim() != 2 or len(keep) != len(x):
        raise ValueError(f"keep: shape {tuple(keep.shape)}; accepted: (N, K) with N = {len(x)}")
    if keep.device != x.device:
        raise ValueError(f"keep: device {keep.device}; accepted: {x.device} as {name}")


def gather(tokens: Tensor, keep: Tensor, *, backend: str | None = None) -> Tensor:
    """The tokens at `keep`: (N, L, D) and (N, K) to (N, K, D); differentiable.

    Args:
        keep: int64, ascending in every row, as of `keep_indices`.

    Raises TypeError, ValueError naming the argument, BackendUnavailableError.
    """
    _check_tokens("tokens", tokens, keep)
    name = dispatch.backend_name(backend)
    taken: Tensor = gather_tokens(tokens, keep, name)
    return taken


def restore(
    visible: Tensor,
    keep: Tensor,
    length: int,
    token: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """The inverse: (N, length, D) with row keep[n, k] = visible[n, k] and `token` in between.

    Args:
        visible: (N, K, D).
        keep: (N, K), ascending in every row.
        length: L.
        token: (D,), or None for zeros; gets its gradient.

    Raises:
        TypeError, ValueError: naming the argument: another dtype, shape or device.
    """
    _check_tokens("visible", visible, keep)
    if keep.shape[1] != visible.shape[1]:
        raise ValueError(
            f"keep: shape {tuple(keep.shape)}; accepted: (N, K) = {tuple(visible.shape[:2])}"
        )
    if token is not None:
        check_token(token, visible, visible.shape[2], "D", "token")
    name = dispatch.backend_name(backend)
    restored: Tensor = restore_tokens(visible, keep, length, token, name)
    return restored
