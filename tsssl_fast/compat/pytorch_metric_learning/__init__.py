"""pytorch-metric-learning's losses: `from tsssl_fast.compat.pytorch_metric_learning import losses,
distances, reducers`, or the losses from here.

Where the results differ from the library's, on purpose; a is torch.randn(8, 16) in float64 after
torch.manual_seed(0):

* NTXentLoss of dot products: exact at any logit, where the library clamps. One pair of logit -800
  against one of 6.87 in float32: 806.871, there 87.3365.
* SupConLoss: rows whose loss is exactly 0 count in the mean, where the library drops them. Rows
  e1, e1, -e1, -e1, e2, e3 in three classes at temperature 0.005: 0.536479, there 1.60944.
* 16-bit inputs are computed in float32 and rounded once at the end: NTXentLoss of a in float16 with
  labels 0, 1, 2, 0, ... is 6.625, there 6.33594; in float64 it is 6.62561.

Distances other than cosines and dot products, and the library's own losses in the two wrappers, run
in plain torch. Not there, each a NotImplementedError with its name: statistics (`collect_stats`),
reducers of VICRegLoss. Other errors: ValueError for a shape or value that is not accepted,
TypeError for another dtype than a floating one or a loss that a wrapper does not take,
AssertionError where the library asserts.
"""

from tsssl_fast.compat._shared import refusing
from tsssl_fast.compat.pytorch_metric_learning import distances, losses, reducers
from tsssl_fast.compat.pytorch_metric_learning.losses import *

__all__ = ["distances", "losses", "reducers"]
__all__ += losses.__all__

_OWN = "the library's own works beside ours"
_MODULES = ("miners", "regularizers", "samplers", "testers", "trainers", "utils")

__getattr__ = refusing(__name__, losses.NOT_HERE | dict.fromkeys(_MODULES, _OWN))
