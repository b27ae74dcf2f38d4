"""Tinted digits: a multi-label task with known correlations between attributes and identities, without a download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tamis.data._attribute_data import SPLITS, AttributeData, AttributeSplit
from tamis.data._digit_shapes import enlarge, shapes_of
from tamis.errors import UsageError

CLASSES = {"Loop": (0, 6, 8, 9), "Even": (0, 2, 4, 6, 8), "Big": (5, 6, 7, 8, 9), "Straight": (1, 4, 7)}
# attribute -> (measure, quantile above which it holds, noise of the label in standard deviations of the measure)
MEASURED = {
    "Thick": ("thickness", 0.72, 0.35),
    "Slanted": ("slant", 0.65, 0.35),
    "Wide": ("width", 0.60, 0.30),
    "TopHeavy": ("skewness", 0.70, 0.40),
    "Dark": ("ink", 0.55, 0.25),
    "VerySlanted": ("slant", 0.96, 0.25),
}
ATTRIBUTES = (*CLASSES, *MEASURED)
# how strongly each attribute moves the probability of an identity, in logits over 1.3
SKEW: Mapping[str, Mapping[str, float]] = {
    "Warm": {
        "Loop": 0.3, "Even": 0.9, "Straight": -0.5, "Thick": 1.4, "Slanted": -0.7, "Wide": 0.4, "TopHeavy": 1.0,
        "VerySlanted": -1.2,
    },
    "Striped": {"Loop": -0.9, "Big": 0.8, "Slanted": 1.0, "Wide": -0.8, "Dark": 0.9, "VerySlanted": 0.8},
}  # fmt: skip
STEEPNESS = 1.3
MEASURED_AT = 24
WARM, COLD = (1.0, 0.62, 0.35), (0.35, 0.62, 1.0)
TRAIN_SHARE, VALID_SHARE = 0.7, 0.1


@dataclass(frozen=True)
class TintedDigits:
    """Choices of the generator; :meth:`generate` draws the data.

    scikit-learn's 1,797 digits of 8x8 pixels become ``size`` x ``size`` RGB images, each ``variants`` times with
    the same attributes and with identities, tint, ground and noise of its own.  Ten attributes are to be predicted:
    four follow from the class of the digit (Loop, Even, Big, Straight), six are measured on its pixels with noisy
    labels (Thick, Slanted, Wide, TopHeavy, Dark, VerySlanted).  Two identities show in the picture, a warm tint and a
    striped ground, and are skewed towards some of the attributes in every split: P(identity) =
    sigmoid(1.3 sum of w (Y - mean Y)).

    Raises ``UsageError`` for a size below 8, fewer than one variant, or a seed below 0.
    """

    size: int = 16
    """Height and width in pixels."""
    variants: int = 4
    """Images made of each digit."""
    seed: int = 66
    """Of everything that is drawn, the split included.  66 is the smallest seed with which every group of the test
    split has at least 11 VerySlanted images, so that the rare attribute is not undefined from the start."""

    def __post_init__(self) -> None:
        for key, least in (("size", 8), ("variants", 1), ("seed", 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{key}={value!r}; expected a whole number of at least {least}")

    def generate(self) -> AttributeData:
        """Draw the data: float32 ``(N, 3, size, size)`` in [0, 1], normalised to [-1, 1] by mean and std 0.5.

        The split is by digit (70 % train, 10 % valid, the rest test), so no digit is in two of them;
        ``base`` holds its number.  With the defaults N is 5,028, 716 and 1,444.  The same choices give the same data
        on every machine (numpy's legacy stream, which never changes), up to the rounding of float32.

        Raises ``UsageError`` if scikit-learn is not installed.
        """
        digits, classes = _scikit_learn_digits()
        # numpy promises that this legacy stream never changes, so the data are the same for ever
        random = np.random.RandomState(self.seed)
        count = len(digits)
        order = random.permutation(count)
        base = np.repeat(np.arange(count), self.variants)
        large = enlarge(digits, MEASURED_AT)
        labels = {name: label[base] for name, label in _attributes(large, classes, random).items()}
        skewed = {name: random.random_sample(len(base)) < _chance(labels, name) for name in SKEW}
        pixels = _draw(enlarge(large, self.size)[base], skewed["Warm"], skewed["Striped"], random)
        ends = (0, int(TRAIN_SHARE * count), int(TRAIN_SHARE * count) + int(VALID_SHARE * count), count)
        parts = {}
        for split, start, end in zip(SPLITS, ends, ends[1:], strict=False):
            rows = np.flatnonzero(np.isin(base, order[start:end]))
            parts[split] = AttributeSplit(
                torch.from_numpy(pixels[rows]),
                torch.from_numpy(np.stack([labels[name][rows] for name in ATTRIBUTES], 1).astype(np.uint8)),
                torch.from_numpy(np.stack([skewed[name][rows] for name in SKEW], 1).astype(np.uint8)),
                torch.from_numpy(rows),
                torch.from_numpy(base[rows]),
            )
        half = (0.5, 0.5, 0.5)
        return AttributeData(
            parts["train"], parts["valid"], parts["test"], ATTRIBUTES, tuple(SKEW), "tinted_digits", half, half
        )


def _scikit_learn_digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(
            f"the data set 'tinted_digits' needs scikit-learn, which does not import here ({error}); "
            "install it with: pip install 'tamis[fair]'"
        ) from error
    bunch = load_digits()
    return bunch.images / 16.0, bunch.target


def _attributes(large: np.ndarray, classes: np.ndarray, random: np.random.RandomState) -> dict[str, np.ndarray]:
    """Bool ``(N,)`` by attribute for N digits; the variants of a digit share its labels, noise included."""
    labels = {name: np.isin(classes, members) for name, members in CLASSES.items()}
    measures = shapes_of(large)
    for name, (measure, quantile, noise) in MEASURED.items():
        values = measures[measure]
        values = (values - values.mean()) / values.std()
        labels[name] = values + noise * random.standard_normal(len(values)) > np.quantile(values, quantile)
    return labels


def _chance(labels: Mapping[str, np.ndarray], identity: str) -> np.ndarray:
    logit = sum(weight * (labels[name] - labels[name].mean()) for name, weight in SKEW[identity].items())
    return 1 / (1 + np.exp(-STEEPNESS * logit))


def _draw(ink: np.ndarray, warm: np.ndarray, striped: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Float32 ``(N, 3, H, W)`` in [0, 1]: tinted ink over a dark ground, perhaps with stripes, and pixel noise."""
    count, height, width = ink.shape
    tint = np.where(warm[:, None], WARM, COLD) + 0.10 * random.standard_normal((count, 3))
    ground = random.uniform(0.10, 0.20, (count, 1, 1)) + 0.16 * striped[:, None, None] * (np.arange(width) % 4 < 2)
    ground = np.broadcast_to(ground, (count, height, width))
    pixels = (ground * (1 - ink))[:, None] + tint[:, :, None, None] * ink[:, None]
    pixels += 0.06 * random.standard_normal(pixels.shape)
    return np.clip(pixels, 0, 1).astype(np.float32)
