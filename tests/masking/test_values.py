"""Fills, losses and tokens against their formulas, on every backend and instruction set."""

import pytest
import torch
from checks import accept_all, error_in_ulps, value_and_gradients
from torch.nn.functional import huber_loss
from variants import THREADS

from tsssl_fast import masking, ops
from tsssl_fast.ops.masking.reference import tokens as reference

SPEC = ops.masking.spec
DTYPES = SPEC.DTYPES
SHAPES = [(1, 1, 1), (3, 2, 5), (2, 3, 67), (4, 5, 300), (1, 2, 1500)]
FILLS = ("zero", "mean", "noise", "token")
KINDS = ("mse", "l1", "huber")


def series(shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def half(shape, per_channel=True):
    return masking.random_mask(shape, 0.5, seed=9, per_channel=per_channel)


def filled(x, mask, how, **options):
    value = series((x.shape[1],), x.dtype, 5) if how == "token" else how
    return masking.fill(x, mask, value, seed=4, **options)


@pytest.mark.parametrize("how", FILLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fills_have_the_definitions_bits(kernel, dtype, how):
    for shape in SHAPES:
        x = series(shape, dtype)
        for mask in (
            half(shape),
            half(shape, False),
            masking.random_mask(shape, 0.5, mode="channel"),
        ):
            expected = filled(x, mask, how, backend="reference")
            got = filled(x, mask, how, backend=kernel)
            assert got.dtype == dtype
            assert torch.equal(got, expected)
            assert torch.equal(got[~mask], x[~mask])


def test_fills_are_their_formulas(kernel):
    x, mask = series((3, 2, 400), torch.float64), half((3, 2, 400))
    assert filled(x, mask, "zero", backend=kernel)[mask].abs().max() == 0
    means = filled(x, mask, "mean", backend=kernel)
    noisy = filled(10 + 3 * x, mask, "noise", backend=kernel)
    for n in range(3):
        for c in range(2):
            m, row = mask[n, c], x[n, c]
            assert torch.allclose(means[n, c][m], row[~m].mean().expand(int(m.sum())), atol=1e-14)
            z = (noisy[n, c][m] - 10 - 3 * row[~m].mean()) / (3 * row[~m].std(correction=0))
            assert z.mean().abs() < 0.3
            assert 0.8 < z.std() < 1.2
    token = torch.tensor([1.5, -2.5], dtype=torch.float64)
    y = masking.fill(x, mask, token, backend=kernel)
    assert torch.equal(y, torch.where(mask, token[:, None], x))


def test_noise_is_a_function_of_the_sample(kernel):
    x, ids = series((1, 2, 50)).expand(4, 2, 50), torch.tensor([5, 2**40, -3, 5])
    mask = torch.ones(4, 2, 50, dtype=torch.bool)
    mask[..., ::7] = False
    y = masking.fill(x, mask, "noise", seed=1, sample_ids=ids, backend=kernel)
    assert torch.equal(y[0], y[3])
    assert not torch.equal(y[0], y[1])
    one = masking.fill(x[1:2], mask[1:2], "noise", seed=1, sample_ids=ids[1:2], backend=kernel)
    assert torch.equal(one[0], y[1])
    other = masking.fill(x, mask, "noise", seed=1, sample_ids=ids, view=1, backend=kernel)
    assert not torch.equal(other, y)


@pytest.mark.parametrize("how", FILLS)
def test_fill_skips_nan_and_hides_it(kernel, how):
    x, mask = series((2, 3, 40)), half((2, 3, 40))
    x[mask] = torch.nan
    x[0, 0], mask[0, 0] = torch.nan, True  # nothing is known of this channel
    y = filled(x, mask, how, backend=kernel)
    assert torch.isfinite(y).all()
    x[1, 1, 3], mask[1, 1, 3] = torch.nan, False
    y = filled(x, mask, how, backend=kernel)
    assert y[1, 1, 3].isnan()
    assert torch.isfinite(y[mask]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fills_gradients(kernel, dtype):
    mask = half((3, 4, 70))

    def definition(x, token):
        return torch.where(mask, token[:, None], x)

    draws = [
        ((series((3, 4, 70), dtype, s), series((4,), dtype, s)), series((3, 4, 70), dtype, s + 1))
        for s in range(6)
    ]
    accept_all(
        lambda x, token: masking.fill(x, mask, token, backend=kernel),
        definition,
        draws,
        SPEC.ERROR_FACTOR,
    )
    x = series((3, 4, 70), dtype).requires_grad_()
    for how in ("zero", "mean", "noise"):
        (gradient,) = torch.autograd.grad(filled(x, mask, how, backend=kernel).sum(), x)
        assert torch.equal(gradient, (~mask).to(dtype))


def naive(pred, target, mask, weight, kind, delta, reduction):
    """Element by element from the docstring."""
    d = pred - target
    e = {"mse": d.square(), "l1": d.abs(), "huber": huber_loss(pred, target, "none", delta)}[kind]
    w = torch.where(mask, 1.0 if weight is None else weight, 0.0)
    if reduction == "sum":
        return (w * e).sum()
    axes = (1, 2) if reduction == "none" else (0, 1, 2)
    return (w * e).sum(axes) / w.sum(axes)


@pytest.mark.parametrize("reduction", ["mean", "none", "sum"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_its_formula_with_all_gradients(kernel, dtype, kind, reduction):
    for shape in SHAPES[1:]:
        mask = half(shape)
        options = {"kind": kind, "delta": 0.7, "reduction": reduction}
        draws = []
        for s in range(4):
            inputs = [series(shape, dtype, 3 * s + i) for i in range(3)]
            inputs[2] = inputs[2].abs() + 0.1
            upstream = series((shape[0],) if reduction == "none" else (), torch.float32, s)
            draws.append((inputs, upstream))

        def loss(pred, target, weight, mask=mask, options=options):
            return masking.masked_loss(pred, target, mask, weight=weight, **options, backend=kernel)

        def definition(pred, target, weight, mask=mask, options=options):
            wide = SPEC.compute_dtype(pred.dtype)
            tensors = (x.to(wide) for x in (pred, target))
            return naive(*tensors, mask, weight.to(wide), **options)

        if dtype != torch.float64:
            accept_all(loss, definition, draws, SPEC.ERROR_FACTOR)
            continue
        for inputs, upstream in draws:
            results = (value_and_gradients(f, inputs, upstream) for f in (loss, definition))
            for got, expected in zip(*results, strict=True):
                assert error_in_ulps(got, expected) <= SPEC.FLOAT64_ULPS


@pytest.mark.parametrize("kind", KINDS)
def test_loss_without_weights(kernel, kind):
    shape = (3, 2, 67)
    for mask in (half(shape), half(shape, False), masking.random_mask(shape, 0.5, mode="channel")):
        draws = [
            ([series(shape, seed=2 * s), series(shape, seed=2 * s + 1)], None) for s in range(6)
        ]
        accept_all(
            lambda p, t, mask=mask: masking.masked_loss(
                p, t, mask, kind=kind, delta=0.7, backend=kernel
            ),
            lambda p, t, mask=mask: naive(p, t, mask, None, kind, 0.7, "mean"),
            draws,
            SPEC.ERROR_FACTOR,
        )


def test_two_dimensions_and_strides(kernel):
    pred, target, mask = series((4, 30)), series((4, 30), seed=1), half((4, 30))
    expected = naive(pred[:, None], target[:, None], mask[:, None], None, "mse", 1.0, "mean")
    assert masking.masked_loss(pred, target, mask, backend=kernel).item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    p, t = (series((4, 30, 6), seed=s).mT for s in (1, 2))
    m = half((4, 30, 6)).mT
    got = masking.masked_loss(p, t, m, weight=p.abs(), backend=kernel)
    p2, t2, m2 = p.contiguous(), t.contiguous(), m.contiguous()
    expected = masking.masked_loss(p2, t2, m2, weight=p2.abs(), backend=kernel)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(
        masking.fill(p, m, "mean", backend=kernel), masking.fill(p2, m2, "mean", backend=kernel)
    )


def test_visible_nan_counts_for_nothing(kernel):
    shape = (3, 2, 67)
    mask = half(shape)
    pred, target, weight = series(shape), series(shape, seed=1), series(shape, seed=2).abs()
    expected = masking.masked_loss(pred, target, mask, weight=weight, backend=kernel)
    for x in (pred, target, weight):
        x[~mask] = torch.nan
    inputs = [x.requires_grad_() for x in (pred, target, weight)]
    loss = masking.masked_loss(*inputs[:2], mask, weight=inputs[2], backend=kernel)
    assert torch.equal(loss, expected)
    for gradient in torch.autograd.grad(loss, inputs):
        assert torch.equal(gradient[~mask], torch.zeros(int((~mask).sum())))
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("reduction", ["mean", "none", "sum"])
def test_nothing_hidden_gives_zero(kernel, reduction):
    shape = (2, 3, 20)
    pred, weight = (series(shape, seed=s).requires_grad_() for s in (0, 1))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[1] = reduction == "none"
    loss = masking.masked_loss(
        pred, torch.zeros(shape), mask, weight=weight.abs(), reduction=reduction, backend=kernel
    )
    assert loss.reshape(-1)[0] == 0
    for gradient in torch.autograd.grad(loss.sum(), (pred, weight)):
        assert (gradient[0] == 0).all()
        assert torch.isfinite(gradient).all()


def test_threads_change_no_bit():
    x, target = series((70, 5, 333)), series((70, 5, 333), seed=1)
    mask = half(x.shape)

    def everything():
        token, pred = (v.clone().requires_grad_() for v in (x[0, :, 0], x))
        y = masking.fill(pred, mask, token)
        loss = masking.masked_loss(y, target, mask, kind="huber", weight=target.abs())
        tokens, keep = pred.mT, masking.keep_indices(half((70, 333)))
        back = masking.restore(masking.gather(tokens, keep), keep, 333, token).square().sum()
        return (y, loss, *torch.autograd.grad(loss + back, (pred, token)))

    expected = everything()
    for threads in THREADS:
        torch.set_num_threads(threads)
        for got, wanted in zip(everything(), expected, strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 8, 5), (2, 30, 64)])
def test_tokens_are_gathered_and_restored(kernel, shape, dtype):
    x = series(shape, dtype)
    n, length, d = shape
    ratio = 0.6 if length > 1 else 0.0
    keep = masking.keep_indices(masking.random_mask((n, length), ratio, seed=1))
    visible = masking.gather(x, keep, backend=kernel)
    assert all(torch.equal(visible[i], x[i, keep[i]]) for i in range(n))
    token = series((d,), dtype, 3)
    back = masking.restore(visible, keep, length, token, backend=kernel)
    for i in range(n):
        for row in range(length):
            assert torch.equal(back[i, row], x[i, row] if row in keep[i] else token)
    assert masking.restore(visible, keep, length, backend=kernel).count_nonzero() <= visible.numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_gradients(kernel, dtype):
    keep = masking.keep_indices(masking.random_mask((3, 9), 0.5, seed=1))
    draws = [
        ((series((3, 9, 4), dtype, s), series((4,), dtype, s)), series((3, 9, 4), dtype, s + 1))
        for s in range(6)
    ]
    accept_all(
        lambda x, token: masking.restore(
            masking.gather(x, keep, backend=kernel), keep, 9, token, backend=kernel
        ),
        lambda x, token: reference.restore_tokens(reference.gather_tokens(x, keep), keep, 9, token),
        draws,
        SPEC.ERROR_FACTOR,
    )
    visible = series((3, len(keep[0]), 4), dtype).requires_grad_()
    upstream = series((3, 9, 4), dtype)
    y = masking.restore(visible, keep, 9, backend=kernel)
    (gradient,) = torch.autograd.grad(y, visible, upstream)
    assert torch.equal(gradient, masking.gather(upstream, keep))


def test_gradients_by_finite_differences():
    """Of the definition, which all kernels are held to."""
    mask = half((2, 3, 5))
    pred, target, weight = (series((2, 3, 5), torch.float64, s).requires_grad_() for s in range(3))
    for kind in KINDS:
        for reduction in ("mean", "none", "sum"):
            assert torch.autograd.gradcheck(
                lambda *a, kind=kind, reduction=reduction: masking.masked_loss(
                    *a[:2], mask, kind=kind, weight=a[2], reduction=reduction, backend="reference"
                ),
                (pred, target, weight),
            )
    token = series((3,), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, t: masking.fill(x, mask, t, backend="reference"), (pred, token)
    )


X, M = series((2, 3, 8)), half((2, 3, 8))
KEEP = torch.tensor([[0, 2], [1, 3]])
BAD = {
    "mask float": (masking.fill, (X, M.float()), {}, TypeError, "hidden: torch.float32; accepted"),
    "mask shape": (masking.fill, (X, M[:, :1]), {}, ValueError, r"hidden: shape \(2, 1, 8\); acc"),
    "fill name": (masking.fill, (X, M, "median"), {}, ValueError, "value: 'median'; accepted"),
    "token shape": (masking.fill, (X, M, X[0, :2, 0]), {}, ValueError, r"value: shape \(2,\); a"),
    "token dtype": (masking.fill, (X, M, X[0, :, 0].double()), {}, TypeError, "value: dtype"),
    "x integer": (masking.fill, (X.long(), M), {}, TypeError, "x: dtype torch.int64; accepted"),
    "x flat": (masking.fill, (X[0], M[0]), {}, ValueError, r"x: shape \(3, 8\); accepted"),
    "view": (masking.fill, (X, M, "noise"), {"view": -1}, ValueError, "view: -1; accepted"),
    "kind": (
        masking.masked_loss,
        (X, X, M),
        {"kind": "l3"},
        ValueError,
        "kind: 'l3'; accepted: mse",
    ),
    "target": (masking.masked_loss, (X, X[:1], M), {}, ValueError, "target: shape"),
    "weight": (masking.masked_loss, (X, X, M), {"weight": X[0]}, ValueError, "weight: shape"),
    "delta": (
        masking.masked_loss,
        (X, X, M),
        {"kind": "huber", "delta": 0.0},
        ValueError,
        "delta: 0.0; ",
    ),
    "reduction": (masking.masked_loss, (X, X, M), {"reduction": "avg"}, ValueError, "reduction: "),
    "four axes": (masking.masked_loss, (X[None], X[None], M[None]), {}, ValueError, "pred: shape"),
    "keep range": (masking.gather, (X, KEEP), {}, ValueError, "keep: 0 to 3; accepted: 0 to 2"),
    "keep order": (masking.gather, (X, KEEP.flip(1) % 3), {}, ValueError, "keep: rows that do not"),
    "keep dtype": (masking.gather, (X, KEEP.int()), {}, TypeError, "keep: torch.int32; accepted"),
    "keep rows": (masking.gather, (X, KEEP[:1]), {}, ValueError, r"keep: shape \(1, 2\); accepted"),
    "restore": (masking.restore, (X, KEEP, 9), {}, ValueError, r"keep: shape \(2, 2\); accepted"),
    "length": (masking.restore, (X[:, :2], KEEP, 3), {}, ValueError, "keep: 0 to 3; accepted: 0 t"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    function, arguments, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        function(*arguments, **options)
