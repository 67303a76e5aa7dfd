"""What the C++ kernels are handed: a size that is not what they will touch is an error."""

import pytest
import torch

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.precision import IEEE, saved_choice
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import BITS

N, DIM = 4, 3
MODULE = native.module()


def nt_xent_buffers(n: int = N) -> dict[str, torch.Tensor]:
    side = MODULE.nt_xent_saved_side(2 * n, DIM)
    return {
        "loss": torch.empty(2 * n),
        "saved": torch.empty(len(spec.NT_XENT_ROWS), 2 * n),
        "kept": torch.empty(side * side),
    }


def nt_xent_forward(reduction: str = "none", **buffers: torch.Tensor) -> None:
    z = torch.randn(N, DIM)
    place = (z.data_ptr(), DIM)
    number = spec.REDUCTIONS.index(reduction)
    MODULE.nt_xent_forward_f32(
        *(*place, *place, N, DIM, 1.0, BITS[z.dtype], IEEE, number, 1),
        **{**nt_xent_buffers(), **buffers},
    )


def test_sizes_that_fit() -> None:
    nt_xent_forward()
    nt_xent_forward(kept=torch.empty(0))
    nt_xent_forward("mean", loss=torch.empty(()), kept=torch.empty(2, N, DIM))


@pytest.mark.parametrize("name", ["loss", "saved", "kept"])
@pytest.mark.parametrize("other", [N - 1, N + 1])
def test_other_sizes_are_refused(name: str, other: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: \d+ bytes; accepted: \d+ elements of 4 bytes"):
        nt_xent_forward(**{name: nt_xent_buffers(other)[name]})


def test_other_dtypes_and_strides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^saved: "):
        nt_xent_forward(saved=nt_xent_buffers()["saved"].double())
    rows = torch.empty(2 * N, len(spec.NT_XENT_ROWS)).t()
    with pytest.raises(TypeError, match="saved"):
        nt_xent_forward(saved=rows)
    with pytest.raises(TypeError, match="saved"):
        nt_xent_forward(saved=5)


def test_the_fused_gradient_has_its_own_size() -> None:
    with pytest.raises(ValueError, match=r"^kept: "):
        nt_xent_forward("mean", loss=torch.empty(()))


@pytest.mark.parametrize("reduction", spec.REDUCTIONS)
def test_an_operator_called_by_hand(reduction: str) -> None:
    z = torch.randn(N, DIM)
    grad = torch.ones(2 * N if reduction == "none" else ())
    saved = torch.empty(len(spec.NT_XENT_ROWS), 2 * N)
    operator = torch.ops.tsssl_fast.nt_xent_backward
    none, seven = torch.empty(0), torch.empty(7)
    for argument, given in {
        "saved": (grad, z, z, saved[:-1], none, none),
        "exponentials": (grad, z, z, saved, seven, none),
        "gradients": (grad, z, z, saved, none, seven),
        "grad": (torch.ones(3), z, z, saved, none, none),
    }.items():
        with pytest.raises(ValueError, match=rf"^{argument}: .*; accepted: "):
            operator(*given, saved_choice(fill_value=IEEE), 0.5, reduction, "cpp")


def test_what_is_kept_is_bounded() -> None:
    for rows, dim in [(1, 1), (1024, 8), (1026, 8), (2048, 512), (2050, 512)]:
        assert MODULE.nt_xent_saved_side(rows, dim) == spec.kept_rows(rows, dim)


def test_decorrelation() -> None:
    z = [torch.randn(6, DIM) for _ in range(2)]
    operator = torch.ops.tsssl_fast.vicreg_backward
    settings = [1.0] * 8
    moments = torch.zeros(1 + 3 * 2 + 2 * 2 * DIM, dtype=torch.float64)
    square = torch.zeros(2, DIM, DIM)
    one, choice = torch.ones(()), saved_choice(fill_value=IEEE)
    with pytest.raises(ValueError, match=r"^moments: "):
        operator(one, None, *z, moments[1:], square, choice, settings, 7, "cpp")
    with pytest.raises(ValueError, match=r"^square: "):
        operator(one, None, *z, moments, square[:1], choice, settings, 7, "cpp")
    with pytest.raises(ValueError, match=r"^grad_terms: "):
        operator(one, torch.ones(2), *z, moments, square, choice, settings, 7, "cpp")
