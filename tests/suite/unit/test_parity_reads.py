"""What code reads from the environment, told from its text."""

from __future__ import annotations

from textwrap import dedent

import pytest

from unstale.parity.defaults import (
    ABSENT,
    Absent,
    Default,
    Known,
    NoDefault,
    NotKnown,
    Read,
    Required,
    Rule,
    meaning,
)
from unstale.parity.reads import Reads, code_reads, is_code, is_program, mentions, with_asked

V2 = "from pydantic_settings import BaseSettings, SettingsConfigDict\nfrom pydantic import *\n"
V1 = "from pydantic import BaseSettings, Field\nfrom typing import *\n"


def reads_of(text: str, **others: str) -> Reads:
    """The reads of ``app/main.py``, and of other modules of ``app``."""
    files = {"app/main.py": text, **{f"app/{name}.py": other for name, other in others.items()}}
    return code_reads((file, dedent(content)) for file, content in files.items())


def names(reads: Reads) -> list[str]:
    return [read.name for read in reads.reads]


def only(reads: Reads) -> Read:
    assert len(reads.reads) == 1, reads
    return reads.reads[0]


def settings(body: str, head: str = V2) -> Reads:
    return reads_of(f"{head}class Settings(BaseSettings):\n    {body}\n")


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("import os\nos.getenv('X')", NoDefault()),
        ("import os\nos.getenv('X', 'a')", Known("a")),
        ("import os\nos.getenv('X', default='a')", Known("a")),
        ("import os\nos.getenv('X', None)", NoDefault()),
        ("import os\nos.getenv('X', '')", Known("")),
        ("import os\nos.getenv('X', 5)", NotKnown()),
        ("import os\nos.getenv('X', f())", NotKnown()),
        ("import os\nint(os.getenv('X', 5))", Known("5")),
        ("import os\nos.getenv('X') or 'a'", Known("a")),
        ("import os\nos.getenv('X') or f() or 'a'", NotKnown()),
        ("import os\nos.environ['X']", Required()),
        ("import os\nos.environ.get('X', 'a')", Known("a")),
        ("import os\nos.environ.pop('X', 'a')", Known("a")),
        ("import os\nos.environ.setdefault('X', 'a')", Known("a")),
        ("import os\n'X' in os.environ", NoDefault()),
        ("import os\n'X' not in os.environ", NoDefault()),
        ("import os as o\no.environ['X']", Required()),
        ("from os import environ\nenviron['X']", Required()),
        ("from os import environ as e\ne.get('X')", NoDefault()),
        ("from os import getenv\ngetenv('X', 'a')", Known("a")),
        ("import os\nN = 'X'\nD = 'a'\nos.getenv(N, D)", Known("a")),
        ("from decouple import config\nconfig('X', default='a')", Known("a")),
        ("from decouple import config\nconfig('X', default=True, cast=bool)", Known("true")),
        ("from decouple import config\nconfig('X', default=True)", NotKnown()),
        ("from decouple import config\nconfig('X')", Required()),
        ("from environs import Env\nenv = Env()\nenv.int('X', 5)", Known("5")),
        ("from environs import Env\nenv = Env()\nenv.str('X', default='a')", Known("a")),
        ("from environs import Env\nenv = Env()\nenv.list('X', ['a'])", NotKnown()),
        ("from environs import env as e\nimport os\nos.getenv('X')", NoDefault()),
        ("import environ\nenv = environ.Env()\nenv('X', default='a')", Known("a")),
        ("import environ\nenv = environ.Env(X=(bool, False))\nenv('X')", NotKnown()),
        ("from starlette.config import Config\nc = Config()\nc('X', bool, False)", Known("false")),
        (
            "from starlette.config import Config\nc = Config()\nc('X', cast=int, default=5)",
            Known("5"),
        ),
    ],
)
def test_a_read_of_the_environment_is_found_with_its_default(text: str, default: Default) -> None:
    read = only(reads_of(text))

    assert (read.name, read.file) == ("X", "app/main.py")
    assert read.default == default


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ['X'] = 'a'",
        "import os\ndel os.environ['X']",
        "import os\nos.environ.update(X='a')",
        "environ = {}\nenviron['X']",
        "from mine import getenv\ngetenv('X')",
        "def config(name): ...\nconfig('X')  # decouple",
    ],
)
def test_what_is_no_read_is_none(text: str) -> None:
    assert reads_of(text).reads == ()


