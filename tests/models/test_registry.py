"""Names of networks and the errors for wrong ones."""

import pytest
from torch import nn

from tamis.errors import UsageError
from tamis.models import create_model, list_models, register_model, unregister_model


def test_a_bare_name_means_its_first_tag():
    bare = create_model("resnet20", 10).state_dict()
    tagged = create_model("resnet20.option_a", 10).state_dict()
    assert {key: value.shape for key, value in bare.items()} == {key: value.shape for key, value in tagged.items()}
    assert "layer2.0.downsample.0.weight" not in bare


def test_options_override_those_of_the_tag():
    assert "layer2.0.downsample.0.weight" in create_model("resnet20.option_a", 10, shortcut="projection").state_dict()


def test_the_list_holds_bare_and_tagged_names_in_order():
    names = list_models()
    assert names == sorted(names)
    assert {"mlp", "mlp.bn", "resnet50.imagenet", "wide_resnet28_10.dropout30", "mobilenet_v1"} <= set(names)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet21", "resnet20"),
        ("resnet20.option_c", "resnet20.option_a"),
        ("zzz", "known models: mlp"),
        ("resnet20.", "resnet20,"),
        ("", "known models"),
        (None, "known models"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest_known_ones(name, hint):
    with pytest.raises(UsageError, match="unknown model") as caught:
        create_model(name, 10)
    assert hint in str(caught.value)


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"no option width; its options are: shortcut"):
        create_model("resnet20", 10, width=4)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "10"])
def test_counts_are_whole_numbers_of_at_least_one(count):
    with pytest.raises(UsageError, match="num_classes"):
        create_model("resnet20", count)
    with pytest.raises(UsageError, match="in_channels"):
        create_model("resnet20", 10, count)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"shortcut": "C"}, "option A"),
        ("resnet18", {"stem": "tiny"}, "'imagenet'"),
        ("mobilenet_v1", {"stem": "tiny"}, "'imagenet'"),
        ("wide_resnet28_10", {"dropout": 1.0}, "probability"),
        ("mlp", {"hidden": [512, 0]}, "widths"),
        ("mlp", {"image_size": (8,)}, "height, width"),
        ("resnet8_digits", {"widths": (64, 32, 16)}, "fewer channels"),
        ("resnet8_digits", {"widths": (64, 64)}, "three"),
        ("small_cnn", {"widths": ()}, "at least 1"),
    ],
)
def test_a_wrong_option_value_says_what_is_expected(name, options, message):
    with pytest.raises(UsageError, match=message):
        create_model(name, 10, **options)


def test_the_image_size_reaches_the_perceptron_and_is_ignored_by_pooling_networks():
    assert create_model("mlp", 10, 3, image_size=(4, 6)).fc1.weight.shape == (512, 72)
    assert create_model("resnet20", 10, image_size=(4, 6)).conv1.weight.shape == (16, 3, 3, 3)


def test_a_registered_model_can_be_built_and_forgotten():
    @register_model("line", short={"length": 1}, long={"length": 9})
    def line(num_classes, in_channels, length):
        return nn.Linear(in_channels * length, num_classes)

    try:
        assert create_model("line", 2, 3).in_features == 3
        assert create_model("line.long", 2, 3).in_features == 27
        with pytest.raises(UsageError, match="registered already"):
            register_model("line", other={})(line)
    finally:
        unregister_model("line")
    with pytest.raises(UsageError, match="unknown model 'line'"):
        create_model("line", 2)


def test_a_tag_with_an_option_that_the_builder_lacks_is_refused():
    with pytest.raises(UsageError, match=r"other\.wide sets \['width'\]"):
        register_model("other", wide={"width": 2})(lambda num_classes, in_channels: nn.Identity())
    assert "other" not in list_models()
