"""Crops of different lengths that share a stretch of time."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.augment.configuration import Configured
from tsssl_fast.augment.inputs import Array
from tsssl_fast.augment.run import Number, Seed
from tsssl_fast.augment.validation import by
from tsssl_fast.common import checks, random
from tsssl_fast.ops.augment.reference.draws import Subject
from tsssl_fast.ops.augment.spec import Code

__all__ = [
    "ClipPairs",
    "Crops",
    "OverlappingCrops",
]


class Crops(NamedTuple):
    """first: (N, C, L1), second: (N, C, L2); start: (N, 2) int64, the steps where they begin.

    The last `overlap` steps of first are the first ones of second.
    """

    first: Tensor
    second: Tensor
    overlap: int
    start: Tensor


LAWS = ("uniform", "linear")


def distance_weights(law: str, distances: int) -> Tensor:
    """(distances,) int64: how often each distance d = 0 ... comes, 1 ("uniform") or distances - d
    ("linear"), of their sum."""
    checks.choice("law", law, LAWS)
    if law == "uniform":
        return torch.ones(distances, dtype=torch.int64)
    return torch.arange(distances, 0, -1)


class ClipPairs(Configured):
    """Two clips of every series, a distance apart that follows a law: near ones are likelier.

        P(d) = w(d) / sum w, d = 0 ... T - length steps;  the first of both begins uniformly in
        0 ... T - length - d;  which of the two is view 0 is a coin's choice

    Source: Spatiotemporal Contrastive Video Representation Learning, 2020 (CVRL), whose best law is
    linear. Views of methods: (2, N, C, length). Units: length in steps.

    Args:
        length: steps of a clip, >= 1.
        law: "linear": w(d) = T - length + 1 - d; "uniform": 1.

    Raises, at construction: TypeError for a length that is no integer, ValueError for one out of
    range or an unknown law.
    """

    length: Annotated[int, by(validation.integer, 1, 1 << 31)]
    law: Annotated[str, by(checks.choice, LAWS)] = "linear"

    if TYPE_CHECKING:

        def __init__(self, length: int, law: str = "linear") -> None: ...
        def __call__(self, x: Tensor, views: Number | None = 2, **arguments: Any) -> Tensor: ...

    def forward(
        self,
        x: Tensor,
        views: Number | None = 2,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
    ) -> Tensor:
        """(2, N, C, length), in the dtype of x.

        x: (N, C, T), floating, with length <= T < 46342 + length. views: 2. The others, and the
        errors, are those of `Pipeline`.
        """
        checks.floating("x", x)
        inputs.check_series(x, "NCT")
        if views not in (None, 2):
            raise ValueError(f"views: {views}; accepted: 2, a pair of clips")
        starts = self.starts(x, seed, sample_ids, epoch, step, rank)
        steps = starts[..., None] + torch.arange(self.length)
        n, channels, _ = x.shape
        place = steps[:, :, None].expand(2, n, channels, self.length).to(x.device)
        return x[None].expand(2, *x.shape).gather(3, place)

    def starts(
        self,
        x: Tensor,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
    ) -> Tensor:
        """(2, N) int64: the steps where the clips begin; arguments and errors as of `forward`."""
        n, _, t = x.shape
        weights = distance_weights(self.law, max(0, t - self.length + 1)).cumsum(0)
        if not len(weights) or int(weights[-1]) >= 1 << 30:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: T >= length = {self.length}, below "
                f"{46342 + self.length}"
            )
        ids = inputs.per_sample("sample_ids", sample_ids, n)
        subject = Subject.of(random.seed_tensor(seed, epoch, step, rank), ids, None, 1, x.shape)
        # Block 2: overlapping crops draw from blocks 0 and 1.
        row, block = (Code.OVERLAPPING_CROPS, 0), torch.full((1,), 2)
        words = subject.words(row, 0, block)[0, :, 0]
        drawn = random.below(words[:, 0], int(weights[-1]))
        distance = torch.searchsorted(weights, drawn, right=True)
        first = random.below(words[:, 1], t - self.length - distance + 1)
        pair = torch.stack([first, first + distance])
        return torch.where(words[:, 2] >> 31 == 0, pair, pair.flip(0))


class OverlappingCrops(Configured):
    """Two views that share a stretch of time: x~[c, t] = x[c, s + t], one start s per view.

    Lengths and overlap are drawn once per batch, from seed, epoch, step and rank; every sample
    moves the pair by its own offset. overlap is uniform from min_overlap to T, its place uniform;
    the first crop begins and the second ends at a uniform place outside it.

    Source: TS2Vec (Yue et al., AAAI 2022). Units: min_overlap in steps.

    Args:
        min_overlap: >= 1 step.

    Raises, at construction: TypeError for what is no integer, ValueError for one below 1.
    """

    min_overlap: Annotated[int, by(validation.integer, 1, 1 << 31)] = 2

    if TYPE_CHECKING:

        def __call__(self, x: Tensor | Array, **arguments: Any) -> Crops: ...

    def forward(
        self,
        x: Tensor | Array,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
    ) -> Crops:
        """`Crops` in the dtype of x.

        x: (N, C, T), floating, with T >= min_overlap; a tensor or an array. The others, and the
        errors, are those of `Pipeline`.
        """
        as_array = not isinstance(x, Tensor)
        x = x if isinstance(x, Tensor) else inputs.from_array("x", x)
        checks.floating("x", x)
        inputs.check_series(x, "NCT")
        n, _, t = x.shape
        if t < self.min_overlap:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: T >= min_overlap = {self.min_overlap}"
            )
        ids = inputs.per_sample("sample_ids", sample_ids, n)
        subject = Subject.of(random.seed_tensor(seed, epoch, step, rank), ids, None, 1, x.shape)
        row = (Code.OVERLAPPING_CROPS, 0)
        # Block 0 of sample 0 belongs to the batch, block 1 of every sample to the sample.
        batch = dataclasses.replace(subject, ids=torch.zeros(1, dtype=torch.int64))
        words = batch.words(row, 0, torch.zeros(1).long()).flatten()
        overlap = self.min_overlap + int(random.below(words[0], t - self.min_overlap + 1))
        left = int(random.below(words[1], t - overlap + 1))
        right = left + overlap
        begin = int(random.below(words[2], left + 1))
        end = right + int(random.below(words[3], t - right + 1))
        own = subject.words(row, 0, torch.ones(1).long()).flatten(2)[0, :, 0]
        start = random.below(own, t - (end - begin) + 1)
        shifted = torch.stack([start, start + (left - begin)], dim=-1)

        def cut(start: Tensor, length: int) -> Tensor:
            steps = start[:, None] + torch.arange(length)
            return x.gather(-1, steps[:, None].expand(n, x.shape[1], length).to(x.device))

        first, second = cut(shifted[:, 0], right - begin), cut(shifted[:, 1], end - left)
        crops = Crops(first, second, overlap, shifted)
        return Crops(*inputs.as_arrays(crops)) if as_array else crops
