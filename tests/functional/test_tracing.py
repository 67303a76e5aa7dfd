"""torch.jit.trace of every loss of the table: its value and gradients on other rows, and with
another number of rows, or an error."""

import pytest
import torch
from loss_calls import CALLS
from torch import Tensor

pytestmark = [
    pytest.mark.clean_memory,
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
# Another number of rows, of ids, labels and targets too, which the losses of the table have fixed.
MORE = {4: 6, 8: 12}
GIVEN_ROWS = {
    *("siglip ids", "sup_con", "triplet", "scgc", "voco", "regions", "masked", "masked l1"),
    *(name for name in CALLS if name.startswith("contrastive")),
    *("collossl", "grouped lengths", "hierarchical lengths"),
}
ANY_ROWS = sorted(CALLS.keys() - GIVEN_ROWS)
# A tracer has no sparse tensors, and the levels of a pyramid are a number of Python.
REFUSED = {"contrastive sparse weight", "hierarchical lengths"}


def value_and_gradients(loss: object, inputs: list[Tensor]) -> list[Tensor | None]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves)  # type: ignore[operator]
    return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True)]


def traced(name: str) -> torch.jit.ScriptFunction:
    inputs = tuple(x.requires_grad_() for x in CALLS[name].inputs())
    return torch.jit.trace(CALLS[name].loss, inputs, check_trace=False)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - REFUSED))
def test_other_rows(name: str) -> None:
    other = CALLS[name].inputs(seed=1)
    found = value_and_gradients(traced(name), other)
    expected = value_and_gradients(CALLS[name].loss, other)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ANY_ROWS)
def test_more_rows(name: str) -> None:
    call = CALLS[name]
    shapes = tuple((MORE.get(s[0], s[0]), *s[1:]) if s else s for s in call.shapes)
    if shapes == call.shapes:  # of series
        shapes = tuple((s[0] + 1, *s[1:]) for s in shapes)
    other = call._replace(shapes=shapes).inputs(seed=1)
    expected = value_and_gradients(call.loss, other)
    try:
        found = value_and_gradients(traced(name), other)
    except RuntimeError:
        return
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    with pytest.raises(RuntimeError):  # NotImplementedError is one
        traced(name)
