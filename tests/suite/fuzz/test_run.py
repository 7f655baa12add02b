"""What tests, databases and probes say in a run, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale.adapters.leases import Leases
from unstale.adapters.local_postgres import _SENTINEL, LocalPostgres, _is_ready, _pid
from unstale.facts import ArchiveMember, ContainerFact
from unstale.invocations import boundary
from unstale.jsontext import read_json
from unstale.parity import servers
from unstale.pipeline import junit, printed, reuse
from unstale.pipeline.receipt import PREDICATE, STATEMENT
from unstale.pipeline.reuse import Subject
from unstale.ports import CommandResult
from unstale.printable import printable
from unstale.project import Project
from unstale.render import runs
from unstale.schema import ladder, postgres, status
from unstale.stack import autopsy

HUGE = "9" * 5000
CONTAINER = ContainerFact(
    *("c", "n", "db", "p", "sha256:1", "running", 0, False, "", None, "", "", "", 0, False),
    labels={},
)

# --- pytest -------------------------------------------------------------------------

XML = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="a" tests="2">'
    '<testcase classname="a.B" name="c[d]"><failure message="x">y</failure></testcase>'
    '<testcase classname="a" name="e"><skipped/></testcase><testcase name="f"/>'
    "</testsuite></testsuites>"
)
_XML = (
    "<testcase",
    "</",
    "/>",
    "&#0;",
    "&#xd800;",
    "<!DOCTYPE x [<!ENTITY a 'b'>",
    "]>",
    "&a;",
    "<![CDATA[",
)


@given(soup.raw((XML,), _XML))
@example(b'<?xml version="1.0" encoding="foo"?><a/>')
@example(b'<?xml version="1.0" encoding="utf-7"?><a/>')
@example(b"<a>" * 20_000 + b"</a>" * 20_000)
@example(b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a>&b;</a>")
def test_junit(document: bytes) -> None:
    with soup.only_ours():
        found = junit.read(document)

        assert found.executed == len(found.passes) + len(found.failures)


SUMMARY = """\
FAILED tests/test_a.py::TestB::test_c[d - e] - AssertionError: x - y
ERROR tests/test_a.py - ValueError
==== 1 failed, 2 passed, 3 deselected in 0.12s ====
"""
OUTPUT = (
    SUMMARY,
    "!!!!! _pytest.outcomes.Exit: no\nNext: type it !!!!!\nbringing up nodes...\n",
    "==== unstale: schema ====\nunstale stopped the session: x\nNext: y\n=== 1 passed in 1s ===\n",
    "ERROR: file or directory not found: x\n",
)
_PRINTED = (
    "FAILED ",
    "ERROR ",
    " - ",
    "::",
    "[",
    "\x1b[31m",
    " in 0.1s",
    "deselected",
    "Exit: ",
    "!!!!",
)


@given(soup.texts(OUTPUT, _PRINTED))
@example(f"1 passed, {HUGE} deselected in 0.1s")
def test_printed(output: str) -> None:
    printed.node_ids(output)
    printed.deselected(output)
    printed.has_workers(output)
    printed.stop(output)
    printed.complaints(output)


@given(soup.texts(OUTPUT, ("\x1b[2J", "\x9b31m", "\u202e", "\r")))
def test_printable(text: str) -> None:
    shown = printable(text)

    assert printable(shown) == shown
    assert not set(shown) & {"\x1b", "\r", "\x9b", "\u202e", "\0"}


# --- the database --------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "applied": ["b"],
    "heads": ["b"],
    "available": ["a", "b"],
    "effective": 2,
    "tables": ["users"],
    "missing_tables": [],
    "moved": [],
    "drift": [["add_column", "users.age"]],
    "models": 1,
    "version_table": "public.alembic_version",
    "scripts": {"/a.py": "1"},
    "reference": {"differences": [["added", "relation public.x"]], "facts": 9},
    "suggestion": "# x\nop.add_column('users')",
    "server": {
        "identity": {
            "system": "7",
            "database": "app",
            "user": "app",
            "search_path": "public",
            "address": "10.0.0.2",
            "version": "170000",
            "started": "2026-11-26 10:00:00+00",
        },
        "in_progress": [],
        "holders": [
            {
                "pid": 42,
                "role": "app",
                "application": "psql",
                "state": "idle",
                "since": "x",
                "query": "y",
            }
        ],
        "traces": {"inserted": 4, "deleted": 0},
    },
}
REFUSED = {"error": "x", "message": "y", "rung": "lock", "holders": FACTS["server"]["holders"]}


def _said(facts: Any) -> str:
    return f"noise\n{status.SENTINEL}{json.dumps(facts)}\n"


@given(soup.documents(FACTS, REFUSED))
@example(FACTS | {"ran": float("inf")})
@example(FACTS | {"models": "x"})
@example([])
def test_schema(facts: Any) -> None:
    with soup.only_ours():
        found = status.read(_said(facts))
        assert json.dumps(found.to_json())
        assert str(status.problem(found) or "") is not None
        status.suggested(found)
        status.elsewhere(found, "8")


@given(soup.texts((_said(FACTS), _said(REFUSED)), (status.SENTINEL, "{", '"heads"', "\n")))
def test_probe(output: str) -> None:
    with soup.only_ours():
        assert isinstance(status.answer(output), dict)


def test_good_facts_are_judged() -> None:
    """Or the fuzzing of facts would see nothing but refusals."""
    assert status.read(_said(FACTS)).state in status.STATES


class _Psql:
    """An engine whose psql prints *said*."""

    def __init__(self, said: CommandResult) -> None:
        self.said = said

    def execute(self, *_: Any) -> CommandResult:
        return self.said


_ROWS = (
    '["fsync", "off", "command line", ""]\n',
    "users\t5\n",
    "7123\n",
    "2026-01-01 00:00:00+00|f\n",
)


@given(soup.printed(soup.texts(_ROWS, ("\t", "|", "f", '["', "null"))))
@example([CommandResult(0, '["a", 5, null, {}]', "", 0.1)])
@example([CommandResult(0, "", "", 0.1)])
@example([CommandResult(0, f"users\t{HUGE}", "", 0.1)])
def test_rows(said: list[CommandResult]) -> None:
    docker = cast("Any", _Psql(said[0]))
    for ask in (postgres.tables, postgres.settings, postgres.system_identifier):
        with soup.only_ours():
            ask(docker, CONTAINER)
    ladder.answer(said[0])
    ladder.unnamed(said[0].stderr, said[0].returncode)


ROW = ["2026-01-01", False, "17.2 (Debian 17)", *"abcde"]
ANSWER = {"rows": [ROW, ROW]}


@given(soup.documents(ANSWER, {"error": "ImportError", "message": "x"}), soup.texts())
@example(ANSWER, "")
def test_server_of_this_machine(answer: Any, noise: str) -> None:
    out = f"{noise}\n{_SENTINEL}{json.dumps(answer)}\n"
    process = cast("Any", soup.Answers([CommandResult(0, out, "", 0.1)]))
    local = LocalPostgres(process, cast("Any", None), cast("Any", None), {})
    with soup.only_ours():
        assert local.ask("python", Path("/"), {}).version


@given(
    content=soup.raw(("123\n/data\n1\n5432\n\n\n\nready\n",)), version=soup.printed(soup.texts())
)
@example(content="\u00b2\n".encode(), version=[])
@example(content=HUGE.encode(), version=[])
def test_files_of_a_server(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, version: list[CommandResult]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "postmaster.pid").write_bytes(content)

    assert isinstance(_pid(folder), int | None)
    assert _is_ready(folder) in (True, False)
    if version:
        local = LocalPostgres(cast("Any", soup.Answers(version)), *cast("Any", (None, None, {})))
        assert isinstance(local._version(folder), str)


# --- what is kept of runs --------------------------------------------------------------

RECEIPT: dict[str, Any] = {
    "_type": STATEMENT,
    "predicateType": PREDICATE,
    "subject": [{"name": "test-runner", "digest": {"sha256": "1" * 64}}],
    "predicate": {
        "result": "PASSED",
        "configuration": [],
        "passedTests": ["a"],
        "failedTests": [],
        "annotations": {
            "subject": "v1:sha256:2",
            "environment": "ci",
            "outcome": "proven",
            "started": "2026-01-01T12:00:00+00:00",
            "revision": None,
            "dirty": None,
            "skipped": 0,
            "steps": [{"name": "up", "outcome": "proven", "seconds": 1.5, "detail": ""}],
            "schema": {"applied": ["a"]},
            "database_settings": [{"name": "fsync", "value": "off"}],
        },
    },
}
_KEPT = Path("/s/receipts/2026-01-01-a.json")


@given(soup.json_texts(RECEIPT))
@example("[" * 9000)
@example('{"predicate": {"annotations": []}}')
def test_receipts_of_earlier_runs(text: str) -> None:
    files = soup.Texts({_KEPT: text})
    bench = SimpleNamespace(site=SimpleNamespace(state_folder=Path("/s")), files=files)
    reuse.find(cast("Any", bench), Subject("v1:sha256:2"), lambda _: True)
    project = SimpleNamespace(files=files, settings=SimpleNamespace(state_folder=Path("/s")))
    found = Project._last_receipt(cast("Any", project), "ci")
    if found is not None:
        assert servers.receipt_items(found) is not None


@given(text=soup.json_texts(RECEIPT))
def test_row_of_a_run(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "receipt.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    report = SimpleNamespace(receipt=path, errors=(), state=SimpleNamespace(reused=False))
    with soup.only_ours():
        runs.run_row("ci", cast("Any", report))


def test_a_good_receipt_is_read() -> None:
    """Or the fuzzing of receipts would see nothing but refusals."""
    project = SimpleNamespace(
        files=soup.Texts({_KEPT: json.dumps(RECEIPT)}),
        settings=SimpleNamespace(state_folder=Path("/s")),
    )

    assert Project._last_receipt(cast("Any", project), "ci")
    bench = SimpleNamespace(site=SimpleNamespace(state_folder=Path("/s")), files=project.files)
    assert reuse.find(cast("Any", bench), Subject("v1:sha256:2"), lambda _: True) == _KEPT


@given(content=soup.raw(('{"endpoint": {"DOCKER_HOST": "unix:///x"}}', "abc"), ('"endpoint"',)))
def test_leases(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    home = tmp_path_factory.getbasetemp() / "home"
    leases = Leases({"XDG_STATE_HOME": str(home), "HOME": str(home)})
    with soup.only_ours():
        assert leases.owner
    (leases.folder / "r.lease").write_bytes(content)
    with soup.only_ours():
        assert all(isinstance(one.run, str) for one in leases.dead())
    (leases.folder / "machine").write_bytes(content)
    with soup.only_ours():
        assert Leases({"XDG_STATE_HOME": str(home), "HOME": str(home)}).owner
    (leases.folder / "machine").write_text("abc")


# --- containers that died ----------------------------------------------------------------

_ENDS = (
    "exec /x.sh: no such file or directory",
    "[FATAL tini (7)] exec /x failed: Permission denied",
    "exec /app/run.sh: exec format error",
)


_CODES = st.sampled_from([1, 2, 126, 255])


@given(soup.texts(_ENDS, ("exec ", ": ", "\\r", "\r", "/x")), _CODES, soup.raw(("#!/bin/sh\r\n",)))
def test_autopsy(log: str, code: int, script: bytes) -> None:
    from dataclasses import replace
    from pathlib import PurePosixPath

    member = ArchiveMember(PurePosixPath("/x.sh"), 0o644, None, script)
    docker = SimpleNamespace(
        logs=lambda *_: tuple(log.splitlines()),
        files_in_container=lambda *_: iter([member]),
        files_in_image=lambda *_: iter([member]),
        image=lambda _: None,
        platform=lambda: "linux/amd64",
        platforms=lambda: ("linux/amd64",),
    )
    died = replace(CONTAINER, status="exited", exit_code=code, error=log)
    with soup.only_ours():
        autopsy.autopsy(cast("Any", docker), died)


# --- the command line --------------------------------------------------------------------


@given(soup.texts(words=("-k", "'a b'", '"', "--", "\\")), st.lists(soup.texts(), max_size=3))
def test_remainder(text: str, tail: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patched, soup.only_ours():
        patched.setattr(boundary.sys, "argv", ["inv", "test.run", "--", *tail])
        boundary.remainder(cast("Any", SimpleNamespace(remainder=text)))
        assert boundary.remainder(cast("Any", SimpleNamespace(remainder=" ".join(tail)))) == tuple(
            tail
        )
    boundary.names(text)


@given(soup.texts(('{"a": 1}',), ("[", "{", '"')))
def test_json(text: str) -> None:
    found = read_json(text)

    assert found is None or isinstance(found, Mapping | list | str | int | float | bool)
