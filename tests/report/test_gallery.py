"""The picture shows every operation and is written."""

import inspect
import subprocess
import sys

import pytest
import torch
from cases.augment import series
from matplotlib import image

from tsssl_fast import augment
from tsssl_fast.report import gallery

_NO_PICTURE = {"Identity", "OneOf", "SomeOf", "RandomApply", "OverlappingCrops"}
_NO_PICTURE |= {"TrivialAugment", "RandAugment"}
_NO_OPERATION = {"Compose", "PerView", "Parameters", "Transform", "Mixed", "Crops", "ClipPairs"}
_NO_OPERATION |= {"StrengthRange", "SegmentRecombination"}


def test_every_operation_is_shown():
    classes = {n for n in augment.__all__ if inspect.isclass(getattr(augment, n))}
    assert set(gallery.operations(3)) == classes - _NO_PICTURE - _NO_OPERATION
    for operation in gallery.operations(1).values():
        assert augment.Compose([operation])(series(1, 1, 30), 1, seed=0).shape == (1, 1, 1, 30)


def test_the_picture_is_written(tmp_path):
    file = tmp_path / "gallery.png"
    command = [sys.executable, "-m", "tsssl_fast.report.gallery", str(file)]
    subprocess.run(command, check=True, timeout=120)
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_the_picture_is_the_same_on_a_device(tmp_path, on_device):
    shown = []
    for name, device in (("here.png", on_device), ("cpu.png", "cpu")):
        gallery.draw(gallery.gesture(60).to(device), tmp_path / name)
        shown.append(image.imread(tmp_path / name))
    assert shown[0] == pytest.approx(shown[1], abs=0.02)


def test_only_one_series_can_be_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"^series: shape"):
        gallery.draw(torch.zeros(2, 3, 4), tmp_path / "x.png")
