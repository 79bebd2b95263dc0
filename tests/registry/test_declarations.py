"""Every fault of a declaration is found and said in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffai_core.declarations import option_problems, spec_problems
from diffai_core.plugin import ComparatorSpec, LoaderSpec, Magic, Option, ReporterSpec

STATISTICS = frozenset({"moments", "changes"})
LOADER = LoaderSpec(
    name="alpha",
    title="Alpha",
    target="acme.loader:open_alpha",
    suffixes=(".alpha", ".tar.alpha"),
    magic=(Magic(b"ALPHA"), Magic(b"A", 4095)),
    sniff="acme.sniff:sniff",
    folders=("*.alpha.json", "sub/[ab].x", ".metadata"),
)
COMPARATOR = ComparatorSpec(
    name="sign-flips-2",
    title="Count sign changes.",
    target="acme.signs:Signs.compare",
    default=True,
    facets=("tensors", "tree"),
    needs=("moments", "acme.folds:Mine"),
    scope="all",
)
REPORTER = ReporterSpec(name="json", title="JSON", target="a:b", form="results", media_type="application/json")
OPTIONS = (
    Option("flag", "A flag."),
    Option("integer", "An integer.", kind="integer", default=3),
    Option("number", "A number.", kind="number", default=1),
    Option("text", "A text.", kind="text", default=None),
    Option("regex", "A regex.", kind="regex", default="a+", metavar="REGEX"),
    Option("choice", "A choice.", kind="choice", default="b", choices=("a", "b")),
    Option("integers", "Integers.", kind="integer", default=(1, 2), multiple=True),
    Option("choices", "Choices.", kind="choice", default=(), choices=("a", "b"), multiple=True),
)


@pytest.mark.parametrize("spec", [LOADER, COMPARATOR, REPORTER], ids=lambda spec: spec.name)
def test_a_good_spec_with_every_kind_of_option_has_no_problem(spec):
    assert list(spec_problems(replace(spec, options=OPTIONS), STATISTICS)) == []


@pytest.mark.parametrize(
    ("spec", "changes", "problem"),
    [
        (LOADER, {"name": "Alpha"}, "name 'Alpha' is not in kebab case"),
        (LOADER, {"name": "al_pha"}, "name 'al_pha' is not in kebab case"),
        (LOADER, {"name": "al--pha"}, "name 'al--pha' is not in kebab case"),
        (LOADER, {"name": "alpha\n"}, "name 'alpha\\n' is not in kebab case"),
        (LOADER, {"name": ""}, "name '' is not in kebab case"),
        (LOADER, {"title": "  "}, "title is missing"),
        (LOADER, {"title": "two\nlines"}, "title has more than one line"),
        (LOADER, {"target": "acme.loader"}, "target 'acme.loader' does not have the form package.module:object"),
        (LOADER, {"target": "acme loader:open"}, "target 'acme loader:open' does not have the form"),
        (LOADER, {"sniff": "acme"}, "sniff 'acme' does not have the form package.module:object"),
        (LOADER, {"suffixes": ".alpha"}, "suffixes '.alpha' is not a tuple of texts"),
        (LOADER, {"suffixes": ("alpha",)}, "suffix 'alpha' is not the end of a file name in lower case, with its dot"),
        (LOADER, {"folder_rank": "1"}, "folder_rank '1' is not a whole number"),
        (LOADER, {"folder_rank": True}, "folder_rank True is not a whole number"),
        (LOADER, {"dialect_of": None}, "dialect_of None is not the name of a format"),
        (
            LOADER,
            {"suffixes": (".Alpha",)},
            "suffix '.Alpha' is not the end of a file name in lower case, with its dot",
        ),
        (LOADER, {"suffixes": (".",)}, "suffix '.' is not the end of a file name in lower case, with its dot"),
        (LOADER, {"magic": (b"ALPHA",)}, "magic is not a tuple of Magic records"),
        (LOADER, {"magic": Magic(b"ALPHA")}, "magic is not a tuple of Magic records"),
        (LOADER, {"magic": (Magic(b""),)}, "magic b'' is not bytes"),
        (LOADER, {"magic": (Magic("ALPHA"),)}, "magic 'ALPHA' is not bytes"),
        (LOADER, {"magic": (Magic(b"AB", 4095),)}, "magic b'AB' does not lie in the first 4,096 bytes"),
        (LOADER, {"magic": (Magic(b"AB", -1),)}, "magic b'AB' does not lie in the first 4,096 bytes"),
        (LOADER, {"folders": ("../x",)}, "folder pattern '../x' is not a path inside the folder"),
        (LOADER, {"folders": ("/x",)}, "folder pattern '/x' is not a path inside the folder"),
        (LOADER, {"folders": ("**/x",)}, "folder pattern '**/x' is not a path inside the folder"),
        (LOADER, {"options": [Option("a", "A.")]}, "options is not a tuple of Option records"),
        (LOADER, {"options": (Option("a", "A."), Option("a", "B."))}, "option 'a' is declared twice"),
        (COMPARATOR, {"title": "Count sign changes"}, "title does not end with a full stop"),
        (COMPARATOR, {"default": 1}, "default 1 is neither True nor False"),
        (COMPARATOR, {"facets": ("tensor",)}, "facets ('tensor',) is not a tuple of tensors, tree, tables, graph"),
        (COMPARATOR, {"facets": "tree"}, "facets 'tree' is not a tuple of"),
        (COMPARATOR, {"scope": "some"}, "scope 'some' is none of changed, paired, all"),
        (COMPARATOR, {"needs": ("medians",)}, "needs 'medians', which is neither package.module:object nor one of"),
        (COMPARATOR, {"needs": "moments"}, "needs 'moments' is not a tuple of texts"),
        (REPORTER, {"form": "list"}, "form 'list' is none of document, results"),
        (REPORTER, {"media_type": "json"}, "media_type 'json' is not a media type"),
    ],
)
def test_one_fault_of_a_spec_is_one_problem(spec, changes, problem):
    (found,) = spec_problems(replace(spec, **changes), STATISTICS)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (Option("Flag", "A flag."), "name 'Flag' is not in kebab case"),
        (Option("--flag", "A flag."), "name '--flag' is not in kebab case"),
        (Option("flag", "A flag"), "help does not end with a full stop"),
        (Option("flag", ""), "help is missing"),
        (Option("flag", "A\nflag."), "help has more than one line"),
        (Option("flag", "A flag.", kind="bool"), "kind 'bool' is none of flag, integer, number, text, choice, regex"),
        (Option("flag", "A flag.", default=True), "a flag has the default False and is not multiple"),
        (Option("flag", "A flag.", multiple=True, default=()), "a flag has the default False and is not multiple"),
        (Option("n", "N.", kind="integer"), "default False does not have the kind 'integer'; write default=None"),
        (Option("n", "N.", kind="integer", default=1.0), "default 1.0 does not have the kind 'integer'"),
        (Option("n", "N.", kind="number"), "default False does not have the kind 'number'; write default=None"),
        (Option("n", "N.", kind="number", default=float("nan")), "default nan does not have the kind 'number'"),
        (Option("t", "T.", kind="text", default=3), "default 3 does not have the kind 'text'"),
        (Option("r", "R.", kind="regex", default="("), "default '(' does not have the kind 'regex'"),
        (Option("r", "R.", kind="regex", default=3), "default 3 does not have the kind 'regex'"),
        (Option("c", "C.", kind="choice", default=None), "choices is empty"),
        (Option("c", "C.", kind="choice", default="z", choices=("a",)), "default 'z' does not have the kind 'choice'"),
        (Option("t", "T.", kind="text", default=None, choices=("a",)), "choices only fit the kind 'choice'"),
        (Option("c", "C.", kind="choice", default=None, choices="ab"), "choices 'ab' is not a tuple of texts"),
        (Option("n", "N.", kind="integer", multiple=True), "default False is not a tuple of the kind 'integer'"),
        (Option("n", "N.", kind="integer", multiple=True, default=("a",)), "default ('a',) is not a tuple of the kind"),
        (Option("t", "T.", kind="text", default=None, metavar=3), "metavar is not a text"),
        (
            Option("t", "T.", kind="text", default=None, check="m.f"),
            "check 'm.f' does not have the form package.module",
        ),
        (
            Option("r", "R.", kind="regex", default=None, check="m:f"),
            "check only fits the kinds text, integer and number",
        ),
    ],
)
def test_one_fault_of_an_option_is_one_problem(option, problem):
    (found,) = option_problems(option)
    assert found.startswith(problem)
