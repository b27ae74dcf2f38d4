"""The single layers that are measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCase:
    """A layer to measure; ``pixels`` 0 means a linear layer.

    Attributes:
        inputs: input channels or features.
        outputs: output channels or features.
        pixels: height and width of the input.
        kernel: taps per side; padding is ``kernel // 2``.
        stride: pixels per output.
        batch: images or rows.
    """

    inputs: int
    outputs: int
    pixels: int = 0
    kernel: int = 1
    stride: int = 1
    batch: int = 64

    @property
    def name(self) -> str:
        """Short text such as ``conv 64>64 3x3 56px`` or ``linear 512>512 b64``."""
        if not self.pixels:
            return f"linear {self.inputs}>{self.outputs} b{self.batch}"
        stride = f" /{self.stride}" if self.stride > 1 else ""
        batch = "" if self.batch == 64 else f" b{self.batch}"
        return f"conv {self.inputs}>{self.outputs} {self.kernel}x{self.kernel} {self.pixels}px{stride}{batch}"

    @property
    def padding(self) -> int:
        """Zero rows and columns around the input."""
        return self.kernel // 2

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(N, C, H, W), or (N, C) of a linear layer."""
        return (self.batch, self.inputs, self.pixels, self.pixels) if self.pixels else (self.batch, self.inputs)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(N, M, P, Q), or (N, M) of a linear layer."""
        side = (self.pixels + 2 * self.padding - self.kernel) // self.stride + 1
        return (self.batch, self.outputs, side, side) if self.pixels else (self.batch, self.outputs)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(M, C, k, k), or (M, C) of a linear layer."""
        taps = (self.kernel, self.kernel) if self.pixels else ()
        return (self.outputs, self.inputs, *taps)


# The layers of ResNet-18 and ResNet-50, of CIFAR networks and of transformer blocks.
LAYER_SUITE = (
    *(LayerCase(n, m, batch=b) for n, m in ((512, 512), (1024, 4096), (4096, 1024), (768, 3072)) for b in (64, 512)),
    LayerCase(64, 64, 56, 3), LayerCase(128, 128, 28, 3), LayerCase(256, 256, 14, 3), LayerCase(512, 512, 7, 3),
    LayerCase(256, 64, 56), LayerCase(1024, 256, 14),
    LayerCase(64, 128, 56, 3, 2), LayerCase(128, 256, 28, 3, 2), LayerCase(128, 256, 28, 1, 2),
    LayerCase(64, 64, 32, 3), LayerCase(128, 128, 16, 3), LayerCase(256, 256, 8, 3),
)  # fmt: skip
