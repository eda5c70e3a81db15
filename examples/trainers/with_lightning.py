"""A LightningModule, swept: raysweep run examples/trainers/with_lightning.json"""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from raysweep.integrations.lightning import TrialCallback


class Digits(LightningModule):
    def __init__(self, hidden, lr):
        super().__init__()
        self.lr = lr
        self.network = torch.nn.Sequential(
            torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(hidden, 10)
        )

    def training_step(self, batch):
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("val_loss", F.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def train(config):
    values, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(values / 16, dtype=torch.float32), torch.tensor(labels))
    training, validation = (torch.utils.data.Subset(data, part) for part in (range(1500), range(1500, 1797)))
    callback = TrialCallback()
    trainer = Trainer(max_epochs=config["epochs"], callbacks=[callback], logger=False, enable_progress_bar=False)
    loaders = DataLoader(training, 100, shuffle=True), DataLoader(validation, 297)
    trainer.fit(Digits(config["hidden"], config["lr"]), *loaders, ckpt_path=callback.checkpoint)
