"""TrivialAugment and RandAugment: bits, draws per sample, frequencies, the table of ranges."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from cases.augment import series
from scipy import stats

from tsssl_fast import augment
from tsssl_fast.augment.groups import Chooser
from tsssl_fast.augment.mixing import _Mixing
from tsssl_fast.backends import dispatch

POLICIES = {
    "trivial": augment.TrivialAugment(triples=((0, 1, 2),)),
    "rand": augment.RandAugment(count=3, strength=0.7),
}
RUNNING = [
    name
    for name, reasons in dispatch.explain("augment", series(2, 3, 40)).reasons.items()
    if not reasons
]


def acting(policy, n, views=2, seed=0):
    """(views, N, operations) bool without the groups, and the operations' names."""
    params = policy.sample(n, 3, 40, views, seed=seed)
    shown = [i for i, (name, _) in enumerate(params.labels) if name in augment.RANGES]
    return params.acts[..., shown], [params.labels[i][0] for i in shown]


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("backend", RUNNING)
def test_every_backend_gives_the_same_bits(name, backend):
    x = series(40, 3, 41)
    lengths = torch.arange(40) % 40 + 2
    for given in (None, lengths):
        expected = POLICIES[name](x, 2, seed=3, lengths=given, backend="reference")
        assert torch.equal(POLICIES[name](x, 2, seed=3, lengths=given, backend=backend), expected)


@pytest.mark.parametrize("name", POLICIES)
def test_a_sample_is_what_it_is_alone(name):
    policy, x = POLICIES[name], series(30, 3, 40)
    batch = policy(x, 2, seed=5, epoch=1, step=2)
    for i in (0, 7, 29):
        one = policy(x[i], 2, seed=5, epoch=1, step=2, sample_id=i)
        # Fourier transforms round by the size of the batch.
        torch.testing.assert_close(one, batch[:, i], rtol=1e-5, atol=1e-5)
    assert not torch.equal(batch, policy(x, 2, seed=5, epoch=1, step=3))
    _, params = policy(x, 2, seed=5, epoch=1, step=2, return_params=True)
    assert torch.equal(params.apply(x), batch)
    assert torch.equal(pickle.loads(pickle.dumps(policy))(x, 2, seed=5, epoch=1, step=2), batch)


def test_trivial_augment_takes_one_operation_all_alike():
    policy = augment.TrivialAugment()
    acts, names = acting(policy, 6000)
    assert names == list(augment.RANGES)
    assert (acts.sum(-1) == 1).all()
    counts = acts.sum((0, 1)).numpy()
    assert stats.chisquare(counts).pvalue > 0.01
    both = (acts[0].int().argmax(-1) == acts[1].int().argmax(-1)).float().mean()
    assert abs(both - 1 / len(names)) < 0.01  # views draw on their own


def test_rand_augment_draws_with_replacement():
    policy = augment.RandAugment(count=2, operations=["TimeFlip", "Jitter", "Scale", "Identity"])
    acts, names = acting(policy, 6000)
    assert names == ["TimeFlip", "Jitter", "Scale", "Identity"] * 2
    first, second = acts[..., :4].int(), acts[..., 4:].int()
    assert (first.sum(-1) == 1).all()
    assert (second.sum(-1) == 1).all()
    table = np.zeros((4, 4))
    np.add.at(table, (first.argmax(-1).flatten(), second.argmax(-1).flatten()), 1)
    assert stats.chisquare(table.flatten()).pvalue > 0.01


def test_strengths_are_uniform_or_fixed():
    trivial = augment.TrivialAugment(0.8, ["Jitter"])
    drawn = trivial.sample(4000, 1, 8, seed=1)[1]["magnitude"][0]
    assert stats.kstest(drawn.numpy() / 0.4, "uniform").pvalue > 0.01
    rand = augment.RandAugment(1, 0.8, ["Jitter"])
    assert (rand.sample(50, 1, 8, seed=1)[2]["magnitude"] == 0.4).all()


def test_ranges_have_every_operation_that_mixes_no_samples():
    every = {
        name
        for name in augment.__all__
        if inspect.isclass(value := getattr(augment, name))
        and issubclass(value, augment.Transform)
        and not issubclass(value, (Chooser, _Mixing))
    }
    # Rotation needs triples, the operations of signals.py units.
    apart = {"Transform", "Rotation", *augment.signals.__all__}
    assert every - apart == set(augment.RANGES)
    x = series(4, 3, 40)
    for name, meaning in augment.RANGES.items():
        assert type(meaning.at(0, 1)).__name__ == name
        for low, high in ((0.0, 0.0), (0.3, 0.3), (0.2, 0.9), (1.0, 1.0)):
            y = meaning.at(low, high)(x, seed=0)
            assert torch.isfinite(y).all()
        # At 0 what has a magnitude leaves the series as it is.
        if meaning.argument and meaning.weakest == 0:
            torch.testing.assert_close(meaning.at(0, 0)(x, seed=0), x, rtol=1e-5, atol=1e-5)
    for name, argument, ends in (
        ("Quantize", "levels", (4, 64)),
        ("MovingAverage", "width", (3, 15)),
        ("TimeScale", "speed", (0.6, 1.4)),
        ("CropResize", "length", (0.4, 1.0)),
        ("ChannelDropout", "rate", 0.25),
    ):
        found = getattr(augment.RANGES[name].at(0, 1), argument)
        assert found == pytest.approx(ends)


@pytest.mark.parametrize("steps", [1, 2, 8])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_series_and_one_channel(steps, channels):
    x = series(64, channels, steps)
    for policy in (augment.TrivialAugment(), augment.RandAugment()):
        assert torch.isfinite(policy(x, 2, seed=0)).all()
    with pytest.raises(ValueError, match="triples: channel 2; accepted: 0 to C - 1"):
        POLICIES["trivial"](x, seed=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"strength": 1.5}, ValueError, "strength: 1.5"),
        ({"strength": (0.1, 0.5)}, TypeError, "strength: tuple; accepted: a number"),
        ({"operations": ["Warp"]}, ValueError, "operations: 'Warp'; accepted: Identity, TimeFl"),
        ({"operations": "Jitter"}, TypeError, "operations: str; accepted: a sequence of names"),
        ({"operations": [[1]]}, ValueError, r"operations: \[1\]; accepted: Identity"),
        ({"operations": []}, ValueError, "operations: none; accepted: one or more"),
        ({"triples": (1, 2)}, ValueError, "triples: "),
    ],
)
@pytest.mark.parametrize("policy", [augment.TrivialAugment, augment.RandAugment])
def test_bad_arguments(policy, arguments, error, message):
    with pytest.raises(error, match=message):
        policy(**arguments)
    for count in (0, 65, 1.5):
        with pytest.raises((ValueError, TypeError), match="count: "):
            augment.RandAugment(count)
