"""lightly's losses: `from tsssl_fast.compat.lightly.loss import NTXentLoss`, or from here.

Where the results differ from lightly's, on purpose:

* NT-Xent near convergence: of two close views at temperature 0.05 the loss is 1.683656e-5 in
  float32, as in float64, where lightly gives 1.68154e-5; at losses of 1e-6 that is 10 % off.
* 16-bit inputs are computed in float32 and rounded once at the end, where lightly computes in 16
  bits and is 1e-3 to 1e-2 off.
* One row and a decoupled loss (DCL): 0 instead of minus infinity, as it has no negative.
* `gather_distributed` takes batches of different sizes, and SupConLoss labels together with it.

Errors are ValueError for a shape or value that is not accepted and TypeError for another dtype than
a floating one, naming the argument; AssertionError where the library asserts.
"""

from tsssl_fast.compat.lightly import loss
from tsssl_fast.compat.lightly.loss import *

__all__ = ["loss"]
__all__ += loss.__all__
