"""Find, load, check, index: what works is registered, what does not is named and leaves the rest alone."""

from __future__ import annotations

import pytest

from diffai_core.errors import PluginError
from diffai_core.plugin import API_VERSION, ComparatorSpec, LoaderSpec, Option, ReporterSpec, hookimpl
from diffai_core.registry import build_registry, load_registry, resolve_target

LOADER = LoaderSpec(name="alpha", title="Alpha", target="acme.loader:open_alpha", suffixes=(".alpha",))
BETA = LoaderSpec(name="beta", title="Beta", target="acme.loader:open_beta", suffixes=(".beta",))
COMPARATOR = ComparatorSpec(name="signs", title="Count sign changes.", target="acme.signs:compare")
DOCUMENT = ReporterSpec(name="json", title="JSON report", target="acme.json:document")
RESULTS = ReporterSpec(name="json", title="JSON list", target="acme.json:results", form="results")


def only_broken(registry):
    (broken,) = registry.broken
    return broken


def test_every_kind_of_spec_is_registered_under_its_name_with_its_origin(found):
    registry = build_registry(
        [
            found("load-a", "acme-a", "1.2", diffai_loaders=[LOADER], diffai_comparators=[COMPARATOR]),
            found("report-b", "acme-b", "3.4", diffai_reporters=[DOCUMENT, RESULTS]),
        ]
    )
    assert registry.broken == ()
    assert registry.loaders["alpha"].spec is LOADER
    assert registry.loaders["alpha"].label == "acme-a 1.2"
    assert registry.comparators["signs"].key == ("comparator", "signs")
    assert registry.documents["json"].spec is DOCUMENT
    assert registry.results["json"].spec is RESULTS
    assert [spec.label for spec in registry.registered] == ["acme-a 1.2"] * 2 + ["acme-b 3.4"] * 2


def test_a_registry_cannot_be_changed(found):
    registry = build_registry([found("load-a", diffai_loaders=[LOADER])])
    with pytest.raises(TypeError):
        registry.loaders["beta"] = registry.loaders["alpha"]
    with pytest.raises(AttributeError):
        registry.loaders = {}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no luck"), "cannot be loaded (ValueError: no luck); report it to its authors"),
        (SystemExit(0), "cannot be loaded (SystemExit: 0); report it to its authors"),
        (SyntaxError("bad\nlines"), "cannot be loaded (SyntaxError: bad lines); report it to its authors"),
        (RecursionError(), "cannot be loaded (RecursionError); report it to its authors"),
        (ModuleNotFoundError("no", name="h5py.x"), "needs the package 'h5py'; pip install h5py"),
        (
            ModuleNotFoundError("no part", name="acme_bad.x"),
            "cannot be loaded (ModuleNotFoundError: no part); reinstall it",
        ),
        (
            ImportError("cannot import name 'X'"),
            "cannot be loaded (ImportError: cannot import name 'X'); upgrade diffai and acme-bad",
        ),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_with_a_remedy_and_the_rest_works(found, failing, error, reason):
    registry = build_registry([failing(error), found("load-good", diffai_loaders=[LOADER])])
    assert list(registry.loaders) == ["alpha"]
    broken = only_broken(registry)
    assert (broken.plugin, broken.dist, broken.version, broken.stage, broken.kind) == (
        "load-bad",
        "acme-bad",
        "2.0",
        "load",
        "loader",
    )
    assert str(broken) == f"acme-bad 2.0: {reason}"


def test_ctrl_c_while_a_plugin_is_imported_ends_the_run(failing):
    with pytest.raises(KeyboardInterrupt):
        build_registry([failing(KeyboardInterrupt())])


@pytest.mark.parametrize(
    ("api", "remedy"),
    [
        (API_VERSION + 1, f"API {API_VERSION + 1}, this diffai has {API_VERSION}; upgrade diffai"),
        (0, f"API 0, this diffai has {API_VERSION}; upgrade acme-load-a"),
        ("1", f"API '1', this diffai has {API_VERSION}; upgrade acme-load-a"),
    ],
)
def test_a_wrong_api_number_says_which_side_to_upgrade(found, api, remedy):
    spec = LoaderSpec(name="beta", title="Beta", target="acme.loader:open_beta", api=api)
    registry = build_registry([found("load-a", diffai_loaders=[LOADER, spec])])
    assert list(registry.loaders) == ["alpha"]
    assert str(only_broken(registry)) == f"acme-load-a 1.0: loader 'beta': {remedy}"


