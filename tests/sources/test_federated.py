"""Sources that keep their rows: equal to pooled rows, over separate processes, and messages that do not fit."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.errors import UsageError
from tamis.sources import FLEA, FederatedSource, _compare, message_from_bytes, message_to_bytes

from .flea_vectors import SETS, Rows, random_rows, rows_of

MATRICES = ("discrepancy_", "disparity_", "disbalance_", "distances_", "scores_", "support_")


def clients_of(rows: Rows, **parameters) -> dict[int, FederatedSource]:
    return {
        int(i): FederatedSource(
            rows.X[rows.s == i], rows.y[rows.s == i], sensitive_features=rows.a[rows.s == i], **parameters
        )
        for i in np.unique(rows.s)
    }


def pooled(rows: Rows, **parameters) -> FLEA:
    return FLEA(**parameters).fit(rows.X, rows.y, sensitive_features=rows.a, sources=rows.s)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000), disparity=st.sampled_from(["signed", "published"]))
def test_federated_equals_pooled_with_the_same_solver_bit_for_bit(seed, disparity):
    rows = random_rows(seed, most=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compare, "native_available", lambda: False)
        expected = pooled(rows, disparity=disparity, include_sensitive=True)
    found = FLEA(disparity=disparity).fit_federated(clients_of(rows))
    for name in MATRICES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.n_not_converged_ == expected.n_not_converged_


@pytest.mark.parametrize("name", ["A", "C"])
def test_federated_equals_the_vectors_and_needs_few_rounds(name):
    expected = SETS[name]["expected"]
    signed = FLEA(n_clean=SETS[name]["K"]).fit_federated(clients_of(rows_of(name), include_sensitive=False))
    np.testing.assert_allclose(signed.discrepancy_, expected["disc"], atol=1e-9)
    np.testing.assert_allclose(signed.disparity_, expected["sdisp"], atol=1e-9)
    assert np.flatnonzero(signed.support_).tolist() == sorted(expected["signed_sum"]["selected"])
    assert signed.n_rounds_ < 40
    published = FLEA(disparity="published").fit_federated(clients_of(rows_of(name), include_sensitive=False))
    np.testing.assert_allclose(published.disparity_, expected["disp"], atol=1e-9)


def provider(pipe: multiprocessing.connection.Connection, seed: int, source: int) -> None:
    """A process that reads its own rows, and of which only messages leave."""
    rows = random_rows(seed)
    mine = FederatedSource(
        rows.X[rows.s == source], rows.y[rows.s == source], sensitive_features=rows.a[rows.s == source]
    )
    while request := pipe.recv_bytes():
        reply = mine.summary() if request == b"summary" else mine.answer(message_from_bytes(request))
        pipe.send_bytes(message_to_bytes(reply))


class Remote:
    """The coordinator's end of a pipe to such a process."""

    def __init__(self, pipe: multiprocessing.connection.Connection) -> None:
        self.pipe = pipe

    def summary(self):
        self.pipe.send_bytes(b"summary")
        return message_from_bytes(self.pipe.recv_bytes())

    def answer(self, request):
        self.pipe.send_bytes(message_to_bytes(request))
        return message_from_bytes(self.pipe.recv_bytes())


def test_sources_in_separate_processes_give_the_pooled_result():
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for source in range(2):
        here, there = context.Pipe()
        process = context.Process(target=provider, args=(there, 5, source))
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    try:
        clients = {source: Remote(pipe) for source, pipe in enumerate(pipes)} | {2: clients_of(random_rows(5))[2]}
        found = FLEA(n_clean=2).fit_federated(clients)
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send_bytes(b"")
            process.join(60)
            pipe.close()
    rows = random_rows(5)
    three = rows.s < 3
    expected = pooled(Rows(rows.X[three], rows.y[three], rows.a[three], rows.s[three]), n_clean=2)
    for name in MATRICES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9, err_msg=name)
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_source_sends_sums_and_no_rows():
    rows = random_rows(3)
    source = clients_of(rows)[0]
    size = rows.X.shape[1] + 2
    request = {
        "terms": np.array([0, 7], dtype=np.int64),
        "coefficients": np.ones((2, size)),
        "hessians": np.array([True, False]),
    }
    reply = source.answer(request)
    assert {name: part.shape for name, part in reply.items()} == {
        "values": (2,),
        "gradients": (2, size),
        "hessians": (1, size, size),
    }
    assert {name: part.shape for name, part in source.summary().items()} == {
        "cells": (4,),
        "centre": (size - 1,),
        "mean": (size - 1,),
        "variance": (size - 1,),
        "groups": (),
    }


def test_messages_survive_the_way_as_bytes():
    message = {"terms": np.array([1, 2]), "coefficients": np.array([[0.1, np.pi]]), "hessians": np.array([True])}
    again = message_from_bytes(message_to_bytes(message))
    assert set(again) == set(message)
    for name, part in message.items():
        np.testing.assert_array_equal(again[name], part)
        assert again[name].dtype == part.dtype


