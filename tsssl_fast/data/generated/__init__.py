"""Series that were never measured, for an encoder that is trained on no one's data.

    x = tsssl_fast.data.generated(40_000, 256, seed=0)  # (40000, 1, 256) float32

32 series are the nodes of a random graph (`graphs.py`), whose roots are draws of Gaussian processes
(`kernels.py`) and trains of events (`events.py`). The idea and the kinds of kernels and functions:
CauKer, "Classification time series foundation models can be pretrained on synthetic data only"
(2025); KernelSynth in Chronos (2024).
"""

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.data.generated.graphs import NODES, graph

__all__ = ["generated"]

MOST = 2**62  # seeds and places; a key of Philox has two words of 64 bits


def generated(n: int, length: int = 256, seed: int = 0, *, start: int = 0) -> Tensor:
    """Series number `start` to `start + n - 1` of a seed: (n, 1, length) float32.

    Each has mean 0 and standard deviation 1 over time before its noise is added; it is 0 where it
    does not move, as a short series may whose events lie between its steps. A series is a
    function of seed, length and its number, whatever is asked for with it, in any process; to the
    bit with the same version of NumPy on the same kind of processor.

    Args:
        n: series, 0 or more.
        length: steps, 8 or more. Scales are shares of the length, so a longer series has the same
            content in more steps.
        seed: 0 to 2^62.
        start: number of the first, 0 or more. Neighbours may be nodes of one graph, 32 of which
            are related: shuffle before batches are cut.

    Raises TypeError for what is no integer, ValueError for one out of range.
    """
    for name, value, least in (
        ("n", n, 0),
        ("length", length, 8),
        ("seed", seed, 0),
        ("start", start, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name}: {type(value).__name__}; accepted: an integer")
        checks.at_least(name, int(value), least)
        if value > MOST:
            raise ValueError(f"{name}: {value}; accepted: at most 2**62")
    x = np.empty((int(n), int(length)), dtype=np.float32)
    place, stop = int(start), int(start) + int(n)
    while place < stop:
        number, first = divmod(place, NODES)
        count = min(NODES - first, stop - place)
        rng = np.random.Generator(np.random.Philox(key=[int(seed), number]))
        x[place - start : place - start + count] = graph(rng, int(length))[first : first + count]
        place += count
    return torch.from_numpy(x)[:, None]
