"""Kernels on the tensor unit: by its emulation on every machine, by its instructions where it is.

The other files of this folder run on both as on every instruction set; what is particular to the
unit stands here: sizes from which it is used, inputs of 16 bits, rows of every magnitude, and other
users of the same tiles.
"""

import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from checks import accept
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec


def definition(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent, mean over rows (Chen et al. 2020, equation 1), in the inputs' dtype."""
    u = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=1)
    logits = (u @ u.T / temperature).fill_diagonal_(float("-inf"))
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(u)).roll(len(z1)))


def loss_and_gradients(function, z1: Tensor, z2: Tensor, *options) -> list[Tensor]:
    leaves = [z1.clone().requires_grad_(), z2.clone().requires_grad_()]
    loss = function(*leaves, *options)
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def ours(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    return functional.nt_xent_loss(z1, z2, temperature=temperature, backend="cpp")


# Sizes from which the instructions are used (csrc/contrastive/operands.h), ends that are no whole
# tile.
# The emulation, slow, takes smaller ones too.
SIZES = {torch.float32: (300, 389), torch.bfloat16: (203, 70), torch.float16: (300, 96)}
BY_VECTORS = SIZES | {torch.bfloat16: (530, 70)}  # exponentials are not kept


@pytest.mark.parametrize("temperature", [0.5, 0.02, 1e-3])
@pytest.mark.parametrize("dtype", SIZES)
def test_values_and_gradients(unit, dtype, temperature):
    """float32's rule for the loss of every dtype, and for gradients of float32; of 16-bit inputs
    the gradients' error before the last rounding is at most a quarter of an ulp on average."""
    limits = torch.finfo(dtype)
    results: list[list[tuple[Tensor, Tensor, Tensor]]] = [[], [], []]
    for seed in range(6):
        torch.manual_seed(seed)
        sizes = BY_VECTORS if unit == "avx512bf16" else SIZES
        n, dim = sizes[dtype] if unit != "amx-emulated" else (45, 49)
        z1 = torch.randn(n, dim)
        z2 = (z1 + 2 * torch.randn(n, dim)).to(dtype)
        z1 = z1.to(dtype)
        truth = loss_and_gradients(definition, z1.double(), z2.double(), temperature)
        found = loss_and_gradients(ours, z1, z2, temperature)
        plain = loss_and_gradients(definition, z1.float(), z2.float(), temperature)
        for list_of, *result in zip(results, found, truth, plain, strict=True):
            list_of.append(tuple(result))
    accept("loss", [(found.float(), *others) for found, *others in results[0]], 2)
    for gradients in results[1:]:
        assert all(found.dtype == dtype for found, *_ in gradients)
        if dtype == torch.float32:
            accept("gradient", gradients, 2)
            continue
        for found, exact, _ in gradients:
            # Of a row's largest element; the last rounding alone is off by a quarter at most.
            largest = exact.abs().amax(dim=1, keepdim=True).clamp_min(limits.tiny)
            ulp = limits.eps * largest.clamp_min(1e-6 * largest.max())
            off = ((found.double() - exact).abs() / ulp).mean()
            assert off <= 0.5, f"{off:.3f} ulp"


def info_nce(q: Tensor, k: Tensor, queue: Tensor, valid: Tensor) -> Tensor:
    """InfoNCE against a queue (He et al. 2020, equation 1), mean over rows, in q's dtype."""
    q, k, queue = (torch.nn.functional.normalize(z, dim=1) for z in (q, k, queue))
    away = (q @ queue.T).masked_fill(~valid, float("-inf"))
    logits = torch.cat([(q * k).sum(dim=1, keepdim=True), away], dim=1) / 0.2
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


# Queries, keys, dimension: several pieces of keys, ends that are no whole tile.
QUEUES = {
    torch.float32: (160, 2300, 390),
    torch.bfloat16: (70, 2300, 70),
    torch.float16: (70, 2300, 210),
}


@pytest.mark.parametrize("dtype", QUEUES)
def test_a_queue(unit, dtype):
    """The walk over keys without gradient, keys that do not count among them."""
    n, keys, dim = QUEUES[dtype] if unit != "amx-emulated" else (18, 290, 21)
    limits, results = torch.finfo(dtype), []

    def found(q: Tensor, k: Tensor, queue: Tensor, valid: Tensor) -> Tensor:
        given = torch.where(valid[:, None], queue, torch.nan)
        return functional.info_nce_loss(
            *(q, k), negatives=given, negatives_valid=valid, temperature=0.2, backend="cpp"
        )

    for seed in range(4):
        torch.manual_seed(seed)
        z = [torch.randn(rows, dim).to(dtype) for rows in (n, n, keys)]
        valid = torch.rand(keys) > 0.2
        results.append(
            [
                loss_and_gradients(loss, *(v.to(to) for v in z), valid)
                for loss, to in (
                    (found, dtype),
                    (info_nce, torch.float64),
                    (info_nce, torch.float32),
                )
            ]
        )
    accept("loss", [(f[0].float(), t[0], p[0]) for f, t, p in results], 2)
    for g in (1, 2):
        if dtype == torch.float32:
            accept("gradient", [(f[g], t[g], p[g]) for f, t, p in results], 2)
            continue
        for result, truth, _ in results:
            ulp = limits.eps * truth[g].abs().amax(dim=1, keepdim=True)
            off = ((result[g].double() - truth[g]).abs() / ulp).mean()
            assert off <= spec.GRADIENT_ULPS + 0.25


@pytest.mark.parametrize("precision", ["bf16x3", "bf16"])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.04])
def test_a_queue_by_precision(unit, temperature, precision):
    """The bounds of spec.py; a row's logits have gradients of at most 2 / N in all."""
    if unit == "avx512bf16" and precision != "bf16":
        pytest.skip(f"{unit} has no {precision}")
    torch.manual_seed(0)
    n, keys, dim = (70, 2300, 210) if unit != "amx-emulated" else (18, 290, 21)
    q, k, queue = torch.randn(n, dim), torch.randn(n, dim), torch.randn(keys, dim)

    def loss(q: Tensor, k: Tensor, precision: str) -> Tensor:
        options = {"precision": precision, "backend": "cpp"}
        return functional.info_nce_loss(
            q, k, negatives=queue.to(q.dtype), temperature=temperature, **options
        )

    found, exact = (loss_and_gradients(loss, q, k, name) for name in (precision, "ieee"))
    truth = loss_and_gradients(loss, q.double(), k.double(), "ieee")
    assert not torch.equal(found[1], exact[1]), "no lower precision"
    assert (found[0] - truth[0]).abs() <= spec.loss_error(precision, temperature)
    bound = spec.gradient_error(precision, temperature) * 2 / (n * temperature * q.norm(dim=1))
    assert ((found[1] - truth[1]).norm(dim=1) <= bound).all()


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15, 1e30, 1e37])
@pytest.mark.parametrize("normalize", [True, False])
def test_rows_of_every_magnitude(unit, size, normalize):
    torch.manual_seed(0)
    m, p, dim = (600, 590, 389) if unit != "amx-emulated" else (50, 39, 49)
    q, k = torch.randn(m, dim) * size, torch.randn(p, dim)
    if not normalize:
        k = k / size  # dot products of middling size
    ids = torch.arange(m) % 13, torch.arange(p) % 13

    def loss(q: Tensor, k: Tensor, backend: str) -> Tensor:
        return functional.contrastive_loss(
            q, k, q_ids=ids[0], k_ids=ids[1], temperature=20.0, normalize=normalize, backend=backend
        )

    if normalize and size < 1e-13:
        pytest.skip("rows of a norm of at most 1e-12 count as zero: tests of the definition")
    truth = loss_and_gradients(loss, q.double(), k.double(), "reference")
    found = loss_and_gradients(loss, q, k, "cpp")
    plain = loss_and_gradients(loss, q, k, "reference")
    for actual, exact, reference in zip(found, truth, plain, strict=True):
        if exact.abs().max() < 1e38 and exact.abs().max() > 1e-37:
            accept(f"size {size}", [(actual, exact, reference)], 2)


