"""Published code in its literal form against a transcription of what it does."""

import numpy as np
import pytest
import torch
from cases.augment import series

from tsssl_fast import augment

T = 60


def test_time_warp_literal_is_the_documents_time_warping():
    """np.interp(index + U(0, 0.2) for every step, index, series)."""
    x, index = series(40, 3, T).double(), np.arange(T)
    pipeline = augment.Compose([augment.TimeWarp(0.2, form="literal")])
    y, params = pipeline(x, 2, seed=0, return_params=True)
    shift = (params.index_map() - torch.arange(T)).numpy()
    assert shift.min() >= -1e-12
    assert shift.max() < 0.2
    assert shift[..., -1].max() == 0  # clamped, as np.interp does
    free = shift[..., :-1] / 0.2
    assert abs(free.mean() - 0.5) < 0.02
    assert abs(free.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(free[..., :-1].ravel(), free[..., 1:].ravel())[0, 1]) < 0.05
    for v in range(2):
        for n in range(40):
            for c in range(3):
                expected = np.interp(index + shift[v, n], index, x[n, c].numpy())
                np.testing.assert_allclose(y[v, n, c], expected, rtol=0, atol=1e-12)
    labels = torch.arange(40 * T).reshape(40, T)
    assert torch.equal(params.apply_to(labels), labels.expand(2, 40, T))  # moved below half a step


def test_ts_tcc_literal_scales_every_step_around_two():
    """factor = normal(2, 1.1, (N, T)), multiplied into every channel."""
    x = series(80, 3, T).double()
    factor = augment.presets.ts_tcc(literal=True)(x, seed=0)[0] / x
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    drawn = factor[:, 0]
    assert abs(drawn.mean() - 2) < 0.06
    assert abs(drawn.std() - 1.1) < 0.04
    neighbours = np.corrcoef(drawn[:, :-1].flatten(), drawn[:, 1:].flatten())
    assert abs(neighbours[0, 1]) < 0.05


def test_ts_tcc_literal_copies_channel_0_into_all():
    """pat[0, warp] where the series is cut, the series itself where it is not."""
    x = torch.arange(3.0 * T).reshape(1, 3, T).expand(300, 3, T)
    pipeline = augment.presets.ts_tcc(jitter_magnitude=0.0, literal=True)
    y, params = pipeline(x, seed=0, return_params=True)
    count = params[1]["segments"][1]
    assert set(count.tolist()) == set(range(1, 8))
    borders = set()
    for n in range(300):
        strong = y[1, n]
        if count[n] == 1:
            assert torch.equal(strong, x[n])
            continue
        assert torch.equal(strong, strong[:1].expand(3, T))
        assert torch.equal(strong[0].sort().values, x[n, 0])
        begins = strong[0][1:][strong[0].diff() != 1].tolist()
        assert len(begins) < count[n]
        borders.update(begins)
    assert len(borders) > T - 10  # drawn, where the fixed form has parts of equal length
    moved = params.apply_to(x)[1]
    assert torch.equal(moved, y[1])


def test_literal_borders_are_a_choice_without_replacement_from_the_first_t_minus_2_steps():
    pipeline = augment.Compose([augment.SegmentPermutation(3, form="literal")])
    steps = torch.arange(6.0).expand(4000, 1, 6)
    y, params = pipeline(steps, 1, seed=1, return_params=True)
    order = params[0]["values"][0, :, :3].long()
    seen = {}
    for row, place in zip(y[0, :, 0].tolist(), order.tolist(), strict=True):
        if place == [2, 1, 0]:
            seen[tuple(row)] = seen.get(tuple(row), 0) + 1
    expected = set()
    for first in range(4):
        for second in range(first + 1, 4):
            parts = np.split(np.arange(6.0), [first, second])
            expected.add(tuple(np.concatenate(parts[::-1]).tolist()))
    assert set(seen) == expected
    assert min(seen.values()) > 0.5 * sum(seen.values()) / len(expected)


FORMS = [
    augment.TimeWarp(0.5, form="literal"),
    augment.Scale(magnitude=1.1, form="literal"),
    augment.SegmentPermutation((2, 5), form="literal"),
]


@pytest.mark.parametrize("operation", FORMS)
def test_literal_forms_keep_the_contract(operation):
    x, ids = series(9, 2, 30), torch.arange(9) + 100
    pipeline = augment.Compose([augment.Jitter(), operation])
    whole = pipeline(x, 2, seed=3, sample_ids=ids)
    assert torch.equal(pipeline(x[[4, 1]], 2, seed=3, sample_ids=ids[[4, 1]]), whole[:, [4, 1]])
    assert not torch.equal(pipeline(x, 2, seed=3, sample_ids=ids, epoch=1), whole)
    for backend in ("reference", "numba"):
        assert torch.equal(pipeline(x, 2, seed=3, sample_ids=ids, backend=backend), whole)
    lengths = torch.tensor([30, 12, 1, 2, 3, 20, 30, 7, 30])
    y = augment.Compose([operation])(x, 2, seed=3, lengths=lengths)
    for n, length in enumerate(lengths.tolist()):
        assert torch.equal(y[:, n, :, length:], x[n, :, length:].expand(2, 2, 30 - length))
        alone = operation(x[n : n + 1, :, :length], 2, seed=3, sample_ids=torch.tensor([n]))
        assert torch.equal(y[:, n, :, :length], alone[:, 0])
    small = series(2, 2, 5).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: operation(x, 2, seed=0), small)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: augment.TimeWarp(form="document"), "form"),
        (lambda: augment.TimeWarp(1.0, form="literal"), "magnitude"),
        (lambda: augment.Scale(magnitude=1.1, form="tcc"), "form"),
        (lambda: augment.Scale(1.1, form="literal"), "magnitude"),
        (lambda: augment.Scale(magnitude=1.1, per_channel=True, form="literal"), "per_channel"),
        (lambda: augment.SegmentPermutation(3, form="random"), "form"),
    ],
)
def test_bad_input(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: .*accepted"):
        make()
