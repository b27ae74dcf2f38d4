"""Small transfers of a small network: two recipes, and how to run one."""

from dataclasses import replace

from tamis.train import Optimizer
from tamis.transfer import (
    FineTuneOptions,
    ProbeOptions,
    TransferRecipe,
    load_backbone,
    run_transfer,
)

from .tiny import TRANSFORM, TinyNet, tiny_task

LINEAR = TransferRecipe(speed=False, cache="none", probe=ProbeOptions(grid_step=11))


FULL = replace(LINEAR, how="full", finetune=FineTuneOptions(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.05)))


def moved(recipe, checkpoint, folder, **how):
    backbone = load_backbone(checkpoint, TinyNet())
    return run_transfer(recipe, folder, backbone=backbone, task=tiny_task(), transform=TRANSFORM, **how)
