"""What Invoke does that nobody expects, and that it does not happen with our tasks.

docs/invoke.md has the table: each trap, what is done about it, and the test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke import Argument, Collection, Program
from invoke.parser import Parser

import unstale
from unstale.adapters.database import probe
from unstale.config import is_on
from unstale.survey.neighbours import hidden_tasks, obstacles

SUITE = Path(__file__).parents[1]
PAGE = SUITE.parents[1] / "docs" / "invoke.md"
ROW = re.compile(r"^\| (T\d+) \| .+ \| .+ \| `([\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)

MINE = """
from invoke import Collection, task
import unstale

@task
def mine(ctx):
    import sys
    print("mine ran", sys.dont_write_bytecode)

"""
# How a project says it, the program, and what stands before each task.
FORMS = {
    "alone": ("", ("-m", "unstale"), ""),
    "beside": (f"{MINE}from unstale import ns\nns.add_task(mine)\n", ("-m", "invoke"), ""),
    "mounted": (f"{MINE}ns = Collection(mine, unstale.ns)\n", ("-m", "invoke"), "unstale."),
}
SPOKEN = {"alone": "unstale ", "beside": "inv ", "mounted": "inv unstale."}

Say = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two environments that can be compared without docker, one of them called like a group."""
    (tmp_path / "pyproject.toml").write_text("[tool.unstale.suites]\nunit = ['t']\n")
    (tmp_path / "env").mkdir()
    for name in ("ci", "test"):
        (tmp_path / "env" / f".env.{name}").write_text("KEY=1\n")
    return tmp_path


def _say(folder: Path, program: tuple[str, ...], words: tuple[str, ...], **env: str) -> Any:
    return subprocess.run(
        (sys.executable, *program, *words),
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def say(project: Path, form: str) -> Say:
    """Runs a command line in that form; a word with a dot in it is a task of ours."""
    tasks, program, prefix = FORMS[form]
    if tasks:
        (project / "tasks.py").write_text(tasks)

    def run(*words: str, below: str = ".", **env: str) -> subprocess.CompletedProcess[str]:
        known = {*unstale.ns.task_names}
        typed = tuple(f"{prefix}{word}" if word in known else word for word in words)
        return _say(project / below, program, typed, **env)

    return run


def _arguments() -> list[tuple[str, Argument]]:
    names = unstale.ns.task_names
    return [(name, one) for name in names for one in unstale.ns[name].get_arguments()]


def test_each_trap_has_its_row_and_its_test() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))

    assert [name for name, _, _ in rows] == [f"T{number}" for number in range(1, 31)]
    for trap, file, test in rows:
        assert f"def {test}(" in (SUITE / file).read_text(encoding="utf-8"), trap


# --- T1, T9: after the dashes ---------------------------------------------------------


def test_words_after_the_dashes_keep_their_quotes(say: Say) -> None:
    told = say("--dry", "test.unit", "--", "-m", "integration and not slow", "it's", "-k", "--json")

    assert told.returncode == 0, told.stderr
    assert """-m pytest t -m 'integration and not slow' 'it'"'"'s' -k --json""" in told.stdout


# --- T2 to T4: words ------------------------------------------------------------------


def test_help_after_a_task_with_words_is_help(say: Say, form: str) -> None:
    told = say("env.diff", "--help")

    assert told.returncode == 0
    assert f"{SPOKEN[form].replace(' ', ' [--core-opts] ')}env.diff [--options]" in told.stdout
    assert "compare the env files only" in told.stdout


def test_a_typing_error_before_words_runs_nothing(say: Say, form: str) -> None:
    own = () if form == "alone" else ("mine",)

    told = say(*own, "env.diff", "--jsn", "ci", "test")

    assert told.returncode == 2
    assert "'--jsn' is no option of env.diff.\nDid you mean '--json'?" in told.stderr
    assert f"Next: {SPOKEN[form]}env.diff <left> <right>" in told.stderr
    assert "mine" not in told.stdout


def test_a_word_may_be_called_like_a_group_of_tasks(say: Say) -> None:
    assert say("env.diff", "ci", "test", "--files-only").returncode == 0


def test_an_unknown_word_ends_the_chain(say: Say, form: str) -> None:
    own = () if form == "alone" else ("mine",)

    told = say("env.diff", "ci", "tst", "--files-only", *own)

    assert told.returncode == 2
    assert "Did you mean 'test'?" in told.stderr
    assert "mine" not in told.stdout


def test_a_task_that_takes_words_needs_them() -> None:
    words = [(name, one) for name, one in _arguments() if one.positional and one.kind is not list]

    assert {"adopt", "env.diff", "test.matrix", "why"} <= {name for name, _ in words}
    assert [(name, one) for name, one in words if one.default is not None] == []


# --- T6 to T11: options ---------------------------------------------------------------


