"""AC/DC inside Lightning: attach where the optimizer is made, keep the sparsifier's state in the checkpoint."""

import lightning
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import tamis
from tamis.data import load_data, normalise


class Digits(lightning.LightningModule):
    """A multilayer perceptron on 8x8 digits."""

    def __init__(self, total_steps):
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        self.sparsifier = tamis.ACDC(sparsity=0.9, total_steps=total_steps)

    def training_step(self, batch, index):
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        self.sparsifier.attach(self, optimizer)  # resuming, this takes the state that on_load_checkpoint left
        return optimizer

    def on_save_checkpoint(self, checkpoint):
        checkpoint["sparsifier"] = self.sparsifier.state_dict()

    def on_load_checkpoint(self, checkpoint):
        self.sparsifier.load_state_dict(checkpoint["sparsifier"])


def loader():
    """The training digits in a fixed order, 23 batches."""
    data = load_data("digits")
    images = normalise(data.train_x, data.mean, data.std)
    return DataLoader(TensorDataset(images, data.train_y), batch_size=64, drop_last=False)


def trainer(epochs, folder):
    """A quiet trainer on the CPU."""
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


if __name__ == "__main__":
    batches = loader()
    model = Digits(total_steps=10 * len(batches))
    trainer(10, "lightning_run").fit(model, batches)
    dense, sparse = model.sparsifier.pair()
    model.sparsifier.finalize()
    print(f"{model.sparsifier.report()['sparsity']:.3f} of the weights are zero")
