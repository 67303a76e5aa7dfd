"""Operations in a row, run as one operator."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tsssl_fast import _checks, dispatch, rng
from tsssl_fast import ops as ops  # registers the operators
from tsssl_fast.augment.transforms import Transform
from tsssl_fast.ops.augment import spec


class Compose:
    """Runs operations one after the other on every sample of every view.

    Args:
        transforms: the operations, in order.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        for i, transform in enumerate(transforms):
            if not isinstance(transform, Transform):
                raise TypeError(
                    f"transforms[{i}]: {type(transform).__name__}; accepted: a Transform"
                )
        self.transforms = tuple(transforms)
        seen: Counter[int] = Counter()
        rows = []
        for transform in self.transforms:
            rows.append(transform.row(seen[transform.code]))
            seen[transform.code] += 1
        if max(seen.values(), default=0) > spec.MAX_OCCURRENCES:
            raise ValueError(
                f"transforms: one operation {max(seen.values())} times; "
                f"accepted: at most {spec.MAX_OCCURRENCES}"
            )
        self._program = torch.tensor(rows, dtype=torch.float64).reshape(-1, spec.COLUMNS)

    def __call__(
        self,
        x: Tensor,
        views: int = 2,
        *,
        seed: int | torch.Generator | Tensor | None = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
        backend: str | None = None,
    ) -> Tensor:
        """Augmented views of a batch: (N, C, T) -> (views, N, C, T).

        What view v of sample i looks like depends on seed, epoch, step, rank, v, the sample's id
        and the operations, and on nothing else: not on the batch, the threads, the backend or the
        device.

        Args:
            x: N series of C channels and T steps; float16, bfloat16, float32 or float64. 16-bit
            series
                are computed in float32 and rounded once. Any strides.
            views: how many, 1 to 32768.
            seed: an integer in [-2**63, 2**64), a torch.Generator (one 64-bit number is drawn from
                it), a 0-d int64 tensor, or None (one draw from torch's global generator, so that
                torch.manual_seed governs).
            sample_ids: (N,) int64, the samples' indices in the data set; None numbers the rows.
            epoch, step, rank: folded into the seed; no two of them share a stream.
            backend: "reference" or "cpp"; None chooses the fastest that can run.

        Returns:
            (views, N, C, T), contiguous, in the dtype of x, differentiable with respect to x. The
            random draws and the scale of relative noise count as constants in the derivative.

        Raises:
            TypeError: x is no floating tensor, sample_ids no int64 tensor, seed of another type.
            ValueError: x is not (N, C, T) with all sizes >= 1 (C <= 32768, T <= 524288), views or
                seed out of range, sample_ids not (N,), an operation does not fit the shape,
                unknown backend.
            BackendUnavailableError: the backend asked for can not run the inputs.
        """
        self._check(x, views, sample_ids)
        return torch.ops.tsssl_fast.augment(
            x,
            self._program,
            rng.seed_tensor(seed, epoch, step, rank),
            views,
            sample_ids if sample_ids is None else sample_ids.cpu().contiguous(),
            None,
            dispatch.check_name(backend, "backend") if backend else "",
        )

    def _check(self, x: Tensor, views: int, sample_ids: Tensor | None) -> None:
        _checks.floating("x", x)
        if x.dim() != 3 or 0 in x.shape:
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T), all sizes >= 1")
        n, c, t = x.shape
        if c > spec.MAX_CHANNELS or t > spec.MAX_STEPS:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: C <= {spec.MAX_CHANNELS}, "
                f"T <= {spec.MAX_STEPS}"
            )
        if isinstance(views, bool) or not isinstance(views, int):
            raise TypeError(f"views: {type(views).__name__}; accepted: an integer")
        if not 1 <= views <= spec.MAX_VIEWS:
            raise ValueError(f"views: {views}; accepted: 1 to {spec.MAX_VIEWS}")
        if sample_ids is not None:
            if not isinstance(sample_ids, Tensor) or sample_ids.dtype != torch.int64:
                given = getattr(sample_ids, "dtype", type(sample_ids).__name__)
                raise TypeError(f"sample_ids: {given}; accepted: an int64 tensor")
            if sample_ids.shape != (n,):
                raise ValueError(
                    f"sample_ids: shape {tuple(sample_ids.shape)}; accepted: (N,) = ({n},)"
                )
        for transform in self.transforms:
            transform.check_shape(c, t)

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.transforms)

    def __len__(self) -> int:
        return len(self.transforms)

    def __repr__(self) -> str:
        lines = "".join(f"    {transform!r},\n" for transform in self.transforms)
        return f"Compose([\n{lines}])" if lines else "Compose([])"
