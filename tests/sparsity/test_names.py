"""Layers named by an option: a string is one name."""

from __future__ import annotations

import pytest
import torch

from tamis.errors import UsageError
from tamis.sparsity import ERK, NM, Block, Uniform, dense_layers, select_masks

SCORES = {name: torch.rand(8, 8) for name in ("1", "2", "12")}
NAMING = {
    "uniform": lambda names: {"distribution": Uniform(dense=names)},
    "erk": lambda names: {"distribution": ERK(dense=names)},
    "nm": lambda names: {"distribution": Uniform(), "pattern": NM(2, 4, skip=names)},
    "block": lambda names: {"distribution": Uniform(), "pattern": Block(1, 4, skip=names)},
}


@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING)
def test_a_string_leaves_the_layer_of_that_name_dense_and_not_those_of_its_characters(naming):
    masks = select_masks(SCORES, 0.5, **naming("12"))
    assert [name for name, mask in masks.items() if mask.all()] == ["12"]


@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING)
def test_names_in_any_collection_make_the_same_value(naming):
    one = naming(("12",))
    assert one == naming("12") == naming(["12"]) == naming({"12"})
    assert repr(one) == repr(naming("12"))
    assert len({hash(tuple(choice.values())) for choice in (one, naming("12"), naming(["12"]))}) == 1


@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize("given", [12, None, ["1", 2]])
def test_what_is_no_name_is_refused(naming, given):
    with pytest.raises(UsageError, match=r"(dense|skip) must be the name of a layer or several names, .*; got"):
        naming(given)


def test_a_set_of_names_has_one_order():
    assert Uniform(dense={"c", "b", "a"}).dense == ERK(dense=frozenset("bca")).dense == ("a", "b", "c")


def test_a_skipped_layer_is_not_counted_where_it_is_named_by_a_string():
    assert dense_layers(list(SCORES), Uniform(dense="1"), NM(2, 4, skip="12")) == ("1", "12")
