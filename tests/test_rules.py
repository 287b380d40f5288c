"""Rules about the code itself, so that nobody has to remember them."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from hie_server import admin, cli
from hie_server.config import Settings

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("hie_server", "profiles", "migrations", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)
OTHERS = [path for path in SOURCES if path != Path(__file__)]
README = (ROOT / "README.md").read_text("utf-8")

# Over 300 lines, each with its reason; at most three.
LONG_FILES: dict[str, str] = {}
# Over 40 lines, each with its reason; at most five.
LONG_FUNCTIONS: dict[str, str] = {}


def functions(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_over_300_lines_without_a_reason():
    long = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if len(path.read_text("utf-8").splitlines()) > 300
    }
    assert long == set(LONG_FILES) and len(long) <= 3


def test_no_function_is_over_40_lines_without_a_reason():
    long = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > 40
    }
    assert long == set(LONG_FUNCTIONS) and len(long) <= 5


OWN = [path for path in SOURCES if "tests" not in path.parts]


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_implements(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree)


def test_nothing_is_unfinished_or_left_out_of_a_run():
    marks = re.compile(r"TODO|FIX" "ME|XXX|NotImplemented" r"Error|mark\.(skip|xfail)\b|no cover")
    assert [str(path) for path in OTHERS if marks.search(path.read_text("utf-8"))] == []


def test_every_setting_is_in_the_readme_and_there_are_few():
    names = [each.metadata["name"] for each in fields(Settings)]
    assert len(names) < 25
    assert [name for name in names if f"| `{name}` |" not in README] == []


def test_every_command_is_in_the_readme():
    commands = set(cli.hie.commands)
    assert commands >= {command.name for command in admin.COMMANDS}
    assert [name for name in sorted(commands) if f"hie {name}" not in README] == []


def test_the_repository_names_no_machine_and_no_registry():
    places = re.compile(r"(?<![\w.])/(?:work|root)/|pypi\.org|registry\.npmjs|files\.pythonhosted")
    texts = [*OTHERS, *ROOT.glob("*.md"), *ROOT.glob("*.cfg"), *ROOT.glob("*.toml")]
    assert [str(path) for path in texts if places.search(path.read_text("utf-8"))] == []
