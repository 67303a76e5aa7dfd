"""The encoder that ships, in small: it learns from generated series, and resumes."""

from functools import partial

import pytest
import torch

from tsssl_fast import encoders
from tsssl_fast.data import generated
from tsssl_fast.training import checkpoint
from tsssl_fast.training import generated as command
from tsssl_fast.training.views import preset


@pytest.fixture
def small(monkeypatch):
    tiny = partial(encoders.Channelwise, width=16, depth=4, groups=4)
    monkeypatch.setitem(encoders.ENCODERS, "channelwise", tiny)


@pytest.mark.usefixtures("small")
def test_sixty_steps_lower_the_loss_of_held_out_series_by_a_fifth(tmp_path):
    run = command.train(tmp_path, 60, batch_size=32, series=32 * 20)
    assert run.config.epochs == 3
    x = generated(128, seed=1, start=10**6)
    before = command.held_out_loss(run.config.build(1, 256), x, 32)
    after = command.held_out_loss(run.method, x, 32)
    assert after <= 0.8 * before
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 4


@pytest.mark.usefixtures("small")
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, caplog):
    common = ["--steps", "4", "--series", "32", "--batch-size", "16", "--threads", "1"]
    command.main(["--out", str(tmp_path / "whole"), *common])
    stopped = ["--out", str(tmp_path / "stopped"), *common, "--resume"]
    command.main([*stopped, "--max-time", "0"])
    assert checkpoint.read(tmp_path / "stopped")["epoch"] == 1
    command.main(stopped)
    ours, theirs = (checkpoint.read(tmp_path / name)["model"] for name in ("whole", "stopped"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert "epoch 2/2, step 4: loss" in caplog.text


def test_views_are_standardised_on_a_grid():
    views, x = preset("generated"), generated(6)
    v = views(x, 2, seed=0, sample_ids=torch.arange(6))
    assert v.shape == (2, 6, 1, 128)
    torch.testing.assert_close(v.mean(-1), torch.zeros(2, 6, 1), rtol=0, atol=1e-5)
    torch.testing.assert_close(v.std(-1, correction=0), torch.ones(2, 6, 1))
    assert not torch.equal(v[0], v[1])
    with pytest.raises(ValueError, match="lengths: series of unequal length; accepted: other"):
        views(x, 2, seed=0, sample_ids=torch.arange(6), lengths=torch.full((6,), 9))


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="steps: 0; accepted: a finite number >= 1"):
        command.train(tmp_path, 0)
    with pytest.raises(SystemExit, match="error: batch_size: 1; accepted: a finite number >= 2"):
        command.main(["--out", str(tmp_path), "--batch-size", "1"])
