"""Options go from plugins to the command line, and their values back; nothing is lost on a clash."""

from __future__ import annotations

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.options import checked_value, plugin_options
from diffai_core.plugin import ComparatorSpec, LoaderSpec, Option, PluginError, ReporterSpec, UsageError
from diffai_core.registry import build_registry

KINDS = (
    Option("fast", "Be fast."),
    Option("count", "How many.", kind="integer", default=3),
    Option("limit", "How much.", kind="number", default=None),
    Option("title", "What to call it.", kind="text", default=None),
    Option("keys", "Which keys.", kind="regex", default=None),
    Option("style", "Which style.", kind="choice", default="plain", choices=("plain", "rich")),
    Option("skip", "What to leave out.", kind="text", default=(), multiple=True),
    Option("level", "Which levels.", kind="integer", default=(1, 2), multiple=True),
)


def comparator(name="signs", *options, default=False):
    return ComparatorSpec(name=name, title=f"Do {name}.", target="m:f", default=default, options=options)


def loader(name, *options):
    return LoaderSpec(name=name, title=name, target="m:f", options=options)


def options_of(*plugins, claimed=()):
    registry = build_registry(plugins)
    assert registry.broken == ()
    return plugin_options(registry, claimed)


def parse(options, *arguments):
    """Run a click command as the command line would; return the context."""
    command = click.Command("diffai", params=options.click_options(), callback=lambda **_: None)
    return command.make_context("diffai", list(arguments))


def help_of(options):
    command = click.Command("diffai", params=options.click_options())
    text = command.get_help(click.Context(command, terminal_width=200))
    return {line.split()[0]: line for line in text.splitlines() if line.strip().startswith("--")}


def error_of(options, *arguments):
    with pytest.raises(click.UsageError) as caught:
        parse(options, *arguments)
    return caught.value.format_message()


def test_without_arguments_every_target_gets_its_defaults(found):
    options = options_of(found("compare-a", diffai_comparators=[comparator("signs", *KINDS)]))
    defaults = {"fast": False, "count": 3, "limit": None, "title": None, "keys": None}
    defaults |= {"style": "plain", "skip": (), "level": (1, 2)}
    assert options.values(parse(options).params) == {("comparator", "signs"): defaults}
    assert options.values({}) == {("comparator", "signs"): defaults}


def test_given_values_arrive_typed_under_names_with_underscores(found):
    option = Option("precision-loss-threshold", "Most that may be lost.", kind="number", default=0.1)
    options = options_of(found("compare-a", diffai_comparators=[comparator("signs", *KINDS, option)]))
    words = "--fast --count 7 --limit 1e-3 --title x --keys a.*b --style rich --skip u --skip v --level 5"
    context = parse(options, *words.split(), "--precision-loss-threshold", "inf")
    assert options.values(context.params)["comparator", "signs"] == {
        "fast": True,
        "count": 7,
        "limit": 0.001,
        "title": "x",
        "keys": "a.*b",
        "style": "rich",
        "skip": ("u", "v"),
        "level": (5,),
        "precision_loss_threshold": float("inf"),
    }


VALUES = {
    "flag": st.booleans(),
    "integer": st.integers(),
    "number": st.floats(allow_nan=False),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "choice": st.sampled_from(["red", "green"]),
}
DEFAULTS = {"flag": False, "integer": None, "number": None, "text": None, "choice": "red"}


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_any_values_of_any_options_survive_the_way_to_the_command_line_and_back(data):
    from diffai_core.discovery import FoundPlugin
    from diffai_core.plugin import hookimpl

    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5))
    multiple = [kind != "flag" and data.draw(st.booleans()) for kind in kinds]
    declared = tuple(
        Option(
            f"option-{number}",
            "An option.",
            kind=kind,
            default=() if many else DEFAULTS[kind],
            choices=("red", "green") if kind == "choice" else (),
            multiple=many,
        )
        for number, (kind, many) in enumerate(zip(kinds, multiple, strict=True))
    )

    class Plugin:
        @hookimpl
        def diffai_loaders(self):
            return [loader("one", *declared)]

    values, words = {}, []
    for option in declared:
        value = VALUES[option.kind]
        values[option.name.replace("-", "_")] = drawn = data.draw(
            st.lists(value, min_size=1, max_size=3).map(tuple) if option.multiple else value
        )
        for item in drawn if option.multiple else (drawn,):
            words += [f"--{option.name}"] * item if option.kind == "flag" else [f"--{option.name}={item}"]
    options = options_of(FoundPlugin("load-one", "acme", "1", Plugin))
    assert options.values(parse(options, *words).params) == {("loader", "one"): values}


