"""Transforms and pipelines as torch.nn.Modules: shapes, arrays, copies, hooks, arguments inside."""

import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest
import torch
from cases.augment import MIXTURES, OPERATIONS, series
from torch import nn

from tsssl_fast import augment
from tsssl_fast.ops.augment.spec import Code

EVERY = {**OPERATIONS, **MIXTURES, "rotation": augment.Rotation()}
CLASSES = [
    getattr(augment, name) for name in augment.__all__ if hasattr(getattr(augment, name), "Config")
]


def values(result):
    return result.x if isinstance(result, augment.Mixed) else result


@pytest.mark.parametrize("name", EVERY)
def test_without_views_the_shape_stays_and_it_is_view_0(name):
    x, operation = series(5, 3, 40), EVERY[name]
    one = values(operation(x, seed=3))
    assert one.shape == x.shape
    assert one.is_contiguous()
    assert torch.equal(one, values(operation(x, 1, seed=3))[0])
    assert torch.equal(one, values(operation(x, views=2, seed=3))[0])


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_series_is_what_it_is_in_a_batch(name):
    x, operation = series(5, 3, 40), OPERATIONS[name]
    batch = operation(x, 2, seed=3)
    for i in range(5):
        assert torch.equal(operation(x[i], seed=3, sample_id=i), batch[0, i])
        assert torch.equal(operation(x[i], 2, seed=3, sample_id=np.int64(i)), batch[:, i])


def test_one_series_takes_what_a_batch_takes():
    x, pipeline = series(5, 3, 40), augment.presets.simclr_ts()
    lengths = torch.tensor([40, 7, 1, 30, 12])
    batch = pipeline(x, 2, seed=3, lengths=lengths)
    one = pipeline(x[3].T, 2, seed=3, sample_id=3, lengths=30, layout="NTC")
    assert torch.equal(one, batch[:, 3].mT)
    y, params = pipeline(x[3], seed=3, sample_id=torch.tensor(3), return_params=True)
    assert y.shape == (3, 40)
    assert torch.equal(params.apply(x[3:4])[0, 0], y)
    weak, strong = augment.presets.ts_tcc()(x[3], seed=3, sample_id=3)
    assert weak.shape == strong.shape == (3, 40)
    torch.manual_seed(1)
    free = pipeline(x[3])
    assert not torch.equal(free, pipeline(x[3]))
    torch.manual_seed(1)
    assert torch.equal(free, pipeline(x[3]))


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"seed": 0}, ValueError, "sample_id: None"),
        ({"seed": torch.Generator()}, ValueError, "sample_id: None"),
        ({"seed": 0, "sample_id": 1.5}, TypeError, "sample_id: float"),
        ({"seed": 0, "sample_id": True}, TypeError, "sample_id: bool"),
        ({"seed": 0, "sample_id": 2**63}, ValueError, "sample_id: 9223372036854775808"),
        ({"seed": 0, "sample_id": torch.arange(2)}, ValueError, "sample_id: shape"),
        ({"seed": 0, "sample_ids": torch.arange(1)}, ValueError, "sample_ids: "),
        ({"seed": 0, "sample_id": 1, "lengths": 41}, ValueError, "lengths: 41"),
        ({"seed": 0, "sample_id": 1, "lengths": 4.0}, TypeError, "lengths: float"),
        ({"seed": 0, "sample_id": 1, "views": 2.0}, TypeError, "views: float"),
        ({"seed": 0, "sample_id": 1, "views": True}, TypeError, "views: bool"),
    ],
)
def test_one_series_refuses(arguments, error, name):
    with pytest.raises(error, match=f"^{name}.*accepted"):
        augment.Jitter()(series(3, 40), **arguments)


def test_mixing_refuses_one_series():
    """It would be mixed with itself."""
    for pipeline in (augment.MixUp(), augment.Compose([augment.Jitter(), augment.CutMix()])):
        with pytest.raises(ValueError, match=r"^x: one series \(C, T\); accepted: \(N, C, T\)"):
            pipeline(series(3, 40), seed=0, sample_id=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_in_arrays_out(dtype):
    x, pipeline = series(4, 3, 40).numpy().astype(dtype), augment.presets.simclr_ts()
    expected = pipeline(torch.from_numpy(x), 2, seed=0, sample_ids=torch.arange(4) + 5)
    y = pipeline(x, 2, seed=0, sample_ids=np.arange(4) + 5)
    assert isinstance(y, np.ndarray)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected.numpy())
    frozen = x.copy()
    frozen.flags.writeable = False
    swapped = x.astype(x.dtype.newbyteorder("S"))
    reverse = np.ascontiguousarray(x[::-1])[::-1]
    for given in (frozen, swapped, reverse, np.asfortranarray(x)):
        same = pipeline(given, 2, seed=0, sample_ids=np.arange(4) + 5)
        np.testing.assert_array_equal(same, expected.numpy())
    one = pipeline(x[2], seed=0, sample_id=7)
    np.testing.assert_array_equal(one, expected[0, 2].numpy())
    mixed = augment.MixUp()(x, seed=0)
    assert all(isinstance(part, np.ndarray) for part in mixed)
    crops = augment.OverlappingCrops()(x, seed=0)
    assert isinstance(crops, augment.Crops)
    assert isinstance(crops.first, np.ndarray)
    y, params = pipeline(x, seed=0, return_params=True)
    assert isinstance(y, np.ndarray)
    assert isinstance(params, augment.Parameters)


