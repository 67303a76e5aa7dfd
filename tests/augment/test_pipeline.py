"""Choosing operations, views of different pipelines, parameters, lengths, layouts, NaN."""

import functools
import json
import multiprocessing

import pytest
import torch
from cases.augment import OPERATIONS, series
from cases.datasets import AugmentedBatches

from tsssl_fast import augment
from tsssl_fast.augment.compose import all_of

BACKENDS = ["cpp", "numba", "reference"]


def test_one_of_acts_once_and_fairly():
    group = augment.OneOf([augment.TimeFlip(), augment.SignFlip(), augment.Identity()])
    acts = augment.Compose([group]).sample(6000, 1, 4, seed=0).acts
    assert (acts[..., 1:].sum(-1) == 1).all()
    assert (acts[..., 1:].double().mean((0, 1)) - 1 / 3).abs().max() < 0.02


def test_one_of_follows_its_weights():
    group = augment.OneOf([augment.TimeFlip(), augment.SignFlip()], weights=(1.0, 3.0), p=0.5)
    acts = augment.Compose([group]).sample(6000, 1, 4, seed=0).acts.double().mean((0, 1))
    assert (acts - torch.tensor([0.5, 0.125, 0.375])).abs().max() < 0.02


def test_some_of_takes_as_many_as_asked():
    members = [augment.TimeFlip(), augment.SignFlip(), augment.Smooth(), augment.Jitter()]
    acts = augment.Compose([augment.SomeOf(members, count=(1, 3))]).sample(6000, 1, 4, seed=0).acts
    counts = acts[..., 1:].sum(-1).flatten()
    assert counts.unique().tolist() == [1, 2, 3]
    assert (acts[..., 1:].double().mean((0, 1)) - 0.5).abs().max() < 0.02


def test_random_apply_is_all_or_nothing():
    group = augment.RandomApply([augment.TimeFlip(), augment.SignFlip()], p=0.3)
    acts = augment.Compose([group]).sample(6000, 1, 4, seed=0).acts
    assert torch.equal(acts[..., 1], acts[..., 2])
    assert torch.equal(acts[..., 0], acts[..., 1])
    assert abs(acts[..., 0].double().mean() - 0.3) < 0.02


def test_chosen_members_are_those_that_change_the_series():
    x = series(40, 1, 8)
    group = augment.OneOf([augment.TimeFlip(), augment.SignFlip()])
    y, params = augment.Compose([group])(x, 2, seed=0, return_params=True)
    flipped, negated = params.acts[..., 1, None, None], params.acts[..., 2, None, None]
    expected = torch.where(flipped, x.flip(-1), torch.where(negated, -x, torch.nan))
    assert torch.equal(y, expected)


def test_groups_nest_and_pipelines_join():
    weak, strong = augment.presets.simclr_ts(), augment.Compose([augment.SignFlip()])
    nested = augment.Compose([augment.OneOf([all_of(weak), all_of(strong)]), strong])
    x = series(5, 3, 20)
    for backend in ("cpp", "numba"):
        assert torch.equal(
            nested(x, seed=0, backend=backend), nested(x, seed=0, backend="reference")
        )
    joined = augment.Compose([weak, strong])
    assert torch.equal(joined(x, seed=0), -weak(x, seed=0))


def test_per_view_runs_each_pipeline_on_its_view():
    weak, strong = augment.Compose([augment.Jitter()]), augment.presets.simclr_ts()
    x = series(6, 3, 40)
    both = augment.PerView([weak, strong])(x, seed=2)
    assert torch.equal(both[0], weak(x, 1, seed=2)[0])
    assert torch.equal(both[1], strong(x, 2, seed=2)[1])
    same = augment.PerView([strong, strong, strong])
    assert torch.equal(same(x, seed=2), strong(x, 3, seed=2))
    for backend in ("numba", "reference"):
        assert torch.equal(same(x, seed=2, backend=backend), strong(x, 3, seed=2))
        assert torch.equal(augment.PerView([weak, strong])(x, seed=2, backend=backend), both)


