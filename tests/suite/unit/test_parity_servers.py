"""What a PostgreSQL server is set to, who says so, and what may be shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from unstale.parity.model import Item, Source
from unstale.parity.servers import (
    HIDDEN,
    NOT_READ,
    ServerSetting,
    from_receipt,
    is_showable,
    receipt_items,
    server_settings,
    setting_items,
)

ROOT = Path("/project")
DATA = "/var/lib/postgresql/data"


def bind(source: str, target: str) -> Mapping[str, Any]:
    return {"type": "bind", "source": f"/project/{source}", "target": target, "read_only": True}


def settings(
    *,
    files: Mapping[str, str] | None = None,
    configs: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Mapping[str, ServerSetting]:
    texts = {ROOT / name: text for name, text in (files or {}).items()}
    service = {"image": "postgres:17", **keys}
    made = {"name": "shop", "services": {"db": service}, "configs": configs or {}}
    return server_settings(made, "db", texts.get, root=ROOT)


def values(**keys: Any) -> dict[str, str | None]:
    return {name: one.value for name, one in settings(**keys).items()}


CONF = "/etc/postgresql/postgresql.conf"
MOUNTED = {
    "command": ["postgres", "-c", f"config_file={CONF}"],
    "volumes": [bind("pg.conf", CONF)],
}


def read(text: str) -> dict[str, str | None]:
    """The settings of a configuration file with *text*."""
    found = values(files={"pg.conf": text}, **MOUNTED)
    return {name: value for name, value in found.items() if name != "config_file"}


# The command line


@pytest.mark.parametrize(
    "command",
    [["postgres", "-c", "fsync=off"], ["-cfsync=off"], ["postgres", "--fsync=off"], ["-F"]],
    ids=" ".join,
)
def test_every_spelling_on_the_command_line_is_read(command: list[str]) -> None:
    expected = ServerSetting("off", "command line", Source("compose"))

    assert settings(command=command) == {"fsync": expected}


def test_an_entrypoint_that_starts_the_server_is_read() -> None:
    found = values(entrypoint=["postgres", "-c", "jit=off"], command=["-c", "fsync=off"])

    assert found == {"fsync": "off", "jit": "off"}


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"image": "redis", "command": ["-c", "a=b"]}, id="other-image"),
        pytest.param({"command": ["psql", "-c", "a=b"]}, id="other-program"),
    ],
)
def test_what_starts_no_server_has_no_settings(keys: dict[str, Any]) -> None:
    assert values(**keys, environment={"POSTGRES_INITDB_ARGS": "-c fsync=off"}) == {}


# initdb


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-c fsync=off", {"fsync": "off"}),
        ("--set fsync=off --set=jit=on", {"fsync": "off", "jit": "on"}),
        ("-E UTF8 --locale=C", {"initdb --encoding": "UTF8", "initdb --locale": "C"}),
        ("-k -A trust", {"initdb --data-checksums": None, "initdb --auth": "trust"}),
        ("--pwfile=/run/hunter2 -W", {}),
        ("--set 'DateStyle=ISO, DMY'", {"datestyle": "ISO, DMY"}),
        ("--invented=1", {"initdb": "--invented=1"}),
        ("'open", {"initdb": "'open"}),
        ("", {}),
    ],
)
def test_arguments_of_initdb_are_settings(arguments: str, expected: dict[str, str | None]) -> None:
    assert values(environment={"POSTGRES_INITDB_ARGS": arguments}) == expected


# Files


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fsync = off", {"fsync": "off"}),
        ("fsync off # why", {"fsync": "off"}),
        ("fsync=off#why", {"fsync": "off"}),
        ("  FSYNC='off'", {"fsync": "off"}),
        ("log_line_prefix = '%m it''s # \\'x\\' \\101'", {"log_line_prefix": "%m it's # 'x' A"}),
        ("pg_stat_statements.max = 100", {"pg_stat_statements.max": "100"}),
        ("work_mem = 16MB\nwork_mem = 32MB", {"work_mem": "32MB"}),
        ("a=1\r\n", {"a": "1"}),
        ("# fsync = off", {}),
        ("fsync", {}),
        ("fsync = 'open", {}),
        ("a b c", {}),
    ],
)
def test_a_line_is_read_as_the_server_reads_it(line: str, expected: dict[str, str]) -> None:
    assert read(line) == expected


def test_a_file_and_line_are_named() -> None:
    found = settings(files={"pg.conf": "# head\nfsync = off\n"}, **MOUNTED)

    assert found["fsync"].source == Source("compose", "pg.conf", 2)


def test_the_command_line_wins_over_files_and_they_over_initdb() -> None:
    files = {
        "pg/postgresql.conf": "a=file\nb=file\nc=file",
        "pg/postgresql.auto.conf": "a=auto\nb=auto",
    }

    found = settings(
        files=files,
        volumes=[bind("pg", DATA)],
        command=["-c", "a=command"],
        environment={"POSTGRES_INITDB_ARGS": "-c c=initdb -c d=initdb --encoding=UTF8"},
    )

    assert {name: (one.value, one.origin) for name, one in found.items()} == {
        "a": ("command", "command line"),
        "b": ("auto", "auto.conf"),
        "c": ("file", "configuration file"),
        "initdb --encoding": ("UTF8", "initdb"),
    }


def test_another_file_leaves_nothing_of_what_initdb_wrote() -> None:
    environment = {"POSTGRES_INITDB_ARGS": "-c jit=off"}

    found = values(files={"pg.conf": "fsync=off"}, environment=environment, **MOUNTED)

    assert found == {"config_file": CONF, "fsync": "off"}


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        pytest.param(
            {"volumes": [bind("pg.conf", f"{DATA}/postgresql.conf")]}, "pg.conf", id="data"
        ),
        pytest.param({"volumes": [bind("pg.conf", CONF)]}, "pg.conf", id="etc"),
        pytest.param(
            {"volumes": [bind("conf", "/etc/postgresql")]}, "conf/postgresql.conf", id="etc-folder"
        ),
        pytest.param(
            {"volumes": [bind("pg.conf", "/pg/postgresql.conf")], "environment": {"PGDATA": "/pg"}},
            "pg.conf",
            id="pgdata",
        ),
        pytest.param(
            {"volumes": [bind("pg.conf", "/pg/postgresql.conf")], "command": ["-D", "/pg"]},
            "pg.conf",
            id="option",
        ),
        pytest.param(
            {"volumes": [bind("pg.conf", "/var/lib/postgresql/18/docker/postgresql.conf")]},
            "pg.conf",
            id="versioned",
        ),
        pytest.param({"configs": [{"source": "pg", "target": CONF}]}, "pg.conf", id="config"),
    ],
)
def test_the_file_is_found_where_it_is_laid(keys: dict[str, Any], name: str) -> None:
    service = {"image": "postgres:17", **keys}
    made = {"services": {"db": service}, "configs": {"pg": {"file": "/project/pg.conf"}}}

    found = server_settings(made, "db", {ROOT / name: "fsync=off"}.get, root=ROOT)

    assert found["fsync"].value == "off"


def test_included_files_are_read_in_their_place() -> None:
    files = {
        "conf/postgresql.conf": "a=1\ninclude 'more.conf'\nb=last\n",
        "conf/more.conf": "a=2\nb=2\ninclude_if_exists 'absent.conf'\n",
    }

    found = values(
        files=files,
        command=["-c", f"config_file={CONF}"],
        volumes=[bind("conf", "/etc/postgresql")],
    )

    assert found == {
        "a": "2",
        "b": "last",
        "config_file": CONF,
        "include_if_exists /etc/postgresql/absent.conf": NOT_READ,
    }


def test_a_folder_is_read_as_far_as_its_files_are_mounted() -> None:
    main = {"pg.conf": "include_dir 'conf.d'", "b.conf": "a=b", "a.conf": "a=a"}
    folder = "/etc/postgresql/conf.d"
    volumes = [
        *MOUNTED["volumes"],
        bind("b.conf", f"{folder}/b.conf"),
        bind("a.conf", f"{folder}/a.conf"),
    ]

    found = values(files=main, command=MOUNTED["command"], volumes=volumes)

    assert found["a"] == "b"


def test_a_file_that_includes_itself_ends() -> None:
    assert read("include 'postgresql.conf'\na=1") == {"a": "1"}


def test_a_file_that_is_not_here_is_said_to_be_unread() -> None:
    assert values(command=["-c", "config_file=/in/the/image.conf"]) == {
        "config_file": "/in/the/image.conf",
        "include /in/the/image.conf": NOT_READ,
    }


def test_a_tmpfs_covers_what_a_mount_lays_below_it() -> None:
    found = values(
        files={"pg/data/postgresql.conf": "fsync=off"},
        volumes=[bind("pg", "/var/lib/postgresql")],
        tmpfs=[DATA],
    )

    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "primary_conninfo = 'host=a password=hunter2'",
        "archive_command = 'curl -u a:hunter2 x'",
        "ssl_passphrase_command = 'echo hunter2'",
        "app.password = 'hunter2'",
        "app.url = 'postgres://a:hunter2@db/x'",
    ],
)
def test_no_password_is_in_a_setting(line: str) -> None:
    found = settings(files={"pg.conf": line}, **MOUNTED)

    shown = [one.value for name, one in found.items() if name != "config_file"]
    assert shown == [HIDDEN]


def test_what_the_command_line_sets_is_no_item_again() -> None:
    items = setting_items(settings(files={"pg.conf": "fsync = off"}, **MOUNTED))

    expected = Item("other", "postgresql.fsync", "off", source=Source("compose", "pg.conf", 1))
    assert items == (expected,)


# Receipts


def receipt(*recorded: tuple[str, str]) -> Mapping[str, Any]:
    rows = [{"name": n, "value": v, "source": "command line", "file": ""} for n, v in recorded]
    return {"predicate": {"annotations": {"database_settings": rows}}}


def test_a_receipt_tells_the_servers_settings() -> None:
    made = receipt(("shared_buffers", "16384 8kB"), ("fsync", "off"), ("a.password", "hunter2"))

    assert list(from_receipt(made).items()) == [
        ("a.password", HIDDEN),
        ("fsync", "off"),
        ("shared_buffers", "16384 8kB"),
    ]
    assert receipt_items(receipt(("fsync", "off"))) == (Item("other", "pg_settings.fsync", "off"),)


@pytest.mark.parametrize("made", [{}, {"predicate": None}, {"predicate": {"annotations": {}}}])
def test_a_receipt_without_settings_tells_none(made: dict[str, Any]) -> None:
    assert from_receipt(made) == {}


# What may be shown


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "off"),
        ("pg_settings.synchronous_commit", "remote_apply"),
        ("postgresql.work_mem", "16MB"),
        ("shared_buffers", "16384 8kB"),
        ("random_page_cost", "1.1"),
        ("log_min_duration_statement", "-1"),
        ("TimeZone", "Etc/UTC"),
        ("DateStyle", "ISO, MDY"),
        ("wal_level", "minimal"),
        ("huge_pages", "try"),
        ("default_transaction_isolation", "read committed"),
        ("entrypoint jit", "TRUE"),
        ("postgresql.initdb --encoding", "UTF8"),
        ("log_statement", "all"),
    ],
)
def test_words_and_numbers_of_known_settings_are_shown(setting: str, value: str) -> None:
    assert is_showable(setting, value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("app.password", "off", id="unknown-name"),
        pytest.param("--password", "1234", id="flag-of-another-program"),
        pytest.param("word 2", "on", id="word"),
        pytest.param("primary_conninfo", "on", id="connection"),
        pytest.param("ssl_passphrase_command", "1", id="command"),
        pytest.param("log_directory", "hunter2", id="text"),
        pytest.param("work_mem", "16MB hunter2", id="more-than-a-number"),
        pytest.param("log_statement", "all, hunter2", id="more-than-a-word"),
        pytest.param("log_statement", "", id="empty"),
        pytest.param("fsync", "off\n", id="line-end"),
    ],
)
def test_nothing_else_is_shown(setting: str, value: str) -> None:
    assert not is_showable(setting, value)
