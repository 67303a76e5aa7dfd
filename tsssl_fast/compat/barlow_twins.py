"""The loss in Barlow Twins' official training code (facebookresearch/barlowtwins, main.py), where
it stands inside the model's forward, under the name of its argument.

    loss = BarlowTwinsLoss(args.lambd)(z1, z2)

Embeddings are floating. Errors: TypeError for another dtype, ValueError for another shape, and an
AssertionError of `off_diagonal` for a matrix that is not square.

Where the results differ, on purpose; a and b are torch.randn(8, 16) in float64, drawn one after the
other from torch.manual_seed(0):

* The gradient passes through the sum over processes: on two, each with four rows of a and b, that
  of a's first four has the norm 4.83751, there 2.41876.
"""

from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat import _shared
from tsssl_fast.compat.vicreg import off_diagonal

__all__ = ["BarlowTwinsLoss", "off_diagonal"]


class BarlowTwinsLoss(DeclaredModule):
    """Barlow Twins (Zbontar et al., ICML 2021); see
    :func:`tsssl_fast.functional.barlow_twins_loss`. Where torch.distributed runs, it is the loss of
    the rows of all processes, as the script standardises with SyncBatchNorm.

    Args: lambd: >= 0, weight of the off-diagonal sum.

    forward(z1, z2): (N, D), (N, D), N >= 2 -> scalar in the inputs' dtype.
    """

    lambd: float = 0.0051

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        z1, z2 = _shared.pair(("z1", "z2"), z1, z2)
        group = "world" if collectives.world_size() > 1 else None
        loss = functional.barlow_twins_loss(z1, z2, lambd=self.lambd, process_group=group)
        return _shared.result(loss, z1)
