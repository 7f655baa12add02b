"""The scripts of ``unstale completion`` in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from unstale import ns
from unstale.invocations.completion import completed
from unstale.render.completion import ENVIRONMENTS, SHELLS, script

INTERACTIVE_S = 20


def _shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if name == "bash" and os.environ.get("CI"):
            pytest.fail("CI has no bash")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the command prints, for each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        done = subprocess.run(
            (sys.executable, "-m", "unstale", "completion", shell),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        (folder / shell).write_text(done.stdout)
    return {shell: folder / shell for shell in SHELLS}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder below a project that has environments in both ways."""
    (tmp_path / "pyproject.toml").write_text("[tool.unstale.environments.staging]\n")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "docker-compose.ci.yml").touch()
    (tmp_path / "below").mkdir()
    return tmp_path / "below"


def _bash(script: Path, project: Path, *words: str) -> set[str]:
    """What bash offers for the last of *words*; no program can be started meanwhile."""
    typed = " ".join(f"'{word}'" for word in words)
    lines = (
        "compopt() { :; }",
        f". '{script}'",
        "PATH=/nonexistent",
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}",
        "_unstale",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    done = subprocess.run(
        (_shell("bash"), "--norc", "--noprofile", "-uc", "\n".join(lines)),
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def _fish(script: Path, project: Path, *words: str) -> set[str]:
    line = f"source {script}; complete -C '{' '.join(words)}'"
    done = subprocess.run(
        (_shell("fish"), "--no-config", "-c", line),
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return {found.partition("\t")[0] for found in done.stdout.splitlines()}


CASES = [
    (("unstale", "image.ver"), {"image.verify"}),
    (("unstale", "stack.down", "image.bui"), {"image.build"}),
    (("unstale", "test.integration", "--no-cac"), {"--no-cache"}),
    (("unstale", "stack.down", "env.check", "--form"), {"--format"}),
    (("unstale", "env.check", "--format", ""), {"text", "json", "github", "sarif"}),
    (("unstale", "ci.workflow", "--provider", "gitl"), {"gitlab"}),
    (("unstale", "image.status", "--env", ""), {"staging", "ci"}),
    (("unstale", "env.diff", "stag"), {"staging"}),
    (("unstale", "hook", "sch"), {"schema"}),
    (("unstale", "--vers"), {"--version"}),
]


@pytest.mark.parametrize(("words", "offered"), CASES, ids=lambda one: " ".join(sorted(one)))
@pytest.mark.parametrize("ask", [_bash, _fish], ids=["bash", "fish"])
def test_what_is_typed_is_completed(
    ask: object, words: tuple[str, ...], offered: set[str], scripts: dict[str, Path], project: Path
) -> None:
    assert callable(ask)
    shell = ask.__name__.removeprefix("_")

    assert ask(scripts[shell], project, *words) == offered


def test_nothing_of_ours_is_offered_to_pytest(scripts: dict[str, Path], project: Path) -> None:
    assert _bash(scripts["bash"], project, "unstale", "test.run", "--", "image.") == set()


def test_a_folder_of_no_project_has_no_environments(
    scripts: dict[str, Path], tmp_path: Path
) -> None:
    found = _bash(scripts["bash"], tmp_path, "unstale", "image.status", "--env", "")

    assert found == set()


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        ("unstale image.ver\t", "ify"),
        ("unstale image.verify --gr\t", "ep"),
        ("unstale image.status --env sta\t", "ging"),
        ("unstale hook sche\t", "ma"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_pressed_tab_completes_in_a_terminal(
    shell: str, typed: str, added: str, scripts: dict[str, Path], project: Path
) -> None:
    flags = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[shell]
    env = {**os.environ, "TERM": "dumb", "PS1": "> ", "HOME": str(project)}
    child = pexpect.spawn(
        _shell(shell), flags, cwd=str(project), env=env, encoding="utf-8", timeout=INTERACTIVE_S
    )
    try:
        begin = "autoload -Uz compinit; compinit -D -u; " if shell == "zsh" else ""
        child.sendline(f"{begin}. {scripts[shell]}; echo rea''dy")
        child.expect_exact("ready\r\n")
        child.send(typed)
        child.expect_exact(typed.rsplit(maxsplit=1)[-1])
        child.expect_exact(added)
    finally:
        child.close(force=True)


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_script_has_every_task_and_option(shell: str) -> None:
    tasks = completed(ns)
    text = script(shell, tasks, ())
    options = {option.name for task in tasks for option in task.options}
    dashes = "" if shell == "fish" else "--"

    assert {task.name for task in tasks} == set(ns.task_names)
    assert [task.name for task in tasks if task.name not in text] == []
    assert [o for o in options if f"{dashes}{o.removeprefix('--')}" not in text] == []


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_each_script_is_good_syntax(shell: str, scripts: dict[str, Path]) -> None:
    subprocess.run((_shell(shell), "-n", str(scripts[shell])), check=True, timeout=20)


def test_an_argument_without_a_dash_has_choices_where_they_are_few() -> None:
    words = {task.name: task.words for task in completed(ns) if task.words}

    assert words["env.diff"] == (ENVIRONMENTS,)
    assert words["completion"] == ("bash", "zsh", "fish")
    assert set(words) >= {"hook", "why"}
