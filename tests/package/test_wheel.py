"""tools/check_wheel.py: its smoke test passes here, and what is wrong with a wheel is said."""

import zipfile
from pathlib import Path

import check_wheel
import pytest

from tsssl_fast.backends import cpp


@pytest.mark.skipif(cpp.C is None, reason="no extension")
def test_the_smoke_test_of_wheels_passes(capsys: pytest.CaptureFixture) -> None:
    check_wheel.smoke()
    assert "runs on cpp" in capsys.readouterr().out


def wheel(folder: Path, **files: int) -> Path:
    path = folder / "tsssl_fast-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in files.items():
            archive.writestr(f"{name}.so", bytes(size))
    return path


def test_libraries_beside_the_extension_and_large_wheels_are_refused(tmp_path: Path) -> None:
    extension = {"tsssl_fast/_C.x": 10}
    assert check_wheel.contents(wheel(tmp_path, **extension)) == []
    (wrong,) = check_wheel.contents(wheel(tmp_path, **extension, libgomp=10))
    assert "libgomp.so" in wrong
    large = {"tsssl_fast/_C.x": check_wheel.MOST_UNPACKED + 1}
    (wrong,) = check_wheel.contents(wheel(tmp_path, **large))
    assert "accepted: 4000000 bytes, 10000000 unpacked" in wrong