def test_computed_names_are_counted_and_not_guessed() -> None:
    reads = reads_of("import os\n\nos.getenv(name)\nos.environ[f'{a}_B']\nos.getenv('C' + x)\n")

    assert reads.reads == ()
    assert reads.notes == (
        "3 reads with computed names in app/main.py:3, so any variable may matter",
    )


READ = "import os, subprocess\nfrom os import environ as E\nos.getenv('X', '1')\n"


@pytest.mark.parametrize(
    "more",
    [
        "dict(os.environ).get('Y')",
        "def f(env=os.environ): ...",
        "class C:\n    e = os.environ",
        "os.environb.get(b'Y')",
        "os.getenvb(b'Y')",
        "os.path.expandvars(text)",
        "Template(text).safe_substitute(os.environ)",
        "'{Y}'.format(**os.environ)",
        "(os.environ | {}).get('Y')",
        "match os.environ:\n    case {'Y': q}: ...",
        "for name in os.environ: ...",
        "os.environ.items()",
        "subprocess.run(['x'], env={**os.environ, 'Y': '1'})",
        "get = os.environ.get",
        "find = os.getenv",
        "E.copy()",
        "getattr(os, 'environ')",
        "__import__('os').environ['Y']",
        "from os import *\nenviron['Y']",
        "from app.compat import environ\nenviron['Y']",
        "import decouple\ndecouple.config('Y')",
        "from environs import Env\ndef f():\n    return Env()",
        "from environs import Env\nclass Mine(Env): ...",
        "from environs import Env\nenv = Env()\nf(env)",
        "import environ\nenv = environ.Env()\nenv.db()",
        "def get(name, default): return os.environ.get(name, default)",
        "os.environ.get(*names)",
        "os.environ[b'Y'.decode()]",
    ],
)
def test_whoever_has_the_whole_environment_may_read_any_variable(more: str) -> None:
    reads = reads_of(READ + more)

    assert reads.all_of("X") == ()
    assert len(reads.of("X")) == 1
    (note,) = reads.notes
    assert "app/main.py:" in note
    assert note.endswith(", so any variable may matter")


@pytest.mark.parametrize(
    "more",
    [
        "os.environ['Y']",
        "os.environ['Y'] = name",
        "os.environ[name] = '1'",
        "os.environ['Y'] += ':1'",
        "del os.environ['Y']",
        "'Y' in os.environ",
        "os.environ.update(Y='1')",
        "os.environ.setdefault('Y', '1')",
        "with mock.patch.dict(os.environ, {'Y': '1'}): ...",
        "monkeypatch.setitem(os.environ, 'Y', '1')",
        "monkeypatch.setenv('X', '1')",
        "from environs import Env\nenv = Env()\nenv.read_env()\nenv('Y')",
        "import environ\nenv: environ.Env = environ.Env()\nenviron.Env.read_env()\nenv('Y')",
        "request.environ['Y']",
        "environ = {}\nenviron[name]",
    ],
)
def test_what_names_its_variables_leaves_the_others_alone(more: str) -> None:
    reads = reads_of(READ + more)

    assert len(reads.all_of("X")) == 1
    assert reads.notes == ()


def test_a_variable_that_the_code_adds_to_has_to_be_there() -> None:
    assert only(reads_of("import os\nos.environ['X'] += 'a'")).default == Required()


@pytest.mark.parametrize(
    "more",
    [
        "subprocess.run('echo $X', shell=True)",
        "subprocess.run('echo ${X:-2}', shell=True)",
        "get('X', '2')",
        "NAMES = ['X']",
        "Option(envvar='X')",
    ],
)
def test_a_name_that_the_code_has_elsewhere_may_be_read_there(more: str) -> None:
    reads = reads_of(READ + "os.getenv('Y', '1')", other=f"import subprocess\n{more}")

    assert (reads.all_of("X"), len(reads.all_of("Y"))) == ((), 1)


