"""What people write: pyproject.toml, env files, and the project's Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale import config
from unstale.adapters.files import DiskFiles
from unstale.config import AllowRule
from unstale.errors import ConfigError
from unstale.mask import mask_for
from unstale.parity import (
    asked,
    baseline,
    codebase,
    defaults,
    envfile,
    environ_reads,
    hazards,
    keys,
    near,
    pysource,
    reads,
    settings_types,
    sync,
)
from unstale.pipeline import local_environment, why_env
from unstale.stack import names

ROOT = Path("/p")
HUGE = "9" * 5000

# --- pyproject.toml ---------------------------------------------------------------

TOML = soup.repository("pyproject.toml")[0]
TOOL = TOML[TOML.index("[tool.unstale]") : TOML.index("[tool.pytest")]
WORDS = (
    *(
        "[tool.unstale]\n",
        "[[tool.unstale.parity.allow]]\n",
        "key = ",
        "reason = 'x'\n",
        "pairs = ",
    ),
    *('["ci/test"]', '["ci/ci"]', "expires = 2030-01-31\n", "2030-13-99", "must = {ci = 'x'}\n"),
    *("schema = 'none'\n", "[tool.unstale.environments.'a/b']\n", "compose-files = ", "[1]", "inf"),
    *(
        "relation = 'missing'\n",
        "[tool.unstale.keep]\nruns = ",
        "0x" + "f" * 5000,
        "1e400",
        "\\ud800",
    ),
)
VARIABLES = (
    *(
        "UNSTALE_DEFAULT_ENV",
        "UNSTALE_RUNNER_COMMAND",
        "UNSTALE_RUNNER_MODE",
        "UNSTALE_SCHEMA_SETUP",
    ),
    *("UNSTALE_SCHEMA_MIGRATE_COMMAND", "UNSTALE_RUNNER_JUNIT", "UNSTALE_RECEIPTS_SIGN"),
    *("UNSTALE_RECEIPTS_KEY", "UNSTALE_TRUST", "UNSTALE_UNTRUSTED"),
)


def _load(text: str, environ: Mapping[str, str]) -> config.Settings:
    texts = {ROOT / "pyproject.toml": text, ROOT / "docker" / "docker-compose.ci.yml": ""}
    return config.load(ROOT, cast("Any", soup.Texts(texts)), environ)


@given(
    soup.texts((TOOL, TOML), WORDS),
    st.dictionaries(st.sampled_from(VARIABLES), soup.texts(words=("'", "pytest -q")), max_size=2),
)
@example("a = " + "[" * 3000, {})
@example("a = " + "{a = " * 3000, {})
@example(f"a = {HUGE}", {})
@example("[tool.unstale.receipts]\nsign = 'ssh'\nkey = '~nobody-of-this-name/k'\n", {})
@example("[tool.unstale.environments.ci]\ncompose-files = ['\\u0000']\n", {})
def test_settings(text: str, environ: Mapping[str, str]) -> None:
    with soup.only_ours():
        found = _load(text, environ)
        config.require_known(found)
        found.environment()
        assert found.pairs is not None
        config.trusts_code(environ)


def _plain(value: Any) -> Any:
    """*value* as far as TOML can write it."""
    match value:
        case dict():
            return {str(key): _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case None:
            return date(2030, 1, 31)
        case _:
            return value


SETTINGS: dict[str, Any] = {
    "default-env": "ci",
    "environments": {"ci": {"compose-files": ["docker/docker-compose.ci.yml"], "env-file": "x"}},
    "runner": {"command": ["pytest"], "mode": "run", "junit": "x"},
    "suites": {"unit": ["x"]},
    "schema": {"setup": "migrate", "seeds": ["x"]},
    "verify": [{"service": "a", "path": "/x", "grep": "y"}],
    "parity": {
        "allow": [{"key": "A", "reason": "x", "pairs": ["ci/test"], "must": {"ci": "x"}}],
        "pairs": ["ci/test"],
        "settings": "a.b:C",
        "code": ["x"],
    },
    "local": {"directory": "x"},
    "deadlines": {"tests": 60},
    "receipts": {"sign": "hmac", "key-env": "K"},
    "keep": {"runs": 3},
}


@given(soup.tables(SETTINGS).map(_plain))
def test_tables_of_settings(table: dict[str, Any]) -> None:
    """What TOML can say, in the places of the settings."""
    with pytest.MonkeyPatch.context() as patched, soup.only_ours():
        patched.setattr(config.tomllib, "loads", lambda _: {"tool": {"unstale": table}})
        config.require_known(_load("x", {"UNSTALE_RUNNER_MODE": "exec"}))


def test_good_settings_are_read() -> None:
    """Or the fuzzing of settings would see nothing but refusals."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(config.tomllib, "loads", lambda _: {"tool": {"unstale": SETTINGS}})

        assert _load("x", {}).default_env == "ci"


