"""What a PostgreSQL server is set to: its command, its files, its initdb. Pure.

Files are read through a function that is handed in. No password is in here: a
setting that may hold one is said to be hidden, as in receipts.
"""

from __future__ import annotations

import getopt
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from unstale.compose import MODEL, unescaped
from unstale.mask import is_secret
from unstale.parity.containers import says_postgres
from unstale.parity.flags import flag_map, is_postgres_command, setting_name
from unstale.parity.model import Item, Source

__all__ = [
    "HIDDEN",
    "NOT_READ",
    "SHOWABLE",
    "Origin",
    "ServerSetting",
    "from_receipt",
    "is_showable",
    "receipt_items",
    "server_settings",
    "setting_items",
]

HIDDEN: Final = "(hidden)"
"""The value of a setting that may hold a password."""
NOT_READ: Final = "(not read)"
"""The value of an ``include`` of a file that is not known here."""

Origin = Literal["command line", "auto.conf", "configuration file", "initdb"]
"""Who sets it; the first in this order wins."""

# Compose's model and a receipt are JSON of many shapes; they are narrowed here.
Json = Mapping[str, Any]
Read = Callable[[Path], str | None]


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """What one setting of a server is, and who says so."""

    value: str | None = field(repr=False)
    """None for a bare flag of initdb, like ``--no-sync``."""
    origin: Origin
    source: Source


@MODEL
def server_settings(
    model: Json, service: str, read: Read, *, root: Path
) -> Mapping[str, ServerSetting]:
    """The settings of the PostgreSQL server that *service* starts, by name.

    Of several places the one that PostgreSQL obeys is told: the command line,
    then ``postgresql.auto.conf``, the configuration file with what it includes,
    and last what initdb wrote. Names are in small letters. What initdb alone
    knows is called ``initdb --encoding``. An included file that *read* does not
    have is called ``include PATH``, `NOT_READ`.

    *model* is the JSON of ``docker compose config``, *read* gives a file's text
    or None. Paths in sources are relative to *root*. Empty if the service's
    command starts no server. Files that the image brings are not read.

    Raises:
        Unavailable: *model* is of another form.

    """
    plain = unescaped(model)
    raw = (plain.get("services") or {}).get(service) or {}
    tokens = _tokens(raw)
    is_image = says_postgres(service, raw)
    if not (is_postgres_command(tokens, says_postgres=is_image) if tokens else is_image):
        return {}
    command = flag_map(tokens, says_postgres=is_image)
    disk = _Disk(_files(plain, raw), read, root)
    found = dict(_of_initdb(raw))
    main = _Main.found(command, raw, disk)
    if main.is_replaced:
        found = {name: one for name, one in found.items() if name.startswith("initdb")}
    found.update(_of_files(main, disk))
    found.update(_of_command(command))
    return dict(sorted(found.items()))


def setting_items(settings: Mapping[str, ServerSetting]) -> tuple[Item, ...]:
    """Items of ``other`` for what files and initdb set, called ``postgresql.NAME``.

    What the command line sets is among the items of the command already.
    """
    return tuple(
        Item("other", f"postgresql.{name}", one.value, source=one.source)
        for name, one in sorted(settings.items())
        if one.origin != "command line"
    )


def from_receipt(receipt: Json) -> Mapping[str, str]:
    """The server's settings as *receipt* recorded them, by name; empty if it has none.

    They are what is not by default, with units: ``16384 8kB``.
    """
    predicate = receipt.get("predicate") or {}
    recorded = (predicate.get("annotations") or {}).get("database_settings") or ()
    return {
        name: _shown(name, value)
        for name, value in sorted((str(one["name"]), str(one["value"])) for one in recorded)
    }


def receipt_items(receipt: Json) -> tuple[Item, ...]:
    """Items of ``other`` for `from_receipt`, called ``pg_settings.NAME``."""
    found = from_receipt(receipt).items()
    return tuple(Item("other", f"pg_settings.{name}", value) for name, value in found)


def _shown(name: str, value: str) -> str:
    # A connection string or a command may carry a password.
    may_tell = "conninfo" in name or name.endswith("_command") or is_secret(name, value)
    return HIDDEN if may_tell and value and not is_showable(name, value) else value


# The command line


def _tokens(raw: Json) -> list[str]:
    entrypoint, command = (_words(raw.get(key)) for key in ("entrypoint", "command"))
    return [*entrypoint, *command] if is_postgres_command(entrypoint) else command


