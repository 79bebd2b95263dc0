"""Estimators of scikit-learn: every array that it fitted and every hyperparameter is there, under its name."""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path

import joblib
import numpy as np
import pytest
from diffai_load_pickle.loader import open_pickle
from diffai_load_pickle.skops import open_skops
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from diffai_core.discovery import find_plugins
from diffai_core.plugin import LoadError, Source
from diffai_core.registry import build_registry
from diffai_core.selection import choose_loader

FIXTURES = Path(__file__).parent / "fixtures"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)
ESTIMATORS = [
    LogisticRegression(C=0.5),
    RandomForestClassifier(3, random_state=0),
    GradientBoostingClassifier(n_estimators=3, random_state=0),
    SVC(probability=False),
    KMeans(2, n_init=1, random_state=0),
    KNeighborsClassifier(3),
    MLPClassifier((3,), max_iter=2, random_state=0, early_stopping=False),
]


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield lambda path, opener=open_pickle: stack.enter_context(opener(Source(path), {}))


def attributes(estimator):
    return {
        key: value for key, value in vars(estimator).items() if isinstance(value, np.ndarray) and value.dtype != "O"
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.parametrize("write", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_arrays_and_hyperparameters_are_those_of_the_estimator(tmp_path, opened, estimator, write):
    estimator.fit(X, Y)
    write(estimator, tmp_path / "m")
    model = opened(tmp_path / "m")
    for name, array in attributes(estimator).items():
        assert np.array_equal(model.tensors[name].read(), array), name
    for name, value in estimator.get_params(deep=False).items():
        if value is None or isinstance(value, int | float | str | bool):
            assert model.tree[name] == value, name
    assert model.tree["__class__"] == f"{type(estimator).__module__}.{type(estimator).__name__}"
    assert model.foreign == ()
    assert model.not_readable == ()


def test_nodes_of_trees_are_tensors_by_field(tmp_path, opened):
    forest = RandomForestClassifier(2, random_state=0).fit(X, Y)
    joblib.dump(forest, tmp_path / "m")
    model = opened(tmp_path / "m")
    for number, tree in enumerate(forest.estimators_):
        names = {"left_child": tree.tree_.children_left, "threshold": tree.tree_.threshold}
        for field, values in names.items():
            read = model.tensors[f"estimators_.{number}.tree_.nodes.{field}"].read()
            assert np.array_equal(read, values), field
        assert np.array_equal(model.tensors[f"estimators_.{number}.tree_.values"].read(), tree.tree_.value)


def test_parts_of_composed_estimators_stand_under_the_names_they_were_given(tmp_path, opened):
    columns = ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("code", OneHotEncoder(), [2])])
    data = np.column_stack([X[:, :2], Y])
    vote = VotingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=3.0))])
    pipeline = Pipeline([("columns", columns), ("vote", vote)]).fit(data, Y)
    joblib.dump(pipeline, tmp_path / "m")
    model = opened(tmp_path / "m")
    scaler = pipeline["columns"].named_transformers_["scale"]
    read = model.tensors["steps.columns.transformers_.scale.0.mean_"].read()
    assert np.array_equal(read, scaler.mean_)
    assert model.tree["steps"]["vote"]["estimators"]["b"]["C"] == 3.0
    assert np.array_equal(model.tensors["steps.vote.estimators_.0.coef_"].read(), pipeline["vote"].estimators_[0].coef_)