_RULE = AllowRule("A", baseline.REASON, (("ci", "test"),), ("env files",), relation="missing")


@given(soup.texts((TOML, TOOL, ""), WORDS), soup.texts(), soup.texts())
@example("a = " + "[" * 3000, "", "")
@example('tool = "x"', "", "")
@example("[tool]\nunstale = 5\n", "", "")
@example('[tool.unstale]\nparity = "none"\n', "", "")
@example("[tool.unstale.parity]\nallow = 5\n", "", "")
@example("tool.unstale.parity.allow = []\r", "", "")
def test_baseline(text: str, key: str, service: str) -> None:
    rule = AllowRule(key, baseline.REASON, (("ci", "test"),), (service,), relation="missing")
    with soup.only_ours():
        done = baseline.apply(text, (_RULE, rule))

        assert baseline.apply(done, (_RULE, rule)) == done
        assert done.startswith(text)


@given(soup.texts((TOML, TOOL, "[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = 'r'\n"), WORDS))
@example("[[tool.unstale.parity.allow]]\na = " + "[" * 3000)
@example("[[tool.unstale.parity.allow]]\nkey = 5\nreason = []\n")
def test_lines_of_rules(text: str) -> None:
    found = why_env.rule_lines(text)

    assert all(0 < line <= text.count("\n") + 1 for line in found.values())


# --- env files ----------------------------------------------------------------------

ENV_FILES = (
    *soup.repository("env/.env.ci", "env/.env.test"),
    "# LOG=x\nexport A='b c' # d\nB=\"x\\\n y\"\n\nC\nD=${A:-b}\r\nE=$A$$\n",
)
ENV_WORDS = (
    "A=",
    "B",
    "export ",
    "'",
    '"',
    "#",
    "=",
    "${A}",
    "\n",
    "\\n",
    "ENC[AES256_GCM,",
    "A.b[0]=",
)
EXAMPLE = "# Heading\n\nA=1\n# B=2\nC='x y'\nPASSWORD=\nD\n"


@given(soup.raw(ENV_FILES, ENV_WORDS))
def test_env_file(raw: bytes) -> None:
    with soup.only_ours():
        found = envfile.parse(Path("/nowhere/.env"), raw)

        assert set(found.values) >= {one.key for one in found.duplicates}
    environ = {"A": "x"}
    hazards.docker_run_values(raw, environ)
    hazards.is_plain(raw.decode(errors="replace"))


@given(soup.texts(words=("a", "/", ".env", "\0", "a" * 250)))
@example("\0")
@example("a" * 300)
@example("a" * 250)
@example("/")
def test_place(name: str) -> None:
    """What is written as a file's place need not be one."""
    path, files = Path("/nowhere", name), DiskFiles()
    with soup.only_ours():
        envfile.read(path)
    with soup.only_ours():
        envfile.variables([path], ROOT)
    with soup.only_ours():
        files.read_text(path)
    envfile.example_of(path)
    files.exists(path)


def _ask(answer: Any) -> Callable[[Mapping[str, object]], Mapping[str, object]]:
    def ask(_model: Mapping[str, object]) -> Mapping[str, object]:
        if isinstance(answer, str):
            raise ConfigError("docker compose refuses a file.", cause=answer)
        found: Mapping[str, object] = answer
        return found

    return ask


_ANSWER = {"services": {"f0": {"environment": {"A": "b$$c", "C": None}}, "f1": {}}}
_REFUSALS = ("line 3: key cannot contain a space", "required variable A is missing a value")


