"""What a document says to type: each block of it is run here, or names the test that does."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest
from invoke import Collection, Program
from invoke.exceptions import ParseError
from invoke.parser import Parser
from invoke.tasks import Task

from unstale import ns

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", ".github/*.md", "docker/base/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(
    r"(?:^<!-- (?P<how>run|tested): (?P<what>[^>]+?) -->\n)?"
    r"^ *```(?P<language>[\w-]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SHELLS = ("sh", "console")

# What stands before a command of ours.
PREFIXES = (
    ("./bootstrap", "--with-docker"),
    ("./bootstrap",),
    ("uvx", "--from", "PATH/TO/unstale"),
    ("uvx",),
    ("uv", "run"),
    ("pipx", "run"),
)

MAKEFILE = """
test-integration:
\t./scripts/test-integration.sh
test-integration-cleanup:
\tdocker compose -f docker/docker-compose.test.yml down -v
"""
SCRIPT = """
set -eu
docker compose -f docker/docker-compose.test.yml up -d
trap 'docker compose -f docker/docker-compose.test.yml down -v' EXIT
docker compose -f docker/docker-compose.test.yml run --rm tests pytest "$@"
"""
STACK = """
services:
  tests:
    build: ..
    environment: {{LOG_LEVEL: {level}}}
"""
PROJECTS = {
    # A project with two environments that differ in one variable, as it was before unstale.
    "shop": {
        "Makefile": MAKEFILE,
        "scripts/test-integration.sh": SCRIPT,
        "docker/docker-compose.test.yml": STACK.format(level="debug"),
        "docker/docker-compose.ci.yml": STACK.format(level="info"),
        "Dockerfile": "FROM python:3.13-slim\nRUN pip install pytest\nCOPY tests /app/tests\n",
        "tests/test_shop.py": "def test_shop() -> None:\n    assert True\n",
        "requirements.txt": "pytest\n",
    }
}
PROJECTS["adopted"] = {**PROJECTS["shop"], "tasks.py": "from unstale import ns\n"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str
    how: str
    what: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def session(self) -> Iterator[tuple[str, list[str]]]:
        """Each command of it, and the lines that come then."""
        if self.language == "sh":
            joined = self.text.replace("\\\n", " ")
            yield from ((line, []) for line in joined.splitlines() if line.strip())
            return
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, *said = part.splitlines()
            yield command, said


def blocks_of(document: Path) -> Iterator[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        found = match.groupdict("")
        line = text.count("\n", 0, match.start("text"))
        yield Block(document, line, found["language"], found["text"], found["how"], found["what"])


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
TYPED = [block for block in BLOCKS if block.language in SHELLS]
RUN = [block for block in TYPED if block.how == "run"]


def ours(command: str) -> list[str] | None:
    """The words of *command* after `inv` or `unstale`; None: it is another program's."""
    words = [word for word in shlex.split(command, comments=True) if word]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    for prefix in PREFIXES:
        if tuple(words[: len(prefix)]) == prefix:
            words = words[len(prefix) :]
            break
    if not words or words[0] not in ("inv", "unstale"):
        return None
    return list(takewhile(lambda word: word not in ("|", "&", "&&", ">", ">>"), words[1:]))


def chores() -> Collection:
    """The tasks of this repository alone."""
    spec = importlib.util.spec_from_file_location("chores", ROOT / "tests/chores.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Collection(*(one for one in vars(module).values() if isinstance(one, Task)))


@pytest.fixture(scope="module")
def parser() -> Parser:
    """Invoke's own, as `inv` has it in this repository."""
    initial = Program().initial_context
    return Parser([*ns.to_contexts(), *chores().to_contexts()], initial=initial)


def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def names(block: Block) -> list[tuple[Path, str]]:
    """The tests that a block names."""
    found = [name.partition("::") for name in re.split(r",\s+", block.what)]
    return [(ROOT / path, function) for path, _, function in found]


def test_there_are_blocks() -> None:
    assert len(TYPED) > 20
    assert len(RUN) > 3


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_is_typed_is_called_so(block: Block) -> None:
    assert block.language, "a fence says what it holds"
    assert block.language not in ("bash", "shell", "zsh"), "sh, or console where output follows"
    if block.language not in SHELLS:
        typed = re.findall(r"^\$ .*", block.text, re.MULTILINE)
        assert typed == [], "what is typed after $ is a console block"


@pytest.mark.parametrize("block", TYPED, ids=str)
def test_each_is_run_or_names_the_test_that_does(block: Block) -> None:
    assert block.how, "see Documents in .github/CONTRIBUTING.md"
    if block.how == "run":
        assert block.what in PROJECTS
        return
    for path, function in names(block):
        assert path.is_file(), f"there is no {path}"
        assert function in functions(path), f"there is no {function} in {path}"


@pytest.mark.parametrize("block", TYPED, ids=str)
def test_invoke_understands_each_command(block: Block, parser: Parser) -> None:
    for command, _ in block.session:
        words = ours(command)
        if words is not None:
            try:
                parser.parse_argv(words)
            except ParseError as error:
                pytest.fail(f"{command}: {error}")


INLINE = [
    (document, " ".join(command.replace("\\|", "|").split()))
    for document in DOCUMENTS
    for command in re.findall(
        r"`((?:\./bootstrap )?(?:inv|unstale) [^`]+)`",
        re.sub(FENCE, "", (ROOT / document).read_text(encoding="utf-8")),
    )
]
# A task of the reader's, and ours where they are mounted.
OTHERS = re.compile(r"\b(TASK|mine|unstale\.[a-z.]+)\b")


def test_invoke_understands_what_a_sentence_says_to_type(parser: Parser) -> None:
    known = {*ns.task_names, *chores().task_names}
    wrong = []
    for document, command in INLINE:
        words = ours(command) or []
        if OTHERS.search(command) or (len(words) == 1 and words[0] in known):
            continue  # named alone, a task that takes a word lacks it
        try:
            parser.parse_argv(words)
        except ParseError as error:
            wrong.append(f"{document}: {command}: {error}")

    assert len(INLINE) > 100
    assert wrong == []


@pytest.mark.parametrize("block", [b for b in TYPED if b.how == "tested"], ids=str)
def test_a_named_test_types_each_task_and_option(block: Block) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path, _ in names(block))
    asked = {word for command, _ in block.session for word in typed(ours(command) or ())}

    assert {word for word in asked if not re.search(rf"(?<![\w-]){word}\b", sources)} == set()


