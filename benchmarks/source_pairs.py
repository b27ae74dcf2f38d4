"""What comparing all pairs of sources costs: the native solver beside a SciPy loop and tamis's NumPy fallback.

The SciPy loop is what one would write with vectorised NumPy and ``scipy.optimize.minimize``: per pair the standardised
rows, L-BFGS-B for the convex fits (gradient 1e-4, looser than ours), BFGS from the ridge start for the published
disparity, with analytic gradients.  Everything runs on one thread; times are CPU time of the process, packing included.
All solvers take turns in one run, and ratios are medians of the ratios of the rounds.  51 sources are too many for the
loop: it is measured on a sample of pairs and scaled up, as the column ``pairs_measured`` tells.  (The fallback's time
for the sample holds the merging of all 51 sources, so that scaled up it is too long: do not quote it.)  1,000 sources
are bootstrap samples of Adult of 200 rows, measured on one tile of 50 x 50 sources and scaled up.

Run ``TAMIS_SHARED=... python benchmarks/source_pairs.py`` with the tables of the published experiments in
$TAMIS_SHARED/data/tab: about half a minute of one core.  Writes benchmarks/results/source_pairs.csv.

``--recreated`` measures something else, and writes benchmarks/results/source_pairs_recreated.csv: the native solver
beside a re-creation of the published code (benchmarks/recreated_pairs.py tells what that is and is not; needs jax).
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from tamis.bench import describe_machine
from tamis.sources import Source, load_tabular, split_sources
from tamis.sources._compare import estimate_with_numpy
from tamis.sources._native import estimate_natively
from tamis.sources._packing import pack_source
from tamis.sources._pair import Wanted
from tamis.sources._tiles import compare_in_tiles
from tamis.storage import write_atomic

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = (
    "table", "sources", "rows_each", "columns", "disparity", "solver", "pairs", "pairs_measured", "cpu_s", "wall_s",
    "times_native", "mean_difference", "largest_difference",
)  # fmt: skip
CASES = (("german", 5, 5), ("compas", 5, 5), ("adult", 5, 1), ("adult", 51, 1))
RECREATED, FEW = (("german", 5), ("compas", 5)), 2  # pairs of the re-creation, which takes seconds for each
SAMPLE = 10  # pairs of the loop where there are many
MANY, ROWS, SIDE, TILES = 1000, 200, 50, 1


def cross_entropy(theta, X, target, weight):
    """Weighted logistic loss and its gradient."""
    f = theta[0] + X @ theta[1:]
    small = np.exp(-np.abs(f))
    sigmoid = np.where(f >= 0, 1.0, small) / (1.0 + small)
    loss = weight @ (np.maximum(f, 0) + np.log1p(small) - target * f)
    residual = weight * (sigmoid - target)
    return loss, np.concatenate([[residual.sum()], residual @ X])


def fit(X, target, weight):
    """Unpenalised logistic regression."""
    start = np.zeros(X.shape[1] + 1)
    options = {"gtol": 1e-4, "maxiter": 700}
    return minimize(cross_entropy, start, (X, target, weight), jac=True, method="L-BFGS-B", options=options).x


def ridge_start(X, target):
    """Logistic regression with penalty, C = 1."""

    def loss(theta):
        value, gradient = cross_entropy(theta, X, target, np.ones(len(X)))
        gradient[1:] += theta[1:]
        return value + 0.5 * theta[1:] @ theta[1:], gradient

    options = {"gtol": 1e-4, "maxiter": 500}
    return minimize(loss, np.zeros(X.shape[1] + 1), jac=True, method="L-BFGS-B", options=options).x


def published(X_i, a_i, X_j, a_j):
    """The result of BFGS for the published disparity, loss on i."""
    weight = 0.5 * np.where(a_i == 0, 1 / (a_i == 0).sum(), 1 / (a_i == 1).sum())
    signed = np.where(a_j == 0, 1 / (a_j == 0).sum(), -1 / (a_j == 1).sum())
    target = (a_i == 0).astype(float)

    def loss(theta):
        f = theta[0] + X_i @ theta[1:]
        inside, f = np.abs(f) <= 20, np.clip(f, -20, 20)
        small = np.exp(-np.abs(f))
        sigmoid = np.where(f >= 0, 1.0, small) / (1.0 + small)
        value = weight @ (np.maximum(f, 0) + np.log1p(small) - target * f)
        residual = weight * (sigmoid - target) * inside
        g = theta[0] + X_j @ theta[1:]
        inside, g = np.abs(g) <= 20, np.clip(g, -20, 20)
        sigmoid = 1 / (1 + np.exp(-g))
        m, slope = signed @ sigmoid, signed * sigmoid * (1 - sigmoid) * inside
        root = np.sqrt(m * m + 1e-8)
        factor = m * (m * m + 2e-8) / root**3
        gradient = np.concatenate([[residual.sum() + factor * slope.sum()], residual @ X_i + factor * (slope @ X_j)])
        return value + m * m / root, gradient

    options = {"gtol": 1e-4, "maxiter": 500}
    return minimize(loss, ridge_start(X_i, target), jac=True, method="BFGS", options=options).x


def gap(theta, X, a):
    """Signed demographic-parity gap of hard predictions."""
    positive = theta[0] + X @ theta[1:] >= 0
    return positive[a == 0].mean() - positive[a == 1].mean()


def scipy_loop(sources: list[Source], pairs, disparity: str):
    """Discrepancy and disparity of every pair."""
    found = np.empty((len(pairs), 2))
    for p, (i, j) in enumerate(pairs.tolist()):
        one, two = sources[i], sources[j]
        stacked = np.concatenate([one.X, two.X])
        scale = stacked.std(axis=0)
        stacked = (stacked - stacked.mean(axis=0)) / np.where(scale > 0, scale, 1)
        n_one, n_two = len(one.y), len(two.y)
        X_one, X_two = stacked[:n_one], stacked[n_one:]
        weight = np.concatenate([np.full(n_one, 1 / n_one), np.full(n_two, 1 / n_two)])
        theta = fit(stacked, np.concatenate([one.y, 1 - two.y]), weight)
        positive = theta[0] + stacked @ theta[1:] >= 0
        found[p, 0] = abs(np.mean(positive[:n_one] != one.y) - np.mean(positive[n_one:] != two.y))
        if disparity == "signed":
            weight = np.concatenate(
                [0.5 / np.bincount(s.a.astype(int), minlength=2)[s.a.astype(int)] for s in (one, two)]
            )
            theta = fit(stacked, np.concatenate([one.a == 0, two.a == 1]).astype(float), weight)
            found[p, 1] = abs(gap(theta, X_one, one.a) - gap(theta, X_two, two.a))
            continue
        values = []
        for args in ((X_one, one.a, X_two, two.a), (X_two, two.a, X_one, one.a)):
            theta = published(*args)
            values.append(abs(abs(gap(theta, X_one, one.a)) - abs(gap(theta, X_two, two.a))))
        found[p, 1] = max(values)
    return found


def packed_of(sources: list[Source]):
    """Merged rows, as FLEA makes them."""
    return [pack_source(source.X, source.y.astype(int), source.a.astype(int)) for source in sources]


def wanted_of(disparity: str) -> Wanted:
    """Discrepancy and one disparity."""
    return Wanted(signed=disparity == "signed", published=disparity == "published")


def columns_of(values, disparity: str):
    """Discrepancy and disparity of every pair from a solver's four columns."""
    return np.column_stack([values[:, 0], values[:, 1] if disparity == "signed" else values[:, 2:].max(axis=1)])