def test_comparators_that_are_off_by_default_are_switched_on_by_their_flag(found):
    on, off = comparator("basic", default=True), comparator("sign-flips")
    options = options_of(found("compare-a", diffai_comparators=[on, off]))
    assert [binding.flag for binding in options.bindings] == ["sign-flips"]
    assert "Do sign-flips." in help_of(options)["--sign-flips"]
    assert options.enabled(parse(options).params) == {"basic"}
    assert options.enabled({}) == {"basic"}
    assert options.enabled(parse(options, "--sign-flips").params) == {"basic", "sign-flips"}


def test_options_are_grouped_by_plugin_in_sorted_order(found):
    options = options_of(
        found("load-a", "acme-a", diffai_loaders=[loader("a", Option("a1", "A."))]),
        found("load-b", "acme-b", diffai_loaders=[loader("b")]),
        found("load-c", "acme-c", diffai_loaders=[loader("c", Option("c1", "C."))], diffai_comparators=[comparator()]),
    )
    assert [(group.plugin, group.label) for group in options.groups] == [
        ("load-a", "acme-a 1.0"),
        ("load-c", "acme-c 1.0"),
    ]
    assert [binding.flag for binding in options.groups[1].bindings] == ["c1", "signs"]
    assert [option.opts for option in options.groups[1].click_options()] == [["--c1"], ["--signs"]]


def test_the_later_of_two_plugins_with_one_option_is_prefixed_and_both_values_arrive(found):
    options = options_of(
        found("load-a", "acme-a", diffai_loaders=[loader("a", Option("depth", "A.", kind="integer", default=1))]),
        found("load-b", "acme-b", diffai_loaders=[loader("b", Option("depth", "B.", kind="integer", default=2))]),
    )
    assert options.warnings == ("acme-b 1.0: --depth belongs to acme-a 1.0; use --b-depth instead",)
    values = options.values(parse(options, "--depth", "10", "--b-depth", "20").params)
    assert values == {("loader", "a"): {"depth": 10}, ("loader", "b"): {"depth": 20}}


def test_identical_options_of_two_distributions_are_not_shared(found):
    option = Option("depth", "How deep.", kind="integer", default=1)
    options = options_of(
        found("load-a", diffai_loaders=[loader("a", option)]), found("load-b", diffai_loaders=[loader("b", option)])
    )
    assert [binding.flag for binding in options.bindings] == ["depth", "b-depth"]


def test_names_of_the_core_are_never_taken(found):
    spec = comparator("quiet", Option("output", "Where to."))
    options = options_of(found("compare-a", diffai_comparators=[spec]), claimed={"quiet", "output"})
    assert [binding.flag for binding in options.bindings] == ["compare-quiet", "quiet-output"]
    assert options.warnings == (
        "acme-compare-a 1.0: --quiet belongs to diffai itself; use --compare-quiet instead",
        "acme-compare-a 1.0: --output belongs to diffai itself; use --quiet-output instead",
    )
    context = parse(options, "--compare-quiet", "--quiet-output")
    assert options.enabled(context.params) == {"quiet"}
    assert options.values(context.params) == {("comparator", "quiet"): {"output": True}}


def test_where_the_prefixed_name_is_taken_too_another_is_found(found):
    options = options_of(
        found("load-a", diffai_loaders=[loader("a", Option("depth", "A."), Option("b-depth", "A."))]),
        found("load-b", diffai_loaders=[loader("b", Option("depth", "B."))]),
    )
    assert [binding.flag for binding in options.bindings] == ["depth", "b-depth", "b-b-depth"]


def test_a_switch_that_an_earlier_plugin_has_as_an_option_is_prefixed(found):
    options = options_of(
        found("load-a", diffai_loaders=[loader("a", Option("signs", "A."))]),
        found("load-b", diffai_comparators=[comparator("signs")]),
    )
    assert [binding.flag for binding in options.bindings] == ["signs", "compare-signs"]
    context = parse(options, "--signs")
    assert options.enabled(context.params) == set()
    assert options.values(context.params)["loader", "a"] == {"signs": True}


def test_an_identical_option_of_specs_of_one_distribution_is_one_option(found):
    shared = Option("depth", "How deep.", kind="integer", default=1)
    document = ReporterSpec(name="x", title="X", target="m:f", options=(shared,))
    results = ReporterSpec(name="x", title="X", target="m:f", form="results", options=(shared,))
    options = options_of(
        found("load-a", "acme", diffai_loaders=[loader("a", shared)], diffai_comparators=[comparator("c", shared)]),
        found("report-b", "acme", diffai_reporters=[document, results]),
    )
    assert [binding.flag for binding in options.bindings] == ["depth", "c"]
    assert options.warnings == ()
    values = options.values(parse(options, "--depth", "9").params)
    assert values == {
        ("loader", "a"): {"depth": 9},
        ("comparator", "c"): {"depth": 9},
        ("document", "x"): {"depth": 9},
        ("results", "x"): {"depth": 9},
    }


