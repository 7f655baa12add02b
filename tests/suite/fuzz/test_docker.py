"""What docker, compose and the engine answer, and what git prints."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale.adapters import docker_facts, docker_files, docker_words, engine, podman, refusals
from unstale.adapters.docker import DockerCli, _configured_context
from unstale.adapters.git import GitCli
from unstale.facts import ContainerFact, ImageFact
from unstale.image import imageconfig
from unstale.ports import CommandResult, ComposeTarget

HUGE = "9" * 5000
TARGET = ComposeTarget("shop", (Path("/p/compose.yml"),), (Path("/p/.env"),))

IMAGE: dict[str, Any] = {
    "Id": "sha256:1",
    "RepoTags": ["a:1"],
    "RepoDigests": [],
    "Created": "2026-01-01T00:00:00.123456789Z",
    "Size": 5,
    "Architecture": "amd64",
    "Os": "linux",
    "Config": {
        "Env": ["A=b"],
        "Labels": {"a": "b"},
        "WorkingDir": "/a",
        "OnBuild": None,
        "Cmd": ["x"],
        "Volumes": {"/v": {}},
        "Healthcheck": {"Test": ["CMD", "x"]},
    },
    "RootFS": {"Layers": ["sha256:2"]},
}
CONTAINER: dict[str, Any] = {
    "Id": "c1",
    "Name": "/shop-a-1",
    "Image": "sha256:1",
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "Error": "",
        "StartedAt": "2026-01-01T00:00:00.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {"Status": "unhealthy", "Log": [{"ExitCode": 1, "Output": "no", "Start": "x"}]},
    },
    "RestartCount": 0,
    "Config": {
        "Image": "a",
        "Labels": {"com.docker.compose.service": "a"},
        "Env": ["A=b"],
        "Cmd": ["x"],
        "Entrypoint": None,
        "Healthcheck": {"Test": ["x"]},
    },
    "HostConfig": {
        "Memory": 5,
        "Tmpfs": {"/t": ""},
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1"}]},
        "Mounts": [{"Target": "/v", "VolumeOptions": {"NoCopy": True}}],
    },
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}], "81/tcp": None},
        "Networks": {"shop_default": {"Aliases": ["a"]}},
    },
    "Mounts": [{"Type": "volume", "Name": "v", "Source": "/x", "Destination": "/v", "Mode": "z"}],
}
INFO = ["26.1.5", None, [{"Name": "compose", "Version": "v2.26.1", "Path": "/c"}]]
MODEL = {
    "name": "shop",
    "services": {"a": {"image": "b", "env_file": [{"path": "/p/a.env"}]}, "c": None},
    "networks": {"default": {"name": "x"}},
}
ANSWERS = (
    *(json.dumps(one) for one in (INFO, [IMAGE], [CONTAINER], MODEL, "unix:///x", ["RUN x"])),
    *("a 1234\nb 5678\n", "c1\nc2\n", "linux/amd64", '{"Name": "n", "Labels": {"a": "b"}}'),
)
WARNINGS = (
    'time="x" level=warning msg="The \\"A\\" variable is not set. Defaulting to a blank string."\n',
    "validating /p/compose.yml: services.a Additional property imag is not allowed\n",
    'failed to read /p/.env: line 3: unexpected character "\'" in variable name near "x"\n',
    'yaml: unmarshal errors:\n  line 3: mapping key "a" already defined at line 2\n',
    'service "a" depends on undefined service b: invalid compose project\n',
    "required variable A is missing a value: say it\n",
    "invalid interpolation format for services.a.image.\nYou may need to escape any $\n${A\n",
    "Error response from daemon: No such container: c1\n",
    "env file /p/x.env not found: stat /p/x.env: no such file or directory\n",
    f"line {HUGE}: key cannot contain a space\n",
)
said = soup.texts(WARNINGS, ("level=warning", 'msg="', "line 1:", "services.a", "/p/compose.yml"))
answers = soup.printed(
    st.one_of(
        soup.json_texts(INFO),
        soup.json_texts(MODEL),
        soup.json_texts([IMAGE], [CONTAINER]),
        soup.texts(ANSWERS),
    ),
    said,
)

ASK: Sequence[Callable[[DockerCli], object]] = (
    lambda cli: cli.check(),
    lambda cli: cli.config(TARGET),
    lambda cli: cli.resolved(TARGET),
    lambda cli: cli.resolved(TARGET, raw=True),
    lambda cli: cli.resolved(ComposeTarget("shop", TARGET.files, profiles=("*",))),
    lambda cli: cli.resolved_model({}),
    lambda cli: cli.config_hashes({}),
    lambda cli: cli.images_called(["a", "b"]),
    lambda cli: cli.images({"a": "b"}),
    lambda cli: cli.platform(),
    lambda cli: cli.history("a"),
    lambda cli: cli.containers({"a": "b"}),
    lambda cli: cli.networks({"a": "b"}),
    lambda cli: cli.volumes({"a": ""}),
    lambda cli: cli.logs("c", 5),
)


_PLUGIN = '["x", null, [{"Name": "compose", "Version": "VERSION"}]]'


def _one(out: str) -> list[CommandResult]:
    return [CommandResult(0, out, "", 0.1)]


@given(given_back=answers)
@example(given_back=_one(json.dumps([IMAGE | {"Size": float("inf")}])))
@example(given_back=_one("[" * 9000))
@example(given_back=_one('["x", null, 5]'))
@example(given_back=_one('["26.1", true, []]'))
@example(given_back=_one('["26.1", null, [{"Name": []}]]'))
@example(given_back=_one(_PLUGIN))
@example(given_back=_one(_PLUGIN.replace("VERSION", f"{HUGE}.1")))
def test_docker(with_docker: Mapping[str, str], given_back: Sequence[CommandResult]) -> None:
    """Each question gets the same answers."""
    for ask in ASK:
        with soup.only_ours():
            ask(DockerCli(soup.Answers(given_back), with_docker))


@pytest.mark.parametrize("content", ["{}", '{"currentContext": "x"}'])
def test_a_good_configuration_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)

    assert _configured_context({"DOCKER_CONFIG": str(tmp_path)}) in ("", "x")


@given(content=soup.raw(('{"currentContext": "x"}',)))
def test_configuration_of_docker(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "config.json").write_bytes(content)

    assert isinstance(_configured_context({"DOCKER_CONFIG": str(folder)}), str)


@given(soup.tables(IMAGE))
def test_image(raw: dict[str, Any]) -> None:
    with soup.only_ours(), docker_words.readable():
        fact = docker_facts.image_fact(raw)
        _check(fact)
    with soup.only_ours():
        if isinstance(fact := _image(raw), ImageFact):
            imageconfig.key(imageconfig.start(fact))
            imageconfig.needed(fact, is_inherited=True)
            imageconfig.commands(fact.config)


def _image(raw: dict[str, Any]) -> ImageFact | None:
    with soup.only_ours(), docker_words.readable():
        return docker_facts.image_fact(raw)
    return None


@given(raw=soup.tables(CONTAINER))
@example(raw=CONTAINER | {"HostConfig": {"Tmpfs": [["/a", "/b"]]}})
@example(raw=CONTAINER | {"HostConfig": {"Tmpfs": [[[]]]}})
def test_container(raw: dict[str, Any]) -> None:
    with soup.only_ours(), docker_words.readable():
        _check(docker_facts.container_fact(raw))


def _check(fact: ImageFact | ContainerFact) -> None:
    """That nothing in it is of another type than it says."""
    texts = [fact.id, *fact.labels, *fact.labels.values()]
    match fact:
        case ImageFact():
            texts += [*fact.tags, fact.os, *fact.layers, *fact.environment, *fact.on_build]
            assert fact.created is None or fact.created.astimezone(UTC)
            assert isinstance(fact.size_bytes, int)
        case ContainerFact():
            config = fact.config
            texts += [fact.name, fact.status, fact.started_at, fact.health or "", *config.command]
            texts += [m.target for m in fact.mounts] + [place for _, place in fact.ports]
            texts += [*config.networks, *(a for one in config.networks.values() for a in one)]
            assert isinstance(fact.exit_code, int)
    if not all(isinstance(text, str) for text in texts):
        raise AssertionError(texts)


EVENT = {"timeNano": 5, "Action": "die", "Actor": {"ID": "c", "Attributes": {"exitCode": "137"}}}


@given(st.lists(soup.tables(EVENT, EVENT | {"Action": "oom"}), max_size=3))
def test_deaths(events: list[dict[str, Any]]) -> None:
    with soup.only_ours(), docker_words.readable():
        docker_facts.deaths(events)


@given(said)
@example(f'level=warning msg="{HUGE}"')
def test_words(words: str) -> None:
    result = CommandResult(1, words, words, 0.1)
    docker_words.compose_warnings(words)
    docker_words.is_inconsistent(words)
    docker_words.meaningful(words.splitlines())
    for say in (docker_words.raise_gone, docker_words.raise_if_no_compose):
        with soup.only_ours():
            say(words)
    with soup.only_ours():
        docker_words.raise_unless_done(result, "x")
    with soup.only_ours():
        docker_words.check_plugins({"compose": words, "buildx": words}, ("compose", "buildx"))
    assert "heron-72" not in docker_words.compose_words(f'{words}\nnear "heron-72')


@given(soup.tables(MODEL))
def test_env_files_of_a_model(model: dict[str, Any]) -> None:
    with soup.only_ours(), docker_words.readable():
        docker_words.require_env_files_read(model)


COMPOSE = "services:\n  a:\n    image: ${A}\n    env_file: x.env\n"
ENV = "A=heron-72-lake\nB C=1\n=x\n"


@given(said, soup.texts((COMPOSE,)), soup.texts((ENV,)))
@example(f"failed to read /p/.env: line {HUGE}: key cannot contain a space", COMPOSE, ENV)
@example('failed to read /p/.env: Invalid template: "\\ud800"', COMPOSE, ENV)
def test_refusal(words: str, compose: str, env: str) -> None:
    texts = {"/p/compose.yml": compose, "/p/.env": f"{env}\nP=heron-72-lake"}

    told = refusals.refusal(words, texts)

    assert isinstance(told, str)
    assert "heron-72-lake" not in told or "heron-72-lake" in compose


# --- the engine's socket --------------------------------------------------------

_HTTP = (
    "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + '{"Id":"sha256:"}',
    'HTTP/1.1 404 Not Found\r\nContent-Length: 37\r\n\r\n{"message":"No such image: a:latest"}',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"Id"\r\n',
)


@given(soup.raw(_HTTP, ("HTTP/1.1", " 200", "\r\n", "Content-Length: ", "{", '"Id"')))
@example(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{'f' * 40}\r\n".encode())
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n{")
def test_engine(answer: bytes) -> None:
    theirs, ours = socket.socketpair()

    def read() -> None:
        with suppress(OSError):  # closed before all was read
            theirs.recv(65536)

    with theirs, ours:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        reading = threading.Thread(target=read)
        reading.start()
        with pytest.MonkeyPatch.context() as patched:
            link = ours.dup()
            patched.setattr(engine._Connection, "connect", lambda one: setattr(one, "sock", link))
            found = engine.images("/nowhere", ["a"])
        link.close()
        reading.join()

    assert found is None or isinstance(found.get("a", {}), dict)


CHECKED = {**CONTAINER, "Config": {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}}


@given(soup.tables(CHECKED))
def test_podman(found: dict[str, Any]) -> None:
    assert isinstance(podman.is_due(found, datetime(2026, 1, 1, tzinfo=UTC)), bool)


# --- archives --------------------------------------------------------------------

_NAMES = ("a", "a/b", "/etc/passwd", "../x", "a/../../x", "", "a/\udcff", "a" * 300, ".")
_TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE)


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Archives, some of them damaged."""
    target = io.BytesIO()
    form = draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name in draw(st.lists(st.sampled_from(_NAMES), max_size=4)):
            entry = tarfile.TarInfo(name)
            entry.type = draw(st.sampled_from(_TYPES))
            entry.linkname = draw(st.sampled_from(_NAMES))
            entry.size = len(name) if entry.isreg() else 0
            entry.mtime = draw(st.sampled_from([0, 1, -1, 1 << 40]))
            tar.addfile(entry, io.BytesIO(name.encode(errors="surrogateescape")[: entry.size]))
    content = bytearray(target.getvalue())
    for at, byte in draw(
        st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 255)), max_size=6)
    ):
        content[at % len(content)] = byte
    return bytes(content[: draw(st.sampled_from([len(content), 512, 700, 1500]))])


