"""`grouped_nt_xent` by the Numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.numba.calls import _places, whole
from tsssl_fast.ops.contrastive.numba.kernels import entries
from tsssl_fast.ops.contrastive.numba.kernels import problem as numba_problem
from tsssl_fast.ops.contrastive.numba.kernels.blocks import Memory, Settings
from tsssl_fast.ops.contrastive.numba.kernels.entries import GRADIENT, MAXIMA, SUMS
from tsssl_fast.ops.contrastive.numba.kernels.problem import Layout, Schedule, Set
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN


class Groups:
    """Two views of G groups of L rows: group g has rows 2 L g to 2 L g + 2 lengths[g] - 1."""

    def __init__(self, z1: Tensor, z2: Tensor, lengths: Tensor | None, normalize: bool) -> None:
        self.dtype, (groups, size, dim) = z1.dtype, z1.shape
        self.z1, self.z2 = (z.to(spec.compute_dtype(z.dtype)) for z in (z1, z2))
        if lengths is None:
            places, layout = whole(groups, size)
        else:
            n = lengths.numpy()
            places, layout = _places(size, n), Layout(2 * size * np.arange(groups), 2 * n, 0)
        self.first, self.second, partner = places
        self.normalize = normalize
        self.schedule = Schedule(layout, dim)
        self.rows = Set(2 * groups * size, self.z1)
        self.rules = numba_problem.classes(self.z1, PLAIN, True, partner)

    def fill(self, scale: Tensor) -> None:
        for z, place in ((self.z1, self.first), (self.z2, self.second)):
            self.rows.fill(z, place, None, self.normalize, scale)

    def sums(self, made: Settings, memory: Memory, saved: Tensor, loss: Tensor) -> None:
        """Writes the rows of spec.NT_XENT_ROWS and the losses."""
        self.fill(saved[1])
        side = self.rows.forward(made)
        for phase in (SUMS,) if made.fixed else (MAXIMA, SUMS):
            self.schedule.walk(phase, side, side, self.rules, made, True, memory)
        rows, live = arrays.array(saved), self.schedule.live
        launching.run(entries.report, 1, side, made, live, rows[2:], rows[:0])
        launching.run(entries.nt_xent_values, 1, rows, live, arrays.array(loss))

    def gradients(
        self, made: Settings, memory: Memory, saved: Tensor, grad: Tensor, out: Sequence[Tensor]
    ) -> None:
        """Writes both views' gradients, from filled rows; grad: upstream, one number a row."""
        live, slopes = self.schedule.live, self.z1.new_zeros((3, saved.shape[1]))
        arguments = (arrays.array(saved), live, arrays.array(grad), made, arrays.array(slopes))
        launching.run(entries.nt_xent_slopes, 1, *arguments)
        side = self.rows.backward(slopes, saved[2:4], True)
        self.schedule.walk(GRADIENT, side, side, self.rules, made, True, memory)
        for place, gradient in zip((self.first, self.second), out, strict=True):
            self.rows.finish(side, saved[1], place, self.normalize, made.beta, gradient)


def grouped_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    problem = Groups(z1, z2, lengths, normalize)
    z, size = problem.z1, (z1.shape[0], 2 * z1.shape[1])
    loss, saved = z.new_zeros(size), z.new_empty((len(spec.NT_XENT_ROWS), *size))
    made = numba_problem.settings(1 / temperature, normalize, False, z.dtype)
    memory = problem.schedule.memory(z)
    problem.sums(made, memory, saved.view(len(saved), -1), loss.view(-1))
    return loss, saved


def grouped_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    problem = Groups(z1, z2, lengths, normalize)
    z, rows = problem.z1, saved.reshape(len(saved), -1)
    problem.fill(torch.empty_like(rows[1]))
    made = numba_problem.settings(1 / temperature, normalize, False, z.dtype)
    out = [z.new_empty(x.shape) for x in (z1, z2)]
    upstream = grad.to(z.dtype).reshape(-1)
    problem.gradients(made, problem.schedule.memory(z), rows, upstream, out)
    return out[0].to(problem.dtype), out[1].to(problem.dtype)
