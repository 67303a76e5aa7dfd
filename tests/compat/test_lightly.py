"""tsssl_fast.compat.lightly against the published formulas."""

from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import agree, drawn
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.compat import lightly
from tsssl_fast.compat.lightly.loss import (
    BarlowTwinsLoss,
    DCLLoss,
    DCLWLoss,
    DirectCLRLoss,
    MemoryBankModule,
    NegativeCosineSimilarity,
    NTXentLoss,
    SupConLoss,
    VICRegLoss,
)

PAIR = ((12, 10), (12, 10))


@pytest.mark.parametrize(("options", "tau"), [({}, 0.5), ({"temperature": 0.07}, 0.07)])
def test_nt_xent(options: Any, tau: float) -> None:
    loss = NTXentLoss(**options)
    agree(loss, lambda a, b: formulas.nt_xent(a, b, tau), drawn(*PAIR))
    assert list(loss.state_dict()) == []


def test_nt_xent_keeps_its_digits_near_convergence() -> None:
    """Two close views at temperature 0.05: a loss of 1e-5 has all digits of float32."""
    a = torch.eye(8)
    b = a + 1e-3 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    exact = formulas.nt_xent(a.double(), b.double(), 0.05)
    torch.testing.assert_close(NTXentLoss(0.05)(a, b).double(), exact, rtol=1e-5, atol=0)


def test_nt_xent_against_a_bank() -> None:
    for inputs in drawn(*PAIR):
        loss = NTXentLoss(temperature=0.2, memory_bank_size=(40, 10))
        bank = loss.memory_bank.bank.clone()

        def once(a: Tensor, b: Tensor, loss: Any = loss, bank: Tensor = bank) -> Tensor:
            loss.memory_bank.bank.copy_(bank)
            return loss(a, b)

        agree(once, lambda a, b, k=bank: formulas.against_bank(a, b, k, 0.2), [inputs])


def test_bank_starts_with_random_unit_rows_and_takes_keys_where_a_gradient_is_wanted() -> None:
    loss = NTXentLoss(memory_bank_size=(30, 10))
    bank = loss.memory_bank.bank
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(30))
    (a, b) = drawn(*PAIR)[0]
    before = bank.clone()
    loss(a, b)
    with torch.no_grad():
        loss(a.requires_grad_(), b)
    assert torch.equal(bank, before)
    loss(a, b)
    assert int(loss.memory_bank.bank_ptr) == 12
    torch.testing.assert_close(loss.memory_bank.bank[:12], normalize(b, dim=1))
    assert torch.equal(loss.memory_bank.bank[12:], before[12:])


def test_bank_is_cut_at_its_end() -> None:
    bank = MemoryBankModule((10, 3))
    first, second = torch.randn(2, 7, 3)
    out, rows = bank(first, update=True)
    assert out is first
    assert rows.shape == (3, 10)
    before = bank.bank.clone()
    _, rows = bank(second, update=True)
    assert torch.equal(rows, before.T)
    assert torch.equal(bank.bank, torch.cat([first, second[:3]]))
    assert int(bank.bank_ptr) == 0
    assert list(bank.state_dict()) == []
    assert MemoryBankModule((10, 3), feature_dim_first=False)(first)[1].shape == (10, 3)
    assert MemoryBankModule(0)(first) == (first, None)
    with pytest.warns(UserWarning, match="number of columns"):
        late = MemoryBankModule(10)
    assert late(first)[1].shape == (3, 10)
    with pytest.raises(ValueError, match="size: -1"):
        MemoryBankModule(-1)


def test_direct_clr() -> None:
    inputs = drawn((12, 4, 5), (12, 4, 5))
    agree(
        DirectCLRLoss(loss_dim=7),
        lambda a, b: formulas.nt_xent(a.flatten(1)[:, :7], b.flatten(1)[:, :7], 0.5),
        inputs,
    )


def test_dcl() -> None:
    agree(DCLLoss(), lambda a, b: formulas.dcl(a, b, 0.1), drawn(*PAIR))


def test_dcl_at_a_low_temperature() -> None:
    """Losses far below 0, where exponentials overflow float32."""
    generator = torch.Generator().manual_seed(0)
    inputs = [list(normalize(torch.randn(2, 12, 10, generator=generator), dim=2)) for _ in range(3)]
    loss = DCLLoss(0.005)
    agree(loss, lambda a, b: formulas.dcl(a, b, 0.005), inputs)
    close = [a + 0.1 * b for a, b in inputs]
    agree(
        loss,
        lambda a, b: formulas.dcl(a, b, 0.005),
        [[a, c] for (a, _), c in zip(inputs, close, strict=True)],
    )
    assert loss(inputs[0][0], close[0]) < -50


def test_dcl_with_any_weight_function() -> None:
    """Its gradient counts, and the two views may weigh differently."""

    def weight(u: Tensor, v: Tensor) -> Tensor:
        return (u - v).square().sum(1) + u[:, 0]

    agree(
        DCLLoss(0.3, weight_fn=weight), lambda a, b: formulas.dcl(a, b, 0.3, weight), drawn(*PAIR)
    )


