"""Where losses of this kind are known to break, one test per pitfall, named after it.

Each is the shortest input that broke a published implementation; the numeric tests of the families
go further.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from checks import accept, accept_all, value_and_gradients
from torch import Tensor
from variants import THREADS

from tsssl_fast import functional, losses
from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent
from tsssl_fast.ops.decorrelation import spec as decorrelation_spec


def views(n: int, dim: int, noise: float = 0.3, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    z = torch.randn(n, dim)
    return [z.to(dtype), (z + noise * torch.randn(n, dim)).to(dtype)]


def check(kernel: str, draws: list[list[Tensor]], temperature: float) -> None:
    """NT-Xent by the acceptance rule."""
    accept_all(
        lambda a, b: functional.nt_xent_loss(a, b, temperature=temperature, backend=kernel),
        lambda a, b: nt_xent.nt_xent(a, b, temperature).mean(),
        [(z, None) for z in draws],
        spec.ERROR_FACTOR,
    )


def check_covariance(kernel: str, draws: list[Tensor]) -> None:
    """The covariance penalty by the acceptance rule, against the D x D matrix written out."""

    @torch.autocast("cpu", enabled=False)
    def direct(z: Tensor) -> Tensor:
        z = z if z.dtype == torch.float64 else z.float()
        c = z - z.mean(dim=0)
        c = c.T @ c / (len(z) - 1)
        return (c - c.diag().diag()).square().sum() / z.shape[1]

    results = [
        (functional.covariance_penalty(z, backend=kernel), direct(z.double()), direct(z))
        for z in draws
    ]
    accept("covariance penalty", results, decorrelation_spec.ERROR_FACTOR)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.09, 0.011, 1e-3])
def test_exponential_without_shift(kernel: str, temperature: float, dtype: torch.dtype) -> None:
    """exp(1 / 0.011) is beyond float32, exp(1 / 0.09) beyond float16."""
    draws = [views(16, 8, dtype=dtype) for _ in range(8)]
    for z in draws:
        loss, *gradients = value_and_gradients(
            lambda a, b: functional.nt_xent_loss(a, b, temperature=temperature, backend=kernel), z
        )
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in gradients)
    check(kernel, draws, temperature)


@pytest.mark.parametrize("temperature", [0.0095, 0.005, 1e-3])
def test_fixed_maximum_underflows(kernel: str, temperature: float) -> None:
    """Every similarity of row 0 is -1: exp((-1 - 1) / tau) is 0 in float32, its logarithm -inf."""
    z1, z2 = (torch.ones(9, 4) for _ in range(2))
    z1[0] = -1
    rows = functional.nt_xent_loss(
        z1, z2, temperature=temperature, reduction="none", backend=kernel
    )
    torch.testing.assert_close(rows[0], torch.tensor(17.0).log())
    # And the bound 1 / tau is none where rows are not normalised.
    long = 100 * torch.randn(9, 4)
    loss = functional.contrastive_loss(
        long, q_ids=torch.arange(9) % 3, temperature=temperature, normalize=False, backend=kernel
    )
    assert isinstance(loss, Tensor)
    assert loss.isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_in_16_bits(kernel: str, dtype: torch.dtype) -> None:
    """Near convergence logits of 16 bits are 45 % off in the loss and 60 % in the gradient."""
    z = views(128, 64, 0.1, dtype)
    assert functional.nt_xent_loss(*z, temperature=0.05, backend=kernel).dtype == torch.float32
    check(kernel, [views(128, 64, 0.1, dtype) for _ in range(4)], 0.05)


def test_ieee_is_as_exact_whatever_torch_may_do() -> None:
    """What torch is told of its own float32 products does not reach a loss that says "ieee"."""
    z = views(64, 128)
    before, results = torch.get_float32_matmul_precision(), []
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            results.append(
                value_and_gradients(
                    lambda a, b: functional.nt_xent_loss(
                        a, b, temperature=0.05, precision="ieee", backend="cpp"
                    ),
                    z,
                )
            )
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    check("cpp", [views(64, 128) for _ in range(4)], 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_norm_zero(kernel: str, dtype: torch.dtype) -> None:
    """1e-12 is 0 in float16, and the norm of 512 times 3000 infinite."""
    z1, z2 = views(8, 512, dtype=dtype)
    z1[3] = 0
    z2[5] = 3000
    loss, g1, g2 = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(a, b, backend=kernel), [z1, z2]
    )
    assert loss.isfinite()
    assert not g1[3].any()
    assert g1.isfinite().all()
    assert g2.isfinite().all()


def test_rows_whose_every_logit_is_minus_infinity(kernel: str) -> None:
    """Masked out, without a positive, or without a negative: 0 and zero gradient, and counted."""
    z = torch.randn(6, 4, requires_grad=True)
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[2] = False
    ids = torch.tensor([0, 0, 0, 1, 1, 9])
    loss, stats = functional.contrastive_loss(
        z, q_ids=ids, pair_mask=mask, return_stats=True, reduction="none", backend=kernel
    )
    assert loss[2] == 0  # no pair
    assert loss[5] == 0  # no positive
    assert int(stats.rows_without_positive) == 2
    assert int(stats.rows_without_negative) == 1
    (gradient,) = torch.autograd.grad(loss[[2, 5]].sum(), z)
    assert not gradient.any()
    assert (
        functional.contrastive_loss(z, q_ids=torch.zeros(6, dtype=torch.int64), backend=kernel) == 0
    )


def test_batch_of_one(kernel: str) -> None:
    z1, z2 = views(1, 4)
    one = torch.zeros(1, dtype=torch.int64)
    for loss in (
        lambda a, b: functional.nt_xent_loss(a, b, backend=kernel),
        lambda a, b: functional.dcl_loss(a, b, backend=kernel),
        lambda a, b: functional.clip_loss(a, b, backend=kernel),
        lambda a, b: functional.sup_con_loss(a + b, one, backend=kernel),
        lambda a, b: functional.triplet_loss(a + b, one, backend=kernel),
    ):
        value, g1, g2 = value_and_gradients(loss, [z1, z2])
        assert value == 0
        assert not g1.any()
        assert not g2.any()
    assert functional.siglip_loss(z1, z2, backend=kernel) > 0
    for refused in (functional.vicreg_loss, functional.barlow_twins_loss):
        with pytest.raises(ValueError, match="N >= 2"):
            refused(z1, z2, backend=kernel)


@pytest.mark.parametrize("std", [4.0, 6.0, 1000.0])
def test_vicreg_in_float16_autocast(kernel: str, std: float) -> None:
    """X^T X of 2048 correlated rows overflows float16 before it is divided by N - 1."""
    draws = [(std * torch.randn(2048, 1) * torch.ones(16)).half() for _ in range(8)]
    leaf, other = draws[0].clone().requires_grad_(), draws[1]
    with torch.autocast("cpu", dtype=torch.float16):
        check_covariance(kernel, draws)
        # Unweighted, the true gradient is beyond float16.
        loss = functional.vicreg_loss(leaf, other, covariance_weight=1e-6, backend=kernel)
    assert torch.autograd.grad(loss, leaf)[0].isfinite().all()


@pytest.mark.parametrize("std", [0.01, 30.0])
def test_squares_of_a_16_bit_covariance(kernel: str, std: float) -> None:
    """Covariances of 1e-4 square to 0 in float16, those of 900 to infinity."""
    draws = [(std * torch.randn(64, 8)).half() for _ in range(8)]
    assert functional.covariance_penalty(draws[0], backend=kernel) > 0
    check_covariance(kernel, draws)


@pytest.mark.parametrize("shape", [(16, 64), (32, 64), (64, 64), (512, 64)])
def test_gram_cancellation(kernel: str, shape: tuple[int, int]) -> None:
    """||C||^2 - sum var^2 from N x N products, where N <= D / 2, N = D, N = 8 D."""
    check_covariance(kernel, [torch.randn(shape) for _ in range(8)])


def test_variance_hinge_of_a_collapsed_batch(kernel: str) -> None:
    """No gradient where all rows are equal, and a slope of at most 1 / (2 sqrt(eps)) nearby."""
    z = torch.full((8, 5), 0.25)
    value, gradient = value_and_gradients(
        lambda x: functional.variance_penalty(x, backend=kernel), [z]
    )
    torch.testing.assert_close(value, torch.tensor(0.99))
    assert not gradient.any()
    _, near = value_and_gradients(
        lambda x: functional.variance_penalty(x, backend=kernel), [z + 1e-6 * torch.randn(8, 5)]
    )
    assert near.isfinite().all()
    assert near.abs().max() < 1 / (2 * 1e-4**0.5)


def rounded_once(found: Tensor, expected: Tensor, kernel: str) -> None:
    """A tensor unit multiplies 16-bit inputs as they are, in fewer products than float32 inputs:
    before the rounding its gradients are off by 2^-15 of the row's largest."""
    rounded = expected.to(found.dtype)
    if kernel != "cpp" or not native.module().isa().startswith("amx"):
        assert torch.equal(found, rounded)
        return
    near = 2.0**-15 * expected.abs().amax(dim=1, keepdim=True)
    low, high = (expected - near).to(found.dtype), (expected + near).to(found.dtype)
    assert ((found >= low) & (found <= high)).all()


