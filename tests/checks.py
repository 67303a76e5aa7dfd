"""The acceptance rule: an error is judged against float64, by what plain torch reaches itself.

Errors are counted in ulps of the largest element and averaged over several draws of one problem: on
a single draw the error of plain torch is as good as its luck (at temperature 0.001 it varies
thirtyfold between two orders of the same columns), and so would the verdict be.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import mean

import torch
from torch import Tensor


def error_in_ulps(x: Tensor, truth: Tensor) -> float:
    """Largest error of x over the elements where the truth is finite.

    The unit is the distance of neighbouring numbers of x's dtype at the truth's largest finite
    element; below the smallest normal number any result counts as exact.
    """
    finite = truth.isfinite()
    if not finite.any():
        return 0.0
    limits = torch.finfo(x.dtype)
    largest = truth[finite].abs().max().item()
    difference = (x.double() - truth.double())[finite].abs().max().item()
    return max(0.0, difference - limits.tiny) / (limits.eps * max(largest, limits.tiny))


def accept(name: str, results: Iterable[tuple[Tensor, Tensor, Tensor]], factor: float) -> None:
    """Fails unless the mean error is at most `factor` times that of plain torch plus one ulp.

    Args:
        results: (actual, truth, plain) of each draw: what the kernel gave; the float64 result for
            the same input, whose NaN and infinities `actual` must have in the same places; what
            the reference gives in the kernel's own arithmetic.
        factor: ERROR_FACTOR of the family's spec.
    """
    found, allowed = [], []
    for actual, truth, plain in results:
        assert actual.shape == truth.shape, f"{name}: shape {actual.shape}, expected {truth.shape}"
        special = ~truth.isfinite()
        assert torch.equal(~actual.isfinite(), special), f"{name}: NaN or infinity differ"
        assert torch.equal(actual.isnan(), truth.isnan()), f"{name}: NaN differ"
        found.append(error_in_ulps(actual, truth))
        allowed.append(error_in_ulps(plain, truth))
    ours, theirs = mean(found), mean(allowed)
    assert ours <= factor * theirs + 1, f"{name}: error {ours:.2f} ulp, plain torch {theirs:.2f}"


Result = tuple[Tensor, Tensor, Tensor]


def together(results: Iterable[Result]) -> list[Result]:
    """Results of one number each as one vector, for `accept`: the gradient of a temperature, scale
    or bias sums terms of both signs, and where a draw's happen to cancel its own size is no unit.

    Draw by draw the same rule holds too, which 60 to 370 draws of these tests' problems show.
    """
    actual, truth, plain = (torch.stack(x) for x in zip(*results, strict=True))
    return [(actual, truth, plain)]


def value_and_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], upstream: Tensor | None = None
) -> tuple[Tensor, ...]:
    """function(*inputs) and the gradients of sum(upstream * result) in every input."""
    leaves = [x.detach().clone(memory_format=torch.preserve_format) for x in inputs]
    for leaf in leaves:
        leaf.requires_grad_()
    result = function(*leaves)
    weights = torch.ones_like(result) if upstream is None else upstream.to(result.dtype)
    gradients = torch.autograd.grad(result, leaves, weights)
    return (result.detach(), *gradients)


Draw = tuple[Sequence[Tensor], Tensor | None]


def _numbers(x: Tensor) -> Hashable:
    """Equal for tensors of the same bits, shape, dtype and device."""
    held = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return x.shape, x.dtype, x.device, hashlib.sha256(held.numpy()).digest()


# What definitions gave, for the other backends' tests of the same draws.
_EXPECTED: dict[Hashable, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}


def accept_all(
    function: Callable[..., Tensor],
    definition: Callable[..., Tensor],
    draws: Iterable[Draw],
    factor: float,
    name: Hashable = None,
) -> None:
    """Holds a function's value and all its gradients to a differentiable definition.

    draws: (inputs, upstream gradient). The definition runs in float64 for the truth, and in the
    inputs' dtype for comparison. name: of the definition and all that it depends on; where there is
    one, results for the same numbers are computed once.
    """
    results = []
    for inputs, upstream in draws:
        actual = value_and_gradients(function, inputs, upstream)
        key = (name, *map(_numbers, (*inputs, *([] if upstream is None else [upstream]))))
        expected = None if name is None else _EXPECTED.get(key)
        if expected is None:
            truth = value_and_gradients(definition, [x.double() for x in inputs], upstream)
            expected = truth, value_and_gradients(definition, inputs, upstream)
        if name is not None:
            _EXPECTED[key] = expected
        results.append(zip(actual, *expected, strict=True))
    for i, output in enumerate(zip(*results, strict=True)):
        accept("value" if i == 0 else f"gradient of input {i - 1}", output, factor)


def run_python(code: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in an empty folder: no source tree hides the installed package."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-c", code],
            env=dict(environment),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
