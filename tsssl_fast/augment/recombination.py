"""New series from pieces of series of one class."""

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.augment.configuration import Configured
from tsssl_fast.augment.inputs import Array
from tsssl_fast.augment.run import Number, Seed
from tsssl_fast.common import checks, random
from tsssl_fast.common.checks import by
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference.draws import Subject
from tsssl_fast.ops.augment.spec import Code

__all__ = ["SegmentRecombination"]


class SegmentRecombination(Configured):
    """Each piece of a series comes from a series of its class: x~[c, t] = x_d(k)[c, t] in piece k,
    d(k) uniform over the rows of the batch that have its label, itself among them.

    Piece k holds the steps from floor(k T / segments) to floor((k + 1) T / segments) - 1, at their
    places. A series without a label (below 0) stays. The donors are a function of seed, epoch,
    step, rank and sample id, and of the batch, as every mixing is.

    Source: Signal Processing Approaches to Minimize or Suppress Calibration Time in Oscillatory
    Activity-Based Brain-Computer Interfaces, 2015. Units: segments is a count.

    Args:
        segments: 2 to 64.

    Raises, at construction: TypeError for what is no integer, ValueError for one out of range.
    """

    segments: Annotated[int, by(validation.integer, 2, spec.MAX_SEGMENTS)] = 8

    if TYPE_CHECKING:

        def __init__(self, segments: int = 8) -> None: ...
        def __call__(self, x: Tensor, labels: Tensor, **arguments: object) -> Tensor: ...

    def forward(
        self,
        x: Tensor,
        labels: Tensor,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
    ) -> Tensor:
        """x: (N, C, T) floating; labels: (N,) int64. Others as Compose's call. -> (N, C, T)

        Raises TypeError, ValueError naming the argument; for fewer steps than segments.
        """
        checks.floating("x", x)
        inputs.check_series(x, "NCT")
        n, _, steps = x.shape
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
            given = getattr(labels, "dtype", type(labels).__name__)
            raise TypeError(f"labels: {given}; accepted: an int64 tensor")
        if labels.shape != (n,):
            raise ValueError(f"labels: shape {tuple(labels.shape)}; accepted: ({n},), as x")
        if steps < self.segments:
            raise ValueError(f"segments: {self.segments}; accepted: up to the {steps} steps of x")
        ids = inputs.per_sample("sample_ids", sample_ids, n)
        subject = Subject.of(random.seed_tensor(seed, epoch, step, rank), ids, None, 1, x.shape)
        blocks = torch.arange(-(-self.segments // 4))
        words = subject.words((Code.SEGMENT_RECOMBINATION, 0), 0, blocks)[0].flatten(1)
        donors = self._donors(words[:, : self.segments], labels.cpu()).to(x.device)
        piece = (torch.arange(steps, device=x.device) * self.segments + self.segments - 1) // steps
        return x[donors[:, piece], :, torch.arange(steps, device=x.device)].mT.contiguous()

    def _donors(self, words: Tensor, labels: Tensor) -> Tensor:
        """(N, segments): rows of the batch, by the order of their labels."""
        order = labels.argsort(stable=True)
        first = torch.searchsorted(labels[order], labels)
        count = torch.searchsorted(labels[order], labels, right=True) - first
        donors = order[first[:, None] + random.below(words, count[:, None])]
        own = torch.arange(len(labels))[:, None]
        return torch.where(labels[:, None] < 0, own, donors)
