"""A Lightning Trainer, watched by one callback: scikit-learn's digits, a few hundred of them."""

import lightning.pytorch as lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from grokscope.integrations.lightning import GrokscopeCallback

digits = load_digits()
images, answers = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        logits = self(batch[0])
        self.log("val_loss", F.cross_entropy(logits, batch[1]))
        self.log("val_acc", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3, weight_decay=0.1)


def loader(rows):
    return DataLoader(TensorDataset(images[rows], answers[rows]), batch_size=50)


callback = GrokscopeCallback(folder="runs/watched-lightning")
trainer = lightning.Trainer(
    max_epochs=10,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[callback],
)
trainer.fit(Digits(), loader(slice(0, 300)), loader(slice(300, 1300)))  # prints the advice when it ends
print("page:", callback.monitor.report("runs/watched-lightning.html"))
