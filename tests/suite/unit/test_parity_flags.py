"""Commands as flags: one removed flag is one difference, and none is silent."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import product

import pytest

from unstale.mask import is_secret
from unstale.parity.flags import ORDER, SCRIPT, flag_map, is_postgres_command, is_reordered

Flags = Mapping[str, str | None]


def differing(left: Flags, right: Flags) -> list[str]:
    """The items that differ; the order only if it tells something of its own."""
    absent = object()
    names = sorted({*left, *right} - {ORDER})
    found = [name for name in names if left.get(name, absent) != right.get(name, absent)]
    return [*found, *([ORDER] if is_reordered(left.get(ORDER), right.get(ORDER), found) else [])]


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
        ("java -Dlog.level=x -Ddb.password=x", {
            "word 1": "java", "-D": "log.level=x", "-D (private)": "db.password=x",
        }),
        ("app --Logging:Level=x --port:80", {
            "word 1": "app", "--Logging (private)": "Level=x", "--port": "80",
        }),
        ("mongod --auth --bind_ip_all", {
            "word 1": "mongod", "--auth": None, "--bind_ip_all": None,
        }),
        ("prom -config.file=/x", {"word 1": "prom", "-config.file": "/x"}),
        ("tail -f -", {"word 1": "tail", "-f": "-"}),
    ],
)  # fmt: skip
def test_a_command_is_words_and_flags(command: str, flags: Flags) -> None:
    found = dict(flag_map(shlex.split(command)))
    found.pop(ORDER, None)

    assert found == flags


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
    found = dict(flag_map(command))
    found.pop(ORDER, None)

    assert found == flags


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("find . -delete -print", "find . -print -delete", id="find"),
        pytest.param("rsync --exclude=* --include=a", "rsync --include=a --exclude=*", id="rsync"),
        pytest.param("pytest -x tests", "pytest -xtests", id="glued"),
        pytest.param("web --port 80", "web --port=80", id="equals"),
        pytest.param("web --port=80", "web --port:80", id="colon"),
        pytest.param("run -v x -e y -v z", "run -v x -v z -e y", id="between-values"),
    ],
)
def test_another_order_or_spelling_is_one_difference(left: str, right: str) -> None:
    assert differing(flag_map(shlex.split(left)), flag_map(shlex.split(right))) == [ORDER]


def test_another_order_is_told_besides_another_flag() -> None:
    left = flag_map(shlex.split("find . -print -delete --depth 1"))
    right = flag_map(shlex.split("find . -delete -print --depth 2"))

    assert differing(left, right) == ["--depth", ORDER]


def test_the_order_has_names_and_no_value() -> None:
    command = "app run -xheron --to heron --by=heron --of:heron -v -- --heron"

    assert flag_map(shlex.split(command))[ORDER] == (
        '["word 1", "word 2", "-x<value>", "--to <value>", "--by=<value>", "--of:<value>", "-v",'
        ' "word 3", "word 4"]'
    )


@pytest.mark.parametrize("command", ["", "web", "web run", "sh -c 'web --port 80'"])
def test_without_flags_there_is_no_order(command: str) -> None:
    assert ORDER not in flag_map(shlex.split(command))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("mysql -phunter2=x -u root", id="mysql"),
        pytest.param("redis-cli -ahunter2-x", id="redis"),
        pytest.param("tool -phunter2", id="glued"),
        pytest.param("tool --password=hunter2", id="long"),
        pytest.param("tool hunter2 '-x hunter2' '--hunter2 --a'", id="words"),
        pytest.param("postgres -c hunter=hunter2", id="server"),
        pytest.param("postgres --auth-token:hunter2 -c ' hunter2 x'", id="no-setting"),
        pytest.param("timeout 5 mysql -phunter2-two-aaa", id="mysql-behind-another"),
        pytest.param("/start -phunter2-two-aaa", id="glued-with-dashes"),
        pytest.param("/start -phunter2_two=aaa", id="glued-with-equals"),
        pytest.param("redis-server --requirepass -hunter2-bbb", id="with-a-dash"),
        pytest.param("redis-server --requirepass --hunter2-bbb", id="with-two-dashes"),
        pytest.param("redis-cli -a -hunter2", id="short-with-a-dash"),
        pytest.param("app --auth-token:hunter2ccc", id="colon"),
        pytest.param("app --auth-token/hunter2ccc", id="slash"),
        pytest.param("app --Auth:hunter2=ccc", id="nested"),
    ],
)
def test_no_name_holds_a_value(command: str) -> None:
    found = flag_map(shlex.split(command))

    assert not [name for name in found if "hunter2" in name]
    assert "hunter2" not in (found.get(ORDER) or "")


@pytest.mark.parametrize(
    ("command", "item"),
    [
        ("timeout 5 mysql -pheron-two-aaa", "-p (password)"),
        ("/start -pheron-two-aaa", "-p (private)"),
        ("redis-server --requirepass -heron-two-bbb", "--requirepass"),
        ("app --auth-token:heronccc", "--auth-token"),
        ("app --Auth:Password=heron", "--Auth (private)"),
        ("postgres --auth-token:heron", "-c (private)"),
    ],
)
def test_a_password_is_the_value_of_what_says_that_it_is_secret(command: str, item: str) -> None:
    value = flag_map(shlex.split(command))[item]

    assert "heron" in (value or "")
    assert is_secret(item, value)


def test_the_program_that_takes_a_password_may_be_the_entrypoint() -> None:
    found = flag_map(["-pheron2"], entrypoint=["/usr/bin/mysql"])

    assert found == {"-p (password)": "heron2", ORDER: '["-p (password)<value>"]'}


def test_no_setting_that_the_server_refuses_is_silent() -> None:
    one, two = (flag_map(["postgres", "--a/b", "--order=1", f"--c:{end}"]) for end in "de")

    assert differing(one, two) == ["-c (private)"]
    assert ORDER not in one


ALPHABET = (
    "a",
    "b",
    "-x",
    "-y",
    "-xa",
    "--opt",
    "--opt=a",
    "--opt=",
    "--opt:a",
    "--reload",
    "--",
    '["a"]',
    "",
)


def test_commands_are_equal_only_if_they_are_the_same() -> None:
    known: dict[str, tuple[str, ...]] = {}
    for length in range(5):
        for tokens in product(ALPHABET, repeat=length):
            key = repr(sorted(flag_map(tokens).items()))

            assert known.setdefault(key, tokens) == tokens


def test_servers_commands_are_equal_only_up_to_spelling() -> None:
    settings = (("a", "1"), ("a", "2"), ("b", "1"), ("b", ""))
    forms: dict[str, object] = {}
    for length in range(5):
        for pairs in product(settings, repeat=length):
            for spelled in ("-c {}={}", "-c{}={}", "--{}={}"):
                command = ["postgres", *" ".join(spelled.format(*p) for p in pairs).split()]
                key = repr(sorted(flag_map(command).items()))

                assert forms.setdefault(key, dict(pairs)) == dict(pairs)
