from dataclasses import replace

import pytest

from tamis.errors import FileError, UsageError
from tamis.train import Recipe, dump_recipe, load_recipe, parse_recipe, save_recipe


def message(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, "some.toml")
    return str(caught.value)


def test_the_smallest_recipe_names_a_method_and_a_sparsity():
    recipe = parse_recipe('method = "acdc"\nsparsity = 0.9')
    assert (recipe.method, recipe.sparsity, recipe.distribution.kind) == ("acdc", 0.9, "default")


def test_a_distribution_may_be_a_word_or_a_table():
    word = parse_recipe('method = "acdc"\nsparsity = 0.9\ndistribution = "erk"')
    table = parse_recipe('method = "acdc"\nsparsity = 0.9\n[distribution]\nkind = "erk"')
    assert word == table


def test_an_unknown_key_is_named_with_its_file_and_close_matches():
    text = message("[train]\nepoch = 3")
    assert "some.toml" in text
    assert "'train.epoch'" in text
    assert "train.epochs" in text


def test_an_unknown_top_level_key_is_named():
    assert "'sparsty'" in message("sparsty = 0.9")
    assert "sparsity" in message("sparsty = 0.9")


@pytest.mark.parametrize("value", ["1.0", "-0.1", "90", "nan", "inf"])
def test_a_sparsity_outside_its_range_is_refused(value):
    assert "sparsity" in message(f'method = "acdc"\nsparsity = {value}')


def test_a_percentage_gets_a_hint():
    assert "did you mean 0.9?" in message('method = "gmp"\nsparsity = 90')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('method = "acdd"', "acdc"),
        ('method = "acdc"', "needs a sparsity"),
        ("sparsity = 0.5", "choose a method"),
        ('name = "../x"', "name"),
        ('name = ""', "name"),
        ("[train]\nepochs = -1", "train.epochs"),
        ("[train]\nepochs = 2.5", "a whole number"),
        ("[train]\nepochs = true", "a whole number"),
        ('[train]\nepochs = "ten"', "a whole number"),
        ("[train]\nlabel_smoothing = 1.0", "label_smoothing"),
        ("[train]\ndense_twin_epochs = 3", "acdc"),
        ("[optimizer]\nlr = 0", "optimizer.lr"),
        ("[optimizer]\nlr = nan", "optimizer.lr"),
        ("[optimizer]\nmomentum = 1.0", "optimizer.momentum"),
        ("[optimizer]\nmomentum = 0.0\nnesterov = true", "nesterov"),
        ("[schedule]\nstep_epochs = [5, 5]", "increasing"),
        ("[schedule]\nstep_epochs = [5, 7.5]", "step_epochs[1]"),
        ("[schedule]\nwarmup_epochs = 99", "less than train.epochs"),
        ("[distribution]\nkind = 'erk'\nfloor = 0.2", 'belongs to kind = "global"'),
        ("[distribution]\nfloor = 1.5", "distribution.floor"),
        ("[distribution]\nkind = 'budget'", "distribution.table"),
        ("[distribution]\nkind = 'budget'\ntable = {conv1 = 1.0}", "distribution.table.conv1"),
        ("[pattern]\nkind = 'nm'\nn = 2", "needs pattern.m"),
        ("[pattern]\nkind = 'nm'\nn = 4\nm = 4", "n < m"),
        ('method = "gmp"\nsparsity = 0.5\n[options]\nstart = 0.9', "start < end"),
        ('method = "gmp"\nsparsity = 0.5\n[options]\nevents = 0', "options.events"),
        ('method = "acdc"\nsparsity = 0.5\n[options]\nwarmup = -1', "options.warmup"),
        ('method = "acdc"\nsparsity = 0.5\n[options]\nwarmup = 2', "all five"),
        ("[data]\ncrop_padding = -1", "data.crop_padding"),
        ("data = 3", "a table"),
        ("[model]\noptions = {width = [1.5]}", "model.options.width"),
    ],
)
def test_a_value_that_does_not_fit_is_named(text, part):
    assert part in message(text)


def test_broken_toml_names_the_file():
    with pytest.raises(FileError, match=r"some\.toml: this is no valid TOML"):
        parse_recipe("method = ", "some.toml")


def test_a_missing_recipe_is_one_error(tmp_path):
    with pytest.raises(FileError, match="no such recipe"):
        load_recipe(tmp_path / "absent.toml")


def test_a_binary_file_is_no_recipe(tmp_path):
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="not UTF-8 text"):
        load_recipe(tmp_path / "r.toml")


def test_a_resolved_recipe_on_disk_is_the_same_recipe(tmp_path):
    recipe = replace(Recipe(), method="gmp", sparsity=0.75, exclude=("conv1", "fc"))
    assert load_recipe(save_recipe(recipe, tmp_path / "recipe.toml")) == recipe


def test_texts_with_quotes_and_newlines_survive():
    recipe = replace(Recipe(), source=replace(Recipe().source, paper='a "b"\n\\c\x7f\x01 é \U0001f4a1'))
    assert parse_recipe(dump_recipe(recipe)) == recipe
