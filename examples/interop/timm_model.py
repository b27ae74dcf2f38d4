"""A vision transformer of timm: prune its linear layers, pack it, and check that it computes what it did."""

import copy

import timm
import torch

import tamis

torch.manual_seed(0)
model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=10)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
sparsifier = tamis.OneShot(sparsity=0.9, include="blocks.*").attach(model, optimizer)
for _ in range(2):  # your loop, unchanged
    images, labels = torch.randn(4, 3, 64, 64), torch.randint(10, (4,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
model = sparsifier.finalize().eval()

packed = tamis.sparsify(copy.deepcopy(model))
images = torch.randn(4, 3, 64, 64)
with torch.no_grad():
    difference = (packed(images) - model(images)).abs().max() / model(images).abs().max()
print(packed.blocks[0].mlp)
print(f"largest difference of the packed network: {difference:.1e} of the largest output")
assert difference < 1e-4
