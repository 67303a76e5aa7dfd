"""`mask`: the definition, integer-exact."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.common import random
from tsssl_fast.ops.augment.reference.draws import Subject
from tsssl_fast.ops.augment.spec import CHANNEL_SHIFT
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Code


def select(words: Tensor, count: int) -> Tensor:
    """Chooses `count` of M units uniformly: (..., M) words to (..., M) bool, exactly `count` True.

    Selection sampling in the order of the units (Fan, Muller, Rezucha, 1962; Knuth's algorithm S):
    unit i is taken with probability (still to take) / (M - i). One word a unit, no sort.
    """
    m = words.shape[-1]
    left = torch.full_like(words[..., 0], count)
    columns = []
    for i, word in enumerate(words.unbind(-1)):
        taken = random.below(word, m - i) < left
        left = left - taken.long()
        columns.append(taken)
    return torch.stack(columns, dim=-1)


def _positions(chosen: Tensor, count: int) -> Tensor:
    """Where the `count` True of every row are, ascending: (..., count) int64."""
    return chosen.nonzero()[:, -1].view(*chosen.shape[:-1], count)


def _runs(words: Tensor, second: Tensor, plan: Sequence[int]) -> Tensor:
    """Runs of hidden steps, from the (..., T) words and the second parameter word of every row."""
    code, count, size, runs = plan
    t = words.shape[-1]
    step = torch.arange(count).expand(*words.shape[:-1], count)
    if code == Code.SPAN:
        # A unit is a visible step or a whole span; spans may touch.
        chosen = select(words[..., : t - count + runs], runs)
        before = _positions(chosen, runs) - torch.arange(runs)
        short = random.below(second, runs)[..., None]  # the span that has what is left
        first, rest = short * size, count - (runs - 1) * size
        after = short + 1 + (step - first - rest).div(size, rounding_mode="floor")
        run = torch.where(
            step < first, step // size, torch.where(step < first + rest, short, after)
        )
    else:
        # Lengths and gaps are uniform compositions, which is what geometric ones are given their
        # sum; at least one visible step lies between two runs.
        before = _positions(select(words[..., count - 1 :], runs), runs)
        breaks = select(words[..., : count - 1], runs - 1) if count > 1 else step[..., :0]
        run = torch.nn.functional.pad(breaks.long().cumsum(-1), (1, 0))
    hidden = torch.zeros(words.shape, dtype=torch.bool)
    return hidden.scatter(-1, step + before.gather(-1, run), True)


def mask(
    shape: Sequence[int],
    seed: Tensor | tuple[int, ...],
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    """(views, N, rows, T) bool of shape (N, rows, T); with `intersection` one plane more: what all
    views hide."""
    n, rows, t = shape
    code, count, size, _ = plan
    units = -(-t // size) if code in spec.UNITS else t
    if count == 0:
        masks = torch.zeros(views, n, rows, t, dtype=torch.bool)
    else:
        subject = Subject.of(seed, sample_ids, None, views, (n, rows, units))
        words = subject.elements((code, 0))[..., :units]
        if code in spec.UNITS:
            masks = select(words, count).repeat_interleave(size, -1)[..., :t]
        else:
            parameters = subject.words((code, 0), 0, torch.arange(rows) << CHANNEL_SHIFT)
            masks = _runs(words, parameters[..., 1], plan)
    if intersection:
        masks = torch.cat([masks, masks.all(0, keepdim=True)])
    return masks.contiguous()
