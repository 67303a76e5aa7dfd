"""`tsssl_fast.explain`: which backend runs an operator or a call, and why not another."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.dispatch import Explanation


@dataclass(frozen=True)
class CallExplanation:
    """What a call runs: its operators, and what no kernel takes, so that torch computes it."""

    operators: tuple[Explanation, ...]
    without_kernel: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*self.without_kernel, *map(str, self.operators)])


@overload
def explain(op: str, *inputs: Tensor) -> Explanation: ...
@overload
def explain(op: Callable[..., Any], *inputs: Any, **options: Any) -> CallExplanation: ...
def explain(
    op: str | Callable[..., Any], *inputs: Any, **options: Any
) -> Explanation | CallExplanation:
    """Which backend runs operator `op` on these tensors, and the others' reasons.

    Args:
        op: the name of an operator; or a function or module (a loss), which is called once, without
            gradient, a module as a copy: the operators of its forward; or what explains itself, as
            a pipeline of augmentations does, operation by operation.
        inputs, options: tensors of the operator; what the function or module is called with.

    Raises:
        ValueError: an unknown operator; whatever the call raises.
    """
    if isinstance(op, str):
        return dispatch.explain(op, *inputs, **options)
    if hasattr(op, "explain") and not options:
        explanation: Explanation = op.explain(*inputs)
        return explanation
    call = copy.deepcopy(op) if isinstance(op, nn.Module) else op
    with torch.no_grad(), dispatch.watching() as seen:
        call(*inputs, **options)
    operators = {str(x): x for x in seen if isinstance(x, Explanation)}
    told = dict.fromkeys(x for x in seen if isinstance(x, str))
    return CallExplanation(tuple(operators.values()), tuple(told))