@given(
    raw=soup.raw(ENV_FILES, ENV_WORDS),
    answer=st.one_of(st.just(_ANSWER), soup.texts(_REFUSALS, ("line ", "A"))),
    is_run=st.booleans(),
)
@example(raw=b"A=$x", answer=f"line {HUGE}: key", is_run=False)
@example(raw=b"A=$x", answer="line 0: key", is_run=False)
def test_hazards(raw: bytes, answer: Any, *, is_run: bool) -> None:
    files = [hazards.EnvText(ROOT / n, n, raw, docker_run=is_run) for n in (".env", "x.env")]
    with soup.only_ours():
        found = hazards.hazards(files, _ask(answer), environ={"A": "x"})

        assert all("heron-72" not in repr(one) for one in found)


@given(soup.raw(ENV_FILES, ENV_WORDS), soup.texts((EXAMPLE, *ENV_FILES), ENV_WORDS), soup.texts())
def test_sync(raw: bytes, example_text: str, sibling: str) -> None:
    path = Path("/nowhere/.env")
    with soup.only_ours():
        envfile.parse(path, raw)
        document = sync.Document(path, raw.decode())
        plan = sync.plan(document, sync.Document(path, example_text), [sibling, "A_B"])
        done = sync.apply(document.text, plan)
        sync.preview(document.text, plan, show_values=True)
        sync.preview(document.text, plan, mask=mask_for({}))

        assert all(one.line in done for one in plan.additions)


@given(soup.texts(words=("A", "=", "x" * 40)), soup.texts(), st.booleans())
def test_keys(key: str, value: str, is_below: bool) -> None:
    keys.is_value(key, value)
    keys.of_bare(key, ("A",), is_below_a_gap=is_below)
    near.nearest(key, ("DATABASE_URL", "LOG_LEVEL", value))
    sync.assignment(key, value)

    assert keys.is_placeholder(keys.placeholder(len(key)))


# --- the project's Python ---------------------------------------------------------

READS = """\
import os
from environs import Env
A = os.environ.get('A', '1') or 'b'
env = Env()
B = env.int('B', default=1 + 2)
if 'C' in os.environ:
    x = int(os.getenv('D', '5'))
load_dotenv(find('.env'))
"""
CLASS = """\
from pydantic_settings import BaseSettings
from typing import Annotated, Optional
class S(BaseSettings):
    model_config = {'env_prefix': 'A_', 'env_nested_delimiter': '__'}
    a: int = 5
    b: 'Optional[str]' = None
    c: Annotated[bool, Field(alias='C')] = True
    d: list[int] = Field(default_factory=list, validation_alias=AliasChoices('x', 'y'))
"""
CODE = (*soup.repository("docker/service/accounts/settings.py"), READS, CLASS)
PYTHON = (
    *(
        "os.environ[",
        "'A'",
        "]",
        "(",
        ")",
        "os.getenv(",
        "import os\n",
        "from os import *\n",
        "class ",
    ),
    *("S(BaseSettings):\n    ", "a: int = ", "Field(", "alias=", "0x" + "f" * 5000, " + 1" * 2000),
    *(
        "1e999",
        "*",
        "-" * 2000,
        ".a" * 2000,
        "[0]" * 2000,
        "\\N{",
        "f'{",
        "lambda: ",
        "# coding: x\n",
    ),
    *("1" * 400 + " * 1.5", "not " * 1500, "x if x else " * 900, "\\ud800", "a: 'a'\n", "a = a\n"),
)


@given(soup.raw(CODE, PYTHON), soup.raw(CODE, PYTHON))
@example(("import os\nX = os.getenv('A', " + "1 + " * 1500 + "1)\n").encode(), b"")
@example(("import os\nX = os.getenv('A', 1.5 * " + "1" * 400 + ")\n").encode(), b"")
@example(("import os\nX = int(os.getenv('A', 0x" + "f" * 5000 + "))\n").encode(), b"")
@example(("import os\nX = os.environ['A']" + "[0]" * 900 + "\n").encode(), b"")
@example(("import os\nX = os" + ".environ" * 1500 + "\n").encode(), b"")
@example(CLASS.replace("int = 5", "int = " + "(" * 90 + "1" + ")" * 90).encode(), b"")
@example(CLASS.replace("int = 5", "int = 0x" + "f" * 5000).encode(), b"")
@example(CLASS.replace("a: int", "a: " + "list[" * 80 + "int" + "]" * 80).encode(), b"")
@example(CLASS.replace("a: int", "a: " + "int | " * 1500 + "int").encode(), b"")
@example(CLASS.replace("a: int", "a: 'a'").encode(), b"")
@example(CLASS.replace("a: int", "a: " + repr("a" + "[" * 100)).encode(), b"")
@example(CLASS.replace("a: int", "a: '" + "-" * 9000 + "1'").encode(), b"")
def test_code(text: bytes, other: bytes) -> None:
    found = reads.code_reads([("app/settings.py", text), ("app/other.py", other)])

    for one in found.reads:
        defaults.meaning(one, "1")
        defaults.meaning(one, defaults.ABSENT)
    assert repr(found)


