"""The plain PyTorch loop that a sweep's numbers can be held against: no raysweep in it.

`raysweep.vision:train` with `{"shuffle": false}` reports the same loss and accuracy, to 1e-5, with as many threads:
run this with OMP_NUM_THREADS=1 to compare it with trials of one CPU, since sums depend on how they are split.
"""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

images, labels = load_digits(return_X_y=True)  # 1,797 digits of 8x8, of which 1,500 are trained on
train, _ = train_test_split(np.arange(len(labels)), test_size=297, stratify=labels, random_state=0)
small = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)[train]
data = torch.utils.data.TensorDataset(F.interpolate(small, (28, 28), mode="bilinear"), torch.tensor(labels)[train])

torch.manual_seed(0)
network = nn.Sequential(
    *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(192, 120), nn.ReLU(), nn.Linear(120, 60), nn.ReLU(), nn.Linear(60, 10)),
)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
loader = torch.utils.data.DataLoader(data, batch_size=100, shuffle=False)

for epoch in range(1, 6):
    total_loss, correct = 0.0, 0
    for batch, targets in loader:
        scores = network(batch)
        loss = F.cross_entropy(scores, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimizer.step()
        total_loss += loss.item() * len(targets)
        correct += int((scores.argmax(dim=1) == targets).sum())
    print(f"epoch={epoch}  loss={total_loss / len(data):.7f}  accuracy={correct / len(data):.7f}")
