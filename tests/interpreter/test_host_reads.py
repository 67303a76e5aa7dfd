"""No launcher reads a number of a device tensor on the host, nor copies one there: a step waits for
no GPU, and can be captured in a CUDA graph. In the interpreter every such call raises where it is
made by the package."""

import sys
from pathlib import Path

import pytest
import torch
from cases.decorrelation import HARD, views

import tsssl_fast
from tsssl_fast import functional, losses
from tsssl_fast.backends import precision
from tsssl_fast.common import checks

PACKAGE = str(Path(tsssl_fast.__file__).parent)
READS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__")
COPIES = ("tensor", "as_tensor", "from_numpy")


class HostReadError(AssertionError):
    """The package reads a tensor's numbers, or writes one from the host's."""


def is_choice(tensor):
    """What a forward was allowed (`precision.saved_choice`): on the CPU whatever the device."""
    return isinstance(tensor, torch.Tensor) and tensor.dtype == torch.uint8 and tensor.ndim == 0


def refused(function, name):
    def call(*args, **kwargs):
        if name == "__int__" and is_choice(args[0]):
            return function(*args, **kwargs)
        caller = sys._getframe(1).f_code
        # It reads what lies on the CPU alone: test_values_are_looked_at_on_the_cpu_alone.
        if caller is checks.positive_values.__code__:
            return function(*args, **kwargs)
        if caller.co_filename.startswith(PACKAGE):
            raise HostReadError(f"{name} in {caller.co_filename}, {caller.co_name}")
        return function(*args, **kwargs)

    return call


@pytest.fixture
def no_host_reads(monkeypatch):
    for owner, names in ((torch.Tensor, READS), (torch, COPIES)):
        for name in names:
            monkeypatch.setattr(owner, name, refused(getattr(owner, name), name))


def test_the_fixture_can_fail(no_host_reads):
    z = views(6, 9, count=1)[0]
    with pytest.raises(HostReadError, match="functional"):
        functional.collapse.collapse_report(z)
    assert z.sum().item() == z.sum().tolist()  # here they are allowed


def test_values_are_looked_at_on_the_cpu_alone():
    for shape in ((), (3,)):
        checks.positive_values("temperature", torch.empty(shape, device="meta"))
        with pytest.raises(ValueError, match="temperature: -1; accepted: finite numbers > 0"):
            checks.positive_values("temperature", torch.full(shape, -1.0))


def test_a_choice_is_on_the_cpu():
    with torch.device("meta"):
        assert precision.saved_choice(fill_value=2).is_cpu


DECORRELATION = {
    "vicreg": lambda *z: functional.vicreg_loss(*z, backend="triton"),
    "vibcreg": lambda *z: functional.vicreg_loss(*z, convention="vibcreg", backend="triton"),
    "three views": lambda a, b: functional.vicreg_loss(a, b, a + b, backend="triton"),
    "terms": lambda *z: functional.vicreg_loss(*z, return_terms=True, backend="triton").covariance,
    "no weight": lambda *z: functional.vicreg_loss(
        *z, invariance_weight=0, variance_weight=0, covariance_weight=0, backend="triton"
    ),
    "barlow_twins": lambda *z: functional.barlow_twins_loss(*z, backend="triton"),
}


@pytest.mark.parametrize("name", DECORRELATION)
@pytest.mark.parametrize("shape", [(9, 20), (20, 9)])
def test_decorrelation(no_host_reads, name, shape):
    z = [v.requires_grad_() for v in views(*shape)]
    DECORRELATION[name](*z).backward()
    assert all(v.grad.isfinite().all() for v in z)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(no_host_reads, dtype):
    z = [v.to(dtype).requires_grad_() for v in views(9, 20)]
    for name in ("vicreg", "barlow_twins"):
        DECORRELATION[name](*z).backward()
    assert all(v.grad.isfinite().all() for v in z)


@pytest.mark.parametrize("name", ["one large column", "equal columns"])
def test_cancellation_is_decided_on_the_device(no_host_reads, name):
    first = HARD[name](18, 51)
    z = [first.clone().requires_grad_(), (first + 0.1 * torch.randn(18, 51)).requires_grad_()]
    for loss in (DECORRELATION["vicreg"], DECORRELATION["barlow_twins"]):
        loss(*z).backward()
    assert all(v.grad.isfinite().all() for v in z)


LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4])
# Built before reads are refused: a module's parameters are made from numbers of the host.
TWO_VIEWS = {
    "nt_xent": losses.NTXentLoss(),
    "info_nce": losses.InfoNCELoss(),
    "clip": losses.CLIPLoss(),
    "dcl": losses.DCLLoss(),
    "siglip": losses.SigLIPLoss(),
}
LABELLED = {"sup_con": losses.SupConLoss(), "triplet": losses.TripletLoss()}


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_contrastive(no_host_reads, name):
    z = [v.requires_grad_() for v in views(9, 20)]
    with tsssl_fast.use_backend("triton"):
        TWO_VIEWS[name](*z).backward()
    assert all(v.grad.isfinite().all() for v in z)


@pytest.mark.parametrize("name", LABELLED)
def test_contrastive_with_labels(no_host_reads, name):
    z = views(9, 20, count=1)[0].requires_grad_()
    with tsssl_fast.use_backend("triton"):
        LABELLED[name](z, LABELS).backward()
    assert z.grad.isfinite().all()


def test_hierarchical(no_host_reads):
    z = [v.view(3, 3, 20).requires_grad_() for v in views(9, 20)]
    with tsssl_fast.use_backend("triton"):
        losses.HierarchicalContrastiveLoss()(*z).backward()
    assert all(v.grad.isfinite().all() for v in z)
