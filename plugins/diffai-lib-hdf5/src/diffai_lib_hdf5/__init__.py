"""Reads HDF5 files lazily and safely, without the HDF5 C library."""

from __future__ import annotations

from diffai_lib_numpy.elements import Element, Field

from diffai_lib_hdf5.datasets import Dataset, raw_extents
from diffai_lib_hdf5.elements import element_of, fields_of, is_truth, words
from diffai_lib_hdf5.files import Hdf5File, check_extents, open_hdf5
from diffai_lib_hdf5.region import FileRegion, Region, UnsupportedError, shown
from diffai_lib_hdf5.superblock import SIGNATURE
from diffai_lib_hdf5.tensors import as_bfloat16, tensor_of
from diffai_lib_hdf5.walk import Found

__all__ = [
    "SIGNATURE",
    "Dataset",
    "Element",
    "Field",
    "FileRegion",
    "Found",
    "Hdf5File",
    "Region",
    "UnsupportedError",
    "as_bfloat16",
    "check_extents",
    "element_of",
    "fields_of",
    "is_truth",
    "open_hdf5",
    "raw_extents",
    "shown",
    "tensor_of",
    "words",
]
