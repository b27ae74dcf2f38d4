"""The weight decay for which a run ends at a wanted sparsity: bisection over whole runs.

STR's sparsity is an outcome of its weight decay (Kusupati et al., ICML 2020, tune it by hand); one run is one trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tamis.documents import json_object, read_text
from tamis.errors import FileError, UsageError
from tamis.sparsity import check_sparsity
from tamis.storage import write_atomic


@dataclass(frozen=True)
class DecayTrial:
    """One run.

    Attributes:
        decay: the weight decay that it was trained with.
        sparsity: the fraction of zeros that it ended with, in [0, 1].
    """

    decay: float
    sparsity: float


class DecaySearch:
    """Bisects the weight decay in logarithms until a run ends within ``tolerance`` of a sparsity.

    The trials so far are its whole state, so a search can stop and go on at any time, and a run is never repeated::

        search = DecaySearch(0.9, start=1e-4)
        search.run(lambda decay: sparsity_of_a_run_with(decay), file="trials.json")
        search.best.decay

    or, with runs started elsewhere, ``search.next_decay()`` and ``search.record(decay, sparsity)``.

    From ``start`` the decay is multiplied or divided by ``factor`` until two trials enclose the target, then the
    geometric middle is tried.  Where sparsity does not rise with decay from trial to trial (runs are noisy), the
    closest pair that encloses the target counts.

    Args:
        sparsity: wanted fraction of zeros, in [0, 1).
        start: decay of the first trial, positive; :func:`tamis.sparsity.decay_for_logit` gives one.
        tolerance: largest distance from ``sparsity`` at which the search ends, at least 0.
        max_runs: trials at most.
        factor: ratio between trials before the target is enclosed, above 1.

    Attributes:
        trials: :class:`DecayTrial` in the order in which they were recorded.

    Raises:
        UsageError: a number is out of range.
    """

    def __init__(
        self, sparsity: float, start: float, *, tolerance: float = 0.005, max_runs: int = 12, factor: float = 2.0
    ) -> None:
        self.sparsity = check_sparsity(sparsity)
        if not 0 < start < math.inf or not tolerance >= 0 or max_runs < 1 or not 1 < factor < math.inf:
            raise UsageError(
                "expected start > 0, tolerance >= 0, max_runs >= 1 and factor > 1; got "
                f"start={start!r}, tolerance={tolerance!r}, max_runs={max_runs!r}, factor={factor!r}"
            )
        self.start = start
        self.tolerance = tolerance
        self.max_runs = max_runs
        self.factor = factor
        self.trials: list[DecayTrial] = []

    @property
    def best(self) -> DecayTrial:
        """The trial closest to the target, the earlier of two equals; UsageError if there is none."""
        if not self.trials:
            raise UsageError("no run was recorded yet")
        return min(self.trials, key=lambda trial: abs(trial.sparsity - self.sparsity))

    @property
    def found(self) -> bool:
        """Whether a trial ended within the tolerance."""
        return bool(self.trials) and abs(self.best.sparsity - self.sparsity) <= self.tolerance

    def next_decay(self) -> float | None:
        """The decay to try next, a function of the trials alone; None when the search is over."""
        if self.found or len(self.trials) >= self.max_runs:
            return None
        if not self.trials:
            return self.start
        below = [trial.decay for trial in self.trials if trial.sparsity < self.sparsity]
        above = [trial.decay for trial in self.trials if trial.sparsity >= self.sparsity]
        pairs = [(low, high) for low in below for high in above if low < high]
        if pairs:
            low, high = min(pairs, key=lambda pair: pair[1] / pair[0])
            middle = math.sqrt(low) * math.sqrt(high)
            return middle if low < middle < high else None  # neighbouring numbers: nothing lies between
        return max(below) * self.factor if below and not above else min(t.decay for t in self.trials) / self.factor

    def record(self, decay: float, sparsity: float) -> None:
        """Add the outcome of a run; UsageError if it is no positive decay or no fraction."""
        if not 0 < decay < math.inf or not 0.0 <= sparsity <= 1.0:
            raise UsageError(f"expected a decay above 0 and a sparsity in [0, 1]; got {decay!r} and {sparsity!r}")
        self.trials.append(DecayTrial(float(decay), float(sparsity)))

    def run(self, train: Callable[[float], float], file: str | Path | None = None) -> DecayTrial:
        """Search to the end.

        Args:
            train: trains a fresh model with the given weight decay and returns the fraction of zeros that it reached.
            file: JSON file that holds the trials; those of an earlier, interrupted search are taken from it, and it is
                rewritten after every run.

        Returns:
            The best trial; see :attr:`found` for whether it is within the tolerance.

        Raises:
            UsageError: ``train`` returned no fraction, or the file belongs to another target.
            FileError: the file is damaged.
        """
        if file is not None and Path(file).exists():
            self.load(file)
        while (decay := self.next_decay()) is not None:
            self.record(decay, train(decay))
            if file is not None:
                write_atomic(file, json.dumps(self.state_dict(), indent=1))
        return self.best

    def state_dict(self) -> dict[str, Any]:
        """Target and trials as JSON types."""
        return {"sparsity": self.sparsity, "trials": [asdict(trial) for trial in self.trials]}

    def load(self, file: str | Path) -> None:
        """Take the trials of ``file`` in place of the present ones.

        Raises:
            UsageError: they belong to another target; nothing is changed then.
            FileError: the file is damaged.
        """
        try:
            state = json_object(read_text(file, "the trials of a decay search"), str(file))
            target = float(state["sparsity"])
            trials = [(float(trial["decay"]), float(trial["sparsity"])) for trial in state["trials"]]
        except FileError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{file}: found no trials of a decay search ({error}); delete it to begin anew") from error
        wrong = [pair for pair in trials if not (0 < pair[0] < math.inf and 0.0 <= pair[1] <= 1.0)]
        if wrong:
            raise FileError(f"{file}: found decay and sparsity {wrong[0]}; expected a decay above 0 and a fraction")
        if target != self.sparsity:
            raise UsageError(f"{file} holds trials for sparsity {target}, this search is for {self.sparsity}")
        self.trials = []
        for decay, sparsity in trials:
            self.record(decay, sparsity)