def test_no_option_is_on_by_default() -> None:
    assert [(name, one) for name, one in _arguments() if one.default is True] == []


def test_options_have_long_names() -> None:
    nameless = [(name, one.names) for name, one in _arguments() if max(map(len, one.names)) < 2]

    assert nameless == []


def test_an_option_that_may_be_repeated_is_a_list() -> None:
    words = ["image.build", "--service", "a", "--service", "b", "--build-arg", "K=1"]
    parser = Parser(contexts=unstale.ns.to_contexts())

    (found,) = parser.parse_argv(words)

    assert (found.args.service.value, found.args["build-arg"].value) == (["a", "b"], ["K=1"])


def test_no_value_may_be_left_out() -> None:
    assert [(name, one) for name, one in _arguments() if one.optional] == []


def test_a_bad_number_is_a_usage_error(say: Say) -> None:
    told = say("db.migrate", "--timeout", "soon")

    assert told.returncode == 2
    assert told.stderr == "--timeout takes a whole number, and 'soon' is none.\n"


def test_a_list_option_without_its_value_is_refused(say: Say, form: str) -> None:
    told = say("image.build", "--build-arg")

    assert told.returncode == (2 if form == "alone" else 1)
    assert "--build-arg needed value" in told.stderr


# --- T13, T19, T20, T21 ---------------------------------------------------------------


def test_no_task_leans_on_another_one() -> None:
    tasks = [unstale.ns[name] for name in unstale.ns.task_names]

    assert [task for task in tasks if task.pre or task.post] == []


def test_an_error_has_its_code_and_no_traceback(say: Say, project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.unstale]\ndefalt-env = 'ci'\n")

    told = say("image.status")

    assert told.returncode == 2
    assert "Did you mean" in told.stderr
    assert "Traceback" not in told.stderr


def test_what_to_type_next_is_said_as_it_was_typed(say: Say, form: str) -> None:
    found = say("receipt.show")

    assert found.returncode == 2
    assert f"Next: {SPOKEN[form]}test.integration\n" in found.stderr


def test_compiled_files_are_written_again(project: Path) -> None:
    (project / "tasks.py").write_text(FORMS["beside"][0])

    chain = ("--no-dedupe", "mine", "env.diff", "ci", "test", "--files-only", "mine")
    told = _say(project, ("-m", "invoke"), chain)

    assert [line for line in told.stdout.splitlines() if "mine" in line] == [
        "mine ran True",
        "mine ran False",
    ]


def test_importing_prints_nothing(project: Path) -> None:
    (project / "tasks.py").write_text(FORMS["beside"][0])

    told = _say(project, ("-m", "invoke"), ("--complete", "--", "inv image.b"))

    assert (told.returncode, told.stderr) == (0, "")
    assert "image.build" in told.stdout.split()
    assert {*told.stdout.split()} <= {"mine", *unstale.ns.task_names}


# --- T22, T23, T24: beside a project's own --------------------------------------------


@pytest.mark.parametrize(
    ("source", "hidden"),
    [
        ("from unstale import ns\n@task\ndef a(c): pass\n", ("a",)),
        ("from unstale import ns\n@task(help={})\ndef a(c): pass\n", ("a",)),
        ("from unstale import ns\n@invoke.task\ndef a(c): pass\nns.add_task(a)\n", ()),
        ("@task\ndef a(c): pass\n@task\ndef b(c): pass\nns = Collection(a, unstale.ns)", ("b",)),
        ("@task\ndef a(c): pass\n", ()),
        ("from unstale import ns\ndef a(c): pass\n", ()),
        ("from unstale import ns as theirs\n@task\ndef a(c): pass\n", ()),
        ("from unstale import", ()),
        ("", ()),
    ],
)
def test_tasks_that_inv_does_not_see_are_named(source: str, hidden: tuple[str, ...]) -> None:
    assert hidden_tasks(source) == hidden


def test_a_task_called_like_a_group_is_explained(project: Path) -> None:
    tasks = MINE.replace("def mine", "def test")
    (project / "tasks.py").write_text(f"{tasks}from unstale import ns\nns.add_task(test)\n")

    told = _say(project, ("-m", "invoke"), ("--list",))

    assert told.returncode == 2
    assert "ns = Collection(mine, unstale.ns)" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_single_task_can_be_imported(project: Path) -> None:
    lines = "from unstale.invocations.env import diff\nfrom invoke import Collection\n"
    (project / "tasks.py").write_text(f"{lines}ns = Collection(diff)\n")

    assert unstale.ns.configuration() == {}
    assert _say(project, ("-m", "invoke"), ("diff", "ci", "test", "--files-only")).returncode == 0


# --- T25, T26: settings ---------------------------------------------------------------


