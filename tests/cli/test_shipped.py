"""Commands with the encoder that ships: nothing is trained, or training starts from it."""

import numpy as np
import pytest
import torch
from toy import dataset

from tsssl_fast import encoders, evaluate, training
from tsssl_fast.data import Scaling


@pytest.fixture
def npz(tmp_path):
    data = dataset()
    path = tmp_path / "sines.npz"
    np.savez(
        path,
        X_train=data.x_train,
        y_train=data.y_train,
        X_test=data.x_test,
        y_test=data.y_test,
    )
    return path


def test_embedding_without_a_checkpoint(tmp_path, npz, command):
    out = tmp_path / "e.npz"
    status, text, error = command("embed", "--data", npz, "--out", out)
    assert status == 0, error
    assert text == f"{out}: 2048 features of 48 series of sines\n"
    told = "generated-1: trained on generated series alone, nothing of sines; --checkpoint takes"
    assert error.count("note:") == 1
    assert told in error
    data = dataset()
    scaling = Scaling.fit(data.x_train)
    wanted = evaluate.features(encoders.pretrained("generated-1"), scaling(data.x_test))
    with np.load(out) as arrays:
        assert arrays["features"][24:] == pytest.approx(wanted.numpy(), abs=1e-5)
    named = ("embed", "--checkpoint", "generated-1", "--data", npz, "--out", out, "--full")
    status, text, _ = command(*named)
    assert f"{3 * 1538} features" in text


def test_padding_is_no_part_of_the_scaling(tmp_path):
    data = dataset()
    lengths = torch.full((24,), 30)
    x = data.x_train.clone()
    x[..., 30:] = 1e3
    padded = type(data)(**{**data.__dict__, "x_train": x, "lengths_train": lengths})
    found, wanted = training.scaling_of(padded), Scaling.fit(data.x_train[..., :30])
    torch.testing.assert_close(found.shift, wanted.shift)
    torch.testing.assert_close(found.scale, wanted.scale)


def test_training_starts_from_it(tmp_path, npz, command):
    run, tuned = tmp_path / "run", tmp_path / "tuned"
    common = ("--data", npz, "--epochs", 1, "--batch-size", 8)
    status, text, error = command("pretrain", "--init", "generated-1", *common, "--out", run)
    assert status == 0, error
    assert "simclr, channelwise encoder" in text
    content = training.read(run)
    assert content["config"]["init"] == "generated-1"
    start = encoders.weights.start("generated-1", 3)
    config = training.Config(**content["config"])
    built = config.build_encoder(3, 40)
    for name, value in start.state_dict().items():
        assert torch.equal(built.state_dict()[name], value)
        moved = content["model"][f"encoder.{name}"] - value
        assert 0 < moved.norm() < 0.5 * value.norm() + 1
    status, text, _ = command("evaluate", "--checkpoint", run, "--data", npz)
    assert status == 0
    status, text, error = command(
        "finetune", "--checkpoint", "generated-1", *common, "--out", tuned
    )
    assert status == 0, error
    assert "fine-tuned on sines" in text
    assert command("evaluate", "--checkpoint", tuned, "--data", npz)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("embed", "--adapt"), "embed: --adapt or --pooling with generated-1; accepted: without"),
        (("embed", "--pooling", "stages"), "embed: --adapt or --pooling with generated-1"),
        (("embed", "--follow"), "follow: without --checkpoint, or with --adapt, --full"),
        (("embed", "--checkpoint", "generated-7"), "generated-7: no such file"),
        (("pretrain", "--init", "generated-7"), "init: 'generated-7'; accepted: generated-1"),
        (
            ("pretrain", "--init", "generated-1", "--encoder", "resnet"),
            "init: 'generated-1' with encoder 'resnet'; accepted: with 'channelwise'",
        ),
    ],
)
def test_what_is_refused(tmp_path, npz, command, arguments, message):
    status, text, error = command(*arguments, "--data", npz, "--out", tmp_path / "e.npz")
    assert status == 1
    assert text == ""
    assert message in error
