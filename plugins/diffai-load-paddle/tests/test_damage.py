"""What is refused, and that nothing of a pickle is ever run."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from diffai_load_paddle import parameters, program
from diffai_load_paddle.loader import open_paddle
from diffai_load_paddle.sniff import looks_like_paddle, looks_like_state
from diffai_load_paddle.state import open_state

from diffai_core.plugin import LoadError, SeparateFilesError, Source

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def model(tmp_path):
    """Return a copy of a model that may be damaged."""

    def copy(kind="program"):
        return Path(shutil.copytree(FIXTURES / kind, tmp_path / "m"))

    return copy


def patched(path, at, data):
    raw = bytearray(path.read_bytes())
    raw[at : at + len(data)] = data
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("at", "data", "complaint"),
    [
        (0, b"\x01", "the record of a tensor does not begin here"),
        (4, b"\xff" * 8, "the record of a tensor does not begin here"),
        (4, b"\x02", "the file ends here, inside the record of a tensor"),
        (12, b"\x01", "the description of a tensor has"),
        (16, b"\xff\xff\xff\x7f", "the description of a tensor has 2,147,483,647 bytes"),
        (16, b"\xff\xff\xff\xff", "the description of a tensor has -1 bytes"),
        (21, b"\x3f", "element type 63, which is not known"),
        (23, b"\x7f", "bytes too early for a tensor"),
    ],
)
def test_records_that_lie_are_an_error_that_names_the_byte(model, refused, at, data, complaint):
    path = model() / "net.pdiparams"
    if at == 23:
        path.write_bytes(path.read_bytes()[:60])
    patched(path, at, data)
    error = refused(path)
    assert complaint in error.reason
    assert error.path.endswith("net.pdiparams")
    assert error.offset is not None


@pytest.mark.parametrize("dims", [[-1], [1 << 62, 4], [1] * 65, [0, 1 << 62, 1 << 62]])
def test_shapes_that_no_array_has_are_refused(tmp_path, refused, dims):
    description = b"\x08\x05" + b"".join(b"\x10" + varint(length) for length in dims)
    (tmp_path / "w").write_bytes(struct.pack("<IQIi", 0, 0, 0, len(description)) + description)
    assert refused(tmp_path / "w").offset is not None


def varint(number):
    number %= 1 << 64
    return bytes([number & 0x7F | 0x80, *varint(number >> 7)]) if number > 0x7F else bytes([number])


def test_truncated_parameters_are_an_error_that_names_file_and_offset(model, refused):
    path = model() / "net.pdiparams"
    path.write_bytes(path.read_bytes()[:-4])
    error = refused(path.parent)
    assert (error.path.endswith("net.pdiparams"), error.offset) == (True, path.stat().st_size)


def test_parameters_of_another_model_are_an_error(model, refused):
    path = model("pir")
    data = (path / "net.pdiparams").read_bytes()
    (path / "net.pdiparams").write_bytes(data + data[:36])
    assert "holds 9 tensors, and the program beside it has 8 parameters" in refused(path).reason
    first = 20 + 4 + 12
    (path / "net.pdiparams").write_bytes(data[first:] + data[:first])
    assert "parameter 'conv2d_0.b_0' should be float32, shape [3]; here is float32" in refused(path).reason


def test_a_folder_of_several_models_is_left_to_be_compared_file_by_file(model):
    path = model()
    shutil.copy(path / "net.pdiparams", path / "other.pdiparams")
    with pytest.raises(SeparateFilesError, match="holds 2 models"):
        open_paddle(Source(path), {})


def test_parameters_behind_a_link_that_leads_out_are_refused(model, refused, tmp_path):
    path = model()
    (path / "net.pdiparams").rename(tmp_path / "elsewhere")
    (path / "net.pdiparams").symlink_to(tmp_path / "elsewhere")
    assert "leads out of the folder" in refused(path / "net.pdmodel").reason


def test_too_many_tensors_or_values_are_an_error(model, refused, monkeypatch):
    path = model()
    monkeypatch.setattr(parameters, "MAX_TENSORS", 3)
    assert "more than 3 tensors" in refused(path).reason
    monkeypatch.setattr(program, "MAX_VALUES", 100)
    assert "more than 100 values" in refused(path).reason


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


VERSION = field(4, field(1, 3))


def block_of(*bodies):
    """Return a block with an operator for each number, whose body is that block."""
    operators = (
        field(4, field(3, b"while") + field(4, field(1, b"sub_block") + field(2, 8) + field(12, n))) for n in bodies
    )
    return field(1, field(1, 0) + field(2, -1) + b"".join(operators))


def test_blocks_that_contain_each_other_end(opened, tmp_path):
    (tmp_path / "loop").write_bytes(block_of(0, 1, 7) + block_of(0, 1) + VERSION)
    nodes = opened(tmp_path / "loop").graph.nodes
    assert [node.attributes["sub_block"] for node in nodes] == [0, 1, 7]


def test_blocks_that_are_used_twice_do_not_multiply(opened, tmp_path):
    (tmp_path / "bomb").write_bytes(b"".join(block_of(n + 1, n + 1) for n in range(60)) + VERSION)
    begin = time.perf_counter()
    assert [node.attributes["sub_block"] for node in opened(tmp_path / "bomb").graph.nodes] == [1, 1]
    assert time.perf_counter() - begin < 5


def test_a_body_is_a_graph(opened, tmp_path):
    (tmp_path / "while").write_bytes(block_of(1) + block_of() + VERSION)
    (node,) = opened(tmp_path / "while").graph.nodes
    assert node.attributes["sub_block"].nodes == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not JSON"),
        ('{"base_code": {"magic": "other"}, "program": {"regions": []}}', "is no program of PaddlePaddle"),
        ('{"base_code": {"magic": "pir"}, "program": {"regions": []}}', "is no program of PaddlePaddle"),
        ('{"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": 3}]}}', "is no program of PaddlePaddle"),
        (
            '{"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": [{"args": [], "ops": [{}]}]}]}}',
            "KeyError",
        ),
        ('{"base_code": {"magic": "pir", "magic": "pir"}}', "magic"),
        ("[" * 100_000, ""),
    ],
)
def test_json_that_is_no_program_is_an_error(tmp_path, refused, text, complaint):
    (tmp_path / "m.json").write_text(text, encoding="utf-8")
    assert complaint in refused(tmp_path / "m.json").reason or not text


def test_regions_nested_without_end_are_an_error(tmp_path, refused):
    inner = '{"blocks": []}'
    for _ in range(100):
        inner = f'{{"blocks": [{{"args": [], "ops": [{{"#": "2.if", "regions": [{inner}]}}]}}]}}'
    (tmp_path / "m.json").write_text(f'{{"base_code": {{"magic": "pir"}}, "program": {{"regions": [{inner}]}}}}')
    assert "nested too deeply" in refused(tmp_path / "m.json").reason


class Evil:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_nothing_of_a_checkpoint_is_run_and_its_tensors_are_still_read(tmp_path, opened):
    folder = tmp_path / "made"
    path = tmp_path / "evil.pdparams"
    path.write_bytes(pickle.dumps({"w": np.arange(3.0), "x": Evil(str(folder))}, protocol=4))
    artifact = opened(path)
    assert artifact.tensors["w"].read().tolist() == [0, 1, 2]
    assert [foreign.name for foreign in artifact.foreign] == [f"{os.mkdir.__module__}.mkdir"]
    assert not folder.exists()
    pickle.loads(path.read_bytes())
    assert folder.exists()  # it would have


def test_the_expression_of_old_tensors_is_listed_and_not_evaluated(tmp_path, opened):
    class Old:
        def __reduce__(self):
            return eval, ("data", {"data": np.arange(3.0)})

    path = tmp_path / "old.pdparams"
    path.write_bytes(pickle.dumps({"w": Old()}, protocol=2))
    artifact = opened(path)
    assert [foreign.name.rpartition(".")[2] for foreign in artifact.foreign] == ["eval"]
    assert [ref.read().tolist() for ref in artifact.tensors.values()] == [[0, 1, 2]]


@pytest.mark.parametrize("arguments", [(3,), ("name", np.arange(2)), ([1], [2])])
def test_tuples_made_of_something_else_are_an_error_or_read(tmp_path, arguments):
    class Made:
        def __reduce__(self):
            return tuple, arguments

    path = tmp_path / "t.pdparams"
    path.write_bytes(pickle.dumps({"t": Made()}, protocol=4))
    assert outcome(path).startswith(("readable", str(tmp_path)))


def test_bytes_behind_a_pickle_are_an_error(tmp_path, refused):
    path = tmp_path / "a.pdparams"
    path.write_bytes((FIXTURES / "state.pdparams").read_bytes() + b"more")
    assert "4 bytes follow the pickle" in refused(path).reason


def outcome(path):
    """Read everything; return the path that a LoadError names, or that it was readable."""
    opener = (
        open_state if path.suffix.startswith(".pd") and path.suffix not in {".pdmodel", ".pdiparams"} else open_paddle
    )
    try:
        with opener(Source(path), {}) as artifact:
            for ref in artifact.tensors.values():
                assert sum(block.size for block in ref.blocks(4096)) == ref.numel
    except LoadError as error:
        return error.path
    return "readable"


@pytest.mark.parametrize(
    "name", ["program/net.pdmodel", "program/net.pdiparams", "pir/net.json", "nested.pdparams", "optimizer.pdopt"]
)
def test_random_damage_gives_a_load_error_or_something_readable(tmp_path, name):
    rng = random.Random(name)
    shutil.copytree((FIXTURES / name).parent, tmp_path / "m")
    path = tmp_path / "m" / Path(name).name
    intact = path.read_bytes()
    words = (b"\xff" * 9 + b"\x01", b"[", b"null", b"-1", b'"#"', b"p", b"\x85R")
    for _ in range(200):
        data = bytearray(intact)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            end = at + rng.choice((0, 1, 1, 5))
            data[at:end] = rng.choice((bytes([rng.randrange(256)]), rng.choice(words), b"", data[at - 20 : at]))
        path.write_bytes(data)
        begin = time.perf_counter()
        assert outcome(path).startswith(("readable", str(tmp_path)))
        assert time.perf_counter() - begin < 5


@pytest.mark.parametrize("name", ["program/net.pdmodel", "program/net.pdiparams", "pir/net.json", "pir/net.pdiparams"])
def test_sniffing_knows_models(name):
    data = (FIXTURES / name).read_bytes()
    assert looks_like_paddle(data[:4096], len(data))
    assert not looks_like_state(data[:4096], len(data))


@pytest.mark.parametrize("name", ["state.pdparams", "optimizer.pdopt", "nested.pdparams", "single.pdtensor"])
def test_sniffing_knows_checkpoints(name):
    data = (FIXTURES / name).read_bytes()
    assert looks_like_state(data[:4096], len(data))
    assert not looks_like_paddle(data[:4096], len(data))


@pytest.mark.parametrize(
    "head",
    [
        b"\0" * 4096,
        b"\x08\x07\x12\x07pytorch",
        b'{"base_code": 3}',
        b'{"learner": {}}',
        pickle.dumps({"w": np.arange(3)}),
        pickle.dumps((1, 2, "numpy")),
        b"\x0a\x10\x0a\x04Cast\x12\x04Cast",
    ],
)
def test_sniffing_declines_other_files(head):
    assert not looks_like_paddle(head, len(head))
    assert not looks_like_state(head, len(head))
