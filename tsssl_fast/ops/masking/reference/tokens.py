"""`gather_tokens` and `restore_tokens`: the definition."""

from torch import Tensor

from tsssl_fast.ops.masking import spec


def _index(keep: Tensor, width: int) -> Tensor:
    return keep[..., None].expand(*keep.shape, width)


def gather_tokens(x: Tensor, keep: Tensor) -> Tensor:
    """Rows `keep` (N, K) of x (N, L, D): (N, K, D)."""
    return x.gather(1, _index(keep, x.shape[2]))


def restore_tokens(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    """(N, L, D): row keep[n, k] is visible[n, k], every other row the token (D,), or zero."""
    n, _, d = visible.shape
    token = visible.new_zeros(d) if token is None else token
    return token.expand(n, length, d).scatter(1, _index(keep, d), visible)


def restore_tokens_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `restore_tokens` in the visible rows and in the token."""
    wide = grad.to(spec.compute_dtype(grad.dtype))
    others = wide.scatter(1, _index(keep, grad.shape[2]), 0.0)
    return gather_tokens(grad, keep), others.sum((0, 1)).to(grad.dtype)