def test_dclw() -> None:
    agree(
        DCLWLoss(sigma=0.4),
        lambda a, b: formulas.dcl(a, b, 0.1, lambda u, v: formulas.mises_fisher(u, v, 0.4)),
        drawn(*PAIR),
    )


@pytest.mark.parametrize("labels", [None, torch.arange(12) % 3, torch.zeros(12, dtype=torch.int64)])
def test_sup_con(labels: Tensor | None) -> None:
    """One class alone too: the positives are then all that a row is compared with."""
    ids = torch.arange(12) if labels is None else labels

    def formula(a: Tensor, b: Tensor) -> Tensor:
        return formulas.sup_con(normalize(torch.cat([a, b]), dim=1), ids.repeat(2), 0.5)

    agree(lambda a, b: SupConLoss(rescale=False)(a, b, labels), formula, drawn(*PAIR))
    agree(lambda a, b: SupConLoss()(a, b, labels), lambda a, b: formula(a, b) / 2, drawn(*PAIR))


def test_vicreg() -> None:
    agree(VICRegLoss(), formulas.vicreg, drawn(*PAIR, scale=0.3))
    agree(
        VICRegLoss(lambda_param=1.0, mu_param=2.0, nu_param=3.0, eps=1e-2),
        lambda a, b: formulas.vicreg(a, b, (1, 2, 3), 1e-2),
        drawn(*PAIR, scale=0.3),
    )


def test_vicreg_of_more_dimensions_is_the_mean_over_positions() -> None:
    agree(
        VICRegLoss(),
        lambda a, b: torch.stack(
            [formulas.vicreg(a[:, i, j], b[:, i, j]) for i in range(2) for j in range(3)]
        ).mean(),
        drawn((12, 2, 3, 5), (12, 2, 3, 5), scale=0.3),
    )


def test_barlow_twins() -> None:
    agree(BarlowTwinsLoss(), lambda a, b: formulas.barlow_twins(a, b, 5e-3), drawn(*PAIR))
    with pytest.raises(ValueError, match=r"z_a: shape \(2, 3, 4\); accepted: \(N, D\)"):
        BarlowTwinsLoss()(*torch.randn(2, 2, 3, 4))


@pytest.mark.parametrize("dim", [1, -1, 0])
def test_negative_cosine_similarity_has_both_gradients(dim: int) -> None:
    def formula(a: Tensor, b: Tensor) -> Tensor:
        return -(normalize(a, dim=dim) * normalize(b, dim=dim)).sum(dim).mean()

    agree(NegativeCosineSimilarity(dim), formula, drawn(*PAIR))


@pytest.mark.parametrize("eps", [1e-8, 0.5, 3.0])
def test_negative_cosine_similarity_of_short_rows(eps: float) -> None:
    """A row counts as at least eps long."""

    def formula(a: Tensor, b: Tensor) -> Tensor:
        u, v = (x / x.norm(dim=1, keepdim=True).clamp_min(eps) for x in (a, b))
        return -(u * v).sum(1).mean()

    for a, b in drawn(*PAIR, scale=0.3):
        found = NegativeCosineSimilarity(eps=eps)(a.double(), b.double())
        torch.testing.assert_close(found, formula(a.double(), b.double()))
        assert (a.norm(dim=1) > eps).any() == (eps < 3)


LOSSES = (
    NTXentLoss(),
    NTXentLoss(memory_bank_size=(20, 10)),
    DCLLoss(),
    DCLWLoss(),
    SupConLoss(),
    VICRegLoss(),
    BarlowTwinsLoss(),
    NegativeCosineSimilarity(),
)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_dtypes(loss: Any) -> None:
    """Results in the inputs' dtype, float32 under autocast; the wider of two."""
    a, b = drawn(*PAIR)[0]
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        assert loss(a.to(dtype), b.to(dtype)).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32
    assert loss(a.bfloat16(), b).dtype == torch.float32


def test_arguments_are_checked_under_their_own_names() -> None:
    a, b = drawn(*PAIR)[0]
    with pytest.raises(ValueError, match="temperature: 0"):
        NTXentLoss(temperature=0.0)
    with pytest.raises(ValueError, match="out1: shape"):
        NTXentLoss()(a, b[:5])
    with pytest.raises(ValueError, match="labels: shape"):
        SupConLoss()(a, b, torch.arange(5))
    with pytest.raises(AssertionError, match="N >= 2"):
        VICRegLoss()(a[:1], b[:1])
    with pytest.raises(AssertionError, match="z_b: shape"):
        VICRegLoss()(a, b[:5])
    with pytest.raises(ValueError, match="mu_param"):
        VICRegLoss(mu_param=-1.0)


def test_names_are_there_twice() -> None:
    assert lightly.NTXentLoss is lightly.loss.NTXentLoss