def test_what_a_class_says_of_itself_is_certain_only_where_the_text_is() -> None:
    asked = [Read("X", "app/main.py", 3, "settings", Known("5"))]
    text = "import subprocess\nsubprocess.run('echo $X', shell=True)"

    assert with_asked(reads_of(""), asked).all_of("X") == tuple(asked)
    assert with_asked(reads_of(text), asked).all_of("X") == ()
    assert with_asked(reads_of("import os\nf(os.environ)"), asked).all_of("X") == ()


def test_a_library_s_object_may_be_asked_in_another_file() -> None:
    maker = "from environs import Env\nenv = Env()\nenv('X', '1')\n"

    alone = reads_of(maker)
    asked = reads_of(maker, other="from app.main import env\n\nenv('Y')\n")

    assert (alone.is_open, asked.is_open) == (False, True)
    assert asked.notes == (
        "app/other.py:1 uses the environment as a whole, so any variable may matter",
    )


def test_a_file_that_can_t_be_parsed_may_read_any_variable() -> None:
    assert reads_of(READ, other="import os\nos.getenv('Y'").all_of("X") == ()


@pytest.mark.parametrize(
    ("asking", "is_open"),
    [
        ("from app.main import Settings\ns.model_dump(exclude_unset=True)", True),
        ("from app import main\n'x' in s.model_fields_set", True),
        ("def f(settings): return settings.__fields_set__", True),
        ("def f(item): return item.model_dump(exclude_unset=True)", False),
        ("from app.main import Settings\ns.model_dump(exclude_none=True)", False),
    ],
)
def test_whoever_asks_which_settings_are_set_sees_a_default(asking: str, *, is_open: bool) -> None:
    text = V2 + "import os\nos.getenv('Y', '1')\nclass Settings(BaseSettings):\n    x: int = 5\n"

    reads = reads_of(text, routes=asking)

    assert (len(reads.all_of("x")), len(reads.all_of("Y"))) == (0 if is_open else 1, 1)
    assert [note.partition(" ")[2] for note in reads.notes] == [
        "asks which settings are set, so any of them may matter"
    ] * is_open


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("docker/entrypoint.sh", True),
        ("docker/entrypoint", True),
        ("Dockerfile.dev", True),
        ("web/index.js", True),
        ("nginx.conf.template", True),
        ("k8s/app.yaml", True),
        ("docker/docker-compose.ci.yml", False),
        (".github/workflows/ci.yml", False),
        ("env/.env.ci", False),
        ("node_modules/x/index.js", False),
        ("README.md", False),
        ("app/main.py", False),
    ],
)
def test_programs_beside_python_are_known_by_their_names(path: str, *, expected: bool) -> None:
    assert is_program(path) is expected


def test_programs_mention_words_in_capitals() -> None:
    files = [
        ("run.sh", b'test "${MODE:-z}" = "$x" # LOG_LEVEL\n'),
        ("web.js", b"process.env.API_URL || camelCASE"),
        ("README.md", b"TOLD"),
    ]

    assert mentions(files) == {"MODE", "x", "LOG_LEVEL", "API_URL"}


def test_a_file_that_is_not_python_is_a_note() -> None:
    reads = reads_of("import os\nos.getenv('X'", other="import os\nos.getenv('Y')\n")

    assert names(reads) == ["Y"]
    assert reads.notes == (
        "app/main.py is not Python that can be parsed here: what it reads is not known",
    )


@pytest.mark.parametrize(
    "content", [b"import os\n\0os.getenv('X')", b"import os\nos.getenv('\xff')"]
)
def test_bytes_that_are_no_text_are_a_note(content: bytes) -> None:
    assert len(code_reads([("app/main.py", content)]).notes) == 1


def test_a_default_is_in_no_repr() -> None:
    assert "hunter2" not in repr(reads_of("import os\nos.getenv('X', 'hunter2')"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app/main.py", True),
        ("env/check.py", True),
        ("env/lib/python3.12/site-packages/x.py", False),
        (".venv/lib/x.py", False),
        ("app/main.txt", False),
    ],
)
def test_code_of_others_is_not_looked_at(path: str, expected: bool) -> None:
    assert is_code(path) is expected


