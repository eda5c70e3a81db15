"""Loops with Hugging Face accelerate, as trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.integrations.loop import Loop as AnyLoop

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE = "accelerate"  # the folder that holds what accelerate saves


class Loop(AnyLoop):
    """Keeps the books of a loop with accelerate.

        loop = Loop(accelerator)
        for epoch in loop.epochs(config["epochs"]):
            for inputs, targets in loader:
                ...
            loop.metrics(loss=loss)

    After each epoch `accelerator.save_state` saves all that was prepared, and the random states, in the folder
    `accelerate` of the trial's checkpoint.

    Args:
        accelerator: one that has prepared the network, the optimizer and the loaders.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__()
        self._accelerator = accelerator

    def _save(self, folder: Path) -> None:
        from accelerate.utils import broadcast_object_list

        [place] = broadcast_object_list([str(folder)])  # all processes save into rank 0's, which reports it
        self._accelerator.save_state(str(Path(place, STATE)))
        self._accelerator.wait_for_everyone()

    def _restore(self, folder: Path) -> None:
        self._accelerator.load_state(str(folder / STATE))
