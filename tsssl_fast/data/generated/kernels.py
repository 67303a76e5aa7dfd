"""Draws of Gaussian processes whose kernels are random sums and products.

Time is u in [-1/2, 1/2] around a random centre, tau = |s - t| the distance of two steps, both as
shares of the series. Atoms, scales drawn log-uniformly:

| atom               | k(s, t)                                   |
| ------------------ | ----------------------------------------- |
| RBF                | exp(-tau^2 / (2 l^2))                     |
| periodic           | exp(-2 sin^2(pi tau / p) / l^2)           |
| rational quadratic | (1 + tau^2 / (2 a l^2))^-a                |
| Ornstein-Uhlenbeck | exp(-tau / l)                             |
| white              | w [s = t]                                 |
| linear             | u_s u_t                                   |

Source of the atoms: Duvenaud et al., "Structure discovery in nonparametric regression through
compositional kernel search", ICML 2013.

Any sum and product of them is sum_p (u_s u_t)^p c_p(tau) with stationary c_p, so a draw is
sum_p u^p g_p with independent stationary g_p: no Cholesky factor, a pair of FFTs each. The g_p are
periodic draws of twice the length (circulant embedding: Dietrich and Newsam, SIAM J. Sci. Comput.
1997); negative eigenvalues, which slowly falling c_p have, count as 0.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Generator = np.random.Generator

ATOMS = ("rbf", "periodic", "rational", "ornstein_uhlenbeck", "white", "linear")
MOST_ATOMS = 4
MOST_LINEAR = 2  # higher powers of time leave the ends of a series alone visible


def log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def stationary(name: str, tau: Array, rng: Generator) -> Array:
    """k as a function of tau, of scales that are drawn."""
    if name == "rbf":
        return np.exp(-0.5 * (tau / log_uniform(rng, 0.01, 0.5)) ** 2)
    if name == "periodic":
        period, smooth = log_uniform(rng, 0.03, 0.7), log_uniform(rng, 0.3, 2.0)
        return np.exp(-2.0 * (np.sin(np.pi * tau / period) / smooth) ** 2)
    if name == "rational":
        alpha, scale = log_uniform(rng, 0.2, 5.0), log_uniform(rng, 0.01, 0.5)
        return np.asarray((1.0 + (tau / scale) ** 2 / (2.0 * alpha)) ** -alpha)
    if name == "ornstein_uhlenbeck":
        return np.exp(-tau / log_uniform(rng, 0.01, 1.0))
    return np.where(tau == 0.0, log_uniform(rng, 0.001, 0.5), 0.0)


def kernel(tau: Array, rng: Generator) -> dict[int, Array]:
    """p -> c_p(tau) of one to four atoms, joined from the left by sums and products."""
    total: dict[int, Array] = {}
    for name in rng.choice(ATOMS, size=rng.integers(1, MOST_ATOMS + 1)):
        atom = (1, np.ones_like(tau)) if name == "linear" else (0, stationary(name, tau, rng))
        if not total:
            total = dict([atom])
        elif rng.random() < 0.5:
            total[atom[0]] = total.get(atom[0], 0.0) + atom[1]
        elif atom[0] + max(total) <= MOST_LINEAR:
            total = {p + atom[0]: c * atom[1] for p, c in total.items()}
    return total


def draw(rows: Array, rng: Generator) -> Array:
    """Stationary draws: rows (K, T + 1), the covariances at distances 0 to T -> (K, T)."""
    around = np.concatenate([rows, rows[:, -2:0:-1]], axis=1)
    eigenvalues = np.maximum(np.fft.rfft(around).real, 0.0)
    white = np.fft.rfft(rng.standard_normal(around.shape))
    return np.fft.irfft(np.sqrt(eigenvalues) * white, around.shape[1])[:, : rows.shape[1] - 1]


def gaussian_processes(count: int, length: int, rng: Generator) -> Array:
    """(count, length): a draw of a process of its own kernel each."""
    tau = np.arange(length + 1) / length
    kernels = [kernel(tau, rng) for _ in range(count)]
    centres = rng.uniform(0.0, 1.0, count)
    terms = [(row, power) for row, found in enumerate(kernels) for power in found]
    draws = draw(np.stack([kernels[row][power] for row, power in terms]), rng)
    x = np.zeros((count, length))
    for (row, power), g in zip(terms, draws, strict=True):
        x[row] += (tau[:-1] - centres[row]) ** power * g
    return x
