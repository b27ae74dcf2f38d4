"""What a training step costs with latent weights: STE, DPF, SR-STE and STR beside dense and one-shot-pruned training.

Two networks: the MLP 784-1024-1024-10 at batch 64, and six 3x3 convolutions with batch norm on 32x32 images at batch
32.  SGD with momentum and weight decay, one thread, random data.  All cases train in turns; times are CPU time of the
process, mean over steps, mask changes included (DPF has one in 16 steps).

Run ``python benchmarks/latent_steps.py``: about three minutes of one core.  Writes benchmarks/results/latent_steps.csv.
"""

from __future__ import annotations

import csv
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn, optim
from torch.nn import functional as F

from tamis.bench import describe_machine
from tamis.methods import DPF, SRSTE, STE, STR, OneShot, Sparsifier
from tamis.storage import write_atomic

ROUNDS, STEPS, TOTAL = 2, 16, 100_000
COLUMNS = ("network", "sparsity", "method", "mean_ms", "median_ms", "times_dense")
ROOT = Path(__file__).resolve().parents[1]


def mlp() -> tuple[nn.Module, torch.Tensor]:
    """The network and its inputs."""
    layers = [nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)]
    return nn.Sequential(*layers), torch.randn(64, 784)


def convolutions() -> tuple[nn.Module, torch.Tensor]:
    """The network and its inputs."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        convolution = nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
        channels = outputs
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*layers, *head), torch.randn(32, 3, 32, 32)


def stepper(network: Callable[[], tuple[nn.Module, torch.Tensor]], method: Sparsifier | None) -> Callable[[], None]:
    """A function that trains one step."""
    torch.manual_seed(0)
    model, inputs = network()
    labels = torch.randint(10, (len(inputs),))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    if method is not None:
        method.attach(model, optimizer)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step


def cases(sparsity: float) -> dict[str, Sparsifier | None]:
    """Name -> method; SR-STE is 2:4 whatever the sparsity, without the first layer."""
    return {
        "dense": None,
        "one-shot, masked": OneShot(sparsity, packed=False),
        "one-shot, packed": OneShot(sparsity),
        "DPF, masked": DPF(sparsity, TOTAL, end=0.0, packed=False),
        "DPF": DPF(sparsity, TOTAL, end=0.0),
        "STE": STE(sparsity, TOTAL),
        "SR-STE 2:4": SRSTE(0.5, TOTAL, exclude="0"),
        "STR": STR(sparsity, TOTAL),
    }


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    machine = describe_machine()
    rows = []
    for network in (mlp, convolutions):
        for sparsity in (0.9, 0.95):
            steps = {name: stepper(network, method) for name, method in cases(sparsity).items()}
            times: dict[str, list[float]] = {name: [] for name in steps}
            for step in steps.values():
                for _ in range(3):  # packs, measures the dense and the sparse side of every layer
                    step()
            for _ in range(ROUNDS):
                for name, step in steps.items():
                    for _ in range(STEPS):
                        begin = time.process_time()
                        step()
                        times[name].append(time.process_time() - begin)
            dense = statistics.mean(times["dense"])
            for name, seconds in times.items():
                mean, median = statistics.mean(seconds), statistics.median(seconds)
                rows.append(
                    [
                        network.__name__,
                        sparsity,
                        name,
                        f"{mean * 1e3:.2f}",
                        f"{median * 1e3:.2f}",
                        f"{mean / dense:.2f}",
                    ]
                )
                print(*rows[-1])
    text = io.StringIO()
    text.writelines(f"# {key}: {value}\n" for key, value in machine.items())
    text.write(f"# load_average_at_the_end: {describe_machine()['load_average']}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    write_atomic(ROOT / "benchmarks" / "results" / "latent_steps.csv", text.getvalue())


if __name__ == "__main__":
    main()
