"""What every test gets: a seed and poisoned memory; on request every backend and thread count."""

import os

# Before torch: of several workers (pytest -n) each has threads on every processor, and those that
# spin while they wait hold up the others'.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from beside import Beside
from variants import ISAS, KERNELS

import tsssl_fast
from tsssl_fast.backends import cpp as native

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")


def pytest_report_header() -> str:
    isa = native.C.isa() if native.C is not None else "none"
    return f"tsssl_fast: {tsssl_fast.__file__}, instruction set {isa}, torch {torch.__version__}"


def pytest_sessionstart() -> None:
    if native.C is None:
        pytest.exit(
            f"the compiled extension did not load from {tsssl_fast.__file__}: {native.ERROR}; "
            "install the package first (a source tree without it may be in the way)",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        choices=tuple(KERNELS),
        default="cpu",
        help="of the tensors in tests of backends (fixtures kernel, compiled, on_device)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The backends of the device, for those who ask for one."""
    names = KERNELS[metafunc.config.getoption("--device")]
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", names, indirect=True)
    if "compiled" in metafunc.fixturenames:
        others = [name for name in names if name != "reference"]
        metafunc.parametrize("compiled", others, indirect=True)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def pytest_itemcollected(item: pytest.Item) -> None:
    if "numba" in (value for value in _parameters(item).values() if isinstance(value, str)):
        item.add_marker(pytest.mark.after_numba)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files last that want what is compiled beside the tests: Numba's kernels, then Triton's."""

    def marked(name: str) -> set[Path]:
        return {item.path for item in items if item.get_closest_marker(name)}

    numba, triton = marked("after_numba"), marked("after_triton")
    items.sort(key=lambda item: (item.path in triton, item.path in numba))


@pytest.fixture(scope="session", autouse=True)
def beside(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beside]:
    """Started before the first test, with what the selected tests will ask for; of several workers
    by the first."""
    folder, session = tmp_path_factory.getbasetemp(), request.session
    worker = getattr(request.config, "workerinput", {}).get("workerid")
    runs = Beside((folder.parent if worker else folder) / "beside")

    def selected(test: str) -> list[Any]:
        items = [i for i in session.items if getattr(i, "originalname", "") == test]
        return [_parameters(item)["case"] for item in items]

    if any(item.name == "test_warm_leaves_nothing_to_compile" for item in session.items):
        runs.warm_numba()
    if find_spec("triton"):
        runs.compile_triton(selected("test_machine_code"))
        runs.interpret(selected("test_interpreted"))
    if worker in (None, "gw0"):
        runs.start()
    yield runs
    ended = session.exitstatus == pytest.ExitCode.INTERRUPTED
    runs.stop(wait=not (ended or session.shouldstop or session.shouldfail))


@pytest.fixture
def on_device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device of --device, on which the test's tensors are made."""
    device = torch.device(request.config.getoption("--device"))
    if device.type == "cpu":
        yield device
        return
    if not torch.cuda.is_available():
        pytest.skip("--device cuda: torch sees no GPU")
    with device:
        yield device


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tests on a busy machine wait mostly for threads; tests of threads set their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _poisoned(allocate: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def wrapper(*args: object, **kwargs: object) -> torch.Tensor:
        x = allocate(*args, **kwargs)
        if x.is_floating_point() or x.is_complex():
            with torch.no_grad():  # a leaf may ask for gradients
                return x.fill_(torch.nan)
        return x if x.dtype == torch.bool else x.fill_(torch.iinfo(x.dtype).max)

    return wrapper


@pytest.fixture(autouse=True)
def poisoned_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninitialised tensors hold NaN (integers: the largest), so that an unwritten element shows.

    `@pytest.mark.clean_memory` is for tests of torch.compile, which traces these functions.
    """
    if request.node.get_closest_marker("clean_memory"):
        return
    for owner in (torch, torch.Tensor):
        for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, _poisoned(getattr(owner, name)))


@pytest.fixture
def kernel(request: pytest.FixtureRequest, on_device: torch.device) -> Iterator[str]:
    """Name of a backend; the C++ one comes once for every instruction set that it is built for."""
    yield from _named(request.param)


@pytest.fixture
def compiled(request: pytest.FixtureRequest, on_device: torch.device) -> Iterator[str]:
    """The same without the reference, for tests that compare with it."""
    yield from _named(request.param)


def _named(name: str) -> Iterator[str]:
    backend, _, isa = name.partition("-")
    if not isa:
        yield backend
        return
    if not ISAS[isa]:
        pytest.skip(f"this processor does not have {isa}")
    extension = native.module()
    extension.set_isa(isa)
    assert extension.isa() == isa
    yield backend
    extension.set_isa("")


@pytest.fixture(params=("amx", "avx512bf16", "amx-emulated"))
def unit(request):
    """Kernels on the tensor unit: by its instructions or by vectors where these are there, by its
    emulation everywhere."""
    if native.C is None:
        pytest.skip("no extension")
    if why := native.C.why_not_isa(request.param):
        pytest.skip(why)
    native.C.set_isa(request.param)
    yield request.param
    native.C.set_isa("")