def test_a_constant_that_is_set_twice_is_not_followed() -> None:
    reads = reads_of("import os\nD = 'a'\nif os.name:\n    D = 'b'\nos.getenv('X', D)")

    assert only(reads).default == NotKnown()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nif os.getenv('X'): ...", True),
        ("import os\nnot os.getenv('X')", True),
        ("import os\nbool(os.getenv('X'))", True),
        ("import os\nos.getenv('X') or 'a'", True),
        ("import os\nos.getenv('X', 'a') or 'b'", False),
        ("import os\nos.getenv('X')", False),
        ("import os\nos.getenv('X', 'a')", False),
    ],
)
def test_empty_is_the_same_as_missing_only_where_the_code_says_so(
    text: str, expected: bool
) -> None:
    read = only(reads_of(text))

    same = meaning(read, "") is not None and meaning(read, "") == meaning(read, ABSENT)
    assert same is expected


@pytest.mark.parametrize(
    ("body", "name", "default", "rule"),
    [
        ("log_level: str = 'INFO'", "LOG_LEVEL", Known("INFO"), "text"),
        ("port: int = 5", "PORT", Known("5"), "int"),
        ("port: int = 60 * 60", "PORT", Known("3600"), "int"),
        ("debug: bool = False", "DEBUG", Known("false"), "bool"),
        ("debug: bool = 0", "DEBUG", Known("false"), "bool"),
        ("rate: float = 1", "RATE", Known("1"), "float"),
        ("x: str", "X", Required(), "text"),
        ("x: str = ...", "X", Required(), "text"),
        ("x: str = Field(...)", "X", Required(), "text"),
        ("x: str = Field(min_length=3)", "X", Required(), "text"),
        ("x: str = Field('a', min_length=3)", "X", Known("a"), "text"),
        ("x: str = Field(default='a')", "X", Known("a"), "text"),
        ("x: str = Field(default_factory=str)", "X", NotKnown(), "text"),
        ("x: str | None = None", "X", NoDefault(), "text"),
        ("x: Optional[int] = 5", "X", Known("5"), "int"),
        ("x: Optional[int]", "X", Required(), "int"),
        ("x: 'int' = 5", "X", Known("5"), "int"),
        ("x: int | str = 5", "X", NotKnown(), "text"),
        ("x: int | str = '5'", "X", Known("5"), "text"),
        ("x: Annotated[int, Field(gt=0)] = 5", "X", Known("5"), "int"),
        ("x: Annotated[int, Field(default=5)]", "X", Known("5"), "int"),
        ("x: Annotated[int, BeforeValidator(f)] = 5", "X", NotKnown(), "int"),
        ("x: Literal['a', 'b'] = 'a'", "X", Known("a"), "text"),
        ("x: Literal[1, 2] = 1", "X", NotKnown(), "text"),
        ("x: list[str] = ['a']", "X", Known('["a"]'), "json"),
        ("x: list[str] = f()", "X", NotKnown(), "json"),
        ("x: Path = Path('/a')", "X", Known("/a"), "text"),
        ("x: SecretStr = SecretStr('a')", "X", Known("a"), "text"),
        ("x: str = 5", "X", NotKnown(), "text"),
        ("x: str = Field('a', alias='Y')", "Y", Known("a"), "text"),
        ("x: str = Field('a', validation_alias='Y')", "Y", Known("a"), "text"),
        ("x: Annotated[str, Field(alias='Y')] = 'a'", "Y", Known("a"), "text"),
        ("x: list = Field([], validation_alias=AliasPath('y', 0))", "Y", NotKnown(), "json"),
    ],
)
def test_a_settings_field_is_found_with_its_default(
    body: str, name: str, default: Default, rule: Rule
) -> None:
    read = only(settings(body))

    assert (read.name, read.default, read.rule, read.how) == (name, default, rule, "settings")