def _words(value: Any) -> list[str]:  # noqa: ANN401 - see Json
    return shlex.split(value) if isinstance(value, str) else [str(one) for one in value or ()]


def _of_command(command: Mapping[str, str | None]) -> Iterator[tuple[str, ServerSetting]]:
    for name, value in command.items():
        if not name.startswith(("-", "word ")):
            yield name, _setting(name, value, "command line", Source("compose"))


def _setting(name: str, value: str | None, origin: Origin, source: Source) -> ServerSetting:
    return ServerSetting(None if value is None else _shown(name, value), origin, source)


# initdb

_INITDB_SHORT: Final = {
    "-A": "--auth",
    "-D": "--pgdata",
    "-E": "--encoding",
    "-L": "--input-directory",
    "-N": "--no-sync",
    "-S": "--sync-only",
    "-T": "--text-search-config",
    "-U": "--username",
    "-X": "--waldir",
    "-d": "--debug",
    "-g": "--allow-group-access",
    "-k": "--data-checksums",
    "-n": "--no-clean",
    "-s": "--show",
}
_INITDB_LONG: Final = (
    "auth=", "auth-host=", "auth-local=", "pgdata=", "encoding=", "locale=", "lc-collate=",
    "lc-ctype=", "lc-messages=", "lc-monetary=", "lc-numeric=", "lc-time=", "no-locale",
    "locale-provider=", "builtin-locale=", "icu-locale=", "icu-rules=", "text-search-config=",
    "username=", "pwfile=", "pwprompt", "waldir=", "wal-segsize=", "set=", "allow-group-access",
    "data-checksums", "no-data-checksums", "no-instructions", "no-sync", "sync-method=",
    "sync-only", "no-clean", "debug", "discard-caches", "show", "input-directory=",
)  # fmt: skip


def _of_initdb(raw: Json) -> Iterator[tuple[str, ServerSetting]]:
    variable = "POSTGRES_INITDB_ARGS"
    text = (raw.get("environment") or {}).get(variable)
    source = Source("environment", variable=variable)
    for name, value in _initdb(str(text)) if text else ():
        yield name, _setting(name, value, "initdb", source)


def _initdb(text: str) -> Iterator[tuple[str, str | None]]:
    try:
        tokens = shlex.split(text)
        options, _ = getopt.gnu_getopt(tokens, "A:D:E:L:NST:U:WX:c:dgknsV", [*_INITDB_LONG])
    except (ValueError, getopt.GetoptError):
        # initdb will refuse it as well, or be newer than this list.
        yield "initdb", text
        return
    for option, value in options:
        name = _INITDB_SHORT.get(option, option)
        takes = f"{name.removeprefix('--')}=" in _INITDB_LONG
        if option in ("-c", "--set"):
            setting, _, given = value.partition("=")
            yield setting_name(setting), given
        elif name not in ("--pwfile", "--pwprompt", "-W"):
            yield f"initdb {name}", value if takes else None


# Configuration files

_DATA: Final = "/var/lib/postgresql"
_DEEPEST: Final = 10  # as in guc-file.l: one that includes itself is an error there
# A name, an optional =, a value in quotes or none, and a comment.
_LINE = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?)\s*(?:=\s*|\s)"
    r"(?:'(?P<quoted>(?:[^'\\]|''|\\.)*)'|(?P<plain>[^\s'#]+))\s*(?:#.*)?"
)
_ESCAPE = re.compile(r"''|\\(?P<octal>[0-7]{1,3})|\\(?P<letter>.)")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class _Disk:
    """What lies where in the container, as far as compose knows."""

    files: Mapping[str, Path | None]
    """Targets to places on this machine; None for what is not from here."""
    read: Read
    root: Path

    def place(self, path: str) -> Path | None:
        """Where the file at *path* is on this machine."""
        for folder in (path, *map(str, PurePosixPath(path).parents)):
            if folder in self.files:
                place = self.files[folder]
                return place / posixpath.relpath(path, folder) if place else None
        return None

    def text(self, path: str) -> str | None:
        place = self.place(path)
        return self.read(place) if place else None

    def source(self, path: str, line: int) -> Source:
        place = self.place(path) or Path(path)
        inside = place.is_relative_to(self.root)
        shown = place.relative_to(self.root) if inside else place
        return Source("compose", shown.as_posix(), line)

    def below(self, folder: str) -> tuple[str, ...]:
        """The targets in *folder* that are called like a configuration file, sorted."""
        return tuple(
            path for path in sorted(self.files) if path.startswith(f"{folder}/") and _is_conf(path)
        )


