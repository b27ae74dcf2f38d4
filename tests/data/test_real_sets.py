"""The shared image sets load with their documented sizes."""

import pytest

from tamis.data import load_data


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "train", "test", "image", "classes"),
    [
        ("t_grocery_32.npz", 2936, 2485, (3, 32, 32), 43),
        ("t_omniglot_28.npz", 3630, 1210, (1, 28, 28), 242),
        ("t_ants_bees_64.npz", 245, 153, (3, 64, 64), 2),
    ],
)
def test_a_real_set_has_its_documented_size(shared_data, file, train, test, image, classes):
    if file == "t_grocery_32.npz":
        pytest.importorskip("PIL")
    data = load_data(shared_data / file)
    assert data.train_x.shape == (train, *image)
    assert data.test_x.shape == (test, *image)
    assert data.num_classes == classes


@pytest.mark.shared_data
def test_fashion_mnist_has_its_published_mean_and_deviation(shared_data):
    data = load_data(shared_data / "fashion_mnist.npz")
    assert round(data.mean[0], 4) == 0.2860
    assert round(data.std[0], 4) == 0.3530
