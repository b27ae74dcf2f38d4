"""
AC/DC in your own loop
======================

Two lines adopt AC/DC in a plain training loop on scikit-learn's digits. The figure shows accuracy and zeros over the
run.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import tamis
from tamis.data import batches, load_data, normalise

torch.manual_seed(0)
data = load_data("digits")
test_images = normalise(data.test_x, data.mean, data.std)
model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(),
    nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(),
    nn.Linear(256, 10),
)  # fmt: skip
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
generator = torch.Generator().manual_seed(0)
epochs, steps_per_epoch = 40, len(batches(data, 64, generator))
total = epochs * steps_per_epoch
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)

# %%
# These are the two lines. A callback looks at the model at the end of each phase, just before the masks change.

sparsifier = tamis.ACDC(sparsity=0.95, total_steps=total)
sparsifier.attach(model, optimizer)

steps, accuracies, zeros = [], [], []


def look(_=None):
    """Held-out accuracy and the share of exact zeros, now."""
    model.eval()
    with torch.no_grad():
        accuracies.append(float((model(test_images).argmax(1) == data.test_y).float().mean()))
    model.train()
    weights = [value for key, value in model.state_dict().items() if key in ("1.weight", "4.weight", "7.weight")]
    zeros.append(sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights))
    steps.append(sparsifier.step)


sparsifier.before_change(look)
for _ in range(epochs):
    for images, labels in batches(data, 64, generator):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        scheduler.step()
        if sparsifier.step % steps_per_epoch == 0 and sparsifier.step not in steps:
            look()

# %%
# Dense phases are white, sparse ones shaded. Entering a dense phase, pruned weights come back as zeros and begin to
# train.

figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5), sharex=True)
for axis in (top, bottom):
    for phase in sparsifier.phases:
        if phase.kind == "sparse":
            axis.axvspan(phase.start, phase.end, color="#3b7ea1", alpha=0.15, linewidth=0)
top.plot(steps, accuracies, marker="o", markersize=3)
top.set_ylabel("held-out accuracy")
top.set_ylim(min(0.9, *accuracies[2:]), 1.0)
bottom.plot(steps, zeros, marker="o", markersize=3, color="#c98b2b")
bottom.set_ylabel("share of exact zeros")
bottom.set_xlabel("optimizer steps")
figure.tight_layout()

# %%
# One run, two models. The dense one is the end of the last dense phase.

dense, sparse = pair = sparsifier.pair()
for name, network in (("dense", dense), ("sparse", sparse)):
    network.eval()
    with torch.no_grad():
        accuracy = float((network(test_images).argmax(1) == data.test_y).float().mean())
    print(f"{name}: {accuracy:.4f} on {len(data.test_y)} held-out images")
print(pair.metrics(test_images))
for row in sparsifier.report()["layers"]:
    print(f"{row['name']}: {row['live']} of {row['total']} weights live")

# %%
# How masks change from one sparse phase to the next.

for event in sparsifier.events:
    if event["event"] == "compress" and event["iou"] is not None:
        change, iou = event["mask_change_percent"], event["iou"]
        print(f"step {event['step']}: {change:.2f} % of the weights exchanged, IoU {iou:.3f}")
