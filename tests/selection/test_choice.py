"""Which loader opens a file: what the user says, else what the content says, else the suffix."""

from __future__ import annotations

import os
import re

import pytest

from diffai_core.discovery import FoundPlugin
from diffai_core.errors import LoadError, UnknownFormatError, UsageError
from diffai_core.files import Source
from diffai_core.plugin import Magic, ReporterSpec, hookimpl
from diffai_core.registry import Broken, build_registry
from diffai_core.selection import choose_loader, choose_reporter


def chosen(source, registry, forced=None):
    return choose_loader(source, registry, forced).spec.name


def refused(error, source, registry, forced=None):
    with pytest.raises(error) as caught:
        choose_loader(source, registry, forced)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_content_overrules_the_suffix(registry_of, loader, file):
    registry = registry_of(loader("a", suffixes=(".a",), magic=(Magic(b"AAAA"),)), loader("b", suffixes=(".b",)))
    assert chosen(file("x.b", b"AAAA..."), registry) == "a"
    assert chosen(file("x.b", b"...."), registry) == "b"


def test_input_format_overrules_the_content(registry_of, loader, file):
    registry = registry_of(loader("a", magic=(Magic(b"AAAA"),)), loader("b", suffixes=(".b",)))
    assert chosen(file("x.b", b"AAAA"), registry, "b") == "b"
    assert chosen(file("empty"), registry, "b") == "b"


def test_magic_may_stand_anywhere_in_the_first_4_kib(registry_of, loader, file):
    registry = registry_of(loader("a", magic=(Magic(b"NO"), Magic(b"MARK", 4092))))
    assert chosen(file("x", bytes(4092) + b"MARK"), registry) == "a"
    assert "unknown format" in refused(LoadError, file("y", bytes(4091) + b"MARK"), registry)


def test_the_longest_magic_wins_whatever_the_suffix(registry_of, loader, file):
    registry = registry_of(
        loader("zip", suffixes=(".x",), magic=(Magic(b"PK"),)),
        loader("special", magic=(Magic(b"PK"), Magic(b"PK+8", 0))),
    )
    assert chosen(file("file.x", b"PK+8"), registry) == "special"


def test_of_equal_magic_the_suffix_decides_and_else_nobody(registry_of, loader, file):
    registry = registry_of(
        loader("one", suffixes=(".one",), magic=(Magic(b"PK"),)),
        loader("two", suffixes=(".two",), magic=(Magic(b"PK"),)),
    )
    assert chosen(file("x.two", b"PK"), registry) == "two"
    assert refused(UsageError, file("x.zip", b"PK"), registry) == (
        "x.zip: several formats fit: one (acme-one 1.0), two (acme-two 1.0); choose one with --input-format one"
    )


def test_of_equal_magic_a_loaders_own_look_decides_before_the_suffix(registry_of, loader, file, code):
    code.has_npy = lambda head, _size: b".npy" in head
    code.has_pkl = lambda head, _size: b".pkl" in head
    registry = registry_of(
        loader("npz", suffixes=(".npz",), magic=(Magic(b"PK"),), sniff="fake_loaders:has_npy"),
        loader("torch", suffixes=(".pt",), magic=(Magic(b"PK"),), sniff="fake_loaders:has_pkl"),
    )
    assert chosen(file("x.npz", b"PK data.pkl"), registry) == "torch"
    assert chosen(file("x.pt", b"PK data.npy"), registry) == "npz"
    assert chosen(file("x.pt", b"PK neither"), registry) == "torch"


def test_where_no_magic_matches_the_loaders_look_at_the_content(registry_of, loader, file, code):
    seen = []
    code.sniff = lambda head, size: seen.append((head, size)) or head.startswith(b"{")
    registry = registry_of(loader("json", sniff="fake_loaders:sniff"), loader("b", suffixes=(".b",)))
    content = b"{" + bytes(9999)
    assert chosen(file("x.b", content), registry) == "json"
    assert seen == [(content[:4096], 10000)]


def test_loaders_with_the_suffix_are_asked_first_and_the_others_not_imported(registry_of, loader, file, code):
    code.yes = lambda _head, _size: True
    registry = registry_of(
        loader("a", suffixes=(".a",), sniff="fake_loaders:yes"), loader("b", sniff="no_such_module_anywhere:sniff")
    )
    assert chosen(file("x.a"), registry) == "a"


