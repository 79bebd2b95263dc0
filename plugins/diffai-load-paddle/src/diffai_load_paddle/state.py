"""Opens what ``paddle.save`` writes: pickles of arrays, in which nothing is imported or called."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_numpy.arrays import Contents, add_elements
from diffai_lib_numpy.header import Header
from diffai_lib_numpy.layout import layout_of
from diffai_lib_pickle import FileSource, Rules, Span, load
from diffai_lib_pickle.arrays import NUMPY_NAMES, ArrayValue, numpy_builders
from diffai_lib_pickle.standard import STANDARD_NAMES
from diffai_lib_pickle.tree import divide
from diffai_lib_zip import Held, Region

from diffai_core.plugin import Artifact, BlockTensor, dtype
from diffai_load_paddle.roles import role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diffai_lib_zip import Payload
    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, Source, TensorRef

ROOT_KEY = "$"
"""Key of a value that is no mapping."""
NAMES_KEY = "parameter_names"
"""Key under which the tree has the names that PaddlePaddle itself gave to tensors."""

_MADE_UP = re.compile(r"(?:eager_tmp|generated_tensor)_\d+")


class _Named(NamedTuple):
    """A tensor inside of a list or mapping: PaddlePaddle pickles it as its name and its values."""

    name: str
    array: ArrayValue


def open_state(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: a ``.pdparams``, ``.pdopt`` or other file of ``paddle.save``.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If it is damaged, or beyond what is read of pickles.
    """
    with ExitStack() as files:
        file = files.enter_context(source.open())
        artifact = _opened(source, file)
        files.pop_all()  # from here on the artefact closes it
    return artifact


def _opened(source: Source, file: DataFile) -> Artifact:
    stretch = FileSource(file, 0, file.size)
    builders = numpy_builders() | dict.fromkeys(("builtins.tuple", "__builtin__.tuple"), _tuple)
    found = load(stretch, rules=Rules(builders=builders))
    if found.end != file.size:
        raise stretch.error(f"{file.size - found.end:,} bytes follow the pickle", found.end)
    path = "tensor" if _is_array(found.value) else ""
    division = divide(found.value, stretch, _is_array, prefix=path)
    contents = Contents()
    names: dict[str, str] = {}
    for key, value in division.arrays.items():
        array = value
        if isinstance(value, _Named):
            array = value.array
            if value.name and not _MADE_UP.fullmatch(value.name):
                names[key] = value.name
        _add(contents, key, array, stretch, file)
    tree = division.tree if isinstance(division.tree, dict) else {ROOT_KEY: division.tree}
    return Artifact(
        name=source.name,
        format="paddle-state",
        tensors={key: _own(ref) for key, ref in contents.tensors.items()},
        tree=contents.tree | tree | ({NAMES_KEY: names} if names else {}),
        files=(file,),
        foreign=found.foreign(STANDARD_NAMES | NUMPY_NAMES | {"__builtin__.tuple"}, stretch, file.name),
        not_readable=tuple(contents.not_readable),
    )


def _tuple(call: Any) -> Any:
    """Return a tensor with its name, or the tuple that is made."""
    items: Any = call.args[0] if call.args else ()
    if type(items) not in {tuple, list} or len(call.args) > 1:
        raise ValueError("a tuple is made of something that is none")
    if len(items) == 2 and type(items[0]) is str and isinstance(items[1], ArrayValue):  # noqa: PLR2004 - name and values
        return _Named(items[0], items[1])
    return tuple(items)


def _is_array(value: Any) -> bool:
    array = value.array if isinstance(value, _Named) else value
    return isinstance(array, ArrayValue) and not isinstance(array.data, list)


def _add(contents: Contents, key: str, array: ArrayValue, source: FileSource, file: DataFile) -> None:
    try:
        layout = layout_of(array.dtype.descr)
    except ValueError as error:
        raise source.error(str(error), array.position) from error
    header = Header(layout, array.fortran_order, array.shape, 0)
    payload: Payload
    if isinstance(array.data, Span):
        held = array.data.length
        payload = Region(file, array.data.position, array.data.length)
    elif isinstance(array.data, bytes):
        held = len(array.data)
        payload = Held(file, array.data, array.position)
    else:
        raise source.error("an array has no bytes", array.position)
    if layout.has_objects or header.nbytes != held:
        raise source.error("an array does not fill its bytes", array.position)
    add_elements(contents, key, payload, header)


def _own(ref: TensorRef) -> TensorRef:
    """Give a tensor its role, and the type that PaddlePaddle means by ``uint16``."""
    role = role_of(ref.name)
    if ref.dtype.name != "uint16":
        return replace(ref, role=role)
    if isinstance(ref, BlockTensor):
        return replace(ref, role=role, dtype=dtype("bfloat16"), open_blocks=partial(_as_bfloat16, ref.open_blocks))
    return replace(ref, role=role, dtype=dtype("bfloat16"))


def _as_bfloat16(open_blocks: Callable[[int], Iterator[NDArray[Any]]], max_bytes: int) -> Iterator[NDArray[Any]]:
    kind = dtype("bfloat16").numpy
    for block in open_blocks(max_bytes):
        yield block.view(kind)