@given(soup.raw(CODE, PYTHON))
def test_source(text: bytes) -> None:
    with soup.only_ours(SyntaxError, ValueError, RecursionError, MemoryError):
        source = pysource.parse("app/a.py", text)
        list(environ_reads.environ_reads(source, text))
        list(environ_reads.loaded_env_files(source, text))
        environ_reads.reader_names(source)


@given(soup.of_files(words=("list[", "int", "]", "|", "Optional[", "'", "Annotated[int, Field(")))
def test_type(text: str) -> None:
    import ast

    code = codebase.Codebase({"a.py": b"class A: ..."})
    source = code.source("a.py")
    assert source
    settings_types.type_of(code, source, ast.Constant(text))


@given(
    soup.texts(words=("$A", "${B}", "API_KEY", "\n")), soup.texts(words=("Dockerfile", ".sh", "/"))
)
def test_mentions(text: str, name: str) -> None:
    reads.is_code(name)
    reads.is_program(name)
    reads.mentions(
        [(name, text.encode("utf-8", "surrogatepass")), ("x.sh", text.encode(errors="replace"))]
    )


_READ = defaults.Read("A", "a.py", 1, "environ", defaults.Known("5"))


_LITERALS = ("1", "1.5", "1e5", "true", '{"a": 1}', "-")
_RULES = ("json", "int", "float", "bool", "plain-bool", "text")


@given(soup.texts(words=_LITERALS), st.sampled_from(_RULES))
@example("[" * 3000, "json")
@example("1" * 5000, "int")
@example("1" * 5000, "json")
def test_meaning(value: str, rule: Any) -> None:
    read = defaults.Read("A", "a.py", 1, "environ", defaults.Known(value), rule=rule)

    defaults.meaning(read, value)
    assert environ_reads.default_of(value, rule) is not None
    assert defaults.meaning(read, value) == defaults.meaning(read, defaults.ABSENT)


ASKED: dict[str, Any] = {
    "file": "a.py",
    "line": 3,
    "case_sensitive": False,
    "customised": False,
    "ignores_empty": True,
    "fields": [
        {"names": ["A"], "rule": "int", "secret": False, "default": {"state": "known", "value": 5}},
        {"names": ["B"], "rule": None, "secret": True, "default": {"state": "required"}},
    ],
}


@given(soup.tables(ASKED))
@example(ASKED | {"line": float("inf")})
def test_asked(found: dict[str, Any]) -> None:
    """At the probe, which is what lets an answer through."""
    from unstale.adapters.settings_probe import _SENTINEL, probe_settings
    from unstale.ports import CommandResult

    out = f"\n{_SENTINEL}{json.dumps(found)}\n"
    process = soup.Answers([CommandResult(0, out, "", 0.1)])
    probed = probe_settings(cast("Any", process), ["python"], "a:B", ROOT)
    if probed.answer is not None:
        asked.asked_reads(probed.answer)
    else:
        assert probed.note


@given(soup.printed(soup.texts(('unstale-settings:{"failed": "X"}',), ("unstale-settings:", "{"))))
def test_answer_of_the_probe(said: Any) -> None:
    from unstale.adapters.settings_probe import probe_settings

    probed = probe_settings(cast("Any", soup.Answers(said)), ["python"], "a:B", ROOT)

    assert probed.note


# --- what tests on this machine are told ---------------------------------------------

_URLS = ("postgresql+psycopg://u:p@h:5432/d?host=/run&port=1", "DATABASE", "${A:-b}", "${A")