def test_of_several_that_recognise_the_content_the_suffix_decides_and_else_nobody(registry_of, loader, file, code):
    code.yes = lambda _head, _size: True
    registry = registry_of(
        loader("a", suffixes=(".a",), sniff="fake_loaders:yes"), loader("b", suffixes=(".b",), sniff="fake_loaders:yes")
    )
    assert chosen(file("x.b"), registry) == "b"
    assert "several formats fit: a (acme-a 1.0), b (acme-b 1.0)" in refused(UsageError, file("x.c"), registry)


def test_a_dialect_opens_what_its_general_format_recognises_too_whatever_the_suffix(registry_of, loader, file, code):
    code.json = lambda head, _size: head.startswith(b"{")
    code.tokens = lambda head, _size: head.startswith(b"{tokens")
    registry = registry_of(
        loader("json", suffixes=(".json",), sniff="fake_loaders:json"),
        loader("tokens", suffixes=("tokens.json",), sniff="fake_loaders:tokens", dialect_of="json"),
    )
    assert chosen(file("a.json", b"{tokens"), registry) == "tokens"
    assert chosen(file("b", b"{tokens"), registry) == "tokens"
    assert chosen(file("c.json", b"{other"), registry) == "json"
    assert chosen(file("tokens.json", b"{other"), registry) == "json"


def test_a_dialect_opens_a_file_of_its_own_suffix_that_only_its_general_format_recognises(
    registry_of, loader, file, code
):
    code.pickle = lambda head, _size: head.startswith(b"P")
    code.never = lambda _head, _size: False
    registry = registry_of(
        loader("pickle", suffixes=(".pkl",), sniff="fake_loaders:pickle"),
        loader("paddle", suffixes=(".pdparams", "state.pkl"), sniff="fake_loaders:never", dialect_of="pickle"),
    )
    assert chosen(file("x.pdparams", b"P..."), registry) == "paddle"
    assert chosen(file("state.pkl", b"P..."), registry) == "pickle"
    assert chosen(file("x.bin", b"P..."), registry) == "pickle"


def test_the_longest_suffix_wins_in_any_case(registry_of, loader, file):
    registry = registry_of(loader("json", suffixes=(".json",)), loader("index", suffixes=(".index.json",)))
    assert chosen(file("model.INDEX.Json"), registry) == "index"
    assert chosen(file("config.json"), registry) == "json"


def test_one_suffix_of_two_formats_is_ambiguous(registry_of, loader, file):
    registry = registry_of(loader("torch", suffixes=(".bin",)), loader("raw", suffixes=(".bin",)))
    message = refused(UsageError, file("x.bin"), registry)
    assert message.endswith("raw (acme-raw 1.0), torch (acme-torch 1.0); choose one with --input-format raw")


def test_a_file_that_lost_its_magic_goes_to_the_loader_of_its_suffix_which_can_name_the_damage(
    registry_of, loader, file
):
    registry = registry_of(loader("npy", suffixes=(".npy",), magic=(Magic(b"\x93NUMPY"),)))
    assert chosen(file("x.npy", b"\x13NUMPY rest"), registry) == "npy"


@pytest.mark.parametrize("suffix", [".bin", ".XML", ".pb"])
def test_a_suffix_that_many_files_have_makes_no_file_one_of_a_format_with_signs(registry_of, loader, file, suffix):
    registry = registry_of(loader("torch", suffixes=(suffix.lower(),), magic=(Magic(b"PK"),)))
    assert chosen(file(f"x{suffix}", b"PK..."), registry) == "torch"
    assert refused(UnknownFormatError, file(f"x{suffix}", b"...."), registry)


def test_a_file_that_is_plainly_another_format_does_not_go_to_the_loader_of_its_suffix(registry_of, loader, file):
    registry = registry_of(loader("npy", suffixes=(".npy",), magic=(Magic(b"\x93NUMPY"),)))
    message = refused(LoadError, file("x.npy", b"GGUF\x03\0\0\0"), registry)
    assert message == "x.npy: no installed plugin reads GGUF; pip install diffai-load-gguf"


def test_a_loader_that_goes_by_suffix_alone_may_claim_any_content(registry_of, loader, file):
    registry = registry_of(loader("acme", suffixes=(".acme",)))
    assert chosen(file("x.acme", b"GGUF\x03\0\0\0"), registry) == "acme"


