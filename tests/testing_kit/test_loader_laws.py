"""Each law of a loader catches the loader that breaks it."""

from __future__ import annotations

from dataclasses import replace

import diffai_load_example.plugin
import numpy as np
import pytest
from hypothesis import Phase

from diffai_core.plugin import LoaderSpec
from diffai_core.testing import LoaderTests, laws, sample_array
from diffai_core.testing.blocks import block_complaint
from diffai_core.testing.builders import tensor

[GOOD] = diffai_load_example.plugin.diffai_loaders()

KEYS = "test_keys_are_the_written_ones_and_stable_over_two_opens"
READ = "test_read_gives_the_reference_arrays_bit_for_bit"
BLOCKS = "test_blocks_concatenate_to_the_reference_array_for_any_block_size"
PICKLE = "test_tensors_can_be_pickled_and_read_elsewhere"
LAZY = "test_shape_and_dtype_are_known_without_reading_the_payload"
CLEAN = "test_the_input_is_unchanged_and_all_files_are_closed"
FILES = "test_the_artifact_lists_its_files"
MISSING = "test_a_missing_file_is_a_load_error"
SHORT = "test_every_truncation_is_a_load_error_that_names_the_file"
FLIPS = "test_flipped_bits_give_a_load_error_or_something_readable"


class Example(LoaderTests):
    n_examples = 25
    n_damaged = 40
    damage_seconds = 8.0

    def write(self, path, arrays):
        lines = [" ".join([name, *map(str, array.shape)]) for name, array in arrays.items()]
        header = "\n".join(["EXAMPLE 1", *lines, "", ""])
        path.write_bytes(header.encode() + b"".join(array.tobytes() for array in arrays.values()))


@pytest.fixture(autouse=True)
def subjects(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent / "subjects"))
    monkeypatch.setattr(laws, "PHASES", (Phase.generate,))  # finding the smallest example takes seconds


def kit(**changes):
    example = Example()
    example.spec = replace(GOOD, **changes)
    return example


@pytest.mark.parametrize(
    ("law", "loader", "complaint"),
    [
        (KEYS, "keys_in_another_order_each_time", "two opens give different keys"),
        (KEYS, "keys_with_a_prefix", "not those that were written"),
        (READ, "one_bit_is_wrong", r"read\(\) of .*: element \d+ is"),
        (READ, "the_shape_is_transposed", r"shape .* instead of"),
        (BLOCKS, "blocks_have_two_dimensions", "2 dimensions instead of 1"),
        (BLOCKS, "blocks_are_too_large", r"is larger than \d+ bytes"),
        (BLOCKS, "blocks_lose_the_last_element", "shape .* instead of"),
        (BLOCKS, "blocks_cut_rows", "cuts a row of"),
        (BLOCKS, "one_bit_is_wrong", r"element \d+ is"),
        (PICKLE, "tensors_cannot_be_pickled", "pickle"),
        (LAZY, "all_is_read_at_open", r"opening read [\d,]+ of 16,777,216 payload bytes"),
        (LAZY, "all_is_read_through_a_map_at_open", r"opening read [\d,]+ of 16,777,216 payload bytes"),
        (CLEAN, "the_input_is_touched", "changed its input"),
        (CLEAN, "a_descriptor_leaks", "still open"),
        ("test_two_opens_read_the_same", "the_tree_changes", "=="),
        (FILES, "the_files_are_not_listed", "files is empty"),
        (FILES, "the_format_is_misnamed", "calls its format 'other'"),
        (MISSING, "a_missing_file_is_another_exception", "FileNotFoundError"),
        (MISSING, "a_pipe_is_waited_for", "pipe.example: hang"),
        (SHORT, "a_short_file_is_taken_for_complete", "opens, and its content differs"),
        (SHORT, "errors_have_no_offset", "no error of a truncated file has an offset"),
        (SHORT, "errors_name_another_file", "names another file: somewhere"),
        (SHORT, "errors_have_two_lines", "not one line"),
        (SHORT, "damage_is_another_exception", "KeyError"),
        (SHORT, "a_descriptor_leaks_on_failure", "1 files stay open"),
        (FLIPS, "damage_is_another_exception", "KeyError"),
        (FLIPS, "damage_hangs", "hang: not done after 3 s"),
        (FLIPS, "damage_ends_the_interpreter", "crash: exit status 3"),
        (FLIPS, "damage_asks_for_all_memory", "MemoryError"),
        (FLIPS, "damage_warns", "a warning leaks: strange header"),
    ],
)
def test_a_loader_that_breaks_a_law_is_caught(law, loader, complaint, tmp_path):
    example = kit(target=f"broken_loaders:{loader}")
    if "hang" in complaint:
        example.damage_seconds = 3.0
    with pytest.raises(Exception, match=complaint):
        getattr(example, law)(tmp_path)


