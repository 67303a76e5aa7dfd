"""Modules whose arguments are a frozen object inside: `Jitter(0.1).config`.

A class declares its arguments as annotated attributes, as a dataclass does. An instance keeps them
in `config`, a frozen dataclass that compares, hashes and prints by its values; the module itself
compares and hashes by identity, as every torch.nn.Module does.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, get_args, get_origin

from torch import nn
from typing_extensions import dataclass_transform

from tsssl_fast.common.checks import Check


@dataclasses.dataclass(frozen=True)
class Configuration:
    """The arguments that a module was built from."""


def _fields(cls: type) -> tuple[list[Any], dict[str, Check]]:
    """(name, type) or (name, type, default) of every argument of a class, and their checks."""
    fields: list[Any] = []
    checks = {}
    for name, kind in inspect.get_annotations(cls).items():
        if kind is ClassVar or get_origin(kind) is ClassVar:
            continue
        if get_origin(kind) is Annotated:
            kind, checks[name] = get_args(kind)
        fields.append((name, kind, *([cls.__dict__[name]] if name in cls.__dict__ else [])))
    return fields, checks


def _argument(name: str) -> property:
    # torch.compile follows a function, not an operator.attrgetter.
    def value(self: "Configured") -> Any:
        return getattr(self.config, name)

    return property(value, doc=f"The argument {name}.")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
class Configured(nn.Module):
    """A module that is built from the annotated attributes of its class, and never changes.

    It has no parameter and no buffer: `.half()`, `.to()` and `.cuda()` change nothing, and
    `state_dict()` is empty.

    renamed: arguments that had another name in 0.1, with what to write now. checks: of the
    arguments, which stand beside their types (`Annotated`); None is right where it is the default.
    """

    config: Configuration
    Config: ClassVar[type[Configuration]] = Configuration
    renamed: ClassVar[Mapping[str, str]] = {}
    checks: ClassVar[Mapping[str, Check]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields, checks = _fields(cls)
        cls.checks = {**cls.checks, **checks}
        config = dataclasses.make_dataclass("Config", fields, bases=(cls.Config,), frozen=True)
        config.__module__, config.__qualname__ = cls.__module__, f"{cls.__qualname__}.Config"
        vars(config)["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"  # in errors
        config.__doc__ = f"The arguments of {cls.__qualname__}."
        cls.Config = config
        setattr(cls, "__signature__", inspect.signature(config))  # noqa: B010
        for name, *_ in fields:
            setattr(cls, name, _argument(name))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        for old, new in self.renamed.items():
            if old in kwargs:
                raise TypeError(f"{old}: not an argument of {type(self).__name__}; accepted: {new}")
        self.config = self.Config(*args, **kwargs)
        self.check()

    def check(self) -> None:
        """Raises TypeError or ValueError for an argument out of its range."""
        for field in dataclasses.fields(self.config):
            value = getattr(self.config, field.name)
            if field.name in self.checks and not (value is None and field.default is None):
                self.checks[field.name](field.name, value)

    def canonical(self, **values: Any) -> None:
        """Other values for arguments, in their canonical form; for `check` alone."""
        self.config = dataclasses.replace(self.config, **values)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).renamed:
            raise AttributeError(
                f"{name}: not an attribute of {type(self).__name__}; accepted: {self.renamed[name]}"
            )
        return super().__getattr__(name)

    def __repr__(self) -> str:
        fields = sorted(dataclasses.fields(self.config), key=lambda field: bool(field.kw_only))
        given = [f"{field.name}={getattr(self.config, field.name)!r}" for field in fields]
        return f"{type(self).__name__}({', '.join(given)})"
