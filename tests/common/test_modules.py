"""Modules that declare their settings: construction, checks, repr, and what subclasses may do."""

import copy
import pickle
from dataclasses import field
from typing import Annotated

import pytest
import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.common.modules import DeclaredModule


class Head(DeclaredModule):
    columns: int
    scale: Annotated[float, checks.positive] = 2.0
    layer: nn.Module | None = None
    seen: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.register_buffer("seen", torch.zeros(self.columns))


class Named(Head, kw_only=True):
    name: str = "a"


class Written(Head):
    def __init__(self, scale: float) -> None:
        super().__init__(3, scale=scale)


class Below(Written):
    other: int = 5


def test_settings_are_arguments_and_attributes() -> None:
    head = Head(2, 3.0, nn.Linear(1, 1))
    assert (head.columns, head.scale) == (2, 3.0)
    assert [name for name, _ in head.named_modules()] == ["", "layer"]
    assert list(head.state_dict()) == ["seen", "layer.weight", "layer.bias"]
    assert repr(Head(2)) == "Head(columns=2, scale=2.0, layer=None)"
    assert Named(4, name="b").name == "b"
    head.scale = 5.0
    again = pickle.loads(pickle.dumps(copy.deepcopy(head)))
    assert (again.scale, again.columns) == (5.0, 2)
    assert head != copy.copy(head)


def test_what_is_not_accepted() -> None:
    with pytest.raises(ValueError, match="scale: -1"):
        Head(2, -1)
    with pytest.raises(ValueError, match="scale: 0"):
        Named(2, scale=0)
    with pytest.raises(
        TypeError, match=r"Head.__init__\(\) got an unexpected keyword argument 'a'"
    ):
        Head(2, a=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Named(2, 2.0, None, "b")  # type: ignore[misc]


def test_a_written_construction_stays() -> None:
    """Also for those who inherit it, whatever they annotate."""
    assert (Written(4.0).columns, Written(4.0).scale) == (3, 4.0)
    below = Below(4.0)
    assert (below.columns, below.scale, below.other) == (3, 4.0, 5)
