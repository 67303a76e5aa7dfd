"""The losses as modules, with the names that the field uses."""

from torch import Tensor, nn

from tsssl_fast import _checks, functional

__all__ = ["NTXentLoss"]


class NTXentLoss(nn.Module):
    """NT-Xent of two views; see :func:`tsssl_fast.functional.nt_xent`.

    Args:
        temperature: tau > 0.
        reduction: "mean", "sum" or "none".
        backend: None chooses; a name never falls back.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,) for reduction="none".
    """

    def __init__(
        self, temperature: float = 0.1, reduction: str = "mean", *, backend: str | None = None
    ) -> None:
        super().__init__()
        self.temperature = _checks.positive("temperature", temperature)
        _checks.choice("reduction", reduction, _checks.REDUCTIONS)
        self.reduction = reduction
        self.backend = backend

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return functional.nt_xent(z1, z2, self.temperature, self.reduction, backend=self.backend)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, reduction={self.reduction!r}"
