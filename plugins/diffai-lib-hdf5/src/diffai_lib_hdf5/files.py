"""An open HDF5 file: its objects, their attributes and datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5.attributes import Attribute, attributes_of
from diffai_lib_hdf5.datasets import is_dataset, read_dataset
from diffai_lib_hdf5.region import Cursor
from diffai_lib_hdf5.superblock import read_superblock
from diffai_lib_hdf5.values import MAX_VALUE_BYTES, Values
from diffai_lib_hdf5.walk import Found, Objects, find_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diffai_lib_hdf5.datasets import Dataset
    from diffai_lib_hdf5.region import Region, Store


@dataclass(frozen=True)
class Hdf5File:
    """What is in a file; payloads are not read.

    Args:
        store: The file.
        objects: All objects.
        values: Turns elements into plain values, within bounds that hold for the whole file.
    """

    store: Store
    objects: Objects
    values: Values

    def attributes(self, found: Found) -> dict[str, Any]:
        """Return the attributes of an object as plain values, in the order of their names.

        Raises:
            LoadError: If one is damaged, or they are too many.
        """
        return {one.name: self.attribute(one) for one in attributes_of(self.store, found.header)}

    def attribute(self, attribute: Attribute) -> Any:
        """Return one attribute as a plain value; one without elements is ``None``.

        Raises:
            LoadError: If it is damaged.
        """
        if attribute.space.null:
            return None
        return self.values.shaped(attribute.type, attribute.space.shape, attribute.data)

    def dataset(self, found: Found) -> Dataset | None:
        """Return the dataset that an object is, ``None`` if it is none.

        Raises:
            LoadError: If it is damaged or declares what cannot be.
        """
        return read_dataset(self.store, found.path, found.header) if is_dataset(found.header) else None

    def plain(self, dataset: Dataset) -> Any:
        """Return all elements of a dataset as nested lists of plain values; ``None`` if it has no dataspace.

        Raises:
            UnsupportedError: If they are too many.
            LoadError: If they are damaged.
        """
        if dataset.space.null:
            return None
        if dataset.nbytes > MAX_VALUE_BYTES:
            reason = f"dataset {dataset.path} has {dataset.nbytes:,} bytes outside of tensors, more than are read"
            raise dataset.store.region.unsupported(reason, dataset.address)
        cursor = Cursor(self.store, dataset.raw(), dataset.start_or_header, f"dataset {dataset.path}")
        return self.values.shaped(dataset.type, dataset.space.shape, cursor)


def open_hdf5(region: Region) -> Hdf5File:
    """Find everything that is in a file.

    Args:
        region: Where it lies.

    Raises:
        LoadError: If it is damaged or truncated, or a link leads out of it.
    """
    block = read_superblock(region)
    objects = find_objects(block.store, block.root)
    return Hdf5File(block.store, objects, Values(block.store, objects.paths))


def check_extents(file: Hdf5File, extents: Iterable[tuple[int, int, str]]) -> None:
    """Make sure that no two datasets share bytes, so that no small file stands for a large one.

    Args:
        file: The file.
        extents: Start and end of what each dataset has in the file, and its path.

    Raises:
        LoadError: If two overlap.
    """
    reached, owner = 0, ""
    for start, stop, path in sorted(extents):
        if start < reached:
            raise file.store.error(f"datasets {owner} and {path} share bytes of the file, or chunks of one do", start)
        reached, owner = stop, path
