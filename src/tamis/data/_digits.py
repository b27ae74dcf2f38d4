"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tamis.data._image_data import ImageData, make_image_data
from tamis.errors import UsageError

_TEST_IMAGES = 540  # 30 % of 1,797, rounded up


def digits(mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> ImageData:
    """1,257 training and 540 test images, float32 ``(N, 1, 8, 8)`` in steps of 1/16 from 0 to 1; ten classes.

    Source: the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998), as
    packed by ``sklearn.datasets.load_digits``.  The split is fixed: numpy's ``RandomState(0).permutation(1797)``,
    the first 540 are the test images, the rest the training images in that order, which is scikit-learn's
    ``train_test_split(test_size=0.3, random_state=0)``.

    Raises ``UsageError`` if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(
            f"the data set 'digits' needs scikit-learn, which does not import here ({error}); "
            "install it with: pip install 'tamis[fair]'"
        ) from error
    bunch = load_digits()
    # numpy promises that this legacy stream never changes, so the split is the same for ever
    order = np.random.RandomState(0).permutation(len(bunch.target))
    images = torch.from_numpy(bunch.images[order]).float().div_(16)[:, None].contiguous()
    labels = torch.from_numpy(bunch.target[order]).long()
    train = (images[_TEST_IMAGES:].clone(), labels[_TEST_IMAGES:].clone())
    test = (images[:_TEST_IMAGES].clone(), labels[:_TEST_IMAGES].clone())
    return make_image_data(train, test, [str(digit) for digit in range(10)], "digits", mean, std)