def test_scikit_learn_is_not_imported():
    import subprocess

    code = (
        "import sys\nfrom diffai_core.plugin import Source\nfrom diffai_load_pickle.loader import open_pickle\n"
        f"artifact = open_pickle(Source({str(FIXTURES / 'pipeline.pkl')!r}), {{}})\n"
        "print(len(artifact.tensors), 'sklearn' in sys.modules, 'numpy' in sys.modules, 'joblib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["14", "False", "False", "False"]


# -- skops -----------------------------------------------------------------------------------------------------------


def test_an_estimator_is_the_same_as_skops_and_as_pickle(opened):
    as_pickle, as_skops = opened(FIXTURES / "pipeline.pkl"), opened(FIXTURES / "pipeline.skops", open_skops)
    assert as_pickle.tree == as_skops.tree
    assert set(as_pickle.tensors) == set(as_skops.tensors)
    for name, ref in as_pickle.tensors.items():
        assert ref.read().tobytes() == as_skops.tensors[name].read().tobytes(), name


def test_all_kinds_of_nodes_of_skops_give_what_a_pickle_gives(opened):
    as_pickle, as_skops = opened(FIXTURES / "other.pkl"), opened(FIXTURES / "other.skops", open_skops)
    values = json.loads((FIXTURES / "values.json").read_text())
    assert as_skops.tensors["regression.coef_"].read().tolist() == values["coef_"]
    for key in as_pickle.tree.keys() - {"random", "sparse"}:
        assert as_skops.tree[key] == as_pickle.tree[key], key
    assert as_skops.tree["sparse"] == {"__class__": "scipy.sparse._csr.csr_matrix", "_shape": [3, 3]}
    for name, ref in as_pickle.tensors.items():
        if not name.startswith("random.__args__"):
            assert ref.read().tobytes() == as_skops.tensors[name].read().tobytes(), name
    assert [found.name for found in as_skops.foreign] == [found.name for found in as_pickle.foreign] == ["numpy.log1p"]
    assert as_skops.not_readable == ()


@pytest.mark.parametrize("name", ["m.skops", "m", "m.npz", "m.bin"])
@pytest.mark.parametrize("fixture", ["pipeline.skops", "other.skops", "array.skops"])
def test_archives_of_skops_are_known_by_their_content(tmp_path, name, fixture):
    (tmp_path / name).write_bytes((FIXTURES / fixture).read_bytes())
    if not name.endswith(".npz"):  # a name that says otherwise is believed
        assert choose_loader(Source(tmp_path / name), build_registry(find_plugins())).spec.name == "skops"


def test_archives_of_numpy_stay_archives_of_numpy(tmp_path):
    np.savez(tmp_path / "m", a=X, **{"123": X})
    (tmp_path / "m.npz").rename(tmp_path / "m")
    assert choose_loader(Source(tmp_path / "m"), build_registry(find_plugins())).spec.name == "npz"


def node(loader, **fields):
    return {"__class__": "dict", "__module__": "builtins", "__loader__": loader, **fields}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "it has no schema.json"),
        ("{", "not JSON"),
        ("[]", "the schema is no node"),
        (json.dumps(node("DictNode")), "holds none"),
        (json.dumps(node("CachedNode", __id__=5)), "refers to one that does not stand before it"),
        (json.dumps(node("JsonNode", content="{", is_json=True)), "the value of a node is damaged"),
        (json.dumps(node("NdArrayNode", type="numpy", file="no.npy")), "which is not there"),
        (json.dumps(node("NdArrayNode", type="numpy", file=7)), "names no member"),
        (json.dumps({"__loader__": "ObjectNode"}), "a node has no class"),
        ('{"__loader__": "ListNode", "__class__": "list", "__module__": "builtins", "content": [' * 150, "not JSON"),
    ],
)
def test_a_schema_that_does_not_hold_is_an_error(tmp_path, schema, reason):
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("other", b"x")
        if schema is not None:
            archive.writestr("schema.json", schema)
    with pytest.raises(LoadError, match=reason) as caught:
        open_skops(Source(tmp_path / "m.skops"), {})
    assert caught.value.path == str(tmp_path / "m.skops")


def test_nodes_that_are_nested_too_deeply_are_an_error(tmp_path):
    schema = node("ListNode", content=[])
    for _ in range(200):
        schema = node("ListNode", content=[schema])
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    with pytest.raises(LoadError, match="nested more than 100 deep"):
        open_skops(Source(tmp_path / "m.skops"), {})


def test_members_that_no_node_names_are_said_to_be_not_compared(tmp_path, opened):
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(node("DictNode", content={})))
        archive.writestr("more", b"x")
    assert [part.where for part in opened(tmp_path / "m.skops", open_skops).not_readable] == ["more"]


def test_unknown_nodes_are_listed_and_read_as_far_as_they_can_be(tmp_path, opened):
    schema = {"__class__": "system", "__module__": "posix", "__loader__": "NewNode", "content": {"a": 1}}
    with zipfile.ZipFile(tmp_path / "m.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    artifact = opened(tmp_path / "m.skops", open_skops)
    assert artifact.tree == {"__class__": "posix.system", "a": 1}
    assert [found.name for found in artifact.foreign] == ["posix.system"]
