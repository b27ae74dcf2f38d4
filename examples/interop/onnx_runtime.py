"""A pruned transformer encoder as an ONNX file, checked against ONNX Runtime for other batches and lengths."""

import tempfile
from pathlib import Path

import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

import tamis
from tamis.train import export_onnx


class Block(nn.Module):
    """Attention whose four projections are layers that can be packed, and two linear layers."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = (
            layer(x).view(batch, length, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Encoder(nn.Module):
    """Tokens of any number -> logits of three classes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 64)
        self.body = nn.Sequential(Block(64, 4), Block(64, 4))
        self.head = nn.Linear(64, 3)

    def forward(self, tokens):
        return self.head(self.body(self.embed(tokens)).mean(1))


torch.manual_seed(0)
model = Encoder()
optimizer = torch.optim.AdamW(model.parameters())
tamis.OneShot(sparsity=0.9, exclude="head").attach(model, optimizer).finalize()
packed = tamis.sparsify(model).eval()

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "encoder.onnx"
    export_onnx(packed, torch.zeros(1, 16, dtype=torch.long), file, inputs=["tokens"], axes={0: "batch", 1: "length"})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

for batch, length in ((1, 16), (5, 7)):
    tokens = torch.randint(100, (batch, length))
    (theirs,) = session.run(None, {"tokens": tokens.numpy()})
    with torch.no_grad():
        difference = (torch.from_numpy(theirs) - packed(tokens)).abs().max()
    print(f"batch {batch}, length {length}: largest difference {difference:.1e}")
    assert difference < 1e-5