@pytest.mark.parametrize(
    "make",
    [
        augment.presets.simclr_ts,
        augment.presets.ts_tcc,
        augment.presets.um2017,
        augment.presets.simmtm_mask,
        functools.partial(augment.presets.simclr_ts, literal=True),
        functools.partial(augment.presets.ts_tcc, literal=True),
    ],
)
def test_presets_run_alike_on_every_backend(make):
    x = series(5, 3, 60)
    pipeline = make()
    for backend in ("numba", "reference"):
        assert torch.equal(pipeline(x, seed=0), pipeline(x, seed=0, backend=backend))
    assert repr(pipeline)


def test_literal_presets_differ():
    x = series(5, 3, 60)
    for make in (augment.presets.simclr_ts, augment.presets.ts_tcc):
        assert not torch.equal(make()(x, seed=0), make(literal=True)(x, seed=0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_padding_is_invisible(name, backend):
    """A series with padding gives what it gives alone; the padding stays as it was."""
    lengths = torch.tensor([1, 2, 17, 30])
    x = series(4, 3, 30)
    for n, length in enumerate(lengths.tolist()):
        x[n, :, length:] = torch.nan
    x.requires_grad_()
    y = OPERATIONS[name](x, 2, seed=3, lengths=lengths, backend=backend)
    (g,) = torch.autograd.grad(y, x, series(2, 4, 3, 30))
    for n, length in enumerate(lengths.tolist()):
        short = x[n : n + 1, :, :length].detach().requires_grad_()
        ids = torch.tensor([n])
        alone = OPERATIONS[name](short, 2, seed=3, sample_ids=ids, backend=backend)
        assert torch.equal(y[:, n, :, :length], alone[:, 0]), n
        assert y[:, n, :, length:].isnan().all()
        (expected,) = torch.autograd.grad(
            alone, short, series(2, 4, 3, 30)[:, n : n + 1, :, :length]
        )
        torch.testing.assert_close(g[n, :, :length], expected[0])


@pytest.mark.parametrize("lengths", [[0, 3], [1, 9]])
def test_lengths_out_of_range(lengths):
    with pytest.raises(ValueError, match=r"^lengths: .*accepted: 1 to T = 8"):
        augment.TimeFlip()(series(2, 1, 8), lengths=torch.tensor(lengths))


def test_layout_ntc():
    x, pipeline = series(4, 3, 20), augment.presets.simclr_ts()
    y = pipeline(x.transpose(1, 2).contiguous(), seed=0, layout="NTC")
    assert y.shape == (4, 20, 3)
    assert torch.equal(y.transpose(-1, -2), pipeline(x, seed=0))


def test_nan_policies():
    x, pipeline = series(4, 3, 40), augment.presets.simclr_ts(p=1.0)
    x[1, 0, 10:13] = torch.nan
    with pytest.raises(ValueError, match=r"^x: 3 NaN"):
        pipeline(x, seed=0, nan="raise")
    masked = pipeline(x, 2, seed=0, nan="mask")
    zeros = pipeline(torch.nan_to_num(x, 0.0), 2, seed=0)
    missing = masked.isnan()
    assert torch.equal(torch.where(missing, 0.0, masked), torch.where(missing, 0.0, zeros))
    assert not missing[:, [0, 2, 3]].any()
    assert not missing[:, 1, 1:].any()
    flipped = augment.TimeFlip()(x, 1, seed=0, nan="mask")[0]
    assert torch.equal(flipped.isnan(), x.isnan().flip(-1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_replay_and_survive_json(backend):
    pipeline = augment.Compose(list(OPERATIONS.values()))
    x, ids, lengths = (
        series(4, 3, 25),
        torch.tensor([7, 1 << 40, -3, 0]),
        torch.tensor([25, 3, 9, 1]),
    )
    y, params = pipeline(x, 3, seed=5, epoch=2, sample_ids=ids, lengths=lengths,
                         return_params=True, backend=backend)  # fmt: skip
    assert torch.equal(y, pipeline(x, 3, seed=5, epoch=2, sample_ids=ids, lengths=lengths))
    back = augment.Parameters.from_json(params.to_json())
    assert json.loads(params.to_json()) == back.to_dict()
    assert torch.equal(back.table, params.table)
    assert torch.equal(back.apply(x, backend=backend), y)
    assert "TimeWarp: acts on 12 of 12, magnitude 0." in str(params)
    sampled = pipeline.sample(4, 3, 25, 3, seed=5, epoch=2, sample_ids=ids, lengths=lengths)
    assert torch.equal(sampled.table, params.table)


def test_parameters_refuse_another_shape_or_format():
    params = augment.TimeFlip()(series(2, 1, 8), seed=0, return_params=True)[1]
    with pytest.raises(ValueError, match=r"^x: shape \(2, 1, 9\); accepted: \(2, 1, 8\)"):
        params.apply(series(2, 1, 9))
    with pytest.raises(ValueError, match=r"^format: 2"):
        augment.Parameters.from_dict({"format": 2})
    state = augment.Compose([augment.Blockout(3)]).sample(2, 1, 8, seed=0).to_dict()
    state["table"][0][0][2] += 1
    with pytest.raises(ValueError, match=r"^table: "):
        augment.Parameters.from_dict(state)
    with pytest.raises(ValueError, match=r"^labels: shape"):
        params.apply_to(torch.zeros(2, 7))


def test_index_map_is_where_the_values_come_from():
    pipeline = augment.Compose([augment.TimeFlip(p=0.5), augment.TimeWarp(), augment.CropResize(),
                                augment.TimeShift(edge="zero")])  # fmt: skip
    ramp = torch.arange(40.0, dtype=torch.float64).expand(6, 1, 40)
    y, params = pipeline(ramp + 1, 2, seed=0, return_params=True)
    source = params.index_map()
    torch.testing.assert_close(torch.nan_to_num(source + 1, 0.0), y[:, :, 0])
    assert source.isnan().any()


def test_labels_follow_the_series():
    moves = augment.Compose([augment.TimeFlip(p=0.5), augment.ChannelPermutation(p=0.5),
                             augment.TimeShift(edge="zero"), augment.Jitter()])  # fmt: skip
    still = augment.Compose([augment.TimeFlip(p=0.5), augment.ChannelPermutation(p=0.5),
                             augment.TimeShift(edge="zero")])  # fmt: skip
    x = series(8, 3, 30)
    expected = still(x, 2, seed=1)
    params = moves.sample(8, 3, 30, 2, seed=1)
    assert torch.equal(params.apply_to(x), expected)
    labels = torch.randint(0, 5, (8, 30))
    moved = params.apply_to(labels, fill=-1)
    assert moved.dtype == torch.int64
    there = ~params.index_map().isnan()
    assert torch.equal(moved == -1, ~there)
    assert set(moved[there].unique().tolist()) <= set(range(5))


def test_pretext_labels():
    pipeline = augment.Compose([augment.OneOf([augment.TimeFlip(), augment.SignFlip()]),
                                augment.SegmentPermutation(3)])  # fmt: skip
    params = pipeline.sample(50, 3, 40, 2, seed=0)
    assert (params.acts[..., 1].int() + params.acts[..., 2].int() == 1).all()
    order = params[3]["values"]
    assert torch.equal(order.sort(-1).values, torch.arange(3.0).double().expand(2, 50, 3))
    crops = augment.Compose([augment.CropResize((0.2, 0.6))]).sample(50, 1, 101, 2, seed=0)
    begin, length = crops[0]["start"], crops[0]["length"] - 1
    end = begin + length
    both = (end.amin(0) - begin.amax(0)).clamp_min(0)
    expected = both / (end.amax(0) - begin.amin(0))
    torch.testing.assert_close(crops.overlap(), expected)


BAD = [
    (lambda: augment.OneOf([]), ValueError, "transforms"),
    (lambda: augment.OneOf([augment.TimeFlip(), 3]), TypeError, r"transforms\[1\]"),
    (lambda: augment.OneOf([augment.TimeFlip()], weights=(0.0,)), ValueError, "weights"),
    (lambda: augment.OneOf([augment.TimeFlip()], weights=(1.0, 1.0)), ValueError, "weights"),
    (lambda: augment.SomeOf([augment.TimeFlip()], count=2), ValueError, "count"),
    (lambda: augment.SomeOf([augment.TimeFlip()], count=(1, 0)), ValueError, "count"),
    (lambda: augment.PerView([augment.TimeFlip()]), TypeError, r"pipelines\[0\]"),
    (lambda: augment.PerView([]), ValueError, "pipelines"),
    (lambda: augment.Rotation(((0, 1, 1),)), ValueError, "triples"),
    (lambda: augment.Rotation(((0, 1),)), ValueError, "triples"),
    (lambda: augment.Blockout(2, form="literal"), ValueError, "length"),
    (lambda: augment.Blockout(0.5, channels=1.5), ValueError, "channels"),
    (lambda: augment.TimeDropout(1.0), ValueError, "rate"),
    (lambda: augment.TimeDropout(0.9, span=2.0), ValueError, "span"),
    (lambda: augment.Offset((0.5, -0.5)), ValueError, "offset"),
    (lambda: augment.Offset("0.5"), TypeError, "offset"),
    (lambda: augment.Offset(per_channel=1), TypeError, "per_channel"),
    (lambda: augment.Quantize(1), ValueError, "levels"),
    (lambda: augment.Quantize(2.5), TypeError, "levels"),
    (lambda: augment.SegmentPermutation((3, 65)), ValueError, "segments"),
    (lambda: augment.WindowWarp(factors=(0.0, 2.0)), ValueError, "factors"),
    (lambda: augment.TimeShift(1.5), ValueError, "shift"),
    (lambda: augment.TimeShift(edge="mirror"), ValueError, "edge"),
    (lambda: augment.Jitter(-0.1), ValueError, "magnitude"),
    (lambda: augment.Jitter((0.1,)), ValueError, "magnitude"),
    (lambda: augment.Scale(magnitude=-0.1), ValueError, "magnitude"),
    (lambda: augment.SignFlip(per_channel=1), TypeError, "per_channel"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "name"), BAD)
def test_constructors_reject(make, error, name):
    with pytest.raises(error, match=rf"^{name}: .*accepted"):
        make()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: augment.Rotation()(x[:, :2]), "triples"),
        (lambda x: augment.Blockout(0.5, channels=4)(x), "channels"),
        (lambda x: augment.RandomCrop(9)(x), "length"),
        (lambda x: augment.WindowWarp(9)(x), "length"),
        (lambda x: augment.TimeFlip()(x, layout="TNC"), "layout"),
        (lambda x: augment.TimeFlip()(x, nan="drop"), "nan"),
        (lambda x: augment.TimeFlip()(x[0, 0]), "x"),
        (lambda x: augment.TimeFlip()(x[0], seed=0), "sample_id"),
        (lambda x: augment.TimeFlip()(x, seed=0, sample_id=3), "sample_id"),
        (lambda x: augment.TimeFlip()(x[0], sample_ids=torch.arange(1)), "sample_ids"),
        (lambda x: augment.TimeFlip()(torch.zeros(1, 40000, 8)), "x"),
        (lambda x: augment.TimeFlip()(x, lengths=torch.tensor([1])), "lengths"),
        (lambda x: augment.presets.ts_tcc()(x, 3), "views"),
        (lambda x: augment.Compose([augment.TimeFlip()]).sample(0, 1, 1), "n"),
    ],
)
def test_calls_reject(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: .*accepted"):
        call(series(2, 3, 8))


def test_a_wrong_layout_is_named():
    with pytest.raises(ValueError, match=r"layout='NTC' would fit"):
        augment.TimeFlip()(torch.zeros(1, 40000, 8))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_do_not_matter(method):
    data = AugmentedBatches()
    expected = data.pipeline(data.x, 2, seed=1, epoch=3).transpose(0, 1)
    context = multiprocessing.get_context(method)
    for workers in (0, 1, 4):
        loader = torch.utils.data.DataLoader(
            data, batch_size=5, num_workers=workers,
            multiprocessing_context=context if workers else None, timeout=60 if workers else 0,
        )  # fmt: skip
        assert torch.equal(torch.cat(list(loader)), expected)
