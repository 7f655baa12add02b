"""Commands as flags: one removed flag is one difference, and none is silent."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import product

import pytest

from unstale.parity.flags import SCRIPT, flag_map, is_postgres_command

Flags = Mapping[str, str | None]


def differing(left: Flags, right: Flags) -> list[str]:
    absent = object()
    names = sorted({*left, *right})
    return [name for name in names if left.get(name, absent) != right.get(name, absent)]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("postgres -c synchronous_commit=off", id="separate"),
        pytest.param("postgres -csynchronous_commit=off", id="glued"),
        pytest.param("postgres --synchronous_commit=off", id="long"),
        pytest.param("postgres --synchronous-commit=off", id="dashes"),
        pytest.param("postgres -c SYNCHRONOUS_COMMIT=off", id="capitals"),
        pytest.param("-c synchronous_commit=off", id="without-the-program"),
        pytest.param("postgres -c synchronous_commit=on -c synchronous_commit=off", id="last-wins"),
    ],
)
def test_every_spelling_of_a_servers_setting_is_one(command: str) -> None:
    found = flag_map(shlex.split(command), says_postgres=True)

    assert found == {"synchronous_commit": "off"}


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("-F", {"fsync": "off"}),
        ("-p 5433", {"port": "5433"}),
        ("-N10", {"max_connections": "10"}),
        ("-i", {"listen_addresses": "*"}),
        ("-Fc jit=off", {"fsync": "off", "jit": "off"}),
        ("-D /data", {"-D": "/data"}),
        ("-c", {"-c": None}),
        ("-c jit", {"jit": None}),
        ("-f s -fm", {"-f": "s m"}),
        ("-D /a -D /b", {"-D": "/b"}),
        ("--single -j shop", {"single": None, "-j": None, "word 2": "shop"}),
        ("-c a=b=c", {"a": "b=c"}),
        ("-c a=", {"a": ""}),
    ],
)
def test_short_options_of_the_server_are_settings_too(option: str, setting: Flags) -> None:
    assert flag_map(["postgres", *shlex.split(option)]) == setting


def test_a_path_to_the_server_says_which_one_it_is() -> None:
    command = ["/usr/lib/postgresql/17/bin/postgres", "-c", "jit=off"]

    assert flag_map(command) == {"jit": "off", "word 1": command[0]}


def test_the_order_of_settings_says_nothing() -> None:
    left = flag_map(["postgres", "-c", "a=1", "-cb=2"])
    right = flag_map(["postgres", "--b=2", "-c", "a=1"])

    assert left == right
    assert list(left) == list(right)


TEN = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "max_connections=200",
    "shared_buffers=256MB",
    "work_mem=16MB",
    "log_statement=none",
    "log_min_duration_statement=-1",
    "autovacuum=off",
    "jit=off",
)


@pytest.mark.parametrize("removed", TEN)
def test_one_setting_out_of_ten_is_one_difference(removed: str) -> None:
    left = flag_map(["postgres", *(word for one in TEN for word in ("-c", one))])
    right = flag_map(["postgres", *(f"-c{one}" for one in TEN if one != removed)])

    assert differing(left, right) == [removed.partition("=")[0]]


@pytest.mark.parametrize(
    ("command", "says_postgres", "expected"),
    [
        ("postgres", False, True),
        ("/usr/lib/postgresql/17/bin/postgres -D x", False, True),
        ("-c a=b", True, True),
        ("-c a=b", False, False),
        ("sh -c postgres", True, False),
        ("", True, False),
    ],
)
def test_a_servers_command_is_told_apart(
    command: str,
    says_postgres: bool,
    expected: bool,
) -> None:
    assert is_postgres_command(shlex.split(command), says_postgres=says_postgres) is expected


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("uvicorn app:app", {"word 1": "uvicorn", "word 2": "app:app"}),
        ("web --port 80 --host=a", {"word 1": "web", "--host": "a", "--port": "80"}),
        ("web -p80 --debug", {"word 1": "web", "-p": "80", "--debug": None}),
        ("web --no-cache a", {"word 1": "web", "--no-cache before word 2": None, "word 2": "a"}),
        ("celery -A app worker -l info", {
            "word 1": "celery", "-A before word 2": "app", "word 2": "worker", "-l": "info",
        }),
        ("run -v x -v y", {"word 1": "run", "-v": '["x", "y"]'}),
        ("java '--args=-Xms1g -Xmx1g'", {"word 1": "java", "--args": "-Xms1g -Xmx1g"}),
        ("java --args '-Xms1g -Xmx1g'", {"word 1": "java", "--args": "-Xms1g -Xmx1g"}),
        ("a -- -x --y", {"word 1": "a", "word 2": "--", "word 3": "-x", "word 4": "--y"}),
        ("a --x=", {"word 1": "a", "--x": ""}),
        ("vault -dev -dev-root-token-id abc", {
            "word 1": "vault", "-d": "ev", "-dev-root-token-id": "abc",
        }),
        ("prom -config.file=/x", {"word 1": "prom", "-config.file": "/x"}),
        ("tail -f -", {"word 1": "tail", "-f": "-"}),
    ],
)  # fmt: skip
def test_a_command_is_words_and_flags(command: str, flags: Flags) -> None:
    assert flag_map(shlex.split(command)) == flags


@pytest.mark.parametrize(
    ("command", "removed"),
    [
        ("web app --host a --port 80 --workers 2", "--host a"),
        ("web app --host a --reload --workers 2", "--reload"),
        ("web app --host=a --port=80 -q", "-q"),
        ("web --reload app --host=a", "--reload"),
        ("web -v x -v y -v z", "-v y"),
        ("web -v x -v y", "-v x"),
        ("web -A app worker --loglevel info", "-A app"),
    ],
)
def test_one_removed_flag_is_one_difference(command: str, removed: str) -> None:
    rest = command.replace(f" {removed}", "", 1)

    assert len(differing(flag_map(shlex.split(command)), flag_map(shlex.split(rest)))) == 1


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (["sh", "-c", "a && b --c"], {"word 1": "sh", "options": "-c", SCRIPT: "a && b --c"}),
        (["/bin/bash", "-ec", "a"], {"word 1": "/bin/bash", "options": "-ec", SCRIPT: "a"}),
        (["bash", "-o", "pipefail", "-c", "a", "b"], {
            "word 1": "bash", "options": "-o pipefail -c", SCRIPT: "a", "word 2": "b",
        }),
        (["sh", "start.sh", "-c", "a"], {"word 1": "sh", "word 2": "start.sh", "-c": "a"}),
        (["sh", "-c"], {"word 1": "sh", "-c": None}),
    ],
)  # fmt: skip
def test_a_shells_script_is_one_item(command: list[str], flags: Flags) -> None:
    assert flag_map(command) == flags


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("mysql -phunter2=x -u root", id="mysql"),
        pytest.param("redis-cli -ahunter2-x", id="redis"),
        pytest.param("tool -phunter2", id="glued"),
        pytest.param("tool --password=hunter2", id="long"),
        pytest.param("tool hunter2 '-x hunter2' '--hunter2 --a'", id="words"),
        pytest.param("postgres -c hunter=hunter2", id="server"),
    ],
)
def test_no_name_holds_a_value(command: str) -> None:
    assert not [name for name in flag_map(shlex.split(command)) if "hunter2" in name]


ALPHABET = (
    "a",
    "b",
    "-x",
    "-y",
    "-xa",
    "--opt",
    "--opt=a",
    "--opt=",
    "--reload",
    "--",
    '["a"]',
    "",
)


def canonical(tokens: tuple[str, ...]) -> object:
    """The tokens, with long flags split and each run of flags between words in order."""
    runs: list[list[tuple[str, ...]]] = [[]]
    words: list[str] = []
    rest = list(tokens)

    def word(text: str) -> None:
        words.append(text)
        runs.append([])

    while rest:
        token = rest.pop(0)
        if token == "--":
            for text in (token, *rest):
                word(text)
            break
        if not token.startswith("-"):
            word(token)
        elif "=" in token:
            runs[-1].append(tuple(token.split("=", 1)))
        elif token == "-xa":
            runs[-1].append(("-x", "a"))
        elif token != "--reload" and rest and not rest[0].startswith("-"):
            runs[-1].append((token, rest.pop(0)))
        else:
            runs[-1].append((token,))
    # A stable sort: the order of one flag's values counts.
    return words, [sorted(run, key=lambda flag: flag[0]) for run in runs]


def test_commands_are_equal_only_up_to_spelling() -> None:
    forms: dict[str, object] = {}
    for length in range(5):
        for tokens in product(ALPHABET, repeat=length):
            key = repr(sorted(flag_map(tokens).items()))

            assert forms.setdefault(key, canonical(tokens)) == canonical(tokens), tokens


def test_servers_commands_are_equal_only_up_to_spelling() -> None:
    settings = (("a", "1"), ("a", "2"), ("b", "1"), ("b", ""))
    forms: dict[str, object] = {}
    for length in range(5):
        for pairs in product(settings, repeat=length):
            for spelled in ("-c {}={}", "-c{}={}", "--{}={}"):
                command = ["postgres", *" ".join(spelled.format(*p) for p in pairs).split()]
                key = repr(sorted(flag_map(command).items()))

                assert forms.setdefault(key, dict(pairs)) == dict(pairs)
