"""Features of a frozen encoder: what it returns, or what all its stages say."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from tsssl_fast.common import checks

__all__ = ["POOLINGS", "features", "stages"]

POOLINGS = ("final", "stages", "stages+thirds", "input+stages")


def features(
    encoder: nn.Module,
    x: Tensor,
    batch_size: int = 512,
    pooling: str = "final",
    bf16: bool = False,
) -> Tensor:
    """(N, C, T) -> (N, F) float32: the encoder in evaluation mode, without gradient.

    The encoder's mode is restored afterwards. x is moved to the encoder's device, batch by batch.

    Args:
        pooling: "final": the encoder's output; "stages": before it, the mean and maximum over
            time of what every stage but the last returns; "stages+thirds": also the means over the
            three thirds of time of what every stage returns, for series whose order of events
            matters; "input+stages": before "stages", the mean, standard deviation, minimum and
            maximum over time of the series themselves. A stage is an entry of the encoder's
            `stages`, or a child of its only `nn.Sequential` of composite modules that return (N,
            channels, ..., time).
        bf16: run the encoder under autocast to bfloat16, as training may.

    Raises TypeError, ValueError for x of another kind or shape, or an unknown pooling.
    """
    checks.floating("x", x)
    checks.choice("pooling", pooling, POOLINGS)
    if x.dim() != 3 or len(x) == 0:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with N >= 1")
    device = next((p.device for p in encoder.parameters()), x.device)
    training = encoder.training
    encoder.eval()
    seen: list[Tensor] = []
    parts_of = () if pooling == "final" else stages(encoder)
    hooks = [
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(output.flatten(2)))
        for stage in parts_of
    ]
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            parts = []
            for part in x.split(batch_size):
                seen.clear()
                h = encoder(part.to(device))
                levels = [_statistics(part).to(device)] if pooling == "input+stages" else []
                if pooling == "stages+thirds":
                    levels += [_thirds(y) for y in seen]
                levels += [_pool(y) for y in seen[:-1]]
                parts.append(torch.cat([*levels, h], dim=1).float().cpu())
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()
    return torch.cat(parts)


def stages(encoder: nn.Module) -> Sequence[nn.Module]:
    """The parts of an encoder one after another, as far as they can be told."""
    named = getattr(encoder, "stages", None)
    if named is not None:
        return list(named)
    chains = [
        child
        for child in encoder.children()
        if isinstance(child, nn.Sequential) and all(list(part.children()) for part in child)
    ]
    return list(chains[0]) if len(chains) == 1 else []


def _pool(h: Tensor) -> Tensor:
    return torch.cat([h.mean(-1), h.amax(-1)], dim=1)


def _thirds(h: Tensor) -> Tensor:
    return adaptive_avg_pool1d(h, 3).flatten(1)


def _statistics(x: Tensor) -> Tensor:
    return torch.cat([x.mean(-1), x.std(-1, correction=0), x.amin(-1), x.amax(-1)], dim=1)
