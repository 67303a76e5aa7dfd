"""pytorch-metric-learning's losses: `from tsssl_fast.compat.pytorch_metric_learning import losses,
distances, reducers`, or the losses from here.

Where the results differ from the library's, on purpose:

* NTXentLoss of dot products: exact at any logit, where the library clamps: 806.87 there is 72.5.
* SupConLoss: rows whose loss is exactly 0 count in the mean, where the library drops them.
* 16-bit inputs are computed in float32 and rounded once at the end.

Distances other than cosines and dot products, and the library's own losses in the two wrappers, run
in plain torch. Not there, each a NotImplementedError with its name: statistics (`collect_stats`),
reducers of VICRegLoss. Other errors: ValueError for a shape or value that is not accepted,
TypeError for another dtype than a floating one or a loss that a wrapper does not take,
AssertionError where the library asserts.
"""

from tsssl_fast.compat.pytorch_metric_learning import distances, losses, reducers
from tsssl_fast.compat.pytorch_metric_learning.losses import *

__all__ = ["distances", "losses", "reducers"]
__all__ += losses.__all__
