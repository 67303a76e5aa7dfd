"""A draw of options on one backend, held to the formula in plain arrays."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from checks import accept, error_in_ulps
from contrastive import dense, draws
from contrastive.draws import Draw
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

# Of float64: relative to a tensor's largest element; and absolute, in units of the largest
# 1 / tau^2, because terms of this size cancel, to nothing where rows have one column.
RELATIVE, ABSOLUTE = 1e-10, 2e-12
# Of what is rounded more: of the largest element, or of 1. What is wrong shows draw by draw; the
# family's rule then judges all draws.
GROSS = {torch.float32: 1e-3, torch.bfloat16: 0.1}
# Similarities closer than this may stand in either order.
TIE = {torch.float64: 1e-12, torch.float32: 1e-5}
COUNTS = ("rows_without_positive", "rows_without_negative")
ACCURACIES = ("top1_accuracy", "topk_accuracy")


class Outcome(NamedTuple):
    """Values, statistics and gradients by name; `dense.Result.lead`, of the formula."""

    tensors: dict[str, Tensor]
    lead: Tensor | None


class Expected(NamedTuple):
    draw: Draw
    truth: Outcome
    plain: Outcome | None  # in the draw's own dtype, where that is not float64


def evaluate(draw: Draw, function: Callable[..., Any], dtype: torch.dtype | None = None) -> Outcome:
    """function(**arguments), and gradients of all leaves; floating arrays in `dtype` if given."""
    arguments = {name: _cast(x, dtype) for name, x in draw.arguments.items()}
    leaves: dict[str, Tensor] = {}
    for name in draw.leaves:
        owner, _, field = name.partition(".")
        value = getattr(arguments[owner], field) if field else arguments[owner]
        leaves[name] = value.clone().requires_grad_()
        arguments[owner] = (
            arguments[owner]._replace(**{field: leaves[name]}) if field else leaves[name]
        )
    loss, statistics, lead = function(arguments)
    upstream = torch.randn(loss.shape, generator=torch.Generator().manual_seed(draw.upstream))
    found = torch.autograd.grad(
        loss, list(leaves.values()), upstream.to(loss.dtype), allow_unused=True
    )
    tensors = {"loss": loss.detach(), **statistics}
    for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        if name == "targets":
            gradient = torch.where(leaf > 0, gradient, 0.0)
        tensors[f"gradient of {name}"] = gradient
    return Outcome(tensors, lead)


def _cast(x: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(x, draws.Relation):
        return draws.Relation(*(_cast(tau, dtype) for tau in x))
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() and dtype else x


def formula(draw: Draw, dtype: torch.dtype | None = None) -> Outcome:
    def function(arguments: dict[str, Any]) -> Any:
        return dense.contrastive(**arguments)

    return evaluate(draw, function, dtype)


def package(draw: Draw, backend: str) -> Outcome:
    wanted = draw.arguments.get("return_stats", False)

    def function(arguments: dict[str, Any]) -> Any:
        given = draws.keywords(arguments, functional.PairTemperature)
        loss = functional.contrastive_loss(**given, backend=backend)
        loss, statistics = loss if wanted else (loss, None)
        named = {} if statistics is None else statistics._asdict()
        assert not any(x.requires_grad for x in named.values())
        return loss, named, None

    return evaluate(draw, function)


def expected(draw: Draw) -> Expected:
    plain = None if draw.dtype == torch.float64 else formula(draw)
    return Expected(draw, formula(draw, torch.float64), plain)


@cache
def expected_at(index: int) -> Expected:
    """Computed once for all backends."""
    return expected(draws.make(index))


def expected_in_triton(index: int) -> Expected:
    """The same draw in a dtype that the Triton kernels have."""
    return expected(draws.make(index, torch.bfloat16 if index % 4 == 0 else torch.float32))


Rounded = list[tuple[Draw, str, tuple[Tensor, Tensor, Tensor]]]


def check(problems: Iterable[Expected], backend: str) -> Rounded:
    """Fails with every draw that differs. What is rounded more than float64 is returned, for
    `accept_rounded`: draw, name of the output, and actual, truth, plain torch."""
    failures: list[str] = []
    rounded: Rounded = []
    count = 0
    for problem in problems:
        count += 1
        try:
            found = package(problem.draw, backend)
        except Exception as error:  # every kind: the draw belongs to the message
            failures.append(f"{problem.draw}: {type(error).__name__}: {error}")
            continue
        wrong = list(_differences(problem, found))
        if wrong:
            failures.append(f"{problem.draw}: {'; '.join(wrong)}")
        elif problem.plain is not None:
            truth, plain = problem.truth.tensors, problem.plain.tensors
            rounded += [
                (problem.draw, name, (actual, truth[name], plain[name]))
                for name, actual in found.tensors.items()
                if name not in (*COUNTS, *ACCURACIES)
            ]
    assert not failures, f"{backend}: {len(failures)} of {count} draws\n" + "\n".join(failures)
    return rounded


def accept_rounded(backend: str, rounded: Rounded) -> None:
    """The family's rule, over the draws of each dtype and output; temperatures as one vector.

    The unit is an ulp of the largest element, and of 1 at least: where terms of order 1 cancel to
    nothing, as in a loss whose only key has all of the target, no digits are left to compare.
    """
    outputs: dict[tuple[torch.dtype, str], list[tuple[Draw, tuple[Tensor, ...]]]] = {}
    for draw, name, values in rounded:
        beside_one = tuple(torch.cat([x.reshape(-1), x.new_ones(1)]) for x in values)
        outputs.setdefault((draw.dtype, name), []).append((draw, beside_one))
    for (dtype, name), results in outputs.items():
        values = [x for _, x in results]
        if "temperature" in name:
            values = [tuple(torch.cat(x) for x in zip(*values, strict=True))]
        try:
            accept(f"{backend}, {dtype}, {name}", values, spec.ERROR_FACTOR)
        except AssertionError as error:
            worst = max(results, key=lambda x: error_in_ulps(x[1][0], x[1][1]))
            raise AssertionError(f"{error}; the largest error: {worst[0]}") from None


def _differences(problem: Expected, found: Outcome) -> Iterator[str]:
    """What is wrong with this draw by itself."""
    truth = problem.truth.tensors
    if found.tensors.keys() != truth.keys():
        yield f"outputs {sorted(found.tensors.keys() ^ truth.keys())}"
        return
    for name, actual in found.tensors.items():
        right = truth[name]
        if actual.shape != right.shape:
            yield f"{name}: shape {tuple(actual.shape)}, expected {tuple(right.shape)}"
        elif name in COUNTS:
            if int(actual) != int(right):
                yield f"{name}: {int(actual)}, expected {int(right)}"
        elif name in ACCURACIES:
            if not _accurate(name, actual, problem):
                yield f"{name}: {float(actual)}, expected {float(right)}"
        elif not _same_kind(actual, right):
            yield f"{name}: {_numbers(actual)}, expected {_numbers(right)}"
        else:
            finite = right[right.isfinite()]
            if finite.numel():
                error = (actual[right.isfinite()].double() - finite).abs().max().item()
                largest = finite.abs().max().item()
                if actual.dtype == torch.float64:
                    allowed = ABSOLUTE * _scale(problem.draw) + RELATIVE * largest
                else:
                    allowed = GROSS[actual.dtype] * max(1.0, largest)
                if not error <= allowed:
                    both = f"{_numbers(actual)}, expected {_numbers(right)}"
                    yield f"{name}: error {error:.1e}: {both}"


def _scale(draw: Draw) -> float:
    """The largest 1 / tau^2, 1 at least."""
    tau = draw.arguments["temperature"]
    taus = [x for x in tau if x is not None] if isinstance(tau, draws.Relation) else [tau]
    least = min(x.min().item() if isinstance(x, Tensor) else x for x in taus)
    return max(1.0, 1 / least**2)


def _same_kind(actual: Tensor, right: Tensor) -> bool:
    special = ~right.isfinite()
    if not torch.equal(~actual.isfinite(), special):
        return False
    return torch.equal(actual[special].nan_to_num(), right[special].to(actual.dtype).nan_to_num())


def _accurate(name: str, actual: Tensor, problem: Expected) -> bool:
    lead = problem.truth.lead
    assert lead is not None
    if len(lead) == 0:
        return bool(actual.isnan())
    tie = TIE[torch.float64 if problem.plain is None else torch.float32]
    k = 1 if name == "top1_accuracy" else problem.draw.arguments.get("top_k", 5)
    least, most = (int(((lead <= x).sum(dim=1) < k).sum()) for x in (tie, -tie))
    return least - 1e-3 <= float(actual) * len(lead) <= most + 1e-3


def _numbers(x: Tensor) -> str:
    return f"{[float(f'{v:.6g}') for v in x.reshape(-1).tolist()[:8]]}"
