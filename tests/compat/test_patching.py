"""compat.patch on a tree of modules that stands in for a library."""

import importlib
import logging
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from torch import nn

from tsssl_fast import compat


def module(name: str, **names: object) -> ModuleType:
    found = ModuleType(name)
    found.__path__ = []  # type: ignore[attr-defined]
    vars(found).update(names)
    return found


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """lightly.loss with the classes of its modules re-exported, DCLWLoss below DCLLoss and
    DirectCLRLoss below NTXentLoss as there, and a script that imported some by name."""
    dcl, nt_xent = "lightly.loss.dcl_loss", "lightly.loss.ntx_ent_loss"
    bank = "lightly.models.modules.memory_bank"

    def made(name: str, where: str, base: type = nn.Module) -> type:
        return type(name, (base,), {"__module__": where})

    def negative_mises_fisher_weights() -> None: ...

    negative_mises_fisher_weights.__module__ = dcl
    losses = {"NTXentLoss": made("NTXentLoss", nt_xent), "DCLLoss": made("DCLLoss", dcl)}
    losses["DCLWLoss"] = made("DCLWLoss", dcl, losses["DCLLoss"])
    losses["DirectCLRLoss"] = made(
        "DirectCLRLoss", "lightly.loss.directclr_loss", losses["NTXentLoss"]
    )
    losses["OtherLoss"] = made("OtherLoss", "lightly.loss.other_loss")
    tree = {
        "lightly": {},
        "lightly.loss": losses,
        nt_xent: {"NTXentLoss": losses["NTXentLoss"]},
        dcl: {
            **{name: losses[name] for name in ("DCLLoss", "DCLWLoss")},
            "negative_mises_fisher_weights": negative_mises_fisher_weights,
        },
        "lightly.loss.directclr_loss": {
            name: losses[name] for name in ("DirectCLRLoss", "NTXentLoss")
        },
        "lightly.loss.other_loss": {"OtherLoss": losses["OtherLoss"], "SupConLoss": nn.Linear},
        "lightly.loss.memory_bank": {
            "MemoryBankModule": made("MemoryBankModule", "lightly.loss.memory_bank")
        },
        "lightly.models": {},
        "lightly.models.modules": {},
        bank: {"MemoryBankModule": made("MemoryBankModule", bank)},
        "script": {
            "Loss": losses["NTXentLoss"],
            "Other": losses["OtherLoss"],
            "table": [losses["NTXentLoss"]],
        },
    }
    for name, names in tree.items():
        monkeypatch.setitem(sys.modules, name, module(name, **names))
    yield sys.modules["script"]
    compat.unpatch("lightly")


def test_every_name_is_swapped_and_restored(library: ModuleType) -> None:
    before, other = library.Loss, library.Other
    names = compat.patch("lightly")
    assert set(names) == {
        *(f"lightly.loss.{name}" for name in ("NTXentLoss", "DCLLoss", "DCLWLoss")),
        "lightly.loss.DirectCLRLoss",
        "lightly.loss.dcl_loss.DCLWLoss",
        "lightly.loss.dcl_loss.negative_mises_fisher_weights",
        "lightly.loss.directclr_loss.DirectCLRLoss",
        "lightly.loss.directclr_loss.NTXentLoss",
        "lightly.loss.memory_bank.MemoryBankModule",
        "lightly.models.modules.memory_bank.MemoryBankModule",
        "script.Loss",
    }
    assert library.table == [before]
    assert library.Loss is compat.lightly.NTXentLoss
    assert library.Other is other
    bank = importlib.import_module("lightly.models.modules.memory_bank")
    assert bank.MemoryBankModule is compat.lightly.MemoryBankModule
    assert compat.patch("lightly") == []
    compat.unpatch("lightly")
    assert library.Loss is before
    compat.unpatch("lightly")


def test_a_context_restores_after_an_error(library: ModuleType) -> None:
    before = library.Loss
    seen = []
    with pytest.raises(KeyError), compat.patched("lightly"):
        seen.append(library.Loss) or {}["missing"]
    assert seen == [compat.lightly.NTXentLoss]
    assert library.Loss is before
    compat.patch("lightly")
    with compat.patched("lightly") as names:
        assert names == []
    assert library.Loss is compat.lightly.NTXentLoss


def test_what_stays_is_told(library: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    class Mine(library.Loss):  # type: ignore[name-defined, misc]
        pass

    class Below(Mine):
        pass

    made = library.Loss()
    lower = [Below(), Below()]
    with caplog.at_level(logging.INFO, "tsssl_fast"):
        compat.patch("lightly")
    said = caplog.text
    assert "script.Loss" in said
    kept = said[said.index("these stay") :]
    assert "1 instances of NTXentLoss" in kept
    assert f"{len(lower)} instances of {Below.__qualname__}" in kept
    for made_here in (Mine, Below):
        assert f"subclass {made_here.__module__}.{made_here.__qualname__}" in kept
    of_nt_xent = "name lightly.loss.ntx_ent_loss.NTXentLoss (subclasses ask for it there: "
    assert of_nt_xent in kept
    assert "DirectCLRLoss" in kept[kept.index(of_nt_xent) :].split(")")[0]
    assert "name lightly.loss.dcl_loss.DCLLoss (subclasses ask for it there: DCLWLoss)" in kept
    assert "OtherLoss" not in kept
    assert type(made) is not library.Loss
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    compat.patch("lightly")  # told once
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("name", "shared"), [("tsaug", "TimeWarp"), ("torch_audiomentations", "Gain")]
)
def test_augmentations_are_swapped(name: str, shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = type(shared, (), {})
    monkeypatch.setitem(sys.modules, name, module(name, **{shared: theirs}))
    script = module("script", Mine=theirs)
    monkeypatch.setitem(sys.modules, "script", script)
    with compat.patched(name) as names:
        assert {f"{name}.{shared}", "script.Mine"} <= {*names}
        assert script.Mine is getattr(getattr(compat, name), shared)
    assert script.Mine is theirs


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="library: 'torch'"):
        compat.patch("torch")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match="open_clip"):
        compat.patch("open_clip")