def test_gradient_underflow_in_float16(kernel: str) -> None:
    """Components near 1e-8 survive a loss scaled by 2^16: the scale comes before the rounding."""
    z = views(64, 32, dtype=torch.float16)
    weight = 2.0**-12  # as in a batch 4096 times larger

    def loss(a: Tensor, b: Tensor, scale: float) -> Tensor:
        return functional.nt_xent_loss(a, b, temperature=0.5, backend=kernel) * (weight * scale)

    exact = value_and_gradients(lambda a, b: loss(a, b, 1.0), [x.float() for x in z])[1:]
    scaled = value_and_gradients(lambda a, b: loss(a, b, 2.0**16), z)[1:]
    plain = value_and_gradients(lambda a, b: loss(a, b, 1.0), z)[1:]
    for found, lost, expected in zip(scaled, plain, exact, strict=True):
        rounded_once(found, expected * 2.0**16, kernel)
        assert (lost == 0).sum() > (found == 0).sum()  # without a scale they are gone


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_accumulation_of_16_bit_gradients_across_blocks(kernel: str, dtype: torch.dtype) -> None:
    """Several blocks of rows add up in float32 and are rounded once, at the end."""
    z = views(500, 24, dtype=dtype)
    labels = torch.arange(500) % 7
    for loss in (
        lambda a, b: functional.nt_xent_loss(a, b, backend=kernel),
        lambda a, b: functional.clip_loss(a, b, backend=kernel),
        lambda a, b: functional.siglip_loss(a, b, backend=kernel),
        lambda a, b: functional.triplet_loss(a, labels, backend=kernel) + 0 * b.sum(),
    ):
        rounded = value_and_gradients(loss, z)
        whole = value_and_gradients(loss, [x.float() for x in z])
        for a, b in zip(rounded[1:], whole[1:], strict=True):
            rounded_once(a, b, kernel)