def test_a_look_that_fails_hides_no_other_loader_and_is_named_when_nothing_matches(registry_of, loader, file, code):
    def broken(_head, _size):
        raise KeyError("x")

    def leaves(_head, _size):
        raise SystemExit(0)

    code.broken, code.leaves = broken, leaves
    registry = registry_of(
        loader("a", sniff="fake_loaders:broken"),
        loader("b", sniff="no_such_module_anywhere:sniff"),
        loader("c", sniff="fake_loaders:leaves"),
        loader("d", suffixes=(".d",)),
    )
    assert chosen(file("x.d"), registry) == "d"
    message = refused(LoadError, file("x.zzz"), registry)
    assert "acme-a 1.0: failed while looking at the file (KeyError: 'x')" in message
    assert "acme-b 1.0: has no module 'no_such_module_anywhere'; reinstall it" in message
    assert "acme-c 1.0: failed while looking at the file (SystemExit: 0)" in message


def test_an_unknown_input_format_is_answered_with_the_nearest_and_all_installed(registry_of, loader, file):
    registry = registry_of(loader("alpha"), loader("beta"))
    assert refused(UsageError, file("x"), registry, "alhpa") == (
        "--input-format alhpa: no such format; did you mean alpha? installed: alpha, beta"
    )
    assert (
        refused(UsageError, file("x"), registry, "zzz") == "--input-format zzz: no such format; installed: alpha, beta"
    )


def test_an_input_format_that_is_not_installed_is_answered_with_what_to_install(registry_of, file):
    message = refused(UsageError, file("x"), registry_of(), "onnx")
    assert message == "--input-format onnx: no installed plugin reads ONNX; pip install diffai-load-onnx"


def test_an_unknown_format_is_told_from_one_that_is_not_installed(registry_of, loader, file):
    registry = registry_of(loader("beta", suffixes=(".beta",)), loader("alpha", suffixes=(".alpha",)))
    assert refused(LoadError, file("model.onnx", b"\x08\x07whatever"), registry) == (
        "model.onnx: no installed plugin reads ONNX; pip install diffai-load-onnx"
    )
    assert refused(LoadError, file("photo.xyz", b"\x89PNG\r\n\x1a\n"), registry) == (
        "photo.xyz: unknown format (starts with 89 50 4e 47); "
        "installed formats: alpha, beta (choose one with --input-format)"
    )


def test_without_any_loader_the_message_still_says_what_to_install(registry_of, file):
    assert refused(LoadError, file("x.safetensors"), registry_of()) == (
        "x.safetensors: no installed plugin reads safetensors; pip install diffai-load-safetensors"
    )
    assert "pip install" in refused(LoadError, file("x.zzz"), registry_of())


def test_a_format_that_is_installed_is_not_offered_for_installation(registry_of, loader, file):
    registry = registry_of(loader("gguf", sniff="fake_loaders:no", suffixes=(".other",)))
    assert "unknown format" in refused(LoadError, file("x.gguf", b"GGUF"), registry)


def test_a_distribution_that_is_installed_is_not_offered_whatever_it_calls_its_formats(registry_of, loader, file):
    registry = registry_of(loader("npy", suffixes=(".other",)), npy="diffai-load-numpy")
    assert "unknown format" in refused(LoadError, file("x.npy", b"?NUMPY"), registry)
    assert "unknown format" in refused(LoadError, file("x", b"\x93NUMPY"), registry)
    assert refused(UsageError, file("x"), registry, "numpy").endswith("installed: npy")


@pytest.mark.parametrize("name", ["onnx", ""])
def test_a_broken_plugin_that_would_read_the_format_is_named_instead_of_one_to_install(registry_of, file, name):
    broken = Broken("load-onnx", "diffai-load-onnx", "0.2", "load", "API 2; upgrade diffai", "loader", name)
    registry = registry_of()._replace(broken=(broken,))
    assert (
        refused(LoadError, file("model.onnx", b"\x08"), registry)
        == f"model.onnx: no working plugin reads ONNX; {broken}"
    )
    assert (
        refused(UsageError, file("x"), registry, "onnx")
        == f"--input-format onnx: no working plugin reads ONNX; {broken}"
    )


