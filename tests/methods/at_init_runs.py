"""The methods that prune at initialisation, small, and the network of their vectors."""

from __future__ import annotations

import torch
from method_runs import batch
from torch import nn

from tamis.methods import SNIP, Examples, GraSP, SynFlow

EXAMPLES = Examples(lambda: [batch(step) for step in range(100, 110)])


METHODS = {
    "snip": lambda s, **o: SNIP(s, examples=EXAMPLES, **o),
    "grasp": lambda s, **o: GraSP(s, examples=EXAMPLES, **o),
    "synflow": lambda s, **o: SynFlow(s, **{"input_shape": (12,), "rounds": 10, **o}),
}


def flat(tensors):
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def vector_net(golden):
    first, second = (torch.tensor(golden[key], dtype=torch.float64) for key in ("W1", "W2"))
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(first)
        model[2].weight.copy_(second)
    data = torch.tensor(golden["x"], dtype=torch.float64), torch.tensor(golden["y"])
    return model, Examples(lambda: [data])
