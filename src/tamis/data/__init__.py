"""Labelled images in memory: readers, normalisation, augmentation and batches."""

from tamis.data._augmentation import Augmentation
from tamis.data._batches import Batches, batches, ordered_batches
from tamis.data._digits import digits
from tamis.data._folder import read_folder
from tamis.data._image_data import ImageData, channel_statistics, make_image_data, normalise
from tamis.data._load import load_data
from tamis.data._npz import read_npz
from tamis.data._synthetic import synthetic
from tamis.data._torchvision import read_torchvision

__all__ = [
    "Augmentation",
    "Batches",
    "ImageData",
    "batches",
    "channel_statistics",
    "digits",
    "load_data",
    "make_image_data",
    "normalise",
    "ordered_batches",
    "read_folder",
    "read_npz",
    "read_torchvision",
    "synthetic",
]
