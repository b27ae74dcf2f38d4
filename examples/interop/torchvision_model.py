"""A torchvision network: prune it, pack it, and check that it computes what it did."""

import copy

import torch
from torchvision.models import resnet18

import tamis

torch.manual_seed(0)
model = resnet18(num_classes=10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
sparsifier = tamis.OneShot(sparsity=0.9, exclude=("conv1", "fc")).attach(model, optimizer)
for _ in range(2):  # your loop, unchanged
    images, labels = torch.randn(4, 3, 64, 64), torch.randint(10, (4,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
model = sparsifier.finalize().eval()

packed = tamis.sparsify(copy.deepcopy(model))  # also fuses norms, shortcuts and activations
images = torch.randn(4, 3, 64, 64)
with torch.no_grad():
    difference = (packed(images) - model(images)).abs().max() / model(images).abs().max()
print(packed.layer1[0])
print(f"largest difference of the packed network: {difference:.1e} of the largest output")
assert difference < 1e-4
