"""Layers here run the sparse side, so that nothing is measured."""

import pytest


@pytest.fixture(autouse=True)
def _steady(one_thread, sparse_side):
    """Every test of the room."""
