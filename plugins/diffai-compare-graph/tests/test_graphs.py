"""Every difference between two graphs is found, none is invented, and other names alone are none."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT, Graph, KeyFilter, Node, Value

F32 = Value("float32", ("N", 4))


def graph(*nodes, inputs=("x",), outputs=("y",), **attributes):
    return Graph(nodes, dict.fromkeys(inputs, F32), dict.fromkeys(outputs, F32), attributes)


def network(relu="Relu", **conv):
    return graph(
        Node("Conv", "conv", ("x", "conv.weight", "conv.bias"), ("h",), {"strides": [1, 1], **conv}),
        Node(relu, "act", ("h",), ("r",)),
        Node("MatMul", "fc", ("r", "fc.weight"), ("m",)),
        Node("Add", "add", ("m", "fc.bias"), ("y",)),
    )


def renamed(found, *, nodes="", values="", tensors=""):
    """Return a graph with an ending put to names: those of nodes, of values between them, of tensors."""
    made = {name for node in found.nodes for name in node.outputs} - set(found.outputs)

    def value(name):
        known = name in found.inputs or name in found.outputs or not name
        return name if known else name + (values if name in made else tensors)

    return replace(
        found,
        nodes=tuple(
            replace(
                node,
                name=node.name and node.name + nodes,
                inputs=tuple(map(value, node.inputs)),
                outputs=tuple(map(value, node.outputs)),
            )
            for node in found.nodes
        ),
    )


def test_equal_graphs_have_no_findings(find):
    assert find(network(), network()) == []


def test_an_added_node_is_found_with_the_one_that_takes_its_output(find):
    old = network()
    new = replace(
        old,
        nodes=(
            *old.nodes[:2],
            Node("Dropout", "drop", ("r",), ("d",)),
            replace(old.nodes[2], inputs=("d", "fc.weight")),
            old.nodes[3],
        ),
    )
    added, changed = find(old, new)
    assert (added.kind, added.where) == ("graph_node_added", "drop")
    assert (added.old, added.new) == (ABSENT, {"op": "Dropout", "inputs": ["r"], "outputs": ["d"]})
    assert (changed.kind, changed.where) == ("graph_node_changed", "fc")
    assert changed.old == {"op": "MatMul", "inputs": ["r", "fc.weight"]}
    assert changed.new == {"op": "MatMul", "inputs": ["d", "fc.weight"]}
    back = [(found.kind, found.where) for found in find(new, old)]
    assert back == [("graph_node_removed", "drop"), ("graph_node_changed", "fc")]


def test_another_operator_in_the_same_place_is_a_change_of_the_node(find):
    (found,) = find(network(), network(relu="Gelu"))
    assert (found.kind, found.where) == ("graph_node_changed", "act")
    assert (found.old, found.new) == ({"op": "Relu"}, {"op": "Gelu"})


def test_another_operator_is_found_where_there_are_no_names(find):
    old, new = (renamed_to_nothing(network(relu=op)) for op in ("Relu", "Gelu"))
    assert [found.kind for found in find(old, new)] == ["graph_node_changed"]


def renamed_to_nothing(found):
    return replace(found, nodes=tuple(replace(node, name="") for node in found.nodes))


def test_a_changed_added_and_removed_attribute_is_found_with_both_values(find):
    found = find(network(strides=[1, 1], group=1), network(strides=[2, 2], pads=[0]))
    assert [(one.kind, one.where, one.old, one.new) for one in found] == [
        ("graph_attribute_changed", "conv.strides", [1, 1], [2, 2]),
        ("graph_attribute_changed", "conv.group", 1, ABSENT),
        ("graph_attribute_changed", "conv.pads", ABSENT, [0]),
    ]


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (b"a", "a"), ([], None)])
def test_values_of_other_types_or_signs_are_changes(changes, old, new):
    assert changes(network(a=old), network(a=new)) == [("graph_attribute_changed", "conv.a")]


def test_nan_equals_nan(find):
    assert find(network(a=float("nan")), network(a=[float("nan")][0])) == []


@pytest.mark.parametrize(
    "names", [{"nodes": "_2"}, {"values": "_2"}, {"nodes": "_2", "values": "_2"}, {"tensors": "_2"}]
)
def test_other_names_alone_change_nothing(find, names):
    found = find(network(), renamed(network(), **names))
    assert [one.kind for one in found] == (["graph_names_changed"] if names.keys() - {"tensors"} else [])
    assert all(one.level == "info" for one in found)


def test_names_that_count_nodes_do_not_hide_that_one_was_added(find):
    def numbered(ops):
        names = ["x", *(f"v{k}" for k in range(len(ops) - 1)), "y"]
        return graph(*(Node(op, f"{op}_{k}", (names[k],), (names[k + 1],)) for k, op in enumerate(ops)))

    ops = ["Relu", "Add", "Relu", "Relu", "Mul", "Relu"] * 3
    new = [*ops[:7], "Sigmoid", *ops[7:]]
    kinds = [(one.kind, one.where) for one in find(numbered(ops), numbered(new)) if one.level == "change"]
    assert kinds == [("graph_node_added", "Sigmoid_7"), ("graph_node_changed", "Add_8")]


def test_two_swapped_tensors_are_found(changes):
    def two(first, second):
        return graph(Node("Mul", "a", ("x", first), ("h",)), Node("Mul", "b", ("h", second), ("y",)))

    assert changes(two("w1", "w2"), two("w2", "w1")) == [("graph_node_changed", "a"), ("graph_node_changed", "b")]


def test_tensors_of_other_names_that_the_core_pairs_are_the_same(find):
    pair = SimpleNamespace(renamed=True, old_name="fc.weight", key="linear.weight")
    old = network()
    new = replace(old, nodes=(*old.nodes[:2], replace(old.nodes[2], inputs=("r", "linear.weight")), old.nodes[3]))
    assert find(old, new, results=[SimpleNamespace(pair=pair)]) == []


def test_swapped_inputs_of_a_node_are_found(changes):
    def difference(*inputs):
        return graph(
            Node("Relu", "a", ("x",), ("p",)), Node("Tanh", "b", ("x",), ("q",)), Node("Sub", "c", inputs, ("y",))
        )

    assert changes(difference("p", "q"), difference("q", "p")) == [("graph_node_changed", "c")]


def test_an_output_that_another_node_makes_is_found(find):
    def either(first, second):
        return graph(Node("Relu", "a", ("x",), (first,)), Node("Tanh", "b", ("x",), (second,)))

    (found,) = (one for one in find(either("y", "z"), either("z", "y")) if one.level == "change")
    assert (found.kind, found.where) == ("graph_io_changed", "y")
    assert (found.old["made_by"], found.new["made_by"]) == ("a", "b")


def test_inputs_and_outputs_that_are_added_removed_or_of_another_type_are_found(find):
    old = Graph((), {"x": F32, "gone": F32}, {"y": Value("float32", (1,))})
    new = Graph((), {"x": Value("float16", ("N", 4))}, {"y": Value("float32", (2,)), "more": F32})
    found = [(one.kind, one.where, one.old, one.new) for one in find(old, new)]
    f32 = {"dtype": "float32", "shape": ["N", 4]}
    assert found == [
        ("graph_io_changed", "x", {"kind": "input", **f32}, {"kind": "input", **f32, "dtype": "float16"}),
        ("graph_io_changed", "gone", {"kind": "input", **f32}, ABSENT),
        ("graph_io_changed", "y", {"kind": "output", **f32, "shape": [1]}, {"kind": "output", **f32, "shape": [2]}),
        ("graph_io_changed", "more", ABSENT, {"kind": "output", **f32}),
    ]


def test_versions_of_operator_sets_are_compared_one_by_one(find):
    old = graph(opset_import={"ai.onnx": 17, "local": 1})
    new = graph(opset_import={"ai.onnx": 18, "local": 1})
    (found,) = find(old, new)
    assert (found.kind, found.where) == ("graph_attribute_changed", "opset_import.ai.onnx")
    assert (found.old, found.new) == (17, 18)


def test_bodies_are_compared_node_by_node(changes):
    def branching(op, name="b"):
        body = Graph((Node(op, "inner", ("x", "w"), (name,)),), {}, {name: F32})
        return graph(Node("If", "choose", ("c",), ("y",), {"then_branch": body, "bodies": [body]}), inputs=("x", "c"))

    assert changes(branching("Add"), branching("Add", name="other")) == []
    assert changes(branching("Add"), branching("Mul")) == [
        ("graph_node_changed", "choose.then_branch/inner"),
        ("graph_node_changed", "choose.bodies[0]/inner"),
    ]


def test_values_that_a_body_takes_from_around_are_followed(changes):
    def branching(first, second, used):
        body = Graph((Node("Neg", "inner", (used,), ("b",)),), {}, {"b": F32})
        return graph(
            Node("Relu", "r", ("x",), (first,)),
            Node("Tanh", "t", ("x",), (second,)),
            Node("If", "choose", ("x",), ("y",), {"then_branch": body}),
        )

    assert changes(branching("p", "q", "p"), branching("s", "t", "s")) == []
    assert changes(branching("p", "q", "p"), branching("p", "q", "q")) == [
        ("graph_node_changed", "choose.then_branch/inner")
    ]


def test_functions_are_compared_and_added_ones_named(find):
    def with_functions(**functions):
        return graph(functions=functions)

    def body(op):
        return Graph((Node(op, "", ("a",), ("b",)),), {"a": Value()}, {"b": Value()})

    found = find(with_functions(f=body("Relu"), g=body("Relu")), with_functions(f=body("Elu"), h=body("Relu")))
    assert [(one.kind, one.where) for one in found] == [
        ("graph_node_changed", "functions.f/b"),
        ("graph_attribute_changed", "functions.g"),
        ("graph_attribute_changed", "functions.h"),
    ]
    assert (found[1].old, found[1].new) == ({"nodes": 1}, ABSENT)


def test_graphs_of_the_files_of_a_folder_are_compared_each_by_itself(find):
    def folder(**files):
        return Graph(attributes={"files": {f"{name}.onnx": made for name, made in files.items()}})

    found = find(folder(a=network(), b=network()), folder(a=network(relu="Gelu"), c=network()))
    assert [(one.kind, one.where) for one in found] == [
        ("graph_node_changed", "files.a.onnx/act"),
        ("graph_attribute_changed", "files.b.onnx"),
        ("graph_attribute_changed", "files.c.onnx"),
    ]
    ends = find(folder(a=graph(inputs=("x",), outputs=())), folder(a=graph(inputs=("z",), outputs=())))
    assert [(one.kind, one.where) for one in ends] == [
        ("graph_io_changed", "files.a.onnx/x"),
        ("graph_io_changed", "files.a.onnx/z"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        (Value("float32", (2, 3)), Value("float32", (2, 4)), "change"),
        (Value("float32", (2, 3)), Value("float16", (2, 3)), "change"),
        (Value("float32", (2, 3)), Value("float32", (2,)), "change"),
        (Value("float32", ("N", 3)), Value("float32", (2, 3)), "info"),
        (Value("float32", None), Value("float32", (2, 3)), "info"),
    ],
)
def test_types_and_shapes_between_nodes_are_compared(find, old, new, level):
    (found,) = find(replace(network(), attributes={"values": {"h": old}}),
                    replace(network(), attributes={"values": {"h": new}}))  # fmt: skip
    assert (found.kind, found.where, found.level) == ("graph_value_changed", "h", level)


def test_types_that_only_one_side_tells_are_counted(find):
    (found,) = find(network(), replace(network(), attributes={"values": {"h": F32, "r": F32}}))
    assert (found.kind, found.level) == ("graph_values_described", "info")
    assert found.values == {"only_in_old": 0, "only_in_new": 2}


@pytest.mark.parametrize("swapped", [False, True])
def test_a_graph_on_one_side_only_is_said_once_and_is_no_change(find, swapped):
    sides, formats = [network(), None], ["onnx", "safetensors"]
    if swapped:
        sides, formats = sides[::-1], formats[::-1]
    (found,) = find(*sides, formats=formats)
    assert (found.kind, found.level, found.status) == ("graph_not_comparable", "info", "not_measurable")
    assert found.message == (
        f"{'NEW' if swapped else 'OLD'} alone has a graph; safetensors files hold none,"
        " so that only the tensors can be compared"
    )
    assert found.values == {"n_nodes": 4}


def test_a_graph_that_one_of_two_files_of_one_format_lacks_is_a_change(changes):
    assert changes(network(), None) == [("graph_attribute_changed", "graph")]
    assert changes(None, None) == []


def test_graphs_of_two_formats_are_said_to_be_not_comparable(find):
    (found,) = find(network(), network(relu="RELU"), formats=("onnx", "tflite"))
    assert (found.kind, found.level, found.status) == ("graph_not_comparable", "info", "not_measurable")
    assert "onnx and tflite have different operators" in found.message


def test_a_filter_keeps_the_nodes_that_it_names(changes):
    keys = KeyFilter(pattern=re.compile("^conv"))
    old, new = network(), network(relu="Gelu", group=2)
    assert changes(old, new, keys=keys) == [("graph_attribute_changed", "conv.group")]


# -- laws ------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw, n_most=8):
    """Return any graph: nodes that take earlier values, inputs and tensors, with few operators and attributes."""
    n_nodes = draw(st.integers(0, n_most))
    nodes, made = [], ["x"]
    for k in range(n_nodes):
        tensors = [f"w{j}" for j in range(4)]
        inputs = draw(st.lists(st.sampled_from([*made, *tensors, ""]), max_size=3))
        outputs = tuple(f"v{k}_{j}" for j in range(draw(st.integers(1, 2))))
        name = draw(st.sampled_from(["", f"n{k}", "same"]))
        attributes = draw(st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2))
        nodes.append(Node(draw(st.sampled_from(["Add", "Relu", "Split"])), name, tuple(inputs), outputs, attributes))
        made += outputs
    outputs = draw(st.lists(st.sampled_from(made), max_size=2, unique=True))
    return Graph(tuple(nodes), {"x": F32}, dict.fromkeys(outputs, F32))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(graphs())
def test_a_graph_never_differs_from_a_copy_of_itself(find, made):
    assert find(made, replace(made, nodes=tuple(replace(node) for node in made.nodes))) == []


@settings(deadline=None, derandomize=True, max_examples=60)
@given(graphs(), graphs())
def test_graphs_are_told_apart_in_both_directions_or_in_none(changes, one, other):
    there, back = changes(one, other), changes(other, one)
    assert bool(there) == bool(back)
    if not there:
        assert sorted(node.op for node in one.nodes) == sorted(node.op for node in other.nodes)
        assert len(one.inputs) == len(other.inputs)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(graphs(), st.data())
def test_any_one_edit_is_found(changes, made, data):
    if not made.nodes:
        return
    at = data.draw(st.integers(0, len(made.nodes) - 1))
    node = made.nodes[at]
    edited = data.draw(
        st.sampled_from(
            [
                replace(node, op="Elu"),
                replace(node, inputs=(*node.inputs, "x")),
                replace(node, attributes={**node.attributes, "c": 1}),
                replace(node, outputs=(*node.outputs, "extra")),
                None,
            ]
        )
    )
    rest = () if edited is None else (edited,)
    new = replace(made, nodes=(*made.nodes[:at], *rest, *made.nodes[at + 1 :]))
    assert changes(made, new)
    assert changes(new, made)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(graphs())
def test_other_names_of_everything_between_change_nothing_where_structure_tells(find, made):
    unique = replace(made, nodes=tuple(replace(node, attributes={"k": k}) for k, node in enumerate(made.nodes)))
    assert all(found.level == "info" for found in find(unique, renamed(unique, nodes="_2", values="_2")))


@pytest.mark.parametrize("named", [True, False])
def test_twenty_thousand_nodes_take_seconds(changes, named):
    def chain(skip):
        nodes, last = [], "x"
        for k in range(20_000):
            if k != skip:
                inputs = (last, f"w{k}") if k % 3 else (last,)
                last = f"v{len(nodes)}"
                op = ("Relu", "Add", "MatMul")[k % 3]
                nodes.append(Node(op, f"{op}_{len(nodes)}" if named else "", inputs, (last,)))
        return graph(*nodes, outputs=(last,))

    started = time.process_time()
    found = changes(chain(None), chain(9999))
    assert [kind for kind, _ in found] == [
        *("graph_node_removed", "graph_node_changed", "graph_io_changed", "graph_io_changed")
    ]
    assert time.process_time() - started < 20
