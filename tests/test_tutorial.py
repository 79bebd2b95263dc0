"""The tutorial for plugin authors is true: every file is the real one, every command is run in a fresh environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tutorial import Command, Shown, languages, steps

from diffai_core.scaffold import KINDS
from diffai_core.scaffold.writing import render

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/tutorial-first-plugin.md").read_text(encoding="utf-8")
NAME = "my-lab"
SENTINEL = "\x1e"


def scaffolded():
    """Return the text of every file of the three plugins of the tutorial, by its path."""
    return {f"diffai-{kind}-{NAME}/{path}": text for kind in KINDS for path, text in render(kind, NAME).items()}


def test_every_file_that_the_tutorial_shows_is_the_one_that_is_written():
    texts = scaffolded()
    shown = [step for step in steps(TEXT) if isinstance(step, Shown) and step.path.startswith("diffai-")]
    assert {step.path: step.text for step in shown} == {step.path: texts[step.path] for step in shown}
    assert len(shown) >= 9


def test_the_tutorial_shows_all_code_that_works():
    shown = {step.path for step in steps(TEXT) if isinstance(step, Shown)}
    works = {path for path in scaffolded() if path.endswith(".py") and "/src/" in path and "__init__" not in path}
    assert works <= shown


def test_no_block_of_the_tutorial_escapes_its_test():
    """All Python is a named file, all commands are console blocks, but for the installation at the start."""
    found = languages(TEXT)
    assert TEXT.count("```") == 2 * len(found)
    assert [language for language, named in found if not named and language != "console"] == ["sh"]


def test_the_commands_before_the_first_step_install_what_the_environment_of_the_test_has():
    assert "pip install './diffai[testing,compare-tensors,report-text]'" in TEXT


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A folder with a virtual environment in which only pip has put something."""
    if shutil.which("bash") is None:
        pytest.skip("the tutorial is written for a POSIX shell")
    folder = tmp_path_factory.mktemp("tutorial")
    venv.create(folder / "venv", with_pip=True)
    run(folder, f"python -m pip install -q '{ROOT}[testing,compare-tensors,report-text]'")
    return folder


def run(folder, script):
    """Run a shell script in the environment, as a user would type it; return all it says."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "COLUMNS"}
    clean = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("DIFFAI")}
    clean |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(
        ["bash", "-c", f". venv/bin/activate\n{script}"],
        cwd=folder,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_tutorial_says_what_the_tutorial_promises(environment):
    """Scaffolds a loader, a comparator and a reporter, installs them, runs their tests and the command with them."""
    commands = [step for step in steps(TEXT) if isinstance(step, Command)]
    for step in steps(TEXT):
        if isinstance(step, Shown) and "/" not in step.path:
            (environment / step.path).write_text(step.text, encoding="utf-8")
    # The status of a command is kept past the sentinel, so that the next one can show it.
    script = "".join(f"s=$?; printf '{SENTINEL}'; (exit $s)\n{command.line}\n" for command in commands)
    outputs = run(environment, script + "true\n").split(SENTINEL)[1:]
    assert len(outputs) == len(commands)
    broken = [
        f"$ {command.line}\npromised:\n{command.output}\nfound:\n{output}"
        for command, output in zip(commands, outputs, strict=True)
        if not command.promises(output)
    ]
    assert not broken, "\n\n".join(broken)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_environment_of_the_tutorial_holds_nothing_of_ours(environment):
    where = run(environment, "python -c 'import sys; print(*sys.path, sep=chr(10))'").splitlines()
    assert not set(where) & {path for path in sys.path if "site-packages" in path}
    assert str(ROOT) not in where
