"""Philox and seed folding against published answers, numpy's generator and torch's words."""

import numpy as np
import pytest
import torch

from tsssl_fast.common import random

# Random123's known-answer file, philox4x32-10: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter, key, expected):
    assert random.philox(counter, key) == expected
    words = random.philox(tuple(torch.tensor([c]) for c in counter), key)
    assert tuple(int(w) for w in words) == expected


def test_folding_keeps_seed_epoch_step_and_rank_apart():
    keys = {
        random.fold_seed(seed, epoch, step, rank)
        for seed in range(-2, 3)
        for epoch in range(5)
        for step in range(5)
        for rank in range(4)
    }
    assert len(keys) == 5 * 5 * 5 * 4


def test_fold_seed_is_pinned():
    assert random.fold_seed(0) == (0x0A0BA665, 0x36C66EDC)
    assert random.fold_seed(-1, 2, 3, 4) == (0x2B4E90E9, 0x3C5802B9)


def test_below_covers_every_value_and_no_other():
    word = torch.cat([torch.arange(0, 1 << 32, 65521), torch.tensor([(1 << 32) - 1])])
    values = random.below(word, 18)
    assert values.unique().tolist() == list(range(18))


def test_uniform_is_exact_in_both_dtypes():
    word = torch.tensor([0, 1, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
    expected = np.array([0, 1, 0xFFFFFF, 0, 0xFFFFFF]) / 2.0**24
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(random.uniform(word, dtype).double(), torch.from_numpy(expected))
    assert random.uniform(word, torch.float32).max() < 1


def test_seed_tensor_draws_once_from_a_generator():
    first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    a = random.seed_tensor(first, 1, 2, 3)
    b = torch.randint(-(2**63), 2**63 - 1, (1,), generator=second)
    assert a.tolist() == [b.item(), 1, 2, 3]
    assert torch.equal(first.get_state(), second.get_state())


def test_seed_tensor_from_the_global_generator_follows_manual_seed():
    torch.manual_seed(5)
    a = random.seed_tensor(None)
    torch.manual_seed(5)
    assert torch.equal(a, random.seed_tensor(None))


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match="seed"):
        random.seed_tensor(seed)


@pytest.mark.parametrize("seed", ["1", 1.0, True, torch.zeros(2, dtype=torch.int64)])
def test_seed_of_another_type(seed):
    with pytest.raises(TypeError, match="seed"):
        random.seed_tensor(seed)


def test_a_seed_above_the_signed_range_is_its_64_bits():
    assert random.seed_tensor(2**64 - 1)[0] == -1


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, torch.tensor])
def test_numbers_of_any_integer_type_are_the_same(kind):
    expected = random.seed_tensor(5, 3, 2, 1)
    assert expected.tolist() == [5, 3, 2, 1]
    rank = 1 if kind is torch.tensor else kind(1)
    assert torch.equal(random.seed_tensor(kind(5), kind(3), kind(2), rank), expected)
    assert random.seed_tensor(np.uint64(2**64 - 1)).tolist()[0] == -1


@pytest.mark.parametrize("name", ["seed", "epoch", "step", "rank"])
@pytest.mark.parametrize("value", [1.9, 1.0, np.float64(2), True, "1", torch.tensor(1.0)])
def test_other_numbers_are_refused(name, value):
    with pytest.raises(TypeError, match=f"^{name}: .*accepted"):
        random.seed_tensor(**{"seed": 0, name: value})


@pytest.mark.parametrize("name", ["epoch", "step", "rank"])
def test_numbers_beyond_64_bits_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: .*accepted"):
        random.seed_tensor(**{"seed": 0, name: 2**63})


def test_a_tensor_elsewhere_is_not_read():
    """The key is built where the step is: reading a meta tensor raises."""
    step = torch.zeros((), dtype=torch.int32, device="meta")
    key = random.seed_tensor(7, torch.tensor(3), step)
    assert key.device.type == "meta"
    assert key.shape == (4,)
    for bad in (torch.zeros(1, dtype=torch.int64), torch.tensor(True), torch.tensor(1j)):
        with pytest.raises(TypeError, match=r"^step: .*accepted: an integer or a 0-d"):
            random.seed_tensor(0, 0, bad)