def typed(words: Sequence[str]) -> Iterator[str]:
    """The tasks of the package among *words*, and their options."""
    options: set[str] = set()
    for word in takewhile(lambda word: word != "--", words):
        if word in ns.task_names:
            options = {
                f"--{name}"
                for context in ns.to_contexts()
                if context.name == word
                for name in context.args
            }
        if word in ns.task_names or word in options:
            yield word


COMMANDS = re.findall(
    r"^\| .+ \| (?P<now>.*`inv .*) \| `(?P<path>[\w/.]+)::(?P<test>\w+)` \|$",
    (ROOT / "docs/recipes/commands.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_every_line_of_the_table_of_commands_is_seen() -> None:
    table = (ROOT / "docs/recipes/commands.md").read_text(encoding="utf-8")

    assert len(COMMANDS) == len(re.findall(r"^\| ", table, re.MULTILINE)) - 1 > 20


@pytest.mark.parametrize(("now", "path", "test"), COMMANDS)
def test_the_test_beside_a_command_types_it(now: str, path: str, test: str, parser: Parser) -> None:
    source = (ROOT / "tests/suite" / path).read_text(encoding="utf-8")
    assert test in functions(ROOT / "tests/suite" / path)
    for command in re.findall(r"`(inv [^`]+)`", now):
        words = ours(command)
        assert words
        parser.parse_argv(words)
        assert [word for word in typed(words) if word not in source] == []


def test_the_readme_and_the_recipe_say_the_same_of_make() -> None:
    rows = [
        re.findall(
            r"^\| `(make [\w-]+)`[^|]*\| `(inv [^`]+)`",
            page.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        for page in (ROOT / "README.md", ROOT / "docs/recipes/commands.md")
    ]

    assert len(rows[0]) == 8
    assert sorted(rows[0]) == sorted(rows[1])


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The project that a block is about, in git."""
    root = tmp_path / request.param
    for name, text in PROJECTS[request.param].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(("git", "init", "--quiet", "-b", "main", str(root)), check=True)
    return root


@pytest.mark.parametrize(
    ("block", "project"), [(b, b.what) for b in RUN], ids=str, indirect=["project"]
)
def test_what_is_typed_is_done_and_says_what_stands_there(block: Block, project: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("UNSTALE_", "CI", "GIT"))}
    environ |= {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), environ["PATH"])),
        "XDG_STATE_HOME": str(project.parent / "state"),
    }
    for command, expected in block.session:
        done = subprocess.run(
            ("bash", "-euc", command),
            cwd=project,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

        code = re.search(r"# (\d)$", command)
        assert done.returncode == int(code[1] if code else 0), done.stdout
        if expected:
            assert says(done.stdout.splitlines(), expected), done.stdout


def says(lines: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether *lines* are the expected ones, of which ``...`` stands for any number."""
    parts = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()) + r" *\n" for line in expected
    ]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in lines)) is not None


@pytest.mark.parametrize(
    ("expected", "same"),
    [
        (["a", "b"], True),
        (["a"], False),
        (["a", "..."], True),
        (["...", "b"], True),
        (["...", "c", "..."], False),
    ],
)
def test_output_is_compared_line_by_line(expected: list[str], *, same: bool) -> None:
    assert says(["a", "b"], expected) == same
