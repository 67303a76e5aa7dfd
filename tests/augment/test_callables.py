"""Callables among the operations of a pipeline: how they are called, seeded and described."""

import copy
import pickle

import pytest
import torch
from cases.augment import series
from torch import nn

import tsssl_fast
from tsssl_fast import augment


def noise(x, generator):
    return x + torch.randn(x.shape, generator=generator)


def twice(x):
    return 2 * x


class Recorder:
    """Remembers what it was called with."""

    def __init__(self):
        self.seen = []

    def __call__(self, x, *, generator=None):
        self.seen.append((x.clone(), generator.initial_seed()))
        return x


def test_one_is_called_once_per_view_on_the_batch():
    recorder, x = Recorder(), series(4, 3, 20)
    pipeline = augment.Compose([augment.Jitter(), recorder, augment.TimeFlip()])
    y = pipeline(x, 3, seed=1)
    alone = augment.Jitter()(x, 3, seed=1)
    assert len(recorder.seen) == 3
    assert torch.equal(torch.stack([given for given, _ in recorder.seen]), alone)
    assert torch.equal(y, alone.flip(-1))
    assert len({seed for _, seed in recorder.seen}) == 3


def test_what_stands_around_it_draws_as_without_it():
    x = series(5, 3, 30)
    operations = [augment.presets.simclr_ts(), augment.MixUp(), augment.Drift(), augment.Jitter()]
    expected = augment.Compose(operations)(x, 2, seed=4)
    for place in range(5):
        parts = [*operations[:place], nn.Identity(), *operations[place:]]
        assert torch.equal(augment.Compose(parts)(x, 2, seed=4), expected), place
    group = augment.OneOf([augment.SignFlip(), augment.TimeFlip()])
    between = augment.Compose([group, twice, group])(x, 2, seed=4)
    assert torch.equal(between, 2 * augment.Compose([group, group])(x, 2, seed=4))


def test_a_generator_makes_it_reproducible():
    x = series(4, 3, 20)
    pipeline = augment.Compose([noise, noise])
    whole = pipeline(x, 2, seed=0, epoch=1, step=2)
    torch.manual_seed(5)
    assert torch.equal(pipeline(x, 2, seed=0, epoch=1, step=2), whole)
    assert torch.equal(pipeline(x, seed=0, epoch=1, step=2), whole[0])
    added = [whole[0] - x, whole[1] - x]
    for changed in ({"seed": 1}, {"epoch": 0}, {"step": 3}, {"rank": 1}):
        given = {"seed": 0, "epoch": 1, "step": 2, **changed}
        added.append(pipeline(x, seed=given.pop("seed"), **given) - x)
    for i, first in enumerate(added):
        for second in added[:i]:
            assert (first - second).abs().max() > 0.5
    once = augment.Compose([noise])(x, seed=0, epoch=1, step=2) - x
    torch.testing.assert_close((whole[0] - x - once).std(), torch.tensor(1.0), rtol=0.2, atol=0)
    assert (whole[0] - x - 2 * once).abs().max() > 0.5  # the two draw on their own


def test_per_view_calls_those_of_the_view():
    x = series(4, 3, 20)
    weak, strong = augment.Compose([augment.Jitter()]), augment.Compose([noise, twice])
    y = augment.PerView([weak, strong])(x, seed=3)
    assert torch.equal(y[0], weak(x, 2, seed=3)[0])
    assert torch.equal(y[1], strong(x, 2, seed=3)[1])


def test_repr_and_explain_say_what_they_depend_on():
    class Blur(nn.Module):
        def forward(self, x, generator=None):
            return x

    pipeline = augment.Compose([augment.TimeFlip(), noise, twice, Blur(), torch.abs])
    lines = str(pipeline).splitlines()
    assert lines[2] == "    noise,  # seeded per view, not per sample"
    assert lines[3] == "    twice,  # not reproducible"
    assert lines[4] == "    Blur,  # seeded per view, not per sample"
    assert lines[5] == "    abs,  # not reproducible"
    text = str(pipeline.explain(series(2, 1, 8)))
    assert "transforms[1] (noise): seeded per view, not per sample" in text
    assert "transforms[2] (twice): not reproducible" in text
    assert text.startswith("augment: ")
    assert text == str(tsssl_fast.explain(pipeline, series(2, 1, 8)))
    assert "transforms" not in str(augment.TimeFlip().explain(series(2, 1, 8)))