@pytest.mark.parametrize("damage", [b"", b"PK", b"no message at all", "cut", "flip"])
def test_damaged_bytes_are_refused_in_one_sentence(damage):
    good = message_to_bytes({"values": np.arange(100.0)})
    data = good[: len(good) // 2] if damage == "cut" else good
    if damage == "flip":
        data = good[:200] + bytes([good[200] ^ 255]) + good[201:]
    with pytest.raises(UsageError, match=r"a message of \d+ bytes cannot be read"):
        message_from_bytes(damage if isinstance(damage, bytes) else data)


class Bent:
    """A client whose answers are bent on the way."""

    def __init__(self, client, summary=None, answer=None):
        self.client, self.bent_summary, self.bent_answer = client, summary or {}, answer or {}

    def summary(self):
        return {k: v for k, v in (self.client.summary() | self.bent_summary).items() if v is not None}

    def answer(self, request):
        reply = self.client.answer(request)
        changed = {name: change(reply[name]) for name, change in self.bent_answer.items()}
        return {k: v for k, v in (reply | changed).items() if v is not None}


@pytest.mark.parametrize(
    ("bent", "message"),
    [
        ({"summary": {"cells": np.zeros(4, dtype=np.int64)}}, "the summary of source 1 tells of no rows"),
        (
            {"summary": {"cells": np.ones(3, dtype=np.int64)}},
            r"'cells' in the summary of source 1 must be int64 of shape \(4,\)",
        ),
        ({"summary": {"cells": np.ones(4)}}, "must be int64"),
        ({"summary": {"variance": None}}, "the summary of source 1 lacks 'variance'"),
        ({"summary": {"variance": np.full(4, np.nan)}}, "no means and variances"),
        ({"summary": {"variance": np.full(4, -1.0)}}, "no means and variances"),
        ({"summary": dict.fromkeys(("centre", "mean", "variance"), np.ones(2))}, "different numbers of columns"),
        ({"summary": {"groups": np.array(False)}}, "all or none must"),
        ({"answer": {"values": lambda v: v * np.nan}}, "the answer of source 1 holds NaN"),
        ({"answer": {"values": lambda v: v[:-1]}}, "'values' in the answer of source 1 must be float64 of shape"),
        ({"answer": {"gradients": lambda g: g.astype(np.float32)}}, "'gradients' in the answer"),
        ({"answer": {"hessians": lambda h: None}}, "the answer of source 1 lacks 'hessians'"),
    ],
)
def test_malformed_messages_are_refused_by_the_name_of_the_source(bent, message):
    clients = clients_of(random_rows(0))
    clients[1] = Bent(clients[1], **bent)
    with pytest.raises(UsageError, match=message):
        FLEA().fit_federated(clients)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": np.array([99])}, "asks for a sum that does not exist"),
        ({"coefficients": np.ones((1, 2))}, r"'coefficients' in the request must be float64 of shape \(1, 5\)"),
        ({"hessians": np.array([1])}, "'hessians' in the request must be bool"),
        ({"terms": None}, "the request lacks 'terms'"),
    ],
)
def test_a_source_refuses_requests_of_another_form(change, message):
    good = {"terms": np.array([0]), "coefficients": np.ones((1, 5)), "hessians": np.array([False])}
    request = {name: part for name, part in (good | change).items() if part is not None}
    with pytest.raises(UsageError, match=message):
        clients_of(random_rows(0))[0].answer(request)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[]], []), "rows and columns"),
        ((np.zeros((0, 2)), []), "rows and columns"),
        (([[1.0], [np.nan]], [0, 1]), "NaN or infinite"),
        (([[1.0], [2.0]], [1, 2]), "y of a federated source must hold 0 and 1"),
        (([[1.0], [2.0]], ["0", "1"]), "y of a federated source must hold 0 and 1"),
        (([[1.0], [2.0]], [0]), "y has 1 rows and X 2"),
    ],
)
def test_a_source_refuses_rows_that_do_not_fit(arguments, message):
    with pytest.raises(UsageError, match=message):
        FederatedSource(*arguments)


def test_one_source_or_a_missing_group_are_refused():
    rows = random_rows(0)
    with pytest.raises(UsageError, match="at least two sources"):
        FLEA().fit_federated({0: clients_of(rows)[0]})
    rows.a[rows.s == 1] = 0
    with pytest.raises(UsageError, match="source 1 has no row with 1"):
        FLEA().fit_federated(clients_of(rows))
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        found = FLEA(on_empty_group="max").fit_federated(clients_of(rows))
    assert (found.disparity_[1, [0, 2, 3]] == 2).all()
    assert any("largest value" in str(note.message) for note in noted)


def test_add_source_needs_rows():
    with pytest.raises(UsageError, match="fitted with at least two sources"):
        FLEA().fit_federated(clients_of(random_rows(0))).add_source([[1.0]], [0], name=7)
