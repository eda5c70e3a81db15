"""The moving average of a network's weights, which is often the better network."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """An exponential moving average of a network's weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    Its first steps count for more than `decay` says, as in TensorFlow's ExponentialMovingAverage: step t keeps at most
    (1 + t) / (10 + t) of the average. Buffers, such as batch normalisation's statistics, are those of the last step.

    Args:
        network: whose weights are averaged.
        decay: how much of the average each step keeps.

    Attributes:
        network: the one with the average weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after a step into the average.

        Args:
            network: the one that is trained.
            step: which of the training's, from 0.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, its in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(its)