def test_explain_says_where_every_operation_runs():
    group = augment.OneOf([augment.Jitter(), augment.FrequencyMask()])
    pipeline, x = augment.Compose([augment.TimeFlip(), augment.MixUp(), group]), series(2, 1, 8)
    with tsssl_fast.use_backend("reference"):
        explanation = tsssl_fast.explain(pipeline, x)
    assert explanation.chosen == "reference"
    assert explanation.operations == (
        "TimeFlip: reference",
        "MixUp: plain torch on every backend",
        "OneOf: reference",
        "Jitter: reference",
        "FrequencyMask: plain torch on every backend",
    )
    assert "  MixUp: plain torch on every backend" in str(explanation).splitlines()


def test_padding_stays_whatever_they_do():
    x, lengths = series(3, 2, 20), torch.tensor([20, 7, 1])
    x[1, :, 7:] = torch.nan
    y = augment.Compose([twice, augment.TimeFlip()])(x, 2, seed=0, lengths=lengths)
    expected = 2 * augment.TimeFlip()(x, 2, seed=0, lengths=lengths)
    for n, length in enumerate(lengths.tolist()):
        assert torch.equal(y[:, n, :, :length], expected[:, n, :, :length])
        assert torch.equal(y[:, n, :, length:].isnan(), x[n, :, length:].isnan().expand(2, 2, -1))


def test_gradients_pass_and_parameters_are_the_pipelines():
    layer = nn.Conv1d(2, 2, 3, padding=1).double()
    pipeline = augment.Compose([augment.Smooth(), layer, augment.CropResize()])
    assert list(pipeline.state_dict()) == ["1.weight", "1.bias"]
    x = series(2, 2, 9).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: pipeline(x, 2, seed=0), x)
    pipeline(x, 2, seed=0).sum().backward()
    assert layer.weight.grad is not None
    twin = copy.deepcopy(pipeline)
    assert twin.members()[1] is not layer
    assert torch.equal(twin(x, seed=0), pipeline(x, seed=0))
    assert torch.equal(pickle.loads(pickle.dumps(pipeline))(x, seed=0), pipeline(x, seed=0))


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: x[..., :5], ValueError, r"returned shape \(4, 3, 5\)"),
        (lambda x: x[0], ValueError, r"returned shape \(3, 20\)"),
        (lambda x: x.double(), TypeError, "returned torch.float64 on cpu"),
        (lambda x: x.numpy(), TypeError, "returned ndarray"),
        (lambda x: None, TypeError, "returned NoneType"),
    ],
)
def test_what_they_return_is_checked(function, error, text):
    pipeline = augment.Compose([augment.TimeFlip(), function])
    with pytest.raises(error, match=rf"^transforms\[1\] \(<lambda>\): {text}.*accepted"):
        pipeline(series(4, 3, 20), seed=0)


def test_parameters_without_theirs_are_refused():
    pipeline, x = augment.Compose([augment.TimeFlip(), twice]), series(4, 3, 20)
    with pytest.raises(ValueError, match=r"^return_params: accepted: .*transforms\[1\] \(twice\)"):
        pipeline(x, seed=0, return_params=True)
    with pytest.raises(ValueError, match=r"^nan: accepted"):
        pipeline(x, seed=0, nan="mask")
    with pytest.raises(ValueError, match=r"^sample: accepted"):
        pipeline.sample(4, 3, 20, seed=0)
    with pytest.raises(TypeError, match=r"^transforms\[0\]: function; accepted: a Transform"):
        augment.OneOf([twice])


def test_one_series_is_a_batch_of_one():
    recorder = Recorder()
    augment.Compose([recorder])(series(3, 20), seed=0, sample_id=4)
    assert recorder.seen[0][0].shape == (1, 3, 20)
