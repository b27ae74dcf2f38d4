"""Networks with random masks, the files that hold them, and whether a file gave them back."""

import torch
from torch import nn

from tamis.models import create_model
from tamis.nn import prunable_modules


def sparse_network(name="resnet20", share=0.2, **options):
    """A random network in eval mode with lively batch norms, and bool masks of all layers but the head."""
    model = create_model(name, options.pop("num_classes", 10), **options).eval()
    masks = {}
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(std=0.1)
        for layer, module in prunable_modules(model, exclude="fc").items():
            masks[layer] = (torch.rand_like(module.weight) < share) & (module.weight != 0)
            module.weight.mul_(masks[layer])
    return model, masks


def save(state, path, **around):
    torch.save({**around, "state_dict": state} if around else state, path)
    return path


def agree(backbone, model, masks, size=32):
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(backbone.model(images), model(images), rtol=0, atol=1e-6 * model(images).abs().max())
    assert backbone.masks.keys() == masks.keys()
    assert all(torch.equal(backbone.masks[name], mask) for name, mask in masks.items())


def disturbed(weight, mask):
    """The weight with values where it is pruned, as files with explicit masks have them."""
    return torch.where(mask, weight, torch.randn_like(weight))
