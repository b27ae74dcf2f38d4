"""A packed model as a folder for the Hugging Face Hub, and back."""

import tempfile

import torch

import tamis
from tamis.interop import load_folder, save_folder
from tamis.models import create_model

architecture = {"name": "resnet8_digits", "num_classes": 10, "in_channels": 1}
model = create_model(**architecture)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model = tamis.OneShot(sparsity=0.9).attach(model, optimizer).finalize().eval()

with tempfile.TemporaryDirectory() as folder:
    save_folder(model, folder, architecture=architecture, method="oneshot", licence="apache-2.0")
    # push_to_hub(folder, "you/digits-sparse") uploads it; load_from_hub("you/digits-sparse") is the other end
    again, header = load_folder(folder)

images = torch.randn(2, 1, 8, 8)
assert torch.equal(again(images), model(images))
tamis.sparsify(again)
print(header["method"], tuple(again(images).shape))
