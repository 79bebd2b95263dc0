"""The laws of a loader about files that are missing, cut short or damaged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from diffai_core.testing.damage import flips, truncations
from diffai_core.testing.loader_subject import LoaderSubject
from diffai_core.testing.probe import Outcome, probe
from diffai_core.testing.subject import options_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from diffai_core.testing.damage import Damaged


class DamageLaws(LoaderSubject):
    """What a loader does with input that it cannot read. Files are opened in a child process that can be stopped."""

    def test_a_missing_file_is_a_load_error(self, tmp_path: Path) -> None:
        """No file, an empty folder and a pipe are errors that name the path; nothing waits."""
        missing, folder, pipe = (
            self.path_in(tmp_path, "no"),
            self.path_in(tmp_path, "dir"),
            self.path_in(tmp_path, "pipe"),
        )
        folder.mkdir()
        paths = [missing, folder]
        if hasattr(os, "mkfifo"):
            os.mkfifo(pipe)
            paths.append(pipe)
        for outcome in self.probe(paths):
            self.check_outcome(outcome)
            assert outcome.error == "LoadError", f"{outcome.path} gives no LoadError"

    def test_every_truncation_is_a_load_error_that_names_the_file(self, tmp_path: Path) -> None:
        """A file cut short is never taken for a complete one, and most errors say at which byte."""
        intact, damaged = self.damaged(tmp_path, lambda data: truncations(data, self.n_damaged))
        outcomes = self.probe([intact, *damaged])
        assert not outcomes[0].error, f"the intact file: {outcomes[0].message}"
        for outcome in outcomes[1:]:
            self.check_outcome(outcome)
            complete = outcome.digest == outcomes[0].digest
            assert outcome.error or complete or self.ignores_truncation, (
                f"{outcome.path} opens, and its content differs; if the format cannot tell, say why in"
                " `ignores_truncation`"
            )
        errors = [outcome for outcome in outcomes if outcome.error]
        assert not errors or not self.knows_offsets or any(outcome.offset is not None for outcome in errors), (
            "no error of a truncated file has an offset: LoadError(path, reason, offset)"
        )

    def test_flipped_bits_give_a_load_error_or_something_readable(self, tmp_path: Path) -> None:
        """Damage is never another exception, a hang, a crash or an allocation without bound."""
        _, damaged = self.damaged(tmp_path, lambda data: flips(data, self.n_damaged))
        for outcome in self.probe(damaged):
            self.check_outcome(outcome)

    def damaged(self, folder: Path, damage: Callable[[bytes], list[Damaged]]) -> tuple[Path, list[Path]]:
        """Write the typical file and its damaged copies; in a folder, one file of it is damaged at a time."""
        intact = self.written(folder)
        copies = []
        parts = [part for part in sorted(intact.rglob("*")) if part.is_file()] if intact.is_dir() else [intact]
        for number, part in enumerate(parts):
            for label, data in damage(part.read_bytes()):
                copy = self.path_in(folder, f"{number}-{label}")
                if intact.is_dir():
                    self.write_sample(copy)
                    (copy / part.relative_to(intact)).write_bytes(data)
                else:
                    copy.write_bytes(data)
                copies.append(copy)
        return intact, copies

    def probe(self, paths: list[Path]) -> list[Outcome]:
        """Open ``paths`` in a child process."""
        spec = self.loader_spec
        return probe(spec.target, paths, options_of(spec, self.options), self.damage_seconds)

    def check_outcome(self, outcome: Outcome) -> None:
        """Fail unless a file gave a ``LoadError`` that names it, or could be read, and left nothing behind."""
        assert outcome.error in {"", "LoadError"}, f"{outcome.path}: {outcome.error}: {outcome.message}"
        assert not outcome.n_left_open, f"{outcome.path}: {outcome.n_left_open} files stay open ({outcome.message})"
        assert not outcome.warnings, f"{outcome.path}: a warning leaks: {outcome.warnings[0]}"
        if outcome.error:
            assert outcome.error_path.startswith(outcome.path), f"the error names another file: {outcome.message}"
            assert "\n" not in outcome.message, f"the error is not one line: {outcome.message}"
            assert outcome.offset is None or outcome.offset >= 0, f"negative offset: {outcome.message}"
