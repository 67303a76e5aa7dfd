"""`pretrain --texts FILE`, `finetune --freeze --layer-decay --contrast`, and the horizon of a
forecast, by the command line."""

import numpy as np
import pytest
import torch
from toy import dataset

from tsssl_fast import encoders
from tsssl_fast.training import checkpoint, load_encoder
from tsssl_fast.training.finetune import layers_of


@pytest.fixture
def npz(tmp_path):
    data, path = dataset(), tmp_path / "sines.npz"
    np.savez(
        path,
        X_train=data.x_train.numpy(),
        y_train=data.y_train.numpy(),
        X_test=data.x_test.numpy(),
        y_test=data.y_test.numpy(),
    )
    return path


@pytest.fixture
def texts(tmp_path):
    """A line for each train series; the third is missing."""
    lines = [f"a sine of frequency {int(y)}" for y in dataset().y_train]
    lines[2] = ""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def one_line(result, *said):
    status, text, error = result
    assert (status, text) == (1, ""), result
    assert error.count("\n") == 1
    assert all(part in error for part in said), error


def weights(where):
    return load_encoder(where)[0].state_dict()


def test_a_file_of_texts_is_learnt(tmp_path, npz, texts, command):
    out = tmp_path / "run"
    arguments = ("pretrain", "--data", npz, "--method", "clip", "--epochs", 2, "--batch-size", 12)
    status, text, error = command(*arguments, "--texts", texts, "--out", out)
    assert status == 0, error
    assert "clip, " in text
    assert any("other_encoder.table" in name for name in checkpoint.read(out)["model"])
    # Two sensors, without texts: other weights, and no table of words.
    sensors = tmp_path / "sensors"
    assert command(*arguments, "--out", sensors)[0] == 0
    assert not any("table" in name for name in checkpoint.read(sensors)["model"])
    assert command("evaluate", "--checkpoint", out, "--data", npz)[0] == 0


def test_texts_that_do_not_fit_are_one_line(tmp_path, npz, texts, command):
    arguments = ("pretrain", "--data", npz, "--epochs", 1, "--out", tmp_path / "run")
    clip = (*arguments, "--method", "clip", "--texts")
    short = tmp_path / "short.txt"
    short.write_text("\n".join(texts.read_text().splitlines()[:-1]))
    one_line(command(*clip, short), "texts: 23 lines; accepted: one for each of the 24 train")
    long = tmp_path / "long.txt"
    long.write_text(texts.read_text() + "another\n")
    one_line(command(*clip, long), "texts: 25 lines")
    one_line(command(*clip, tmp_path / "none.txt"), "texts: ", "none.txt: no such file")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    one_line(command(*clip, binary), "texts: ", "binary.txt: not UTF-8")
    empty = tmp_path / "empty.txt"
    empty.write_text(24 * "\n")
    one_line(command(*clip, empty), "texts: fewer than two that are not empty")
    one_line(
        command(*arguments, "--method", "simclr", "--texts", texts),
        *("texts: given with method simclr", "accepted: with method clip"),
    )
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.fixture
def tune(tmp_path, npz, command):
    """Fine-tunes one run with more arguments: the result of the command, and its folder."""
    run = tmp_path / "run"
    given = ("--data", npz, "--batch-size", 12, "--epochs", 2, "--out")
    assert command("pretrain", "--encoder", "resnet", *given, run)[0] == 0

    def tuned(name, *more):
        out = tmp_path / name
        return command("finetune", "--checkpoint", run, *given, out, *more), out

    tuned.run = run
    return tuned


def test_lower_layers_stay(tune):
    (status, _, error), out = tune("frozen", "--freeze", 2)
    assert status == 0, error
    before, after = weights(tune.run), weights(out)
    layers = layers_of(encoders.build("resnet", 3, 40))
    kept = {id(p) for layer in layers[:2] for p in layer.parameters()}
    assert kept
    encoder = load_encoder(tune.run)[0]
    names = {id(m): n for n, m in encoder.named_modules()}
    stay = tuple(names[id(layer)] + "." for layer in layers_of(encoder)[:2])
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith(stay), name


def test_decay_and_contrast_of_fine_tuning(tune):
    (status, _, error), plain = tune("plain")
    assert status == 0, error
    (_, _, _), same = tune("same", "--freeze", 0, "--layer-decay", 1, "--contrast", 0)
    for a, b in zip(weights(plain).values(), weights(same).values(), strict=True):
        assert torch.equal(a, b)
    for name, *more in (("decay", "--layer-decay", 0.5), ("contrast", "--contrast", 0.5)):
        (status, _, error), out = tune(name, *more)
        assert status == 0, error
        assert any(not torch.equal(a, weights(out)[n]) for n, a in weights(plain).items())
    # The rate of the first layer is the smallest: it has moved less than without the decay.
    first = next(n for n in weights(plain) if n.endswith("weight"))
    start = weights(tune.run)[first]
    moved = [(weights(tune.run.parent / n)[first] - start).norm() for n in ("decay", "plain")]
    assert moved[0] < moved[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--freeze", 9), ("freeze: 9; accepted: 0 to the encoder's 4 layers",)),
        (("--freeze", -1), ("freeze: -1; accepted: 0 to",)),
        (("--layer-decay", 0), ("--layer-decay: 0.0; accepted: a number in (0, 1]",)),
        (("--contrast", -1), ("contrast: -1",)),
    ],
)
def test_layers_that_do_not_fit_are_one_line(tune, arguments, said):
    result, out = tune("bad", *arguments)
    one_line(result, *said)
    assert not (out / "checkpoint.pt").exists()


def test_a_horizon_longer_than_the_series_is_one_line(tmp_path, npz, command):
    arguments = ("pretrain", "--data", npz, "--method", "forecasting", "--out", tmp_path / "run")
    for horizon in (40, 50):
        one_line(
            command(*arguments, "--epochs", 1, "--option", f"horizon={horizon}"),
            f"horizon: {horizon}; accepted: below the 40 steps of a series",
        )
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
