"""The numbers that a network computes with: float32 as it is, or 16 bits where torch.autocast finds them enough."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """How forward and backward passes are computed; weights and their updates are float32 always.

    Attributes:
        name: float32, bf16 or fp16.
        device: where.
        scaler: of the loss, so that fp16's gradients do not become 0 (Micikevicius et al. 2018, arXiv:1710.03740).
    """

    name: str
    device: torch.device
    scaler: GradScaler | None

    @classmethod
    def of(cls, name: str, device: torch.device) -> Precision:
        """The precision of a name."""
        return cls(name, device, GradScaler(device.type) if name == "fp16" else None)

    def autocast(self) -> AbstractContextManager[object]:
        """Within the block operations that bear it have 16 bits."""
        kind = TYPES.get(self.name)
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)

    def descend(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Gradients, and the optimizer's step, which is left out where fp16 gave gradients that are not finite."""
        optimizer.zero_grad()
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(optimizer)
            self.scaler.update()
