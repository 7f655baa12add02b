"""Forty secrets in a small project: whatever is asked of it, none is told.

Each environment has its own forty. What a command prints, and every file that it
leaves in .unstale/, is searched for each of them: as it is, by every piece of
eight characters, and in base64.
"""

from __future__ import annotations

import base64
import random
import re
import string
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import Checkout, Result

ENVIRONMENTS = ("one", "two")
_ALPHABET = string.ascii_letters + string.digits
_PIECE = 8


@dataclass(frozen=True)
class Planted:
    """The secrets of one environment: name to what must appear nowhere."""

    env: str
    secrets: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.secrets[name]

    @cached_property
    def traces(self) -> Mapping[str, str]:
        """What tells something of a secret, with its name."""
        return {trace: name for name, one in self.secrets.items() for trace in _traces(one)}

    def found_in(self, text: str) -> list[str]:
        """The names of those that *text* has something of."""
        pieces = {*_pieces(text)}
        found = {self.traces[piece] for piece in pieces & self.traces.keys()}
        other = (trace for trace in self.traces if len(trace) != _PIECE)
        found.update(self.traces[trace] for trace in other if _in(trace, text))
        return [f"{name} of {self.env}" for name in self.secrets if name in found]


def _traces(secret: str) -> Iterator[str]:
    for text in {secret, quote(secret, safe="")}:
        # Of a short one even its neighbour in the alphabet is a guess: all or nothing.
        yield from _pieces(text) if len(text) >= 2 * _PIECE else (text,)
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        inside = encoded[(0, 2, 3)[before] : (before + len(secret.encode())) * 8 // 6]
        if len(inside) >= _PIECE:
            yield from _pieces(inside)


def _pieces(text: str) -> Iterator[str]:
    return (text[i : i + _PIECE] for i in range(len(text) - _PIECE + 1))


def _in(trace: str, text: str) -> bool:
    if len(trace) > _PIECE:
        return trace in text
    return re.search(rf"(?<!\w){re.escape(trace)}(?!\w)", text) is not None


def planted(env: str) -> Planted:
    lot = random.Random(f"leaks of {env}")

    def drawn(length: int, alphabet: str = _ALPHABET) -> str:
        return "".join(lot.choices(alphabet, k=length))

    def words(count: int) -> str:
        return "-".join(drawn(6, string.ascii_lowercase) for _ in range(count))

    jwt = ".".join(
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
        for part in ('{"alg":"HS256"}', f'{{"sub":"{drawn(12)}"}}', drawn(24))
    )
    secrets = {
        # By name, of every kind.
        "DB_PASSWORD": words(3),
        "PASS": drawn(5, string.ascii_lowercase),
        "DB_PWD": f"{drawn(3, string.ascii_lowercase)}7",
        "PGPASSWORD": drawn(9, string.ascii_lowercase),
        "apiKey": drawn(10),
        "clientSecret": drawn(16),
        "JWT_SECRET": lot.randbytes(32).hex(),
        "API_KEY": base64.b64encode(lot.randbytes(32)).decode(),
        "AWS_SECRET_ACCESS_KEY": base64.b64encode(lot.randbytes(30)).decode(),
        "SMTP_PASSWORD": f"{drawn(2)}${drawn(12, string.ascii_letters)}",
        "QUOTED_PASSWORD": f"{drawn(6)}\"{drawn(6)}'{drawn(6)}",
        "SPACED_PASSPHRASE": words(4).replace("-", " "),
        "UNICODE_SECRET": f"grün{drawn(8)}ßé{drawn(8)}",
        "PERCENT_TOKEN": f"{drawn(8)}%41{drawn(8)}",
        "HASHED_PASSWORD": f"$2b$12${drawn(53)}",
        "COMMENTED_PASSWORD": drawn(18),
        "DB_PSWD": drawn(8, string.ascii_lowercase),
        "KENNWORT": drawn(9, string.ascii_lowercase),
        "OTP": drawn(8, string.digits),
        "SEED": words(12).replace("-", " "),
        # By value.
        "GIT_ACCESS": f"ghp_{drawn(36)}",
        "CLOUD_ID": f"AKIA{drawn(16, string.ascii_uppercase)}",
        "PAYMENT": f"sk_live_{drawn(24)}",
        "MODEL": f"sk-proj-{drawn(32)}",
        "SESSION": jwt,
        "BUILD_THING": lot.randbytes(32).hex(),
        "BLOB": base64.b64encode(lot.randbytes(45)).decode(),
        # In URLs and in other texts.
        "DATABASE_URL": drawn(12),
        "CACHE_ADDRESS": drawn(8, string.ascii_lowercase),
        "BROKER": f"{drawn(6)}%40{drawn(6)}%2F",
        "STORE": drawn(14),
        "SENTRY": lot.randbytes(16).hex(),
        "CHAT": f"T{drawn(8)}/B{drawn(8)}/{drawn(24)}",
        "CONNECTION": drawn(13),
        "DOCUMENT": drawn(15),
        "LINES": drawn(14),
        "SMTP_LOGIN": drawn(9, string.ascii_lowercase),
        "ENCODED": drawn(10, string.ascii_lowercase),
        "HALVED": drawn(10),
        # Private keys: the lines between the first and the last.
        "SERVER_PEM": "\n".join(drawn(64) for _ in range(3)),
        "PRIVATE_KEY": drawn(64),
        # In compose, in the image, in the code and in the shell.
        "BUILD_TOKEN": drawn(20),
        "flag": words(2),
        "healthcheck": drawn(11),
        "label": drawn(22),
        "LITERAL_SECRET": drawn(17),
        "DEFAULTED": drawn(26),
        "SHELL_TOKEN": drawn(21),
        "IMAGE_SECRET": drawn(19),
        "code": drawn(23),
    }
    return Planted(env, secrets)


SECRETS = tuple(planted(env) for env in ENVIRONMENTS)


def test_forty_secrets_are_planted_and_would_be_found() -> None:
    for found in SECRETS:
        assert len(found.secrets) >= 40
        for name, secret in found.secrets.items():
            assert found.found_in(f"[{secret}]") == [f"{name} of {found.env}"]
            if len(secret) >= 16:
                assert found.found_in(secret[3:12]) == [f"{name} of {found.env}"]
                encoded = base64.b64encode(f"a:{secret}".encode()).decode()
                assert f"{name} of {found.env}" in found.found_in(encoded)


# --- the project -----------------------------------------------------------------------


def env_file(of: Planted) -> str:
    url = f"postgresql://app:{of['DATABASE_URL']}@db-{of.env}:5432/app"
    pem = f"-----BEGIN PRIVATE KEY-----\n{of['SERVER_PEM']}\n-----END PRIVATE KEY-----"
    quoted = of["QUOTED_PASSWORD"].replace('"', r"\"")
    as_written = {
        "DATABASE_URL": url,
        "CACHE_ADDRESS": f"redis://:{of['CACHE_ADDRESS']}@cache:6379/0",
        "BROKER": f"amqp://app:{of['BROKER']}@mq:5672/",
        "STORE": f"https://store.example.com/?a=1&password={of['STORE']}",
        "SENTRY": f"https://{of['SENTRY']}@errors.example.com/7",
        "CHAT": f"https://hooks.slack.com/services/{of['CHAT']}",
        "CONNECTION": f'"Server=db;User Id=app;Password={of["CONNECTION"]};"',
        "DOCUMENT": f"""'{{"user": "app", "password": "{of["DOCUMENT"]}"}}'""",
        "LINES": f"'password: {of['LINES']}'",
        "SMTP_LOGIN": f"robin:{of['SMTP_LOGIN']}",
        "ENCODED": base64.b64encode(f"robin:{of['ENCODED']}".encode()).decode(),
        "HALVED": f"'pa7${of['HALVED']}'",
        "SERVER_PEM": f'"{pem}"',
        "PRIVATE_KEY": rf"'-----BEGIN KEY-----\n{of['PRIVATE_KEY']}\n-----END KEY-----'",
        "HASHED_PASSWORD": f"'{of['HASHED_PASSWORD']}'",
        "QUOTED_PASSWORD": f'"{quoted}"',
        "SPACED_PASSPHRASE": f'"{of["SPACED_PASSPHRASE"]}"',
    }
    elsewhere = {
        "COMMENTED_PASSWORD", "BUILD_TOKEN", "flag", "healthcheck", "label", "LITERAL_SECRET",
        "DEFAULTED", "SHELL_TOKEN", "IMAGE_SECRET", "code",
    }  # fmt: skip
    lines = [
        f"{name}={as_written.get(name, secret)}"
        for name, secret in of.secrets.items()
        if name not in elsewhere
    ]
    only_here = [f"ONLY_{of.env.upper()}_{line}" for line in lines[:6]]
    return "\n".join((
        f"# Once: OLD_PASSWORD={of['COMMENTED_PASSWORD']}",
        f"ORDINARY=plover-{of.env}",
        f"ONLY_{of.env.upper()}=egret",
        *lines,
        *only_here,
        "",
    ))  # fmt: skip


def compose_file(of: Planted) -> str:
    return f"""
services:
  app:
    build:
      context: .
      args:
        BUILD_TOKEN: {of["BUILD_TOKEN"]}
    entrypoint: [/bin/serve, --client-secret, {of["clientSecret"]}]
    command: [run, --requirepass, {of["flag"]}, "--admin-token={of["flag"]}", --level={of.env}]
    env_file: [env/.env.{of.env}]
    environment:
      LITERAL_SECRET: {of["LITERAL_SECRET"]}
      DEFAULTED: ${{SET_BY_NOBODY:-{of["DEFAULTED"]}}}
      FROM_SHELL: ${{SHELL_TOKEN}}
      PLAIN: {of.env}-plain
    healthcheck:
      test: [CMD-SHELL, "redis-cli -a {of["healthcheck"]} ping"]
    labels:
      com.example.api-key: {of["label"]}
  db:
    image: postgres:17
    environment:
      POSTGRES_PASSWORD: ${{DB_PASSWORD}}
"""


WITHOUT_POLICY = """
[project]
name = "leaks"
version = "1"
[tool.unstale]
default-env = "one"
[tool.unstale.environments.one]
compose-files = ["compose.one.yml"]
env-file = "env/.env.one"
runner = "app"
database = "db"
[tool.unstale.environments.two]
compose-files = ["compose.two.yml"]
env-file = "env/.env.two"
runner = "app"
database = "db"
[tool.unstale.parity]
settings = "app.settings:Settings"
"""
# With a policy, a run stops at what nobody explained.
PYPROJECT = f"""{WITHOUT_POLICY}
[[tool.unstale.parity.allow]]
key = "ORDINARY"
reason = "each has its bird"
"""


# Trusted: the class of its settings is asked as well.
SHELL = {"SHELL_TOKEN": SECRETS[0]["SHELL_TOKEN"], "UNSTALE_TRUST": "1"}


@dataclass(frozen=True)
class Project:
    """The project, and the commands that are typed in it."""

    checkout: Checkout

    def run(self, *arguments: str, optional: bool = False) -> Result:
        """Type it, and search all that came of it; only an *optional* task may be missing."""
        result = self.checkout.inv(*arguments, env=SHELL)
        missing = "No idea what" in result.text
        assert optional or not missing, f"{arguments[0]}: there is no such task yet"
        assert "BUG" not in result.text
        leaks = [leak for text in (result.out, result.err) for leak in _leaks(text)]
        assert leaks == [], f"{' '.join(arguments)} tells {sorted(set(leaks))}"
        self.search_evidence(arguments)
        return result

    def search_evidence(self, arguments: tuple[str, ...]) -> None:
        """Read every file that was left in .unstale/."""
        for path in sorted((self.checkout.root / ".unstale").rglob("*")):
            # The project's own, copied to be built from.
            if path.is_file() and path.suffix != ".Dockerfile":
                leaks = _leaks(path.read_text(encoding="utf-8", errors="replace"))
                assert leaks == [], f"{' '.join(arguments)} left {leaks} in {path.name}"


def _leaks(text: str) -> list[str]:
    return [leak for secrets in SECRETS for leak in secrets.found_in(text)]


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
    for of in SECRETS:
        write(root, f"env/.env.{of.env}", env_file(of))
        write(root, f"compose.{of.env}.yml", compose_file(of))
    write(root, "env/.env.example", "ORDINARY=\nDB_PASSWORD=change-me\n")
    write(root, "pyproject.toml", PYPROJECT)
    secret = SECRETS[0]["IMAGE_SECRET"]
    write(root, "Dockerfile", f"FROM scratch\nENV IMAGE_SECRET={secret}\nCOPY app /app\n")
    write(
        root,
        "app/settings.py",
        "from pydantic_settings import BaseSettings\n\n\n"
        "class Settings(BaseSettings):\n"
        f'    secret_key: str = "{SECRETS[0]["code"]}"\n'
        f'    literal_secret: str = "{SECRETS[0]["LITERAL_SECRET"]}"\n'
        '    ordinary: str = "plover-one"\n',
    )
    return Project(Checkout(root, ("-m", "unstale")))


# --- what is typed -----------------------------------------------------------------------

# What shows most, in each form. The others are asked in the long suite.
ENV_TASKS = [
    ("env.diff", "one", "two", "--show-values"),
    ("env.diff", "one", "two", "--show-values", "--json"),
    ("env.diff", "one", "two", "--show-values", "--format", "github"),
    ("env.diff", "one", "two", "--show-values", "--format", "sarif"),
    ("env.diff", "one", "two", "--files-only", "--json"),
    ("env.check", "--show-values"),
    ("env.matrix", "--everything", "--identity", "--show-values"),
    ("env.matrix", "--show-values", "--json"),
    ("env.matrix", "--show-values", "--html", "matrix.html"),
    ("env.sync", "--show-values"),
]
LONG_ENV_TASKS = [
    ("env.diff", "one", "two"),
    ("env.diff", "one", "two", "--json"),
    ("env.diff", "one", "two", "--files-only"),
    ("env.diff", "one", "two", "--format", "github"),
    ("env.diff", "one", "two", "--format", "sarif"),
    ("env.check",),
    ("env.check", "--json"),
    ("env.check", "--format", "github"),
    ("env.check", "--format", "sarif"),
    ("env.matrix",),
    ("env.matrix", "--json"),
    ("env.matrix", "--html", "matrix.html"),
    ("env.sync",),
    ("env.sync", "--json"),
    ("env.sync", "--show-values", "--json"),
]
OTHER_TASKS = [("image.status", "--json"), ("image.list", "--json"), ("stack.status", "--json")]
# Of the contract; from the day on which there are any.
LATER_TASKS = [("plan", "--json"), ("why", "env"), ("doctor", "--json")]
LONG_LATER_TASKS = [("plan",), ("doctor",)]
BROKEN_TASKS = [
    ("env.diff", "one", "two", "--show-values", "--json"),
    ("env.matrix", "--show-values"),
    ("env.sync", "--show-values"),
    ("image.status", "--json"),
]
LONG_BROKEN_TASKS = [("env.diff", "one", "two"), ("env.check", "--json")]


def some_long(quick: Iterable[Any], long: Iterable[Any]) -> list[Any]:
    """Parameters, of which *long* ones wait for the long suite."""
    return [*quick, *(pytest.param(one, marks=pytest.mark.long) for one in long)]


@pytest.mark.parametrize("arguments", some_long(ENV_TASKS, LONG_ENV_TASKS), ids=" ".join)
def test_no_secret_is_told_where_nothing_is_broken(
    project: Project, arguments: tuple[str, ...]
) -> None:
    result = project.run(*arguments)

    assert result.code in (0, 3), result.text
    page = project.checkout.root / "matrix.html"
    assert not page.exists() or _leaks(page.read_text()) == []


@pytest.mark.parametrize("arguments", OTHER_TASKS, ids=" ".join)
def test_no_secret_is_told_by_what_else_knows_the_environment(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.run(*arguments)


@pytest.mark.parametrize("arguments", some_long(LATER_TASKS, LONG_LATER_TASKS), ids=" ".join)
def test_no_secret_is_told_by_a_task_that_may_come(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.run(*arguments, optional=True)


def test_a_baseline_holds_no_secret(project: Project) -> None:
    project.run("env.check", "--baseline").must(0)

    written = (project.checkout.root / "pyproject.toml").read_text()
    assert len(written) > len(PYPROJECT)
    assert _leaks(written) == []
    assert project.run("env.check").code == 0


def test_a_sync_brings_no_secret_over(project: Project) -> None:
    root = project.checkout.root
    before = {env: (root / f"env/.env.{env}").read_text() for env in ENVIRONMENTS}

    project.run("env.sync", "--write")

    for env, other in zip(SECRETS, reversed(SECRETS), strict=True):
        after = (root / f"env/.env.{env.env}").read_text()
        assert after.startswith(before[env.env].rstrip("\n"))
        # Their first characters, such as sk_live_, both environments have.
        assert [name for name, secret in other.secrets.items() if secret in after] == []


def test_values_that_are_no_secrets_are_shown_when_asked_for(project: Project) -> None:
    shown = project.run("env.diff", "one", "two", "--show-values").must(3).text
    hidden = project.run("env.diff", "one", "two").must(3).text
    document = project.run("env.diff", "one", "two", "--show-values", "--json").must(3).out

    for value in ("one-plain", "two-plain"):
        assert value in shown
        assert value in document
        assert value not in hidden


# --- what may be broken ------------------------------------------------------------------

Breakage = Callable[[Path], None]
MINE = SECRETS[0]


def _appended(path: str, text: str) -> Breakage:
    def break_it(root: Path) -> None:
        with (root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return break_it


def _as_bytes(path: str, head: bytes) -> Breakage:
    def break_it(root: Path) -> None:
        (root / path).write_bytes(head + (root / path).read_bytes())

    return break_it


def _replaced(path: str, old: str, new: str) -> Breakage:
    def break_it(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new))

    return break_it


def _written(path: str, text: str, *, then: Breakage) -> Breakage:
    def break_it(root: Path) -> None:
        write(root, path, text)
        then(root)

    return break_it


def _encoded(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


ENV, COMPOSE = "env/.env.one", "compose.one.yml"
ENV_FILE, BUILD = "env_file: [env/.env.one]", "context: ."
BREAKAGES: dict[str, Breakage] = {
    "a token on a line": _appended(ENV, f"JWT=\n{MINE['SESSION']}\n"),
    "a token for a key": _appended(ENV, f"{MINE['SESSION']}=\n"),
    "base64 on a line": _appended(ENV, f"TEXT=\n{_encoded(MINE['label'] * 2)}\n"),
    "a word below its key": _appended(ENV, f"DB_PWD=\n{MINE['DB_PWD']}\n"),
    "a word on a line": _appended(ENV, f"{MINE['PGPASSWORD']}\nexport {MINE['DB_PWD']}\n"),
    "compose: an image by a variable": _appended(
        COMPOSE, "  pulled:\n    image: reg.example.com/${PGPASSWORD}:1\n    profiles: [no]\n"
    ),
    "compose: an env file by a variable": _replaced(
        COMPOSE, ENV_FILE, "env_file: [env/.env.one, 'env/${PGPASSWORD}.env']"
    ),
    "compose: a broken env file by a variable": _written(
        f"env/{MINE['PGPASSWORD']}.env",
        f"{MINE['label']} {MINE['code']}=1\n",
        then=_replaced(COMPOSE, ENV_FILE, "env_file: ['env/${PGPASSWORD}.env']"),
    ),
    "compose: an unlike env file by a variable": _written(
        f"env/{MINE['PGPASSWORD']}.env",
        f"UNLIKE=a$A\n{MINE['label']}=\n{MINE['DB_PWD']}\n",
        then=_replaced(COMPOSE, ENV_FILE, "env_file: ['env/${PGPASSWORD}.env']"),
    ),
    "compose: a Dockerfile by a variable": _replaced(
        COMPOSE, BUILD, f"{BUILD}\n      dockerfile: ${{PGPASSWORD}}.Dockerfile"
    ),
    "compose: an encrypted env file": _written(
        "env/more.env",
        f"MORE=encrypted:{MINE['BLOB']}\n",
        then=_replaced(COMPOSE, ENV_FILE, "env_file: [env/.env.one, env/more.env]"),
    ),
    "a line without a key": _appended(ENV, f"{MINE['JWT_SECRET']} {MINE['label']}\n"),
    "an open quote": _appended(ENV, f'OPEN_TOKEN="{MINE["label"]}\n{MINE["code"]}\n'),
    "text behind a quote": _appended(ENV, f'TAIL="a"{MINE["label"]}\n'),
    "a secret for a key": _appended(ENV, f"{MINE['label']} {MINE['code']}=1\n"),
    "an open variable": _appended(ENV, f"BAD_TOKEN=${{{MINE['label']}\n"),
    "a required variable": _appended(ENV, f"BAD_TOKEN=${{GONE:?{MINE['label']}}}\n"),
    "an encrypted value": _appended(ENV, f"X=encrypted:{MINE['BLOB']}\n"),
    "an encrypted file": _as_bytes(ENV, b"$ANSIBLE_VAULT;1.1;AES256\n"),
    "no UTF-8": _as_bytes(ENV, b"LATIN=\xff\n"),
    "a zero byte": _as_bytes(ENV, b"ZERO=\0\n"),
    "compose: no YAML": _appended(COMPOSE, f"  x: [{MINE['label']}, '{MINE['code']}\n"),
    "compose: an unknown key": _appended(COMPOSE, f"    {MINE['label']}: 1\n"),
    "compose: a wrong type": _appended(COMPOSE, f"    ports: [{MINE['label']}]\n"),
    "compose: an open variable": _replaced(COMPOSE, "PLAIN: one", f"PLAIN: ${{{MINE['label']}"),
    "compose: a dollar in a secret": _replaced(COMPOSE, "PLAIN: one", f"PLAIN: ab${MINE['label']}"),
    "compose: no such file": lambda root: (root / COMPOSE).unlink(),
    "settings: no Python": _appended("app/settings.py", f'    broken = "{MINE["label"]}\n'),
    "pyproject: no TOML": _appended("pyproject.toml", f'key = "{MINE["label"]}\n'),
    "Dockerfile: no instruction": _appended("Dockerfile", f"SECRET {MINE['label']}\n"),
}  # fmt: skip


# One of each kind is not long.
QUICK = (
    "a token on a line", "a word on a line", "a line without a key", "an open variable",
    "an encrypted file", "compose: no YAML", "compose: an env file by a variable",
    "compose: a dollar in a secret", "compose: an unlike env file by a variable",
)  # fmt: skip


@pytest.mark.parametrize(
    "breakage", some_long(QUICK, [name for name in BREAKAGES if name not in QUICK])
)
def test_no_secret_is_told_where_something_is_broken(project: Project, breakage: str) -> None:
    BREAKAGES[breakage](project.checkout.root)

    for arguments in BROKEN_TASKS:
        project.run(*arguments)


@pytest.mark.long
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_no_secret_is_told_by_other_forms_of_an_error(project: Project, breakage: str) -> None:
    BREAKAGES[breakage](project.checkout.root)

    for arguments in LONG_BROKEN_TASKS:
        project.run(*arguments)


def test_a_word_on_a_line_is_written_nowhere(project: Project) -> None:
    BREAKAGES["a word on a line"](project.checkout.root)
    root = project.checkout.root

    project.run("env.check", "--baseline").must(0)
    project.run("env.sync", "--write").must(0)
    project.run("env.matrix", "--html", "matrix.html").must(0)

    other = (root / "env/.env.two").read_text()
    assert _leaks((root / "pyproject.toml").read_text()) == []
    assert _leaks((root / "matrix.html").read_text()) == []
    assert MINE["PGPASSWORD"] not in other
    assert MINE["DB_PWD"] not in other


@pytest.mark.parametrize(
    "breakage",
    some_long(
        ["compose: an open variable"],
        ["compose: no YAML", "compose: a wrong type", "an open quote", "a token on a line"],
    ),
)
def test_a_run_that_cannot_begin_tells_no_secret(project: Project, breakage: str) -> None:
    BREAKAGES[breakage](project.checkout.root)

    project.run("test.integration").must(2)
    project.run("test.integration", "--json").must(2)


def test_a_run_that_fails_tells_no_secret_and_leaves_none(project: Project) -> None:
    """Its image is built, of nothing that could start, and a secret is taken for a variable."""
    BREAKAGES["compose: a dollar in a secret"](project.checkout.root)
    write(project.checkout.root, "pyproject.toml", WITHOUT_POLICY)
    try:
        failed = project.run("test.integration", "--json")
        listed = project.run("image.list", "--history")
        text = project.run("test.integration", "--verbose")
    finally:
        project.checkout.sweep()
        project.checkout.inv("image.clean", "--yes")

    assert failed.code not in (0, 2), failed.text
    assert text.code == failed.code
    assert "IMAGE_SECRET" in listed.text