def test_atomics_and_locks() -> None:
    """Nothing depends on who comes first: the same bits in every run and for every thread count."""
    z = views(300, 16)
    labels = torch.arange(300) % 7

    def every(a: Tensor, b: Tensor) -> Tensor:
        return (
            functional.nt_xent_loss(a, b, backend="cpp")
            + functional.sup_con_loss(a, labels, backend="cpp")
            + functional.clip_loss(a, b, backend="cpp")
            + functional.siglip_loss(a, b, backend="cpp")
            + functional.triplet_loss(b, labels, backend="cpp")
        )

    results = []
    for threads in (*THREADS, THREADS[-1]):
        torch.set_num_threads(threads)
        results.append(value_and_gradients(every, z))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_offsets_beyond_32_bits(kernel: str, tmp_path: Path) -> None:
    """Rows 2^30 elements apart, in a sparse file: the third starts at element 2^31."""
    stride = 1 << 30
    whole = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=(2 * stride + 8,))
    apart = torch.from_numpy(whole).as_strided((3, 8), (stride, 1))
    apart.copy_(torch.randn(3, 8))
    other, labels = torch.randn(3, 8), torch.tensor([0, 0, 1])
    for loss in (
        lambda z: functional.nt_xent_loss(z, other, backend=kernel),
        lambda z: functional.clip_loss(z, other, backend=kernel),
        lambda z: functional.siglip_loss(z, other, backend=kernel),
        lambda z: functional.triplet_loss(z, labels, margin=2.0, backend=kernel),
    ):
        found, expected = [], []
        for z, out in ((apart, found), (apart.contiguous(), expected)):
            leaf = z.detach().requires_grad_()
            value = loss(leaf)
            out += [value.detach(), torch.autograd.grad(value, leaf)[0]]
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_queue_wraps_keeps_its_dtype_and_resumes(kernel: str) -> None:
    queue = losses.FeatureQueue(2, 5, dtype=torch.bfloat16)
    rows = torch.arange(16.0).reshape(8, 2)
    queue.push(rows[:4])
    queue.push(rows[4:])  # wraps: nothing of the batch is dropped
    assert queue.features.dtype == torch.bfloat16
    assert {tuple(r) for r in queue.features.tolist()} == {tuple(r) for r in rows[3:].tolist()}
    resumed = losses.FeatureQueue(2, 5, dtype=torch.bfloat16)
    resumed.load_state_dict(queue.state_dict())
    for each in (queue, resumed):
        each.push(rows[:1])
    assert torch.equal(queue.features, resumed.features)
    q, k = torch.randn(3, 2), torch.randn(3, 2)
    unfilled = losses.FeatureQueue(2, 5)
    unfilled.push(rows[:2])
    found = functional.info_nce_loss(
        q, k, negatives=unfilled.features, negatives_valid=unfilled.valid(), backend=kernel
    )
    expected = functional.info_nce_loss(q, k, negatives=rows[:2], backend=kernel)
    torch.testing.assert_close(found, expected)


def test_nan_rows_and_padding(kernel: str) -> None:
    """A flagged row may hold NaN and gets zero gradient; a NaN that is not flagged shows."""
    z = torch.randn(9, 4)
    z[4] = torch.nan
    valid, ids = torch.arange(9) != 4, torch.arange(9) % 3
    leaf = z.clone().requires_grad_()
    for loss in (
        functional.contrastive_loss(leaf, q_ids=ids, q_valid=valid, backend=kernel),
        functional.triplet_loss(leaf, ids, valid=valid, backend=kernel),
        functional.siglip_loss(leaf, leaf, q_valid=valid, k_valid=valid, backend=kernel),
    ):
        assert isinstance(loss, Tensor)
        assert loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert gradient.isfinite().all()
        assert not gradient[4].any()
    assert functional.sup_con_loss(z, ids, backend=kernel).isnan()
    padded = torch.randn(2, 6, 4)
    padded[0, 4:] = torch.nan
    lengths = torch.tensor([4, 6])
    series = padded.clone().requires_grad_()
    loss = functional.grouped_nt_xent_loss(series, series.detach(), lengths=lengths, backend=kernel)
    (gradient,) = torch.autograd.grad(loss.sum(), series)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    assert not gradient[0, 4:].any()
