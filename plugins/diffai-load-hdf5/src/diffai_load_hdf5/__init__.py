"""Opens HDF5 files and Keras models lazily, without the HDF5 C library and without Keras."""

from __future__ import annotations
