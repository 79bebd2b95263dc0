"""Models that the libraries wrote: what they predict follows from the tensors, and every number is there."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from diffai_load_boosting import ubjson
from diffai_load_boosting.catboost import open_catboost
from diffai_load_boosting.lightgbm import open_lightgbm
from diffai_load_boosting.xgboost import open_xgboost

from diffai_core.discovery import find_plugins
from diffai_core.plugin import LoadError, Source
from diffai_core.registry import build_registry
from diffai_core.selection import choose_loader

FIXTURES = Path(__file__).parent / "fixtures"
OPENERS = {"xgboost": open_xgboost, "lightgbm": open_lightgbm, "catboost": open_catboost}
MODELS = sorted(path.name for path in FIXTURES.iterdir() if path.stem.partition("-")[0] in OPENERS)
XGBOOST = sorted(path.stem for path in FIXTURES.glob("xgboost-*.ubj"))
PREDICTIONS = json.loads((FIXTURES / "predictions.json").read_text(encoding="utf-8"))
ROWS = np.array(PREDICTIONS["rows"], "float32")


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(OPENERS[name.partition("-")[0]](Source(FIXTURES / name), {}))


@pytest.fixture
def refused(tmp_path):
    def check(opener, data):
        path = tmp_path / "file"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        with pytest.raises(LoadError) as caught:
            opener(Source(path), {})
        assert caught.value.path == str(path)
        return caught.value

    return check


def arrays(artifact, tree):
    return {
        name.rpartition(".")[2]: ref.read()
        for name, ref in artifact.tensors.items()
        if name.startswith(f"trees.{tree}.")
    }


# -- against the libraries -------------------------------------------------------------------------------------------


def xgboost_leaf(tree, row):
    node = 0
    while tree["left_children"][node] != -1:
        left = row[tree["split_indices"][node]] < tree["split_conditions"][node]
        node = tree["left_children" if left else "right_children"][node]
    return tree["split_conditions"][node]


def lightgbm_leaf(tree, row):
    node = 0
    while node >= 0:
        left = row[tree["split_feature"][node]] <= tree["threshold"][node]
        node = tree["left_child" if left else "right_child"][node]
    return tree["leaf_value"][~node]


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_the_tensors_of_xgboost_predict_what_xgboost_predicts(opened, suffix):
    model = opened(f"xgboost-trees.{suffix}")
    base = float(model.tree["learner"]["learner_model_param"]["base_score"].strip("[]"))
    trees = [arrays(model, number) for number in range(3)]
    found = [np.log(base / (1 - base)) + sum(xgboost_leaf(tree, row) for tree in trees) for row in ROWS]
    np.testing.assert_allclose(found, PREDICTIONS["xgboost"], rtol=1e-5)


def test_the_tensors_of_lightgbm_predict_what_lightgbm_predicts(opened):
    model = opened("lightgbm-trees.txt")
    trees = [arrays(model, number) for number in range(2)]
    found = [sum(lightgbm_leaf(tree, row) for tree in trees) for row in ROWS]
    np.testing.assert_allclose(found, PREDICTIONS["lightgbm"], rtol=1e-12)


def test_the_tensors_of_catboost_predict_what_catboost_predicts(opened):
    model = opened("catboost-symmetric.json")
    scale, (bias,) = model.tree["scale_and_bias"]
    found = []
    for row in ROWS:
        total = 0.0
        for number, tree in enumerate(model.tree["oblivious_trees"]):
            bits = [row[split["float_feature_index"]] > split["border"] for split in tree["splits"]]
            total += arrays(model, number)["leaf_values"][sum(bit << place for place, bit in enumerate(bits))]
        found.append(scale * total + bias)
    np.testing.assert_allclose(found, PREDICTIONS["catboost"], rtol=1e-12)


@pytest.mark.parametrize("name", XGBOOST)
def test_json_and_ubjson_of_one_model_are_the_same(opened, name):
    text, binary = opened(f"{name}.json"), opened(f"{name}.ubj")
    assert text.tree == binary.tree
    assert set(text.tensors) == set(binary.tensors)
    for key, ref in text.tensors.items():
        assert ref.dtype == binary.tensors[key].dtype, key
        assert ref.read().tobytes() == binary.tensors[key].read().tobytes(), key


@pytest.mark.parametrize("name", XGBOOST)
def test_nothing_of_an_xgboost_document_is_missing(opened, name):
    """Put back together, tensors and tree are the document that XGBoost wrote, but for empty arrays."""
    model = opened(f"{name}.json")
    document = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    booster = document["learner"]["gradient_booster"]
    if "weights" in booster["model"] if "model" in booster else False:
        assert np.float32(booster["model"].pop("weights")).tobytes() == model.tensors["weights"].read().tobytes()
    if "weight_drop" in booster:
        assert np.float32(booster.pop("weight_drop")).tobytes() == model.tensors["weight_drop"].read().tobytes()
    n_seen = 0
    for number, tree in enumerate((booster.get("gbtree") or booster)["model"].get("trees", [])):
        for key in [key for key, value in tree.items() if isinstance(value, list)]:
            values = tree.pop(key)
            if values:
                ref = model.tensors[f"trees.{number}.{key}"]
                assert np.array(values, ref.dtype.numpy).tobytes() == ref.read().tobytes(), key
                n_seen += 1
    assert model.tree == document
    assert n_seen + len({"weights", "weight_drop"} & set(model.tensors)) == len(model.tensors)


@pytest.mark.parametrize("kind", ["trees", "linear", "categories"])
def test_every_line_of_a_lightgbm_model_is_there(opened, kind):
    name = f"lightgbm-{kind}.txt"
    model = opened(name)
    lines = (FIXTURES / name).read_text(encoding="utf-8").split("\n")
    n_tensors, tree = 0, -1
    for line in lines[1 : lines.index("end of trees")]:
        key, _, value = line.partition("=")
        words = value.split()
        if key == "Tree":
            tree += 1
        elif f"trees.{tree}.{key}" in model.tensors:
            read = model.tensors[f"trees.{tree}.{key}"].read()
            assert read.tolist() == [read.dtype.type(word) for word in words], key
            n_tensors += 1
        elif line and tree >= 0:
            assert not words or float(value) == model.tree["trees"][tree][key], key
        elif line and key != "tree_sizes":
            assert model.tree["header"][key] == value
    assert n_tensors == len(model.tensors)
    importances = lines[lines.index("feature_importances:") + 1 : lines.index("parameters:")]
    assert model.tree["feature_importances"] == dict(line.rsplit("=", 1) for line in importances if line)
    parameters = lines[lines.index("parameters:") + 1 : lines.index("end of parameters")]
    assert [f"[{key}: {value}]" for key, value in model.tree["parameters"].items()] == [p for p in parameters if p]
    assert model.tree["pandas_categorical"] == "null"


def test_leaves_of_catboost_trees_that_are_not_symmetric_stand_from_left_to_right(opened):
    model = opened("catboost-nodes.json")
    document = json.loads((FIXTURES / "catboost-nodes.json").read_text(encoding="utf-8"))

    def leaves(node, key):
        return [node[key]] if key in node else leaves(node["left"], key) + leaves(node["right"], key)

    for number, tree in enumerate(document["trees"]):
        assert model.tensors[f"trees.{number}.leaf_values"].read().tolist() == leaves(tree, "value")
        assert model.tensors[f"trees.{number}.leaf_weights"].read().tolist() == leaves(tree, "weight")
        assert model.tree["trees"][number]["split"] == tree["split"]
        assert model.tree["trees"][number]["left"]["split"] == tree["left"]["split"]


# -- recognition -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("new_name", ["model", "model.json", "model.txt", "model.bin"])
def test_a_model_is_known_by_its_content(tmp_path, name, new_name):
    (tmp_path / new_name).write_bytes((FIXTURES / name).read_bytes())
    chosen = choose_loader(Source(tmp_path / new_name), build_registry(find_plugins()))
    assert chosen.spec.name == name.partition("-")[0]


# -- what is refused -------------------------------------------------------------------------------------------------


def test_formats_that_only_the_libraries_read_are_refused_with_the_way_out(refused):
    assert 'save_model("model.json")' in refused(open_xgboost, b"binf" + bytes(100)).reason
    assert 'save_model("model.json", format="json")' in refused(open_catboost, b"CBM1" + bytes(100)).reason


KEY = b"L\0\0\0\0\0\0\0\x01a"
HEAD = b"{" + KEY


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (HEAD + b"[" * 200, 111, "is nested more than 100 deep"),
        (HEAD + b"[$d#L\0\0\0\x01\0\0\0\0", 16, "a length of 4,294,967,296 does not fit into the file"),
        (HEAD + b"[$d#L\0\0\0\0\0\0\0\x05" + bytes(16), 40, "4 bytes too early for an array"),
        (HEAD + b"[$Z#L\0\0\0\0\0\0\0\x05" + bytes(16), 24, "whose elements take no bytes"),
        (HEAD + b"SL\xff\xff\xff\xff\xff\xff\xff\xff", 13, "a length of -1 does not fit"),
        (HEAD + b"SL\0\0\0\0\0\0\0\x01\xff}", 21, "a text is not UTF-8"),
        (HEAD + b"Z" + KEY + b"Z}", 21, "the key 'a' stands twice"),
        (HEAD + b"X}", 11, "no value begins with b'X'"),
        (HEAD + b"[$dL", 14, "a container with a type has no count"),
        (HEAD + b"[Z", 13, "the file ends here"),
        (HEAD + b"Z}more", 13, "4 bytes follow the document"),
        (HEAD + b"HU\x02x1}", 14, "a number that is none"),
        (HEAD + b"Z}", 0, "it has no 'learner'"),
    ],
)
def test_what_is_not_ubjson_is_an_error_with_its_byte(refused, data, offset, reason):
    error = refused(open_xgboost, data)
    assert (error.offset, reason in error.reason) == (offset, True), str(error)


def learner(**tree):
    return json.dumps({"learner": {"gradient_booster": {"model": {"trees": [tree]}}}})


@pytest.mark.parametrize(
    ("opener", "data", "reason"),
    [
        (open_xgboost, "[]", "it has no 'learner'"),
        (open_xgboost, '{"learner": ' + "[" * 500 + "]" * 500 + "}", "not a model of XGBoost"),
        (open_xgboost, '{"learner": {"a": ' + "[" * 500 + "]" * 500 + "}}", "nested more than 100 deep"),
        (open_xgboost, learner(base_weights=[1e39]), "a number outside the range of float32"),
        (open_xgboost, learner(left_children=[2**31]), "something that is no int32"),
        (open_xgboost, learner(left_children=[0.5]), "something that is no int32"),
        (open_xgboost, learner(default_left=[-1]), "something that is no uint8"),
        (open_xgboost, '{"learner": {"gradient_booster": {"trees": [1]}}}', "tree 0 is no object"),
        (open_catboost, "{}", "it has no 'features_info'"),
        (open_catboost, '{"features_info": {}, "oblivious_trees": [1]}', "are no list of objects"),
        (open_catboost, '{"features_info": {}, "oblivious_trees": [{"leaf_values": ["x"]}]}', "no float64"),
        (open_catboost, '{"features_info": {}, "oblivious_trees": [], "trees": []}', "two kinds of trees"),
        (open_catboost, '{"features_info": {}, "features_info": {}}', "stands twice in one object"),
        (open_lightgbm, "trees\n", "it does not begin with 'tree'"),
        (open_lightgbm, "tree\nversion=v4\n", "the text ends before its 'end of trees'"),
        (open_lightgbm, "tree\nversion=v4\nversion=v4\nend of trees\n", "'version' is there twice"),
        (open_lightgbm, "tree\nTree=1\nend of trees\n", "tree 0 should begin here, and not 1"),
        (open_lightgbm, "tree\nTree=0\nthreshold=1 x\nend of trees\n", "holds something that is no number"),
        (open_lightgbm, "tree\nTree=0\nthreshold=1e999\nend of trees\n", "holds something that is no number"),
        (open_lightgbm, "tree\nTree=0\nleft_child=1_0\nend of trees\n", "holds something that is no number"),
        (open_lightgbm, f"tree\nTree=0\nleft_child={2**31}\nend of trees\n", "something that is no int32"),
        (open_lightgbm, f"tree\nTree=0\nleft_child={'9' * 5000}\nend of trees\n", "is no number"),
        (open_lightgbm, "tree\nTree=0\nthreshold=1\nthreshold=1\nend of trees\n", "is there twice"),
    ],
)
def test_what_is_no_model_is_an_error_with_its_place(refused, opener, data, reason):
    error = refused(opener, data)
    assert reason in error.reason
    assert error.offset is not None


def test_switches_of_the_header_and_infinities_are_read(tmp_path):
    path = tmp_path / "m"
    path.write_text("tree\naverage_output\nTree=0\nthreshold=inf -inf\nend of trees\n")
    with open_lightgbm(Source(path), {}) as model:
        assert model.tree["header"] == {"average_output": True}
        assert model.tensors["trees.0.threshold"].read().tolist() == [np.inf, -np.inf]


def test_sizes_of_lightgbm_trees_are_left_out_only_where_they_are_right(tmp_path):
    text = (FIXTURES / "lightgbm-trees.txt").read_text(encoding="utf-8")
    changed = {
        "right": text,
        "size": text.replace("tree_sizes=648", "tree_sizes=649"),
        "line ends": text.replace("\n", "\r\n"),
        "longer tree": text.replace("\nshrinkage=", "\nshrinkage=0", 1),
    }
    left_out = set()
    for name, content in changed.items():
        (tmp_path / name).write_bytes(content.encode())
        with open_lightgbm(Source(tmp_path / name), {}) as artifact:
            left_out |= {name} - ({name} if "tree_sizes" in artifact.tree["header"] else set())
    assert left_out == {"right"}


def _leaves(node):
    return [node] if "value" in node else [*_leaves(node["left"]), *_leaves(node["right"])]


def _with_leaves(document, values, weights):
    """Return a copy whose first leaves hold these; ``None`` for nothing."""
    document = json.loads(json.dumps(document))
    for leaf, value, weight in zip(_leaves(document["trees"][0]), values, weights, strict=False):
        leaf.update({"value": value, "weight": weight})
        if weight is None:
            del leaf["weight"]
    return document


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (([[1.0, 2.0], [3.0]], [1, 1]), ([[1.0], [2.0, 3.0]], [1, 1])),
        (([1.0, 2.0], [None, 5]), ([1.0, 2.0], [5, None])),
    ],
)
def test_numbers_of_catboost_that_stand_in_other_leaves_are_another_model(tmp_path, one, other):
    document = json.loads((FIXTURES / "catboost-nodes.json").read_text(encoding="utf-8"))
    found = []
    for name, (values, weights) in (("one", one), ("other", other)):
        path = tmp_path / name
        path.write_text(json.dumps(_with_leaves(document, values, weights)), encoding="utf-8")
        with open_catboost(Source(path), {}) as artifact:
            tensors = {name: ref.read().tolist() for name, ref in artifact.tensors.items()}
            found.append((artifact.tree, tensors))
    assert found[0] != found[1]
    assert all("trees.1.leaf_values" in tensors for _, tensors in found)


def test_ubjson_of_nothing_but_empty_arrays_is_refused_before_it_fills_the_memory(refused, monkeypatch):
    monkeypatch.setattr(ubjson, "MAX_VALUES", 1000)
    error = refused(open_xgboost, b"{L\0\0\0\0\0\0\0\x07learner[" + b"[]" * 200 + b"]}")
    assert error.reason == "more than 1,000 values are not read"


@pytest.mark.parametrize("kept", [0.6, 0.8, 0.95])
def test_a_lightgbm_model_that_is_cut_within_its_parameters_is_an_error(tmp_path, kept):
    whole = (FIXTURES / "lightgbm-trees.txt").read_bytes()
    first, last = whole.index(b"parameters:"), whole.index(b"end of parameters")
    path = tmp_path / "model.txt"
    path.write_bytes(whole[: first + round((last - first) * kept)])
    with pytest.raises(LoadError, match="ends before its 'end of parameters'") as caught:
        open_lightgbm(Source(path), {})
    assert caught.value.offset == path.stat().st_size
