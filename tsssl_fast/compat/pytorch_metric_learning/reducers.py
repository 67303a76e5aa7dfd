"""From a loss per row or pair to the result; the library's own reducers will do as well.

A reducer is called as reducer({"loss": info}, embeddings, labels); info has "losses" (R,),
floating, "indices" (the anchors, or anchors and positives) and "reduction_type" ("element" or
"pos_pair").
The result is a scalar in the dtype of the losses. `collect_stats=True` is a NotImplementedError; a
ThresholdReducer without a threshold is an AssertionError.
"""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.compat._shared import refusing
from tsssl_fast.compat.pytorch_metric_learning.distances import refuse_statistics

__all__ = [
    "AvgNonZeroReducer",
    "DoNothingReducer",
    "MeanReducer",
    "SumReducer",
    "ThresholdReducer",
]


class _Reducer(nn.Module):
    def __init__(self, collect_stats: bool | None = None) -> None:
        super().__init__()
        refuse_statistics(collect_stats)

    def forward(self, loss_dict: dict[str, Any], embeddings: Tensor, labels: Tensor | None) -> Any:
        """Of a dictionary with one entry `info`: its losses (R,) -> a scalar."""
        (info,) = loss_dict.values()
        return self.reduced(info["losses"])

    def reduced(self, losses: Tensor) -> Tensor:
        """The losses of rows or pairs, (N,), as the reducer gives them."""
        raise NotImplementedError


class MeanReducer(_Reducer):
    """The mean; 0 of nothing."""

    def reduced(self, losses: Tensor) -> Tensor:
        """The losses of rows or pairs, (N,), as the reducer gives them."""
        return losses.sum() / max(len(losses), 1)


class SumReducer(_Reducer):
    """The sum."""

    def reduced(self, losses: Tensor) -> Tensor:
        """The losses of rows or pairs, (N,), as the reducer gives them."""
        return losses.sum()


class ThresholdReducer(_Reducer):
    """The mean of the losses above `low` and below `high`; 0 of none."""

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        collect_stats: bool | None = None,
    ) -> None:
        super().__init__(collect_stats)
        if low is None and high is None:
            raise AssertionError("low, high: both None; accepted: a number for one of them")
        self.low = low
        self.high = high

    def reduced(self, losses: Tensor) -> Tensor:
        """The losses of rows or pairs, (N,), as the reducer gives them."""
        kept = losses == losses if self.low is None else losses > self.low
        if self.high is not None:
            kept = kept & (losses < self.high)
        return (losses * kept).sum() / kept.sum().clamp_min(1)


class AvgNonZeroReducer(ThresholdReducer):
    """The mean of the losses above 0."""

    def __init__(self, collect_stats: bool | None = None) -> None:
        super().__init__(low=0, collect_stats=collect_stats)


class DoNothingReducer(_Reducer):
    """What the loss handed over, as it is."""

    def forward(self, loss_dict: dict[str, Any], embeddings: Tensor, labels: Tensor | None) -> Any:
        """The dictionary, its losses (R,) as they are."""
        return loss_dict


_NOT_HERE = (
    "BaseReducer",
    "ClassWeightedReducer",
    "DivisorReducer",
    "MultipleReducers",
    "PerAnchorReducer",
)

__getattr__ = refusing(__name__, dict.fromkeys(_NOT_HERE, "the losses take the library's own"))
