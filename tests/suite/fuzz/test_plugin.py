"""What the pytest plugin reads: its settings, URLs, migrations as text, other workers' notes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale.pytest_plugin import database, engines, header, migrations, settings
from unstale.schema import revisions

HUGE = "9" * 5000
_URL = "postgresql+psycopg://u:p@db:5432/app?host=/run&port=1"
_URLS = ("postgresql://", "@", ":", "/", "[::1]", "?host=", "&port=", "%00", "\u00b2", HUGE)


@given(soup.texts((_URL,), _URLS))
@example("postgresql://h:\u00b2/d")
@example(f"postgresql://h/d?port={HUGE}")
@example("postgresql://h/d?port=\u00b2")
@example("postgresql://h:5432x/d")
def test_urls(url: str) -> None:
    found = header.address(url)
    assert found is None or str(found)
    with soup.only_ours():
        engines.sync_url(url)
    with soup.only_ours():
        engines.open_engine(url).dispose()
    engines.masked(url)("x")


INI = (
    "[alembic]\nscript_location = %(here)s/migrations\nversion_locations = a:b\n"
    "path_separator = os\n"
)
SCRIPT = 'revision = "b"\ndown_revision: str | None = "a"\n'
_INI = (
    "[alembic]\n",
    "script_location = ",
    "version_locations =",
    "path_separator = ",
    "%(here)s",
    "%",
)
_SCRIPT = (
    "revision = ",
    "down_revision = ",
    "('a', 'b')",
    "{}",
    "[[]]",
    "-" * 2000,
    "{[]}",
    "*",
    "1 + " * 1500,
)


@given(ini=soup.raw((INI,), _INI), script=soup.raw((SCRIPT,), _SCRIPT))
@example(ini=b"[alembic]\nscript_location = m\n", script=b"revision = {[]: 1}")
@example(ini=b"[alembic]\nscript_location = m\n", script=b"down_revision = [[1]]")
@example(ini=b"[alembic]\nscript_location = m\n", script=b"revision = " + b"-" * 9000 + b"1")
@example(ini=b"[alembic]\nscript_location = m\n", script=b"revision = " + b"1 + " * 1500 + b"1")
@example(ini=b"[alembic]\nscript_location = \0\n", script=b"")
@example(
    ini=b"[alembic]\nscript_location = m\nversion_locations = m\npath_separator = \n", script=b""
)
def test_heads(tmp_path_factory: pytest.TempPathFactory, ini: bytes, script: bytes) -> None:
    root = tmp_path_factory.getbasetemp()
    for folder in ("migrations/versions", "m/versions"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "a.py").write_bytes(script)
    (root / "alembic.ini").write_bytes(ini)

    found = revisions.heads(root / "alembic.ini", root)

    assert found is None or all(isinstance(one, str) for one in found)


@given(soup.raw((SCRIPT,), (*_SCRIPT, "op.create_table('a', ", "def upgrade():\n ")))
@example(b"revision = '1'\ndef upgrade():\n op.create_table('a', sa.Column())\n")
@example(b"revision = '1'\ndef upgrade():\n op.create_table(*a)\n op.add_column('a')\n")
def test_made(script: bytes) -> None:
    found = revisions.made(script)

    assert found is None or all(line > 0 for line in found.lines.values())


_OPTIONS = {name: st.just(default) | soup.texts(words=("none", "savepoint", "clone", "a.b:C"))
            for name, _, default, _ in settings.OPTIONS if isinstance(default, str)}  # fmt: skip


@given(st.fixed_dictionaries(_OPTIONS))
def test_settings(values: dict[str, str]) -> None:
    given = {name: values.get(name, default) for name, _, default, _ in settings.OPTIONS}
    config = SimpleNamespace(
        getini=lambda n: given[n.removeprefix("unstale_")], rootpath=Path("/p")
    )
    with soup.only_ours(pytest.UsageError):
        settings.Settings.of(cast("Any", config))


PROOF = {"problem": "", "state": "current, at b", "survey": ["d", None, "alembic_version"]}


@given(content=soup.raw((json.dumps(PROOF),), ('"problem"', '"survey"', "null")))
@example(content=json.dumps(PROOF).encode())
@example(content=b"[" * 9000)
def test_memo(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """What the first worker wrote; one that was killed meanwhile wrote half of it."""
    folder = tmp_path_factory.getbasetemp() / "w"
    folder.mkdir(exist_ok=True)
    (folder.parent / "unstale-x.json").write_bytes(content)
    config = cast("Any", SimpleNamespace(workerinput={"testrunuid": "x"}))
    memo = database._Memo(config, cast("Any", SimpleNamespace(getbasetemp=lambda: folder)))

    assert isinstance(memo.read(), database._Proof | None)


def test_a_good_memo_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    config = cast("Any", SimpleNamespace(workerinput={"testrunuid": "x"}))
    memo = database._Memo(config, cast("Any", SimpleNamespace(getbasetemp=lambda: tmp_path / "w")))
    memo.write(database._Proof(**PROOF | {"survey": ("d", None, "alembic_version")}))  # type: ignore[arg-type]

    assert memo.read() is not None


@given(soup.json_texts({"system": "7", "database": "app"}))
def test_told(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        if "\0" not in text:
            patched.setenv("UNSTALE_DATABASE", text.encode(errors="replace").decode())
        database._told()


ANSWER = {"digest": "d", "version_table": [None, "alembic_version"]}


@given(soup.json_texts(ANSWER), st.sampled_from([0, 0, 1]))
@example("[" * 9000, 0)
@example("[]", 0)
def test_survey(text: str, code: int) -> None:
    done = SimpleNamespace(
        returncode=code, stdout=f"noise\n{migrations._SENTINEL}{text}\n", stderr="noise"
    )
    config = SimpleNamespace(
        **dict.fromkeys(("metadata", "database", "schema"), "x"),
        alembic_ini=Path("/p/a.ini"),
        root=Path("/p"),
    )
    with pytest.MonkeyPatch.context() as patched, soup.only_ours():
        patched.setattr(migrations.subprocess, "run", lambda *_, **__: done)
        found = migrations.survey(cast("Any", config), "postgresql://h/d")
        assert isinstance(found.digest, str)
