"""Where the time of a training step goes: augmentation, encoder, projector, loss, optimizer, rest.

    pretrain(data, config, out, profile=(profile := StepProfile()))
    print(profile.table())

The forward parts are timed where the method calls them. The backward pass runs the same chain the
other way, and its parts are told apart by the moments when the gradient reaches the loss, the
projector's output and then the encoder's. Where a method has its loss as the module `criterion`,
that alone is `loss`, and what it logs and the loop's own work are `rest`; else all of these are
`loss`. On a GPU every mark waits for the device: a profiled run is slower.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.methods.base import Method

PARTS = ("augmentation", "encoder", "projector", "loss", "optimizer", "rest")
HEADS = ("projector", "predictor", "classifier", "momentum_projector")


class StepProfile:
    """Seconds of every part of every step: `seconds[part]` is a list, `seconds["step"]` the sum.

    clock: seconds; `time.process_time` for one thread on a machine that others use, too.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds: dict[str, list[float]] = {name: [] for name in (*PARTS, "step")}
        self.now: dict[str, float] = {}
        self.depth = 0
        self.arrived: dict[str, float] = {}
        self.begun = 0.0

    def attach(self, method: Method) -> None:
        """Takes the time of the parts of `method` from now on."""
        views = getattr(method, "views", None)
        if isinstance(views, nn.Module):
            views.forward = self._timed("augmentation", views.forward)
        elif views is not None:
            setattr(method, "views", self._timed("augmentation", views))  # noqa: B010
        setattr(method, "encode", self._timed("encoder", method.encode, mark=True))  # noqa: B010
        for part, names in (("projector", HEADS), ("loss", ("criterion",))):
            for name in names:
                module = getattr(method, name, None)
                if isinstance(module, nn.Module):
                    module.forward = self._timed(part, module.forward, mark=True)

    def _timed(self, part: str, call: Callable[..., Any], mark: bool = False) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            self.depth += 1
            start = self._clock()
            try:
                result = call(*given, **named)
            finally:
                self.depth -= 1
            if self.depth == 0:
                self.now[part] = self.now.get(part, 0.0) + self._clock() - start
            if mark and isinstance(result, Tensor) and result.requires_grad:
                result.register_hook(lambda _grad: self._arrive(part))
            return result

        return timed

    def _arrive(self, part: str) -> None:
        """The first gradient of a part's output ends what comes before it in the backward pass."""
        self.arrived.setdefault(part, self._clock())

    def _clock(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self.clock()

    def begin(self) -> None:
        """Before a batch is gathered; from here to `step` counts as rest."""
        self.begun = self._clock()

    def step(
        self,
        forward: Callable[[], Any],
        backward: Callable[[Any], None],
        update: Callable[[], None],
    ) -> Any:
        """Runs one step in three parts and books their time; returns what `forward` did."""
        self.now, self.arrived = {}, {}
        start = self._clock()
        result = forward()
        forwarded = self._clock()
        inside = sum(self.now.values())
        backward(result)
        done = self._clock()
        update()
        end = self._clock()
        head = self.arrived.get("projector", self.arrived.get("encoder", done))
        features = self.arrived.get("encoder", done)
        # Between the parts: what the method and the loop do around them.
        between = forwarded - start - inside
        descent = self.arrived.get("loss", forwarded)
        loss = self.now.get("loss", between) + min(head, features) - descent
        around = between + descent - forwarded if "loss" in self.now else 0.0
        parts = {
            "augmentation": self.now.get("augmentation", 0.0),
            "encoder": self.now.get("encoder", 0.0) + done - features,
            "projector": self.now.get("projector", 0.0) + max(0.0, features - head),
            "loss": loss,
            "optimizer": end - done,
            "rest": start - self.begun + around,
            "step": end - self.begun,
        }
        for name, seconds in parts.items():
            self.seconds[name].append(seconds)
        return result

    def medians(self) -> dict[str, float]:
        """Median milliseconds of every part and of the step."""
        return {k: 1e3 * statistics.median(v) if v else 0.0 for k, v in self.seconds.items()}

    def table(self) -> str:
        """Milliseconds and shares of the parts, medians over the steps."""
        medians = self.medians()
        whole = medians["step"] or 1.0
        rows = [f"{'part':<13} {'ms':>9} {'share':>7}"]
        rows += [f"{n:<13} {medians[n]:>9.2f} {medians[n] / whole:>7.1%}" for n in (*PARTS, "step")]
        return "\n".join(rows) + f"\n(medians of {len(self.seconds['step'])} steps)"
