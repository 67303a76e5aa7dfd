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
    """lightly.loss with a class of its own, re-exported, and a script that imported it by name."""

    class NTXentLoss(nn.Module):
        pass

    class OtherLoss(nn.Module):
        pass

    class MemoryBankModule(nn.Module):
        pass

    tree = {
        "lightly": module("lightly"),
        "lightly.loss.ntx_ent_loss": module("lightly.loss.ntx_ent_loss", NTXentLoss=NTXentLoss),
        "lightly.loss": module("lightly.loss", NTXentLoss=NTXentLoss, OtherLoss=OtherLoss),
        "lightly.models": module("lightly.models"),
        "lightly.models.modules": module("lightly.models.modules"),
        "lightly.models.modules.memory_bank": module(
            "lightly.models.modules.memory_bank", MemoryBankModule=MemoryBankModule
        ),
        "script": module("script", Loss=NTXentLoss, Other=OtherLoss),
    }
    for name, made in tree.items():
        monkeypatch.setitem(sys.modules, name, made)
    yield tree["script"]
    compat.unpatch("lightly")


def test_every_name_is_swapped_and_restored(library: ModuleType) -> None:
    before, other = library.Loss, library.Other
    names = compat.patch("lightly")
    assert {"lightly.loss.NTXentLoss", "lightly.loss.ntx_ent_loss.NTXentLoss", "script.Loss"} <= {
        *names
    }
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

    made = library.Loss()
    with caplog.at_level(logging.INFO, "tsssl_fast"):
        compat.patch("lightly")
    said = caplog.text
    assert "script.Loss" in said
    assert "1 instances of" in said
    assert "Mine" in said
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