def timed(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """CPU seconds, wall seconds, result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def compare_solvers(name: str, count: int, rounds: int) -> list[list[object]]:
    """The rows of one table of data: three solvers in turns."""
    sources = split_sources(load_tabular(name), 0, count).sources
    pairs = np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)
    rows_each = int(np.median([len(source.y) for source in sources]))
    sample = pairs if len(pairs) <= SAMPLE else pairs[np.random.default_rng(0).permutation(len(pairs))[:SAMPLE]]
    rows = []
    for disparity in ("signed", "published"):
        wanted = wanted_of(disparity)

        def natively(wanted=wanted, disparity=disparity):
            return columns_of(estimate_natively(packed_of(sources), pairs, wanted, False)[0], disparity)

        def with_numpy(wanted=wanted, disparity=disparity):
            return columns_of(estimate_with_numpy(packed_of(sources), sample, wanted)[0], disparity)

        def with_scipy(disparity=disparity):
            return scipy_loop(sources, sample, disparity)

        solvers = {"native": natively, "NumPy fallback": with_numpy, "SciPy loop": with_scipy}
        natively()
        runs: dict[str, list[tuple[float, float, np.ndarray]]] = {solver: [] for solver in solvers}
        for _ in range(rounds):
            for solver, work in solvers.items():
                runs[solver].append(timed(work))
        here = {tuple(pair): place for place, pair in enumerate(pairs.tolist())}
        reference = runs["native"][0][2][[here[tuple(pair)] for pair in sample.tolist()]]
        for solver, times in runs.items():
            share = 1 if solver == "native" else len(pairs) / len(sample)
            ratio = statistics.median(
                share * mine[0] / native[0] for mine, native in zip(times, runs["native"], strict=True)
            )
            difference = np.abs(times[0][2][:, 1] - (reference[:, 1] if solver != "native" else times[0][2][:, 1]))
            what = [name, count, rows_each, sources[0].X.shape[1], disparity, solver]
            amount = [len(pairs), len(pairs) if solver == "native" else len(sample)]
            seconds = [f"{share * statistics.median(t[which] for t in times):.4g}" for which in (0, 1)]
            found = [f"{ratio:.3g}", f"{difference.mean():.2g}", f"{difference.max():.2g}"]
            rows.append([*what, *amount, *seconds, *found])
            print(*rows[-1])
    return rows


def many_sources() -> list[list[object]]:
    """1,000 sources of 200 rows: one tile of 50 x 50 sources, scaled up to all pairs."""
    data, random = load_tabular("adult"), np.random.default_rng(0)
    drawn = [random.integers(0, len(data.y), ROWS) for _ in range(MANY)]
    begin = time.process_time()
    packed = [pack_source(data.X[rows], data.y[rows].astype(int), data.a[rows].astype(int)) for rows in drawn]
    packing = time.process_time() - begin
    total = MANY * (MANY - 1) // 2
    pairs = np.array(
        [(i, SIDE * (tile + 1) + j) for tile in range(TILES) for i in range(SIDE) for j in range(SIDE)], dtype=np.int64
    )
    rows = []
    for disparity in ("signed", "published"):
        cpu, wall, _ = timed(lambda d=disparity: compare_in_tiles(packed, pairs, wanted_of(d), side=SIDE)[0])
        share = total / len(pairs)
        numbers = [f"{packing + share * cpu:.4g}", f"{packing + share * wall:.4g}"]
        rows.append(
            [
                "adult",
                MANY,
                ROWS,
                data.X.shape[1],
                disparity,
                "native, in tiles",
                total,
                len(pairs),
                *numbers,
                "1",
                "",
                "",
            ]
        )
        print(*rows[-1])
    return rows


def beside_the_recreated(name: str, count: int) -> list[list[object]]:
    """The rows of one table of data: native, then the re-creation with both kinds of gradient, published disparity."""
    from recreated_pairs import AS_PUBLISHED, COMPILED, recreated_loop

    sources = split_sources(load_tabular(name), 0, count).sources
    pairs = np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)

    def natively():
        return columns_of(estimate_natively(packed_of(sources), pairs, wanted_of("published"), False)[0], "published")

    natively()
    native = sorted((timed(natively) for _ in range(9)), key=lambda run: run[0])[4]
    some = np.random.default_rng(0).permutation(len(pairs))[:FEW]
    solvers = {
        "native": lambda: native,
        "re-created, gradient as published": lambda: timed(lambda: recreated_loop(sources, pairs[some], AS_PUBLISHED)),
        "re-created, gradient compiled": lambda: timed(lambda: recreated_loop(sources, pairs[some], COMPILED)),
    }
    rows: list[list[object]] = []
    for solver, measure in solvers.items():
        cpu, wall, found = measure()
        share = len(pairs) / len(found)
        difference = np.abs(found[:, 1] - (native[2] if share == 1 else native[2][some])[:, 1])
        what = [name, count, int(np.median([len(source.y) for source in sources])), sources[0].X.shape[1]]
        numbers = [f"{share * cpu:.4g}", f"{share * wall:.4g}", f"{share * cpu / native[0]:.3g}"]
        numbers += [f"{difference.mean():.2g}", f"{difference.max():.2g}"]
        rows.append([*what, "published", solver, len(pairs), len(found), *numbers])
        print(*rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recreated", action="store_true", help="beside the re-created published code instead")
    recreated = parser.parse_args().recreated
    torch.set_num_threads(1)
    machine = describe_machine()
    if recreated:
        import jax

        machine["peers"] = {"jax": jax.__version__}
        rows = [row for case in RECREATED for row in beside_the_recreated(*case)]
    else:
        rows = [row for case in CASES for row in compare_solvers(*case)] + many_sources()
    text = io.StringIO()
    text.writelines(f"# {key}: {value}\n" for key, value in machine.items())
    text.write(f"# load_average_at_the_end: {describe_machine()['load_average']}\n")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    name = "source_pairs_recreated.csv" if recreated else "source_pairs.csv"
    write_atomic(ROOT / "benchmarks" / "results" / name, text.getvalue())


if __name__ == "__main__":
    main()
