"""Masks with an exact count of hidden units in every row."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.backends import dispatch, registration
from tsssl_fast.common import checks, random
from tsssl_fast.ops.augment.spec import MAX_CHANNELS, MAX_STEPS, MAX_VIEWS
from tsssl_fast.ops.masking.operators.mask import mask as draw_mask
from tsssl_fast.ops.masking.spec import Code

MODES = ("point", "patch", "span", "geometric", "channel")
_SIZES = {"patch": 8, "span": 10, "geometric": 3}
Seed = int | torch.Generator | Tensor | None


class MaskPair(NamedTuple):
    """Two masks of the same series and what both hide, each (N, C, T) bool."""

    first: Tensor
    second: Tensor
    both: Tensor


def random_mask(
    shape: Sequence[int],
    ratio: float,
    *,
    mode: str = "point",
    size: int | None = None,
    per_channel: bool = False,
    views: int | None = None,
    seed: Seed = None,
    sample_ids: Tensor | None = None,
    epoch: int = 0,
    step: int = 0,
    rank: int = 0,
    device: torch.device | str = "cpu",
    backend: str | None = None,
) -> Tensor:
    """A mask of `shape`, True where hidden, with the same count in every row.

    | mode      | hidden, with k = floor(ratio * units + 0.5)                                |
    | --------- | -------------------------------------------------------------------------- |
    | point     | k of the T steps                                                           |
    | patch     | k of the ceil(T / size) patches; the last one may be shorter               |
    | span      | k steps in ceil(k / size) spans of `size`, one of them shorter if need be  |
    | geometric | k steps in floor(k / size + 0.5) runs; lengths of runs and of the gaps     |
    |           | between them are geometric, given their sums (Zerveas et al., KDD 2021;    |
    |           | Dong et al., SimMTM, NeurIPS 2023, where the count is random)              |
    | channel   | k of the C channels, whole                                                 |

    Every choice that has these counts is equally likely: selection sampling, one random word a
    unit, no sort. Spans may touch, geometric runs do not.

    Args:
        shape: (N, C, T); or (N, L) for a mask of tokens.
        ratio: in [0, 1]; 0 hides nothing, 1 everything.
        size: steps of a patch (default 8) or a span (10), mean length of a geometric run (3).
        per_channel: channels are masked on their own; else all of them share a sample's mask, and
            the result is a broadcast view.
        views: None, or the number V of independent masks: (V, N, C, T).
        seed, epoch, step, rank, sample_ids: the random stream, as of a pipeline of augmentations.
        device: of the result.

    Raises TypeError for an argument of another type, ValueError for a ratio outside [0, 1], an
    unknown mode, a size above T.
    """
    masks = _masks(
        *(shape, ratio, mode, size, per_channel, 1 if views is None else views, False),
        *(_source(seed, epoch, step, rank), sample_ids, backend),
    )
    return (masks[0] if views is None else masks).to(device)


def mask_pair(
    shape: Sequence[int],
    ratio: float,
    *,
    mode: str = "point",
    size: int | None = None,
    per_channel: bool = False,
    seed: Seed = None,
    sample_ids: Tensor | None = None,
    epoch: int = 0,
    step: int = 0,
    rank: int = 0,
    device: torch.device | str = "cpu",
    backend: str | None = None,
) -> MaskPair:
    """Views 0 and 1 of `random_mask` and their intersection, in one pass; arguments as there.

    What both masks hide no model has seen: Point-CMAE (Ren et al., 2024) aligns it.
    """
    masks = _masks(
        *(shape, ratio, mode, size, per_channel, 2, True),
        *(_source(seed, epoch, step, rank), sample_ids, backend),
    )
    return MaskPair(*masks.to(device))


def _source(*seed: Any) -> Tensor | tuple[int, ...]:
    """Seed, epoch, step and rank; a tensor where something traces, or they are tensors."""
    numbers = None if registration.traced(()) else random.seed_numbers(*seed)
    return random.seed_tensor(*seed) if numbers is None else numbers


def hidden_count(ratio: float, units: int) -> int:
    """How many of `units` a ratio hides."""
    return int(ratio * units + 0.5)


def _masks(
    shape: Sequence[int],
    ratio: float,
    mode: str,
    size: int | None,
    per_channel: bool,
    views: int,
    intersection: bool,
    seed: Tensor | tuple[int, ...],
    sample_ids: Tensor | None,
    backend: str | None,
) -> Tensor:
    given = tuple(shape)
    if len(given) not in (2, 3) or min(given) < 1:
        raise ValueError(f"shape: {given}; accepted: (N, C, T) or (N, L), all sizes >= 1")
    n, c, t = given if len(given) == 3 else (given[0], 1, given[1])
    if c > MAX_CHANNELS or t > MAX_STEPS:
        raise ValueError(f"shape: {given}; accepted: C <= {MAX_CHANNELS}, T <= {MAX_STEPS}")
    checks.choice("mode", mode, MODES)
    validation.probability("ratio", ratio)
    validation.boolean("per_channel", per_channel)
    validation.integer("views", views, 1, MAX_VIEWS)
    rows, units = c if per_channel else 1, t
    if mode == "channel":
        if per_channel:
            raise ValueError("per_channel: True; accepted: False with mode='channel'")
        units = c
    length = _size(mode, size, units)
    masks = draw_mask(
        *((n, rows, units), seed, _plan(mode, ratio, length, units), views, intersection),
        inputs.per_sample("sample_ids", sample_ids, n),
        dispatch.backend_name(backend),
    )
    masks = masks.mT if mode == "channel" else masks
    return masks.expand(-1, n, c, t) if len(given) == 3 else masks[:, :, 0]


def _size(mode: str, size: int | None, steps: int) -> int:
    if mode not in _SIZES:
        if size is not None:
            raise ValueError(f"size: {size}; accepted: None with mode={mode!r}")
        return 1
    if size is None:
        return min(_SIZES[mode], steps)
    validation.integer("size", size, 1, MAX_STEPS)
    if size > steps:
        raise ValueError(f"size: {size} steps; accepted: at most T = {steps}")
    return size


def _plan(mode: str, ratio: float, size: int, steps: int) -> list[int]:
    """As spec.py says: code, count, size, runs."""
    if mode in ("point", "patch", "channel"):
        return [Code[mode.upper()], hidden_count(ratio, -(-steps // size)), size, 0]
    count = hidden_count(ratio, steps)
    runs = -(-count // size)
    if mode == "geometric":
        runs = min(max(1, int(count / size + 0.5)), steps - count + 1)
    return [Code[mode.upper()], count, size, runs]
