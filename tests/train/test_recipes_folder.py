"""Every recipe that comes with tamis is valid, can be built, and has the published phases."""

from pathlib import Path

import pytest

from tamis.models import list_models
from tamis.train import load_recipe
from tamis.train._method import build_sparsifier, phases_in_steps

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(file.stem for file in FOLDER.glob("*.toml"))


def test_there_are_recipes():
    assert {"digits_acdc", "cifar10_resnet20_dense", "imagenet_resnet50_acdc90"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_its_method_and_names_a_known_model(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.name in list_models()
    sparsifier = build_sparsifier(recipe, 3)
    if recipe.method == "acdc":
        assert sparsifier.total_steps == 3 * recipe.train.epochs
    assert (FOLDER / f"{name}.toml").read_text().startswith("# ")


@pytest.mark.parametrize(
    ("name", "preset"), [("imagenet_resnet50_acdc90", "imagenet_100"), ("cifar100_wrn28_acdc90", "cifar100_200")]
)
def test_phases_of_the_papers_recipes_are_the_published_ones(name, preset, pruning_vectors):
    published = [(kind, start, end) for kind, start, end in pruning_vectors["acdc_phases"][preset]["phases"]]
    recipe = load_recipe(name)
    phases = phases_in_steps(recipe.options, recipe.train.epochs, 1)
    assert [(phase.kind[0].upper(), phase.start, phase.end) for phase in phases] == published


METHODS = {  # method of a recipe -> how the published rows name it
    "acdc": "AC/DC",
    "rigl": "RigL",
    "str": "STR",
    "mfac": "M-FAC",
    "srste": "SR-STE",
}


@pytest.mark.parametrize("name", [name for name in RECIPES if load_recipe(name).source.expected])
def test_expected_numbers_are_published_and_not_marked_unverified(name, pruning_vectors):
    recipe = load_recipe(name)
    network = {"resnet50": "ResNet50", "mobilenet_v1": "MobileNetV1"}[recipe.model.name]
    found = [
        row
        for row in pruning_vectors["published"]["rows"]
        if row["arch"] == network
        and row["method"].startswith(METHODS[recipe.method])
        and row["sparsity"] == recipe.sparsity
        and recipe.source.expected == f"top-1 {row['top1']} %"
        and not row["certainty"].startswith("unverified")
    ]
    assert found


def test_there_are_presets_of_the_published_methods():
    assert {load_recipe(name).method for name in RECIPES} >= {
        "rigl",
        "str",
        "gmp",
        "woodfisher",
        "mfac",
        "srste",
        "ltht",
    }
