import hashlib

import numpy as np
import pytest
import torch

from tamis.errors import FileError, UsageError
from tamis.transfer import PixelTransform, from_folder, from_lists, from_npz, from_tensors, load_task, task_name
from tamis.transfer._builtin import BUILTIN

GREY = PixelTransform(size=4, channels=1, mean=(0.0,), std=(1.0,), padding=1)


def numbered(count: int, classes: int = 2, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is filled with i; its label is i modulo ``classes``."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, size, size).contiguous()
    return pixels, torch.arange(count) % classes


def write_images(folder, names):
    image = pytest.importorskip("PIL.Image")
    for i, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(np.full((6, 8, 3), i, np.uint8)).save(file)


def test_the_split_hash_is_that_of_the_sorted_lines(tmp_path):
    write_images(tmp_path, ["train/b/1.png", "train/a/2.png", "test/a/3.png", "test/b/4.png"])
    lines = [
        "test/a/3.png\t0\ttest\n",
        "test/b/4.png\t1\ttest\n",
        "train/a/2.png\t0\ttrain\n",
        "train/b/1.png\t1\ttrain\n",
    ]
    assert from_folder(tmp_path).split_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_split_hash_of_arrays_changes_with_one_pixel():
    pixels, labels = numbered(6)
    changed = pixels.clone()
    changed[3, 0, 0, 0] += 1
    hashes = {from_tensors("t", (x, labels), numbered(2)).split_sha256 for x in (pixels, changed)}
    assert len(hashes) == 2


def test_the_fingerprint_notices_a_replaced_file_and_the_split_hash_does_not(tmp_path):
    write_images(tmp_path, ["train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"])
    before = from_folder(tmp_path)
    first = before.split_sha256, before.fingerprint
    (tmp_path / "train/a/1.png").write_bytes(b"something else")
    after = from_folder(tmp_path)
    assert after.split_sha256 == first[0]
    assert after.fingerprint != first[1]


def test_every_fifth_image_of_each_class_is_held_out_in_order():
    task = from_tensors("t", numbered(22), numbered(2))
    assert task.validation().nonzero()[:, 0].tolist() == [8, 9, 18, 19]


def test_classes_with_fewer_than_five_images_hold_out_their_last():
    labels = torch.tensor([0, 0, 1, 0, 2, 1])
    task = from_tensors("t", (numbered(6)[0], labels), numbered(2))
    assert task.validation().nonzero()[:, 0].tolist() == [3, 5]


def test_an_official_validation_set_chooses():
    task = from_tensors("t", numbered(4), numbered(2), val=numbered(3))
    assert task.n_train == 7
    assert task.validation().tolist() == [False] * 4 + [True] * 3


def test_ordered_batches_give_every_image_once_in_order():
    task = from_tensors("t", numbered(7), numbered(2))
    found = list(task.ordered_batches("train", GREY, batch_size=3))
    assert [len(y) for _, y in found] == [3, 3, 1]
    assert torch.cat([x[:, 0, 0, 0] for x, _ in found]).mul(255).round().tolist() == list(range(7))


def test_a_remainder_batch_of_one_sample_joins_the_previous_batch():
    task = from_tensors("t", numbered(9), numbered(2))
    sizes = [len(y) for _, y in task.training_batches(GREY, 4, torch.Generator().manual_seed(0))]
    assert sizes == [4, 5]


def test_a_task_with_fewer_than_1000_samples_trains():
    task = from_tensors("t", numbered(3), numbered(2))
    seen = torch.cat([y for _, y in task.training_batches(GREY, 128, torch.Generator().manual_seed(0))])
    assert sorted(seen.tolist()) == [0, 0, 1]


def test_augmentation_of_an_image_does_not_depend_on_the_batch_size():
    task = from_tensors("t", numbered(8), numbered(2))

    def epoch(size):
        return torch.cat([x for x, _ in task.training_batches(GREY, size, torch.Generator().manual_seed(5))])

    assert torch.equal(epoch(3), epoch(8))


def test_training_on_chosen_rows_sees_no_other_row():
    task = from_tensors("t", numbered(8), numbered(2))
    flat = PixelTransform(size=4, channels=1, mean=(0.0,), std=(1.0,), padding=0, flip=False)
    found = [x for x, _ in task.training_batches(flat, 2, torch.Generator(), rows=torch.tensor([1, 5, 6]))]
    assert sorted(torch.cat(found)[:, 0, 0, 0].mul(255).round().tolist()) == [1, 5, 6]


def test_a_folder_with_val_and_test_has_an_official_validation_set(tmp_path):
    write_images(tmp_path, [f"{split}/{c}/{i}.png" for split in ("train", "val", "test") for c in "ab" for i in (1, 2)])
    task = from_folder(tmp_path)
    assert task.train.names() == [f"{s}/{c}/{i}.png" for s in ("train", "val") for c in "ab" for i in (1, 2)]
    assert task.validation().tolist() == [False] * 4 + [True] * 4
    assert task.test.names() == ["test/a/1.png", "test/a/2.png", "test/b/1.png", "test/b/2.png"]


def test_a_folder_of_classes_alone_tests_on_every_fifth_file(tmp_path):
    write_images(tmp_path, [f"{c}/{i}.png" for c in "ab" for i in range(1, 7)])
    assert from_folder(tmp_path).test.names() == ["a/5.png", "b/5.png"]


def test_nothing_of_a_folder_is_decoded_before_it_is_needed(tmp_path):
    for name in ("train/a/1.png", "test/a/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    task = from_folder(tmp_path)
    with pytest.raises(FileError, match=r"1\.png: found no readable image"):
        next(task.ordered_batches("train", PixelTransform()))


def test_list_order_changes_nothing(tmp_path):
    write_images(tmp_path, ["1.png", "2.png", "3.png"])
    rows = [("1.png", "b", "train"), ("2.png", "a", "train"), ("3.png", "b", "test")]
    tasks = [from_lists("t", tmp_path, order) for order in (rows, rows[::-1])]
    assert tasks[0].train.names() == tasks[1].train.names() == ["2.png", "1.png"]
    assert tasks[0].split_sha256 == tasks[1].split_sha256


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("1.png", "a", "train"), ("1.png", "a", "test")], "listed twice"),
        ([("1.png", "a", "train"), ("2.png", "b", "test")], "classes b have no training image"),
        ([("../1.png", "a", "train")], "inside"),
        ([("1.png", "a", "dev")], "expected train, val or test"),
        ([("9.png", "a", "train")], "no such file"),
        ([("1.png", "a", "train")], "no test images"),
    ],
)
def test_bad_lists_are_refused(tmp_path, rows, message):
    write_images(tmp_path, ["1.png", "2.png"])
    with pytest.raises(UsageError, match=message):
        from_lists("t", tmp_path, rows)


