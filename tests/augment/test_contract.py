"""The output is a function of seed, epoch, step, rank, view, sample id and program alone."""

import functools
import hashlib
import json
import pathlib

import hypothesis
import numpy as np
import pytest
import torch
from cases.augment import ISAS, OPERATIONS, PINNED, SHAPES, isa, same_bits, series, threads
from hypothesis import strategies

from tsssl_fast import augment, ops
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import draws

GOLDEN = pathlib.Path(__file__).with_name("golden.json")
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

pytestmark = pytest.mark.skipif(not ISAS, reason="needs the extension")


def digest(x: torch.Tensor) -> str:
    return hashlib.sha256(x.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def golden_outputs(name: str) -> dict[str, str]:
    x = series(4, 3, 50)
    pipeline = augment.Compose([PINNED[name]])
    return {
        str(dtype).removeprefix("torch."): digest(
            pipeline(x.to(dtype), 2, seed=7, epoch=1, step=2, backend="reference")
        )
        for dtype in (torch.float32, torch.float64)
    }


@pytest.mark.parametrize("name", PINNED)
def test_golden_outputs(name):
    """An operation's output never changes; a new hash is a new operation."""
    assert golden_outputs(name) == json.loads(GOLDEN.read_text())[name]


def test_every_operation_is_pinned():
    """But spectra, sines and means, which are held to a tolerance, and crops and pieces, which are
    slices of series."""
    programs = [augment.Compose([transform])._program for transform in PINNED.values()]
    codes = {int(code) for program in programs for code in program[:, spec.CODE]}
    loose = {spec.Code.FREQUENCY_MASK, spec.Code.PHASE_SURROGATE, spec.Code.OVERLAPPING_CROPS}
    loose |= {spec.Code.BAND_STOP, spec.Code.BAND_PASS, spec.Code.FREQUENCY_SHIFT}
    loose |= {spec.Code.BASELINE_WANDER, spec.Code.POWERLINE_HUM, spec.Code.COLOURED_NOISE}
    loose |= {spec.Code.TAPERED_MASK, spec.Code.RENORMALISE, spec.Code.SEGMENT_RECOMBINATION}
    assert codes == set(spec.Code) - loose


@pytest.mark.parametrize("name", OPERATIONS)
def test_kernel_equals_reference(name, compiled):
    """All backends equal one, so every two of them are equal."""
    for shape in SHAPES:
        for dtype in DTYPES:
            x = series(*shape).to(dtype)
            expected = OPERATIONS[name](x, 3, seed=11, backend="reference")
            given = OPERATIONS[name](x, 3, seed=11, backend=compiled)
            assert same_bits(given, expected), (shape, dtype)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(data=strategies.data())
def test_random_pipelines_equal_the_reference(data):
    names = data.draw(strategies.lists(strategies.sampled_from(sorted(OPERATIONS)), max_size=8))
    pipeline = augment.Compose([OPERATIONS[name] for name in names])
    shape = data.draw(strategies.tuples(*(strategies.integers(1, k) for k in (4, 5, 90))))
    seed = data.draw(strategies.integers(-(2**63), 2**64 - 1))
    views = data.draw(strategies.integers(1, 3))
    ids = data.draw(strategies.lists(strategies.integers(-(2**63), 2**63 - 1), min_size=shape[0],
                                     max_size=shape[0]))  # fmt: skip
    dtype = data.draw(strategies.sampled_from(DTYPES))
    x = series(*shape).to(dtype)
    arguments = {"seed": seed, "sample_ids": torch.tensor(ids)}
    expected = pipeline(x, views, backend="reference", **arguments)
    with isa(data.draw(strategies.sampled_from(ISAS))):
        assert same_bits(pipeline(x, views, backend="cpp", **arguments), expected)
    assert same_bits(pipeline(x, views, backend="numba", **arguments), expected)


def test_sampled_parameters_equal_the_reference(compiled):
    pipeline = augment.Compose(list(OPERATIONS.values()))
    seed = random.seed_tensor(5, 1)
    given = torch.ops.tsssl_fast.augment_sample(
        pipeline._program, seed, 3, (4, 2, 31), None, None, compiled
    )
    subject = draws.Subject.of(seed, None, None, 3, (4, 2, 31))
    assert torch.equal(given, draws.draw(pipeline._program.tolist(), subject))


@pytest.mark.parametrize("backend", ["cpp", "numba", "reference"])
def test_replayed_parameters_give_the_same_views(backend):
    pipeline = augment.presets.simclr_ts()
    x, seed = series(6, 3, 40), random.seed_tensor(9)
    table = torch.ops.tsssl_fast.augment_sample(
        pipeline._program, seed, 2, (6, 3, 40), None, None, backend
    )
    replay = torch.ops.tsssl_fast.augment(x, pipeline._program, seed, 2, None, None, table, backend)
    assert torch.equal(replay, pipeline(x, 2, seed=9))


@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_any_number_of_threads_gives_the_same_bits(backend):
    pipeline, x = augment.presets.simclr_ts(), series(40, 9, 128)
    x.requires_grad_()
    outputs, gradients = [], []
    for count in (1, 2, 5):
        with threads(count):
            y = pipeline(x, 3, seed=1, backend=backend)
            outputs.append(y.detach())
            gradients.append(torch.autograd.grad(y, x, series(*y.shape))[0])
    assert all(torch.equal(outputs[0], y) for y in outputs)
    assert all(torch.equal(gradients[0], g) for g in gradients)


def test_batch_composition_does_not_matter():
    pipeline, x, ids = augment.presets.simclr_ts(), series(12, 3, 64), torch.arange(12) * 1000 + 7
    whole = pipeline(x, 2, seed=3, sample_ids=ids)
    order = torch.tensor([7, 2, 11, 0])
    part = pipeline(x[order], 2, seed=3, sample_ids=ids[order])
    assert torch.equal(part, whole[:, order])
    assert torch.equal(pipeline(x, 4, seed=3, sample_ids=ids)[:2], whole)


def test_without_ids_rows_are_numbered():
    pipeline, x = augment.presets.simclr_ts(), series(5, 2, 30)
    assert torch.equal(pipeline(x, seed=1), pipeline(x, seed=1, sample_ids=torch.arange(5)))


@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_strides_do_not_matter(backend):
    preset, x = augment.presets.simclr_ts(), series(6, 3, 40)
    pipeline = functools.partial(preset, backend=backend)
    expected = preset(x, seed=2)
    channels_last = x.transpose(1, 2).contiguous().transpose(1, 2)
    padded = torch.zeros(6, 7, 90)[:, 1:7:2, 5:85:2].copy_(x)
    reversed_batch = x.flip(0).contiguous().flip(0)
    for strided in (channels_last, padded, reversed_batch):
        assert torch.equal(pipeline(strided, seed=2), expected)
    expanded = x[:1].expand(6, 3, 40)
    assert torch.equal(pipeline(expanded, seed=2), pipeline(expanded.contiguous(), seed=2))


def test_inserting_an_operation_leaves_the_other_draws():
    x = series(8, 3, 40)
    before = augment.Compose([augment.Blockout(0.3), augment.RandomNoise()])
    after = augment.Compose([augment.TimeFlip(p=0), augment.Blockout(0.3), augment.Smooth(0.0),
                             augment.RandomNoise()])  # fmt: skip
    assert torch.equal(before(x, seed=4), after(x, seed=4))


def test_two_of_a_kind_draw_differently():
    x = torch.zeros(4, 2, 64)
    x[..., ::2] = 1
    once = augment.RandomNoise()(x, 1, seed=4) - x
    twice = augment.Compose([augment.RandomNoise(), augment.RandomNoise(0.0)])(x, 1, seed=4) - x
    assert torch.equal(once, twice)
    second = augment.Compose([augment.RandomNoise(0.0), augment.RandomNoise()])(x, 1, seed=4) - x
    assert not torch.equal(once, second)


def test_seeds_epochs_steps_ranks_and_views_never_share_a_stream():
    pipeline, x = augment.RandomNoise(), series(3, 2, 40)
    keys = [{"seed": s, "epoch": e, "step": t, "rank": r}
            for s in (0, 1, 2) for e in (0, 1) for t in (0, 1, 2) for r in (0, 1)]  # fmt: skip
    views = {digest(view) for key in keys for view in pipeline(x, 3, **key)}
    assert len(views) == 3 * len(keys)


@pytest.mark.parametrize("kind", [np.int64, np.int16, torch.tensor])
def test_numbers_may_be_of_any_integer_type(kind):
    pipeline, x = augment.presets.simclr_ts(), series(4, 3, 40)
    expected = pipeline(x, 2, seed=3, epoch=2, step=9)
    given = pipeline(x, 2, seed=kind(3) if kind is np.int64 else 3, epoch=kind(2), step=kind(9))
    assert torch.equal(given, expected)
    assert torch.equal(
        pipeline(x, np.int64(2), seed=3, epoch=2, step=9, rank=np.int64(0)), expected
    )
    for name in ("seed", "epoch", "step", "rank"):
        with pytest.raises(TypeError, match=rf"^{name}: float; accepted: an integer"):
            pipeline(x, 2, **{"seed": 0, name: 1.9})


def test_changing_the_length_keeps_the_noise():
    x = torch.ones(2, 3, 96)
    x[..., ::2] = -1  # a standard deviation of 1, whatever the even length
    long, short = (augment.RandomNoise()(z, 1, seed=0) - z for z in (x, x[..., :50]))
    assert torch.equal(long[..., :50], short)


def test_a_generator_and_the_global_generator_govern():
    pipeline, x = augment.presets.simclr_ts(), series(4, 3, 30)
    a = pipeline(x, seed=torch.Generator().manual_seed(1))
    assert torch.equal(a, pipeline(x, seed=torch.Generator().manual_seed(1)))
    torch.manual_seed(8)
    b = pipeline(x)
    state = torch.get_rng_state()
    pipeline(x, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(8)
    assert torch.equal(pipeline(x), b)
    assert not torch.equal(pipeline(x), b)


def test_opcheck():
    pipeline, seed = augment.presets.simclr_ts(), random.seed_tensor(3)
    x = series(4, 3, 20).requires_grad_()
    for backend in ("cpp", "numba", "reference"):
        arguments = (
            pipeline._program,
            seed,
            2,
            torch.arange(4),
            torch.tensor([3, 20, 1, 9]),
            None,
            backend,
        )
        torch.library.opcheck(torch.ops.tsssl_fast.augment.default, (x, *arguments))
        arguments = (True, pipeline._program, seed, torch.arange(4), None, None, backend)
        grad = series(2, 4, 3, 20)
        torch.library.opcheck(torch.ops.tsssl_fast.augment_backward.default, (grad, *arguments))
        arguments = (pipeline._program, seed, 2, [4, 3, 20], None, None, backend)
        torch.library.opcheck(torch.ops.tsssl_fast.augment_sample.default, arguments)


@pytest.mark.clean_memory
def test_compiled_graph_stays_whole():
    pipeline, x = augment.presets.simclr_ts(), series(4, 3, 20)
    compiled = torch.compile(lambda x, step: pipeline(x, 2, seed=1, step=step) * 2, fullgraph=True)
    for step in range(3):
        assert torch.equal(compiled(x, step), pipeline(x, 2, seed=1, step=step) * 2)


@pytest.mark.parametrize("shape", [(2, 1, 100_000), (1, 1000, 7)])
def test_long_and_wide_series(shape):
    x = series(*shape)
    pipeline = augment.Compose(
        [augment.presets.simclr_ts(p=1.0), augment.ChannelPermutation(), augment.TimeShift(),
         augment.SegmentPermutation(7), augment.Drift()]
    )  # fmt: skip
    y = pipeline(x, 1, seed=0)
    assert torch.equal(y, pipeline(x, 1, seed=0, backend="reference"))
    assert torch.equal(y, pipeline(x, 1, seed=0, backend="numba"))


def test_limits_are_those_of_the_counter():
    assert ops.augment.spec.MAX_STEPS // 4 == 1 << spec.CHANNEL_SHIFT
    assert spec.MAX_CHANNELS << spec.CHANNEL_SHIFT == 1 << 32
    assert spec.MAX_VIEWS == spec.ELEMENT_PURPOSE
