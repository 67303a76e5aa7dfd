"""What a call does once its program is built: the same for one operation and for a pipeline."""

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypedDict, overload

import torch
from torch import Tensor, nn
from torch.nn.modules import module as any_module

from tsssl_fast.augment import callables, inputs
from tsssl_fast.augment.configuration import Configured
from tsssl_fast.augment.inputs import Array, Series
from tsssl_fast.augment.parameters import Parameters
from tsssl_fast.augment.program import Builder
from tsssl_fast.backends import dispatch, registration
from tsssl_fast.common import checks, random
from tsssl_fast.ops.augment import spec, torch_only
from tsssl_fast.ops.augment.operators import augment as augment_operator
from tsssl_fast.ops.augment.spec import Source

if TYPE_CHECKING:
    from typing_extensions import Unpack

Seed = SupportsIndex | torch.Generator | None
_MODULE_CALL = nn.Module.__call__
_MIXING = {int(spec.Code.MIXUP), int(spec.Code.CUTMIX)}
Number = SupportsIndex  # an integer of any type, numpy's too, or a tensor without dimensions


class Arguments(TypedDict, total=False):
    """What every call accepts besides x, views and return_params; see Pipeline."""

    seed: Seed
    sample_ids: Tensor | Array | None
    sample_id: Number | None
    epoch: Number
    step: Number
    rank: Number
    lengths: Tensor | Array | Number | None
    layout: str
    nan: str
    backend: str | None


