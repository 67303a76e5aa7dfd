"""What every transform of torch-audiomentations shares: on what it acts, and how often it draws."""

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

MODES = ("per_batch", "per_example", "per_channel")  # from the widest unit to the narrowest


class ModeNotSupportedException(Exception):
    """A mode that a transform does not have."""


class MultichannelAudioNotSupportedException(Exception):
    """Several channels where a transform takes one."""


class ObjectDict(dict[str, Any]):
    """A dictionary whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def chosen_output(name: str, output_type: str | None) -> str:
    """Where nothing is said, "tensor", with the library's warnings."""
    if output_type is None:
        warnings.warn(
            f'{name}: output_type is "tensor" where it is not given; output_type="dict" is the '
            "library's coming default",
            FutureWarning,
            stacklevel=3,
        )
        return "tensor"
    if output_type == "tensor":
        warnings.warn(
            f'{name}: output_type="dict" is the library\'s coming default',
            DeprecationWarning,
            stacklevel=3,
        )
    return output_type


class BaseWaveformTransform(nn.Module):
    """A transform: subclasses have `apply_transform`, and `randomize_parameters` where they draw.

    Args:
        mode: what shares one draw of the parameters: "per_channel", "per_example" or "per_batch".
        p: probability in [0, 1] to act. p_mode: on what it is drawn, mode or wider; None: mode.
        sample_rate, target_rate: of calls that do not give them.
        output_type: "tensor", or "dict" for an ObjectDict with samples, sample_rate, targets and
            target_rate; None: "tensor", with a FutureWarning.

    A call takes samples (N, C, T), targets (N, C, frames, classes) or None, and returns new ones of
    the same shape and dtype; in eval mode what it was given.

    Raises: ModeNotSupportedException; AssertionError for p or p_mode; at a call RuntimeError for
    another shape, or a rate that is missing.
    """

    supported_modes: ClassVar[set[str]] = set(MODES)
    supports_multichannel = True
    requires_sample_rate = False
    supports_target = True
    requires_target = False

    def __init__(
        self,
        mode: str = "per_example",
        p: float = 0.5,
        p_mode: str | None = None,
        sample_rate: int | None = None,
        target_rate: int | None = None,
        output_type: str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if not 0.0 <= p <= 1.0:
            raise AssertionError(f"p: {p}; accepted: a number in [0, 1]")
        if mode not in self.supported_modes:
            raise ModeNotSupportedException(
                f"mode: {mode!r} with {name}; accepted: {', '.join(sorted(self.supported_modes))}"
            )
        wider = MODES[: MODES.index(mode) + 1]
        if p_mode is not None and p_mode not in wider:
            raise AssertionError(f"p_mode: {p_mode!r}; accepted with mode {mode!r}: {wider}")
        self.mode, self.p, self.p_mode = mode, p, p_mode or mode
        self.sample_rate, self.target_rate = sample_rate, target_rate
        self.output_type = chosen_output(name, output_type)
        self.transform_parameters: dict[str, Any] = {}
        self.are_parameters_frozen = False

    def forward(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> Any:
        """As `BaseWaveformTransform` says. samples: floating; sample_rate, target_rate: Hz."""
        given = ObjectDict(
            samples=samples, sample_rate=sample_rate, targets=targets, target_rate=target_rate
        )
        found = self._changed(given) if self.training else given
        return found.samples if self.output_type == "tensor" else found

    def _changed(self, given: ObjectDict) -> ObjectDict:
        if not self._checked(given):
            return given
        sample_rate = given.sample_rate or self.sample_rate
        target_rate = self._rate_of_targets(given, sample_rate)
        samples, targets = given.samples, given.targets
        if not self.are_parameters_frozen:
            acts = torch.bernoulli(torch.tensor(float(self.p)).expand(_count(self.p_mode, samples)))
            self.transform_parameters = {"should_apply": acts.bool().to(samples.device)}
        acts = self.transform_parameters["should_apply"]
        if not acts.any():
            return ObjectDict(given, sample_rate=sample_rate, target_rate=target_rate)
        acts = acts.repeat_interleave(_count(self.mode, samples) // len(acts))
        of_units = [None if x is None else _units(x, self.mode) for x in (samples, targets)]
        parts: Any = [None if x is None else x[acts] for x in of_units]
        rates = (sample_rate, parts[1], target_rate)
        if not self.are_parameters_frozen:
            self.randomize_parameters(parts[0], *rates)
        found = self.apply_transform(parts[0], *rates)
        new = [
            None if x is None else _put(x, acts, y).reshape(whole.shape)
            for x, y, whole in zip(
                of_units, (found.samples, found.targets), (samples, targets), strict=True
            )
        ]
        return ObjectDict(
            samples=new[0],
            sample_rate=found.sample_rate,
            targets=new[1],
            target_rate=found.target_rate,
        )

    def _checked(self, given: ObjectDict) -> bool:
        """Whether there is anything to do; errors and warnings are the library's."""
        samples, name = given.samples, type(self).__name__
        if not isinstance(samples, Tensor) or samples.dim() != 3:
            shown = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
            raise RuntimeError(f"samples: {shown}; accepted: (N, C, T)")
        if not samples.numel():
            warnings.warn(f"samples: {tuple(samples.shape)} for {name}, none", stacklevel=5)
            return False
        _, channels, steps = samples.shape
        if channels > 1 and channels > steps:
            warnings.warn(f"samples: {channels} channels, {steps} steps; (N, C, T)?", stacklevel=5)
        if channels > 1 and not self.supports_multichannel:
            raise MultichannelAudioNotSupportedException(f"samples: C = {channels}; accepted: 1")
        if (given.sample_rate or self.sample_rate) is None and self.is_sample_rate_required():
            raise RuntimeError("sample_rate: None; accepted: a number, here or at construction")
        targets = given.targets
        if targets is None:
            if self.is_target_required():
                raise RuntimeError("targets: None; accepted: (N, C, frames, classes)")
            return True
        if not self.supports_target:
            warnings.warn(f"targets: {name} does not change them", stacklevel=5)
        if not isinstance(targets, Tensor) or targets.dim() != 4:
            raise RuntimeError("targets: accepted: (N, C, frames, classes)")
        if targets.shape[:2] != samples.shape[:2]:
            raise RuntimeError(
                f"targets: shape {tuple(targets.shape)}; accepted: (N, C) as {tuple(samples.shape)}"
            )
        return True

    def _rate_of_targets(self, given: ObjectDict, sample_rate: int | None) -> int | None:
        rate: int | None = given.target_rate or self.target_rate
        if given.targets is None or rate is not None:
            return rate
        frames = given.targets.shape[2]
        if frames == 1:  # of the whole series
            return 0
        if sample_rate is None:
            raise RuntimeError("target_rate: None; accepted: a number, or a sample_rate")
        rate = round(sample_rate * frames / given.samples.shape[2])
        warnings.warn(f"target_rate: None; taken from the shapes: {rate}", stacklevel=5)
        return rate

    def randomize_parameters(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> None:
        """Draws what the units that are acted on need, into `transform_parameters`."""

    def apply_transform(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> ObjectDict:
        """Of the units that are acted on: new samples and targets."""
        raise NotImplementedError

    def is_sample_rate_required(self) -> bool:
        """Whether a call needs `sample_rate`, in hertz."""
        return self.requires_sample_rate

    def is_target_required(self) -> bool:
        """Whether a call needs `targets`."""
        return self.requires_target

    def freeze_parameters(self) -> None:
        """Every call repeats what the last one drew."""
        self.are_parameters_frozen = True

    def unfreeze_parameters(self) -> None:
        """Calls draw again."""
        self.are_parameters_frozen = False


def _count(mode: str, samples: Tensor) -> int:
    n, channels, _ = samples.shape
    return {"per_batch": 1, "per_example": n, "per_channel": n * channels}[mode]


def _units(x: Tensor, mode: str) -> Tensor:
    """(N, C, ...) as (units, channels of a unit, ...)."""
    if mode == "per_example":
        return x
    return x.reshape(1, -1, *x.shape[2:]) if mode == "per_batch" else x.reshape(-1, 1, *x.shape[2:])


def _put(x: Tensor, acts: Tensor, part: Tensor) -> Tensor:
    new = x.clone()
    new[acts] = part.to(x.dtype)
    return new
