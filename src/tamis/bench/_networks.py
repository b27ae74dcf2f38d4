"""The networks whose training steps and inference are measured, with random masks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tamis.bench._encoder import WIDTH, Encoder
from tamis.errors import UsageError
from tamis.models import create_model
from tamis.nn import is_packed, prunable_modules, sparsify

ENCODER = "bert_base"


@dataclass(frozen=True)
class StepCase:
    """A network and a batch.

    Attributes:
        model: a name of ``tamis.models``, or ``bert_base``: an encoder of 12 blocks of width 768.
        pixels: height and width of the images; tokens of a sequence for the encoder.
        batch: images or sequences.
        classes: outputs.
    """

    model: str
    pixels: int
    batch: int = 64
    classes: int = 1000

    @property
    def name(self) -> str:
        """Short text such as ``resnet18 64px b64``."""
        return f"{self.model} {self.pixels}{'tokens' if self.model == ENCODER else 'px'} b{self.batch}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(N, 3, H, W), or (N, tokens, 768)."""
        if self.model == ENCODER:
            return (self.batch, self.pixels, WIDTH)
        return (self.batch, 3, self.pixels, self.pixels)


STEP_SUITE = (
    StepCase("resnet20", 32, 128, 10),
    StepCase("resnet18", 64),
    StepCase("resnet18", 224),
    StepCase("resnet50", 224, 32),
    StepCase("mobilenet_v1", 224, 32),
    StepCase(ENCODER, 128, 4, 2),
)

INFER_SUITE = tuple(
    replace(case, batch=batch)
    for case in (StepCase("resnet50", 224), StepCase("resnet18", 224), StepCase("mobilenet_v1", 224),
                 StepCase(ENCODER, 128, 4, 2))
    for batch in (1, 64 if case.model != ENCODER else 4)
)  # fmt: skip


def named_cases(suite: tuple[StepCase, ...], model: str, pixels: int, batches: tuple[int, ...]) -> list[StepCase]:
    """Cases of a model that need not be in the suite; 0 pixels and no batches take those of the suite.

    Raises:
        UsageError: nothing tells the pixels or the batch of a model that is not in the suite, or it does not exist.
    """
    known = [case for case in suite if case.model == model]
    classes = known[0].classes if known else 1000
    build_model(StepCase(model, pixels or 32, 1, classes))
    if not known and not (pixels and batches):
        raise UsageError(f"--model {model} is not in the suite: give --pixels and --batch too")
    sizes = [pixels] if pixels else sorted({case.pixels for case in known})
    counts = batches or tuple(sorted({case.batch for case in known}))
    return [StepCase(model, size, batch, classes) for size in sizes for batch in counts]


def build_model(case: StepCase) -> nn.Module:
    """The dense network in training mode, with the same weights at every call."""
    torch.manual_seed(0)
    if case.model == ENCODER:
        return Encoder(case.classes)
    return create_model(case.model, num_classes=case.classes, in_channels=3, image_size=(case.pixels, case.pixels))


def random_batch(case: StepCase) -> tuple[Tensor, Tensor]:
    """Inputs of ``case.input_shape`` and labels (N,), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(case.input_shape, generator=generator)
    return inputs, torch.randint(case.classes, (case.batch,), generator=generator)


def random_masks(model: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """A random mask (True: live) for each layer that is pruned, by name; they depend on the order of the layers.

    Dense stay a convolutional network's first layer, grouped convolutions, and the encoder's head.
    """
    generator = torch.Generator().manual_seed(1)
    layers = prunable_modules(model)
    kept_dense = {"head"} if isinstance(model, Encoder) else {next(iter(layers))}
    return {
        name: torch.rand(layer.weight.shape, generator=generator) >= sparsity
        for name, layer in layers.items()
        if getattr(layer, "groups", 1) == 1 and name not in kept_dense
    }


def masked_model(case: StepCase, sparsity: float) -> nn.Module:
    """The dense network with exact zeros outside the masks."""
    model = build_model(case)
    with torch.no_grad():
        for name, mask in random_masks(model, sparsity).items():
            model.get_submodule(name).weight.mul_(mask)  # type: ignore[operator]
    return model


def packed_model(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a masked model with the layers of ``masks`` packed."""
    return sparsify(copy.deepcopy(model), masks)


def count_packed(model: nn.Module) -> int:
    """Packed layers of a model."""
    return sum(is_packed(module) for module in model.modules())