@pytest.mark.parametrize(
    ("body", "default"),
    [
        ("x: Optional[int]", NoDefault()),
        ("X = 5", Known("5")),
        ("x: int = Field(5, alias='no')", Known("5")),
    ],
)
def test_the_first_pydantic_has_rules_of_its_own(body: str, default: Default) -> None:
    read = only(settings(body, head=V1))

    assert (read.name, read.default) == ("X", default)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x: int = Field(5, env='Y')", ["Y"]),
        ("x: int = Field(5, env=['Y', 'Z'])", ["Y", "Z"]),
        ("x: int = 5\n    class Config:\n        env_prefix = 'APP_'", ["APP_X"]),
        ("x: int = 5\n    class Config:\n        fields = {'x': {'env': 'Y'}}", ["Y"]),
    ],
)
def test_the_first_pydantic_names_variables_in_its_own_way(body: str, expected: list[str]) -> None:
    assert names(settings(body, head=V1)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("model_config = SettingsConfigDict(env_prefix='APP_')\n    x: int", ["APP_X"]),
        ("model_config = {'env_prefix': 'APP_'}\n    x: int", ["APP_X"]),
        ("class Config:\n        env_prefix = 'APP_'\n    x: int", ["APP_X"]),
        ("model_config = SettingsConfigDict(case_sensitive=True)\n    x: int", ["x"]),
        ("x: int = Field(validation_alias=AliasChoices('A', AliasPath('b', 0)))", ["A", "B"]),
        (
            "model_config = {'populate_by_name': True}\n    x: int = Field(alias='Y')",
            ["X", "Y"],
        ),
        ("model_config = SettingsConfigDict(env_prefix=f())\n    x: int", []),
        ("_private: int = 5\n    y: ClassVar[int] = 5", []),
    ],
)
def test_the_configuration_decides_the_names(body: str, expected: list[str]) -> None:
    assert names(settings(body)) == expected


def test_alternatives_know_of_each_other() -> None:
    found = settings("x: int = Field(5, validation_alias=AliasChoices('A', 'B'))").reads

    assert [(read.name, read.alternatives) for read in found] == [("A", ("B",)), ("B", ("A",))]


@pytest.mark.parametrize(
    "more",
    [
        "@classmethod\n    def settings_customise_sources(cls, *a): ...",
        "model_config = SettingsConfigDict(secrets_dir='/run/secrets')",
    ],
)
def test_behind_other_sources_no_default_is_known(more: str) -> None:
    assert only(settings(f"x: int = 5\n    {more}")).default == NotKnown()


def test_a_validator_that_sees_the_text_makes_numbers_unknown() -> None:
    validator = "@field_validator('x', mode='before')\n    def f(cls, v): ..."
    body = f"x: int = 5\n    y: int = 5\n    {validator}"
    found = settings(body).by_name()

    assert (found["X"][0].default, found["Y"][0].default) == (NotKnown(), Known("5"))


def test_secrets_are_marked_by_their_type() -> None:
    found = settings("a: SecretStr\n    b: SecretStr | None = None\n    c: str = 'c'").by_name()

    assert [found[name][0].is_secret for name in "ABC"] == [True, True, False]


def test_fields_and_prefix_are_inherited_across_modules() -> None:
    base = (
        V2
        + "class Base(BaseSettings):\n    model_config = {'env_prefix': 'APP_'}\n    x: int = 1\n"
    )
    child = "from app.base import Base\nclass Child(Base):\n    y: int = 2\n"

    found = reads_of(child, base=base).reads

    assert [(read.name, read.place) for read in found] == [
        ("APP_X", "app/base.py:5"),
        ("APP_Y", "app/main.py:3"),
    ]


@pytest.mark.parametrize(
    "statement", ["from .base import Base", "from app import Base", "from app.base import *"]
)
def test_a_base_class_is_found_however_it_is_imported(statement: str) -> None:
    base = V2 + "class Base(BaseSettings): ...\n"

    assert names(reads_of(f"{statement}\nclass Child(Base):\n    y: int = 2\n", base=base)) == ["Y"]


def test_a_base_that_nobody_makes_an_object_of_reads_nothing() -> None:
    text = V2 + "class Base(BaseSettings):\n    x: int = 1\nclass Child(Base):\n    x: int = 2\n"

    assert only(reads_of(text)).default == Known("2")
    assert len(reads_of(text + "Base()\n").reads) == 2


def test_a_class_of_another_library_is_not_taken_for_ours() -> None:
    base = V2 + "class Base(BaseSettings):\n    x: int = 1\n"

    reads = reads_of(
        "from elsewhere.base import Base\nclass Child(Base):\n    y: int = 2\n", base=base
    )

    assert names(reads) == ["X"]


