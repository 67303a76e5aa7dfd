"""SupContrast's loss (HobbitLong/SupContrast, losses.py).

Where the results differ from its code, on purpose:

* A row without a positive (one view, a class of one) contributes 0 to the mean, as in the code's
  last version: one view of rows (1, 0), (1, 0), (0, 1) with labels 0, 0, 1, both temperatures 1,
  gives 0.208841, there nan in earlier versions.
"""

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import mean_log_loss, rows_against

__all__ = ["SupConLoss"]


class SupConLoss(DeclaredModule):
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, eq. 2) of several views, times
    temperature / base_temperature, the mean over all rows that are anchors. Dot products: features
    are taken as they are.

    Args:
        temperature, base_temperature: > 0.
        contrast_mode: "all": every view is an anchor; "one": the first alone.

    forward(features, labels=None, mask=None): (N, V, ...), flattened from dimension 2 on; (N,)
    integers, or (N, N) with mask[i, j] > 0, a weight, where sample j is a positive of sample i;
    neither: the views of one sample are (SimCLR) -> scalar; float32 for 16-bit features. Raises
    ValueError for another shape or mode, or labels and mask at once.
    """

    temperature: float = 0.07
    contrast_mode: str = "all"
    base_temperature: float = 0.07

    def forward(
        self, features: Tensor, labels: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        checks.choice("contrast_mode", self.contrast_mode, ("one", "all"))
        if features.dim() < 3:
            raise ValueError(f"features: shape {tuple(features.shape)}; accepted: (N, V, ...)")
        if labels is not None and mask is not None:
            raise ValueError("labels, mask: both given; accepted: one of them")
        count, views = features.shape[:2]
        keys = features.flatten(2).transpose(0, 1).flatten(0, 1)
        dtype = torch.promote_types(keys.dtype, torch.float32)
        if _loses_digits(keys, self.temperature):
            keys = keys.double()
        anchors = count if self.contrast_mode == "one" else len(keys)
        if mask is not None:
            loss = self._masked(keys, anchors, views, mask)
        else:
            if labels is None:
                labels = torch.arange(count, device=keys.device)
            elif labels.numel() != count:
                raise ValueError(f"labels: {labels.numel()} entries; accepted: {count}")
            ids = labels.reshape(-1).to(keys.device).repeat(views)
            alone = anchors == len(keys)
            own = (keys, None, ids) if alone else (keys[:anchors], keys, ids[:anchors])
            found = rows_against(
                *(*own, ids, self.temperature),
                normalize=False,
                skip_diagonal=not alone,
            )
            loss = mean_log_loss(found).mean()
        return (loss * (self.temperature / self.base_temperature)).to(dtype)

    def _masked(self, keys: Tensor, anchors: int, views: int, mask: Tensor) -> Tensor:
        """Soft targets: each row of the mask over its sum."""
        count = len(keys) // views
        if tuple(mask.shape) != (count, count):
            raise ValueError(f"mask: shape {tuple(mask.shape)}; accepted: ({count}, {count})")
        dtype = torch.promote_types(keys.dtype, torch.float32)
        targets = mask.to(keys.device, dtype).repeat(anchors // count, views)
        apart = torch.ones_like(targets, dtype=torch.bool).fill_diagonal_(False)
        targets = targets * apart
        return functional.contrastive_loss(
            keys[:anchors],
            keys,
            temperature=self.temperature,
            targets=targets / targets.sum(dim=1, keepdim=True).clamp_min(torch.finfo(dtype).tiny),
            pair_mask=apart,
            normalize=False,
        )


def _loses_digits(rows: Tensor, temperature: float) -> bool:
    """Whether logits may be above 64, where a difference of float32's log-sums is off: rows longer
    than unit rows, or temperatures below 1/64. Where values are not known, as in a graph and on a
    GPU, float32 stays: of 64 equal rows with logits of 4000 the loss is then log 63 to 1.2e-4."""
    if not (rows.numel() and checks.values_are_known(rows)):
        return False
    longest = rows.detach().float().square().sum(dim=1).amax()
    return bool(longest > 64 * temperature)
