"""What a process of a distributed test does; started by torchrun, prints JSON lines from the first process.

python -m torch.distributed.run --nproc-per-node N rank_job.py methods FOLDER [METHOD...]
python -m torch.distributed.run --nproc-per-node N rank_job.py fit FOLDER RECIPE.toml [resume] [stop=STEP]
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from method_recipes import recipe

from tamis.kernels import choices
from tamis.train import OPTIONS, fit, load_recipe
from tamis.train import _loop as loop
from tamis.train._interrupt import Interrupted, StopRequest
from tamis.train._metrics import NoLog
from tamis.train._ranks import Ranks, joined
from tamis.train._run import Run, load_recipe_data

RESTLESS = ("ste", "srste", "str")  # their supports change too often to be packed


def methods(folder: Path, names: list[str]) -> None:
    """Train every method for a few epochs; all processes must end with the same bits."""
    warnings.simplefilter("ignore")
    with joined() as ranks:
        for name in names or [name for name in OPTIONS if name != "dense"]:
            for packed in ("auto" if name in RESTLESS else "always", "never"):
                made = recipe(name)
                made = replace(made, train=replace(made.train, packed=packed, epochs=5))
                run = Run(made, load_recipe_data(made), ranks=ranks)
                loop.train(run, NoLog(), folder, StopRequest())
                ranks.check_equal(digest(run), f"weights, optimizer state or masks of {name}")
                say(ranks, method=name, packed=packed, bytes=run.replicas.reduced_bytes, rebuilds=run.replicas.rebuilds,
                    layers=run.sparsifier.events[-1]["packed"], hashes=len(run.sparsifier.events))  # fmt: skip


def digest(run: Run) -> str:
    """SHA-256 of the weights, the optimizer's state and the masks; buffers differ by nature."""
    found = hashlib.sha256()
    state = dict(run.model.named_parameters())
    moments = [v for s in run.optimizer.state_dict()["state"].values() for v in s.values() if torch.is_tensor(v)]
    for tensor in (*state.values(), *moments, *run.sparsifier.masks.values()):
        found.update(tensor.detach().numpy().tobytes())
    return found.hexdigest()


def train(folder: Path, source: str, words: list[str]) -> None:
    """One run of a recipe, interrupted behind a step if the words say so."""
    stops = [int(word.removeprefix("stop=")) for word in words if word.startswith("stop=")]
    count = loop.count

    def counted(run, *arguments):
        if run.progress.step + 1 in stops and run.ranks.rank == run.ranks.world - 1:
            os.kill(os.getpid(), signal.SIGINT)  # one process is asked, all stop
        return count(run, *arguments)

    loop.count = counted
    try:
        summary = fit(load_recipe(source), folder, resume="resume" in words)
        if summary:
            print(json.dumps({"accuracy": summary["accuracy_sparse"], "steps": summary["steps"]}), flush=True)
    except Interrupted as stopped:
        if os.environ["RANK"] == "0":  # the processes share a pipe, and lines that cross cannot be read
            print(json.dumps({"stopped": str(stopped)}), flush=True)


def say(ranks: Ranks, **row: object) -> None:
    """Print a row from the first process."""
    if ranks.leads:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    choices.mode = "sparse"
    task, target, *rest = sys.argv[1:]
    methods(Path(target), rest) if task == "methods" else train(Path(target), rest[0], rest[1:])
