"""The transforms of torch-audiomentations that are here; T is time, a unit what shares a draw."""

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsssl_fast.compat.torch_audiomentations.interface import BaseWaveformTransform, ObjectDict


class _Samples(BaseWaveformTransform):
    """Targets stay as they are."""

    def changed(self, samples: Tensor) -> Tensor:
        """Samples (N, C, T), all of which the transform acts on, in their dtype."""
        return samples

    def apply_transform(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> ObjectDict:
        return ObjectDict(
            samples=self.changed(samples),
            sample_rate=sample_rate,
            targets=targets,
            target_rate=target_rate,
        )


class Identity(_Samples):
    """x."""


class PolarityInversion(_Samples):
    """-x."""

    def changed(self, samples: Tensor) -> Tensor:
        """Samples (N, C, T), all of which the transform acts on, in their dtype."""
        return -samples


class TimeInversion(_Samples):
    """x[T - 1 - t]; frames of targets are reversed too."""

    def apply_transform(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> ObjectDict:
        return ObjectDict(
            samples=samples.flip(-1),
            sample_rate=sample_rate,
            targets=None if targets is None else targets.flip(-2),
            target_rate=target_rate,
        )


class Gain(_Samples):
    """10^(g/20) x, g uniform on [min_gain_in_db, max_gain_in_db)."""

    def __init__(
        self, min_gain_in_db: float = -18.0, max_gain_in_db: float = 6.0, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if min_gain_in_db >= max_gain_in_db:
            raise ValueError(f"max_gain_in_db: {max_gain_in_db}; accepted: > {min_gain_in_db}")
        self.min_gain_in_db, self.max_gain_in_db = min_gain_in_db, max_gain_in_db

    def randomize_parameters(self, samples: Tensor, *_: Any) -> None:
        ends = (self.min_gain_in_db, self.max_gain_in_db)
        low, high = (torch.tensor(x, dtype=torch.float32, device=samples.device) for x in ends)
        drawn = low + torch.rand(len(samples), device=samples.device) * (high - low)
        self.transform_parameters["gain_factors"] = (10 ** (drawn / 20))[:, None, None]

    def changed(self, samples: Tensor) -> Tensor:
        """Samples (N, C, T), all of which the transform acts on, in their dtype."""
        return samples * self.transform_parameters["gain_factors"]


class PeakNormalization(_Samples):
    """x over its unit's largest absolute value; apply_to "only_too_loud_sounds": where that is
    above 1. A unit of zeros stays."""

    def __init__(self, apply_to: str = "all", *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if apply_to not in ("all", "only_too_loud_sounds"):
            raise AssertionError(f"apply_to: {apply_to!r}; accepted: all, only_too_loud_sounds")
        self.apply_to = apply_to

    def randomize_parameters(self, samples: Tensor, *_: Any) -> None:
        largest = samples.abs().amax(dim=(-2, -1))
        selector = largest > (0.0 if self.apply_to == "all" else 1.0)
        self.transform_parameters["selector"] = selector
        if selector.any():
            self.transform_parameters["divisors"] = largest[selector].reshape(-1, 1, 1)

    def changed(self, samples: Tensor) -> Tensor:
        """Samples (N, C, T), all of which the transform acts on, in their dtype."""
        if "divisors" not in self.transform_parameters:
            return samples
        divisors = samples.new_ones(len(samples), 1, 1)
        divisors[self.transform_parameters["selector"]] = self.transform_parameters["divisors"]
        return samples / divisors


class ShuffleChannels(BaseWaveformTransform):
    """x[o_c, t], o a random order of the channels of each example; of targets too. With one channel
    nothing but a warning."""

    supported_modes: ClassVar[set[str]] = {"per_example"}

    def randomize_parameters(self, samples: Tensor, *_: Any) -> None:
        count, channels = samples.shape[:2]
        if channels > 255:
            raise AssertionError(f"samples: {channels} channels; accepted: at most 255")
        orders = [torch.randperm(channels, device=samples.device) for _ in range(count)]
        self.transform_parameters["permutations"] = torch.stack(orders)

    def apply_transform(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> ObjectDict:
        if samples.shape[1] == 1:
            warnings.warn("samples: one channel, which ShuffleChannels leaves", stacklevel=6)
        order = self.transform_parameters["permutations"]
        row = torch.arange(len(order), device=order.device)[:, None]
        return ObjectDict(
            samples=samples[row, order],
            sample_rate=sample_rate,
            targets=None if targets is None else targets[row, order],
            target_rate=target_rate,
        )


class Shift(_Samples):
    """x[t - s], s a whole number of steps, uniform from min_shift to max_shift, both included.

    shift_unit: of the ends, "fraction" of T, "samples", or "seconds", which needs a sample_rate;
    rollover: what leaves at one end enters at the other; False: zeros.
    """

    supports_target = False

    def __init__(
        self,
        min_shift: float = -0.5,
        max_shift: float = 0.5,
        shift_unit: str = "fraction",
        rollover: bool = True,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if min_shift > max_shift:
            raise ValueError(f"max_shift: {max_shift}; accepted: >= min_shift = {min_shift}")
        if shift_unit not in ("fraction", "samples", "seconds"):
            raise ValueError(f"shift_unit: {shift_unit!r}; accepted: fraction, samples, seconds")
        self.min_shift, self.max_shift = min_shift, max_shift
        self.shift_unit, self.rollover = shift_unit, rollover

    def randomize_parameters(self, samples: Tensor, sample_rate: Any = None, *_: Any) -> None:
        units = {"samples": 1, "fraction": samples.shape[-1], "seconds": sample_rate}
        unit = units[self.shift_unit]
        low, high = (round(x * unit) for x in (self.min_shift, self.max_shift))
        form: Any = {"size": (len(samples),), "dtype": torch.int32, "device": samples.device}
        shift = torch.full(fill_value=low, **form)
        if low < high:  # the library draws nothing else
            shift = torch.randint(low, high + 1, **form)
        self.transform_parameters["num_samples_to_shift"] = shift

    def changed(self, samples: Tensor) -> Tensor:
        """Samples (N, C, T), all of which the transform acts on, in their dtype."""
        shift, steps = self.transform_parameters["num_samples_to_shift"], samples.shape[-1]
        source = torch.arange(steps, device=samples.device) - shift[:, None, None].long()
        moved = samples.gather(-1, (source % steps).expand(samples.shape))
        if self.rollover:
            return moved
        return torch.where((source < 0) | (source >= steps), 0.0, moved)

    def apply_transform(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> ObjectDict:
        if targets is not None and target_rate:
            raise NotImplementedError(
                "targets: not implemented with Shift where they have frames of their own; "
                "tsssl_fast.augment.TimeShift and its Parameters.apply_to move labels"
            )
        return super().apply_transform(samples, sample_rate, targets, target_rate)

    def is_sample_rate_required(self) -> bool:
        """Whether a call needs `sample_rate`: where shifts are in seconds."""
        return self.shift_unit == "seconds"