def test_a_shared_option_that_clashes_stays_shared_under_one_prefixed_name(found):
    shared = Option("depth", "How deep.")
    options = options_of(
        found("load-a", diffai_loaders=[loader("a", Option("depth", "Another."))]),
        found("load-b", diffai_loaders=[loader("b", shared), loader("c", shared)]),
    )
    assert [binding.flag for binding in options.bindings] == ["depth", "b-depth"]
    assert len(options.warnings) == 1
    values = options.values(parse(options, "--b-depth").params)
    assert [values["loader", name]["depth"] for name in "abc"] == [False, True, True]


def test_help_shows_a_default_where_there_is_one(found):
    lines = help_of(options_of(found("load-a", diffai_loaders=[loader("a", *KINDS)])))
    assert "[default: 3]" in lines["--count"]
    assert "[default: plain]" in lines["--style"]
    assert "[default: 1, 2]" in lines["--level"]
    for name in ("--fast", "--limit", "--title", "--keys", "--skip"):
        assert "default" not in lines[name]


def test_help_shows_what_to_write_for_a_value(found):
    metavar = Option("tolerance", "How far.", kind="text", default=None, metavar="PATTERN=X")
    lines = help_of(options_of(found("load-a", diffai_loaders=[loader("a", *KINDS, metavar)])))
    assert lines["--limit"].split()[1] == "NUMBER"
    assert lines["--keys"].split()[1] == "REGEX"
    assert lines["--style"].split()[1] == "[plain|rich]"
    assert lines["--tolerance"].split()[1] == "PATTERN=X"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keys", "a(b"], "'a(b' is not a regular expression: missing ), unterminated subpattern at position 1"),
        (["--limit", "abc"], "'abc' is not a number"),
        (["--limit", "nan"], "'nan' is not a number"),
        (["--count", "1.5"], "'1.5' is not a valid integer"),
        (["--style", "red"], "'red' is not one of 'plain', 'rich'"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_option_and_reason(found, arguments, message):
    options = options_of(found("load-a", diffai_loaders=[loader("a", *KINDS)]))
    error = error_of(options, *arguments)
    assert arguments[0] in error
    assert message in error
    assert "\n" not in error


def test_an_option_of_an_analysis_that_does_not_run_is_said_to_have_no_effect(found):
    depth = Option("depth", "How deep.", kind="integer", default=1)
    plugin = found(
        "compare-a",
        diffai_comparators=[
            comparator("signs", depth),
            comparator("flips", depth),
            comparator("on", KINDS[0], default=True),
        ],
        diffai_loaders=[loader("a", KINDS[1])],
    )
    options = options_of(plugin)
    assert options.without_effect(parse(options)) == []
    assert options.without_effect(parse(options, "--fast", "--count", "1")) == []
    assert options.without_effect(parse(options, "--depth", "3", "--flips")) == []
    assert options.without_effect(parse(options, "--depth", "3")) == [
        "--depth has no effect without --signs or --flips"
    ]


CHECKED = Option(
    "rule", "A rule.", kind="text", default=(), multiple=True, metavar="RULE", check="diffai_core.values:regex"
)


def test_a_text_that_its_plugin_does_not_understand_is_refused_before_the_run(found):
    options = options_of(found("load-a", diffai_loaders=[loader("a", CHECKED)]))
    assert "'a(' is not a regular expression" in error_of(options, "--rule", "a+", "--rule", "a(")
    assert options.values(parse(options, "--rule", "a+").params)[("loader", "a")] == {"rule": ("a+",)}


def test_a_text_given_in_python_is_checked_by_its_plugin_too():
    assert checked_value(CHECKED, ["a+"]) == ("a+",)
    with pytest.raises(UsageError, match="is not a regular expression"):
        checked_value(CHECKED, ["a("])
    with pytest.raises(UsageError, match="3 is not a text"):
        checked_value(CHECKED, [3])


def test_a_checked_number_is_a_number_first(found):
    option = Option("size", "A size.", kind="number", default=None, check="diffai_core.values:non_negative")
    options = options_of(found("load-a", diffai_loaders=[loader("a", option)]))
    assert options.values(parse(options, "--size", "1e3").params)[("loader", "a")] == {"size": 1000.0}
    assert "'x' is not a number" in error_of(options, "--size", "x")
    assert "-1.0 is not a finite number of at least 0" in error_of(options, "--size", "-1")
    assert checked_value(option, 2) == 2.0
    assert checked_value(option, None) is None


def test_a_check_that_fails_is_an_error_that_names_the_option(found):
    fails = Option("rule", "A rule.", kind="text", default=None, check="math:sqrt")
    with pytest.raises(PluginError, match=r"--rule: its check failed \(TypeError: must be real number"):
        checked_value(fails, "x")
    with pytest.raises(PluginError, match=r"--rule: has no module 'absent'"):
        checked_value(Option("rule", "A rule.", kind="text", default=None, check="absent:f"), "x")
