"""What features look like while they are learnt: neighbours, rank, spread; a warning on collapse.

The figures come from at most `ROWS` train series, in evaluation mode and without gradient; they
change no bit of the training.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.data import Series
from tsssl_fast.evaluate.features import features
from tsssl_fast.functional.collapse import collapse_report

ROWS = 512
NEIGHBOURS = 10
# A warning below these: every BasicMotions or UWave run that learns stays above 8 and 0.1.
LEAST_RANK, LEAST_SPREAD = 2.0, 0.01


class CollapseWarning(UserWarning):
    """The features no longer tell the series apart."""


def uniformity(z: Tensor) -> float:
    """log mean_{i != j} exp(-2 ||u_i - u_j||²) of unit rows u: 0 at collapse, lower where even.

    Source: Wang and Isola, ICML 2020. z: (N, F) with N >= 2.
    """
    squared = torch.pdist(normalize(z.double())).square()
    return float(torch.logsumexp(-2 * squared, 0) - torch.log(torch.tensor(float(len(squared)))))


def leave_one_out_knn(
    z: Tensor, y: Tensor, k: int = NEIGHBOURS, temperature: float = 0.07
) -> float:
    """Accuracy of each row's k nearest other rows, by cosine, votes exp(cosine / temperature)."""
    unit = normalize(z.double())
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    near = similarity.topk(min(k, len(z) - 1), dim=1)
    votes = torch.zeros(len(z), int(y.max()) + 1, dtype=z.double().dtype)
    votes.scatter_add_(1, y[near.indices], ((near.values - 1) / temperature).exp())
    return float((votes.argmax(1) == y).double().mean())


@dataclass
class Monitor:
    """Measures an encoder on fixed train series and warns once where the features collapse.

    x: (N, C, T) scaled train series, a tensor or `data.Series`; labels: (N,) int64, -1 for none, or
    None; lengths: (N,) int64, the steps that are no padding, or None. Of more than 512 rows, every
    N/512-th is taken.
    """

    x: Tensor | Series
    labels: Tensor | None = None
    warned: bool = False
    lengths: Tensor | None = None

    def __post_init__(self) -> None:
        rows = torch.linspace(0, len(self.x) - 1, min(ROWS, len(self.x))).round().long()
        self.x = self.x[rows]
        self.labels = None if self.labels is None else self.labels[rows]
        self.lengths = None if self.lengths is None else self.lengths[rows]

    def __call__(self, encoder: nn.Module, bf16: bool = False) -> dict[str, float]:
        """effective_rank (RankMe, centred), uniformity, spread, and knn with labels.

        bf16: as the encoder is trained; half the time of a call on UWaveGestureLibrary.

        spread: root of the mean variance of the features over their root mean square.
        """
        z = features(encoder, self.x, bf16=bf16, lengths=self.lengths)
        if len(z) < 2 or not torch.isfinite(z).all():
            return {}
        report = collapse_report(z)
        power = z.double().square().mean().sqrt()
        spread = float(z.double().var(0).mean().sqrt() / power) if power > 0 else 0.0
        figures = {
            "effective_rank": report.effective_rank,
            "uniformity": uniformity(z),
            "spread": spread,
        }
        known = None if self.labels is None else self.labels >= 0
        if self.labels is not None and known is not None and int(known.sum()) > 1:
            figures["knn"] = leave_one_out_knn(z[known], self.labels[known])
        self._warn(figures)
        return figures

    def _warn(self, figures: dict[str, float]) -> None:
        rank, spread = figures["effective_rank"], figures["spread"]
        if self.warned or (rank >= LEAST_RANK and spread >= LEAST_SPREAD):
            return
        self.warned = True
        warnings.warn(
            f"features collapse: effective rank {rank:.2f} (expected {LEAST_RANK:g} or more), "
            f"spread {spread:.4f} (expected {LEAST_SPREAD:g} or more); a smaller learning rate, "
            "other views or a larger variance weight may help",
            CollapseWarning,
            stacklevel=2,
        )
