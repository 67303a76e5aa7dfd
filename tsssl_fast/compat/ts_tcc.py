"""TS-TCC's contrastive loss (emadeldeen24/TS-TCC, models/loss.py).

Where the results differ from its code, on purpose: 16-bit inputs are computed in float32 and
rounded once at the end.
"""

from typing import Any

from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import pair, result

__all__ = ["NTXentLoss"]


class NTXentLoss(DeclaredModule):
    """NT-Xent; see :func:`tsssl_fast.functional.nt_xent_loss`.

    Args:
        device: taken from the inputs. batch_size: N, of every call.
        temperature: > 0. use_cosine_similarity: False: dot products.

    forward(zis, zjs): (N, D), (N, D) -> scalar in the inputs' dtype.
    """

    device: Any
    batch_size: int
    temperature: float
    use_cosine_similarity: bool

    def forward(self, zis: Tensor, zjs: Tensor) -> Tensor:
        zis, zjs = pair(("zis", "zjs"), zis, zjs)
        if len(zis) != self.batch_size:
            raise ValueError(f"zis: {len(zis)} rows; accepted: batch_size = {self.batch_size}")
        loss = functional.nt_xent_loss(
            zis, zjs, temperature=self.temperature, normalize=self.use_cosine_similarity
        )
        return result(loss, zis)