def test_types_and_enums_of_other_modules_are_followed() -> None:
    types = """
    from enum import StrEnum
    from typing import Annotated
    Port = Annotated[int, 'a port']
    class Level(StrEnum):
        INFO = 'info'
    """
    text = V2 + (
        "from app.types import Level, Port\nclass Settings(BaseSettings):\n"
        "    port: Port = 5\n    level: Level = Level.INFO\n"
    )

    found = reads_of(text, types=types).by_name()

    assert (found["PORT"][0].default, found["LEVEL"][0].default) == (Known("5"), Known("info"))


def test_parts_of_a_nested_model_have_names_of_their_own() -> None:
    text = V2 + dedent("""
    class Db(BaseModel):
        host: str = 'db'
        port: int
    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter='__', env_prefix='APP_')
        db: Db
        other: Db = Db()
        third: Db = Db(host='x')
    """)

    found = {read.name: read for read in reads_of(text).reads}

    assert {name: read.default for name, read in found.items()} == {
        "APP_DB": Required(),
        "APP_DB__HOST": NotKnown(),
        "APP_DB__PORT": Required(),
        "APP_OTHER": NotKnown(),
        "APP_OTHER__HOST": Known("db"),
        "APP_OTHER__PORT": Required(),
        "APP_THIRD": NotKnown(),
        "APP_THIRD__HOST": NotKnown(),
        "APP_THIRD__PORT": NotKnown(),
    }
    assert [name for name, read in found.items() if read.is_whole] == [
        "APP_DB",
        "APP_OTHER",
        "APP_THIRD",
    ]


def test_models_that_contain_themselves_come_to_an_end() -> None:
    text = V2 + dedent("""
    class Tree(BaseModel):
        child: 'Tree | None' = None
    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter='__')
        tree: Tree = Tree()
    """)

    assert "TREE__CHILD" in names(reads_of(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            V2 + "class S(BaseSettings):\n    model_config = {'env_file': '.env.app'}\n",
            (".env.app",),
        ),
        (V2 + "class S(BaseSettings):\n    model_config = {'env_file': ('a', 'b')}\n", ("a", "b")),
        (V2 + "class S(BaseSettings):\n    model_config = {'env_file': f()}\n", (".env",)),
        ("from dotenv import load_dotenv\nload_dotenv()\n", (".env",)),
        ("from dotenv import load_dotenv\nload_dotenv(HERE / 'x.env')\n", ("x.env",)),
        ("from decouple import config\nconfig('X')\n", (".env",)),
        ("import os\nos.getenv('X')\n", ()),
    ],
)
def test_env_files_that_the_code_loads_are_named(text: str, expected: tuple[str, ...]) -> None:
    assert reads_of(text).env_files == expected


@pytest.mark.parametrize(
    ("rule", "one", "other", "expected"),
    [
        ("text", "a", "a", True),
        ("text", "1", "true", False),
        ("bool", "true", "1", True),
        ("bool", "On", "yes", True),
        ("bool", "f", "0", True),
        ("bool", "true", "false", False),
        ("bool", "", "false", False),
        ("bool", " true", "true", False),
        ("plain-bool", "true", "1", True),
        ("plain-bool", "yes", "true", False),
        ("int", "05", "5", True),
        ("int", "5.0", "5", False),
        ("int", "", "0", False),
        ("float", "1e0", "1.0", True),
        ("float", "nan", "nan", False),
        ("json", "[1, 2]", "[1,2]", True),
        ("json", "[1]", "[true]", False),
        ("json", "", "", False),
    ],
)
def test_values_are_the_same_only_by_the_reader_s_rule(
    rule: Rule, one: str | Absent, other: str, expected: bool
) -> None:
    read = Read("X", "a.py", 1, "settings", Required(), rule=rule)

    left, right = meaning(read, one), meaning(read, other)

    assert (left is not None and left == right) is expected


def test_reads_are_found_by_name_and_case() -> None:
    reads = settings("x: int = 5")

    assert [len(reads.of(name)) for name in ("X", "x", "Y")] == [1, 1, 0]


def test_the_order_of_the_files_does_not_matter() -> None:
    files = [(f"app/m{n}.py", f"import os\nos.getenv('A{n}')\n") for n in range(5)]

    assert code_reads(files) == code_reads(reversed(files))
