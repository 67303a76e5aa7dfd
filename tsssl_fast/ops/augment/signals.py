"""Operations of biosignals and irregular series in plain torch, held to a tolerance where a Fourier
transform is inside: the definition on every backend."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tsssl_fast.common import random
from tsssl_fast.ops.augment import operation_table as names
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import arithmetic
from tsssl_fast.ops.augment.reference.pointwise import Call, beside, row_mean, row_std, steps
from tsssl_fast.ops.augment.spec import Code

PACKED = spec.MAX_CHANNELS  # two channels are one number


def read_at(x: Tensor, call: Call, position: Tensor) -> Tensor:
    """x at positions (views, N, 1, T) float64 on the device of the slots, linearly interpolated."""
    length = call.host_length
    left = position.long().minimum(length - 2).clamp_min(0)
    weight = beside(position - left.double(), x)
    left = left.to(x.device)
    a = x.gather(-1, left.expand(x.shape))
    b = x.gather(-1, (left + 1).minimum(call.length - 1).expand(x.shape))
    return a + weight * (b - a)


def normals(call: Call, x: Tensor) -> Tensor:
    """One standard normal number per value of x."""
    words = call.subject.elements(call.row).to(x.device)
    pair = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
    return torch.stack(pair, dim=-1).flatten(-2)[..., : x.shape[-1]]


def _own_lengths(
    x: Tensor, call: Call, change: Callable[[Tensor, Callable[[int], Tensor]], Tensor]
) -> Tensor:
    """`change` of the samples of every length, each without its padding; beside them it has the
    slots of these samples by number, (views, n, 1, 1)."""
    for length in call.subject.lengths.unique().tolist():
        rows = (call.subject.lengths == length).nonzero()[:, 0].to(x.device)
        part = x.index_select(1, rows)

        def slot(i: int, rows: Tensor = rows, like: Tensor = part) -> Tensor:
            return beside(call.slot(i), like).index_select(1, rows)

        part = torch.cat([change(part[..., :length], slot), part[..., length:]], dim=-1)
        x = x.index_copy(1, rows, part)
    return x


def _frequencies(x: Tensor) -> Tensor:
    f: Tensor = torch.fft.rfftfreq(x.shape[-1], device=x.device, dtype=x.dtype)
    return f


def _band(
    x: Tensor, call: Call, first: int, inside: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """The frequencies for which `inside` says so, by the slots `first` and the next."""

    def change(part: Tensor, slot: Callable[[int], Tensor]) -> Tensor:
        stays = inside(_frequencies(part), slot(first), slot(first + 1))
        spectrum = torch.where(stays, torch.fft.rfft(part), 0.0)
        filtered: Tensor = torch.fft.irfft(spectrum, n=part.shape[-1])
        return filtered

    return _own_lengths(x, call, change)


def band_stop(x: Tensor, call: Call) -> Tensor:
    def inside(f: Tensor, centre: Tensor, width: Tensor) -> Tensor:
        return ((f - centre).abs() > width / 2) | (f == 0)

    return _band(x, call, names.BAND_STOP_CENTRE, inside)


def band_pass(x: Tensor, call: Call) -> Tensor:
    def inside(f: Tensor, bottom: Tensor, top: Tensor) -> Tensor:
        return (f >= bottom) & (f <= top)

    return _band(x, call, names.BAND_PASS_BOTTOM, inside)


def frequency_shift(x: Tensor, call: Call) -> Tensor:
    def change(part: Tensor, slot: Callable[[int], Tensor]) -> Tensor:
        length = part.shape[-1]
        bins = torch.arange(length, device=part.device)
        double = 1.0 * (bins == 0) + 2.0 * ((bins > 0) & (2 * bins < length))
        analytic = torch.fft.ifft(torch.fft.fft(part) * (double + 1.0 * (2 * bins == length)))
        angle = 2 * torch.pi * slot(names.FREQUENCY_SHIFT_SHIFT) * steps(part, part.dtype)
        moved: Tensor = analytic.real * angle.cos() - analytic.imag * angle.sin()
        return moved

    return _own_lengths(x, call, change)


def add_sine(x: Tensor, call: Call) -> Tensor:
    """In turns, rounded once: long series keep their phase."""
    frequency = call.slot(names.BASELINE_WANDER_FREQUENCY)
    turns = call.per_channel(names.BASELINE_WANDER_THETA) + frequency * call.steps(x)
    wave = beside((2 * torch.pi * (turns - turns.floor())).sin(), x)
    size = beside(call.slot(names.BASELINE_WANDER_MAGNITUDE), x)
    return x + size * row_std(x, call.length).to(x.dtype) * wave


def coloured_noise(x: Tensor, call: Call) -> Tensor:
    white = normals(call, x)

    def change(part: Tensor, slot: Callable[[int], Tensor]) -> Tensor:
        f = _frequencies(part)
        slope = -slot(names.COLOURED_NOISE_EXPONENT) / 2
        gain = torch.where(f > 0, f.clamp_min(1 / part.shape[-1]) ** slope, 0.0)
        noise = torch.fft.irfft(torch.fft.rfft(part) * gain, n=part.shape[-1])
        spread = noise.square().mean(-1, keepdim=True).sqrt()
        return torch.where(spread > 0, noise / spread, 0.0)

    noise = _own_lengths(white, call, change)
    size = beside(call.slot(names.COLOURED_NOISE_MAGNITUDE), x)
    return x + size * row_std(x, call.length).to(x.dtype) * noise


def tapered_mask(x: Tensor, call: Call) -> Tensor:
    """Of the k-th of r = floor(taper (length - 1)) steps on each side (1 + cos(pi k / (r + 1))) / 2
    is left, and nothing between."""
    length = call.slot(names.TAPERED_MASK_LENGTH)
    place = call.steps(x) - call.slot(names.TAPERED_MASK_START)
    depth = (place + 1).minimum(length - place)  # 1 at both ends; 0 and below outside
    ramp = (call.a[names.TAPERED_MASK_TAPER] * (length - 1)).floor()
    share = (depth.clamp_min(0) / (ramp + 1)).clamp(max=1)
    return x * beside((1 + (torch.pi * share).cos()) / 2, x)


def swapped(row: Sequence[float], slots: Tensor, channels: int) -> Tensor:
    """(C,): the channel that each one reads."""
    order, a = torch.arange(channels), row[-spec.ARGUMENTS :]
    first = names.CHANNEL_SWAP_SWAPS
    for packed in a[first : first + int(a[names.CHANNEL_SWAP_PAIRS])]:
        second, one = divmod(int(packed), PACKED)
        order[one], order[second] = second, one
    return order


def channel_swap(x: Tensor, call: Call) -> Tensor:
    return x.index_select(2, swapped(call.row, call.slots, x.shape[2]).to(x.device))


def rereference(x: Tensor, call: Call) -> Tensor:
    if call.a[names.REREFERENCE_AVERAGE]:
        return x - x.mean(2, keepdim=True)
    channel = call.slot(names.REREFERENCE_CHANNEL).long().to(x.device)
    return x - x.gather(2, channel.expand(*x.shape[:2], 1, x.shape[3]))


def rolled(row: Sequence[float], slots: Tensor, channels: int) -> Tensor:
    """(views, N, C): the channel that each one reads."""
    size = int(row[-spec.ARGUMENTS :][names.BAND_ROLL_SIZE])
    shift = slots[..., names.BAND_ROLL_SHIFT, None].long()
    channel = torch.arange(channels, device=slots.device)
    return channel // size * size + (channel - shift) % size


def band_roll(x: Tensor, call: Call) -> Tensor:
    source = rolled(call.row, call.slots, x.shape[2])[..., None]
    return x.gather(2, source.to(x.device).expand(x.shape))


CHANNEL_ORDERS = {Code.CHANNEL_SWAP: swapped, Code.BAND_ROLL: rolled}


def renormalise(x: Tensor, call: Call) -> Tensor:
    spread = row_std(x, call.length)
    centred = x - row_mean(x, call.length).to(x.dtype)
    return centred / torch.where(spread > 0, spread, 1.0).to(x.dtype)


def observation_dropout(x: Tensor, call: Call) -> Tensor:
    words = call.subject.elements(call.row)[..., : x.shape[-1]]
    words = words if call.a[names.OBSERVATION_DROPOUT_PER_CHANNEL] else words[:, :, :1]
    gone = words < int(call.a[names.OBSERVATION_DROPOUT_THRESHOLD])
    return torch.where(gone.to(x.device), torch.nan, x)


def jittered_stamps(x: Tensor, call: Call) -> Tensor:
    words = call.subject.elements(call.row)[:, :, :1, : x.shape[-1]].to(call.slots.device)
    turns = 2 * random.uniform(words, torch.float64) - 1
    position = (call.steps(x) + call.slot(names.JITTERED_STAMPS_MAGNITUDE) * turns).clamp_min(0)
    return read_at(x, call, position.minimum((call.host_length - 1).double()))


OPERATIONS: dict[Code, Callable[[Tensor, Call], Tensor]] = {
    Code.TAPERED_MASK: tapered_mask,
    Code.BAND_STOP: band_stop,
    Code.BAND_PASS: band_pass,
    Code.FREQUENCY_SHIFT: frequency_shift,
    Code.BASELINE_WANDER: add_sine,
    Code.POWERLINE_HUM: add_sine,
    Code.COLOURED_NOISE: coloured_noise,
    Code.CHANNEL_SWAP: channel_swap,
    Code.REREFERENCE: rereference,
    Code.BAND_ROLL: band_roll,
    Code.RENORMALISE: renormalise,
    Code.OBSERVATION_DROPOUT: observation_dropout,
    Code.JITTERED_STAMPS: jittered_stamps,
}
