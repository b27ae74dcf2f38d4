"""Tiles sent to threads, processes and Dask through joblib: the same bits as solved here."""

from __future__ import annotations

import joblib
import numpy as np
import pytest

from tamis.sources import FLEA

from .flea_vectors import random_rows

ROWS = random_rows(7, sources=24, most=30)


def distances(**parameters) -> bytes:
    found = FLEA(**parameters).fit(ROWS.X, ROWS.y, sensitive_features=ROWS.a, sources=ROWS.s)
    assert np.isfinite(found.distances_).all()
    return found.distances_.tobytes()


def test_threads_change_no_bit():
    here = distances()
    with joblib.parallel_config(backend="threading", n_jobs=3):
        assert distances(n_jobs=3) == here


@pytest.mark.slow
def test_processes_change_no_bit():
    assert distances(n_jobs=2) == distances()


def test_dask_changes_no_bit():
    distributed = pytest.importorskip("distributed", reason="needs the extra tamis[cluster]")
    here = distances()
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert distances(n_jobs=2) == here
