"""Masks: exact counts, every arrangement equally likely, the same bits everywhere."""

from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from variants import THREADS

import tsssl_fast
from tsssl_fast import masking
from tsssl_fast.masking import MODES, mask_pair, random_mask

IDS = torch.tensor([3, 2**40 + 1, -1, 0, 7, 2**63 - 1])


def runs(row):
    """Lengths of the hidden runs of a row."""
    return [sum(1 for _ in group) for hidden, group in groupby(row.tolist()) if hidden]


def drawn(mode, ratio=0.5, shape=(6, 3, 41), **options):
    if mode == "channel":
        options.pop("per_channel", None)
    return random_mask(shape, ratio, mode=mode, seed=11, sample_ids=IDS[: shape[0]], **options)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.02, 0.3, 0.75, 0.97, 1.0])
@pytest.mark.parametrize("mode", MODES)
def test_every_backend_draws_the_definitions_bits(kernel, mode, ratio, per_channel):
    for shape in ((6, 3, 41), (1, 1, 1), (2, 5, 700), (3, 1, 64)):
        options = {"views": 2, "per_channel": per_channel, "epoch": 3, "step": 5, "rank": 1}
        expected = drawn(mode, ratio, shape, backend="reference", **options)
        assert torch.equal(drawn(mode, ratio, shape, backend=kernel, **options), expected)


@pytest.mark.parametrize("threads", THREADS)
def test_threads_change_no_bit(threads):
    torch.set_num_threads(threads)
    for mode in MODES:
        got = random_mask((130, 3, 301), 0.6, mode=mode, seed=1, views=3)
        assert torch.equal(
            got, random_mask((130, 3, 301), 0.6, mode=mode, seed=1, views=3, backend="cpp")
        )
        torch.set_num_threads(1)
        assert torch.equal(got, random_mask((130, 3, 301), 0.6, mode=mode, seed=1, views=3))
        torch.set_num_threads(threads)


@given(
    steps=st.integers(1, 60),
    ratio=st.floats(0, 1),
    size=st.integers(1, 12),
    mode=st.sampled_from(MODES),
    seed=st.integers(-(2**63), 2**64 - 1),
)
def test_counts_are_exact(steps, ratio, size, mode, seed):
    size = min(size, steps) if mode in ("patch", "span", "geometric") else None
    mask = random_mask((2, 3, steps), ratio, mode=mode, size=size, seed=seed)
    if mode == "channel":
        whole = mask.all(-1)
        assert torch.equal(whole, mask.any(-1))
        assert whole.sum(1).tolist() == [int(ratio * 3 + 0.5)] * 2
        return
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    for row in mask[:, 0]:
        if mode == "patch":
            patches = row.split(size)
            assert all(p.all() == p.any() for p in patches)
            hidden = sum(bool(p.any()) for p in patches)
            assert hidden == int(ratio * len(patches) + 0.5)
            continue
        count = int(ratio * steps + 0.5)
        assert row.sum() == count
        if mode == "span" and count:
            # Spans may touch: what is left over fits into one of the runs.
            rest = [length % size for length in runs(row)]
            assert sum(rest) % size == count % size
            assert sum(r > 0 for r in rest) <= 1
        if mode == "geometric" and count:
            assert len(runs(row)) == min(max(1, int(count / size + 0.5)), steps - count + 1)


def test_masks_do_not_depend_on_the_batch():
    for mode in MODES:
        whole = drawn(mode)
        part = random_mask((2, 3, 41), 0.5, mode=mode, seed=11, sample_ids=IDS[[4, 1]])
        assert torch.equal(part, whole[[4, 1]])
        one = random_mask((1, 3, 41), 0.5, mode=mode, seed=11, sample_ids=IDS[2:3])
        assert torch.equal(one, whole[2:3])


def test_views_seeds_epochs_and_channels_differ():
    first, second = drawn("point", views=2, per_channel=True)
    assert not torch.equal(first, second)
    assert torch.equal(first, drawn("point", per_channel=True))
    assert not torch.equal(first[:, 0], first[:, 1])
    for other in ({"epoch": 1}, {"step": 1}, {"rank": 1}):
        assert not torch.equal(first, drawn("point", per_channel=True, **other))
    a, b = (random_mask((1, 1, 40), 0.5, mode=m, size=1, seed=0) for m in ("patch", "span"))
    assert not torch.equal(a, b)


@pytest.mark.parametrize(
    ("mode", "size", "ratio", "pictures"),
    [
        ("point", None, 0.4, 10),
        ("patch", 2, 0.34, 3),
        ("span", 2, 0.6, 9),
        ("geometric", 2, 0.6, 6),
    ],
)
def test_arrangements_are_equally_likely(mode, size, ratio, pictures):
    """All masks of 5 steps: chi-square of 12,000 draws below its 0.9999 quantile.

    A span of 2 and one of 1 that touch look alike in both orders: twice as likely.
    """
    rows = random_mask((12000, 5), ratio, mode=mode, size=size, seed=2)
    seen, counts = rows.unique(dim=0, return_counts=True)
    assert len(seen) == pictures
    weight = torch.tensor([2.0 if mode == "span" and runs(row) == [3] else 1.0 for row in seen])
    expected = 12000 * weight / weight.sum()
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < {3: 18.4, 6: 25.7, 9: 31.8, 10: 33.7}[pictures]


