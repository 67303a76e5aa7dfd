"""What the augmentation tests share: every operation, exact inputs, every instruction set."""

import contextlib
from collections.abc import Iterator

import torch

from tsssl_fast import _native, augment, rng

ISAS = [name for name, supported in _native.C.isas().items() if supported] if _native.C else []

OPERATIONS = {
    "time_flip": augment.TimeFlip(),
    "sign_flip": augment.SignFlip(),
    "blockout_ratio": augment.Blockout(length=(0.1, 0.6), fill=0.25),
    "blockout_steps": augment.Blockout(length=(1, 1)),
    "random_noise_uniform": augment.RandomNoise(scale=(0.1, 0.5)),
    "random_noise_normal": augment.RandomNoise(scale=0.3, distribution="normal"),
    "crop_resize": augment.CropResize(scale=(0.3, 1.0)),
    "magnitude_warp": augment.MagnitudeWarp(amplitude=(0.1, 0.4), periods=(0.0, 5.5)),
    "magnitude_warp_literal": augment.MagnitudeWarp(form="literal"),
    "time_warp": augment.TimeWarp(strength=(0.2, 0.9), knots=3),
    "time_warp_no_knots": augment.TimeWarp(knots=0),
    "smooth": augment.Smooth(),
    "smooth_passes": augment.Smooth(strength=2 / 3, passes=3),
}

SHAPES = [(1, 1, 1), (3, 2, 2), (2, 3, 3), (5, 3, 37), (2, 9, 128), (2, 2, 1031)]


def series(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers in [-2, 2) with 24 bits, from Philox: the same on every machine."""
    count = int(torch.tensor(shape).prod())
    words = rng.philox((torch.arange(count), *(torch.zeros(count).long(),) * 3), (1, 2))[0]
    return (rng.uniform(words, torch.float64) * 4 - 2).reshape(shape).to(dtype)


@contextlib.contextmanager
def isa(name: str) -> Iterator[None]:
    _native.module().set_isa(name)
    try:
        yield
    finally:
        _native.module().set_isa("")


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(torch.nan_to_num(a, 77.0), torch.nan_to_num(b, 77.0))