def test_the_second_spec_of_a_name_is_broken_and_both_distributions_are_named(found):
    registry = build_registry(
        [
            found("load-a", "acme-a", diffai_loaders=[LOADER]),
            found("load-b", "acme-b", diffai_loaders=[LOADER, BETA], diffai_comparators=[COMPARATOR]),
        ]
    )
    assert registry.loaders["alpha"].dist == "acme-a"
    assert registry.loaders["beta"].dist == "acme-b"
    assert list(registry.comparators) == ["signs"]
    message = "acme-b 1.0: loader 'alpha': the name is taken by acme-a 1.0; uninstall one of the two"
    assert str(only_broken(registry)) == message


def test_a_name_declared_twice_by_one_distribution_is_its_authors_business(found):
    registry = build_registry([found("load-a", "acme-a", diffai_loaders=[LOADER, LOADER])])
    message = "acme-a 1.0: loader 'alpha': the name is taken by acme-a 1.0; report it to its authors"
    assert str(only_broken(registry)) == message


def test_one_name_may_be_used_by_specs_of_different_kinds_and_forms(found):
    loader = LoaderSpec(name="json", title="JSON", target="acme.loader:open_json")
    registry = build_registry([found("x", diffai_loaders=[loader], diffai_reporters=[DOCUMENT, RESULTS])])
    assert registry.broken == ()
    assert {spec.key for spec in registry.registered} == {
        ("loader", "json"),
        ("document", "json"),
        ("results", "json"),
    }


def test_of_two_plugins_with_one_entry_point_name_the_second_is_broken_and_both_are_named(found):
    registry = build_registry(
        [found("load-a", "acme-a", diffai_loaders=[LOADER]), found("load-a", "acme-b", diffai_loaders=[BETA])]
    )
    assert list(registry.loaders) == ["alpha"]
    message = "acme-b 1.0: the plugin name 'load-a' is taken by acme-a 1.0; uninstall one of the two"
    assert str(only_broken(registry)) == message


def test_a_misspelt_hook_is_broken_with_the_name_it_may_have_meant(found):
    registry = build_registry([found("load-a", diffai_loaders=[LOADER], diffai_comparator=[COMPARATOR])])
    assert list(registry.loaders) == ["alpha"]
    broken = only_broken(registry)
    assert broken.stage == "hooks"
    assert "diffai_comparator is not a hook; did you mean diffai_comparators?" in str(broken)


def test_a_misspelt_function_without_the_decorator_is_found_by_its_name(found):
    def diffai_loder():
        yield LOADER

    registry = build_registry([found("load-a", diffai_loder=diffai_loder)])
    assert "diffai_loder is not a hook; did you mean diffai_loaders?" in only_broken(registry).reason


def test_a_marked_function_of_any_other_name_is_found_by_its_marker(found):
    registry = build_registry([found("load-a", loaders=hookimpl(lambda: [LOADER]))])
    assert "loaders is not a hook; did you mean diffai_loaders?" in only_broken(registry).reason


def test_a_hook_without_the_decorator_is_broken(found):
    def diffai_loaders():
        yield LOADER

    registry = build_registry([found("load-a", diffai_loaders=diffai_loaders)])
    assert only_broken(registry).reason == "diffai_loaders lacks the decorator @hookimpl; report it to its authors"


def test_a_hook_for_a_newer_diffai_marked_optional_is_passed_over(found):
    @hookimpl(optionalhook=True)
    def newer():
        return []

    registry = build_registry([found("load-a", diffai_loaders=[LOADER], diffai_kernels=newer)])
    assert (list(registry.loaders), registry.broken) == (["alpha"], ())


def test_a_function_of_another_name_may_implement_a_hook_by_specname(found):
    registry = build_registry([found("load-a", formats=hookimpl(specname="diffai_loaders")(lambda: [LOADER]))])
    assert (list(registry.loaders), registry.broken) == (["alpha"], ())


@pytest.mark.parametrize("record", [{"name": "beta"}, "beta", COMPARATOR, LoaderSpec, None])
def test_a_record_of_the_wrong_type_is_broken_and_the_good_ones_stay(found, record):
    registry = build_registry([found("load-a", diffai_loaders=[record, LOADER])])
    assert list(registry.loaders) == ["alpha"]
    reason = f"diffai_loaders yielded a {type(record).__name__} instead of a LoaderSpec; report it to its authors"
    assert only_broken(registry).reason == reason


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (LOADER, "diffai_loaders returned a LoaderSpec; yield LoaderSpec records from it; report it to its authors"),
        ("alpha", "diffai_loaders returned a str; yield LoaderSpec records from it; report it to its authors"),
        (None, "diffai_loaders returned None; yield LoaderSpec records from it; report it to its authors"),
    ],
)
def test_a_hook_that_returns_something_else_than_records_is_broken(found, result, reason):
    registry = build_registry([found("load-a", diffai_loaders=hookimpl(lambda: result))])
    assert only_broken(registry).reason == reason


