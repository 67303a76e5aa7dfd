"""Transforms of torch-audiomentations in a row, and some of them, chosen for a whole batch."""

import random
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from tsssl_fast.compat.torch_audiomentations.interface import (
    MODES,
    BaseWaveformTransform,
    ObjectDict,
    chosen_output,
)


class BaseCompose(nn.Module):
    def __init__(
        self,
        transforms: Iterable[nn.Module],
        shuffle: bool = False,
        p: float = 1.0,
        p_mode: str = "per_batch",
        output_type: str | None = None,
    ) -> None:
        super().__init__()
        if p_mode != "per_batch":
            raise ValueError(f"p_mode: {p_mode!r}; accepted: per_batch")
        self.p, self.p_mode, self.shuffle = p, p_mode, shuffle
        self.are_parameters_frozen = False
        self.output_type = chosen_output(type(self).__name__, output_type)
        self.transforms = nn.ModuleList(transforms)
        self.transform_indexes: list[int] | None = None  # those of the last call, in their order
        for transform in self.transforms:
            transform.output_type = "dict"  # type: ignore[assignment]  # an attribute of theirs

    def forward(
        self,
        samples: Tensor,
        sample_rate: int | None = None,
        targets: Tensor | None = None,
        target_rate: int | None = None,
    ) -> Any:
        """As that of `BaseWaveformTransform`; another module gets the samples alone.

        samples: (N, C, T) floating; targets: (N, C, frames, classes) or None; sample_rate,
        target_rate: Hz.
        """
        found = ObjectDict(
            samples=samples, sample_rate=sample_rate, targets=targets, target_rate=target_rate
        )
        if not self.are_parameters_frozen or self.transform_indexes is None:
            self.transform_indexes = self.chosen() if random.random() < self.p else []
        for i in self.transform_indexes:
            transform = self.transforms[i]
            if isinstance(transform, BaseWaveformTransform | BaseCompose):
                found = transform(**found)
            else:
                found.samples = transform(found.samples)
        return found.samples if self.output_type == "tensor" else found

    def chosen(self) -> list[int]:
        """Which transforms run, in their order."""
        raise NotImplementedError

    def freeze_parameters(self) -> None:
        """Every call repeats what the last one drew and chose."""
        self._freeze(True)

    def unfreeze_parameters(self) -> None:
        """Calls draw again, those of the members too."""
        self._freeze(False)

    def _freeze(self, frozen: bool) -> None:
        self.are_parameters_frozen = frozen
        for transform in self.transforms:
            if isinstance(transform, BaseWaveformTransform | BaseCompose):
                transform.freeze_parameters() if frozen else transform.unfreeze_parameters()

    @property
    def supported_modes(self) -> set[str]:
        """Those that every transform has."""
        modes = set(MODES)
        for transform in self.transforms:
            if isinstance(transform, BaseWaveformTransform | BaseCompose):
                modes &= transform.supported_modes
        return modes


class Compose(BaseCompose):
    """All transforms one after the other.

    Args:
        transforms: these and other modules. shuffle: in a random order.
        p: probability that they run at all. p_mode: "per_batch".
        output_type: as of BaseWaveformTransform.

    Raises ValueError for another p_mode.
    """

    def chosen(self) -> list[int]:
        order = list(range(len(self.transforms)))
        if self.shuffle:
            random.shuffle(order)
        return order


class SomeOf(BaseCompose):
    """num_transforms of them, a number or (least, most), most None for all; in the order given.

    Raises AssertionError for a number below 1 or above that of the transforms, ValueError for
    another p_mode than "per_batch".
    """

    def __init__(
        self,
        num_transforms: int | tuple[int, int | None],
        transforms: Iterable[nn.Module],
        p: float = 1.0,
        p_mode: str = "per_batch",
        output_type: str | None = None,
    ) -> None:
        super().__init__(transforms, p=p, p_mode=p_mode, output_type=output_type)
        count = len(self.transforms)
        given = num_transforms if isinstance(num_transforms, tuple) else (num_transforms,) * 2
        least, most = given[0], given[1] or count
        if not (1 <= least <= count and most <= count):
            raise AssertionError(f"num_transforms: {num_transforms}; accepted: 1 to {count}")
        self.num_transforms = num_transforms
        self.min_num_transforms, self.max_num_transforms = least, most

    def chosen(self) -> list[int]:
        number = random.randint(self.min_num_transforms, self.max_num_transforms)
        return sorted(random.sample(range(len(self.transforms)), number))


class OneOf(SomeOf):
    """One of them."""

    def __init__(
        self,
        transforms: Iterable[nn.Module],
        p: float = 1.0,
        p_mode: str = "per_batch",
        output_type: str | None = None,
    ) -> None:
        super().__init__(1, transforms, p, p_mode, output_type)
