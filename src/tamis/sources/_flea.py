"""FLEA: score pairs of data sources, and keep those that agree with the majority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from tamis.errors import UsageError
from tamis.sources._arguments import checked_rows, column_of, two_values
from tamis.sources._coding import Coding, holds_group
from tamis.sources._compared import ComparedSources
from tamis.sources._federated import Coordinator, SourceClient
from tamis.sources._matrices import (
    COMPONENTS,
    Estimate,
    drawn_references,
    empty_matrices,
    enlarged,
    pairs_to_compare,
)
from tamis.sources._packing import PackedSource
from tamis.sources._parameters import check_parameters
from tamis.sources._plot import plot_sources
from tamis.sources._tiles import compare_in_tiles


class FLEA(ComparedSources):
    """Which of many data sources to learn from, though some of them may be manipulated in any way.

    Every pair of sources is compared by three measures: how differently some linear classifier errs on the two
    (discrepancy), how differently it treats the two groups (disparity), and how much the shares of the groups differ
    (disbalance).  A source whose K-th smallest distance is small agrees with many; the K sources of smallest score are
    kept.  All rows of a source are kept or none.

    Source: Iofinova, Konstantinov and Lampert, FLEA: Provably Robust Fair Multisource Learning from Unreliable Training
    Data, TMLR 2022 (arXiv:2106.11732).  The signed disparity, ``n_clean="auto"`` and ``n_references`` are this
    project's.

    Args:
        n_clean: sources to keep: an int, a float (fraction of sources to keep, rounded up), None for floor(N / 2) + 1,
            which is all that the guarantee covers without knowledge, or ``"auto"``: that majority and every source as
            near to it as its own members.  The published runs use the true number of clean sources.
        components: which of ``"discrepancy"``, ``"disparity"``, ``"disbalance"`` to use.  Without
            ``sensitive_features`` only the first is.
        disparity: ``"signed"`` (convex, several times faster, sees swapped groups) or ``"published"``.
        aggregation: how components become one distance: ``"sum"`` or ``"max"``.
        include_sensitive: append the sensitive feature to X for the scores: True, False, or ``"auto"``: unless X has
            such a column already.
        n_references: compare each source with this many random sources only, instead of with all; None for all.
            Cheaper for thousands of sources, and not covered by the guarantee: by chance fewer of the references are
            clean than of all sources, so leave room in ``n_clean``.
        gtol: BFGS of the published disparity stops when no element of the gradient exceeds this.
        max_iter: most iterations of BFGS.
        on_empty_group: what to do with a source without any row of one group: ``"error"``, or ``"max"``: warn and give
            it the largest possible disparity.
        n_jobs: processes for the pairs, as everywhere in scikit-learn.  None solves in this process on torch's threads;
            ``joblib.parallel_config`` chooses other backends, Dask for one.  Changes no bit of the result.
        random_state: draws the reference sources.
        verbose: show a progress bar on standard error.

    Attributes:
        sources_: names of the N sources, sorted.
        support_: bool ``(N,)``, True for kept sources.
        scores_: float64 ``(N,)``, q: the K-th smallest distance, small for sources that agree with many.
        ranking_: int64 ``(N,)``, 1 for the smallest score.
        n_clean_: number of sources kept.
        distances_: float64 ``(N, N)``, sum or maximum of the components; NaN where not compared (``n_references``).
        discrepancy_: float64 ``(N, N)`` in [0, 1], or None if not used.
        disparity_: float64 ``(N, N)`` in [0, 2] (signed) or [0, 1] (published), or None if not used.
        disbalance_: float64 ``(N, N)`` in [0, 1], or None if not used.
        source_sizes_: int64 ``(N,)``, rows of each source.
        positive_shares_: float64 ``(N,)``, share of rows of each source with the second class.
        group_shares_: float64 ``(N,)``, share of rows with the second group; NaN without ``sensitive_features``.
        n_not_converged_: number of fits that hit a limit; their values are still lower bounds.
        classes_: the two values of y (fewer or more only where a single source made no comparison necessary).
        groups_: the two values of ``sensitive_features``, or None.
        n_features_in_: columns of X.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, a, s = rng.normal(size=(600, 2)), rng.integers(0, 2, 600), np.repeat(["a", "b", "c", "d", "e"], 120)
        >>> y = (X[:, 0] + 0.3 * rng.normal(size=600) > 0).astype(int)
        >>> y[s == "c"] = 1 - y[s == "c"]  # one provider swapped its labels
        >>> sieve = FLEA(n_clean=4).fit(X, y, sensitive_features=a, sources=s)
        >>> print(sieve.sources_[sieve.support_])
        ['a' 'b' 'd' 'e']
    """

    def __init__(
        self,
        *,
        n_clean: int | float | str | None = None,
        components: Sequence[str] = COMPONENTS,
        disparity: str = "signed",
        aggregation: str = "sum",
        include_sensitive: bool | str = "auto",
        n_references: int | None = None,
        gtol: float = 1e-4,
        max_iter: int = 500,
        on_empty_group: str = "error",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_clean = n_clean
        self.components = components
        self.disparity = disparity
        self.aggregation = aggregation
        self.include_sensitive = include_sensitive
        self.n_references = n_references
        self.gtol = gtol
        self.max_iter = max_iter
        self.on_empty_group = on_empty_group
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sensitive_features: ArrayLike | None = None,
        sources: ArrayLike | None = None,
    ) -> FLEA:
        """Compare all pairs of sources and choose.

        Args:
            X: ``(n, d)``, numeric and finite.
            y: ``(n,)`` with two values.
            sensitive_features: ``(n,)`` with two values; None compares by discrepancy only.
            sources: ``(n,)``, the source of each row (numbers or text); None or one source keeps everything.

        Raises:
            UsageError: a parameter, a value or a shape does not fit; a source lacks a group.
        """
        check_parameters(self.get_params(deep=False))
        X, y, a, s = checked_rows(self, X, y, sensitive_features, sources)
        self.sources_, which = np.unique(s, return_inverse=True)
        rows = [np.flatnonzero(which == i) for i in range(len(self.sources_))]
        self.source_sizes_ = np.array([len(of) for of in rows], dtype=np.int64)
        if len(rows) == 1:
            self._keep_all(y, a)
            return self
        self.classes_ = two_values(y, "y")
        self.groups_ = None if a is None else two_values(a, "sensitive_features")
        coding = self._coded(appended=a is not None and self._appends(X, a))
        packed: list[PackedSource] = []
        for of, name in zip(rows, self.sources_.tolist(), strict=True):
            packed.append(coding.pack(X[of], y[of], None if a is None else a[of], name))
        self._coding, self._packed = coding, packed
        self._references = drawn_references(len(rows), self.n_references, self.random_state)
        pairs, blank = pairs_to_compare(len(rows), self._references), empty_matrices(len(rows), self._measures())
        self._compare(blank, [source.summary for source in packed], pairs, self._in_tiles())
        return self

    def fit_federated(self, clients: Mapping[Any, SourceClient]) -> FLEA:
        """Compare sources whose rows stay where they are, and choose.

        The result is that of :meth:`fit` on the pooled rows.  ``include_sensitive`` and ``n_jobs`` play no part: it is
        up to the providers whether the sensitive feature is a column.  ``n_rounds_`` tells how often they were asked.

        Args:
            clients: name of the source -> a :class:`FederatedSource`, or what passes messages to one.  They are asked
                concurrently, each in one thread at a time.

        Raises:
            UsageError: an answer is malformed; fewer than two sources; a source lacks a group.
        """
        check_parameters(self.get_params(deep=False))
        if len(clients) < 2:
            raise UsageError(f"fit_federated needs at least two sources to compare, got {len(clients)}")
        coordinator = Coordinator({name: clients[name] for name in sorted(clients)})
        self._forget()
        self.sources_ = np.array(coordinator.names)
        self.source_sizes_ = np.array([summary.size for summary in coordinator.summaries], dtype=np.int64)
        self.classes_ = np.array([0, 1])
        self.groups_ = np.array([0, 1]) if coordinator.groups else None
        self.n_features_in_ = coordinator.columns
        coding = self._coded(appended=False)
        for name, summary in zip(coordinator.names, coordinator.summaries, strict=True):
            coding.check_groups(summary, name)
        count = len(coordinator.names)
        self._references = drawn_references(count, self.n_references, self.random_state)
        pairs, blank = pairs_to_compare(count, self._references), empty_matrices(count, self._measures())
        self._compare(blank, coordinator.summaries, pairs, coordinator.compare)
        self.n_rounds_ = coordinator.rounds
        return self

    def add_source(self, X: ArrayLike, y: ArrayLike, *, sensitive_features: ArrayLike | None = None, name: Any) -> FLEA:
        """Compare one more source with the N known ones (N new pairs), and choose again.

        The result is that of a fit with all sources, except that the new one stands last.

        Args:
            X: ``(m, d)``.
            y: ``(m,)``, values as when fitted.
            sensitive_features: ``(m,)``, given if and only if it was when fitted.
            name: of the source; new.

        Raises:
            UsageError: as for :meth:`fit`; the name is known already; fewer than two sources when fitted.
        """
        if not hasattr(self, "_packed"):
            raise UsageError("add_source needs a selector that was fitted with at least two sources")
        if name in self.sources_.tolist():
            raise UsageError(f"a source named {name!r} is known already; give the new one another name")
        if (sensitive_features is None) != (self.groups_ is None):
            raise UsageError("give sensitive_features to add_source if and only if they were given to fit")
        if isinstance(name, str) != (self.sources_.dtype.kind == "U"):
            raise UsageError(
                f"name={name!r}: expected a name of the kind of the others, such as {self.sources_.tolist()[0]!r}"
            )
        X, y, a, _ = checked_rows(self, X, y, sensitive_features, None, reset=False)
        count = len(self._packed)
        olds = np.arange(count) if self._references is None else self._references
        pairs = np.stack([olds, np.full(len(olds), count)], axis=1).astype(np.int64)
        grown = copy(self)  # so that nothing has changed if something goes wrong
        grown._packed = [*self._packed, self._coding.pack(X, y, a, name)]
        grown.sources_ = np.append(self.sources_, name)
        grown.source_sizes_ = np.append(self.source_sizes_, len(y))
        matrices = enlarged(self._matrices, self._measures())
        grown._compare(matrices, [source.summary for source in grown._packed], pairs, grown._in_tiles())
        self.__dict__.update(grown.__dict__)
        return self

    def row_mask(self, sources: ArrayLike) -> NDArray[np.bool_]:
        """True for every row that belongs to a kept source.

        Args:
            sources: ``(n,)``, the source of each row.

        Raises:
            UsageError: a source was not there when fitted.
        """
        s = column_of(sources, "sources")
        known = np.isin(s, self.sources_)
        if not known.all():
            raise UsageError(f"source {s[~known].tolist()[0]!r} was not there when the selector was fitted")
        return np.isin(s, self.sources_[self.support_])

    def fit_resample(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: ArrayLike | None = None,
        sources: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        """Fit, and return the rows of X and y that belong to kept sources, in their order.

        ``sample_indices_`` then holds their places, to select rows of anything else.  Arguments and errors are those
        of :meth:`fit`.
        """
        self.fit(X, y, sensitive_features=sensitive_features, sources=sources)
        rows = np.ones(len(np.asarray(y)), bool) if sources is None else self.row_mask(sources)
        self.sample_indices_ = np.flatnonzero(rows)
        return _safe_indexing(X, self.sample_indices_), _safe_indexing(y, self.sample_indices_)

    def plot(self) -> Any:
        """The distances as a heat map and the scores as bars, best source first (a matplotlib ``Figure``).

        Raises:
            UsageError: matplotlib is not installed (extra ``tamis[report]``).
        """
        return plot_sources(self.sources_, self.distances_, self.scores_, self.support_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    # -- what the parts need to know ----------------------------------------------------------------------------------

    def _coded(self, appended: bool) -> Coding:
        both = "disparity" in self.components
        return Coding(self.classes_, self.groups_, appended, both, self.on_empty_group)

    def _appends(self, X: NDArray[np.float64], a: NDArray[Any]) -> bool:
        """Whether the sensitive feature becomes a column for the scores."""
        return bool(self.include_sensitive) if self.include_sensitive != "auto" else not holds_group(X, a)

    def _in_tiles(self) -> Estimate:
        return partial(compare_in_tiles, self._packed, n_jobs=self.n_jobs, progress=self.verbose)
