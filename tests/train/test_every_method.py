"""Every method can be named in a recipe, with the options of its constructor, and leaves a complete run."""

import inspect
from dataclasses import fields, replace

import pytest

from tamis.methods import METHODS, Sparsifier
from tamis.train import (
    OPTIONS,
    Pattern,
    Schedule,
    Train,
    fit,
    read_metrics,
)
from tamis.train._method import build_sparsifier

from .method_recipes import recipe

# What a recipe says elsewhere (sparsity, distribution, examples), derives (steps), or leaves to code.
NOT_OPTIONS = {
    "sparsity", "total_steps", "distribution", "pattern", "steps_per_level", "first_steps", "record_every", "rests",
    "keep_neurons", "input_shape", "reparameterise",
}  # fmt: skip
SAID_OTHERWISE = {
    "acdc": {
        "schedule",
        "steps_per_epoch",
        "returning",
        "ramp",
        "warmup",
        "sparse",
        "dense",
        "last_dense",
        "last_sparse",
    },
    "oneshot": {"at_step", "epoch"},
    "randompruning": {"at_step", "epoch"},
    "wanda": {"at_step", "epoch"},
    "sparsegpt": {"at_step", "epoch"},
    "ste": {"every"},
    "srste": {"every", "start", "end", "initial"},  # fixed by the pattern
    "ltht": {"rewind_step", "from_zeros"},
}
MANY = [name for name in OPTIONS if name != "dense"]


def constructor(method: str) -> dict[str, inspect.Parameter]:
    """The keywords of a method's constructors, without those that all methods share."""
    found = {}
    for kind in reversed(METHODS[method].__mro__):
        if issubclass(kind, Sparsifier) and kind is not Sparsifier and "__init__" in kind.__dict__:
            found |= inspect.signature(kind.__init__).parameters
    return {name: p for name, p in found.items() if p.kind is not p.VAR_KEYWORD and name != "self"}


def test_every_method_of_the_library_has_options():
    assert set(OPTIONS) == {"dense", *METHODS}


@pytest.mark.parametrize("method", MANY)
def test_options_have_the_names_and_defaults_of_the_constructor(method):
    keywords, options = constructor(method), {item.name: item.default for item in fields(OPTIONS[method])}
    otherwise = SAID_OTHERWISE.get(method, set())
    assert set(options) - otherwise == set(keywords) - otherwise - NOT_OPTIONS
    for name in set(options) - otherwise:
        assert options[name] == keywords[name].default, name


@pytest.mark.parametrize("method", MANY)
def test_a_recipe_of_every_method_leaves_a_run_with_the_wanted_sparsity(method, tmp_path):
    summary = fit(recipe(method), tmp_path)
    wanted = recipe(method).sparsity
    # A constant fan-in is a whole number of weights per row.
    assert summary["sparsity_over_pruned"] == pytest.approx(wanted, abs=0.02 if method == "srigl" else 2e-3)
    assert (tmp_path / "models" / "sparse.safetensors").is_file()
    assert 0.0 < summary["accuracy_sparse"] <= 1.0


def test_second_order_methods_prune_once_without_training(tmp_path):
    options = OPTIONS["obert"](gradients=8, block=8)
    summary = fit(replace(recipe("obert"), options=options, train=Train(epochs=0, batch_size=128)), tmp_path)
    assert summary["sparsity"] == pytest.approx(0.75, abs=1e-3)
    assert summary["steps"] == 0


def test_a_pattern_of_the_recipe_replaces_the_methods_own():
    built = build_sparsifier(replace(recipe("srste"), sparsity=0.75, pattern=Pattern("nm", n=1, m=4)), 3)
    assert (built.pattern.n, built.pattern.m) == (1, 4)


def test_the_learning_rate_runs_its_schedule_anew_in_every_level(tmp_path):
    # Two levels after the first one; every level runs the whole cosine.
    tickets = replace(
        recipe("lotteryticket"),
        sparsity=0.36,
        schedule=Schedule("cosine"),
        train=Train(epochs=9, batch_size=128),
    )
    fit(tickets, tmp_path)
    rates = [row["lr"] for row in read_metrics(tmp_path / "metrics.jsonl") if row["kind"] == "epoch"]
    assert rates[0:3] == pytest.approx(rates[3:6])
    assert rates[0:3] == pytest.approx(rates[6:9])
    assert rates[0] > 10 * rates[2]


def test_epoch_rows_are_of_their_own_epoch_where_masks_change_in_place_of_a_step(tmp_path):
    # Five steps an epoch: every update replaces the first step of an epoch.
    rigl = replace(recipe("rigl"), options=OPTIONS["rigl"](every=4, end=1.0), train=Train(epochs=4, batch_size=128))
    summary = fit(rigl, tmp_path)
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if row["kind"] == "epoch"]
    assert summary["steps"] == 16
    assert rows[-1]["test_loss"] == pytest.approx(summary["loss_sparse"], rel=1e-6)


def test_a_resumed_pruning_run_does_not_prune_the_fresh_network_first(tmp_path, monkeypatch):
    fit(replace(recipe("oneshot"), train=Train(epochs=1, batch_size=128)), tmp_path)
    monkeypatch.setattr(METHODS["oneshot"], "_enter", lambda self, step: pytest.fail("pruned again"))
    fit(replace(recipe("oneshot"), train=Train(epochs=1, batch_size=128)), tmp_path, resume=True)


@pytest.mark.filterwarnings("default")
def test_what_a_method_warns_of_when_it_is_attached_is_in_the_summary(tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.methods._collapse.STARVED_SHARE", 2.0)  # every layer has less
    summary = fit(replace(recipe("oneshot"), train=Train(epochs=0, batch_size=128)), tmp_path)
    assert ["of their uniform share survives" in text for text in summary["warnings"]] == [True]
