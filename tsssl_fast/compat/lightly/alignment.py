"""Losses of pairs of rows, and of nearest neighbours, in plain torch."""

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from tsssl_fast.compat._shared import promoted, result, widened

__all__ = ["NegativeCosineSimilarity"]


class NegativeCosineSimilarity(nn.Module):
    """-mean cos(x0, x1) along `dim`, with gradient to both (SimSiam, Chen and He, CVPR 2021, whose
    stop of the gradient is the caller's). Plain torch: it costs no product of pairs.

    forward(x0, x1): tensors alike in shape -> scalar in the inputs' dtype.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        x0, x1 = promoted(x0, x1)
        a, b = widened(x0, x1)
        return result(-cosine_similarity(a, b, self.dim, self.eps).mean(), x0)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"