@pytest.mark.parametrize("x", [np.zeros((2, 3, 4), int), np.full((2, 3, 4), None), [[0.0]], None])
def test_what_is_no_floating_series_is_refused(x):
    with pytest.raises(TypeError, match=r"^x: .*accepted"):
        augment.Jitter()(x, seed=0, sample_id=0)


def test_they_stand_in_a_sequential():
    x = series(4, 3, 40)
    network = nn.Sequential(augment.presets.simclr_ts(), nn.Conv1d(3, 2, 5), augment.TimeFlip())
    assert network(x).shape == (4, 2, 36)
    assert list(network.state_dict()) == ["1.weight", "1.bias"]
    per_view = nn.Sequential(augment.presets.ts_tcc(), nn.Flatten(0, 1))
    assert per_view(x).shape == (8, 3, 40)


def test_nothing_of_a_module_changes_them():
    pipeline, x = augment.presets.um2017(), series(4, 3, 40)
    expected = pipeline(x, 2, seed=0)
    assert not pipeline.state_dict()
    assert not list(pipeline.parameters())
    assert not list(pipeline.buffers())
    for change in (nn.Module.half, nn.Module.double, nn.Module.eval, nn.Module.bfloat16):
        assert torch.equal(change(pipeline)(x, 2, seed=0), expected)
    assert torch.equal(pipeline.to("meta")(x, 2, seed=0), expected)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles_are_the_same(again):
    x = series(4, 6, 40)
    everything = [*EVERY.values(), augment.presets.simclr_ts(), augment.presets.ts_tcc()]
    for module in everything:
        twin = again(module)
        assert twin is not module
        assert twin != module
        assert repr(twin) == repr(module)
        assert torch.equal(values(twin(x, 2, seed=0)), values(module(x, 2, seed=0)))


def test_they_compare_and_hash_by_identity_and_their_arguments_by_value():
    first, second = augment.Jitter(0.1), augment.Jitter(0.1)
    assert first != second
    assert len({first, second}) == 2
    assert first.config == second.config
    assert hash(first.config) == hash(second.config)
    assert first.config != augment.Jitter(0.2).config
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.config.magnitude = 3.0
    with pytest.raises(AttributeError):
        first.magnitude = 3.0


@pytest.mark.parametrize("cls", CLASSES)
def test_signatures_name_the_arguments(cls):
    names = {field.name for field in dataclasses.fields(cls.Config)}
    assert set(inspect.signature(cls).parameters) == names
    with pytest.raises(TypeError, match=rf"{cls.__name__}.__init__\(\) got an unexpected"):
        cls(nothing=1)


def test_members_are_the_transforms_inside():
    flip, jitter = augment.TimeFlip(), augment.Jitter()
    group = augment.OneOf([flip, jitter])
    pipeline = augment.Compose([group, augment.Compose([flip])])
    assert group.members() == (flip, jitter)
    assert pipeline.members() == (group, flip)
    assert list(pipeline.children()) == [group, flip]
    assert list(group.children()) == [flip, jitter]
    assert list(flip.children()) == []
    both = augment.PerView([pipeline, augment.Compose([jitter])])
    assert list(both.children()) == list(both.members())
    assert list(both) == [group, flip, jitter]


GLOBAL_HOOKS = [
    nn.modules.module.register_module_forward_hook,
    nn.modules.module.register_module_forward_pre_hook,
    nn.modules.module.register_module_full_backward_hook,
    nn.modules.module.register_module_full_backward_pre_hook,
]


@pytest.mark.parametrize("register", GLOBAL_HOOKS)
def test_hooks_of_every_module_fire(register):
    x, pipeline, seen = series(2, 1, 16).requires_grad_(), augment.Compose([augment.TimeFlip()]), []
    handle = register(lambda module, *_: seen.append(module))
    try:
        pipeline(x, seed=0).sum().backward()
    finally:
        handle.remove()
    assert seen == [pipeline]


def test_what_torch_puts_in_place_of_a_modules_call_is_called():
    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, augment.Compose)

    model = nn.Sequential(augment.Compose([augment.TimeFlip()]))
    graph = Tracer().trace(model)
    x = series(2, 1, 16)
    assert torch.equal(torch.fx.GraphModule(model, graph)(x), x.flip(-1))
    model[0].compile(backend="eager")
    assert torch.equal(model(x), x.flip(-1))


