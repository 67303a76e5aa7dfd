"""Modules that declare their settings once."""

import dataclasses
import inspect
from typing import Annotated, Any, ClassVar, get_args, get_origin

from torch import Tensor, nn
from typing_extensions import dataclass_transform

from tsssl_fast.common.checks import Check


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
class DeclaredModule(nn.Module):
    """A module whose settings are the annotated attributes of its class, as of a dataclass: the
    arguments of its construction, attributes that may be set, and what `repr` shows. A check stands
    beside a type (`Annotated`). A class that has or inherits a written `__init__` declares
    nothing."""

    settings: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[dict[str, Check]] = {}

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        super().__init_subclass__()
        made_by = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if made_by is not nn.Module and "__dataclass_fields__" not in vars(made_by):
            return
        hints = inspect.get_annotations(cls)
        checked = {n: get_args(hint) for n, hint in hints.items() if get_origin(hint) is Annotated}
        cls.limits = {**cls.limits, **{name: check for name, (_, check) in checked.items()}}
        cls.__annotations__ = hints | {name: kind for name, (kind, _) in checked.items()}
        dataclasses.dataclass(kw_only=kw_only, eq=False, repr=False)(cls)
        fields: Any = dataclasses.fields(cls)  # type: ignore[arg-type]
        cls.settings = tuple(field.name for field in fields if field.init)
        for name in cls.settings:
            if name in vars(cls):  # the default, which would hide what `__getattr__` finds
                delattr(cls, name)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        module = super().__new__(cls)
        nn.Module.__init__(module)  # before the settings, which may be modules
        return module

    def __post_init__(self) -> None:
        for name, check in self.limits.items():
            check(name, getattr(self, name))

    def extra_repr(self) -> str:
        shown = []
        for name in self.settings:
            value = getattr(self, name)
            if isinstance(value, Tensor) and value.dim() == 0:
                value = float(f"{value.item():.6g}")
            if name != "backend" and not callable(value):
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)
