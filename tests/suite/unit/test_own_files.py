"""What is surveyed and written is the project's own: no link, pipe or device leads out of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unstale.adapters import walk
from unstale.adapters.files import DiskFiles
from unstale.errors import UsageError
from unstale.pipeline.setup import Change, apply

COMPOSE = "services:\n  db:\n    image: postgres:17\n"
MAKEFILE = "test:\n\tdocker compose run --rm tests\n\ndown:\n\tdocker compose down\n"
FOREIGN = "alias private-heron=true\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project in git, and beside it a file that is none of it."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "compose.yml").write_text(COMPOSE)
    (root / "Makefile").write_text(MAKEFILE)
    (tmp_path / "foreign").write_text(FOREIGN)
    git = shutil.which("git")
    assert git
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    subprocess.run((git, "init", "-q", str(root)), check=True, timeout=30)
    return root


def _typed(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without docker, which would have to be asked of the compose file."""
    return subprocess.run(
        (sys.executable, "-m", "unstale", *words),
        cwd=root,
        env={**os.environ, "TERM": "dumb", "PATH": str(root.parent / "bin")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def _refused(told: subprocess.CompletedProcess[str], what: str) -> None:
    assert told.returncode == 2, told.stdout + told.stderr
    assert what in told.stderr
    assert "Traceback" not in told.stderr
    assert FOREIGN.strip() not in told.stdout + told.stderr


# --- links ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("init",), ("init", "--yes")])
@pytest.mark.parametrize("name", [".gitignore", "tasks.py"])
def test_init_refuses_a_link_out_of_the_project(
    words: tuple[str, ...], name: str, shop: Path
) -> None:
    (shop / name).symlink_to("../foreign")

    _refused(_typed(shop, *words), f"{shop / name} leads elsewhere.")

    assert (shop.parent / "foreign").read_text() == FOREIGN
    assert not (shop / "pyproject.toml").exists()


@pytest.mark.parametrize("words", [("init",), ("adopt", "Makefile")])
def test_nothing_is_made_where_a_dangling_link_leads(words: tuple[str, ...], shop: Path) -> None:
    (shop / "tasks.py").symlink_to("../elsewhere/x.py")

    _refused(_typed(shop, *words, "--yes"), f"{shop / 'tasks.py'} leads elsewhere.")

    assert not (shop.parent / "elsewhere").exists()


def test_a_makefile_of_another_project_is_read_and_not_changed(shop: Path) -> None:
    other = shop.parent / "other" / "Makefile"
    other.parent.mkdir()
    other.write_text(MAKEFILE)

    _refused(_typed(shop, "adopt", "../other/Makefile", "--makefile", "--yes"), "not of this")
    assert not (shop / "tasks.py").exists()
    assert _typed(shop, "adopt", "../other/Makefile", "--yes").returncode == 0

    assert other.read_text() == MAKEFILE
    assert (shop / "tasks.py").exists()


def test_adopt_refuses_a_makefile_that_leads_out_of_the_project(shop: Path) -> None:
    (shop / "Makefile").unlink()
    (shop / "Makefile").symlink_to("../foreign")

    _refused(_typed(shop, "adopt", "Makefile"), f"{shop / 'Makefile'} leads elsewhere.")


def test_a_workflow_is_not_written_through_a_linked_folder(shop: Path) -> None:
    elsewhere = shop.parent / "elsewhere"
    elsewhere.mkdir()
    (shop / ".github").symlink_to("../elsewhere")

    told = _typed(shop, "ci.workflow", "--provider", "github", "--write", "--yes")

    _refused(told, "leads elsewhere.")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["linked", "folder/x", "../foreign", "circle"])
def test_nothing_at_all_is_written_if_one_of_the_files_is_behind_a_link(
    name: str, shop: Path
) -> None:
    (shop / "inner").mkdir()
    (shop / "inner" / "x").write_text("")
    (shop / "linked").symlink_to("inner/x")
    (shop / "folder").symlink_to("inner")
    (shop / "circle").symlink_to("circle")

    with pytest.raises(UsageError, match="leads elsewhere"):
        apply(shop, [Change("tasks.py", None, "a"), Change(name, "", "b")], DiskFiles())

    assert (shop / "inner" / "x").read_text() == ""
    assert (shop.parent / "foreign").read_text() == FOREIGN
    assert not (shop / "tasks.py").exists()


# --- what changed meanwhile ----------------------------------------------------------------


@pytest.mark.parametrize("before", ["old\n", "new\r\n", None])
def test_what_is_saved_while_the_question_waits_is_not_lost(before: str | None, shop: Path) -> None:
    (shop / "pyproject.toml").write_text("new\n")
    changes = [Change("tasks.py", None, "a"), Change("pyproject.toml", before, "b")]

    with pytest.raises(UsageError, match=r"pyproject\.toml has changed"):
        apply(shop, changes, DiskFiles())

    assert (shop / "pyproject.toml").read_text() == "new\n"
    assert not (shop / "tasks.py").exists()


def test_what_is_removed_while_the_question_waits_is_not_made_again(shop: Path) -> None:
    with pytest.raises(UsageError, match="has changed"):
        apply(shop, [Change("pyproject.toml", "", "b")], DiskFiles())

    assert not (shop / "pyproject.toml").exists()


# --- what is no plain file -----------------------------------------------------------------


def test_only_plain_files_of_the_project_are_named(shop: Path) -> None:
    os.mkfifo(shop / "pytest.ini")
    (shop / "tox.ini").symlink_to("/dev/zero")
    (shop / "setup.cfg").symlink_to("../foreign")
    (shop / "gone").symlink_to("nowhere")
    (shop / "circle").symlink_to("circle")
    (shop / "pipe").symlink_to("pytest.ini")
    (shop / "linked.yml").symlink_to("compose.yml")

    assert walk.names(shop) == (("Makefile", "compose.yml", "linked.yml"), False)


def test_names_that_no_toml_can_hold_are_left_out(shop: Path) -> None:
    folder = os.path.join(os.fsencode(shop), b"caf\xe9")  # noqa: PTH118 - of bytes
    os.mkdir(folder)  # noqa: PTH102 - likewise
    for name in (os.fsencode(shop) + b"/compose.\xff.yml", folder + b"/compose.yml"):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    (shop / "compose.é.yml").write_text(COMPOSE)

    names, _ = walk.names(shop)

    assert names == ("Makefile", "compose.yml", "compose.é.yml")


def test_init_waits_for_no_pipe_and_reads_no_device(shop: Path) -> None:
    os.mkfifo(shop / "pytest.ini")
    (shop / "requirements.txt").symlink_to("/dev/zero")

    told = _typed(shop, "init")

    assert told.returncode == 0, told.stderr
    assert "Nothing was written" in told.stdout


@pytest.mark.parametrize("file", ["pipe", "/dev/zero"])
def test_adopt_waits_for_no_pipe_and_reads_no_device(file: str, shop: Path) -> None:
    os.mkfifo(shop / "pipe")

    _refused(_typed(shop, "adopt", file), "can't be read.")
