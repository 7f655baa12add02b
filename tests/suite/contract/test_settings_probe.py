"""Settings classes asked by importing them, and what is told of them from their text."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unstale.adapters.process import SystemProcess
from unstale.adapters.settings_probe import Probed, probe_settings
from unstale.parity.asked import asked_reads
from unstale.parity.defaults import Known, NoDefault, NotKnown, Read, Required
from unstale.parity.reads import code_reads, with_asked

HEAD = """\
from __future__ import annotations
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Optional
from pydantic import *
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[int, Field(gt=0)]


class Level(str, Enum):
    INFO = "info"


class Part(BaseModel):
    host: str = "a"


class Settings(BaseSettings):
"""

CASES = {
    "plain": "a: str\n    b: int = 5\n    c: bool = False\n    d: float = 1.5\n    e: str = 'x'",
    "prefix": "model_config = SettingsConfigDict(env_prefix='APP_')\n    a: int = 5",
    "inner class": "class Config:\n        env_prefix = 'APP_'\n    a: int = 5",
    "case": "model_config = SettingsConfigDict(case_sensitive=True)\n    aB: int = 5",
    "alias": "a: int = Field(5, alias='Other')\n    b: int = Field(6, validation_alias='B2')",
    "alias and prefix": (
        "model_config = SettingsConfigDict(env_prefix='P_', populate_by_name=True)\n"
        "    a: int = Field(5, alias='other')"
    ),
    "prefix for aliases": (
        "model_config = SettingsConfigDict(env_prefix='P_', env_prefix_target='all')\n"
        "    a: int = Field(5, alias='other')"
    ),
    "choices": "a: int = Field(5, validation_alias=AliasChoices('x', 'y', AliasPath('z', 0)))",
    "path": "a: int = Field(5, validation_alias=AliasPath('z', 0))",
    "optional": "a: Optional[int] = 5\n    b: str | None = None\n    c: Optional[str]",
    "annotated": "a: Seconds = 900\n    b: Annotated[int, Field(ge=1)] = 3",
    "literal": "a: Literal['x', 'y'] = 'x'",
    "enum": "a: Level = Level.INFO",
    "factory": "a: str = Field(default_factory=str)",
    "nested": "a: Part = Part()\n    b: Part",
    "validator": (
        "a: int = 5\n    @field_validator('a', mode='before')\n    def f(cls, v): return v"
    ),
    "before": "a: Annotated[int, BeforeValidator(int)] = 5",
    "sources": (
        "a: int = 5\n    @classmethod\n    def settings_customise_sources(cls, *a, **k): return a"
    ),
}

V1_HEAD = """\
from typing import *
from pydantic.v1 import *


