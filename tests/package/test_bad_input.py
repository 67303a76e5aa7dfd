"""Bad input ends in an exception that names the argument, what was given and what is accepted."""

import pytest
import torch

from tsssl_fast import functional, losses

Z = torch.randn(4, 3)
BAD = {
    "vector": ((Z[0], Z[0]), {}, ValueError, r"z1: shape \(3,\); accepted: \(N, D\)"),
    "three dimensions": ((Z, Z[None]), {}, ValueError, r"z2: shape \(1, 4, 3\); accepted: \(N, D"),
    "no row": ((Z[:0], Z[:0]), {}, ValueError, r"z1: shape \(0, 3\); accepted: .* N >= 1"),
    "no column": ((Z[:, :0], Z[:, :0]), {}, ValueError, r"z1: shape \(4, 0\); accepted: .* D >= 1"),
    "rows differ": ((Z, Z[:3]), {}, ValueError, r"z2: shape \(3, 3\); accepted: \(4, 3\) as z1"),
    "columns differ": ((Z, Z[:, :2]), {}, ValueError, r"z2: shape \(4, 2\); accepted: \(4, 3\)"),
    "integers": ((Z.long(), Z.long()), {}, TypeError, "z1: dtype torch.int64; accepted: .*float16"),
    "booleans": ((Z > 0, Z > 0), {}, TypeError, "z1: dtype torch.bool; accepted"),
    "complex": ((Z + 0j, Z + 0j), {}, TypeError, "z1: dtype torch.complex64; accepted"),
    "float8": ((Z.to(torch.float8_e5m2), Z), {}, TypeError, "z1: dtype torch.float8_e5m2; accep"),
    "devices differ": ((Z, Z.to("meta")), {}, ValueError, "z2: device meta; accepted: cpu as z1"),
    "sparse": ((Z.to_sparse(), Z), {}, ValueError, "z1: layout torch.sparse_coo; accepted: .*str"),
    "array": ((Z.numpy(), Z.numpy()), {}, TypeError, "z1: ndarray; accepted: torch.Tensor"),
    "list": ((Z, [[1.0]]), {}, TypeError, "z2: list; accepted: torch.Tensor"),
    "zero": ((Z, Z), {"temperature": 0}, ValueError, "temperature: 0; accepted: a finite number"),
    "negative": ((Z, Z), {"temperature": -0.1}, ValueError, "temperature: -0.1; accepted"),
    "nan": ((Z, Z), {"temperature": float("nan")}, ValueError, "temperature: nan; accepted"),
    "infinite": ((Z, Z), {"temperature": float("inf")}, ValueError, "temperature: inf; accepted"),
    "text": ((Z, Z), {"temperature": "0.1"}, TypeError, "temperature: str; accepted: a number"),
    "true": ((Z, Z), {"temperature": True}, TypeError, "temperature: bool; accepted: a number"),
    "reduction": ((Z, Z), {"reduction": "avg"}, ValueError, "reduction: 'avg'; accepted: mean, su"),
    "backend": ((Z, Z), {"backend": "cuda"}, ValueError, "backend='cuda': .*; accepted: referenc"),
}


@pytest.mark.parametrize("case", BAD)
def test_nt_xent(case: str) -> None:
    inputs, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        functional.nt_xent_loss(*inputs, **options)


@pytest.mark.parametrize("case", ["zero", "nan", "text", "reduction"])
def test_module_refuses_when_it_is_built(case: str) -> None:
    _, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        losses.NTXentLoss(**options)
