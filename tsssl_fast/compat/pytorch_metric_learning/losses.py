"""The losses under the module name that the library has for them.

Embeddings are floating, labels integers. ValueError for a shape or value that is not accepted,
TypeError for another dtype, NotImplementedError for what is not there, AssertionError where the
library asserts.
"""

from typing import Any

from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.compat._shared import pair, refuse, refusing, result
from tsssl_fast.compat.pytorch_metric_learning.distances import refuse_statistics
from tsssl_fast.compat.pytorch_metric_learning.pair_losses import NTXentLoss, SupConLoss
from tsssl_fast.compat.pytorch_metric_learning.pairs import IndicesTuple
from tsssl_fast.compat.pytorch_metric_learning.wrappers import (
    CrossBatchMemory,
    SelfSupervisedLoss,
)

__all__ = ["CrossBatchMemory", "NTXentLoss", "SelfSupervisedLoss", "SupConLoss", "VICRegLoss"]


class VICRegLoss(nn.Module):
    """VICReg (Bardes et al., ICLR 2022) of embeddings and ref_emb; see
    :func:`tsssl_fast.functional.vicreg_loss`.

    Args:
        invariance_lambda, variance_mu, covariance_v: >= 0. eps: added to the variance.
        reducer: None, or a MeanReducer.

    forward(embeddings, ref_emb=...): (N, D), (N, D), N >= 2 -> scalar in the inputs' dtype.
    """

    def __init__(
        self,
        invariance_lambda: float = 25,
        variance_mu: float = 25,
        covariance_v: float = 1,
        eps: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        reducer = kwargs.pop("reducer", None)
        refuse_statistics(kwargs.pop("collect_stats", None))
        if reducer is not None and type(reducer).__name__ != "MeanReducer":
            refuse(f"reducer: {type(reducer).__name__}", "VICRegLoss takes the mean")
        for option in kwargs:
            raise ValueError(f"{option}: given to VICRegLoss; accepted: none")
        self.invariance_lambda = checks.non_negative("invariance_lambda", invariance_lambda)
        self.variance_mu = checks.non_negative("variance_mu", variance_mu)
        self.covariance_v = checks.non_negative("covariance_v", covariance_v)
        self.eps = eps

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: IndicesTuple | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        for name, given in (
            ("labels", labels),
            ("indices_tuple", indices_tuple),
            ("ref_labels", ref_labels),
        ):
            if given is not None:
                raise ValueError(f"{name}: given to VICRegLoss; accepted: None")
        a, b = pair(
            ("embeddings", "ref_emb"), embeddings, embeddings if ref_emb is None else ref_emb
        )
        loss = functional.vicreg_loss(
            a,
            b,
            invariance_weight=self.invariance_lambda,
            variance_weight=self.variance_mu,
            covariance_weight=self.covariance_v,
            eps=self.eps,
        )
        return result(loss, a)


_OWN = "the library's own works beside ours, in the two wrappers too where its wrappers take it"
_OTHERS = """
    AngularLoss ArcFaceLoss BaseMetricLossFunction CircleLoss ContrastiveLoss
    CosFaceLoss DynamicSoftMarginLoss FastAPLoss GeneralizedLiftedStructureLoss
    GenericPairLoss HistogramLoss InstanceLoss IntraPairVarianceLoss
    LargeMarginSoftmaxLoss LiftedStructureLoss ManifoldLoss MarginLoss
    MultiSimilarityLoss MultipleLosses NCALoss NPairsLoss NormalizedSoftmaxLoss
    P2SGradLoss PNPLoss ProxyAnchorLoss ProxyNCALoss RankedListLoss
    SignalToNoiseRatioContrastiveLoss SmoothAPLoss SoftTripleLoss SphereFaceLoss
    SubCenterArcFaceLoss ThresholdConsistentMarginLoss TupletMarginLoss
"""
NOT_HERE = {
    **dict.fromkeys(_OTHERS.split(), _OWN),
    "TripletMarginLoss": f"tsssl_fast.functional.triplet_loss has the hardest negative; {_OWN}",
}

__getattr__ = refusing(__name__, NOT_HERE)
