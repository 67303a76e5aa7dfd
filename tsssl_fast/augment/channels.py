"""Operations between channels. Conventions as in values.py."""

from collections.abc import Sequence

from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec

__all__ = [
    "BidirectionalFlip",
    "ChannelFlip",
    "ChannelPermutation",
    "Rotation",
]


class ChannelFlip(Transform):
    """The channels in reverse order: x~[c, t] = x[C-1-c, t].

    Source: SimCLR-TS, the matrix that it prints. Units: no parameter.
    """


class BidirectionalFlip(Transform):
    """Channels and time reversed: x~[c, t] = x[C-1-c, T-1-t].

    Source: SimCLR-TS, the printed formula; its figure shows SignFlip. Units: no parameter.
    """


class ChannelPermutation(Transform):
    """The channels in random order, uniform over all orders: x~[c, t] = x[o_c, t].

    Source: SimCLR-TS by its name; the matrix printed there only reverses them: ChannelFlip. Units:
    no parameter.
    """


class Rotation(Transform):
    """A random rotation of three-axis sensors, uniform over all rotations.

    x~[(i, j, k), t] = R x[(i, j, k), t] for every triple, R the matrix of a unit quaternion. The
    triples of a sample turn together: accelerometer and gyroscope of one device.

    Source: Um (rotation). Units: channels by number.

    Args:
        triples: 1 to 5 triples of channel numbers (x, y, z), without a channel twice.
    """

    triples: tuple[tuple[int, int, int], ...] = ((0, 1, 2),)

    def check_arguments(self) -> None:
        triples = self.triples if isinstance(self.triples, tuple | list) else ()
        right = all(isinstance(triple, tuple | list) and len(triple) == 3 for triple in triples)
        if not right or not 1 <= len(triples) <= spec.MAX_TRIPLES:
            raise ValueError(
                f"triples: {self.triples}; accepted: 1 to {spec.MAX_TRIPLES} triples of channels"
            )
        flat = [c for triple in triples for c in triple]
        if len(set(flat)) != len(flat) or any(
            isinstance(c, bool) or not isinstance(c, int) or c < 0 for c in flat
        ):
            raise ValueError(f"triples: {self.triples}; accepted: different channels >= 0")

    def row_arguments(self) -> Sequence[float]:
        return (len(self.triples), *(c for triple in self.triples for c in triple))

    def check_shape(self, channels: int, steps: int) -> None:
        most = max(c for triple in self.triples for c in triple)
        if most >= channels:
            raise ValueError(f"triples: channel {most}; accepted: 0 to C - 1 = {channels - 1}")
