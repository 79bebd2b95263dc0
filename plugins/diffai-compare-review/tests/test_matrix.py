"""What is asked of a tensor in a file is what an array gives, and no map is made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diffai_compare_review.change import compare
from diffai_compare_review.effort import FULL, SAMPLE
from diffai_compare_review.matrix import matrix
from planted_models import compared, transformer

from diffai_core.plugin import DataFile, FileTensor, dtype
from diffai_core.testing import artifact


def filed(path, tensors):
    """Return the tensors as those of a file."""
    offsets = np.cumsum([0, *(value.nbytes for value in tensors.values())])
    path.write_bytes(b"".join(value.tobytes() for value in tensors.values()))
    file = DataFile(path)
    return {
        key: FileTensor(name=key, shape=value.shape, dtype=dtype(value.dtype.name), file=file, offset=int(offset))
        for (key, value), offset in zip(tensors.items(), offsets[:-1], strict=True)
    }


@pytest.mark.parametrize("effort", [SAMPLE, FULL])
@pytest.mark.parametrize("shape", [(7,), (30, 40), (5, 3, 2, 4)])
def test_parts_of_a_file_are_those_of_the_array(tmp_path, monkeypatch, shape, effort):
    monkeypatch.setattr(DataFile, "map", lambda _: pytest.fail("mapped"))
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    ref = filed(tmp_path / "w", {"w": array})["w"]
    table = array.reshape(shape[0] if len(shape) > 1 else 1, -1)
    decoded = artifact(tensors={"w": array}).tensors["w"]
    rows, columns = np.array([len(table) - 1, 0]), np.array([3, 1, 5])
    with ref.file:
        for found in (matrix(ref, effort), matrix(decoded, effort)):
            assert (found.shape, found.size, found.dtype, len(found)) == (
                table.shape,
                array.size,
                array.dtype,
                len(table),
            )
            np.testing.assert_array_equal(found.part(), table)
            np.testing.assert_array_equal(found[:1], table[:1])
            np.testing.assert_array_equal(found.part(rows, columns), table[np.ix_(rows, columns)])
            np.testing.assert_array_equal(found.T.part(columns, rows), table.T[np.ix_(columns, rows)])
            np.testing.assert_array_equal(found.T.part(columns), table.T[columns])
            np.testing.assert_array_equal(found.head(1).part(None, columns), table[:1, columns])
            np.testing.assert_array_equal(found.elements(np.array([6, 2])), array.reshape(-1)[[6, 2]])


def _changes():
    base = transformer()
    rng = np.random.default_rng(1)
    key = "model.layers.0.mlp.up_proj.weight"
    noise = {name: value + 1e-3 * rng.standard_normal(value.shape).astype(value.dtype) for name, value in base.items()}
    order = rng.permutation(len(base[key]))
    flipped = base[key].copy()
    flipped.view(np.uint32)[3, 5] ^= 1 << 30
    yield "trained", base, noise
    yield "rounded", base, {name: value.astype(np.float16) for name, value in base.items()}
    yield "turned", base, base | {key: np.ascontiguousarray(base[key].T)}
    yield "moved", base, base | {key: base[key][order]}
    yield "columns moved", base, base | {key: base[key][:, rng.permutation(base[key].shape[1])]}
    yield "flipped", base, base | {key: flipped}
    yield "grown", base, base | {key: np.concatenate([base[key], base[key][:5] * 2])}


def without_offsets(values):
    """Return the values without what only a tensor in a file has."""
    places = [{key: one[key] for key in one if key != "file_offset"} for one in values.get("places", [])]
    return {**values, "places": places}


@pytest.mark.parametrize(("old", "new"), [pytest.param(old, new, id=name) for name, old, new in _changes()])
def test_a_change_has_one_name_whether_read_from_a_file_or_decoded(tmp_path, monkeypatch, old, new):
    decoded = compared(old, new)
    (wanted,) = compare(decoded, {})
    refs = [filed(tmp_path / side, tensors) for side, tensors in (("old", old), ("new", new))]
    results = tuple(
        replace(result, pair=replace(result.pair, old=refs[0][result.pair.old.name], new=refs[1][result.pair.new.name]))
        for result in decoded.results
    )
    monkeypatch.setattr(DataFile, "map", lambda _: pytest.fail("mapped"))
    (found,) = compare(replace(decoded, results=results), {})
    assert without_offsets(found.values) == without_offsets(wanted.values)
    for ref in (refs[0], refs[1]):
        next(iter(ref.values())).file.close()
