"""The loss in VICReg's official training code (facebookresearch/vicreg, main_vicreg.py), where it
stands inside the model's forward, under the names of its arguments.

    loss = VICRegLoss(args.sim_coeff, args.std_coeff, args.cov_coeff)(x, y)

Embeddings are floating. Errors: TypeError for another dtype, ValueError for another shape, and an
AssertionError of `off_diagonal` for a matrix that is not square.
"""

from torch import Tensor

from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat import _shared
from tsssl_fast.compat.lightly.decorrelation import vicreg_of_rows

__all__ = ["VICRegLoss", "off_diagonal"]

__getattr__ = _shared.refusing(
    __name__, {"FullGatherLayer": "VICRegLoss gathers the rows of all processes, with gradient"}
)


def off_diagonal(x: Tensor) -> Tensor:
    """The entries off the diagonal of a square matrix, row by row: (D, D) -> (D (D - 1),)."""
    _shared.square("x", x)
    return x.flatten()[1:].reshape(len(x) - 1, len(x) + 1)[:, :-1].flatten()


class VICRegLoss(DeclaredModule):
    """VICReg (Bardes et al., ICLR 2022); see :func:`tsssl_fast.functional.vicreg_loss`. Where
    torch.distributed runs, variance and covariance are of the rows of all processes.

    Args: sim_coeff, std_coeff, cov_coeff: >= 0, of invariance, variance and covariance.

    forward(x, y): (N, D), (N, D), N >= 2 -> scalar in the inputs' dtype.
    """

    sim_coeff: float = 25.0
    std_coeff: float = 25.0
    cov_coeff: float = 1.0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = _shared.pair(("x", "y"), x, y)
        weights = (self.sim_coeff, self.std_coeff, self.cov_coeff)
        return _shared.result(vicreg_of_rows(x, y, weights, 1e-4, True), x)