def _is_conf(path: str) -> bool:
    return path.endswith(".conf") and not path.endswith(("/pg_hba.conf", "/pg_ident.conf"))


def _files(model: Json, raw: Json) -> Mapping[str, Path | None]:
    tmpfs = raw.get("tmpfs") or ()
    places = [tmpfs] if isinstance(tmpfs, str) else tmpfs
    found: dict[str, Path | None] = {place.partition(":")[0]: None for place in places}
    for mount in raw.get("volumes") or ():
        is_here = mount["type"] == "bind"
        found[posixpath.normpath(mount["target"])] = Path(mount["source"]) if is_here else None
    for one in raw.get("configs") or ():
        target = posixpath.join("/", str(one.get("target") or one["source"]))
        file = ((model.get("configs") or {}).get(one["source"]) or {}).get("file")
        found[posixpath.normpath(target)] = Path(file) if file else None
    return found


@dataclass(frozen=True, slots=True)
class _Main:
    """Where the server begins to read."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    """Where the data may be."""
    is_replaced: bool
    """Whether it is not the file that initdb wrote."""

    @classmethod
    def found(cls, command: Mapping[str, str | None], raw: Json, disk: _Disk) -> _Main:
        """As the command says, or what is laid over initdb's, or an image may look for."""
        data = command.get("-D") or (raw.get("environment") or {}).get("PGDATA")
        folders = (str(data),) if data else _folders(disk)
        usual = tuple(f"{folder}/postgresql.conf" for folder in folders)
        laid = tuple(path for path in usual if disk.text(path) is not None)
        named = command.get("config_file")
        if named:
            return cls((named,), folders, is_replaced=named not in usual or named in laid)
        return cls(laid or _others(disk), folders, is_replaced=bool(laid))


def _of_files(main: _Main, disk: _Disk) -> Iterator[tuple[str, ServerSetting]]:
    """What the configuration files say, what wins last."""
    for path in main.files:
        yield from _parsed(path, disk, "configuration file")
        if main.is_replaced and disk.text(path) is None:
            source = Source("compose")
            yield f"include {path}", ServerSetting(NOT_READ, "configuration file", source)
    for folder in main.folders:
        yield from _parsed(f"{folder}/postgresql.auto.conf", disk, "auto.conf")


def _others(disk: _Disk) -> tuple[str, ...]:
    folder = "/etc/postgresql"
    return disk.below(folder) or (f"{folder}/postgresql.conf",)


def _folders(disk: _Disk) -> tuple[str, ...]:
    """Where the data may be: which folder it is depends on the image."""
    usual = {f"{_DATA}/data"}
    mounted = {
        posixpath.dirname(path) if _is_conf(path) else path
        for path in disk.files
        if path.startswith(f"{_DATA}/")
    }
    return tuple(sorted(usual | mounted))


def _parsed(
    path: str, disk: _Disk, origin: Origin, depth: int = 0
) -> Iterator[tuple[str, ServerSetting]]:
    text = disk.text(path) if depth < _DEEPEST else None
    for number, line in enumerate((text or "").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name, value = match["name"].lower(), _unquoted(match)
        source = disk.source(path, number)
        if name in ("include", "include_if_exists", "include_dir"):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), value))
            yield from _included(name, target, disk, origin, depth, source)
        else:
            yield name, _setting(name, value, origin, source)


def _included(
    name: str, target: str, disk: _Disk, origin: Origin, depth: int, source: Source
) -> Iterator[tuple[str, ServerSetting]]:
    paths = disk.below(target) if name == "include_dir" else (target,)
    known = [path for path in paths if disk.text(path) is not None]
    if not known:
        yield f"{name} {target}", ServerSetting(NOT_READ, origin, source)
    for path in known:
        yield from _parsed(path, disk, origin, depth + 1)


def _unquoted(line: re.Match[str]) -> str:
    plain, quoted = line["plain"], line["quoted"]
    return plain if quoted is None else _ESCAPE.sub(_character, quoted)


def _character(found: re.Match[str]) -> str:
    if found["octal"]:
        return chr(int(found["octal"], 8) & 0xFF)
    letter = found["letter"]
    return _ESCAPES.get(letter, letter) if letter else "'"


