"""Weights that ship: read as they were written, refused when damaged, and contained in a wheel."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tsssl_fast import encoders
from tsssl_fast.encoders import weights

ROOT = Path(__file__).parents[2]


def test_the_encoder_takes_any_series():
    encoder = encoders.pretrained("generated-1")
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    for channels, steps in ((1, 8), (3, 200)):
        x = torch.randn(2, channels, steps)
        z = encoder(x)
        assert z.shape == (2, encoder.features_of(channels))
        assert z.shape[1] <= 2048
        assert torch.isfinite(z).all()
    full = encoders.pretrained("generated-1", 3, full=True)
    assert full(x).shape == (2, full.out_features)


def test_its_weights_are_not_those_of_chance():
    torch.manual_seed(0)
    fresh = encoders.Channelwise(1, **weights.about("generated-1")["encoder"])
    trained = weights.start("generated-1", 4)
    assert trained.channels == 4
    moved = [
        (p - q).norm() / q.norm()
        for p, q in zip(trained.parameters(), fresh.parameters(), strict=True)
        if p.dim() > 1
    ]
    assert min(moved) > 0.5


def test_what_stands_beside_them():
    found = weights.about("generated-1")
    assert found["config"]["method"] == "simclr"
    assert found["data"]["name"] == "generated"
    assert found["held_out_loss"]["after"] < 0.8 * found["held_out_loss"]["before"]
    assert len(found["log"]) == found["config"]["epochs"]
    assert found["parameters"] == sum(p.numel() for p in weights.start("generated-1").parameters())
    for name in weights.NAMES:
        assert (weights.FOLDER / f"{name}.pt").stat().st_size <= 1e6


def test_written_weights_read_back(tmp_path):
    torch.manual_seed(0)
    encoder = encoders.Channelwise(1, width=8, depth=2, groups=2)
    path = tmp_path / "own.pt"
    weights.write(path, encoder, {"note": "α"})
    found = weights.read(path, 3)
    assert found.channels == 3
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value.half().float(), rtol=0, atol=0)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["note"] == "α"
    with pytest.raises(ValueError, match=r"weights: .*own.npz; accepted: a name that ends in .pt"):
        weights.write(tmp_path / "own.npz", encoder, {})


def damaged(path, how):
    beside = path.with_suffix(".json")
    if how == "bits":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "missing":
        path.unlink()
    elif how == "no json":
        beside.write_text("{")
    elif how == "a list":
        beside.write_text("[]")
    elif how == "another encoder":
        about = json.loads(beside.read_text())
        beside.write_text(json.dumps(about | {"encoder": {"width": 8}}))
    elif how == "no encoder":
        about = json.loads(beside.read_text())
        del about["encoder"]
        beside.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (
            "bits",
            ValueError,
            "generated-1.pt: damaged, its SHA-256 is not that of generated-1.json",
        ),
        ("truncated", ValueError, "damaged, its SHA-256"),
        ("missing", FileNotFoundError, "generated-1.pt: no such file"),
        ("no json", ValueError, "generated-1.json: damaged"),
        ("a list", ValueError, "generated-1.json: damaged, no mapping"),
        ("another encoder", ValueError, "generated-1.pt: not of an encoder"),
        ("no encoder", ValueError, "generated-1.pt: not of an encoder"),
    ],
)
def test_damaged_files(tmp_path, monkeypatch, how, error, message):
    for ending in (".pt", ".json"):
        shutil.copy(weights.FOLDER / f"generated-1{ending}", tmp_path)
    damaged(tmp_path / "generated-1.pt", how)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(error, match=message):
        encoders.pretrained("generated-1")


def test_unknown_names():
    for call in (encoders.pretrained, weights.about, weights.start):
        with pytest.raises(ValueError, match="name: 'generated'; accepted: generated-1"):
            call("generated")


def test_a_wheel_holds_them():
    """The archive of sources: tests/structure/test_paths.py."""
    tomllib = pytest.importorskip("tomllib", reason="of Python 3.11")
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["tsssl_fast"]
    held = {p for pattern in patterns for p in (ROOT / "tsssl_fast").glob(pattern)}
    for name in weights.NAMES:
        for ending in (".pt", ".json"):
            assert ROOT / "tsssl_fast/encoders/weights" / f"{name}{ending}" in held
            assert (weights.FOLDER / f"{name}{ending}").is_file()
