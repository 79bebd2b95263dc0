"""Loaders of the example format, each of which breaks one law."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
from diffai_load_example.loader import open_file

from diffai_core.plugin import Artifact, BlockTensor, LoadError

_COUNTER = itertools.count()


def _with_blocks(artifact, blocks):
    """Replace every tensor by one whose blocks are ``blocks(array, max_bytes)``."""
    tensors = {
        name: BlockTensor(name=name, shape=ref.shape, dtype=ref.dtype, open_blocks=partial(blocks, ref.read()))
        for name, ref in artifact.tensors.items()
    }
    return replace(artifact, tensors=tensors)


def keys_in_another_order_each_time(source, options):
    artifact = open_file(source, options)
    items = list(artifact.tensors.items())
    return replace(artifact, tensors=dict(items if next(_COUNTER) % 2 else reversed(items)))


def keys_with_a_prefix(source, options):
    artifact = open_file(source, options)
    return replace(artifact, tensors={f"x.{name}": ref for name, ref in artifact.tensors.items()})


def one_bit_is_wrong(source, options):
    return _with_blocks(open_file(source, options), _off_by_a_bit)


def _off_by_a_bit(array, max_bytes):
    flat = array.reshape(-1).view(np.uint32) ^ 1
    if flat.size:
        yield flat.view(np.float32)


def the_shape_is_transposed(source, options):
    artifact = open_file(source, options)
    tensors = {name: replace(ref, shape=ref.shape[::-1]) for name, ref in artifact.tensors.items()}
    return replace(artifact, tensors=tensors)


def blocks_have_two_dimensions(source, options):
    return _with_blocks(open_file(source, options), lambda array, _: iter([array.reshape(1, -1)]))


def blocks_are_too_large(source, options):
    return _with_blocks(open_file(source, options), lambda array, _: iter([array.reshape(-1)] if array.size else []))


def blocks_lose_the_last_element(source, options):
    return _with_blocks(open_file(source, options), _all_but_one)


def _all_but_one(array, max_bytes):
    flat = array.reshape(-1)
    for start in range(0, flat.size - 1, 1):
        yield flat[start : start + 1]


def blocks_cut_rows(source, options):
    return _with_blocks(open_file(source, options), _one_element_each)


def _one_element_each(array, max_bytes):
    for start in range(array.size):
        yield array.reshape(-1)[start : start + 1]


def tensors_cannot_be_pickled(source, options):
    artifact = open_file(source, options)
    tensors = {
        name: BlockTensor(
            name=name, shape=ref.shape, dtype=ref.dtype, open_blocks=lambda size, ref=ref: ref.blocks(size)
        )
        for name, ref in artifact.tensors.items()
    }
    return replace(artifact, tensors=tensors)


def all_is_read_at_open(source, options):
    source.path.read_bytes()
    return open_file(source, options)


def all_is_read_through_a_map_at_open(source, options):
    artifact = open_file(source, options)
    for file in artifact.files:
        np.frombuffer(file.map(), np.uint8).max()
    return artifact


def the_input_is_touched(source, options):
    artifact = open_file(source, options)
    os.utime(source.path)
    return artifact


def a_descriptor_leaks(source, options):
    os.open(source.path, os.O_RDONLY)
    return open_file(source, options)


def a_descriptor_leaks_on_failure(source, options):
    file = source.open()
    artifact = open_file(source, options)
    file.close()
    return artifact


def the_tree_changes(source, options):
    return replace(open_file(source, options), tree={"opened": next(_COUNTER)})


def the_files_are_not_listed(source, options):
    return replace(open_file(source, options), files=())


def the_format_is_misnamed(source, options):
    return replace(open_file(source, options), format="other")


def a_missing_file_is_another_exception(source, options):
    source.path.stat()
    return open_file(source, options)


def a_pipe_is_waited_for(source, options):
    if source.path.exists() and not source.is_folder:
        source.path.open("rb").close()
    return open_file(source, options)


def a_short_file_is_taken_for_complete(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        return Artifact(name=source.name, format="example", files=(source.open(),))


def errors_have_no_offset(source, options):
    try:
        return open_file(source, options)
    except LoadError as error:
        raise LoadError(error.path, error.reason) from error


def errors_name_another_file(source, options):
    try:
        return open_file(source, options)
    except LoadError as error:
        raise LoadError("somewhere", error.reason, error.offset) from error


def errors_have_two_lines(source, options):
    try:
        return open_file(source, options)
    except LoadError as error:
        raise LoadError(error.path, "one\ntwo", error.offset) from error


def damage_is_another_exception(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        return {}["header"]


def damage_hangs(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        time.sleep(600)


def damage_ends_the_interpreter(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        os._exit(3)


def damage_asks_for_all_memory(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        return bytearray(1 << 40)


def damage_warns(source, options):
    try:
        return open_file(source, options)
    except LoadError:
        warnings.warn("strange header", stacklevel=1)
        raise


def sniff_everything(head, size):
    return True


def sniff_nothing(head, size):
    return False


def sniff_fails(head, size):
    return head[100] == 0