def test_a_hook_that_fails_half_way_keeps_what_it_has_yielded(found):
    @hookimpl
    def diffai_loaders():
        yield LOADER
        raise KeyError("x")

    registry = build_registry([found("load-a", diffai_loaders=diffai_loaders, diffai_comparators=[COMPARATOR])])
    assert (list(registry.loaders), list(registry.comparators)) == (["alpha"], ["signs"])
    assert only_broken(registry).reason == "diffai_loaders failed (KeyError: 'x'); report it to its authors"


def test_a_hook_that_calls_exit_does_not_end_the_run(found):
    @hookimpl
    def diffai_loaders():
        raise SystemExit(0)

    registry = build_registry([found("load-a", diffai_loaders=diffai_loaders)])
    assert "SystemExit" in only_broken(registry).reason


def test_a_hook_that_never_ends_is_cut_off(found):
    @hookimpl
    def diffai_loaders():
        while True:
            yield None

    broken = build_registry([found("load-a", diffai_loaders=diffai_loaders)]).broken
    assert broken[-1].reason == "diffai_loaders yields more than 1,000 records; report it to its authors"


def test_a_hook_that_takes_arguments_the_spec_does_not_give_is_broken_and_the_next_plugin_works(found):
    bad = found("load-a", diffai_loaders=hookimpl(lambda config: [LOADER]))
    registry = build_registry([bad, found("load-b", diffai_loaders=[BETA])])
    assert list(registry.loaders) == ["beta"]
    assert "PluginValidationError" in only_broken(registry).reason


@pytest.mark.parametrize("attributes", [{}, {"helper": len}])
def test_a_plugin_without_hooks_is_broken(found, attributes):
    reason = only_broken(build_registry([found("load-a", **attributes)])).reason
    assert reason.startswith(
        "implements no hook (diffai_comparators, diffai_kernels, diffai_loaders, diffai_reporters)"
    )


def test_a_plugin_may_have_nothing_to_offer_here(found):
    registry = build_registry([found("load-a", diffai_loaders=[])])
    assert (registry.registered, registry.broken) == ((), ())


def test_an_entry_point_that_names_nothing_useful_is_broken(found):
    nothing = found("load-a")._replace(load=lambda: None)
    assert "implements no hook" in only_broken(build_registry([nothing])).reason


def test_a_plugin_whose_attributes_raise_is_broken(found):
    class Hostile:
        @property
        def diffai_loaders(self):
            raise RuntimeError("boo")

    registry = build_registry([found("load-a")._replace(load=Hostile), found("load-b", diffai_loaders=[BETA])])
    assert list(registry.loaders) == ["beta"]
    assert len(registry.broken) == 1


def test_a_spec_with_several_faults_names_them_all_in_one_line(found):
    spec = LoaderSpec(name="Beta", title="", target="nowhere", options=(Option("x", "no stop"),))
    broken = only_broken(build_registry([found("load-a", diffai_loaders=[LOADER, spec])]))
    assert broken.name == "Beta"
    for fault in ("name 'Beta'", "title is missing", "target 'nowhere'", "option 'x': help"):
        assert fault in broken.reason
    assert "\n" not in str(broken)


def test_fields_of_absurd_types_break_only_their_spec(found):
    spec = ComparatorSpec(name=["x"], title=3, target=None, facets=([],), needs=5, options=(Option([], {}),))
    registry = build_registry([found("a", diffai_comparators=[spec, COMPARATOR])])
    assert list(registry.comparators) == ["signs"]
    assert len(registry.broken) == 1


def test_a_need_is_a_statistic_of_the_core_or_a_target(found):
    known = ComparatorSpec(name="a", title="Ask.", target="m:f", needs=("moments", "acme.folds:Mine"))
    unknown = ComparatorSpec(name="b", title="Ask.", target="m:f", needs=("momentum",))
    registry = build_registry([found("compare-x", diffai_comparators=[known, unknown])])
    assert list(registry.comparators) == ["a"]
    assert "needs 'momentum', which is neither package.module:object nor one of" in only_broken(registry).reason


