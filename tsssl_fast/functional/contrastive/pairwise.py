"""Losses of pairs and triplets instead of a softmax over a row."""

from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.ops.contrastive.operators import sigmoid as sigmoid_operator
from tsssl_fast.ops.contrastive.operators import triplet as triplet_operator


def sigmoid_pair_loss(
    q: Tensor,
    k: Tensor,
    logit_scale: float | Tensor = 10.0,
    logit_bias: float | Tensor = -10.0,
    reduction: str = "mean",
    *,
    q_ids: Tensor | None = None,
    k_ids: Tensor | None = None,
    q_valid: Tensor | None = None,
    k_valid: Tensor | None = None,
    normalize: bool = True,
    backend: str | None = None,
) -> Tensor:
    """Sigmoid loss over all pairs (SigLIP, Zhai et al., ICCV 2023): per query
    sum_j log(1 + exp(-y_ij (scale s_ij + bias))), y = 1 for positives, -1 otherwise, s the cosine
    (dot product for normalize=False).

    Args:
        q, k: (M, D), (P, D) in one floating dtype; 16-bit inputs are computed in float32.
        logit_scale, logit_bias: finite numbers, or 0-d floating tensors, which get their gradients.
        reduction: "mean" over the (valid) queries, "sum", or "none" for (M,).
        q_ids, k_ids: integers, equal ids are positives; default: q_i and k_i, which needs M = P.
        q_valid, k_valid: (M,), (P,) bool; a row flagged False takes part in no pair, gets zero
            gradient and may hold NaN.
        backend: see the module.

    Returns:
        The loss; float32 for 16-bit inputs. A row with norm <= 1e-12 has cosine 0 with everything
        and gets zero gradient; NaN in a valid row reaches the loss. Any scale and bias: nothing
        overflows but the loss itself.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    arguments.check_operands(q, k)
    arguments.check_rows(q, k, q_ids, k_ids, None, None, q_valid, k_valid)
    scale = arguments.number("logit_scale", logit_scale, q)
    bias = arguments.number("logit_bias", logit_bias, q)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    if q_ids is None:
        checks.alike(("q", "k"), (q, k))
    loss = sigmoid_operator.sigmoid_pairs(
        *(q, k, scale, bias, q_ids, k_ids, q_valid, k_valid, normalize, _name(backend))
    )
    return _reduce(loss, q_valid, reduction)


def triplet(
    z: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    reduction: str = "mean",
    *,
    valid: Tensor | None = None,
    normalize: bool = True,
    backend: str | None = None,
) -> Tensor:
    """Triplet loss on the hardest negative, in cosine similarity (Schroff et al., CVPR 2015):
    for row i and each other row p of its label, max(0, margin - s_ip + s_in), n the most similar
    row of another label; the mean over p. Rows without a positive or without a negative contribute
    0.

    Args:
        z: (M, D), a floating dtype; 16-bit inputs are computed in float32.
        labels: (M,) integers. margin: >= 0.
        reduction: "mean" over the (valid) rows, "sum", or "none" for (M,).
        valid: (M,) bool; a row flagged False takes part in no pair and may hold NaN.
        normalize: False: dot products. backend: see the module.

    Returns:
        The loss; float32 for 16-bit inputs. Of equally hard negatives the first gets the gradient.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    checks.matrix("z", z)
    if labels is None:
        raise TypeError("labels: None; accepted: (M,) integers")
    arguments.check_labels("labels", labels, z)
    arguments.check_flags("valid", valid, z)
    checks.at_least("margin", margin, 0.0)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    loss = triplet_operator.triplet(z, labels, valid, float(margin), normalize, _name(backend))
    return _reduce(loss, valid, reduction)


def _name(backend: str | None) -> str:
    return dispatch.check_name(backend, "backend") if backend else ""


def _reduce(loss: Tensor, valid: Tensor | None, reduction: str) -> Tensor:
    if reduction == "mean" and valid is not None:
        return loss.sum() / valid.sum().clamp_min(1)
    return checks.reduce(loss, reduction)
