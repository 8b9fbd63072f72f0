"""Data sets: lists of images with identity and camera; a file per set, its protocol with it."""

from __future__ import annotations

from reid.datasets.base import Dataset, Sample
from reid.datasets.folder import labelled_folder
from reid.datasets.images import load_images, read_image
from reid.datasets.market import MARKET_NAME, market1501
from reid.datasets.registry import load_training, open_dataset, training_samples
from reid.datasets.sampler import IdentitySampler
from reid.datasets.splits import fingerprint, hold_out, split_queries

__all__ = [
    "MARKET_NAME",
    "Dataset",
    "IdentitySampler",
    "Sample",
    "fingerprint",
    "hold_out",
    "labelled_folder",
    "load_images",
    "load_training",
    "market1501",
    "open_dataset",
    "read_image",
    "split_queries",
    "training_samples",
]
