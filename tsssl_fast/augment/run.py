"""What a call does once its program is built: the same for one operation and for a pipeline."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.augment import _calls
from tsssl_fast.augment.parameters import Parameters
from tsssl_fast.augment.program import Builder
from tsssl_fast.backends import dispatch, registration
from tsssl_fast.common import checks, random
from tsssl_fast.ops.augment import spec, torch_only
from tsssl_fast.ops.augment.operators import augment as augment_operator

Seed = int | torch.Generator | Tensor | None


class Pipeline:
    """A program that runs as one operator.

    transforms: the operations that look at the shape of a series.
    views: how many a call makes, where the program says so.
    """

    def __init__(
        self,
        builder: Builder,
        transforms: Sequence[Any],
        views: int | None = None,
    ) -> None:
        self._program = builder.program()
        self._labels = tuple(builder.labels)
        self._plain = torch_only.has_plain(builder.rows)
        self.transforms = tuple(transforms)
        self._views = views
        self._fits: tuple[int, int] | None = None
        self._checked: tuple[Any, ...] | None = None

    def _check_shape(self, channels: int, steps: int) -> None:
        # Batches of a data set are alike: seven operations need not look at each of them.
        if self._fits != (channels, steps):
            for transform in self.transforms:
                transform.check_shape(channels, steps)
            self._fits = (channels, steps)

    def _check(self, x: Tensor, layout: str, nan: str) -> None:
        checks.choice("layout", layout, ("NCT", "NTC"))
        checks.choice("nan", nan, _calls.NAN_POLICIES)
        checks.floating("x", x)
        _calls.check_series(x, layout)
        _, *sizes = x.shape
        channels, steps = sizes if layout == "NCT" else sizes[::-1]
        self._check_shape(channels, steps)

    def __call__(
        self,
        x: Tensor,
        views: int | None = None,
        *,
        seed: Seed = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
        lengths: Tensor | None = None,
        layout: str = "NCT",
        nan: str = "propagate",
        return_params: bool = False,
        backend: str | None = None,
    ) -> Any:
        """Augmented views of a batch: (N, C, T) -> (views, N, C, T).

        What view v of sample i looks like depends on seed, epoch, step, rank, v, the sample's id,
        its length and the operations, and on nothing else: not on the batch, the threads, the
        backend or the device.

        Args:
            x: N series of C channels and T steps; float16, bfloat16, float32 or float64. 16-bit
                series are computed in float32 and rounded once. Any strides.
            views: how many, 1 to 32768; None for 2, or for the number of pipelines of PerView.
            seed: an integer in [-2**63, 2**64), a torch.Generator (one 64-bit number is drawn from
                it), a 0-d int64 tensor, or None (one draw from torch's global generator, so that
                torch.manual_seed governs).
            sample_ids: (N,) int64, the samples' indices in the data set; None numbers the rows.
            epoch, step, rank: folded into the seed; no two of them share a stream.
            lengths: (N,) int64, 1 to T: steps from there on are padding, which no operation reads
                or changes. None: T for all.
            layout: "NCT", or "NTC" for (N, T, C) in and (views, N, T, C), a transposed view, out.
            nan: "propagate" lets a NaN reach what is computed from it; "raise" raises ValueError
                (waits for the device); "mask" computes with 0 in its place and puts NaN at the
                steps of that channel whose nearest source was NaN.
            return_params: returns (views, Parameters) instead.
            backend: "reference" or "cpp"; None chooses the fastest that can run.

        Returns:
            (views, N, C, T), contiguous, in the dtype of x, differentiable with respect to x. The
            random draws, the scale of relative noise and rounding count as constants in the
            derivative.

        Raises:
            TypeError: x is no floating tensor, sample_ids or lengths no int64 tensor, seed of
                another type.
            ValueError: x is not (N, C, T) with all sizes >= 1 (C <= 32768, T <= 524288), views or
                seed out of range, sample_ids or lengths not (N,), lengths outside 1 to T, an
                operation does not fit the shape, unknown layout, nan or backend.
            BackendUnavailableError: the backend asked for can not run the inputs.
        """
        # What ran before has left the caches to other things: what is called here comes from
        # memory, 67 microseconds at least for what took 19 in a loop of its own. So batches that
        # are like the last one are not looked at again, and integers make no tensor.
        plain_call = registration.plain(x)
        kind = (x.shape, x.dtype, x.layout, layout, nan) if plain_call else None
        if kind is None or kind != self._checked:
            self._check(x, layout, nan)
            if kind is not None:
                self._checked = kind
        series = x if layout == "NCT" else x.transpose(1, 2)
        views = self._number_of_views(views)
        n, c, t = series.shape
        if sample_ids is not None:
            sample_ids = _calls.per_sample("sample_ids", sample_ids, n)
        if lengths is not None:
            lengths = _calls.per_sample("lengths", lengths, n)
        name = dispatch.check_name(backend, "backend") if backend else ""
        if plain_call and nan == "propagate" and not return_params and not self._plain:
            numbers = random.seed_numbers(seed, epoch, step, rank)
            if numbers is not None:
                y = augment_operator.direct(
                    series, self._program, numbers, views, sample_ids, lengths, name
                )
                return y if layout == "NCT" else y.transpose(-1, -2)
        key = random.seed_tensor(seed, epoch, step, rank)
        params = None
        if return_params or nan == "mask" or self._plain:
            params = self._draw(key, views, (n, c, t), sample_ids, lengths, name)
        filled = _calls.without_nan(series, nan)
        table = None if params is None else params.table
        if self._plain and table is not None:
            filled = filled.expand(views, n, c, t)
            y = torch_only.run(filled, self._program, key, sample_ids, lengths, table, name)
        else:
            y = augment_operator.augment(
                filled, self._program, key, views, sample_ids, lengths, table, name
            )
        if nan == "mask" and params is not None:
            y = _calls.mark_missing(y, series, params)
        y = y if layout == "NCT" else y.transpose(-1, -2)
        return (y, params) if return_params else y

    def sample(
        self,
        n: int,
        c: int,
        t: int,
        views: int | None = None,
        *,
        seed: Seed = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
        lengths: Tensor | None = None,
        backend: str | None = None,
    ) -> Parameters:
        """The parameters that a call on n series of c channels and t steps draws.

        Arguments and errors are those of the call. See Parameters for what can be done with them.
        """
        for name, size in (("n", n), ("c", c), ("t", t)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name}: {size}; accepted: an integer >= 1")
        self._check_shape(c, t)
        return self._draw(
            random.seed_tensor(seed, epoch, step, rank),
            self._number_of_views(views),
            (n, c, t),
            _calls.per_sample("sample_ids", sample_ids, n),
            _calls.per_sample("lengths", lengths, n),
            dispatch.check_name(backend, "backend") if backend else "",
        )

    def _draw(
        self,
        key: Tensor,
        views: int,
        shape: tuple[int, int, int],
        sample_ids: Tensor | None,
        lengths: Tensor | None,
        backend: str,
    ) -> Parameters:
        # Kernels draw sample by sample; who is mixed with whom takes the batch.
        chosen = "reference" if self._plain else backend
        table = torch.ops.tsssl_fast.augment_sample(
            self._program, key, views, shape, sample_ids, lengths, chosen
        )
        return Parameters(self._program, self._labels, key, shape, sample_ids, lengths, table)

    def _number_of_views(self, views: int | None) -> int:
        if views is None:
            return self._views or 2
        if isinstance(views, bool) or not isinstance(views, int):
            raise TypeError(f"views: {type(views).__name__}; accepted: an integer")
        if not 1 <= views <= spec.MAX_VIEWS:
            raise ValueError(f"views: {views}; accepted: 1 to {spec.MAX_VIEWS}")
        if self._views is not None and views != self._views:
            raise ValueError(f"views: {views}; accepted: {self._views}, one per pipeline")
        return views
