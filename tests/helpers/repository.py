"""What the tests of the repository itself know about it: its files, its plugins, and who imports whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CORE = "diffai_core"
PUBLIC = ("diffai_core.plugin", "diffai_core.testing")


class Plugin(NamedTuple):
    """A folder under ``plugins/``."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def is_library(self) -> bool:
        return self.name.startswith("diffai-lib-")

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.package

    @property
    def metadata(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))

    @property
    def requirements(self) -> set[str]:
        """Names of the packages that the plugin declares it needs, as imported."""
        return {requirement_name(line) for line in self.metadata["project"]["dependencies"]}


class Import(NamedTuple):
    """One import statement: ``module`` imports ``target`` at ``line``; ``typing_only`` under TYPE_CHECKING."""

    module: str
    target: str
    line: int
    typing_only: bool


def requirement_name(line: str) -> str:
    """Return the name in a requirement, as modules are called."""
    for char in "<>=!~[; @":
        line = line.partition(char)[0]
    return line.strip().lower().replace("-", "_")


def distributions() -> list[Plugin]:
    """Return all folders under ``plugins/`` that can be installed."""
    return [Plugin(file.parent) for file in sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def plugins() -> list[Plugin]:
    """Return those that have an entry point."""
    return [one for one in distributions() if not one.is_library]


def libraries() -> list[Plugin]:
    """Return those that only plugins import."""
    return [one for one in distributions() if one.is_library]


@cache
def tracked() -> tuple[str, ...]:
    """Paths of all files that belong to the repository, also those not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(file: Path, base: Path) -> str:
    """Return the dotted name of ``file`` in a package that stands in ``base``."""
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: Path) -> dict[str, Path]:
    """Return the modules of a package by dotted name."""
    return {module_name(file, package.parent): file for file in python_files(package) if "templates" not in file.parts}


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Yield all imports of a module, also those in functions; ``from package import module`` names the module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for branch in node.body
        for inner in ast.walk(branch)
    }
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        for target in _targets(node, package, known):
            yield Import(name, target, node.lineno, id(node) in typing_only)  # type: ignore[attr-defined]


def _targets(node: ast.AST, package: str, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = package.split(".")
        base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]


def is_standard(target: str) -> bool:
    return target.partition(".")[0] in sys.stdlib_module_names
