"""The reconstruction loss over hidden values."""

from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.common.renaming import renamed
from tsssl_fast.masking.fills import check_hidden
from tsssl_fast.ops.masking.operators.loss import masked_loss as _masked_loss
from tsssl_fast.ops.masking.spec import Loss, Reduction


@renamed(mask="hidden")
def masked_loss(
    pred: Tensor,
    target: Tensor,
    hidden: Tensor,
    *,
    kind: str = "mse",
    weight: Tensor | None = None,
    delta: float = 1.0,
    reduction: str = "mean",
    backend: str | None = None,
) -> Tensor:
    """sum over hidden elements of w e(pred - target), divided by the sum of their w; one pass.

    e(d) is d^2 ("mse"), |d| ("l1"), or d^2 / 2 for |d| <= delta and delta (|d| - delta / 2) beyond
    ("huber"). Visible elements count for nothing, not even a NaN. Gradients reach prediction,
    target and weights; that of |d| at 0 is 0.

    Args:
        pred, target: (N, C, T) or (N, L) floating.
        hidden: bool of their shape, True where hidden.
        weight: of their shape, floating, >= 0; None: all 1. Of several dtypes the loss is that of
            all in torch.promote_types of them.
        delta: of "huber".
        reduction: "mean" over the batch (weighted, as torch's losses), "none" for the weighted mean
            of every sample, (N,), or "sum".

    Where nothing is hidden or all weights are 0 the mean is 0, with zero gradient. Returns float32
    for 16-bit input, else pred's dtype. Raises TypeError, ValueError naming the argument.
    """
    checks.floating("pred", pred)
    checks.floating("target", target)
    pred, target = checks.alike(("pred", "target"), (pred, target))
    if pred.dim() not in (2, 3) or 0 in pred.shape:
        raise ValueError(
            f"pred: shape {tuple(pred.shape)}; accepted: (N, C, T) or (N, L), all sizes >= 1"
        )
    check_hidden(hidden, pred, "pred")
    if weight is not None:
        checks.floating("weight", weight)
        pred, target, weight = checks.alike(("pred", "target", "weight"), (pred, target, weight))
    checks.choice("kind", kind, ("mse", "l1", "huber"))
    delta = checks.positive("delta", delta)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    if pred.dim() == 2:
        pred, target, hidden = pred[:, None], target[:, None], hidden[:, None]
        weight = None if weight is None else weight[:, None]
    how = int(Loss[kind.upper()]), delta, int(Reduction[reduction.upper()])
    name = dispatch.backend_name(backend)
    value: Tensor = _masked_loss(pred, target, hidden, weight, *how, name)[0]
    return value
