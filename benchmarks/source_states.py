"""Which of 51 states FLEA keeps when some of them are manipulated: income of the American Community Survey.

    TAMIS_SHARED=... python benchmarks/source_states.py --bad 10 20

One seed: the states as sources, with the first ``--rows`` of their training rows in random order, the bad ones drawn
as in the published protocol, every adversary in turn.  Only pairs with a bad state change from one adversary to the
next; all others are compared once.  From the same distances sources are chosen in two ways: with the true number of
clean ones, as the published runs do, and with ``n_clean="auto"``.  The published runs drew other rows of the survey, so
shares can be compared, rows cannot: ``above_published`` is our share of bad states among the kept minus the published
mean over ten seeds (published disparity, true number).

Writes benchmarks/results/sources_states.csv.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from tamis.bench import describe_machine, write_csv
from tamis.sources import Source, bad_sources, independent_rows, load_tabular, manipulate, pooled, split_sources
from tamis.sources._choice import choose
from tamis.sources._manipulations import DRAWN_IN_RESULTS
from tamis.sources._matrices import Measures, empty_matrices, fill, pairs_to_compare
from tamis.sources._packing import pack_source
from tamis.sources._tiles import compare_in_tiles
from tamis.study import read_published
from tamis.study._source_study import ADVERSARIES

RESULTS = Path(__file__).parent / "results"
MEASURES = Measures(("discrepancy", "disparity", "disbalance"), "signed")


def published_means(file: Path | None) -> dict[tuple[int, str], float]:
    """Mean share of bad states among the kept over the published seeds, by number of bad states and adversary."""
    shares = defaultdict(list)
    for (what, adversary, _, method, learner), found in (read_published(file) if file else {}).items():
        if what[0] == "acs51" and method == "flea" and learner == "none" and found[2] is not None:
            shares[what[2], adversary].append(found[2])
    return {key: float(np.mean(values)) for key, values in shares.items()}


def packed_of(source):
    """Merged rows, as FLEA makes them; the group is a column already."""
    return pack_source(source.X, source.y.astype(int), source.a.astype(int))


def compared(matrices, packed, pairs):
    """Fill ``matrices`` for ``pairs``."""
    summaries = [source.summary for source in packed]
    fill(matrices, summaries, pairs, MEASURES, lambda some, wanted: compare_in_tiles(packed, some, wanted))


def states(seed: int, n_bad: int, rows: int, published: dict[tuple[int, str], float]):
    """One row for each adversary and rule."""
    data = load_tabular("acs51")
    sources = [Source(*(part[:rows] for part in source)) for source in split_sources(data, seed, 51).sources]
    bad = bad_sources(seed, 51, n_bad)
    random = np.random.RandomState(seed)
    for part in (sources, [source for place, source in enumerate(sources) if place not in bad]):  # as in the study
        pool = pooled(part)
        independent_rows(pool.y, pool.a, random)
    before = random.get_state()
    untouched = [packed_of(source) for source in sources]
    blank, pairs = empty_matrices(51, MEASURES), pairs_to_compare(51, None)
    touched = np.isin(pairs, bad).any(axis=1)
    compared(blank, untouched, pairs[~touched])
    for adversary in ADVERSARIES:
        began = time.process_time()
        random.set_state(before)
        changed, _ = manipulate(sources, adversary, bad, data.sensitive_column, random, DRAWN_IN_RESULTS)
        packed = [packed_of(changed[place]) if place in bad else untouched[place] for place in range(51)]
        compared(blank, packed, pairs[touched])
        distances = blank.distances("sum")
        for rule, n_clean in (("known", 51 - n_bad), ("auto", "auto")):
            kept = np.flatnonzero(choose(distances, n_clean).support)
            share = float(np.isin(kept, bad).mean())
            known = published.get((n_bad, adversary))
            row = {
                "n_bad": n_bad, "adversary": adversary, "seed": seed, "rule": rule, "kept": len(kept),
                "bad_kept": int(np.isin(kept, bad).sum()), "bad_frac": round(share, 4),
                "above_published": round(share - known, 4) if rule == "known" and known is not None else "",
                "cpu_s": round(time.process_time() - began, 1),
            }  # fmt: skip
            print(row, flush=True)
            yield row


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bad", type=int, nargs="+", default=[10, 20], help="how many states are manipulated")
    parser.add_argument("--rows", type=int, default=1000, help="at most, of each state; the protocol has 4000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--published", type=Path, help="CSV of the published results, .gz too")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    published = published_means(options.published)
    rows = [row for n_bad in options.bad for row in states(options.seed, n_bad, options.rows, published)]
    about = {"data": f"acs51, 51 states, at most {options.rows} training rows each, 78 columns", "disparity": "signed"}
    write_csv(options.out / "sources_states.csv", rows, describe_machine(), about)


if __name__ == "__main__":
    main()
