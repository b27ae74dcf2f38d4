"""The eleven adversaries: the golden vectors, untouched inputs, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sources import ADVERSARIES, CODES, Adversary, Source, as_source, independent_rows, manipulate, pooled
from tamis.sources._manipulations import DRAWN_IN_CODE, DRAWN_IN_RESULTS
from tamis.study._source_study import ADVERSARIES as NAMES_OF_THE_STUDY

from .learner_vectors import VECTORS

GIVEN = VECTORS["adversaries"]


def sources_of(given=GIVEN["sources"]) -> list[Source]:
    return [as_source(part["X"], part["y"], part["a"]) for part in given]


def same(found: Source, expected: dict) -> bool:
    return all(np.array_equal(getattr(found, key), expected[key]) for key in ("X", "y", "a"))


@pytest.mark.parametrize("name", [name for name in GIVEN["result"] if name != "random"])
def test_an_adversary_does_what_the_vectors_say_and_leaves_other_sources_alone(name):
    before = sources_of()
    found, done = manipulate(before, name, [1], 2, np.random.RandomState(7))
    assert same(found[1], GIVEN["result"][name])
    assert done == ["none", name, "none"]
    for place in (0, 2):
        assert same(found[place], GIVEN["sources"][place])


def test_random_draws_for_every_source_what_the_vectors_say():
    found, done = manipulate(sources_of(), "random", [0, 1, 2], 2, np.random.RandomState(7))
    assert done == GIVEN["result"]["random"]["drawn"]
    assert all(same(*pair) for pair in zip(found, GIVEN["result"]["random"]["sources"], strict=True))
    _, second = manipulate(sources_of(), "random", [1], 2, np.random.RandomState(3))
    draws = np.random.RandomState(3)
    assert second[1] == ADVERSARIES[1:-1][[draws.randint(9) for _ in range(2)][1]]


def test_rows_drawn_by_preprocessing_are_those_of_the_vectors():
    pool = pooled(sources_of())
    found = independent_rows(pool.y, pool.a, np.random.RandomState(7))
    assert found.tolist() == GIVEN["preprocessing_rows"]["rows"]


def test_there_are_eleven_with_codes_and_the_study_knows_the_same():
    assert ADVERSARIES == tuple(CODES) == NAMES_OF_THE_STUDY
    assert len(set(CODES.values())) == 11


@st.composite
def some_sources(draw):
    """Three sources of different size; every combination of group and label occurs in each."""
    found = []
    for _ in range(3):
        n = draw(st.integers(4, 12))
        y = np.array([0, 1, 0, 1, *draw(st.lists(st.integers(0, 1), min_size=n - 4, max_size=n - 4))])
        a = np.array([0, 0, 1, 1, *draw(st.lists(st.integers(0, 1), min_size=n - 4, max_size=n - 4))])
        x = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
        found.append(as_source(np.column_stack([x, a]), y, a))
    return found


@settings(max_examples=40, deadline=None)
@given(some_sources(), st.sampled_from(ADVERSARIES), st.integers(0, 5))
def test_inputs_stay_as_they_are_and_the_group_column_follows_the_group(parts, name, seed):
    before = [Source(*(array.copy() for array in part)) for part in parts]
    for part in parts:
        for array in part:
            array.flags.writeable = False
    found, _ = manipulate(parts, name, [0, 2], 1, np.random.RandomState(seed))
    for old, now in zip(parts, before, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(old, now, strict=True))
    pool = {tuple(row) for part in parts for row in np.column_stack([part.X, part.y, part.a]).tolist()}
    for old, new in zip(parts, found, strict=True):
        assert np.array_equal(new.X[:, 1], new.a)
        assert not any(np.shares_memory(one, other) for one in old for other in new)
        assert len(new.X) == len(new.y) == len(new.a) >= len(old.y) or name in (
            "randomanchor#0",
            "randomanchor#1",
            "random",
        )
        if name.startswith(("resample", "randomanchor")):
            assert {tuple(row) for row in np.column_stack([new.X, new.y, new.a]).tolist()} <= pool
    again, _ = manipulate(parts, name, [0, 2], 1, np.random.RandomState(seed))
    assert all(
        np.array_equal(one, other) for x, y in zip(found, again, strict=True) for one, other in zip(x, y, strict=True)
    )


@settings(max_examples=20, deadline=None)
@given(some_sources(), st.sampled_from(["flip#protected", "flip#target", "flip#protected#target"]))
def test_a_flip_done_twice_is_no_flip(parts, name):
    random = np.random.RandomState(0)
    twice, _ = manipulate(manipulate(parts, name, [0], 1, random)[0], name, [0], 1, random)
    assert all(np.array_equal(one, other) for one, other in zip(twice[0], parts[0], strict=True))


def test_what_each_adversary_makes_of_four_rows():
    part = as_source([[5.0], [6.0], [7.0], [8.0]], [0, 0, 1, 1], [0, 1, 0, 1])
    expected = {  # y, a
        "flip#protected": ([0, 0, 1, 1], [1, 0, 1, 0]),
        "flip#target": ([1, 1, 0, 0], [0, 1, 0, 1]),
        "flip#protected#target": ([1, 1, 0, 0], [1, 0, 1, 0]),
        "copy#protected#target": ([0, 0, 1, 1], [0, 0, 1, 1]),
        "copy#target#protected": ([0, 1, 0, 1], [0, 1, 0, 1]),
        "resample#1": ([0, 1, 0, 1], [0, 1, 0, 1]),
    }
    for name, (y, a) in expected.items():
        (found,), _ = manipulate([part], name, [0], None, np.random.RandomState(0))
        assert (found.y.tolist(), found.a.tolist()) == (y, a), name


@pytest.mark.parametrize("v", [0, 1])
def test_a_source_without_an_anchor_row_is_refused(v):
    full = as_source([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], [0, 1, 0, 1])
    lacking = as_source([[0.0], [1.0]], [1, 1], [1 - v, v])
    with pytest.raises(UsageError, match=f"randomanchor#{v}: no row of group {1 - v} with label 0"):
        manipulate([full, lacking], f"randomanchor#{v}", [1], None, np.random.RandomState(0))


def test_an_empty_pool_is_refused():
    part = as_source([[0.0], [1.0], [2.0]], [0, 0, 1], [0, 1, 0])  # nobody has a = 1 and y = 1
    with pytest.raises(UsageError, match="no source has a row of group 1 with label 1"):
        manipulate([part], "resample#1", [0], None, np.random.RandomState(0))
    with pytest.raises(UsageError, match="no source has a row of group 1 with label 1"):
        manipulate([part], "randomanchor#0", [0], None, np.random.RandomState(0))


def test_the_transformer_returns_rows_source_after_source():
    parts = sources_of()
    whole = pooled(parts)
    labels = np.repeat(["north", "east", "south"], [len(part.y) for part in parts])
    adversary = Adversary("flip#protected", bad_sources=["east"], random_state=7)
    found = adversary.transform(whole.X, whole.y, sensitive_features=whole.a, sources=labels)
    assert found.sources.tolist() == sorted(labels)
    east = found.sources == "east"
    assert same(Source(found.X[east], found.y[east], found.sensitive_features[east]), GIVEN["result"]["flip#protected"])
    assert adversary.applied_ == {"east": "flip#protected", "north": "none", "south": "none"}
    alone = Adversary("flip#protected", bad_sources=["east"], sensitive_column=False)
    kept = alone.transform(whole.X, whole.y, sensitive_features=whole.a, sources=labels)
    assert np.array_equal(kept.X[east], parts[1].X)


@pytest.mark.parametrize(
    ("settings", "change", "words"),
    [
        ({"name": "flip"}, {}, "adversary 'flip': expected one of none, flip#protected"),
        ({"bad_sources": ["west"]}, {}, "no such source"),
        ({"sensitive_column": 0}, {}, "does not hold the sensitive feature"),
        ({}, {"y": np.full(27, 2)}, "y has values other than 0 and 1"),
        ({}, {"X": np.full((27, 3), np.nan)}, "NaN or infinite"),
        ({}, {"X": np.zeros(27)}, "expected rows and columns"),
        ({}, {"y": np.zeros(3)}, "y has 3 values for 27 rows"),
    ],
)
def test_what_the_transformer_cannot_do_it_says(settings, change, words):
    whole = pooled(sources_of())
    given = {"X": whole.X, "y": whole.y, **change}
    adversary = Adversary(**{"bad_sources": [0], **settings})
    with pytest.raises(UsageError, match=words):
        adversary.transform(
            given["X"], given["y"], sensitive_features=whole.a, sources=np.repeat([0, 1, 2], [9, 10, 8])
        )


def test_random_draws_from_nine_as_the_published_code_and_from_seven_as_the_published_results():
    parts = sources_of()
    assert ADVERSARIES[1:-1] == DRAWN_IN_CODE
    assert ADVERSARIES[1:8] == DRAWN_IN_RESULTS
    for drawn in (DRAWN_IN_CODE, DRAWN_IN_RESULTS):
        for seed in range(20):
            expected = drawn[np.random.RandomState(seed).randint(len(drawn))]
            _, done = manipulate(parts, "random", [0], 2, np.random.RandomState(seed), drawn)
            assert done == [expected, "none", "none"]
    default = [manipulate(parts, "random", [0], 2, np.random.RandomState(seed))[1][0] for seed in range(60)]
    assert set(default) == set(DRAWN_IN_CODE)


def test_an_unknown_position_is_refused():
    with pytest.raises(UsageError, match=r"bad sources \[5\]"):
        manipulate(sources_of(), "none", [5], None, np.random.RandomState(0))