def test_a_row_that_is_not_finite(unit):
    """As on every other instruction set: the unit leaves such a batch to the vectors."""
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 300, 389)
    z1[5, 7] = float("nan")
    found = loss_and_gradients(ours, z1, z2, 0.5)
    native.module().set_isa("baseline")
    for actual, other in zip(found, loss_and_gradients(ours, z1, z2, 0.5), strict=True):
        assert torch.equal(actual.isnan(), other.isnan())


def test_the_bits_do_not_depend_on_the_threads(unit):
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, *(SIZES[torch.float32] if unit != "amx-emulated" else (95, 49)))
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(loss_and_gradients(ours, z1, z2, 0.1))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_other_users_of_the_tiles(unit):
    """torch's bfloat16 products set tiles of their own between our calls, in our threads too."""
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 203, 70).bfloat16()
    a, b = torch.randn(2, 256, 256).bfloat16()
    alone, product = ours(z1, z2, 0.1), a @ b
    wrong = []

    def both() -> None:
        for _ in range(5):
            if not torch.equal(ours(z1, z2, 0.1), alone) or not torch.equal(a @ b, product):
                wrong.append(1)

    threads = [threading.Thread(target=both) for _ in range(3)]
    for thread in threads:
        thread.start()
    both()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_a_fork(unit):
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 203, 70).bfloat16()
    expected = ours(z1, z2, 0.1).item()
    child = os.fork()
    if child == 0:  # as in a DataLoader's worker: one thread
        torch.set_num_threads(1)
        os._exit(0 if ours(z1, z2, 0.1).item() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_set_that_can_not_run_says_why():
    for name in native.module().isas():
        if why := native.module().why_not_isa(name):
            with pytest.raises(ValueError, match="TSSSL_CPU_ISA") as raised:
                native.module().set_isa(name)
            assert why in str(raised.value)
    native.module().set_isa("")
    assert native.module().why_not_isa("sse9") == "not compiled in"


def test_the_object_has_the_instruction():
    tool = shutil.which("objdump")
    if tool is None:
        pytest.skip("no objdump")
    if "amx" not in native.module().isas():
        pytest.skip("compiled without AMX")
    command = [tool, "-d", "--no-show-raw-insn", native.module().__file__]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "tdpbf16ps" in text


# Options of `contrastive_loss` for m queries and p keys.
OPTIONS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "groups": lambda m, p: {"q_groups": torch.arange(m) % 5, "k_groups": torch.arange(p) % 5},
    "pair_mask": lambda m, p: {"pair_mask": torch.rand(m, p) > 0.2},
    "pair_weight": lambda m, p: {"pair_weight": torch.rand(m, p)},
    "valid": lambda m, p: {"q_valid": torch.rand(m) > 0.1, "k_valid": torch.rand(p) > 0.1},
    "symmetric": lambda m, p: {"symmetric": True},
    "normalize": lambda m, p: {"normalize": False},
    "temperature": lambda m, p: {"temperature": 0.02},
}


