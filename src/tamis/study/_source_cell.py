"""One cell of the study of sources: the published experiment for one table, adversary and seed, as a pure function.

All random draws come from one legacy generator in the published order: resampling of the original pool and of the clean
pool; the adversary; resampling of the naive pool, of Konstantinov's and of FLEA's choice; of each source for the
ensemble and for hTERM; DRO.  Draws are made whether or not their learner is asked for, so that a cell with fewer
methods has the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from tamis.sources import (
    FLEA,
    AdversarialClassifier,
    DROClassifier,
    HTERMClassifier,
    KonstantinovClassifier,
    PostprocessedClassifier,
    RegularisedClassifier,
    Source,
    TabularData,
    UnawareClassifier,
    bad_sources,
    fairness_measures,
    independent_rows,
    manipulate,
    pooled,
    split_sources,
)
from tamis.sources._manipulations import DRAWN_IN_RESULTS
from tamis.study._source_study import SourceCell

Array = np.ndarray[Any, Any]
COMPONENTS = ("discrepancy", "disparity", "disbalance")


def source_cell_rows(cell: SourceCell, data: TabularData) -> list[dict[str, Any]]:
    """The results of one cell: one row for each method and learner.

    Returns:
        Rows with ``method``, ``learner``, the measures of :func:`tamis.sources.fairness_measures` on the clean test
        part, ``bad_frac`` (share of bad sources among the kept ones; None where the method selects none), ``kept``
        (positions of the kept sources) and for FLEA ``bad_frac_`` of each component alone.
    """
    # Published learners stop unconverged on unscaled columns; that is part of what is reproduced.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _Experiment(cell, data).rows()


class _Experiment:
    """One cell while it is computed: its sources, the generator, and fits that methods share."""

    def __init__(self, cell: SourceCell, data: TabularData) -> None:
        self.cell, self.column = cell, data.sensitive_column
        split = split_sources(data, cell.seed, cell.n_sources)
        self.originals, self.test = split.sources, split.test
        self.bad = bad_sources(cell.seed, cell.n_sources, cell.n_bad)
        self.random = np.random.RandomState(cell.seed)
        self.sources: list[Source] = []
        self.found: list[dict[str, Any]] = []
        self.fits: dict[tuple[Any, ...], Array] = {}

    def rows(self) -> list[dict[str, Any]]:
        n, clean = self.cell.n_sources, [i for i in range(self.cell.n_sources) if i not in self.bad]
        self.sources = self.originals
        self._pooled_method("original", range(n), None, shared="original")
        self._pooled_method("oracle", clean, None)
        self.sources, _ = manipulate(
            self.originals, self.cell.adversary, self.bad, self.column, self.random, DRAWN_IN_RESULTS
        )
        self._pooled_method("naive", range(n), None)
        self._konstantinov()
        self._flea()
        self._ensemble()
        self._hterm()
        self._dro()
        return self.found

    # -- methods that pool sources ------------------------------------------------------------------------------------

    def _pooled_method(
        self,
        method: str,
        kept: Sequence[int],
        extra: Mapping[str, Any] | None,
        shared: str = "",
    ) -> None:
        """All learners on the pool of the ``kept`` sources; advances the generator by one resampling."""
        pool = pooled([self.sources[i] for i in kept])
        drawn = independent_rows(pool.y, pool.a, self.random)
        if method not in self.cell.methods:
            return
        for learner in self.cell.learners:
            # Equal pools, equal fits; a drawn one is never equal.  The order counts: postprocessing sorts equal logits
            # by it, and where the rate falls between two of them, so does its count of correct decisions.
            key = (shared, tuple(kept), learner)
            if learner == "preprocessing" or key not in self.fits:
                self.fits[key] = self._logits(learner, pool, drawn)
            z = self.fits[key]
            self._add(method, learner, z >= 0, z, kept if extra is not None else None, extra or {})

    def _logits(self, learner: str, pool: Source, drawn: Array) -> Array:
        """Logits on the test part of a learner that was fitted on ``pool``, or on its ``drawn`` rows."""
        if learner == "preprocessing":
            model: Any = UnawareClassifier().fit(pool.X[drawn], pool.y[drawn])
        elif learner == "none":
            model = UnawareClassifier().fit(pool.X, pool.y)
        else:
            kinds: dict[str, Any] = {
                "regularised": RegularisedClassifier(),
                "postprocessing": PostprocessedClassifier(sensitive_column=self.column, paper_compat=True),
                "adversarial": AdversarialClassifier(),
            }
            model = kinds[learner].fit(pool.X, pool.y, sensitive_features=pool.a)
        return model.decision_function(self.test.X)

    def _together(self) -> tuple[Source, Array]:
        """All rows, and the number of the source of each."""
        return pooled(self.sources), np.repeat(np.arange(len(self.sources)), [len(part.y) for part in self.sources])

    def _konstantinov(self) -> None:
        pool, numbers = self._together()
        model = KonstantinovClassifier(_Nothing(), n_bad=self.cell.n_bad).fit(pool.X, pool.y, sources=numbers)
        self._pooled_method("konstantinov2020", np.flatnonzero(model.support_).tolist(), {})

    def _flea(self) -> None:
        """Both disparities start from the same state of the generator; it goes on from the published one."""
        before = self.random.get_state()
        for method, disparity in (("flea_signed", "signed"), ("flea", "published")):
            self.random.set_state(before)
            if disparity == "published" or method in self.cell.methods:
                kept, extra = self._select(disparity)
                self._pooled_method(method, kept, extra)

    def _select(self, disparity: str) -> tuple[list[int], dict[str, Any]]:
        pool, numbers = self._together()
        keep = self.cell.n_sources - self.cell.n_bad
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the number of clean sources is known here, however small
            sieve = FLEA(n_clean=keep, disparity=disparity).fit(
                pool.X, pool.y, sensitive_features=pool.a, sources=numbers
            )
        extra: dict[str, Any] = {"not_converged": sieve.n_not_converged_}
        for name in COMPONENTS:
            scores = np.sort(getattr(sieve, f"{name}_"), axis=1)[:, keep - 1]
            extra[f"bad_frac_{name}"] = self._bad_share(np.argsort(scores, kind="stable")[:keep].tolist())
        # The published code pools the kept sources in the order of their scores, which decides what resampling draws.
        return np.argsort(sieve.scores_, kind="stable")[:keep].tolist(), extra

    # -- methods that see all sources ---------------------------------------------------------------------------------

    def _ensemble(self) -> None:
        draws = [independent_rows(part.y, part.a, self.random) for part in self.sources]
        if "robust_ensemble" in self.cell.methods:
            for learner in self.cell.learners:
                each = [self._logits(learner, part, drawn) for part, drawn in zip(self.sources, draws, strict=True)]
                z = np.median(each, axis=0)  # the logistic function is monotone, but a median of two is not a logit
                if len(each) % 2 == 0:
                    p = np.median(1 / (1 + np.exp(-np.array(each))), axis=0)
                    z = p - 0.5
                self._add("robust_ensemble", learner, z >= 0, z, None, {})

    def _hterm(self) -> None:
        pool, numbers = self._together()
        before = self.random.get_state()
        wanted = [name for name in ("none", "postprocessing", "preprocessing") if name in self.cell.learners]
        if "hterm" in self.cell.methods:
            for learner in wanted:
                self.random.set_state(before)
                model: Any = HTERMClassifier(
                    paper_compat=True, resample=learner == "preprocessing", random_state=self.random
                )
                if learner == "postprocessing":
                    model = PostprocessedClassifier(model, sensitive_column=self.column, paper_compat=True)
                model.fit(pool.X, pool.y, sensitive_features=pool.a, sources=numbers)
                z = model.decision_function(self.test.X)
                self._add("hterm", learner, z >= 0, z, None, {})
        self.random.set_state(before)
        for part in self.sources:
            independent_rows(part.y, part.a, self.random)

    def _dro(self) -> None:
        if "dro" in self.cell.methods and "regularised" in self.cell.learners:
            pool, _ = self._together()
            model = DROClassifier(
                tv=self.cell.n_bad / self.cell.n_sources, paper_compat=True, random_state=self.random
            ).fit(pool.X, pool.y, sensitive_features=pool.a)
            z = model.decision_function(self.test.X)
            self._add("dro", "regularised", z >= 0, z, None, {"xi": model.xi_})

    # -- results ------------------------------------------------------------------------------------------------------

    def _bad_share(self, kept: Sequence[int]) -> float:
        return sum(i in self.bad for i in kept) / len(kept)

    def _add(
        self,
        method: str,
        learner: str,
        decisions: Array,
        scores: Array,
        kept: Sequence[int] | None,
        extra: Mapping[str, Any],
    ) -> None:
        measures = fairness_measures(self.test.y, decisions.astype(int), self.test.a, scores)
        self.found.append(
            {
                "method": method,
                "learner": learner,
                **measures,
                "bad_frac": None if kept is None else self._bad_share(kept),
                "kept": None if kept is None else list(kept),
                **extra,
            }
        )


class _Nothing(UnawareClassifier):
    """A learner that learns nothing, where only the choice of sources is wanted."""

    def fit(self, X: Any, y: Any) -> _Nothing:
        """Do nothing."""
        return self
