"""Operations in plain torch on every backend: those on other samples, spectra, wide windows, and
published code in its literal form.

They draw from the same streams as all others and have rows in a program. `run` gives the rows
between them to the kernels. Everything here is a fixed order of single roundings but for the
Fourier transforms, which differ from library to library and are held to a tolerance.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.precision import host_of
from tsssl_fast.common import random
from tsssl_fast.ops.augment import operation_table as names
from tsssl_fast.ops.augment import signals, spec
from tsssl_fast.ops.augment.reference import arithmetic, draws
from tsssl_fast.ops.augment.reference.pointwise import Call, beside, steps
from tsssl_fast.ops.augment.spec import Code, Source


def _of_partner(call: Call, values: Tensor) -> Tensor:
    """values (views, N, ...) of the sample that each is mixed with."""
    source = call.slot(names.MIXUP_SOURCE).long().to(values.device)
    return values.gather(1, source.expand_as(values))


def _partner_has(x: Tensor, call: Call) -> Tensor:
    """(views, N, 1, T): where the partner has a step that is no padding."""
    lengths = call.length.expand(x.shape[0], x.shape[1], 1, 1)
    return steps(x, torch.int64) < _of_partner(call, lengths)


def mixup(x: Tensor, call: Call) -> Tensor:
    weight = beside(call.slot(names.MIXUP_WEIGHT), x)
    mixed = x * weight + _of_partner(call, x) * (1.0 - weight)
    return torch.where(_partner_has(x, call), mixed, x)


def cutmix(x: Tensor, call: Call) -> Tensor:
    step, start = call.steps(x), call.slot(names.CUTMIX_START)
    inside = (step >= start) & (step < start + call.slot(names.CUTMIX_LENGTH))
    return torch.where(inside.to(x.device) & _partner_has(x, call), _of_partner(call, x), x)


def moving_average(x: Tensor, call: Call) -> Tensor:
    """Sums from the centre outwards, then one division."""
    width, edge = call.slot(names.MOVING_AVERAGE_WIDTH), call.a[names.MOVING_AVERAGE_EDGE]
    last, t = call.length - 1, steps(x, torch.int64)
    total = x
    for k in range(1, int(call.a[names.MOVING_AVERAGE_HIGH]) + 1):
        pair = _beyond(x, t - k, last, edge) + _beyond(x, t + k, last, edge)
        total = torch.where((2 * k < width).to(x.device), total + pair, total)
    return total / beside(width, x)


def _beyond(x: Tensor, source: Tensor, last: Tensor, edge: float) -> Tensor:
    """x at the steps `source`, whatever stands beyond the ends."""
    outside = (source < 0) | (source > last)
    if edge == names.MOVING_AVERAGE_REFLECT:
        source = source.abs()
        source = last - (last - source).abs()
    source = source.clamp_min(0).minimum(last).expand(x.shape)
    taken = x.gather(-1, source)
    return torch.where(outside, 0.0, taken) if edge == names.MOVING_AVERAGE_ZERO else taken


def _spectral(
    x: Tensor,
    call: Call,
    per_channel: float,
    change: Callable[[Tensor, Tensor, int], Tensor],
) -> Tensor:
    """change(spectrum, a word for every bin, T) of every sample, each over its own length; words
    are on the CPU."""
    for length in call.subject.lengths.unique().tolist():
        rows = (call.subject.lengths == length).nonzero()[:, 0]
        subject = dataclasses.replace(
            call.subject,
            ids=call.subject.ids[rows],
            channels=x.shape[2] if per_channel else 1,
            steps=length // 2 + 1,
        )
        words = subject.elements(call.row)[..., : subject.steps]
        rows = rows.to(x.device)
        part = x.index_select(1, rows)
        spectrum = change(torch.fft.rfft(part[..., :length]), words, length)
        part = torch.cat([torch.fft.irfft(spectrum, n=length), part[..., length:]], dim=-1)
        x = x.index_copy(1, rows, part)
    return x


def frequency_mask(x: Tensor, call: Call) -> Tensor:
    def change(spectrum: Tensor, words: Tensor, length: int) -> Tensor:
        removed = words.to(x.device) < int(call.a[names.FREQUENCY_MASK_THRESHOLD])
        removed[..., 0] = False
        return torch.where(removed, 0.0, spectrum)

    return _spectral(x, call, call.a[names.FREQUENCY_MASK_PER_CHANNEL], change)


def phase_surrogate(x: Tensor, call: Call) -> Tensor:
    def change(spectrum: Tensor, words: Tensor, length: int) -> Tensor:
        most = torch.pi * call.a[names.PHASE_SURROGATE_MAGNITUDE]
        angle = (random.uniform(words.to(host_of(x)), torch.float64) * 2 - 1) * most
        angle = beside(angle, x)
        turned = spectrum * torch.polar(torch.ones_like(angle), angle)
        bins = torch.arange(spectrum.shape[-1], device=spectrum.device)
        return torch.where((bins == 0) | (2 * bins == length), spectrum, turned)

    return _spectral(x, call, call.a[names.PHASE_SURROGATE_PER_CHANNEL], change)


def _step_words(call: Call) -> Tensor:
    """A word per step, those of channel 0, for all channels: (views, N, 1, T rounded up to 4), on
    the CPU."""
    return dataclasses.replace(call.subject, channels=1).elements(call.row)


def index_noise(x: Tensor, call: Call) -> Tensor:
    """x at t + s u_t, linearly interpolated, u_t uniform on [0, 1) for every step."""
    length = call.host_length
    words = _step_words(call)[..., : x.shape[-1]].to(length.device)
    turns = random.uniform(words, torch.float64)
    position = call.steps(x) + call.slot(names.INDEX_NOISE_MAGNITUDE) * turns
    return signals.read_at(x, call, position.minimum((length - 1).double()))


def step_scale(x: Tensor, call: Call) -> Tensor:
    """x[c, t] (2 + s z_t), z_t standard normal."""
    words = _step_words(call).to(x.device)
    pair = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
    normal = torch.stack(pair, dim=-1).flatten(-2)[..., : x.shape[-1]]
    return x * (2.0 + beside(call.slot(names.STEP_SCALE_MAGNITUDE), x) * normal)


def first_channel_segments(x: Tensor, call: Call) -> Tensor:
    """Channel 0, its segments in random order, in every channel; x itself where it has one segment.

    The count - 1 borders are the smallest words of the steps 0 to T - 3, as a choice without
    replacement; a border at step 0 leaves the first segment empty.
    """
    count = call.slot(names.FIRST_CHANNEL_SEGMENTS_SEGMENTS).long().to(x.device)
    t = steps(x, torch.int64)
    words = _step_words(call)[..., : x.shape[-1]].to(x.device)
    words = torch.where(t < call.length - 2, words, (1 << 32) + t)
    rank = words.argsort(dim=-1, stable=True).argsort(dim=-1)
    border = (rank < count - 1) & (t < call.length - 2)
    segment = border.long().cumsum(-1)
    order = call.slots[..., None, names.FIRST_CHANNEL_SEGMENTS_ORDER :].long().to(x.device)
    place = order.expand(*segment.shape[:-1], -1).gather(-1, segment)
    place = torch.where(t < call.length, place, place.max() + 1)  # padding stays behind
    source = place.argsort(dim=-1, stable=True).expand(x.shape)
    shuffled = x[..., :1, :].expand(x.shape).gather(-1, source)
    return torch.where(count > 1, shuffled, x)


OPERATIONS: dict[Code, Callable[[Tensor, Call], Tensor]] = {
    Code.MIXUP: mixup,
    Code.CUTMIX: cutmix,
    Code.FREQUENCY_MASK: frequency_mask,
    Code.PHASE_SURROGATE: phase_surrogate,
    Code.MOVING_AVERAGE: moving_average,
    Code.INDEX_NOISE: index_noise,
    Code.STEP_SCALE: step_scale,
    Code.FIRST_CHANNEL_SEGMENTS: first_channel_segments,
    **signals.OPERATIONS,
}


def is_plain(code: float) -> bool:
    """Whether an operation is one of this file."""
    return Code(int(code)) in OPERATIONS


def has_plain(program: Sequence[Sequence[float]]) -> bool:
    """Whether a program has operations of this file."""
    return any(is_plain(row[spec.CODE]) for row in program)


def run(x: Tensor, source: Source, backend: str) -> Tensor:
    """A whole program on (views, N, C, T), with parameters that are given."""
    program, seed, sample_ids, lengths, table = source
    assert table is not None
    rows = program.tolist()
    subject = draws.Subject.of(seed, sample_ids, lengths, x.shape[0], x.shape[1:])
    length = subject.lengths.to(x.device)[:, None, None][None]
    inside = steps(x, torch.int64) < length
    y = x.to(spec.compute_dtype(x.dtype))
    waiting: list[int] = []
    bounds = spec.bounds(rows, x.shape[2])

    def kernels(y: Tensor) -> Tensor:
        if not waiting:
            return y
        part = program[waiting]
        part[:, spec.PARENT] = -1  # the table has what the groups chose
        columns = [table[..., bounds[i] : bounds[i + 1]] for i in waiting]
        waiting.clear()
        return torch.ops.tsssl_fast.augment(
            *(y, part, seed, len(y), sample_ids, lengths),
            *(torch.cat(columns, dim=-1).contiguous(), backend),
        )

    for i, row in enumerate(rows):
        code = Code(int(row[spec.CODE]))
        if code == Code.GROUP:
            continue
        if code not in OPERATIONS:
            waiting.append(i)
            continue
        y = kernels(y)
        slots = table[..., bounds[i] : bounds[i + 1]].to(host_of(x))
        call = Call(row, slots, subject, length)
        acts = inside & (call.slot(spec.ACTS) != 0).to(x.device)
        y = torch.where(acts, OPERATIONS[code](y, call), y)
    return kernels(y).to(x.dtype)