@pytest.mark.parametrize("names", list(itertools.combinations(OPTIONS, 2)), ids="-".join)
def test_options_with_each_other(unit, names):
    """Without normalisation rows are up to 2^13 apart in size."""
    results: list[list[tuple[Tensor, ...]]] = [[], [], []]
    for seed in range(3):
        torch.manual_seed(seed)
        m, p, dim = (600, 591, 390) if unit != "amx-emulated" else (45, 39, 33)
        q, k = torch.randn(m, dim), torch.randn(p, dim)
        if "normalize" in names:
            q, k = q * torch.exp2(torch.randint(-7, 7, (m, 1)).float()) / dim, k / 5
        options = {"q_ids": torch.arange(m) % 37, "k_ids": torch.arange(p) % 37, "temperature": 0.2}
        for name in names:
            options.update(OPTIONS[name](m, p))

        def loss(q: Tensor, k: Tensor, backend: str, options: dict[str, Any] = options) -> Tensor:
            return functional.contrastive_loss(q, k, backend=backend, **options)

        found = loss_and_gradients(loss, q, k, "cpp")
        plain = loss_and_gradients(loss, q, k, "reference")
        if "pair_weight" in names:
            options["pair_weight"] = options["pair_weight"].double()
        truth = loss_and_gradients(loss, q.double(), k.double(), "reference")
        for list_of, *result in zip(results, found, truth, plain, strict=True):
            list_of.append(tuple(result))
    for what, draws in zip(("loss", "gradient of q", "gradient of k"), results, strict=True):
        accept(what, draws, 2)
