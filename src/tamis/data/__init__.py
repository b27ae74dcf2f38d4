"""Labelled images in memory: readers, normalisation, augmentation and batches."""

from tamis.data._attribute_batches import attribute_batches, attribute_loader
from tamis.data._attribute_data import AttributeData, AttributeSplit
from tamis.data._augmentation import Augmentation
from tamis.data._batches import Batches, batches, ordered_batches
from tamis.data._digits import digits
from tamis.data._folder import read_folder
from tamis.data._image_data import ImageData, channel_statistics, make_image_data, normalise
from tamis.data._load import load_data
from tamis.data._npz import read_npz
from tamis.data._plant import PLANTED, choose_planted, plant, plant_feature
from tamis.data._synthetic import synthetic
from tamis.data._tinted_digits import TintedDigits
from tamis.data._torchvision import read_torchvision

__all__ = [
    "PLANTED",
    "AttributeData",
    "AttributeSplit",
    "Augmentation",
    "Batches",
    "ImageData",
    "TintedDigits",
    "attribute_batches",
    "attribute_loader",
    "batches",
    "channel_statistics",
    "choose_planted",
    "digits",
    "load_data",
    "make_image_data",
    "normalise",
    "ordered_batches",
    "plant",
    "plant_feature",
    "read_folder",
    "read_npz",
    "read_torchvision",
    "synthetic",
]