@pytest.mark.parametrize("said", ["false", "no", "off", "0", "", "FALSE", " No "])
def test_a_switch_that_says_false_is_off(said: str) -> None:
    assert not is_on({"UNSTALE_TRUST": said}, "UNSTALE_TRUST", "1")
    assert is_on({}, "UNSTALE_TRUST", "1")
    assert is_on({"UNSTALE_TRUST": "true"}, "UNSTALE_TRUST")


def test_the_command_runs_nothing_of_a_checkout(project: Path) -> None:
    (project / "tasks.py").write_text("raise SystemExit('tasks.py was run')\n")
    (project / "invoke.yaml").write_text("run: {dry: true}\n")
    (project / "invoke.py").write_text("raise SystemExit('invoke.py was run')\n")

    told = _say(project, ("-m", "unstale"), ("env.diff", "ci", "test", "--files-only", "--json"))

    assert told.returncode == 0
    assert '"parity": true' in told.stdout


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("-f", "pyproject.toml", "receipt.show"), {}),
        (("receipt.show",), {"INVOKE_RUN_WATCHERS": "x"}),
        (("-T", "soon", "receipt.show"), {}),
    ],
)
def test_what_invoke_can_not_read_is_a_usage_error(
    words: tuple[str, ...], env: dict[str, str], project: Path
) -> None:
    told = _say(project, ("-m", "unstale"), words, **env)

    assert told.returncode == 2
    assert "Traceback" not in told.stderr


# --- T27: what is in the way ----------------------------------------------------------


def test_what_is_in_the_way_is_named() -> None:
    here = {"tasks/__init__.py", "alembic/__init__.py"}

    found = obstacles("from unstale import ns\n@task\ndef a(c): pass\n", here.__contains__)

    assert [one.path for one in found] == ["tasks/__init__.py", "alembic/__init__.py", "tasks.py"]
    assert found[2].hint == "ns.add_task(a)"
    assert [one.path for one in obstacles(None, here.__contains__)] == ["alembic/__init__.py"]
    assert obstacles("from unstale import ns\n", {"tasks", "alembic"}.__contains__) == ()


def test_the_library_is_found_beside_a_package_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "alembic").mkdir()
    (tmp_path / "alembic" / "__init__.py").write_text("")
    # As the probe is run: by its text, in the project's folder.
    text = Path(probe.__file__).read_text(encoding="utf-8").replace("__main__", "not now")
    script = f"{text}\n_prefer_library()\nimport alembic.config\nprint(sys.path[0] == '')\n"

    told = subprocess.run(
        (sys.executable, "-"),
        input=script,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.stdout, told.returncode) == ("True\n", 0), told.stderr


# --- T28, T29, T30 --------------------------------------------------------------------


def test_a_subfolder_is_as_good_as_the_root(say: Say, project: Path) -> None:
    (project / "src" / "deep").mkdir(parents=True)

    told = say("env.diff", "ci", "test", "--files-only", below="src/deep")

    assert (told.returncode, told.stderr) == (0, "")
    assert not (project / "src" / "deep" / ".unstale").exists()


def test_an_executor_of_yours_is_used(project: Path) -> None:
    (project / "tasks.py").write_text(FORMS["beside"][0])
    (project / "invoke.yaml").write_text("tasks: {executor_class: own.Own}\n")
    (project / "own.py").write_text(
        "from invoke import Executor\n"
        "class Own(Executor):\n"
        "    def execute(self, *tasks):\n"
        "        print('own')\n"
        "        return super().execute(*tasks)\n"
    )

    told = _say(project, ("-m", "invoke"), ("env.diff", "ci", "tst", "--files-only"))

    assert (told.returncode, told.stdout) == (2, "own\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("env.dif ci test", "Did you mean 'env.diff'?"),
        ("integration", "Did you mean 'test.integration'?"),
        ("test.integration --no_cache", "Did you mean '--no-cache'?\nNext: unstale --help test."),
        ("test.integration --build=true", "--build takes none."),
        ("image.status --service a --service b", "--service takes one value."),
        ("image --list", "'image' is a group of tasks.\nNext: unstale --list image"),
        ("--lst", "Did you mean '--list'?"),
        ("--help image.stats", "Did you mean 'image.status'?"),
        ("--list imag", "Next: unstale --list"),
        ("env.diff ci", "Next: unstale --help env.diff"),
    ],
)
def test_what_was_probably_meant_is_said(line: str, said: str, project: Path) -> None:
    told = _say(project, ("-m", "unstale"), tuple(line.split()))

    assert told.returncode == 2
    assert said in told.stderr


def test_the_namespace_can_be_mounted() -> None:
    mounted = Collection(unstale.ns)

    assert {f"unstale.{name}" for name in unstale.ns.task_names} == {*mounted.task_names}
    assert Program(namespace=mounted).namespace is mounted
