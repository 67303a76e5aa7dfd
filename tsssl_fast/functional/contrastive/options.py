"""What the contrastive losses share, for their types."""

from typing import TypedDict

from tsssl_fast.functional.contrastive.problem import Temperature


class Options(TypedDict, total=False):
    """Keywords of every contrastive loss beside `return_stats`, which decides its result's type."""

    temperature: Temperature
    normalize: bool
    reduction: str
    backend: str | None