def test_the_names_of_the_cores_statistics_are_those_of_its_accumulators():
    from diffai_core.accumulators import ACCUMULATORS
    from diffai_core.registry import CORE_STATISTICS

    assert frozenset(ACCUMULATORS) == CORE_STATISTICS


def test_resolve_target_returns_the_function(found):
    spec = LoaderSpec(name="beta", title="Beta", target="json:loads")
    registered = build_registry([found("load-a", diffai_loaders=[spec])]).loaders["beta"]
    assert resolve_target(registered)("[1]") == [1]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("json:__name__", "acme-load-a 1.0: json:__name__ is not a function; report it to its authors"),
        ("json:nope", "acme-load-a 1.0: module json has no 'nope'; report it to its authors"),
        ("nowhere_at_all:f", "acme-load-a 1.0: has no module 'nowhere_at_all'; reinstall it"),
    ],
)
def test_resolve_target_names_the_plugin_whose_code_is_not_there(found, target, message):
    spec = LoaderSpec(name="beta", title="Beta", target=target)
    registered = build_registry([found("load-a", diffai_loaders=[spec])]).loaders["beta"]
    with pytest.raises(PluginError, match=f"^{message}$"):
        resolve_target(registered)


def test_the_trace_tells_each_plugin_and_each_hook_with_its_count(found):
    lines = []
    plugins = [found("load-a", "acme-a", diffai_loaders=[LOADER, BETA]), found("compare-b", diffai_comparators=[])]
    build_registry(plugins, lines.append)
    assert lines == [
        "acme-a 1.0 [load-a]",
        "diffai_loaders gave 2 records",
        "acme-compare-b 1.0 [compare-b]",
        "diffai_comparators gave 0 records",
    ]


def test_the_environment_chooses_plugins_by_entry_point_or_distribution(monkeypatch, found):
    plugins = (
        found("load-a", "acme-a", diffai_loaders=[LOADER]),
        found("load-b", "acme-b", diffai_loaders=[BETA]),
        found("compare-c", "acme-c", diffai_comparators=[COMPARATOR]),
    )
    monkeypatch.setattr("diffai_core.registry.find_plugins", lambda: plugins)

    def names(environ):
        registry = load_registry(environ)
        assert len(registry.registered) + len(registry.disabled) == len(plugins)
        return {spec.spec.name for spec in registry.registered}

    assert names({}) == {"alpha", "beta", "signs"}
    assert names({"DIFFAI_PLUGINS": "load-a, acme-c"}) == {"alpha", "signs"}
    assert names({"DIFFAI_PLUGINS": ""}) == set()
    assert names({"DIFFAI_DISABLE": "load-a"}) == {"beta", "signs"}
    assert names({"DIFFAI_DISABLE": ""}) == {"alpha", "beta", "signs"}
    assert names({"DIFFAI_PLUGINS": "load-a,load-b", "DIFFAI_DISABLE": "acme-a"}) == {"beta"}


def test_a_disabled_plugin_is_not_imported(monkeypatch, failing):
    monkeypatch.setattr("diffai_core.registry.find_plugins", lambda: (failing(KeyboardInterrupt()),))
    registry = load_registry({"DIFFAI_DISABLE": "load-bad"})
    assert (registry.registered, registry.broken) == ((), ())
    assert [plugin.name for plugin in registry.disabled] == ["load-bad"]


def test_an_unknown_name_in_the_environment_is_a_warning(monkeypatch, found):
    plugins = (found("load-a", "acme-a", diffai_loaders=[LOADER]),)
    monkeypatch.setattr("diffai_core.registry.find_plugins", lambda: plugins)
    registry = load_registry({"DIFFAI_PLUGINS": "load-a,load-aa", "DIFFAI_DISABLE": "zzz"})
    assert registry.warnings == (
        "DIFFAI_PLUGINS: no plugin 'load-aa' is installed; did you mean load-a?",
        "DIFFAI_DISABLE: no plugin 'zzz' is installed; diffai --plugins lists what is installed",
    )


@pytest.mark.parametrize(("value", "traced"), [("1", True), ("0", False), ("", False), (None, False)])
def test_diffai_trace_writes_to_standard_error(monkeypatch, capsys, found, value, traced):
    monkeypatch.setattr("diffai_core.registry.find_plugins", lambda: (found("load-a", diffai_loaders=[LOADER]),))
    load_registry({} if value is None else {"DIFFAI_TRACE": value})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("diffai trace: diffai_loaders gave 1 record\n" in captured.err) is traced
    assert bool(captured.err) is traced
