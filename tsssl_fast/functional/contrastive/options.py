"""What the contrastive losses share, for their types."""

from typing import Literal, TypedDict

from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive.problem import Temperature

Off = Literal[False]
On = Literal[True]


class Options(TypedDict, total=False):
    """Keywords of every contrastive loss beside `return_stats`, which decides its result's type."""

    temperature: Temperature
    normalize: bool
    reduction: str
    precision: str | None
    backend: str | None


class ProcessOptions(Options, total=False):
    """The same of a loss that takes the rows of several processes."""

    process_group: Group
    ddp: bool
