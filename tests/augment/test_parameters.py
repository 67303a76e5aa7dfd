"""Parameters as objects: what is replayed is what the seed drew; labels of how strong; presets."""

import json

import pytest
import torch
from cases.augment import same_bits, series
from torch.utils._python_dispatch import TorchDispatchMode

from tsssl_fast import augment
from tsssl_fast.common import random
from tsssl_fast.ops.augment.spec import Code


def test_json_with_a_speed_that_no_seed_draws_is_refused():
    state = json.loads(augment.Compose([augment.TimeWarp()]).sample(2, 1, 20, seed=0).to_json())
    state["table"][0][1][3] = -0.5  # time would run backwards
    with pytest.raises(ValueError, match=r"^table: .*accepted: those it does"):
        augment.Parameters.from_json(json.dumps(state))


@pytest.mark.parametrize("value", [-0.5, float("nan"), 1e9])
@pytest.mark.parametrize("transform", [augment.TimeWarp(), augment.ChannelPermutation()])
def test_parameters_that_were_changed_are_refused(transform, value):
    """Kernels trust what they replay: a source channel of 1e9 would be read."""
    params = augment.Compose([transform]).sample(2, 3, 20, 2, seed=0)
    params.table[1, 0, 2] = value
    for use in (lambda: params.apply(series(2, 3, 20)), params.index_map, params.overlap):
        with pytest.raises(ValueError, match=r"^table: .*accepted"):
            use()


@pytest.mark.parametrize("steps", [20, 64, 131])
def test_the_operator_replays_maps_that_go_back(compiled, steps):
    """Below the public functions a table is free: speeds that change their sign, leaps."""
    program = augment.Compose([augment.TimeWarp(knots=3)])._program
    seed, x = random.seed_tensor(1), series(3, 2, steps)
    table = torch.ops.tsssl_fast.augment_sample(program, seed, 2, (3, 2, steps), None, None, "")
    table[0, :, 2:] = torch.tensor([1.0, -1.5, 2.0, 3.0, 0.1], dtype=torch.float64)
    table[1, :, 2:] = torch.tensor([0.01, 40.0, 0.01, -9.0, 0.3], dtype=torch.float64)
    arguments = (x, program, seed, 2, None, None, table)
    expected = torch.ops.tsssl_fast.augment(*arguments, "reference")
    assert same_bits(torch.ops.tsssl_fast.augment(*arguments, compiled), expected)


def test_strengths_are_labels():
    pipeline = augment.Compose([augment.TimeWarp((0.1, 0.6)), augment.Jitter((0.0, 0.2), p=0.5),
                                augment.CropResize((0.3, 0.9))])  # fmt: skip
    x = series(60, 1, 100).double()
    _, params = pipeline(x, 2, seed=0, return_params=True)
    for i, name, low, high in ((0, "magnitude", 0.1, 0.6), (1, "magnitude", 0.0, 0.2)):
        strength = params[i][name]
        assert strength.shape == (2, 60)
        assert low <= strength.min() < low + 0.05 * (high - low) + 0.02
        assert high - 0.05 * (high - low) - 0.02 < strength.max() < high
    assert (params[2]["length"] >= 30).all()
    assert (params[2]["length"] < 90).all()
    quiet = params[1]["acts"] == 0
    assert 20 < int(quiet.sum()) < 100


class _Names(TorchDispatchMode):
    """The operators that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_strided_series_are_not_copied():
    pipeline, x = augment.presets.simclr_ts(), series(6, 40, 3)
    for strided, layout in ((x.transpose(1, 2), "NCT"), (x, "NTC"), (x[::2], "NTC")):
        with _Names() as names:
            pipeline(strided, 2, seed=0, layout=layout)
        assert names.seen
        copies = ("clone", "copy", "contiguous")
        assert not [name for name in names.seen if any(part in name for part in copies)]


def test_ts_tcc_moves_all_channels_alike_and_scales_them_on_their_own():
    x = series(40, 3, 60).double()
    weak, strong = augment.presets.ts_tcc(jitter_magnitude=0.0)(x, seed=0)
    factor = weak / x
    torch.testing.assert_close(factor, factor[..., :1].expand_as(factor))
    assert abs(factor.mean() - 1) < 0.25
    assert (factor[:, 0, 0] != factor[:, 1, 0]).any()
    # Every step of the strong view is one step of the series, the same in all channels.
    same = (strong[:, :, :, None] == x[:, :, None, :]).all(1)
    assert (same.sum(-1) == 1).all()
    assert (same.sum(-2) == 1).all()


def test_simclr_ts_is_its_seven_operations_and_literal_the_printed_ones():
    names = [type(t).__name__ for t in augment.presets.simclr_ts()]
    seven = ["TimeFlip", "Blockout", "RandomNoise", "CropResize", "MagnitudeWarp", "TimeWarp"]
    assert names == [*seven, "Smooth"]
    printed = list(augment.presets.simclr_ts(literal=True))
    assert [type(t).__name__ for t in printed] == [
        "TimeFlip", "BidirectionalFlip", *seven[1:], "Smooth"
    ]  # fmt: skip
    # The time warp has no formula in the publication.
    assert [t.form for t in printed if hasattr(t, "form")] == ["literal", "literal", "smooth"]


def test_um2017_turns_the_triples_it_is_given():
    x = series(30, 6, 50)
    _, params = augment.presets.um2017(triples=((0, 1, 2), (3, 4, 5)))(
        x, 1, seed=0, return_params=True
    )
    codes = [Code(int(code)) for code in params.program[:, 0]]
    assert Code.ROTATION in codes
    acts = params.acts.double().mean((0, 1))
    assert len(acts) == 8
    assert ((acts > 0.2) & (acts < 0.8)).all()