def test_geometric_runs_are_geometric():
    """Mean and spread of 3 hidden and 3 visible steps on average."""
    mask = random_mask((2000, 600), 0.5, mode="geometric", size=3, seed=0)
    lengths = torch.tensor([length for row in mask for length in runs(row)], dtype=torch.float64)
    assert lengths.mean() == pytest.approx(3.0, abs=1e-6)
    # Geometric with mean 3: variance (1 - p) / p^2 = 6, and a third of all runs has length 1.
    assert lengths.var() == pytest.approx(6.0, abs=0.15)
    assert (lengths == 1).double().mean() == pytest.approx(1 / 3, abs=0.01)


def test_golden_bits():
    """Masks that were drawn once and must never change: the row as a number, step 0 the highest."""
    got = {
        mode: int("".join(str(int(v)) for v in random_mask((1, 32), 0.5, mode=mode, seed=7)[0]), 2)
        for mode in ("point", "patch", "span", "geometric")
    }
    assert got == GOLDEN


GOLDEN = {
    "point": 0xDCA24B6C,
    "patch": 0x0000FFFF,
    "span": 0x3F1FF800,
    "geometric": 0x7C4F3E20,
}


@pytest.mark.parametrize("mode", MODES)
def test_a_pair_and_what_both_hide(kernel, mode):
    pair = mask_pair((5, 4, 30), 0.6, mode=mode, seed=1, backend=kernel)
    views = random_mask((5, 4, 30), 0.6, mode=mode, views=2, seed=1)
    assert torch.equal(pair.first, views[0])
    assert torch.equal(pair.second, views[1])
    assert torch.equal(pair.both, views[0] & views[1])
    assert pair.both.any()


def test_masks_need_no_more_memory_than_they_say():
    assert random_mask((4, 9, 50), 0.5, seed=0).untyped_storage().nbytes() == 4 * 50
    assert random_mask((4, 9, 50), 0.5, mode="channel", seed=0).untyped_storage().nbytes() == 4 * 9


BAD = {
    "ratio above": (((2, 3, 9), 1.5), {}, ValueError, r"ratio: 1\.5; accepted: .*\[0, 1\]"),
    "ratio below": (((2, 3, 9), -0.1), {}, ValueError, r"ratio: -0\.1; accepted: .*\[0, 1\]"),
    "ratio nan": (((2, 3, 9), float("nan")), {}, ValueError, "ratio: nan; accepted"),
    "ratio text": (((2, 3, 9), "half"), {}, TypeError, "ratio: str; accepted: a number"),
    "mode": (
        ((2, 3, 9), 0.5),
        {"mode": "block"},
        ValueError,
        "mode: 'block'; accepted: point, patch",
    ),
    "patch": (
        ((2, 3, 9), 0.5),
        {"mode": "patch", "size": 10},
        ValueError,
        "size: 10 .* at most T = 9",
    ),
    "span": (
        ((2, 3, 9), 0.5),
        {"mode": "span", "size": 10},
        ValueError,
        "size: 10 .* at most T = 9",
    ),
    "size zero": (
        ((2, 3, 9), 0.5),
        {"mode": "patch", "size": 0},
        ValueError,
        "size: 0; accepted: 1 to",
    ),
    "size float": (
        ((2, 3, 9), 0.5),
        {"mode": "patch", "size": 2.0},
        TypeError,
        "size: float; accepted",
    ),
    "size unused": (((2, 3, 9), 0.5), {"size": 2}, ValueError, "size: 2; .*mode='point'"),
    "shape": (((3,), 0.5), {}, ValueError, r"shape: \(3,\); accepted: \(N, C, T\)"),
    "empty": (((0, 3, 9), 0.5), {}, ValueError, r"shape: \(0, 3, 9\); accepted"),
    "views": (((2, 3, 9), 0.5), {"views": 0}, ValueError, "views: 0; accepted"),
    "channel": (
        ((2, 3, 9), 0.5),
        {"mode": "channel", "per_channel": True},
        ValueError,
        "per_channel: True",
    ),
    "ids": (((2, 3, 9), 0.5), {"sample_ids": IDS[:3]}, ValueError, r"sample_ids: shape \(3,\)"),
    "ids float": (
        ((2, 3, 9), 0.5),
        {"sample_ids": torch.zeros(2)},
        TypeError,
        "sample_ids: torch.f",
    ),
    "seed": (((2, 3, 9), 0.5), {"seed": 1.5}, TypeError, "seed: float; accepted"),
    "backend": (((2, 3, 9), 0.5), {"backend": "cuda"}, ValueError, "backend='cuda'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    arguments, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        random_mask(*arguments, **options)


def test_a_backend_asked_for_by_name_does_not_fall_back():
    with pytest.raises(tsssl_fast.BackendUnavailableError, match="no backend 'triton'"):
        random_mask((2, 3, 9), 0.5, backend="triton")


def test_visible_indices():
    mask = torch.tensor([[True, False, False, True], [False, True, True, False]])
    assert masking.keep_indices(mask).tolist() == [[1, 2], [0, 3]]
    with pytest.raises(ValueError, match="hidden: rows with 0 to 0 visible"):
        masking.keep_indices(torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="hidden: rows with 1 to 2 visible"):
        masking.keep_indices(torch.tensor([[True, False, True], [False, True, False]]))
    with pytest.raises(ValueError, match=r"hidden: torch\.float32"):
        masking.keep_indices(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"hidden: list \(\)"):
        masking.keep_indices([[True, False]])


def test_the_old_name_of_a_mask_says_the_new_one():
    x, hidden = torch.zeros(1, 2, 3), torch.ones(1, 2, 3, dtype=torch.bool)
    for call in (
        lambda: masking.fill(x, mask=hidden),
        lambda: masking.masked_loss(x, x, mask=hidden),
        lambda: masking.keep_indices(mask=hidden[0]),
    ):
        with pytest.raises(TypeError, match=r"mask: not an argument of \w+; accepted: hidden"):
            call()