@pytest.mark.parametrize("law", [KEYS, READ, BLOCKS, PICKLE, LAZY, CLEAN, FILES, MISSING, SHORT, FLIPS])
def test_a_loader_that_keeps_the_laws_passes(law, tmp_path):
    getattr(kit(), law)(tmp_path)


def test_content_that_is_not_recognised_is_caught(tmp_path):
    with pytest.raises(AssertionError, match="neither"):
        kit(magic=(), sniff="broken_loaders:sniff_nothing").test_content_identifies_a_file_whatever_its_suffix(tmp_path)


def test_a_sniff_that_claims_everything_is_caught():
    with pytest.raises(AssertionError, match="claims b''"):
        kit(magic=(), sniff="broken_loaders:sniff_everything").test_content_declines_random_bytes()


def test_a_sniff_that_fails_on_a_short_file_is_caught():
    with pytest.raises(IndexError):
        kit(magic=(), sniff="broken_loaders:sniff_fails").test_content_declines_random_bytes()


def test_a_test_class_without_plugin_says_what_to_set(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="set `plugin`"):
        LoaderTests().test_two_opens_read_the_same(tmp_path)


def test_a_test_class_without_write_says_what_to_override(tmp_path):
    bare = LoaderTests()
    bare.spec = GOOD
    with pytest.raises(pytest.fail.Exception, match="override write"):
        bare.test_two_opens_read_the_same(tmp_path)


def test_a_tree_that_differs_is_caught(tmp_path):
    example = kit()
    example.sample_tree = lambda: {"lr": 0.1}
    with pytest.raises(AssertionError, match="not the one that was written"):
        example.test_the_tree_is_the_written_one(tmp_path)


def test_a_name_that_the_plugin_does_not_declare_is_said():
    example = LoaderTests()
    example.plugin, example.name = diffai_load_example.plugin, "other"
    with pytest.raises(pytest.fail.Exception, match="declares none; wanted one LoaderSpec named 'other'"):
        _ = example.loader_spec


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2", "int4", "float6_e2m3fn", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (8, 4), (3, 5, 4)])
@pytest.mark.parametrize("max_bytes", [1, 7, 64, 1 << 20])
def test_blocks_of_tensors_in_memory_keep_the_promise(dtype, shape, max_bytes):
    array = sample_array(dtype, shape)
    ref = tensor("w", array)
    blocks = [block.copy() for block in ref.blocks(max_bytes)]
    joined = np.concatenate(blocks) if blocks else np.empty(0, array.dtype)
    assert joined.tobytes() == array.tobytes()
    assert block_complaint(ref, array, max_bytes) == ""


def test_a_folder_that_is_one_artefact_is_damaged_file_by_file(tmp_path):
    class Folder(Example):
        def write(self, path, arrays):
            path.mkdir()
            (path / "index").write_bytes(b"12")
            Example.write(self, path / "data.example", arrays)

    folder = Folder()
    folder.spec = LoaderSpec(name="folder", title="folder", target="a:b", suffixes=(".d",), folders=("index",))
    _, damaged = folder.damaged(tmp_path, lambda data: [("cut", data[:-1])])
    sizes = [sorted((part.name, part.stat().st_size) for part in copy.iterdir()) for copy in damaged]
    whole = dict(sorted((part.name, part.stat().st_size) for part in folder.path_in(tmp_path).iterdir()))
    assert sizes == [
        [("data.example", whole["data.example"] - 1), ("index", 2)],
        [("data.example", whole["data.example"]), ("index", 1)],
    ]