class Settings(BaseSettings):
"""

V1_CASES = {
    "plain": "a: str\n    b: int = 5\n    c = False\n    d: Optional[int]",
    "prefix": "a: int = 5\n    class Config:\n        env_prefix = 'APP_'",
    "env": "a: int = Field(5, env='Other')\n    b: int = Field(6, env='b2')",
    "fields": "a: int = 5\n    class Config:\n        fields = {'a': {'env': 'b'}}",
    "case": "aB: int = 5\n    class Config:\n        case_sensitive = True",
    "constrained": "a: conint(gt=0) = 5\n    b: PositiveInt = 5",
}


def ask(folder: Path, text: str, target: str = "config:Settings", **options: float) -> Probed:
    (folder / "config.py").write_text(text, encoding="utf-8")
    return probe_settings(SystemProcess(), (sys.executable,), target, folder, **options)


def reads_in(probed: Probed) -> tuple[Read, ...]:
    return asked_reads(probed.answer) if probed.answer else ()


def facts(read: Read) -> tuple[object, ...]:
    default = read.default
    if isinstance(default, Known):
        return read.name, read.alternatives, read.is_case_sensitive, default.value
    return read.name, read.alternatives, read.is_case_sensitive, type(default).__name__


@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_the_class_itself_says_what_its_text_says(tmp_path: Path, body: str) -> None:
    text = f"{HEAD}    {body}\n"

    asked = ask(tmp_path, text)
    told = code_reads([("config.py", text)])

    assert asked.note == ""
    assert {facts(read) for read in reads_in(asked)} == {facts(read) for read in told.reads}


@pytest.mark.parametrize("body", V1_CASES.values(), ids=V1_CASES)
def test_a_class_of_the_first_pydantic_says_so_too(tmp_path: Path, body: str) -> None:
    text = f"{V1_HEAD}    {body}\n"

    asked = ask(tmp_path, text)
    told = code_reads([("config.py", text)])

    assert asked.note == ""
    assert {facts(read) for read in reads_in(asked)} == {facts(read) for read in told.reads}


def test_no_secret_s_default_is_told(tmp_path: Path) -> None:
    body = (
        "a: SecretStr = SecretStr('hunter2-a')\n    db_password: str = 'hunter2-b'\n"
        "    url: str = 'postgresql://u:hunter2-c@db/x'\n    b: str = 'plain'\n"
    )
    process = SystemProcess()
    heard: list[str] = []

    class Listening:
        def run(self, command: object, on_line: object = None) -> object:
            result = process.run(command, on_line)  # type: ignore[arg-type]
            heard.append(result.stdout + result.stderr)
            return result

    (tmp_path / "config.py").write_text(f"{HEAD}    {body}", encoding="utf-8")
    asked = probe_settings(Listening(), (sys.executable,), "config:Settings", tmp_path)  # type: ignore[arg-type]

    assert "hunter2" not in "".join(heard)
    assert [read.default for read in reads_in(asked)] == [NotKnown()] * 3 + [Known("plain")]
    assert [read.is_secret for read in reads_in(asked)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "target", "why"),
    [
        ("raise ValueError('hunter2')", "config:Settings", "importing it raised ValueError"),
        ("import sys; sys.exit('hunter2')", "config:Settings", "importing it raised SystemExit"),
        ("import os; os._exit(7)", "config:Settings", "Python ended with 7"),
        ("", "config:Settings", "importing it raised AttributeError"),
        ("", "elsewhere:Settings", "importing it raised ModuleNotFoundError"),
        ("Settings = 5", "config:Settings", "importing it raised AttributeError"),
    ],
)
def test_a_class_that_cannot_be_asked_is_a_note(
    tmp_path: Path, text: str, target: str, why: str
) -> None:
    expected = f"{target} could not be asked for its variables: {why}"

    assert ask(tmp_path, text, target) == Probed(note=expected)


def test_a_class_that_takes_too_long_is_a_note(tmp_path: Path) -> None:
    probed = ask(tmp_path, "import time; time.sleep(60)", deadline_s=1.0)

    assert probed.note.endswith("it took more than 1 s")


def test_without_an_interpreter_there_is_a_note(tmp_path: Path) -> None:
    probed = probe_settings(SystemProcess(), ("no-such-python",), "config:Settings", tmp_path)

    assert probed.note.endswith("there is no no-such-python")


def test_what_the_module_prints_and_leaves_behind_does_not_matter(tmp_path: Path) -> None:
    noise = "import atexit, sys\nprint('hello'); print('hunter2', file=sys.stderr)\n"
    text = HEAD + "    a: int = 5\nimport os; os.system('echo hello')\n" + noise

    asked = ask(tmp_path, text)

    assert [facts(read) for read in reads_in(asked)] == [("A", (), False, "5")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.py"]


def test_the_module_sees_nothing_of_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "hunter2")
    text = HEAD + "    a: int = 5\nimport os\nif 'PLANTED' in os.environ: raise RuntimeError\n"

    assert ask(tmp_path, text).note == ""


def test_what_was_asked_completes_what_was_told(tmp_path: Path) -> None:
    text = HEAD + "    a: int = max(3, 5)\n    b: str\n    c: Optional[int] = None\n"
    told = code_reads([("config.py", text)])

    asked = ask(tmp_path, text + "Settings.model_fields['c'].default = 7\n")
    both = with_asked(
        told, [*reads_in(asked), Read("D", "lib.py", 1, "settings", Required())], "why"
    )

    assert [(read.name, read.line, read.default) for read in both.reads] == [
        ("A", 20, Known("5")),
        ("B", 21, Required()),
        ("C", 22, Known("7")),
        ("D", 1, Required()),
    ]
    assert told.reads[2].default == NoDefault()
    assert both.notes == ("why",)