# What may be shown

SHOWABLE: Final = re.compile(
    r"(?:array_nulls|autovacuum|backend|backslash|bgwriter|bytea|checkpoint|commit|compute"
    r"|constraint|cpu|cursor|deadlock|default_(?:statistics|toast|transaction)"
    r"|dynamic_shared|effective|enable|escape_string|extra_float|from_collapse|geqo|gin"
    r"|check_function|client_connection|hash_mem|huge_page|huge_pages|idle|jit|join_collapse|log|logging|logical_decoding|maintenance|max"
    r"|min|parallel|plan_cache|random_page|recovery_min|row_security|seq_page|shared_memory"
    r"|standard_conforming|statement|stats_fetch|superuser_reserved|synchronize|synchronous|syslog"
    r"|tcp|temp|track|update_process|vacuum|wal|zero_damaged)(?:_\w+)?"
    r"|archive_mode|archive_timeout|authentication_timeout|client_encoding|client_min_messages"
    r"|data_checksums|datestyle|fsync|full_page_writes|hot_standby|hot_standby_feedback"
    r"|intervalstyle|io_method|io_workers|lc_\w+|lock_timeout|old_snapshot_threshold"
    r"|password_encryption|port|restart_after_crash|server_encoding|shared_buffers|ssl"
    r"|ssl_(?:min|max)_protocol_version|timezone|transaction_timeout|wal_level|work_mem"
    r"|transform_null_equals|session_replication_role|xmlbinary"
    r"|initdb --(?:data-checksums|no-data-checksums|encoding|locale|lc-\w+|locale-provider"
    r"|auth|auth-host|auth-local|wal-segsize|no-sync|no-locale)"
)
"""The names of settings whose values are words and numbers, and tell no secret."""

_NUMBER = re.compile(
    r"-?\d{1,18}(?:\.\d{1,10})?(?: ?\d{0,4}(?:B|kB|MB|GB|TB|us|ms|s|min|h|d))?", re.ASCII
)
_WORDS: Final = frozenset({
    "all", "always", "auto", "base64", "builtin", "c", "c.utf-8", "c.utf8", "cache", "content",
    "csvlog", "ddl", "debug", "debug1", "debug2", "debug3", "debug4", "debug5", "default",
    "dmy", "document", "en_us.utf-8", "en_us.utf8", "error", "escape", "etc/gmt", "etc/utc",
    "eventlog", "false", "fatal", "fdatasync", "force_custom_plan", "force_generic_plan",
    "fsync", "fsync_writethrough", "gmt", "hex", "icu", "info", "io_uring", "iso", "iso_8601",
    "jsonlog", "latin1", "libc", "local", "local0", "local1", "local2", "log", "logical", "lz4",
    "md5", "mdy", "minimal", "mmap", "mod", "no", "none", "notice", "off", "on",
    "open_datasync", "open_sync", "origin", "panic", "partition", "pause", "peer", "pglz", "pl",
    "posix", "postgres", "postgres_verbose", "promote", "read committed", "read uncommitted",
    "reject", "remote", "remote_apply", "remote_write", "repeatable read", "replica",
    "safe_encoding", "scram-sha-256", "serializable", "shutdown", "snapshot", "sql_ascii",
    "sql_standard", "stderr", "sync", "syncfs", "syslog", "sysv", "terse", "tlsv1", "tlsv1.1",
    "tlsv1.2", "tlsv1.3", "true", "trust", "try", "unicode", "utc", "utf-8", "utf8", "verbose",
    "warning", "windows", "worker", "yes", "ymd", "zstd",
})  # fmt: skip
_PREFIX = re.compile(r"(?:entrypoint |postgresql\.|pg_settings\.)")


def is_showable(setting: str, value: str) -> bool:
    """Say whether *value* of a server's *setting* may be shown to anybody.

    It may if the name is a known one and the value is on or off, a number with
    or without a unit, or a word that PostgreSQL itself has for it. *setting* may
    be called as its item is, like ``pg_settings.fsync``.
    """
    name = _PREFIX.sub("", setting, count=1).lower()
    if not SHOWABLE.fullmatch(name):
        return False
    words = [word.strip(" ") for word in value.lower().split(",")]
    return bool(_NUMBER.fullmatch(value)) or all(word in _WORDS for word in words)
