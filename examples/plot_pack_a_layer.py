"""
Pack a layer and time it
========================

One convolution, packed at several sparsities, against the same layer dense. Forward and backward with both gradients.

The numbers are those of the machine that built this page, and it may have been busy. Run the script on yours.
"""

import copy

import matplotlib.pyplot as plt
import torch
from torch import nn

from tamis.bench import contest
from tamis.kernels import choices, isa
from tamis.nn import pack_module

torch.set_num_threads(1)
torch.manual_seed(0)

# %%
# A packed layer stores only its live weights. The parameter object stays, its data shrink.

dense = nn.Conv2d(64, 64, 3, padding=1, bias=False)
packed = copy.deepcopy(dense)
pattern = pack_module(packed, torch.rand(packed.weight.shape) >= 0.9)
print(packed)
print(f"{dense.weight.numel():,} weights dense, {packed.weight.numel():,} packed")

# %%
# Both give the same output as a dense layer with the zeros written out, up to rounding.

masked = copy.deepcopy(dense)
masked.weight.data *= pattern.mask()
images = torch.randn(16, 64, 16, 16)
with torch.no_grad():
    difference = (packed(images) - masked(images)).abs().max() / masked(images).abs().max()
print(f"largest relative difference: {float(difference):.1e}")

# %%
# Now the time. Contestants take turns, so that a disturbance hits all of them; medians of CPU time are compared. The
# first calls of a packed layer measure dense against sparse and remember the faster: they are part of the warm-up.

images.requires_grad_()
sparsities = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
layers = {}
for sparsity in sparsities:
    layers[sparsity] = copy.deepcopy(dense)
    pack_module(layers[sparsity], torch.rand(dense.weight.shape) >= sparsity)


def step(layer):
    """Forward and backward of one layer."""
    return lambda: layer(images).sum().backward()


times = contest({"dense": step(dense), **{s: step(layer) for s, layer in layers.items()}}, repeats=7)
speedups = [times["dense"].cpu_ms / times[sparsity].cpu_ms for sparsity in sparsities]
for sparsity, speedup in zip(sparsities, speedups, strict=True):
    print(f"{sparsity:.0%} zeros: {times[sparsity].cpu_ms:.2f} ms, {speedup:.2f} x dense")

# %%
# Where dense is faster, the packed layer runs dense and gains nothing (it pays a little for unpacking).

figure, axis = plt.subplots(figsize=(7, 4))
axis.plot([f"{s:.0%}" for s in sparsities], speedups, marker="o")
axis.axhline(1, color="grey", linewidth=1)
axis.set_xlabel("weights that are zero")
axis.set_ylabel("speed-up over dense")
axis.set_title(f"Conv2d 64 to 64, 3x3, 16x16 pixels, batch 16, {isa()}", fontsize=11)
axis.set_ylim(bottom=0)
figure.tight_layout()

# %%
# What was decided, per direction:

for row in choices.table():
    if "w64x64x3x3" in row["key"]:
        print(row["key"].rpartition("/")[2], row["direction"], row["use"])
