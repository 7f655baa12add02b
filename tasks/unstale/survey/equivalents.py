"""What a command of a Makefile or script becomes. Pure: a table of rules, and their words.

What starts, builds, migrates and tests becomes a task; what waits, cleans up and checks is
a part of every run; what says where things are becomes configuration. What has nothing to
do with it stays where it is, and what can't be told is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from unstale.survey.script import Command, expanded

__all__ = ["Kind", "Meaning", "Said", "meaning"]


class Kind(Enum):
    """What becomes of a command."""

    TASK = "task"
    PART = "part"
    """Nothing has to be typed for it: every run does it."""
    KEPT = "kept"
    """Not about integration tests."""
    UNKNOWN = "not understood"


@dataclass(frozen=True, slots=True)
class Said:
    """Something that the configuration says from now on."""

    table: tuple[str, ...]
    key: str
    value: str | tuple[str, ...]
    line: int = 0
    path: str = ""
    """Another file, that the first one calls; empty: itself."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a command becomes."""

    kind: Kind
    task: str = ""
    """As it is typed, without ``inv``."""
    why: str = ""
    said: tuple[Said, ...] = field(default=())
    left: tuple[str, ...] = ()
    """Places in a called script that nothing replaces, as file and line."""


_PART, _TASK, _KEPT, _UNKNOWN = Kind.PART, Kind.TASK, Kind.KEPT, Kind.UNKNOWN
_REPORTS = "a report says it"
_QUIET = frozenset(
    {
        *("echo", "printf", "set", "cd", "pushd", "popd", "shift", "exit", "return", "true"),
        *("false", ":", "local", "export", "readonly", "declare", "typeset", "unset", "break"),
        *("continue", "shopt", "umask", "test", "[", "[[", "date", "tput", "clear", "source", "."),
        *("seq", "basename", "dirname", "pwd", "getopts", "getopt", "read", "tee", "command"),
        *("which", "type", "hash", "cat", "let", "wait"),
    }
)
_BEFORE = frozenset({"sudo", "exec", "time", "nice", "nohup", "env", "command", "builtin"})
_RUNNERS = {("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("pdm", "run"), ("hatch", "run")}
_OURS = re.compile(
    r"docker|compose|podman|alembic|pytest|psql|pg_|postgres|health|migrat|integration"
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_ENVIRONMENT = re.compile(
    r"(?:docker-)?compose[.-]([\w-]+)\.ya?ml$|\.env\.([\w-]+)$|(?:^|/)([\w-]+)\.env$"
)
_PYTHON = re.compile(r"(?:.*/)?python[\d.]*")
_VALUED = frozenset(
    {
        *("-f", "--file", "--env-file", "-p", "--project-name", "--profile", "--project-directory"),
        *("--ansi", "--progress", "--parallel", "-H", "--host", "--context", "-c"),
    }
)


def meaning(command: Command, values: Mapping[str, str], *, waits: bool = False) -> Meaning:
    """What *command* becomes; *values* are the variables that are known.

    *waits*: it stands in a loop that sleeps.
    """
    words = _bare(expanded(command.words, dict(values)))
    if waits:
        return _waiting(command, words)
    if not words:
        return _of_assignment(command, values)
    piped = tuple(_bare(expanded(one.words, dict(values))) for one in command.piped)
    found = _found(words, piped)
    if found is None and command.inner and words[0] in _QUIET:
        found = _inner(command, values)
    if found is None:
        return _rest(words, command)
    return replace(found, said=tuple(replace(one, line=command.line) for one in found.said))


def _waiting(command: Command, words: tuple[str, ...]) -> Meaning:
    """A part of a loop that waits; it still says where the database is."""
    found = _found(words, ()) if words else None
    said = tuple(replace(one, line=command.line) for one in (found.said if found else ()))
    why = "a run waits by itself, and asks the server that the tests use"
    return Meaning(_PART, why=why, said=said)


def _of_assignment(command: Command, values: Mapping[str, str]) -> Meaning:
    """A variable is set: to what a command says, or to a text."""
    return _inner(command, values) or Meaning(_PART, why="a variable of the script")


def _inner(command: Command, values: Mapping[str, str]) -> Meaning | None:
    found = [meaning(one, values) for one in command.inner]
    order = [_TASK, _UNKNOWN, _PART, _KEPT]
    return min(found, key=lambda one: order.index(one.kind), default=None)


def _rest(words: Sequence[str], command: Command) -> Meaning:
    if words[0] in _QUIET and not command.piped:
        return Meaning(_PART, why=_REPORTS if words[0] in ("echo", "printf", "cat") else "shell")
    if _OURS.search(command.text) or "$" in words[0] or words[0] == "eval":
        return Meaning(_UNKNOWN, why="what it does can't be told from its text")
    return Meaning(_KEPT, why="not about integration tests")


def _bare(words: Sequence[str]) -> tuple[str, ...]:
    """*words* from the program on, without what only stands in front of it."""
    left = list(words)
    while left:
        head = left[0]
        if _ASSIGNMENT.match(head) or (head in _BEFORE and head != "command") or head in ("!", "@"):
            left.pop(0)
        elif head == "timeout" and len(left) > 2:
            left = _after_timeout(left[1:])
        elif tuple(left[:2]) in _RUNNERS or (
            re.fullmatch(r"(?:.*/)?python[\d.]*", head) and left[1:2] == ["-m"]
        ):
            left = left[2:]
        else:
            break
    return tuple(left)


def _after_timeout(words: list[str]) -> list[str]:
    """What a ``timeout`` ends, behind its options and the seconds."""
    left = list(words)
    while left and left[0].startswith("-"):
        takes = left[0] in ("-k", "-s", "--kill-after", "--signal")
        left = left[2:] if takes else left[1:]
    return left[1:]


def _found(words: tuple[str, ...], piped: Sequence[tuple[str, ...]]) -> Meaning | None:
    name = words[0].rpartition("/")[2]
    if name == "trap":
        return Meaning(_PART, why="a run removes its stack whatever ends it")
    if words[:2] == ("command", "-v") or name in ("which", "type", "hash"):
        return (
            Meaning(_PART, why="a run looks for docker and its plugins first")
            if "docker" in words[-1]
            else None
        )
    if name in ("docker-compose", "podman-compose"):
        return _compose(words[1:])
    if name in ("docker", "podman"):
        return _compose(words[2:]) if words[1:2] == ("compose",) else _docker(words[1:], piped)
    simple: dict[str, Callable[[], Meaning | None]] = {
        "pytest": lambda: _local_tests(words[1:]),
        "alembic": lambda: _alembic(words),
        "git": lambda: _git(words[1:]),
        "diff": lambda: _diff(words[1:]),
        "comm": lambda: _diff(words[1:]),
        "pg_isready": lambda: Meaning(_PART, why=_WAITS),
        "nc": lambda: Meaning(_PART, why=_WAITS),
        "wait-for-it": lambda: Meaning(_PART, why=_WAITS),
        "wait-for-it.sh": lambda: Meaning(_PART, why=_WAITS),
        "sleep": lambda: Meaning(_PART, why=_WAITS),
    }
    return simple[name]() if name in simple else None


_WAITS = "a run waits by itself"


# --- docker compose -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """A command line of compose: its own options, the verb, and the verb's."""

    said: tuple[Said, ...]
    verb: str
    flags: Mapping[str, str]
    rest: tuple[str, ...]


_TAKES = {
    "exec": frozenset({"-u", "--user", "-e", "--env", "-w", "--workdir", "--index"}),
    "run": frozenset(
        {
            *("-u", "--user", "-e", "--env", "-w", "--workdir", "--name", "-v", "--volume", "-p"),
            *("--publish", "--entrypoint", "-l", "--label", "--pull"),
        }
    ),
    "up": frozenset({"--exit-code-from", "--scale", "-t", "--timeout", "--wait-timeout", "--pull"}),
    "build": frozenset({"--build-arg", "-m", "--memory", "--ssh", "--builder", "--progress"}),
    "down": frozenset({"-t", "--timeout", "--rmi"}),
    "logs": frozenset({"--tail", "-n", "--since", "--until"}),
}


def _compose(words: Sequence[str]) -> Meaning:
    line = _line(words)
    rules: dict[str, Callable[[_Line], Meaning]] = {
        "build": _build,
        "up": _up,
        "exec": _inside,
        "run": _inside,
        "down": lambda one: _task(one, "stack.down"),
        "stop": lambda one: _task(one, "stack.down"),
        "kill": lambda one: _task(one, "stack.down"),
        "rm": lambda one: _task(one, "stack.down"),
        "start": lambda one: _task(one, "stack.up"),
        "restart": lambda one: _task(one, "stack.down stack.up"),
        "ps": lambda one: _task(one, "stack.status"),
        "port": lambda one: _task(one, "stack.status"),
        "top": lambda one: _task(one, "stack.status"),
        "logs": lambda one: _task(
            one, "stack.logs" + (" --follow" if _has(one, "-f", "--follow") else "")
        ),
        "pull": lambda one: _task(one, "image.build --pull"),
        "images": lambda one: _task(one, "image.list"),
        "wait": lambda one: _part(one, _WAITS),
        "config": lambda one: _part(one, "every task asks compose for its model"),
        "version": lambda one: _part(one, "a run looks for docker and its plugins first"),
    }
    if line.verb in rules:
        return rules[line.verb](line)
    return Meaning(
        _UNKNOWN, why=f"compose's {line.verb or 'options'}: nothing here does that", said=line.said
    )


def _line(words: Sequence[str]) -> _Line:
    left, options = list(words), list[tuple[str, str]]()
    while left and left[0].startswith("-"):
        flag, _, value = left.pop(0).partition("=")
        if flag in _VALUED and not value:
            value = left.pop(0) if left else ""
        options.append((flag, value))
    verb = left.pop(0) if left else ""
    flags, taken = dict[str, str](), _TAKES.get(verb, frozenset())
    while left and left[0].startswith("-"):
        flag, _, value = left.pop(0).partition("=")
        if flag in taken and not value:
            value = left.pop(0) if left else ""
        if flag == "--build-arg":
            value = " ".join(filter(None, (flags.get(flag, ""), value)))
        flags[flag] = value
    if verb in ("up", "build", "down", "logs"):  # whose options may come later, too
        later = [word for word in left if word.startswith("-")]
        flags |= {word.partition("=")[0]: word.partition("=")[2] for word in later}
        left = [word for word in left if not word.startswith("-")]
    return _Line(tuple(_environment(options)), verb, flags, tuple(left))


def _environment(options: Sequence[tuple[str, str]]) -> Iterator[Said]:
    """What the options of compose say of an environment, under the name its files have."""
    files = tuple(v for flag, v in options if flag in ("-f", "--file") and _is_plain(v))
    env_files = tuple(v for flag, v in options if flag == "--env-file" and _is_plain(v))
    profiles = tuple(v for flag, v in options if flag == "--profile" and _is_plain(v))
    names = [found for one in (*reversed(files), *env_files) if (found := _ENVIRONMENT.search(one))]
    name = next((next(filter(None, found.groups())) for found in names), "test")
    table = ("environments", name)
    if files:
        yield Said(table, "compose-files", files)
    if env_files:
        yield Said(table, "env-file", env_files[0] if len(env_files) == 1 else env_files)
    if profiles and "*" not in profiles:
        yield Said(table, "profiles", profiles)


def _is_plain(word: str) -> bool:
    return bool(word) and "$" not in word and not word.startswith("/")


def _has(line: _Line, *flags: str) -> bool:
    return any(flag in line.flags for flag in flags)


def _task(line: _Line, task: str, *said: Said) -> Meaning:
    return Meaning(_TASK, task, said=(*line.said, *said))


def _part(line: _Line, why: str) -> Meaning:
    return Meaning(_PART, why=why, said=line.said)


def _build(line: _Line) -> Meaning:
    services = [word for word in line.rest if "$" not in word]
    options = ["--no-cache"] if _has(line, "--no-cache") else []
    options += ["--pull"] if _has(line, "--pull") else []
    options += [f"--build-arg {one}" for one in line.flags.get("--build-arg", "").split()]
    options += [f"--service {one}" for one in services]
    if not services and not any(one.startswith("--build-arg") for one in options):
        options.insert(0, "--all")
    return _task(line, " ".join(("image.build", *options)))


def _up(line: _Line) -> Meaning:
    service = line.flags.get("--exit-code-from", "")
    if service or _has(line, "--abort-on-container-exit"):
        said = [_role(line, "runner", service)] if _is_plain(service) else []
        return _task(line, "image.build test.run" if _has(line, "--build") else "test.run", *said)
    return _task(line, "image.build --all stack.up" if _has(line, "--build") else "stack.up")


def _role(line: _Line, role: str, service: str) -> Said:
    table = next((one.table for one in line.said), ("environments", "test"))
    return Said(table, role, service)


def _inside(line: _Line) -> Meaning:  # noqa: PLR0911 - a program, an answer
    """Something is run in a service."""
    service, command = (line.rest[0] if line.rest else ""), _bare(line.rest[1:])
    if command[:2] in (("sh", "-c"), ("bash", "-c"), ("bash", "-lc")) and len(command) > 2:
        command = _bare(tuple(command[2].split()))
    name = command[0].rpartition("/")[2] if command else ""
    known = _is_plain(service)
    match name:
        case "pytest":
            roles = [_role(line, "runner", service)] if known else []
            return _task(line, "test.run", *roles, *_arguments(command[1:]))
        case "alembic":
            found = _alembic(command)
            if found.task == "db.migrate" and known:
                found = replace(found, said=(*found.said, Said(("schema",), "service", service)))
            return replace(found, said=(*line.said, *found.said))
        case "pg_isready":
            said = (_role(line, "database", service),) if known else ()
            return Meaning(_PART, why=_WAITS, said=(*line.said, *said))
        case "psql":
            roles = [_role(line, "database", service)] if known else []
            return _task(line, _psql(command[1:]), *roles)
        case "cat" | "grep" | "ls" | "test":
            return _task(line, _looked(command))
        case "printenv" | "env":
            return Meaning(_TASK, "env.matrix", said=line.said)
        case _:
            if line.verb == "run" and not command and known:
                return _task(line, "test.run", _role(line, "runner", service))
            return Meaning(_UNKNOWN, why="what runs in the service can't be told", said=line.said)


def _arguments(words: Sequence[str]) -> Iterator[Said]:
    """What pytest is given, whatever else is typed, becomes the suite."""
    fixed = tuple(word for word in words if "$" not in word)
    open_ = [word for word in words if "$" in word]
    if fixed and all(re.fullmatch(r"\$[@*]|\$\{.*\}", word) for word in open_):
        yield Said(("suites",), "integration", fixed)


def _psql(words: Sequence[str]) -> str:
    text = " ".join(words)
    if re.search(r"\\dt", text):
        return "db.tables"
    if "alembic_version" in text:
        return "db.status"
    if re.search(r"pg_settings|\bSHOW\b", text, re.IGNORECASE):
        return "db.settings"
    if "-c" in words and words.index("-c") + 1 < len(words):
        statement = words[words.index("-c") + 1].replace('"', '\\"')
        return f'db.shell -- -c "{statement}"'
    return "db.shell"


def _looked(command: Sequence[str]) -> str:
    """A file of an image is looked into."""
    name, words = command[0].rpartition("/")[2], [w for w in command[1:] if not w.startswith("-")]
    if name == "grep" and words:
        return " ".join(
            ("image.verify", _pattern(command), *(f"--path {one}" for one in words[1:2]))
        )
    return " ".join(("image.verify", *(f"--path {one}" for one in words[:1])))


def _pattern(grep: Sequence[str]) -> str:
    words = [word for word in grep[1:] if not word.startswith("-")]
    flags = "".join(word[1:] for word in grep[1:] if word.startswith("-") and word[1:2] != "-")
    text = words[0] if words else ""
    shown = f'"{text}"' if re.search(r"[^\w./:=-]", text) else text
    is_pattern = (
        "E" in flags or "P" in flags or ("F" not in flags and re.search(r"[\[\]*^$\\]", text))
    )
    return f"--regex {shown}" if is_pattern else f"--grep {shown}"


# --- docker ---------------------------------------------------------------------------


def _docker(words: tuple[str, ...], piped: Sequence[tuple[str, ...]]) -> Meaning:
    verb, rest = (words[0] if words else ""), words[1:]
    if verb in _GROUPS and rest:
        name, rest = f"{verb} {rest[0]}", rest[1:]
        name = name.removeprefix("image ") if name in ("image inspect", "image build") else name
        name = name.removeprefix("container ")
    else:
        name = verb
    if name in _DOCKER:
        return _DOCKER[name]
    match name:
        case "inspect":
            return _inspected(" ".join(words), verb)
        case "run":
            return _one_off(rest, piped)
        case "exec":
            return _in_container(rest)
        case "build" | "buildx build":
            options = " --no-cache" if "--no-cache" in rest else ""
            return Meaning(_TASK, f"image.build{options}", "if a service of the stack builds it")
        case _:
            return Meaning(_UNKNOWN, why=f"docker {name}: nothing here does that")


_GROUPS = ("image", "container", "volume", "network", "system", "buildx", "builder")
_LOOKED_FOR = Meaning(_PART, why="a run looks for docker and its plugins first")
_TOO_WIDE = Meaning(
    _UNKNOWN,
    why="it removes what others made, too; stack.down, stack.reap and image.clean remove only"
    " what unstale made",
)
_DOCKER = {
    **dict.fromkeys(("info", "version", "system info"), _LOOKED_FOR),
    **dict.fromkeys(("images", "image ls", "image list"), Meaning(_TASK, "image.list")),
    **dict.fromkeys(("history", "image history"), Meaning(_TASK, "image.list --history")),
    **dict.fromkeys(("rmi", "image rm"), Meaning(_TASK, "image.clean")),
    **dict.fromkeys(("ps", "ls", "list"), Meaning(_TASK, "stack.status")),
    **dict.fromkeys(("rm", "stop", "kill"), Meaning(_TASK, "stack.down")),
    **dict.fromkeys(("volume rm", "volume prune", "network rm", "network prune"), _TOO_WIDE),
    **dict.fromkeys(("system prune", "image prune", "builder prune", "prune"), _TOO_WIDE),
    "logs": Meaning(_TASK, "stack.logs"),
    "pull": Meaning(_TASK, "image.build --pull"),
}


def _inspected(text: str, group: str) -> Meaning:
    if "Created" in text:
        return Meaning(
            _TASK, "image.status", "built from what is here, by content; not by time alone"
        )
    if "Health" in text or "State" in text:
        return Meaning(_PART, why=_WAITS)
    if group == "image":
        return Meaning(_TASK, "image.status")
    return Meaning(_TASK, "stack.status")


def _one_off(words: Sequence[str], piped: Sequence[tuple[str, ...]]) -> Meaning:
    """Something is looked for in an image: ``docker run IMAGE cat FILE | grep TEXT``."""
    left = list(words)
    while left and left[0].startswith("-"):
        flag = left.pop(0)
        if flag in (
            "-v",
            "-e",
            "-w",
            "-u",
            "--name",
            "--network",
            "--entrypoint",
            "--env",
            "--volume",
        ):
            left = left[1:]
    command = left[1:]
    name = command[0].rpartition("/")[2] if command else ""
    paths = [word for word in command[1:] if word.startswith("/")]
    grep = next((one for one in piped if one and one[0].endswith("grep")), ())
    if name == "grep":
        return _verified(command, paths)
    if name == "cat" and grep:
        return _verified(grep, paths)
    if name in ("cat", "ls", "stat", "find"):
        return Meaning(_TASK, _looked([name, *paths]))
    if name == "pytest":
        return Meaning(_TASK, "test.run")
    return Meaning(_UNKNOWN, why="what it runs in the image can't be told")


def _verified(grep: Sequence[str], paths: Sequence[str]) -> Meaning:
    """A text is looked for in a file of the image: once by a task, from now on by each run."""
    pattern = _pattern(grep)
    task = " ".join(("image.verify", pattern, *(f"--path {one}" for one in paths[:1])))
    words = [word for word in grep[1:] if not word.startswith("-")]
    if not (paths and words and pattern.startswith("--grep") and "$" not in words[0] + paths[0]):
        return Meaning(_TASK, task)
    rule = (Said(("verify",), paths[0], words[0]),)
    return Meaning(_TASK, task, "as a [[tool.unstale.verify]] each run looks for it", rule)


def _in_container(words: Sequence[str]) -> Meaning:
    left = [word for word in words if not word.startswith("-")]
    inside = _bare(left[1:])
    name = inside[0] if inside else ""
    match name:
        case "pytest":
            return Meaning(_TASK, "test.run")
        case "alembic":
            return _alembic(inside)
        case "psql":
            at = words.index("psql")
            return Meaning(_TASK, _psql(tuple(words[at + 1 :])))
        case "pg_isready":
            return Meaning(_PART, why=_WAITS)
        case _:
            return Meaning(_UNKNOWN, why="what runs in the container can't be told")


# --- the others -----------------------------------------------------------------------


def _alembic(words: tuple[str, ...]) -> Meaning:
    verb = next((w for w in words[1:] if w in _ALEMBIC), "")
    if verb != "upgrade":
        task = _ALEMBIC.get(verb, "")
        if task:
            return Meaning(_TASK, task)
        return Meaning(_KEPT, why="making migrations stays Alembic's own")
    plain = tuple(word for word in words if "$" not in word)
    usual = plain == ("alembic", "upgrade", "head")
    said = () if usual or plain != words else (Said(("schema",), "migrate-command", words),)
    return Meaning(_TASK, "db.migrate", said=said)


_ALEMBIC = {
    "upgrade": "db.migrate",
    "current": "db.status",
    "heads": "db.status",
    "history": "db.status",
    "check": "db.check",
}


def _git(words: tuple[str, ...]) -> Meaning | None:
    match words[:1]:
        case ("diff",) if "--stat" in words or any(".." in word for word in words):
            return Meaning(_TASK, "image.status", "its reasons name each file and its commit")
        case ("log",):
            return Meaning(_TASK, "image.timeline", "builds beside commits")
        case ("rev-parse",):
            return Meaning(_PART, why="receipts name the commit")
        case _:
            return None


def _diff(words: tuple[str, ...]) -> Meaning | None:
    names = [found[2] or found[3] for word in words if (found := _ENVIRONMENT.search(word))]
    names = [name for name in names if name]
    return Meaning(_TASK, f"env.diff {names[0]} {names[1]}") if len(names) == 2 else None


def _local_tests(words: tuple[str, ...]) -> Meaning:
    """Tests on this machine."""
    paths = [word for word in words if not word.startswith("-") and "/" in word and "$" not in word]
    text = " ".join(words)
    if any("unit" in one for one in paths) or (not paths and "integration" not in text):
        said = (Said(("suites",), "unit", tuple(paths)),) if paths else ()
        return Meaning(_TASK, "test.unit", said=said)
    if any("integration" in one for one in paths) or re.search(r"-m \S*integration", text):
        role = Said(("environments", "test"), "runner", "host")
        return Meaning(_TASK, "test.run", "on this machine: the runner is the host", (role,))
    given = " ".join(words)
    return Meaning(_TASK, f"test.unit -- {given}", "without Docker")
