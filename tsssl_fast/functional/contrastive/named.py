"""Named contrastive losses; each is a few lines on the engine."""

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments, row_losses
from tsssl_fast.functional.contrastive.engine import contrastive
from tsssl_fast.functional.contrastive.row_losses import Temperature
from tsssl_fast.ops.contrastive.operators import nt_xent as operator
from tsssl_fast.ops.contrastive.operators.nt_xent_bf16 import nt_xent_bf16
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, unit


def nt_xent(
    z1: Tensor,
    z2: Tensor,
    temperature: float = 0.1,
    reduction: str = "mean",
    *,
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """NT-Xent (SimCLR): every series against its other view and all series of the batch.

    With z = [z1; z2], u = z / ||z|| and p(i) the other view of i, for each of the 2N rows:
    loss_i = -log( exp(<u_i, u_p(i)> / tau) / sum_{k != i} exp(<u_i, u_k> / tau) ).
    Source: equation (1) of the SimCLR-TS report; Chen et al., ICML 2020.

    Args:
        z1, z2: (N, D) embeddings of two views of the same N series; float16, bfloat16, float32 or
            float64, the same device. Row i of both belongs to series i. Not normalised: this is.
        temperature: tau > 0.
        reduction: "mean" over the 2N rows, "sum", or "none" for (2N,): the rows of z1, then of z2.
        precision: of the matrix products. None: the inputs' own, float32 for 16-bit inputs.
            "float32": that, with float64 inputs refused. "bf16": operands rounded to bfloat16, sums
            in float32; needs a processor with AVX512_BF16, temperature > 1/30, no float64 inputs,
            and is an error without them. A row's loss is then off by at most 2.01 / (256 tau), the
            gradient in every test by at most (2 + 2 / tau) / 256 of its largest element
            (ops/contrastive/spec.py); at 4096 x 128, tau = 0.1 it was 3.3e-4, in 0.56 of the time.
        backend: see the module.

    Returns:
        The loss; float32 for 16-bit inputs (the arithmetic is float32), else the inputs' dtype.
        N = 1 gives 0 with zero gradient. A row with norm <= 1e-12 has cosine 0 with everything and
        gets zero gradient. Gradients flow to both inputs, in their dtype.

    Raises:
        TypeError: an input is no floating tensor, dtypes differ, or float64 with a precision.
        ValueError: not (N, D), N = 0, shapes or devices differ, temperature not finite or <= 0,
            or too low for the precision, unknown reduction, precision or backend.
        BackendUnavailableError: the backend asked for can not run these inputs, or none can run
            this precision here.
    """
    checks.matrix("z1", z1)
    checks.matrix("z2", z2)
    checks.alike(("z1", "z2"), (z1, z2))
    temperature = checks.positive("temperature", temperature)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    arguments.check_precision(precision, z1, temperature)
    run = nt_xent_bf16 if precision == "bf16" else operator.nt_xent
    return run(z1, z2, temperature, reduction, _backend(backend))


def _backend(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""


def _arange(x: Tensor) -> Tensor:
    return torch.arange(len(x), device=x.device)


def info_nce(
    q: Tensor,
    k: Tensor,
    temperature: Temperature = 0.1,
    reduction: str = "mean",
    *,
    negatives: Tensor | None = None,
    negatives_valid: Tensor | None = None,
    symmetric: bool = False,
    normalize: bool = True,
    backend: str | None = None,
) -> Tensor:
    """InfoNCE: query i against its positive key i and the other keys (van den Oord et al., 2018).

    With `negatives` (K, D) (a queue: MoCo, He et al., CVPR 2020) those alone are the negatives:
    loss_i = -log(exp(a_ii) / (exp(a_ii) + sum_j exp(<q_i, n_j> / tau))).

    Args:
        q, k: (N, D). negatives, negatives_valid: (K, D) and (K,) bool flags of filled slots.
        symmetric: also every key against all queries; only without `negatives`.
        Others, result and errors as in :func:`contrastive`.
    """
    checks.matrix("q", q)
    checks.matrix("k", k)
    checks.alike(("q", "k"), (q, k))
    if negatives is None:
        ids = _arange(q)
        return _scalar(
            contrastive(
                q,
                k,
                temperature=temperature,
                q_ids=ids,
                k_ids=ids,
                symmetric=symmetric,
                normalize=normalize,
                reduction=reduction,
                backend=backend,
            )
        )
    if symmetric:
        raise ValueError("symmetric: True with negatives; accepted: False")
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    arguments.check_temperature(temperature, q)
    arguments.check_keys(q, negatives, negatives_valid, None, None)
    rules, name = PLAIN._replace(normalize=normalize), _backend(backend)
    if isinstance(temperature, (int, float)):
        negative = row_losses.extra_keys(q, negatives, negatives_valid, temperature, rules, name)
    else:
        rules = rules._replace(k_valid=negatives_valid)
        negative = row_losses.rows(q, negatives, temperature, rules, backend=name).negative
    x = negative - _paired_logits(q, k, temperature, normalize)
    some = negative != -torch.inf
    loss = torch.where(some, torch.logaddexp(torch.where(some, x, 0.0), x.new_zeros(())), 0.0)
    return checks.reduce(loss, reduction)


def _scalar(result: object) -> Tensor:
    assert isinstance(result, Tensor)
    return result


def _paired_logits(q: Tensor, k: Tensor, temperature: Temperature, normalize: bool) -> Tensor:
    """<q_i, k_i> / tau, (N,)."""
    dtype = torch.float32 if q.dtype in (torch.float16, torch.bfloat16) else q.dtype
    q, k = q.to(dtype), k.to(dtype)
    if normalize:
        q, k = unit(q)[0], unit(k)[0]
    return (q * k).sum(dim=1) * row_losses.inverse(temperature, q).to(dtype)


def clip_loss(
    image: Tensor,
    text: Tensor,
    logit_scale: float | Tensor = 1 / 0.07,
    reduction: str = "mean",
    *,
    backend: str | None = None,
) -> Tensor:
    """CLIP: two towers, both directions (Radford et al., ICML 2021): the mean over all 2N rows of
    -log softmax of the matching pair, logits logit_scale * cosine.

    Args:
        image, text: (N, D), row i of both belongs together.
        logit_scale: the factor itself, not its logarithm; a 0-d tensor gets its gradient.
    """
    if isinstance(logit_scale, Tensor):
        checks.floating("logit_scale", logit_scale)
        temperature: float | Tensor = 1 / logit_scale
    else:
        temperature = 1 / checks.positive("logit_scale", logit_scale)
    return info_nce(image, text, temperature, reduction, symmetric=True, backend=backend)


def sup_con(
    z: Tensor,
    labels: Tensor,
    temperature: Temperature = 0.1,
    reduction: str = "mean",
    *,
    mean_over: str = "with_positive",
    backend: str | None = None,
) -> Tensor:
    """Supervised contrastive loss, "out" form (Khosla et al., NeurIPS 2020, eq. 2):
    mean over the positives p of -log(exp(a_ip) / sum_{k != i} exp(a_ik)).

    Args:
        z: (M, D), all views of all samples. labels: (M,) integers; equal labels are positives.
        mean_over: the mean's denominator, rows "with_positive" or "all".
    """
    checks.matrix("z", z)
    if labels is None:
        raise TypeError("labels: None; accepted: (M,) integers")
    return _scalar(
        contrastive(
            z,
            temperature=temperature,
            q_ids=labels,
            reduction=reduction,
            mean_over=mean_over,
            backend=backend,
        )
    )


def dcl(
    z1: Tensor,
    z2: Tensor,
    temperature: Temperature = 0.1,
    reduction: str = "mean",
    *,
    backend: str | None = None,
) -> Tensor:
    """Decoupled contrastive loss (Yeh et al., ECCV 2022): NT-Xent without the positive in the
    denominator: loss_i = -a_ip + log sum over the negatives exp(a_ik). (N, D), (N, D)."""
    return _decoupled(z1, z2, None, temperature, reduction, backend)


def dclw(
    z1: Tensor,
    z2: Tensor,
    temperature: Temperature = 0.1,
    sigma: float = 0.5,
    reduction: str = "mean",
    *,
    backend: str | None = None,
) -> Tensor:
    """DCL with the positives weighted by a von Mises-Fisher kernel (Yeh et al., eq. 7):
    loss_i = -w_i a_ip + log sum over the negatives exp(a_ik), w = 2 - N softmax(<u_i, u_p> /
    sigma), the softmax over the N pairs; a constant for the gradient."""
    checks.positive("sigma", sigma)
    return _decoupled(z1, z2, sigma, temperature, reduction, backend)


def _decoupled(
    z1: Tensor,
    z2: Tensor,
    sigma: float | None,
    temperature: Temperature,
    reduction: str,
    backend: str | None,
) -> Tensor:
    checks.matrix("z1", z1)
    checks.matrix("z2", z2)
    checks.alike(("z1", "z2"), (z1, z2))
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    z = torch.cat([z1, z2])
    arguments.check_temperature(temperature, z)
    ids = _arange(z1).repeat(2)
    rules = PLAIN._replace(q_id=ids, k_id=ids)
    found = row_losses.rows(z, None, temperature, rules, backend=_backend(backend))
    if sigma is None:
        return checks.reduce(row_losses.row_loss(found, "mean_log", "negatives"), reduction)
    with torch.no_grad():
        similarity = _paired_logits(z1, z2, sigma, True)
        weight = (2 - len(z1) * similarity.softmax(dim=0)).repeat(2)
    some = found.has_negative & found.has_positive
    positive = torch.where(some, found.positive - found.gap, 0.0)
    loss = torch.where(some, torch.where(some, found.negative, 0.0) - weight * positive, 0.0)
    return checks.reduce(loss, reduction)