def test_broken_loaders_are_named_where_a_format_is_unknown(registry_of, loader, file):
    broken = Broken("load-foo", "acme-foo", "2.0", "load", "needs the package 'bar'; pip install bar", "loader")
    other = Broken("compare-x", "acme-x", "2.0", "load", "irrelevant", "comparator")
    registry = registry_of(loader("alpha"))._replace(broken=(broken, other))
    message = refused(LoadError, file("x.foo"), registry)
    assert message.endswith("; acme-foo 2.0: needs the package 'bar'; pip install bar")
    assert "irrelevant" not in message
    assert "acme-foo" not in refused(LoadError, file("x.onnx"), registry)


def test_a_plugin_that_is_switched_off_is_named_as_such(registry_of, file):
    off = FoundPlugin("load-onnx", "diffai-load-onnx", "0.2", lambda: None)
    message = refused(LoadError, file("model.onnx"), registry_of()._replace(disabled=(off,)))
    assert message == (
        "model.onnx: diffai-load-onnx 0.2 would read ONNX but is switched off by DIFFAI_PLUGINS or DIFFAI_DISABLE"
    )


def test_an_empty_file_is_said_to_be_empty(registry_of, loader, file):
    registry = registry_of(loader("alpha", suffixes=(".alpha",)))
    assert refused(LoadError, file("x.alpha", b""), registry) == "x.alpha: is empty"


def test_a_missing_path_is_an_error_of_one_line(registry_of, tmp_path):
    message = refused(LoadError, Source(tmp_path / "nowhere", "nowhere"), registry_of())
    assert message == "nowhere: no such file or directory"


def test_a_fifo_is_refused_without_waiting(registry_of, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    message = refused(LoadError, Source(tmp_path / "pipe", "pipe"), registry_of())
    assert message == "pipe: is not a regular file (a pipe, socket or device); save it to a file first"


def test_a_file_without_permission_is_an_error_of_one_line(registry_of, file, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    source = file("secret.alpha")
    monkeypatch.setattr("diffai_core.files.os.open", denied)
    assert refused(LoadError, source, registry_of()) == "secret.alpha: permission denied"


def test_a_directory_is_no_file(registry_of, tmp_path):
    assert "is a directory" in refused(LoadError, Source(tmp_path, "folder"), registry_of())


@pytest.fixture
def reporters():
    class Plugin:
        @hookimpl
        def diffai_reporters(self):
            yield ReporterSpec(name="json", title="J", target="m:document")
            yield ReporterSpec(name="json", title="J", target="m:results", form="results")
            yield ReporterSpec(name="yaml", title="Y", target="m:results", form="results")

    return build_registry([FoundPlugin("report-json", "acme-json", "1.0", Plugin)])


def test_a_reporter_is_chosen_by_form_and_name(reporters):
    assert choose_reporter(reporters, "document", "json", "--format").spec.target == "m:document"
    assert choose_reporter(reporters, "results", "json", "--output").spec.target == "m:results"


def test_an_unknown_reporter_is_answered_with_those_installed(reporters):
    with pytest.raises(
        UsageError, match=f"^{re.escape('--output jsn: no such format; did you mean json? installed: json, yaml')}$"
    ):
        choose_reporter(reporters, "results", "jsn", "--output")
    with pytest.raises(UsageError, match=r"^--format yml: no such format; installed: json$"):
        choose_reporter(reporters, "document", "yml", "--format")


def test_a_report_format_that_is_not_installed_is_answered_with_what_to_install(reporters):
    with pytest.raises(UsageError) as caught:
        choose_reporter(reporters, "document", "html", "--format")
    assert str(caught.value) == "--format html: no installed plugin writes it; pip install diffai-report-html"


def test_a_broken_reporter_is_named_instead_of_one_to_install(reporters):
    broken = Broken("report-html", "diffai-report-html", "0.2", "load", "API 2; upgrade diffai", "document")
    with pytest.raises(UsageError) as caught:
        choose_reporter(reporters._replace(broken=(broken,)), "document", "html", "--format")
    assert str(caught.value) == f"--format html: no such format; installed: json; {broken}"


def test_a_longer_ending_of_a_name_tells_more_than_a_suffix_that_may_stand_for_anything(
    registry_of, loader, file, code
):
    code.no = lambda _head, _size: False
    registry = registry_of(loader("vocab", suffixes=("vocab.bin",), sniff="fake_loaders:no"))
    assert chosen(file("my-vocab.bin"), registry) == "vocab"