def _pax(record: str) -> bytes:
    """An archive with one extended header, which says *record*."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        head = tarfile.TarInfo("h")
        head.type = tarfile.XHDTYPE
        head.size = len(record)
        tar.addfile(head, io.BytesIO(record.encode()))
        tar.addfile(tarfile.TarInfo("a"))
    return target.getvalue()


@given(tars() | soup.raw(), st.sampled_from(["/", "/a", "/a/b"]), st.integers(1, 600))
@example(_pax("14 size=-5555\n"), "/a", 512)
@example(_pax("20 size=99999999999\n"), "/a", 512)
@example(_pax("18 mtime=infinity\n"), "/a", 512)
@example(_pax("999999999999 mtime=1\n"), "/a", 512)
@example(_pax("13 path=\0\0\0\n"), "/a", 512)
@example(_pax("22 GNU.sparse.major=1\n26 GNU.sparse.realsize=-1\n"), "/a", 512)
def test_archive(content: bytes, path: str, step: int) -> None:
    def archive() -> Any:
        yield from (content[at : at + step] for at in range(0, len(content), step))

    asked = PurePosixPath(path)
    with soup.only_ours():
        for member in docker_files.files(archive, asked):
            assert isinstance(member.content, bytes)


# --- git --------------------------------------------------------------------------

COMMIT = "\0".join(
    ("1" * 40, "1" * 7, "2026-01-01T00:00:00+00:00", "Subject", "2026-01-01T00:00:00+00:00")
)
_GIT = (
    COMMIT,
    f"\0{COMMIT}\0a\0b/c\0",
    " M a\0?? b\0!! c/\0",
    "a.py\0b/c.py\0",
    ".git\n",
    "\0\0\0",
)
_AT = (COMMIT.replace("2026", "0001").replace("+00:00", "+14:00"), COMMIT.replace("+00:00", ""))
git_words = soup.texts((*_GIT, *_AT), ("\0", "\n", "2026-01-01T00:00:00Z", "+25:00", "..", "a"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    (root / ".git").mkdir()
    (root / ".git" / "shallow").write_bytes(b"\xff" * 40)
    return root


@given(said=soup.printed(git_words), streamed=soup.raw((*_GIT, *_AT), ("\0", "M ", "a")))
@example(said=[CommandResult(0, _AT[0], "", 0.1)], streamed=b"")
@example(said=[CommandResult(0, _AT[1], "", 0.1)], streamed=b"")
@example(said=[CommandResult(0, ".git", "", 0.1)], streamed=b"?? b\0")
@example(said=[CommandResult(0, "\0", "", 0.1)], streamed=b"")
def test_git(checkout: Path, said: Sequence[CommandResult], streamed: bytes) -> None:
    paths = [checkout / "a", checkout / "b" / "c"]

    def git() -> GitCli:
        return GitCli(soup.Answers(said, _marked(streamed)), checkout)

    git().head()
    git().is_dirty()
    git().log(datetime(2026, 1, 1, tzinfo=UTC))
    git().commits_since("1" * 40)
    git().last_commits(paths)
    git().uncommitted(paths)
    git().blamed([(path, 1) for path in paths])
    git().listed(".py")


@pytest.fixture(autouse=True)
def _known_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark that a log's commits begin with, which nobody could guess."""
    monkeypatch.setattr("unstale.adapters.git.os.urandom", lambda count: b"\0" * count)


def _marked(streamed: bytes) -> bytes:
    return streamed.replace(b"1" * 40, (b"0" * 32) + b"\0" + b"1" * 40)


def test_a_good_log_is_read(checkout: Path) -> None:
    """Or the fuzzing of logs would see nothing but refusals."""
    log = soup.Answers([CommandResult(0, ".git", "", 0.1)], _marked(f"\0{COMMIT}\0\na\0".encode()))
    status = soup.Answers([CommandResult(0, COMMIT, "", 0.1)], b"")
    commits = GitCli(log, checkout)._last(checkout, ["a"])

    assert commits["a"].subject == "Subject"
    assert GitCli(status, checkout).head() is not None
