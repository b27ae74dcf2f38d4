"""Channel means and standard deviations of the twelve tasks' training images, on the scale 0 to 1.

Source: IST-DASLab/sparse-imagenet-transfer, utils/datasets.py and utils/transfer/*.py at 3e4f5dc.
"""

from __future__ import annotations

Channels = tuple[float, float, float]

# task -> (mean, std)
MEAN_STD: dict[str, tuple[Channels, Channels]] = {
    "aircraft": ((0.4892, 0.5159, 0.5356), (0.2275, 0.22, 0.2476)),
    "birds": ((0.4856, 0.4948, 0.4486), (0.2233, 0.2213, 0.2586)),
    "caltech101": ((0.5413, 0.5063, 0.4693), (0.3115, 0.309, 0.3183)),
    "caltech256": ((0.5438, 0.5141, 0.4821), (0.3077, 0.3044, 0.3163)),
    "cars": ((0.4513, 0.4354, 0.4358), (0.29, 0.288, 0.2951)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "dtd": ((0.5322, 0.4734, 0.4251), (0.2642, 0.253, 0.2613)),
    "flowers": ((0.5133, 0.4148, 0.3383), (0.2959, 0.2502, 0.29)),
    "food101": ((0.5566, 0.4378, 0.3193), (0.2589, 0.2622, 0.263)),
    "pets": ((0.4807, 0.4432, 0.3949), (0.2598, 0.2537, 0.2597)),
    "SUN": ((0.4772, 0.4566, 0.4168), (0.2556, 0.252, 0.272)),
}
