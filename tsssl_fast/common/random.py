"""Random numbers that are a pure function of a key and a counter, the same bits on every backend.

Engine: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
SC'11). The functions take Python integers or int64 tensors whose values lie in [0, 2^32): plain
integer arithmetic, so that they run on any device and serve as the definition for
csrc/rng/philox.h.

Key: the seed, folded with epoch, step and rank in this order (`fold_seed`). Folding runs the
cipher, where adding would let (seed, epoch + 1) and (seed + 1, epoch) share a stream.
"""

import operator
from typing import Any, SupportsIndex, TypeVar

import torch
from torch import Tensor

Word = TypeVar("Word", int, Tensor)
Key = tuple[int, int]

_MASK = 0xFFFFFFFF
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def philox(counter: tuple[Word, Word, Word, Word], key: Key) -> tuple[Word, Word, Word, Word]:
    """Four random words from a 128-bit counter and a 64-bit key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # A signed 64-bit product wraps modulo 2^64: its words are right after the mask.
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def fold(key: Key, value: int) -> Key:
    """A new key from a key and a 64-bit value."""
    w0, w1, _, _ = philox((value & _MASK, (value >> 32) & _MASK, 0, 0), key)
    return w0, w1


def fold_seed(seed: int, epoch: int = 0, step: int = 0, rank: int = 0) -> Key:
    """The key of a call: `seed` folded with the epoch, the step and the rank."""
    key = (seed & _MASK, (seed >> 32) & _MASK)
    for value in (epoch, step, rank):
        key = fold(key, value)
    return key


def uniform(word: Tensor, dtype: torch.dtype) -> Tensor:
    """[0, 1) with 24 bits, exact in float32 and float64."""
    return (word & 0xFFFFFF).to(dtype) * 2.0**-24


def below(word: Tensor, count: Tensor | int) -> Tensor:
    """An integer in [0, count) by the high half of the product; bias at most count / 2^32."""
    return (word * count) >> 32 & _MASK


def seed_numbers(seed: Any, epoch: Any, step: Any, rank: Any) -> tuple[int, ...] | None:
    """What `seed_tensor` would hold, where no tensor is given; None where it has to look."""
    low, high = -(2**63), 2**63
    if not (type(epoch) is type(step) is type(rank) is int):
        return None
    if not (low <= epoch < high and low <= step < high and low <= rank < high):
        return None
    if seed is None or isinstance(seed, torch.Generator):
        return int(_first(seed)), epoch, step, rank
    if type(seed) is not int or not low <= seed < 2 * high:
        return None
    return (seed - 2 * high if seed >= high else seed, epoch, step, rank)


def numbers(seed: Tensor | tuple[int, ...]) -> tuple[int, ...]:
    """Seed, epoch, step and rank of either form."""
    return seed if isinstance(seed, tuple) else tuple(seed.tolist())


def seed_tensor(
    seed: SupportsIndex | torch.Generator | None,
    epoch: SupportsIndex = 0,
    step: SupportsIndex = 0,
    rank: SupportsIndex = 0,
) -> Tensor:
    """(4,) int64: seed, epoch, step, rank, as the operators take them.

    seed: an integer in [-2^63, 2^64); a torch.Generator, from which one 64-bit number is drawn; a
    0-d int64 tensor; or None, for one draw from torch's global generator.
    epoch, step: integers in [-2^63, 2^63), or 0-d integer tensors. On the CPU unless one of these
    is a tensor elsewhere: the result is then there, and nothing reads it.
    """
    numbers = [_first(seed), _number("epoch", epoch), _number("step", step), _number("rank", rank)]
    if not any(isinstance(n, Tensor) for n in numbers):
        return torch.tensor(numbers, dtype=torch.int64)
    elsewhere = [n.device for n in numbers if isinstance(n, Tensor) and not n.is_cpu]
    device = elsewhere[0] if elsewhere else torch.device("cpu")
    # full, not tensor: a graph that is captured takes no copy from the host.
    return torch.stack(
        [
            n.to(torch.int64)
            if isinstance(n, Tensor) and n.device == device
            else torch.full((), int(n), dtype=torch.int64, device=device)
            for n in numbers
        ]
    )


def _first(seed: Any) -> int | Tensor:
    """The seed as a signed 64-bit number."""
    if isinstance(seed, Tensor):
        if seed.dim() != 0 or seed.dtype != torch.int64:
            given = f"{seed.dtype} tensor of shape {tuple(seed.shape)}"
            raise TypeError(f"seed: {given}; accepted: a 0-d int64 tensor")
        return seed.cpu()
    if seed is None:
        return torch.randint(-(2**63), 2**63 - 1, ())
    if isinstance(seed, torch.Generator):
        return torch.randint(-(2**63), 2**63 - 1, (), generator=seed, device=seed.device).cpu()
    number = _index(seed)
    if number is None:
        raise TypeError(
            f"seed: {type(seed).__name__}; accepted: an integer, torch.Generator, 0-d int64 "
            "tensor or None"
        )
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"seed: {seed}; accepted: an integer in [-2**63, 2**64)")
    return number - 2**64 if number >= 2**63 else number


def _number(name: str, value: Any) -> int | Tensor:
    """An epoch, a step or a rank."""
    if isinstance(value, Tensor) and name != "rank":
        if value.dim() != 0 or value.dtype not in _INTEGERS:
            given = f"{value.dtype} tensor of shape {tuple(value.shape)}"
            raise TypeError(f"{name}: {given}; accepted: an integer or a 0-d integer tensor")
        return value
    number = None if isinstance(value, Tensor) else _index(value)
    if number is None:
        raise TypeError(f"{name}: {type(value).__name__}; accepted: an integer")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: {value}; accepted: an integer in [-2**63, 2**63)")
    return number


def _index(value: Any) -> int | None:
    """An integer of any type, numpy's too; None for anything else, a bool or a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return None
