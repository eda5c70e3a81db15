"""A Hydra application; its multirun is the sweep, and the joblib launcher runs jobs side by side.

    python -m benchmarks.contenders.hydra_joblib --multirun hydra/launcher=joblib hydra.launcher.n_jobs=2 \
        settings=settings.json lr=0.01,0.001 batch_size=100,1000 shuffle=true,false
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from torch.utils.tensorboard import SummaryWriter

from benchmarks.contenders.fashion import POINTS, Settings, fit, made


@dataclass
class Config:
    """What can be set on the command line."""

    settings: str = ""
    lr: float = 0.01
    batch_size: int = 100
    shuffle: bool = True


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")  # type: ignore[untyped-decorator]  # Hydra is not typed
def main(given: Config) -> None:
    """Train one point."""
    torch.set_num_threads(1)
    folder = Path(HydraConfig.get().runtime.output_dir)
    settings = Settings.read(given.settings)
    config: dict[str, Any] = {"lr": given.lr, "batch_size": given.batch_size, "shuffle": given.shuffle}
    network, optimizer = made(config)
    with SummaryWriter(str(folder)) as writer:
        for epoch, metrics in fit(config, settings, network, optimizer):
            for name, value in metrics.items():
                writer.add_scalar(name, value, epoch)
    (folder / POINTS).write_text(json.dumps([{**config, **metrics}]))


if __name__ == "__main__":
    main()
