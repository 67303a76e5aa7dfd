"""The walk from a folder of phone recordings to embeddings, report and encoder, in a small form."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tsssl_fast import cli

EXPERIMENTS = Path(__file__).parents[2] / "benchmarks" / "experiments"


@pytest.fixture(scope="module")
def phone():
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        import phone

        yield phone
    finally:
        sys.path.remove(str(EXPERIMENTS))


def test_motions_differ_in_their_order_alone(phone):
    values = [
        np.sort(phone.waveform(kind, (np.arange(1000) + 0.5) / 1000)) for kind in phone.MOTIONS
    ]
    for other in values[1:]:
        assert other.mean() == pytest.approx(values[0].mean(), abs=1e-9)
        assert other.std() == pytest.approx(values[0].std(), rel=1e-5)
        assert np.abs(other).max() == pytest.approx(np.abs(values[0]).max(), abs=2e-3)


def test_four_commands_leave_embeddings_a_report_and_an_encoder(phone, tmp_path, capfd):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    phone.make(tmp_path / "phone", 4, 0.75)
    reading = (*phone.READING, "--test-share", "0.3", "--device", "cpu")
    try:
        for command in phone.commands(tmp_path / "phone", tmp_path, 1, *reading):
            capfd.readouterr()
            assert cli.run(command) == 0, capfd.readouterr().err
            if command[0] == "evaluate":
                found = json.loads(capfd.readouterr().out)
    finally:
        torch.set_num_threads(threads)
    assert found["classes"] == sorted(phone.MOTIONS)
    assert all("0.01" in shares for shares in found["label_shares"].values())
    with np.load(tmp_path / "embeddings.npz") as arrays:
        assert len(arrays["features"]) == len(set(zip(arrays["id"], arrays["split"], strict=True)))
        subjects = [
            {name.partition("@")[0] for name in arrays["id"][arrays["split"] == split]}
            for split in ("train", "test")
        ]
    assert subjects[0] & subjects[1] == set()
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "encoder.pt2").stat().st_size > 10_000
