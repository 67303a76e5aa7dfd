"""lightly's losses: `from tsssl_fast.compat.lightly.loss import NTXentLoss`, or from here.

Where the results differ from lightly's, on purpose; a and b are torch.randn(8, 16) in float64,
drawn one after the other from torch.manual_seed(0):

* NT-Xent near convergence keeps its digits: of torch.eye(8) and it + 1e-3 b[:, :8], in float32 at
  temperature 0.05, the loss is 2.87239e-08, there 0.
* 16-bit inputs are computed in float32 and rounded once at the end: NTXentLoss(0.05) of a and b in
  bfloat16 is 8.875, there 8.9375; in float64 it is 8.89133.
* One row and a decoupled loss (DCL), which has no negative: 0, there -inf.
* DCLLoss of releases before 1.5.21 adds the logarithms of two sums of negatives, one a view, where
  eq. 6 and newer releases have the logarithm of their sum: DCLLoss()(a, b) is 4.94019, there
  7.71985.

More than lightly takes: `gather_distributed` has batches of different sizes, and SupConLoss labels
together with it. A name or module that is not here is a NotImplementedError or ImportError.

Errors are ValueError for a shape or value that is not accepted and TypeError for another dtype than
a floating one, naming the argument; AssertionError where the library asserts.
"""

from tsssl_fast.compat._shared import refusing
from tsssl_fast.compat.lightly import loss
from tsssl_fast.compat.lightly.loss import *

__all__ = ["loss"]
__all__ += loss.__all__

__getattr__ = refusing(__name__, loss.NOT_HERE)
