"""The definition in plain torch: vectorised over views and samples, any device, differentiable.

The order of operations is the kernels', so that the bits are too. Random draws and the scale of
relative noise count as constants in the derivative: the pipeline is affine in the series.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.precision import host_of
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import draws, pointwise
from tsssl_fast.ops.augment.reference.pointwise import Call, beside, steps
from tsssl_fast.ops.augment.spec import Code, Source, names


def _gather(x: Tensor, source: Tensor) -> Tensor:
    return x.gather(-1, source.expand(x.shape))


def _scatter(g: Tensor, source: Tensor) -> Tensor:
    return torch.zeros_like(g).scatter_add(-1, source.expand(g.shape), g)


def _line_positions(x: Tensor, call: Call) -> Tensor:
    step = (call.slot(names.CROP_RESIZE_LENGTH) - 1.0) / (call.host_length - 1).clamp_min(1)
    return call.slot(names.CROP_RESIZE_START) + call.steps(x) * step


def _scale_positions(x: Tensor, call: Call) -> Tensor:
    return call.steps(x) * call.slot(names.TIME_SCALE_SPEED)


def _warp_positions(x: Tensor, call: Call) -> Tensor:
    speed = call.slots[..., names.TIME_WARP_SPEEDS :]
    segments = speed.shape[-1] - 1
    begin = [torch.zeros_like(speed[..., 0])]
    for k in range(segments):
        begin.append(begin[-1] + (speed[..., k] + speed[..., k + 1]) * 0.5)
    # A tensor above: torch divides a number by a tensor through the rounded reciprocal.
    last = (call.host_length - 1).double()
    scale = (last[..., 0, 0] / begin[-1])[..., None]
    start = torch.stack(begin[:-1], dim=-1) * scale
    slope = speed[..., :-1] * scale
    bend = ((speed[..., 1:] - speed[..., :-1]) * 0.5) * scale
    step = torch.full_like(last, segments) / last.clamp_min(1)
    w = call.steps(x) * step
    segment = w.long().clamp_max(segments - 1)
    f = w - segment.double()
    shape = (*call.slots.shape[:2], 1, x.shape[-1])
    p, q, r = (c[..., None, :].gather(-1, segment.expand(shape)) for c in (start, slope, bend))
    return p + f * (q + f * r)


def _window_positions(x: Tensor, call: Call) -> Tensor:
    width, start = call.slot(names.WINDOW_WARP_LENGTH), call.slot(names.WINDOW_WARP_START)
    factor = call.slot(names.WINDOW_WARP_FACTOR)
    stretched = width * factor
    length = call.host_length
    whole = (length.double() - width) + stretched
    u = call.steps(x) * ((whole - 1.0) / (length - 1).clamp_min(1))
    inside, after = start + (u - start) / factor, (u - stretched) + width
    return torch.where(u < start, u, torch.where(u < start + stretched, inside, after))


_POSITIONS = {
    Code.CROP_RESIZE: _line_positions,
    Code.WINDOW_SLICE: _line_positions,
    Code.TIME_SCALE: _scale_positions,
    Code.TIME_WARP: _warp_positions,
    Code.WINDOW_WARP: _window_positions,
}


def _interpolate(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    position = _POSITIONS[call.code](x, call)
    length = call.host_length
    last = (length - 1).double()
    cut = torch.zeros_like(position, dtype=torch.bool)
    if call.code == Code.TIME_SCALE and call.a[names.TIME_SCALE_ZERO]:
        cut = position > last
    position = position.clamp_min(0.0).minimum(last)
    left = position.long().minimum(length - 2).clamp_min(0)
    right = (left + 1).minimum(length - 1)
    weight = beside(position - left.double(), x)
    cut, left, right = (flags.to(x.device) for flags in (cut, left, right))
    if adjoint:
        outside = steps(x, torch.int64) >= call.length
        g = torch.where(cut | outside, 0.0, x)
        onward = weight * g
        y = _scatter(g - onward, left) + _scatter(onward, right)
    else:
        a, b = _gather(x, left), _gather(x, right)
        y = torch.where(cut, 0.0, a + weight * (b - a))
    return torch.where(call.length > 1, y, x)


def _segment_sources(x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    order = call.slots[..., names.SEGMENT_PERMUTATION_ORDER :].long().to(x.device)
    most, t = order.shape[-1], steps(x, torch.int64)
    count = call.slot(names.SEGMENT_PERMUTATION_SEGMENTS)[..., 0].long().to(x.device)
    k, length = torch.arange(most, device=x.device), call.length[..., 0]
    begin, end = k * length // count, (k + 1) * length // count
    used = k < count
    # Sizes in the order of the output, and where each segment starts there.
    place = torch.where(used, order, most)
    sizes = torch.zeros((*order.shape[:2], most + 1), dtype=torch.int64, device=x.device)
    sizes = sizes.scatter(-1, place, torch.where(used, end - begin, 0).expand(order.shape))
    first = (sizes.cumsum(-1) - sizes).gather(-1, place)
    source = torch.zeros((*order.shape[:2], x.shape[-1]), dtype=torch.int64, device=x.device)
    for s in range(most):
        size = torch.where(used, end - begin, 0).expand(order.shape)[..., s, None]
        at = t - first[..., s, None]
        inside = (at >= 0) & (at < size)
        source = torch.where(inside, at + begin.expand(order.shape)[..., s, None], source)
    return source[..., None, :], torch.zeros_like(source[..., None, :], dtype=torch.bool)


def _shift_sources(x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    source = steps(x, torch.int64) - call.slot(names.TIME_SHIFT_SHIFT).long().to(x.device)
    edge = call.a[names.TIME_SHIFT_EDGE]
    if edge == names.TIME_SHIFT_WRAP:
        return source % call.length, torch.zeros_like(source, dtype=torch.bool)
    outside = (source < 0) | (source >= call.length)
    source = source.clamp_min(0).minimum(call.length - 1)
    return source, outside if edge == names.TIME_SHIFT_ZERO else torch.zeros_like(outside)


_SOURCES = {Code.SEGMENT_PERMUTATION: _segment_sources, Code.TIME_SHIFT: _shift_sources}


def _move_steps(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    source, zero = _SOURCES[call.code](x, call)
    if adjoint:
        inside = steps(x, torch.int64) < call.length
        return _scatter(torch.where(zero | ~inside, 0.0, x), source)
    return torch.where(zero, 0.0, _gather(x, source))


def _time_flip(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    return _gather(x, (call.length - 1 - steps(x, torch.int64)).clamp_min(0))


def _channel_flip(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    return x.flip(-2)


def _bidirectional_flip(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    return _time_flip(x.flip(-2), call, adjoint)


def _channel_permutation(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    source = call.per_channel(names.CHANNEL_PERMUTATION_SOURCES).long().to(x.device)
    if adjoint:
        source = source.argsort(-2)
    return x.gather(-2, source.expand(x.shape))


def _smooth(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    magnitude, edge = call.slot(names.SMOOTH_MAGNITUDE), call.a[names.SMOOTH_EDGE]
    centre, side = beside(1.0 - magnitude, x), beside(magnitude * 0.5, x)
    t, last = steps(x, torch.int64), call.length - 1
    mirror = (last > 0).long() * int(edge == names.SMOOTH_REFLECT)
    before = torch.where(t > 0, (t - 1).clamp_min(0), mirror)
    after = torch.where(t < last, t + 1, last - mirror).clamp_min(0)
    outside = t > last
    zero = edge == names.SMOOTH_ZERO
    no_left, no_right = (t == 0) & zero, (t == last) & zero
    for _ in range(int(call.a[names.SMOOTH_PASSES])):
        if adjoint:
            spread = torch.where(outside, 0.0, side * x)
            x = centre * x + (
                _scatter(torch.where(no_left, 0.0, spread), before)
                + _scatter(torch.where(no_right, 0.0, spread), after)
            )
        else:
            sum_ = torch.where(no_left, 0.0, _gather(x, before)) + torch.where(
                no_right, 0.0, _gather(x, after)
            )
            x = centre * x + side * sum_
    return x


Operation = Callable[[Tensor, Call, bool], Tensor]

OPERATIONS: dict[Code, Operation] = {
    **pointwise.OPERATIONS,
    Code.TIME_FLIP: _time_flip,
    Code.CROP_RESIZE: _interpolate,
    Code.TIME_WARP: _interpolate,
    Code.SMOOTH: _smooth,
    Code.CHANNEL_FLIP: _channel_flip,
    Code.BIDIRECTIONAL_FLIP: _bidirectional_flip,
    Code.TIME_SCALE: _interpolate,
    Code.CHANNEL_PERMUTATION: _channel_permutation,
    Code.SEGMENT_PERMUTATION: _move_steps,
    Code.TIME_SHIFT: _move_steps,
    Code.WINDOW_SLICE: _interpolate,
    Code.WINDOW_WARP: _interpolate,
}


def augment(x: Tensor, source: Source, views: int) -> Tensor:
    """(N, C, T) or (views, N, C, T) -> (views, N, C, T): the operations in order."""
    y = x.to(spec.compute_dtype(x.dtype)).expand(views, *x.shape[-3:])
    return _run(y, False, source).to(x.dtype)


def _run(y: Tensor, adjoint: bool, source: Source) -> Tensor:
    program, seed, sample_ids, lengths, parameters = source
    rows = program.tolist()
    subject = draws.Subject.of(seed, sample_ids, lengths, y.shape[0], y.shape[1:])
    table = draws.draw(rows, subject) if parameters is None else parameters
    table = table.to(host_of(y))
    length = subject.lengths.to(y.device)[:, None, None][None]
    inside = steps(y, torch.int64) < length
    bounds = spec.bounds(rows, y.shape[2])
    calls = [
        Call(row, table[..., begin:end], subject, length)
        for row, begin, end in zip(rows, bounds[:-1], bounds[1:], strict=True)
    ]
    for call in reversed(calls) if adjoint else calls:
        if adjoint and call.code in pointwise.IDENTITY_DERIVATIVE:
            continue
        acts = inside & (call.slot(spec.ACTS) != 0).to(y.device)
        y = torch.where(acts, OPERATIONS[call.code](y, call, adjoint), y)
    return y


def forward(x: Tensor, source: Source, views: int) -> Tensor:
    return augment(x, source, views).clone(memory_format=torch.contiguous_format)


def backward(grad: Tensor, source: Source, sum_views: bool) -> Tensor:
    g = _run(grad.to(spec.compute_dtype(grad.dtype)), True, source)
    return (g.sum(0) if sum_views else g).to(grad.dtype).contiguous()


def sample(source: Source, views: int, shape: Sequence[int]) -> Tensor:
    program, seed, sample_ids, lengths, _ = source
    return draws.draw(program.tolist(), draws.Subject.of(seed, sample_ids, lengths, views, shape))
