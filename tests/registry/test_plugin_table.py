"""``diffai --plugins``: what is installed, what can be typed, what is wrong."""

from __future__ import annotations

import json

from diffai_core.options import plugin_options
from diffai_core.plugin import ComparatorSpec, KernelSpec, LoaderSpec, Option, ReporterSpec
from diffai_core.plugin_table import plugin_rows, plugin_table
from diffai_core.registry import build_registry


def registry_of(found, failing):
    depth = Option("depth", "How deep.", kind="integer", default=1)
    return build_registry(
        [
            found(
                "compare-signs",
                "acme-signs",
                "0.3",
                diffai_comparators=[
                    ComparatorSpec(name="signs", title="Count.", target="m:f", options=(depth,)),
                    ComparatorSpec(name="basic", title="Compare.", target="m:f", default=True),
                ],
            ),
            failing(ImportError("no"), "load-bad"),
            found(
                "load-foo",
                "acme-foo",
                diffai_loaders=[
                    LoaderSpec(
                        name="foo",
                        title="Foo",
                        target="m:f",
                        suffixes=(".foo",),
                        folders=("*.index",),
                        options=(depth,),
                    ),
                    LoaderSpec(name="newer", title="Newer", target="m:f", api=2),
                    LoaderSpec(name="long", title="L", target="m:f", suffixes=tuple(f".suffix{n}" for n in range(9))),
                ],
            ),
            found(
                "report-json",
                "acme-json",
                diffai_reporters=[
                    ReporterSpec(name="json", title="J.", target="m:f"),
                    ReporterSpec(name="json", title="J.", target="m:f", form="results"),
                ],
            ),
            found(
                "kernel-fast",
                "acme-fast",
                diffai_kernels=[KernelSpec(name="fast", title="Fast", target="acme_fast_gone.kernel:load")],
            ),
            found("odd", "acme-odd"),
        ]
    )


def test_the_table_is_aligned_and_tells_what_to_type(found, failing):
    registry = registry_of(found, failing)
    lines = plugin_table(registry, plugin_options(registry, ())).replace("\N{EN DASH}", "-").splitlines()
    hooks = "diffai_comparators, diffai_kernels, diffai_loaders, diffai_reporters"
    no_hook = f"implements no hook ({hooks}); report it to its authors"
    broken = [
        "broken: cannot be loaded (ImportError: no); upgrade diffai and acme-bad",
        "broken: API 2, this diffai has 1; upgrade diffai",
        "broken: " + no_hook,
        "broken: has no module 'acme_fast_gone'; reinstall it",
    ]
    assert lines == [
        "kind     name   reads / adds                               distribution  version  status",
        f"load     bad    -                                          acme-bad      2.0      {broken[0]}",
        "load     foo    .foo, *.index, --foo-depth                 acme-foo      1.0      ok",
        "load     long   .suffix0, .suffix1, .suffix2, .suffix3, …  acme-foo      1.0      ok",
        f"load     newer  -                                          acme-foo      1.0      {broken[1]}",
        "compare  basic  on by default                              acme-signs    0.3      ok",
        "compare  signs  --signs, --depth                           acme-signs    0.3      ok",
        "report   json   --format json                              acme-json     1.0      ok",
        "report   json   --output json                              acme-json     1.0      ok",
        "kernel   fast   --kernel fast                              acme-fast     1.0      " + broken[3],
        "kernel   numpy  in use, --kernel numpy                     diffai        0.1.0    ok",
        f"-        odd    -                                          acme-odd      1.0      {broken[2]}",
    ]


def test_the_rows_are_plain_json_with_nothing_cut(found, failing):
    registry = registry_of(found, failing)
    rows = json.loads(json.dumps(plugin_rows(registry, plugin_options(registry, ()))))
    by_name = {(row["kind"], row["name"]): row for row in rows}
    assert by_name["load", "foo"] == {
        "kind": "load",
        "name": "foo",
        "title": "Foo",
        "plugin": "load-foo",
        "distribution": "acme-foo",
        "version": "1.0",
        "reads": [".foo", "*.index"],
        "flags": ["--foo-depth"],
        "default": False,
        "status": "ok",
        "reason": "",
    }
    assert len(by_name["load", "long"]["reads"]) == 9
    assert by_name["load", "newer"]["status"] == "broken"
    assert by_name["load", "newer"]["reason"] == "API 2, this diffai has 1; upgrade diffai"
    assert by_name["compare", "signs"]["flags"] == ["--signs", "--depth"]


def test_a_disabled_plugin_is_listed_as_off(found):
    registry = build_registry([])._replace(disabled=(found("load-foo", "acme-foo"),))
    row, own_kernel = plugin_rows(registry, plugin_options(registry, ()))
    assert own_kernel["name"] == "numpy"
    assert (row["kind"], row["name"], row["status"]) == ("load", "foo", "off")
    assert "DIFFAI_DISABLE" in row["reason"]


def test_without_plugins_the_table_says_what_to_install():
    registry = build_registry([])
    assert "pip install" in plugin_table(registry, plugin_options(registry, ())).splitlines()[-1]