@given(soup.texts((_URLS[0],), (*_URLS, "postgres://", "@", ":", "[", "]", "?port=", "%")))
@example("postgresql://h/d?port=x")
@example(f"postgresql://h/d?port={HUGE}")
@example("postgresql://[::1/d")
@example("postgresql://h:\u00b2/d")
@example("postgresql://h/\ud800")
@example("postgresql://h/d?a=\ud800")
def test_address(url: str) -> None:
    values = {"DATABASE_URL": url, "DB_HOST": url, "X": url}
    with soup.only_ours():
        wanted = local_environment.want(values, [url])
        address = local_environment.address_of(url)
        local_environment.environment(local_environment.expanded(values), address, wanted)
    with soup.only_ours():
        local_environment.environment(values, _ADDRESS, local_environment.want({}, ()))


_ADDRESS = local_environment.address_of("postgresql://u:p@h:5432/d")
_COMPOSE = ("services:\n  db:\n    image: postgres:${TAG:-17}\n",)


@given(soup.texts(_COMPOSE, ("image: ", "postgres:", "pgvector/pgvector:pg", "17", HUGE)))
@example(f"image: postgres:{HUGE}")
def test_version_of_the_stack(text: str) -> None:
    local_environment.stack_major([text], {"TAG": text})


@given(soup.paths(), soup.texts())
def test_names(root: str, name: str) -> None:
    for project in (
        names.image_project(Path(root), name),
        names.run_project(Path(root), "0123abcd"),
        names.standing_run(Path(root), name),
    ):
        assert names.re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", project)


# --- what a project has -----------------------------------------------------------------

_FILES = (
    *("alembic.ini", "migrations/env.py", "pyproject.toml", "requirements.txt", "compose.yml"),
    *("compose.ci.yml", "local.yml", "Dockerfile", "tests/test_a.py", "manage.py", "tox.ini"),
)
_PARTS = (
    *("[alembic]\n", "script_location = ", "%(here)s/", "a:b", "[tool.alembic]\n", "pytest\n"),
    *("[project]\ndependencies = ", "[dependency-groups]\n", "target_metadata = ", "x.y", "django"),
    *("services:\n", "  a:\n", "    build: .\n", "    image: postgres\n", "    depends_on: [a]\n"),
    *("FROM a AS b\n", "FROM b\n", "COPY requirements.txt .\n", "&a", "*a", "<<: *a\n"),
)


@given(st.lists(soup.texts((TOML,), _PARTS), min_size=1, max_size=len(_FILES)))
@example(["[alembic]\nscript_location\n  x\n"])
@example(["import os\nA = os.getenv('A', 'localhost:99999')\n"])
@example(["services: {a: {ports: [{published: 1, target: '2'}, ':', '1:2/tcp', [], null]}}"])
@example(['["uv", "run", 1, [], "pytest"]'])
def test_survey(texts: list[str]) -> None:
    from unstale.pipeline import default_addresses
    from unstale.survey import composefiles, python, services
    from unstale.survey.repository import Repository

    by_name = {name: texts[n % len(texts)] for n, name in enumerate(_FILES)}
    known = Repository(tuple(sorted(by_name)), by_name.__getitem__)
    for choice in composefiles.choices(known):
        for stack in choice.stacks:
            layers = [
                services.of_yaml(composefiles.services_of(known, [file]), file)
                for file in stack.files
            ]
            found = services.merged(layers)
            services.runner(known, found)
            services.database(known, found)
            default_addresses.found(known, [found])
    assert python.command(known)[0]
    assert all(python.launched(text)[-1:] in ((), ("pytest",)) for text in texts)
    python.suites(known)
    python.migrations(known)


@given(soup.texts(("from invoke import task\n@task(name='a')\ndef b(c): ...\nns = 1\n",)))
@example("(" * 3000)
def test_tasks_file(text: str) -> None:
    from unstale.survey import tasksfile

    assert tasksfile.advice(text, ("test",)).state


@given(soup.texts((TOML, ""), WORDS), soup.texts(), soup.texts())
@example('tool = "x"', "", "")
@example("a = nan\r\n", "\x7f", "\u2028")
def test_written(text: str, name: str, words: str) -> None:
    from unstale.survey import written

    entry = written.Entry(name, (words, name), words, name)
    table = written.Table(("tool", "unstale", "environments", name), (entry,), (words,))
    with soup.only_ours():
        done = written.added(text, (table,))

        assert done.startswith(text)
    once = written.ignoring(text)
    assert written.ignoring(once) == once
