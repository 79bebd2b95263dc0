"""What Flax and Orbax themselves wrote: names, roles, values bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from diffai_load_jax.flax import open_flax
from diffai_load_jax.orbax import open_orbax
from diffai_load_jax.sniff import looks_like_flax

from diffai_core.plugin import FileTensor, LoadError, Source

FIXTURES = Path(__file__).parent / "fixtures"
ARRAYS = {
    "params.dense.kernel": np.arange(12, dtype="f4").reshape(3, 4) / 8,
    "params.dense.bias": (np.arange(4) / 4).astype(ml_dtypes.bfloat16),
    "opt_state.0.mu": np.arange(3.0),
    "opt_state.1.count": np.array(7, "i4"),
}
ORBAX = pytest.mark.parametrize("name", ["files", "ocdbt", "zarr3"])


def check(artifact, wanted):
    assert set(artifact.tensors) == set(wanted)
    for name, array in wanted.items():
        ref = artifact.tensors[name]
        assert (ref.shape, ref.dtype.numpy) == (array.shape, array.dtype)
        assert ref.read().tobytes() == array.tobytes()
        assert ref.role == ("optimizer" if name.startswith("opt_state") else "weights")


def test_a_state_of_flax_has_its_own_bits_and_lies_in_the_file():
    with open_flax(Source(FIXTURES / "flax.msgpack"), {}) as artifact:
        check(artifact, ARRAYS)
        assert all(isinstance(ref, FileTensor) for ref in artifact.tensors.values())
        assert artifact.tree == {"step": 5, "name": "tiny", "phase": {"real": 1.0, "imag": 2.0}, "nothing": None}
        data = (FIXTURES / "flax.msgpack").read_bytes()
        assert looks_like_flax(data[:4096], len(data))


def test_an_array_that_flax_cut_into_pieces_is_one_tensor():
    with open_flax(Source(FIXTURES / "chunked.msgpack"), {}) as artifact:
        check(artifact, {"long": np.arange(100, dtype="f4").reshape(10, 10)})


@ORBAX
def test_a_checkpoint_of_orbax_has_its_own_bits(name):
    with open_orbax(Source(FIXTURES / name), {}) as artifact:
        check(artifact, ARRAYS | {"step": np.array(5, "i8")})
        assert artifact.tree == {"name": "tiny"}
        artifact.check_unchanged()


def test_a_step_of_a_manager_has_the_items_by_name():
    with open_orbax(Source(FIXTURES / "manager/3"), {}) as artifact:
        check(artifact, {"params.w": np.ones((2, 2), "f4")})
        assert artifact.tree == {"notes/metadata": {"lr": 0.5}}


@ORBAX
def test_orbax_itself_agrees_with_the_fixtures(name):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    found = checkpoint.PyTreeCheckpointer().restore(FIXTURES / name)
    assert np.array_equal(found["params"]["dense"]["kernel"], ARRAYS["params.dense.kernel"])


@pytest.fixture
def copied(tmp_path):
    """Copy a checkpoint; return its folder."""
    return lambda name: Path(shutil.copytree(FIXTURES / name, tmp_path / name))


def refused(folder):
    with pytest.raises(LoadError) as caught, open_orbax(Source(folder), {}) as artifact:  # noqa: PT012 - either may raise
        for ref in artifact.tensors.values():
            ref.read()
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_an_array_that_is_missing_is_an_error(copied):
    folder = copied("files")
    shutil.rmtree(folder / "params.dense.kernel")
    assert "'params.dense.kernel', which is not there" in refused(folder)


def test_a_link_that_leads_out_of_the_folder_is_refused(copied, tmp_path):
    folder = copied("files")
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 100)
    (folder / "step/0").unlink()
    (folder / "step/0").symlink_to(secret)
    assert "leads out of the folder" in refused(folder)


def test_a_link_to_a_folder_is_refused(copied, tmp_path):
    folder = copied("files")
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert "not followed" in refused(folder)


def test_a_damaged_node_of_a_store_is_an_error(copied):
    folder = copied("ocdbt")
    manifest = folder / "manifest.ocdbt"
    data = bytearray(manifest.read_bytes())
    data[40] ^= 1
    manifest.write_bytes(data)
    assert "checksum" in refused(folder)


def test_a_data_file_that_is_missing_is_an_error(copied):
    folder = copied("ocdbt")
    shutil.rmtree(folder / "d")
    assert "not in the folder" in refused(folder)
