"""
Which weights live
==================

Masks of four patterns on one layer, and the share of live weights per layer under three distributions.
"""

import matplotlib.pyplot as plt
import torch

from tamis.models import create_model
from tamis.nn import prunable_modules
from tamis.sparsity import ERK, NM, Block, FanIn, Global, Uniform, Unstructured, live_counts, select_masks

# %%
# Patterns
# --------
#
# One 32 x 64 weight at a sparsity of one half. Dark is live. All four keep half of the weights; they differ in where.

torch.manual_seed(0)
scores = {"layer": torch.randn(32, 64).abs() * torch.linspace(0.4, 1.6, 64)}
patterns = {"Unstructured()": Unstructured(), "NM(2, 4)": NM(2, 4), "Block(4, 4)": Block(4, 4), "FanIn()": FanIn()}

figure, axes = plt.subplots(2, 2, figsize=(8, 4.6))
for axis, (name, pattern) in zip(axes.flat, patterns.items(), strict=True):
    mask = select_masks(scores, 0.5, Uniform(), pattern)["layer"]
    axis.imshow(mask.numpy(), cmap="Greys", interpolation="nearest")
    axis.set_title(f"{name}: {int(mask.sum())} of {mask.numel()} live", fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
figure.tight_layout()

# %%
# Columns on the right have larger scores. The unstructured mask follows them; 2:4 takes two of every four wherever they
# are; a row of the fan-in mask has the same count as every other row.
#
# Distributions
# -------------
#
# The layers of a freshly initialised ResNet-20 at 95 %. Global pruning follows the initial scale of the layers, ERK
# their shapes, uniform neither.

model = create_model("resnet20", num_classes=10)
weights = {name: layer.weight.detach().abs() for name, layer in prunable_modules(model).items()}
totals = {name: weight.numel() for name, weight in weights.items()}

figure, axis = plt.subplots(figsize=(8, 3.8))
for label, distribution in {"uniform": Uniform(), "ERK": ERK(), "global, floor 0.2": Global(floor=0.2)}.items():
    live = live_counts(select_masks(weights, 0.95, distribution))
    axis.plot([live[name] / totals[name] for name in totals], marker="o", markersize=3, label=label)
    print(f"{label}: {sum(live.values()):,} of {sum(totals.values()):,} weights live")
axis.set_xticks(range(len(totals)), list(totals), rotation=90, fontsize=7)
axis.set_ylabel("share of live weights")
axis.set_yscale("log")
axis.legend(frameon=False)
figure.tight_layout()
