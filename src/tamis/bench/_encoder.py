"""A transformer encoder of the shape of BERT base, all of whose matrices are Linear layers that can be packed."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, INNER, BLOCKS = 768, 12, 3072, 12


class Encoder(nn.Module):
    """Embeddings of a sequence -> logits of its class: 12 blocks of width 768 with 12 heads and an inner width of 3072.

    ``nn.TransformerEncoder`` keeps the attention's projections in one bare parameter, which cannot be packed; here
    query, key, value and output are four layers.  No dropout.
    """

    def __init__(self, classes: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.Sequential(*(EncoderBlock() for _ in range(blocks)))
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, 768) -> (N, classes)."""
        return self.head(self.blocks(self.norm(x))[:, 0])


class EncoderBlock(nn.Module):
    """Self-attention and two linear layers, each with a shortcut and a layer norm after it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, 768) -> (N, tokens, 768)."""
        n, tokens, _ = x.shape
        heads = [f(x).view(n, tokens, HEADS, -1).transpose(1, 2) for f in (self.query, self.key, self.value)]
        mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(n, tokens, WIDTH)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))