class Pipeline(Configured):
    """A torch.nn.Module that runs as one operator, from the rows of its program.

    Augmented series of the shape they came in, or several views of each.

    What view v of sample i looks like depends on seed, epoch, step, rank, v, the sample's id,
    its length and the operations, and on nothing else: not on the batch, the threads, the
    backend or the device, nor on train() and eval(). Without `views`, it is view 0.

    Args of a call:
        x: N series of C channels and T steps, (N, C, T), or one series, (C, T); a tensor of
            float16, bfloat16, float32 or float64, or a numpy array. 16-bit series are computed
            in float32 and rounded once. Any strides.
        views: None keeps the shape, V gives (V, N, C, T) or (V, C, T), 1 to 32768 views.
            PerView has its own number of views and gives them without being asked.
        seed: an integer in [-2**63, 2**64), a torch.Generator (one 64-bit number is drawn from
            it), a 0-d int64 tensor, or None (one draw from torch's global generator, so that
            torch.manual_seed governs).
        sample_ids: (N,) int64, the samples' indices in the data set; None numbers the rows.
        sample_id: an integer, for one series (C, T): its index in the data set. Needed with a
            seed, or every series would get the same draws.
        epoch, step, rank: integers, folded into the seed; no two of them share a stream. epoch
            and step may be 0-d integer tensors: on a GPU nothing reads them on the host, so a
            captured CUDA graph draws anew in every replay.
        lengths: (N,) int64, or an integer for one series, 1 to T: steps from there on are
            padding, which no operation reads or changes. None: T for all.
        layout: "NCT", or "NTC" for (N, T, C) or (T, C) in and, a transposed view, out.
        nan: "propagate" lets a NaN reach what is computed from it; "raise" raises ValueError
            (waits for the device); "mask" computes with 0 in its place and puts NaN at the
            steps of that channel whose nearest source was NaN.
        return_params: returns (views, Parameters) instead; not with callables.
        backend: a backend's name; None chooses the fastest that can run.

    Returns:
        A tensor or, for an array, an array in the dtype of x; contiguous, differentiable with
        respect to x. The random draws, the scale of relative noise and rounding count as
        constants in the derivative.

    Raises, at a call:
        TypeError: x is no floating tensor or array, sample_ids or lengths not int64, seed,
            epoch, step, rank, sample_id or views of another type.
        ValueError: x is not (N, C, T) or (C, T) with all sizes >= 1 (C <= 32768, T <= 524288),
            views or seed out of range, sample_ids or lengths not (N,), lengths outside 1 to T,
            a (C, T) with a seed and without sample_id, an operation does not fit the shape,
            unknown layout, nan or backend.
        BackendUnavailableError: the backend asked for can not run the inputs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        builder = Builder()
        self.add_to(builder)
        self._program = builder.program()
        self._labels = tuple(builder.labels)
        self._calls = tuple(builder.calls)
        self._views = self.own_views()
        self._whole = not self._calls and not torch_only.has_plain(builder.rows)
        self._fits: tuple[int, int] | None = None
        self._checked: tuple[Any, ...] | None = None
        for i, member in enumerate(self.members()):
            if isinstance(member, nn.Module):
                self.add_module(str(i), member)

    def members(self) -> Sequence[Any]:
        """The transforms inside, in order."""
        return ()

    def own_views(self) -> int | None:
        """How many views a call makes, where that is not for the caller to say."""
        return None

    def add_to(self, builder: Builder, view: int = -1) -> None:
        """Appends the rows of its operations."""
        raise NotImplementedError

    def check_shape(self, channels: int, steps: int) -> None:
        """Raises ValueError where series of so many channels and time steps can not be handled."""

    def check_single(self) -> None:
        """Raises ValueError where one series alone can not be handled."""
        if _MIXING & {int(code) for code in self._program[:, spec.CODE]}:
            raise ValueError("x: one series (C, T); accepted: (N, C, T), for it mixes a batch")

    if TYPE_CHECKING:

        @overload
        def __call__(
            self,
            x: Series,
            views: Number | None = None,
            *,
            return_params: Literal[False] = False,
            **arguments: Unpack[Arguments],
        ) -> Series: ...

        @overload
        def __call__(
            self,
            x: Series,
            views: Number | None = None,
            *,
            return_params: Literal[True],
            **arguments: Unpack[Arguments],
        ) -> tuple[Series, Parameters]: ...

        def __call__(self, x: Any, views: Number | None = None, **arguments: Any) -> Any: ...

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            # Past torch's way to `forward`, 2 of 14 microseconds, where it has nothing to do there.
            own = self.__dict__
            if (
                own["_forward_hooks"]
                or own["_forward_pre_hooks"]
                or own["_backward_hooks"]
                or own["_backward_pre_hooks"]
                or any_module._global_forward_hooks
                or any_module._global_forward_pre_hooks
                or any_module._global_backward_hooks
                or any_module._global_backward_pre_hooks
                or "_compiled_call_impl" in own
                or nn.Module.__call__ is not _MODULE_CALL  # torch.fx puts its own there
                or torch._C._get_tracing_state()
            ):
                return super().__call__(*args, **kwargs)
            return self.forward(*args, **kwargs)

    def forward(
        self,
        x: Tensor | Array,
        views: Number | None = None,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        sample_id: Number | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
        lengths: Tensor | Array | Number | None = None,
        layout: str = "NCT",
        nan: str = "propagate",
        return_params: bool = False,
        backend: str | None = None,
    ) -> Any:
        """Augmented series, (N, C, T) or (C, T), or views of them: arguments and errors are those
        of `Pipeline`."""
        if not isinstance(x, Tensor) or x.dim() == 2:
            settings: Any = {
                "seed": seed, "sample_ids": sample_ids, "sample_id": sample_id, "epoch": epoch,
                "step": step, "rank": rank, "lengths": lengths, "layout": layout, "nan": nan,
                "return_params": return_params, "backend": backend,
            }  # fmt: skip
            return self._of_other(x, views, settings)
        # What ran before has left the caches to other things: what is called here comes from
        # memory, 67 microseconds at least for what took 19 in a loop of its own. So batches that
        # are like the last one are not looked at again, and integers make no tensor.
        untraced = registration.plain(x)
        kind = (x.shape, x.dtype, x.layout, layout, nan) if untraced else None
        if kind is None or kind != self._checked:
            self._check(x, layout, nan)
            if kind is not None:
                self._checked = kind
        series = x if layout == "NCT" else x.transpose(1, 2)
        keep = views is None and self._views is None
        count = 1 if keep else self._number_of_views(views)
        if sample_id is not None:
            raise ValueError(f"sample_id: {sample_id}; accepted: None with (N, C, T); sample_ids")
        if sample_ids is not None:
            sample_ids = inputs.per_sample("sample_ids", sample_ids, len(series))
        if lengths is not None:
            lengths = inputs.per_sample("lengths", lengths, len(series))
        name = dispatch.backend_name(backend) if backend else ""
        params, numbers = None, None
        if untraced and nan == "propagate" and not return_params and self._whole:
            numbers = random.seed_numbers(seed, epoch, step, rank)
        if numbers is not None:
            source = Source(self._program, numbers, sample_ids, lengths)
            y = augment_operator.direct(series, source, count, name)
        else:
            key = random.seed_tensor(seed, epoch, step, rank)
            source = Source(self._program, key, sample_ids, lengths)
            y, params = self._run(series, source, count, nan, return_params, name)
        y = y.squeeze(0) if keep else y
        y = y if layout == "NCT" else y.transpose(-1, -2)
        return (y, params) if return_params else y

    def _run(
        self, x: Tensor, source: Source, views: int, nan: str, return_params: bool, backend: str
    ) -> tuple[Tensor, Parameters | None]:
        """(N, C, T) -> (views, N, C, T), and the parameters where they are needed first."""
        params = None
        if return_params or nan == "mask":
            self._check_replayable("return_params" if return_params else "nan")
        if return_params or nan == "mask" or not self._whole:
            n, c, t = x.shape
            params = self._draw(source, views, (n, c, t), backend)
            source = source._replace(parameters=params.table)
        y = inputs.without_nan(x, nan)
        if self._whole:
            program, key, *given = source
            y = augment_operator.augment(y, program, key, views, *given, backend)
        else:
            y = y.expand(views, *y.shape)
            if self._calls:
                y = callables.run_stages(y, source, self._calls, backend)
            else:
                y = torch_only.run(y, source, backend)
        if nan == "mask" and params is not None:
            y = inputs.mark_missing(y, x, params)
        return y, params

    def _of_other(self, x: Any, views: Number | None, settings: dict[str, Any]) -> Any:
        """One series, (C, T), or a numpy array: what the call gives for the batch it stands for."""
        if not isinstance(x, Tensor):
            return inputs.as_arrays(self.forward(inputs.from_array("x", x), views, **settings))
        seed, sample_id = settings["seed"], settings.pop("sample_id")
        checks.floating("x", x)
        self.check_single()
        if settings["sample_ids"] is not None:
            raise ValueError("sample_ids: accepted: None with one series (C, T); sample_id")
        if sample_id is None and seed is not None:
            raise ValueError(
                "sample_id: None; accepted: the series' index in the data set: with a seed "
                "alone every series (C, T) would get the same draws"
            )
        settings["sample_ids"] = inputs.of_one("sample_id", sample_id)
        settings["lengths"] = inputs.of_one("lengths", settings["lengths"])
        result = self.forward(x[None], views, **settings)
        y, params = result if settings["return_params"] else (result, None)
        y = y.squeeze(-3)
        return y if params is None else (y, params)

    def sample(
        self,
        n: int,
        c: int,
        t: int,
        views: Number | None = None,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
        lengths: Tensor | Array | None = None,
        backend: str | None = None,
    ) -> Parameters:
        """The parameters that a call on n series of c channels and t steps draws.

        n, c, t: integers of 1 and above. The other arguments and errors are those of the call, see
        `Pipeline`; `Parameters` says what can be done with the result. ValueError for a pipeline
        with callables, whose draws nobody knows.
        """
        for name, size in (("n", n), ("c", c), ("t", t)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name}: {size}; accepted: an integer >= 1")
        self._check_replayable("sample")
        self._check_shape(c, t)
        key = random.seed_tensor(seed, epoch, step, rank)
        count, name = self._number_of_views(views), dispatch.backend_name(backend)
        ids = inputs.per_sample("sample_ids", sample_ids, n)
        own = inputs.per_sample("lengths", lengths, n)
        return self._draw(Source(self._program, key, ids, own), count, (n, c, t), name)

    def explain(self, x: Tensor) -> callables.PipelineExplanation:
        """Which backend runs each operation on x, the others' reasons, and of every callable
        whether it is seeded or not reproducible.

        x: (N, C, T), floating. Raises ValueError where TSSSL_BACKEND names no backend.
        """
        found = dispatch.explain("augment", x)
        kernel = found.chosen or "no backend can run this"
        codes = self._program[:, spec.CODE].tolist()
        operations = [
            f"{name}: {'plain torch on every backend' if torch_only.is_plain(code) else kernel}"
            for (name, _), code in zip(self._labels, codes, strict=True)
        ]
        calls = [f"{call.name}: {callables.describe(call.function)}" for call in self._calls]
        return callables.PipelineExplanation(
            *(found.op, found.chosen, found.reasons, found.requested),
            operations=tuple(operations),
            callables=tuple(calls),
        )

    def _draw(
        self, source: Source, views: int, shape: tuple[int, int, int], backend: str
    ) -> Parameters:
        # Kernels draw sample by sample; who is mixed with whom takes the batch.
        chosen = backend if self._whole else "reference"
        program, key, ids, lengths, _ = source
        assert isinstance(key, Tensor)
        given = (program, key, views, shape, ids, lengths, chosen)
        table = torch.ops.tsssl_fast.augment_sample(*given)
        return Parameters(program, self._labels, key, shape, ids, lengths, table)

    def _check(self, x: Tensor, layout: str, nan: str) -> None:
        checks.choice("layout", layout, ("NCT", "NTC"))
        checks.choice("nan", nan, inputs.NAN_POLICIES)
        checks.floating("x", x)
        inputs.check_series(x, layout, single=True)
        _, *sizes = x.shape
        channels, steps = sizes if layout == "NCT" else sizes[::-1]
        self._check_shape(channels, steps)

    def _check_shape(self, channels: int, steps: int) -> None:
        # Batches of a data set are alike: seven operations need not look at each of them.
        if self._fits != (channels, steps):
            self.check_shape(channels, steps)
            self._fits = (channels, steps)

    def _check_replayable(self, name: str) -> None:
        if self._calls:
            raise ValueError(
                f"{name}: accepted: a pipeline of transforms alone; what {self._calls[0].name} "
                "draws is not known"
            )

    def _number_of_views(self, views: Number | None) -> int:
        if views is None:
            return self._views or 1
        if isinstance(views, bool):
            raise TypeError("views: bool; accepted: an integer")
        try:
            count = operator.index(views)
        except TypeError:
            raise TypeError(f"views: {type(views).__name__}; accepted: an integer") from None
        if not 1 <= count <= spec.MAX_VIEWS:
            raise ValueError(f"views: {views}; accepted: 1 to {spec.MAX_VIEWS}")
        if self._views is not None and count != self._views:
            raise ValueError(f"views: {views}; accepted: {self._views}, one per pipeline")
        return count
