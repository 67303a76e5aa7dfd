"""Operations between channels. Conventions as in values.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class ChannelFlip(Transform):
    """The channels in reverse order: x~[c, t] = x[C-1-c, t]. The matrix that SimCLR-TS prints."""

    code: ClassVar[Code] = Code.CHANNEL_FLIP


@dataclass(frozen=True)
class BidirectionalFlip(Transform):
    """Channels and time reversed: x~[c, t] = x[C-1-c, T-1-t].

    The formula of SimCLR-TS; its snippet negates instead: SignFlip.
    """

    code: ClassVar[Code] = Code.BIDIRECTIONAL_FLIP


@dataclass(frozen=True)
class ChannelPermutation(Transform):
    """The channels in random order, uniform over all orders. SimCLR-TS names it so.

    Its printed matrix only reverses them: ChannelFlip.
    """

    code: ClassVar[Code] = Code.CHANNEL_PERMUTATION

    def slots(self) -> tuple[int, int]:
        return 0, 1


@dataclass(frozen=True)
class Rotation(Transform):
    """A random rotation of three-axis sensors, uniform over all rotations (Um: rotation).

    The triples of a sample turn together: accelerometer and gyroscope of one device.

    Args:
        triples: 1 to 5 triples of channel numbers (x, y, z), without a channel twice.
    """

    triples: tuple[tuple[int, int, int], ...] = ((0, 1, 2),)
    code: ClassVar[Code] = Code.ROTATION
    names: ClassVar[tuple[str, ...]] = ("unused", "w", "x", "y", "z")

    def check(self) -> None:
        flat = [c for triple in self.triples for c in triple]
        right = all(len(triple) == 3 for triple in self.triples)
        if not right or not 1 <= len(self.triples) <= spec.MAX_TRIPLES:
            raise ValueError(
                f"triples: {self.triples}; accepted: 1 to {spec.MAX_TRIPLES} triples of channels"
            )
        if len(set(flat)) != len(flat) or any(
            isinstance(c, bool) or not isinstance(c, int) or c < 0 for c in flat
        ):
            raise ValueError(f"triples: {self.triples}; accepted: different channels >= 0")

    def arguments(self) -> Sequence[float]:
        return (len(self.triples), *(c for triple in self.triples for c in triple))

    def check_shape(self, channels: int, steps: int) -> None:
        most = max(c for triple in self.triples for c in triple)
        if most >= channels:
            raise ValueError(f"triples: channel {most}; accepted: 0 to C - 1 = {channels - 1}")
