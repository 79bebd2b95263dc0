"""The page read back: what it says, that it holds no markup but its own, and that it grows with the findings."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from importlib.resources import files

import pytest
from diffai_report_html.entries import segments
from diffai_report_html.page import render
from html_pages import check, read

from diffai_core.plugin import GATE, ArtifactSummary, Finding, Identity, NotCompared, Verdict
from diffai_core.testing import report

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "--><svg onload=alert(1)>",
    "]]>",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "\x1b[2Ja\x00b",
    "\u202eabc",
    "\udc80",
]
HEAT_MAP = {
    "type": "heat_map",
    "title": "Relative change by block and role",
    "columns": ["block", "q", "norm"],
    "rows": [["model.layers.0", "=", None], ["model.layers.1", -1.25, -3.5]],
}
BINS = {
    "type": "histogram",
    "title": "Values of w",
    "tensor": "model.layers.1.self_attn.q_proj.weight",
    "columns": ["from", "to", "OLD", "NEW"],
    "rows": [[-1.0, 0.0, 0.5, 0.25], [0.0, 1.0, 0.5, 0.75]],
    "ks_d": 0.25,
}


def written(*findings, **more):
    return "".join(render(replace(report(findings), **more), {}))


def page(*findings, **more):
    return check(written(*findings, **more))


def section(root, name):
    return root.one("section", id=name)


def rows(table):
    return [[cell.text for cell in row.children if not isinstance(cell, str)] for row in table.all("tr")]


def tensor(name="model.layers.1.self_attn.q_proj.weight", **more):
    values = {"rel_change": 0.7123, "max_abs_diff": 0.09, "one_minus_cos": 4e-6, "changed_share": 0.5}
    return Finding("tensor_stats_changed", name, old={"mean": 0.5}, new={"mean": 0.25}, values=values, **more)


def charts(*found):
    return Finding("include_charts", level="info", values={"charts": list(found)})


# the head


def test_the_answer_and_the_named_change_come_first():
    named = Finding("named_change", level="info", message="cast to bfloat16", detail=("fc  ░",))
    header = page(named, tensor()).one("header")
    assert header.one("p", **{"class": "verdict "}).text == "different: 2 findings"
    assert header.one("p", **{"class": "change"}).text == "Change: cast to bfloat16"
    assert header.one("pre").text == "fc  ░"
    assert rows(header.one("table"))[1] == ["OLD", "old.bin", "memory", "2", "12", "float32 (2)", "48 bytes"]


@pytest.mark.parametrize(
    ("identity", "mood"),
    [(Identity.IDENTICAL_FILES, "same"), (Identity.INCONCLUSIVE, "open"), (Identity.DIFFERENT, "")],
)
def test_the_mood_of_the_verdict_is_that_of_the_answer(identity, mood):
    assert page(verdict=Verdict(identity, "x")).one("p", **{"class": f"verdict {mood}"})


def test_the_contents_name_only_sections_that_are_there():
    root = page(
        tensor(), Finding("modified", "lr", old=1, new=2), Finding("acme", status="not_measurable", message="no")
    )
    anchors = [link.attributes["href"].removeprefix("#") for link in root.one("nav").all("a")]
    assert anchors == ["map", "tensors", "entries", "not-measured"]
    assert [node.attributes["id"] for node in root.one("main").all("section")] == anchors


# tensors


def test_a_tensor_is_a_row_that_opens_to_its_numbers_with_their_nulls():
    key = "model.layers.1.self_attn.q_proj.weight"
    statistics = Finding("tensor_statistics", key, level="info", old={"q500": 0.5}, new={"q500": 0.125})
    flag = Finding("anomaly", key, level="warning", values={"z": 9.5}, null={"z": 3.25}, message="far out")
    answer = Finding("acme", level="info", values={"tensors": [{"name": key, "sqnr_db": 42.5}, {"name": "other"}]})
    table = section(page(tensor(), statistics, flag, answer), "tensors").one("table", id="tensor-table")
    row = table.one("tr", id="t0")
    assert [cell.text for cell in row.children[1:]] == [
        *("changed", "model.layers.1", "q", "0.712", "0.09", "4e-06", "50%"),
    ]
    assert row.children[4].attributes["data-v"] == "0.71230000000000004"
    details = row.one("details")
    assert details.one("summary").text == key
    tables = [rows(one) for one in details.all("table")]
    assert [["measure", "OLD", "NEW"], ["mean", "0.5", "0.25"]] in tables
    assert [["measure", "OLD", "NEW"], ["q500", "0.5", "0.125"]] in tables
    assert [["value", "measured", "null"], ["z", "9.5", "3.25"]] in tables
    assert [["value", "measured"], ["sqnr_db", "42.5"]] in tables
    assert "far out" in details.text


@pytest.mark.parametrize(
    ("finding", "what"),
    [
        (Finding("tensor_added", "w", new={"shape": [2]}), "added: {shape=[2]}"),
        (Finding("tensor_renamed", "m.w", old="w", new="m.w"), "renamed from w"),
        (Finding("tensor_shape_changed", "w", old=[1], new=[2]), "shape changed: [1] → [2]"),
    ],
)
def test_other_changes_of_tensors_are_said_in_words(finding, what):
    assert section(page(finding), "tensors").one("tr", id="t0").children[1].text == what


def test_the_distribution_of_a_tensor_is_drawn_where_it_is_opened():
    row = section(page(tensor(), charts(BINS)), "tensors").one("tr", id="t0")
    drawing = row.one("svg")
    assert len(list(drawing.all("polyline"))) == 2
    assert "Kolmogorov-Smirnov distance 0.25" in drawing.one("desc").text
    assert [["from", "to", "OLD", "NEW"], ["-1", "0", "0.5", "0.25"], ["0", "1", "0.5", "0.75"]] in [
        rows(table) for table in row.all("table")
    ]


# the map


def test_the_map_links_each_cell_to_its_tensors():
    first = tensor("lm_head.weight")
    root = page(first, tensor(), tensor("model.layers.1.input_layernorm.weight"), charts(HEAT_MAP))
    links = {
        (link.attributes["data-block"], link.attributes.get("data-role", "")): link.attributes["href"]
        for link in section(root, "map").all("a")
    }
    assert links == {
        ("model.layers.1", ""): "#t1",
        ("model.layers.1", "q"): "#t1",
        ("model.layers.1", "norm"): "#t2",
    }
    assert [rect.attributes["class"] for rect in section(root, "map").all("rect")] == ["h0", "h4", "h2"]
    assert rows(section(root, "map").one("table"))[1:] == [
        ["model.layers.0", "=", ""],
        ["model.layers.1", "-1.25", "-3.5"],
    ]


def test_without_charts_the_map_shows_the_largest_change_of_each_cell():
    small = tensor("model.layers.10.mlp.up_proj.bias")
    small.values["rel_change"] = 0.001
    large = tensor("model.layers.10.mlp.up_proj.weight")
    large.values["rel_change"] = 0.1
    nine = tensor("model.layers.9.mlp.up_proj.weight")
    nine.values["rel_change"] = 0.01
    assert rows(section(page(small, large, nine), "map").one("table")) == [
        ["block", "up"],
        ["model.layers.9", "-2"],
        ["model.layers.10", "-1"],
    ]


# entries


def test_changed_entries_are_a_signed_and_coloured_tree():
    root = page(
        Finding("modified", "train.lr", old=1, new=2),
        Finding("added", 'train.sub["a.b"]', new="x"),
        Finding("modified", "epoch", old=1, new=2),
        Finding("type_changed", "train.n[0]", old=1, new="1", values={"old_type": "Integer", "new_type": "String"}),
    )
    tree = section(root, "entries").one("div", **{"class": "tree"})
    assert [node.text for node in tree.all("summary")] == ["train", "sub", "n"]
    leaves = [(node.attributes.get("class"), node.text) for node in tree.all("span")]
    assert ("mod", "~ lr: 1 → 2") in leaves
    assert ("add", '+ ["a.b"]: x') in leaves
    assert ("mod", "! [0]: 1 → 1 (Integer → String)") in leaves


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a.b", ["a", "b"]),
        ('a[0]["x.y\\"z"].c', ["a", "[0]", '["x.y\\"z"]', "c"]),
        ("", [""]),
        ("..", [".."]),
        ("a[", ["a["]),
        (".".join("abc" * 20), [*("abc" * 8)[:23], ".".join("abc" * 20)[45:]]),
    ],
)
def test_a_path_is_cut_into_its_steps(path, steps):
    found = segments(path)
    assert [step.removeprefix(".") for step in found] == [step.removeprefix(".") for step in steps]


# analyses, gates, report, charts


def test_an_analysis_shows_each_value_beside_its_null_and_its_limit():
    finding = Finding(
        "quantization_analysis",
        status="estimated",
        level="info",
        values={
            "sqnr_db": 40.25,
            "layers": [{"name": "a", "db": 1.5}, {"name": "b"}],
            "by_role": {str(n): n for n in range(9)},
        },
        null={"sqnr_db": 42.125},
        threshold=0.01,
        threshold_source="user",
        coverage=0.5,
        message="three are above",
        detail=("q  ░",),
    )
    article = section(page(finding), "analyses").one("article")
    tables = [rows(table) for table in article.all("table")]
    assert tables[0] == [["value", "measured", "null"], ["sqnr_db", "40.2", "42.1"]]
    assert tables[1] == [["name", "db"], ["a", "1.5"], ["b", ""]]
    assert tables[2][1] == ["0", "0"]
    assert "status estimated; coverage 0.5; threshold 0.01 (user)" in article.text
    assert article.one("pre").text == "q  ░"


def test_gates_say_their_answer_in_words():
    gates = [Finding(GATE, values={"rule": "r", "passed": passed}, message="why") for passed in (True, False, None)]
    answers = [row[0] for row in rows(section(page(*gates), "gates").one("table"))[1:]]
    assert answers == ["✓ passed", "✗ failed", "? undecided"]


def test_a_written_report_has_conclusions_findings_and_limits():
    values = {
        "title": "Change report: x",
        "findings": [{"text": "t", "evidence": {"kind": "k", "where": "w", "numbers": {"n": 2}, "status": "measured"}}],
        "conclusions": [{"text": "c", "because": ["k"]}],
        "limits": [{"what": "a", "why": "b"}],
    }
    found = section(page(Finding("generate_report", level="info", values=values)), "report")
    assert found.one("h2").text == "Change report: x"
    assert [item.text for item in found.all("li")] == ["c (k)"]
    assert [rows(table)[1] for table in found.all("table")] == [["t", "k n 2", "w", "measured"], ["a", "b"]]


def test_every_chart_has_a_drawing_with_words_and_its_data():
    bars = {"type": "bar", "title": "b", "columns": ["tensor", "x", "y"], "rows": [["w", 0.25, 0.5]]}
    line = {"type": "line", "title": "l", "columns": ["step", "OLD", "NEW"], "rows": [[1, 2.0, None], [2, 1.0, 0.5]]}
    counts = {
        "type": "histogram",
        "title": "n",
        "columns": ["from", "to", "n"],
        "rows": [[0.0, 0.0, 3], [0.1, None, 2]],
    }
    figures = list(section(page(charts(HEAT_MAP, bars, line, counts, BINS)), "charts").all("figure"))
    assert [figure.one("figcaption").text for figure in figures] == ["b", "l", "n", "Values of w"]
    assert all(figure.one("svg").one("desc").text for figure in figures)
    assert rows(figures[1].one("table"))[1:] == [["1", "2", ""], ["2", "1", "0.5"]]
    assert "OLD from 2 to 1; NEW from 0.5 to 0.5" in figures[1].one("desc").text
    assert {"unchanged", "0.1 – …"} <= {text.text for text in figures[2].all("text")}  # noqa: RUF001 - a range


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "line"},
        {"type": "bar", "columns": ["a"], "rows": [[]]},
        {"type": "line", "columns": ["x", "OLD"], "rows": [["a", None], [float("nan"), 1]]},
        {"type": "histogram", "columns": ["a", "b", "c", "d"], "rows": [[1, 1, 1, 1], [0, 1, float("inf"), 2]]},
        {"type": "heat_map", "columns": ["block"], "rows": [["a", 1, 2]]},
        {"type": "other", "columns": ["a"], "rows": [[{"x": 1}]]},
    ],
)
def test_a_chart_without_numbers_is_no_error(broken):
    page(charts(broken, HEAT_MAP), tensor())


def test_what_was_not_measured_or_compared_is_told_with_the_reason():
    finding = Finding("attention_analysis", status="not_measurable", level="info", message="needs: head count")
    found = section(page(finding, not_compared=(NotCompared("graph", "nothing reads it"),)), "not-measured")
    assert rows(found.one("table"))[1:] == [["attention analysis", "needs: head count"], ["graph", "nothing reads it"]]


def test_failures_warnings_and_settings_are_told():
    failed = Finding("plugin_failed", level="error", plugin="acme", message="failed")
    root = page(failed, warnings=("two clash",), settings={"epsilon": 0.5})
    assert [node.text for node in section(root, "remarks").all("p")] == ["error: acme: failed", "two clash"]
    assert rows(section(root, "settings").one("table"))[1] == ["epsilon", "0.5"]


# hostile and large reports


@pytest.mark.parametrize("evil", EVIL)
def test_no_name_value_or_message_becomes_markup(evil):
    chart = {"type": evil, "title": evil, "x": evil, "unit": evil, "tensor": evil, "columns": [evil], "rows": [[evil]]}
    bars = {"type": "bar", "title": evil, "columns": [evil, evil], "rows": [[evil, 1.0]]}
    heat = HEAT_MAP | {"title": evil, "columns": [evil, evil], "rows": [[evil, evil]]}
    written_report = {
        "title": evil,
        "findings": [{"text": evil, "level": evil, "evidence": {"kind": evil, "where": evil}}],
    }
    everywhere = [
        tensor(evil, message=evil, detail=(evil,)),
        Finding("tensor_renamed", evil, old=evil, new=evil),
        Finding("modified", evil, old=evil, new=[{evil: evil}], message=evil),
        Finding("type_changed", f"a.{evil}", old=evil, new=1, values={"old_type": evil, "new_type": evil}),
        Finding("node_moved", evil, old=evil, new=evil, values={evil: evil}),
        Finding(evil, values={evil: evil, "tensors": [{"name": evil, evil: evil}]}, null={evil: evil}, threshold=evil),
        Finding("anomaly", evil, level="warning", values={evil: evil}, null=evil, message=evil, detail=(evil,)),
        Finding("named_change", level="info", message=evil),
        Finding(GATE, evil, values={"rule": evil, "passed": True}, message=evil),
        Finding("acme", status="not_measurable", level="info", message=evil),
        Finding("generate_report", level="info", values=written_report),
        charts(chart, bars, heat),
    ]
    made = written(*everywhere, old=ArtifactSummary(evil, evil, 1, 1, 1, {evil: 1}), settings={evil: evil})
    root = check(made)
    assert len(list(root.all("script"))) == 1
    assert all(line.isprintable() for line in made.split("\n"))
    made.encode()


def test_a_hundred_thousand_tensors_take_time_and_text_that_grow_with_their_number():
    def cost(count):
        made = report([tensor(f"model.layers.{number % 100}.mlp.{number}.weight") for number in range(count)])
        started = time.process_time()
        length = sum(map(len, render(made, {})))
        return time.process_time() - started, length

    cost(100)
    (few, short), (many, long) = cost(2_000), cost(20_000)
    assert many < few * 20
    assert long < short * 12


def test_deep_and_circular_values_end():
    deep = []
    for _ in range(5000):
        deep = [deep]
    circle = {"tensors": []}
    circle["tensors"].append(circle)
    page(Finding("acme", level="info", values=circle), Finding("added", ".".join("a" * 3000), new=deep))


def test_the_page_is_whole_without_its_script():
    root = read(written(tensor(), Finding("modified", "lr", old=1, new=2)))
    form = root.one("form")
    assert "hidden" in form.attributes
    assert not [node for node in root.one("main").all("tr") if "hidden" in node.attributes]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_is_valid():
    script = files("diffai_report_html").joinpath("assets", "page.js").read_text("utf-8")
    subprocess.run(["node", "--check", "-"], input=script, text=True, check=True, capture_output=True)


def test_what_wants_a_look_is_apart_from_what_is_only_noted():
    loud = Finding("anomaly", "w", level="warning", message="far out")
    root = page(loud, Finding("anomaly", "v", level="info", message="frozen"))
    assert rows(section(root, "look").one("table"))[1:] == [["warning", "anomaly", "w", "", "far out"]]
    assert "open" not in section(root, "noted").one("details").attributes
    assert rows(section(root, "noted").one("table"))[1:] == [["info", "anomaly", "v", "", "frozen"]]
