"""Random causal graphs: every node is a series, made of one to three that came before it.

    node = f(a weighted sum of earlier nodes, one in five shifted in time)

Source of the idea: structural causal models as a prior over data (Hollmann et al., TabPFN, ICLR
2023); for series CauKer (2025).
"""

from collections.abc import Callable

import numpy as np

from tsssl_fast.data.generated.events import train
from tsssl_fast.data.generated.kernels import Array, Generator, gaussian_processes

PROCESSES, TRAINS, NODES = 6, 2, 32
MOST_PARENTS = 3
SHIFTED = 0.2  # share of the nodes that come late
NOISES = (0.0, 0.02, 0.1)  # deviation of what is added at the end

FUNCTIONS: tuple[Callable[[Array], Array], ...] = (
    lambda x: x,
    np.tanh,
    lambda x: np.maximum(x, 0.0),
    lambda x: np.sin(2.0 * x),
    np.abs,
    np.square,
    lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    lambda x: (x > 0.5).astype(np.float64),
)


def standardized(x: Array) -> Array:
    """(T,) with mean 0 and deviation 1; 0 where it is constant to rounding."""
    x = x - x.sum() / len(x)
    deviation = np.sqrt(np.square(x).sum() / len(x))
    return x / deviation if deviation > 1e-9 else np.zeros_like(x)


def late(x: Array, steps: int) -> Array:
    """x (T,) from `steps` ago; its first value stands before it."""
    return np.concatenate([np.full(steps, x[0]), x[: len(x) - steps]])


def graph(rng: Generator, length: int) -> Array:
    """(NODES, length): roots first, then nodes in the order in which they were made."""
    x = np.empty((NODES, length))
    x[:PROCESSES] = gaussian_processes(PROCESSES, length, rng)
    roots = PROCESSES + TRAINS
    x[PROCESSES:roots] = [train(length, rng) for _ in range(TRAINS)]
    for node in range(roots):
        x[node] = standardized(x[node])
    for node in range(roots, NODES):
        x[node] = _node(x[:node], rng)
    noise = rng.choice(NOISES, size=(NODES, 1))
    return x + noise * rng.standard_normal(x.shape)


def _node(earlier: Array, rng: Generator) -> Array:
    """A new series, of earlier ones (K, T) that are standardised."""
    length = earlier.shape[1]
    parents = rng.integers(0, len(earlier), rng.integers(1, MOST_PARENTS + 1))
    mixed = standardized(rng.standard_normal(len(parents)) @ earlier[parents])
    if rng.random() < SHIFTED:
        mixed = late(mixed, int(rng.integers(1, max(2, length // 4))))
    found = standardized(FUNCTIONS[rng.integers(len(FUNCTIONS))](mixed))
    # A step that nothing crosses is constant: its argument instead.
    return found if found.any() else mixed
