"""Networks by name, with torchvision's parameter names, and the reading of checkpoints written elsewhere."""

from tamis.models._described import create_described
from tamis.models._foreign import ForeignState, load_foreign_checkpoint, read_foreign_state
from tamis.models._mlp import MLP
from tamis.models._mobilenet import MobileNetV1
from tamis.models._registry import create_model, list_models, register_model, unregister_model
from tamis.models._resnet import ResNet
from tamis.models._resnet_cifar import CifarResNet
from tamis.models._small_cnn import SmallCNN
from tamis.models._weights import load_pretrained, load_weights
from tamis.models._wide_resnet import WideResNet

__all__ = [
    "MLP",
    "CifarResNet",
    "ForeignState",
    "MobileNetV1",
    "ResNet",
    "SmallCNN",
    "WideResNet",
    "create_described",
    "create_model",
    "list_models",
    "load_foreign_checkpoint",
    "load_pretrained",
    "load_weights",
    "read_foreign_state",
    "register_model",
    "unregister_model",
]
