"""Discovery reads what installers write, and finds what ``importlib.metadata`` finds."""

from __future__ import annotations

import shutil
import sys
import zipfile
from importlib.metadata import distributions, entry_points

import pytest

from diffai_core.discovery import find_plugins, load_object

EMPTY = ""


def described(plugins):
    return [(plugin.name, plugin.dist, plugin.version) for plugin in plugins]


def by_importlib(path, group="diffai"):
    found = [
        (point.name, dist.metadata["Name"], dist.version)
        for dist in distributions(path=path)
        for point in dist.entry_points
        if point.group == group
    ]
    return sorted(found)


def test_plugins_are_sorted_by_entry_point_and_distribution(install):
    for dist, name in [("acme-c", "load-b"), ("acme-a", "load-c"), ("acme-b", "load-b"), ("acme-d", "compare-z")]:
        site = install(dist, name, EMPTY)
    assert described(find_plugins([str(site)])) == [
        ("compare-z", "acme-d", "1.0"),
        ("load-b", "acme-b", "1.0"),
        ("load-b", "acme-c", "1.0"),
        ("load-c", "acme-a", "1.0"),
    ]
    assert described(find_plugins([str(site)])) == by_importlib([str(site)])


@pytest.mark.parametrize("group", ["console_scripts", "pytest11"])
def test_in_this_environment_the_same_entry_points_are_found_as_by_importlib(group):
    expected = sorted(
        (point.name, point.dist.metadata["Name"], point.dist.version) for point in entry_points(group=group)
    )
    assert expected
    assert sorted(described(find_plugins(group=group))) == expected


def test_a_distribution_in_an_earlier_folder_hides_one_of_the_same_name(install, tmp_path):
    later = install("acme-a", "load-old", EMPTY, "0.9")
    earlier = install("Acme_a", "load-new", EMPTY, "1.1", tmp_path / "earlier")
    path = [str(earlier), str(later)]
    assert described(find_plugins(path)) == [("load-new", "Acme_a", "1.1")]


def test_a_folder_named_twice_or_missing_on_the_path_changes_nothing(install, tmp_path):
    site = str(install("acme-a", "load-a", EMPTY))
    assert described(find_plugins([site, str(tmp_path / "missing"), site])) == [("load-a", "acme-a", "1.0")]


def test_an_egg_info_folder_is_read_too(install):
    site = install("acme-a", "load-a", EMPTY)
    (site / "acme_a-1.0.dist-info").rename(site / "acme_a.egg-info")
    (site / "acme_a.egg-info" / "METADATA").rename(site / "acme_a.egg-info" / "PKG-INFO")
    assert described(find_plugins([str(site)])) == [("load-a", "acme-a", "1.0")]


def test_damaged_metadata_still_names_the_plugin(install):
    site = install("acme-a", "load-a", EMPTY)
    (site / "acme_a-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe nothing useful")
    assert described(find_plugins([str(site)])) == [("load-a", "acme_a", "(unknown version)")]


def test_an_archive_on_the_path_is_read_by_importlib(install, tmp_path):
    site = install("acme-a", "load-a", EMPTY)
    archive = tmp_path / "site.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in site.rglob("*"):
            file.write(path, path.relative_to(site))
    shutil.rmtree(site)
    assert described(find_plugins([str(archive)])) == [("load-a", "acme-a", "1.0")]


def test_another_metadata_finder_is_asked(install, monkeypatch):
    from importlib.machinery import PathFinder

    site = str(install("acme-a", "load-a", EMPTY))

    class Finder:
        def find_spec(self, *_):
            return None

        def find_distributions(self, context):
            return PathFinder.find_distributions(type(context)(path=[site]))

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert ("load-a", "acme-a", "1.0") in described(find_plugins())


@pytest.mark.parametrize(
    ("value", "expected"),
    [("os", "os"), ("os.path:join", "join"), (" json : JSONDecoder.decode [extra]", "decode")],
)
def test_an_entry_point_names_a_module_or_an_object_in_it(value, expected):
    assert load_object(value).__name__ == expected
