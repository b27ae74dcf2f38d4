"""A small audit that several files look at."""

from __future__ import annotations

import pytest
from tests.audit.identity_world import identity_world
from tests.audit.worlds import world

import tamis


@pytest.fixture(scope="module")
def given():
    return world(n=500, seeds=3, levels=(0.9, 0.98))


@pytest.fixture(scope="module")
def report(given):
    return tamis.audit(**given, intersections=[("Male", "Young")])


@pytest.fixture(scope="module")
def people():
    return identity_world()


@pytest.fixture(scope="module")
def people_content(people):
    return tamis.audit(**people).content
