"""Recipe keys are the constructors' arguments."""

import inspect
from dataclasses import fields, replace

import pytest

from tamis.methods import ACDC, GMP, OneShot, Ramp
from tamis.sparsity import ERK, NM, Block, Budget, FanIn, Global, Uniform, Unstructured
from tamis.train import OPTIONS, Distribution, Pattern, Recipe, Train
from tamis.train import _recipe_method as recipe_module
from tamis.train._method import DEFAULT, DISTRIBUTIONS, PATTERNS, build_distribution, build_pattern, build_sparsifier


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_keys_of_a_distribution_are_its_constructors(kind):
    arguments = {field.name for field in fields(DISTRIBUTIONS[kind])}
    assert set(recipe_module.DISTRIBUTION_KEYS[kind]) == arguments


@pytest.mark.parametrize("kind", PATTERNS)
def test_keys_of_a_pattern_are_its_constructors(kind):
    # skip names layers to leave dense; a recipe says that with exclude.
    arguments = {field.name for field in fields(PATTERNS[kind])} - {"skip"}
    assert set(recipe_module.PATTERN_KEYS[kind]) == arguments


def test_keys_and_defaults_of_gmp_are_its_constructors():
    arguments = inspect.signature(GMP).parameters
    for field in fields(OPTIONS["gmp"]):
        assert arguments[field.name].default == field.default


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (Distribution(), DEFAULT),
        (Distribution("global"), Global()),
        (Distribution("global", floor=0.0), Global(floor=0.0)),
        (Distribution("uniform", first_dense=True), Uniform(first_dense=True)),
        (Distribution("erk", power=0.5), ERK(power=0.5)),
        (Distribution("budget", table={"fc": 0.5}), Budget({"fc": 0.5})),
    ],
)
def test_a_distribution_is_built_with_its_keys(options, value):
    assert build_distribution(options) == value


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (Pattern(), DEFAULT),
        (Pattern("unstructured"), Unstructured()),
        (Pattern("nm", n=2, m=4), NM(2, 4)),
        (Pattern("block", rows=4, cols=1), Block(4, 1)),
        (Pattern("fanin"), FanIn()),
    ],
)
def test_a_pattern_is_built_with_its_keys(options, value):
    assert build_pattern(options) == value


def test_dense_has_no_sparsifier():
    assert build_sparsifier(Recipe(), 10) is None


def test_acdc_gets_phases_in_steps_and_its_options():
    options, train = OPTIONS["acdc"](2, 1, 1, 2, 3, ramp=True), Train(epochs=20, packed="never")
    recipe = Recipe(method="acdc", sparsity=0.9, options=options, train=train)
    built = build_sparsifier(recipe, 7)
    assert isinstance(built, ACDC)
    assert [(p.start % 7, p.end % 7) for p in built.phases] == [(0, 0)] * len(built.phases)
    assert (built.total_steps, built.ramp, built.packed, built.reset_momentum) == (140, Ramp(), False, True)


def test_acdc_without_lengths_has_the_published_shares():
    recipe = Recipe(method="acdc", sparsity=0.9, train=Train(epochs=100))
    assert [p.end for p in build_sparsifier(recipe, 1).phases][:3] == [10, 15, 20]


def test_one_shot_prunes_after_its_epoch():
    recipe = Recipe(method="oneshot", sparsity=0.9)
    built = build_sparsifier(replace(recipe, options=OPTIONS["oneshot"](epoch=3)), 7)
    assert isinstance(built, OneShot)
    assert built.at_step == 21
