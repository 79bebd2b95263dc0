"""Why a model became smaller: the causes add up to the byte, against NumPy, safetensors and planted changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from diffai_core import compare
from diffai_core.plugin import Quantization
from diffai_core.testing import artifact, tensor

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(9)
W = RNG.standard_normal((64, 128)).astype(np.float32)
V = RNG.standard_normal((48, 96)).astype(np.float32)


def _causes(finding: Any) -> dict[str, int]:
    return {name: cause["n_bytes"] for name, cause in finding.values["causes"].items()}


def test_each_cause_takes_the_bytes_that_it_saves(sizes: Any) -> None:
    old = {"cast": W, "cut": V, "gone": W + 1, "same": V + 1}
    new = {"cast": W.astype(np.float16), "cut": V[:24].copy(), "came": V[:2] + 3, "same": V + 1}
    found = sizes(old, new)
    assert _causes(found) == {
        "removed_tensors": -W.nbytes,
        "added_tensors": 2 * 96 * 4,
        "shapes": -V.nbytes // 2,
        "dtype": -W.nbytes // 2,
    }
    values = found.values
    assert (values["bytes_old"], values["bytes"]) == (
        sum(a.nbytes for a in old.values()),
        sum(a.nbytes for a in new.values()),
    )
    assert values["bytes"] - values["bytes_old"] == sum(_causes(found).values())
    assert values["parameters"] == sum(a.size for a in new.values())
    assert [row["tensor"] for row in values["tensors"]] == ["gone", "cast", "cut", "came"]
    assert found.message.endswith(f"removed tensors of 1 tensor took {W.nbytes:,} bytes")
    assert len(found.detail) == len(values["causes"])


def test_a_smaller_shape_in_another_dtype_is_two_causes(sizes: Any) -> None:
    found = sizes({"w": W}, {"w": W[:32].astype(ml_dtypes.bfloat16)})
    assert _causes(found) == {"shapes": -W.nbytes // 2, "dtype": -W.nbytes // 4}


def test_quantised_weights_count_their_scales(sizes: Any) -> None:
    codes, scales = tensor("w.codes", W.astype(np.int8)), tensor("w.scale", np.ones(64, np.float32))
    new = artifact({"w": W})
    quantization = Quantization(scheme="int8_scaled", bits=8, stored=(codes, scales), axis=0)
    new = replace(new, tensors={"w": replace(new.tensors["w"], quantization=quantization)})
    found = sizes({"w": W}, new)
    assert _causes(found) == {"quantization": W.size + 64 * 4 - W.nbytes}
    assert found.values["parameters"] == W.size
    assert found.values["tensors"][0]["stored_as"] == "int8_scaled"


def test_codes_in_place_of_floats_are_quantisation(sizes: Any) -> None:
    assert _causes(sizes({"w": W}, {"w": W.astype(np.int8)})) == {"quantization": -3 * W.size}
    assert _causes(sizes({"w": W.astype(np.int8)}, {"w": W})) == {"quantization": 3 * W.size}


def test_storage_that_is_shared_counts_once(sizes: Any) -> None:
    old = artifact({"embed": W, "head": W + 0})
    tied = replace(
        old, tensors={name: replace(old.tensors["embed"], name=name, shared_storage="w") for name in old.tensors}
    )
    found = sizes(old, tied)
    assert _causes(found) == {"tied_storage": -W.nbytes}
    assert (found.values["bytes_old"], found.values["bytes"]) == (2 * W.nbytes, W.nbytes)
    assert (found.values["parameters_old"], found.values["parameters"]) == (2 * W.size, W.size)
    assert _causes(sizes(tied, old)) == {"tied_storage": W.nbytes}


def test_zeros_save_nothing_until_they_are_stored_sparsely(sizes: Any) -> None:
    pruned = np.where(RNG.random(W.shape) < 0.75, np.float32(0), W)
    found = sizes({"w": W}, {"w": pruned})
    n_zero = np.count_nonzero(pruned == 0)
    assert (found.values["reduction_bytes"], found.values["causes"]) == (0, {})
    assert (found.values["zero_bytes_old"], found.values["zero_bytes"]) == (0, 4 * n_zero)
    assert found.values["bitmask_form_bytes"] == W.size // 8 + 4 * (W.size - n_zero)


def test_optimizer_state_that_was_left_out_shows_in_the_roles(sizes: Any) -> None:
    old = artifact({"w": W, "m": W * 2, "v": W * 3}, roles={"m": "optimizer", "v": "optimizer"})
    found = sizes(old, {"w": W})
    wanted = {
        "optimizer": {"bytes_old": 2 * W.nbytes, "bytes": 0},
        "weights": {"bytes_old": W.nbytes, "bytes": W.nbytes},
    }
    assert found.values["roles"] == wanted
    assert found.values["parameters_old"] == W.size


def test_files_are_measured_as_they_lie_on_the_disk(tmp_path: Path) -> None:
    old, new = tmp_path / "epoch_50_lr_0.01.safetensors", tmp_path / "tiny_int4.safetensors"
    save_file({"w": W}, old, metadata={"note": "x" * 500})
    save_file({"w": W.astype(np.float16)}, new)
    report = compare(old, new, analyses=["show-size-reduction"])
    (found,) = [finding for finding in report.findings if finding.kind == "size_reduction"]
    assert (found.values["file_bytes_old"], found.values["file_bytes"]) == (old.stat().st_size, new.stat().st_size)
    assert found.values["reduction_share"] == 0.5


def test_no_tensors_are_not_measurable(sizes: Any) -> None:
    assert sizes(artifact(tree={"a": 1}), artifact(tree={"a": 2})).status == "not_measurable"


_SIDES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.builds(
        lambda kind, rows, seed: np.random.default_rng(seed).integers(1, 9, (rows, 6)).astype(kind),
        st.sampled_from([np.float64, np.float32, np.float16, np.int8]),
        st.integers(1, 5),
        st.integers(0, 2),
    ),
    max_size=3,
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(old=_SIDES, new=_SIDES)
def test_the_causes_always_add_up_to_the_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    from diffai_compare_sparsity.plugin import diffai_comparators

    from diffai_core.registry import Registered
    from diffai_core.run import Settings, compare_artifacts

    spec = next(spec for spec in diffai_comparators() if spec.name == "show-size-reduction")
    report = compare_artifacts(artifact(old), artifact(new), (Registered(spec, "s", "s", "0"),), Settings())
    (found,) = report.findings
    if found.status == "measured":
        assert sum(_causes(found).values()) == sum(a.nbytes for a in new.values()) - sum(a.nbytes for a in old.values())