def test_an_npz_file_may_name_where_its_validation_rows_begin(tmp_path):
    x, y = (part.numpy() for part in numbered(6))
    np.savez(tmp_path / "t.npz", x_train=x[:, 0], y_train=y, x_test=x[:, 0], y_test=y, val_start=4)
    assert from_npz(tmp_path / "t.npz").validation().tolist() == [False] * 4 + [True] * 2


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(UsageError, match="labels go up to 1"):
        from_tensors("t", numbered(4), numbered(2), classes=["only"])


def test_an_unknown_task_names_what_there_is():
    with pytest.raises(FileError, match="digits_mirrored"):
        load_task("no_such_task")


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_tasks_have_every_class_in_both_splits(name):
    pytest.importorskip("PIL")
    task = load_task(name)
    for split in ("train", "test"):
        assert task.labels(split).unique().tolist() == list(range(task.num_classes))


def test_photo_patches_of_train_and_test_share_no_pixel_position():
    pytest.importorskip("PIL")
    from sklearn.datasets import load_sample_image

    task = load_task("china_patches")
    photo = torch.from_numpy(np.asarray(load_sample_image("china.jpg")).copy()).permute(2, 0, 1)
    for split, half in (("train", 0), ("test", 1)):
        first = task.images(split).take(torch.tensor([0]))[0]
        assert torch.equal(first, photo[:, :16, half * 80 : half * 80 + 16])
        # the last patch of the region stays inside its half, 80 pixels wide
        per_region = task.images(split).labels.bincount()[0]
        last = task.images(split).take(per_region[None] - 1)[0]
        places = [x for x in range(half * 80, half * 80 + 65) if torch.equal(last, photo[:, 192:208, x : x + 16])]
        assert places == [half * 80 + 60]


@pytest.mark.shared_data
def test_the_eight_small_sets_load_with_their_sizes(shared_data):
    sizes = {
        "t_tin20_32": (20, 2000, 1000),
        "t_grocery_32": (43, 2936, 2485),
        "t_fruits3_32": (3, 1880, 720),
        "t_ants_bees_64": (2, 245, 153),
        "t_pets3_64": (3, 450, 148),
        "t_notmnist_28": (10, 8066, 1934),
        "t_omniglot_28": (242, 3630, 1210),
        "t_quickdraw3_28": (3, 2400, 600),
    }
    for name, expected in sizes.items():
        task = from_npz(shared_data / f"{name}.npz")
        assert (task.num_classes, task.n_train, task.n_test) == expected
        images, _ = next(task.ordered_batches("test", PixelTransform(), 4))
        assert images.shape == (4, 3, 32, 32)


@pytest.mark.parametrize("source", ["aircraft", "digits_parity", "some/where/t_pets.v2.npz", "some/my photos.d"])
def test_the_name_of_a_task_is_known_before_it_is_read(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    names = {"some/where/t_pets.v2.npz": "t_pets.v2", "some/my photos.d": "my_photos.d"}
    assert task_name(source) == names.get(source, source)


@pytest.mark.parametrize("images", [torch.full((4, 3, 8, 8), 255.0), torch.full((4, 3, 8, 8), -2.1)])
def test_float_images_that_do_not_run_from_0_to_1_are_refused(images):
    labels = torch.arange(4) % 2
    with pytest.raises(UsageError, match=r"float32 images run from .* expected 0 to 1: divide by 255"):
        from_tensors("t", (images, labels), (images, labels))