def test_hooks_fire_on_the_outermost_module_alone():
    group = augment.OneOf([augment.TimeFlip(), augment.Jitter()])
    pipeline, seen = augment.Compose([group]), []
    for module in pipeline.modules():
        module.register_forward_hook(lambda module, args, result: seen.append(module))
    pipeline(series(2, 1, 8), seed=0)
    assert seen == [pipeline]
    handle = pipeline.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    assert not pipeline(series(2, 1, 8) + 3, views=1, seed=0)[0, :, :, ::2].abs().gt(2).any()
    handle.remove()


def test_per_view_keeps_its_number_of_views():
    pipeline, x = augment.presets.ts_tcc(), series(4, 3, 40)
    assert pipeline(x, seed=0).shape == (2, 4, 3, 40)
    assert torch.equal(pipeline(x, seed=0), pipeline(x, views=2, seed=0))
    with pytest.raises(ValueError, match=r"^views: 3; accepted: 2"):
        pipeline(x, views=3, seed=0)


RENAMED = [
    (augment.Jitter, "sigma", "magnitude"),
    (augment.MagnitudeSpline, "sigma", "magnitude"),
    (augment.RandomNoise, "scale", "magnitude"),
    (augment.Drift, "scale", "magnitude"),
    (augment.MagnitudeWarp, "amplitude", "magnitude"),
    (augment.TimeWarp, "strength", "magnitude"),
    (augment.Smooth, "strength", "magnitude"),
    (augment.PhaseSurrogate, "strength", "magnitude"),
    (augment.CropResize, "scale", "length"),
    (augment.WindowSlice, "ratio", "length"),
    (augment.Scale, "distribution", "factor for a uniform factor, magnitude for a normal one"),
]


@pytest.mark.parametrize(("cls", "old", "new"), RENAMED)
def test_old_names_say_the_new_ones(cls, old, new):
    with pytest.raises(TypeError, match=f"^{old}: not an argument of .*; accepted: {new}$"):
        cls(**{old: 0.1})
    with pytest.raises(AttributeError, match=f"^{old}: not an attribute of .*; accepted: {new}$"):
        getattr(cls(), old)


@pytest.mark.parametrize(
    ("old", "new"), [("jitter", "jitter_magnitude"), ("jitter_scale", "scale_magnitude")]
)
def test_old_names_of_presets_say_the_new_ones(old, new):
    with pytest.raises(TypeError, match=f"^{old}: not an argument of ts_tcc; accepted: {new}$"):
        augment.presets.ts_tcc(**{old: 0.1})


def test_every_old_name_is_tested():
    assert {(cls, old) for cls in CLASSES for old in cls.renamed} == {row[:2] for row in RENAMED}


STRENGTHS = [cls for cls in CLASSES if "magnitude" in inspect.signature(cls).parameters]


def of_magnitude(cls, magnitude):
    rate = {"rate": 100.0} if "rate" in inspect.signature(cls).parameters else {}
    return cls(magnitude=magnitude, **rate)


@pytest.mark.parametrize("cls", STRENGTHS)
def test_magnitude_0_changes_nothing(cls):
    x = series(6, 3, 40).double()
    y = of_magnitude(cls, 0.0)(x, 2, seed=0)
    torch.testing.assert_close(y, x.expand(y.shape), rtol=0, atol=1e-12)
    strong = of_magnitude(cls, 0.4)(x, 2, seed=0)
    assert (strong - x).abs().max() > 0.01


def test_drawn_parameters_have_the_arguments_names():
    """Where an argument is a range, what is drawn from it has its name."""
    assert len(STRENGTHS) == 13
    for cls in STRENGTHS:
        transform = of_magnitude(cls, 0.25)
        drawn = augment.Compose([transform]).sample(3, 2, 20, seed=0)[0]
        if transform.row_code() != Code.PHASE_SURROGATE:  # a number, not a range
            assert (drawn["magnitude"] == 0.25).all(), cls
    for transform in (
        augment.CropResize(),
        augment.WindowSlice(),
        augment.Blockout(),
        augment.RandomCrop(),
    ):
        drawn = augment.Compose([transform]).sample(3, 2, 20, seed=0)[0]
        assert (drawn["length"] <= 20).all()


def test_a_share_is_no_integer():
    for cls in (augment.CropResize, augment.WindowSlice):
        with pytest.raises(ValueError, match=r"^length: 1; accepted: a share of T"):
            cls(length=1)


def test_scale_takes_one_of_its_two_ranges():
    assert augment.Scale().factor == (0.9, 1.1)
    with pytest.raises(ValueError, match=r"^factor: 1.5; accepted: None with magnitude"):
        augment.Scale(1.5, 0.1)
