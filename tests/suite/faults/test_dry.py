"""``--dry``: no task changes anything, and each says what it would do; ``--echo``."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, docker
from invoke import Config, Context
from invoke.exceptions import Exit
from lightstack import fresh, gone
from shim import Shim, shim, verb

from unstale import ns
from unstale.adapters.leases import Leases
from unstale.errors import NotDone

MORE = """
[tool.unstale.environments.ci]
runner = "test-runner"
database = "none"

[tool.unstale.suites]
unit = ["unit"]
smoke = ["smoke"]
regression = ["regression"]

[tool.unstale.parity]
settings = "spy:Settings"
"""
# Importing it leaves a file behind: that would be code of the checkout.
SPY = "open('ran', 'w').close()\nclass Settings: pass\n"
ASKING = {
    *("compose config", "compose version", "compose ls", "compose ps", "compose logs", "info"),
    *("version", "ps", "inspect", "logs", "history", "events", "image ls", "image inspect"),
    *("container ls", "container inspect", "network ls", "network inspect", "volume ls"),
    *("volume inspect", "context inspect", "context ls", "buildx inspect", "buildx version"),
    *("buildx ls", "system df", "system info"),
}
# What a task needs, and whatever makes one change something, by the option's name.
GIVEN: dict[str, object] = {
    "left": "test",
    "right": "ci",
    "proof": "stack",
    "file": "Makefile",
    "makefile": True,
    "envs": "test,ci",
    "question": "env",
    "shell": "bash",
    "write": True,
    "baseline": True,
    "yes": True,
    "fix": True,
    "all": True,
    "build": True,
    "html": "page.html",
}
TASKS = sorted(ns.task_names)
NOTHING: dict[str, object] = {"service": [], "build_arg": []}  # to `image.build`


@dataclass
class Ground:
    checkout: Checkout
    shim: Shim
    state: Path
    before: list[str] = field(default_factory=list)

    def tree(self) -> dict[str, str]:
        """Every file of the project and of the state folder: how it looks and what is in it."""
        found = {}
        for root in (self.checkout.root, self.state):
            for path in sorted(root.rglob("*")):
                seen = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
                digest = hashlib.sha256(content).hexdigest()
                found[str(path)] = f"{seen.st_mode:o} {seen.st_mtime_ns} {digest}"
        return found

    def engine(self) -> list[str]:
        """Every object of this project, or of this state folder's owner."""
        name = self.checkout.root.name
        listed = [
            *(("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Status}}"),),
            *(("network", "ls", "--format", "{{.ID}} {{.Name}}"),),
            *(("volume", "ls", "--format", "{{.Name}}"),),
            *(("image", "ls", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"),),
        ]
        found = [line for argv in listed for line in docker(*argv).out.splitlines()]
        label = f"label=dev.unstale.owner={self.owner}"
        mine = docker("ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.ID}}").out
        # "Up 5 seconds" is another one a second later.
        return sorted(line.partition(" Up ")[0] for line in found if name in line) + mine.split()

    @property
    def owner(self) -> str:
        path = self.state / "unstale" / "machine"
        leases = Leases({"XDG_STATE_HOME": str(self.state)})
        return leases.owner if path.exists() else "nobody"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Nothing was ever built or written."""
    yield from _ground(tmp_path_factory.mktemp("dry"))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Images are built, and a stack stands."""
    for ground in _ground(tmp_path_factory.mktemp("dry")):
        env = {"XDG_STATE_HOME": str(ground.state)}
        ground.checkout.inv("image.build", "stack.up", env=env).must(0)
        ground.before = ground.engine()
        assert len(ground.before) > 4
        yield ground


def _ground(folder: Path) -> Iterator[Ground]:
    checkout = fresh(folder)
    checkout.append("pyproject.toml", MORE)
    (checkout.root / "spy.py").write_text(SPY)
    for suite in ("unit", "smoke", "regression"):
        (checkout.root / suite).mkdir()
        (checkout.root / suite / "test_spy.py").write_text("import spy\n")
    compose = (checkout.root / "docker-compose.test.yml").read_text()
    (checkout.root / "docker-compose.ci.yml").write_text(compose)
    (checkout.root / ".env.ci").write_text("EXTRA=1\n")
    state = folder / "state"
    state.mkdir(mode=0o700)
    try:
        yield Ground(checkout, shim(folder / "bin"), state)
    finally:
        gone(checkout)


Dry = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dry:
    """Run a task as ``--dry`` does: its code, and what it said."""

    def run(ground: Ground, name: str, **given: object) -> tuple[int, str, str]:
        monkeypatch.chdir(ground.checkout.root)
        monkeypatch.setenv("PATH", ground.shim.env["PATH"])
        monkeypatch.setenv("XDG_STATE_HOME", str(ground.state))
        monkeypatch.setattr(sys, "argv", ["unstale", name])
        config = Config(overrides={"run": {"dry": True, "echo": True}})
        capsys.readouterr()
        try:
            ns[name](Context(config), **given)
            code, message = 0, ""
        except Exit as end:
            code, message = end.code, str(end.message or "")
        said = capsys.readouterr()
        return code, said.out, said.err + message

    return run


def arguments(name: str) -> dict[str, object]:
    """All of *name*'s options that may change something, and what it can't do without."""
    found: dict[str, object] = {}
    _, *parameters = inspect.signature(ns[name].body).parameters.values()
    for one in parameters:
        if one.name in GIVEN:
            found[one.name] = GIVEN[one.name]
        elif one.annotation == "list[str]":
            found[one.name] = []
        elif one.default is one.empty:
            pytest.fail(f"GIVEN has no value for {name} --{one.name}")
    return found


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", [pytest.param("bare", marks=pytest.mark.long), "standing"])
def test_no_task_changes_anything(
    request: pytest.FixtureRequest, dry: Dry, kind: str, name: str
) -> None:
    ground: Ground = request.getfixturevalue(kind)
    tree = ground.tree()
    ground.shim.seen()

    code, out, err = dry(ground, name, **arguments(name))

    assert ground.tree() == tree
    assert {verb(argv) for argv in ground.shim.seen()} <= ASKING
    assert "Traceback" not in err
    assert "BUG" not in err
    assert code in (0, 2, 3, 4, 5)
    assert out or err


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("stack.up", {}, "compose.override.yml --env-file"),
        ("stack.down", {}, "would remove container unstale-lt-"),
        pytest.param("stack.reap", {}, "nothing is left over", marks=pytest.mark.long),
        ("image.build", {"all": True}, "build db test-runner"),
        pytest.param(
            "image.build",
            {"no_cache": True},
            "build --no-cache db test-runner",
            marks=pytest.mark.long,
        ),
        ("image.clean", {"yes": True}, "left."),
        ("test.unit", {}, "-m pytest unit"),
        pytest.param("test.run", {}, "test-runner python /app/check.py", marks=pytest.mark.long),
        ("test.smoke", {}, "test-runner python /app/check.py smoke"),
        ("test.local", {}, "would start a PostgreSQL"),
        ("test.integration", {}, "run_tests         would run: docker compose"),
        pytest.param(
            "test.integration",
            {"services": True},
            "down              would keep the stack",
            marks=pytest.mark.long,
        ),
        ("env.sync", {"write": True}, ".env.ci"),
        pytest.param(
            "image.timeline", {"html": "page.html"}, "would write page.html", marks=pytest.mark.long
        ),
    ],
)
def test_a_task_says_what_it_would_do(
    standing: Ground, dry: Dry, name: str, given: dict[str, Any], words: str
) -> None:
    code, out, err = dry(standing, name, **{**arguments(name), **given})

    assert words in out, err
    assert code == 0


def test_the_engine_is_as_it_was(standing: Ground, bare: Ground) -> None:
    assert standing.engine() == standing.before
    assert bare.engine() == bare.before == []


def test_a_dry_run_walks_all_steps(bare: Ground, dry: Dry) -> None:
    code, out, _ = dry(bare, "test.integration")

    steps = list(dict.fromkeys(line.split()[0] for line in out.splitlines()))
    assert steps[:6] == [
        *("sweep", "env_parity", "image_freshness", "build_if_needed", "prepare_stack"),
        "database_ready",
    ]
    assert steps[-2:] == ["down", "receipt"]
    assert "would build db: there is no image" in out
    assert code == 0


def test_a_red_verdict_is_seen_in_a_dry_run(bare: Ground, dry: Dry) -> None:
    bare.checkout.append(
        "pyproject.toml", 'allow = [{ key = "NOTHING", reason = "makes it a policy" }]\n'
    )
    try:
        code, _, err = dry(bare, "test.integration")
    finally:
        bare.checkout.replace(
            "pyproject.toml", 'allow = [{ key = "NOTHING", reason = "makes it a policy" }]\n', ""
        )

    assert code == 3, err
    assert "EXTRA" in err


def test_in_json_a_dry_run_is_one_document(bare: Ground, dry: Dry) -> None:
    code, out, _ = dry(bare, "test.integration", json=True)

    document = json.loads(out)
    assert (code, document["dry"]) == (0, True)
    assert any("would build db" in text for text in document["would"])


@pytest.mark.parametrize("program", [("-m", "unstale"), ("-m", "invoke")], ids=["unstale", "inv"])
def test_the_command_line_has_both(bare: Ground, program: tuple[str, ...]) -> None:
    (bare.checkout.root / "tasks.py").write_text("from unstale import ns\n")
    checkout = Checkout(bare.checkout.root, program)
    env = {**bare.shim.env, "XDG_STATE_HOME": str(bare.state)}
    bare.shim.seen()

    result = checkout.inv("--dry", "--echo", "image.build", "stack.reap", env=env).must(0)

    asked = {verb(argv) for argv in bare.shim.seen()}
    assert asked <= ASKING
    echoed = {" ".join(line.split()[:2]) for line in result.err.splitlines()}
    assert {"docker compose", "docker info", "docker ps"} <= echoed
    assert "build db test-runner" in result.out
    assert "nothing is left over" in result.out


def test_the_python_api_has_both(bare: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from unstale import Project

    monkeypatch.setenv("XDG_STATE_HOME", str(bare.state))
    echoed: list[str] = []
    told: list[str] = []
    project = Project.open(bare.checkout.root, dry=True, echo=echoed.append, tell=told.append)

    with pytest.raises(NotDone):
        project.image_build(told.append)

    assert project.is_dry
    assert any("would build db" in text for text in told)
    assert any(text.startswith("docker compose") for text in echoed)


def test_a_dry_run_on_a_fresh_machine_makes_no_folder(
    bare: Ground, dry: Dry, tmp_path: Path
) -> None:
    fresh_machine = replace(bare, state=tmp_path)

    code, _, err = dry(fresh_machine, "image.build", **NOTHING)

    assert code == 0, err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["image.build", "stack.up", "test.run", "test.integration"])
def test_a_dry_run_tells_what_the_real_one_refuses(
    bare: Ground, dry: Dry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UNSTALE_UNTRUSTED", "1")
    file = bare.checkout.root / "docker-compose.test.yml"
    text = file.read_text()
    file.write_text(text.replace("\n  db:\n", "\n  db:\n    privileged: true\n", 1))
    assert file.read_text() != text
    try:
        code, _, err = dry(bare, name, **(NOTHING if name == "image.build" else {}))
    finally:
        file.write_text(text)

    assert code == 2, err
    assert "reaches out of its containers" in err


def test_a_dry_run_ends_where_the_real_one_would_not_begin(bare: Ground, dry: Dry) -> None:
    file = bare.checkout.root / "docker-compose.test.yml"
    text = file.read_text()
    file.write_text(text.replace('"data:/data"', '"data:/data", "./nowhere:/nowhere"', 1))
    assert file.read_text() != text
    try:
        code, _, err = dry(bare, "test.integration")
    finally:
        file.write_text(text)

    assert code == 2, err
    assert "nowhere, which is not there" in err


@pytest.mark.parametrize("name", ["image.build", "test.run"])
def test_what_was_not_compared_is_neither_stale_nor_fresh(
    standing: Ground, dry: Dry, name: str
) -> None:
    proofs = standing.checkout.root / ".unstale" / "proofs"
    aside = proofs.rename(proofs.with_name("aside"))
    try:
        code, out, err = dry(standing, name, **(NOTHING if name == "image.build" else {}))
    finally:
        aside.rename(proofs)

    assert code == 4, err
    assert "would compare db's bytes" in out
    assert "would build db" not in out


def test_a_dry_look_into_an_image_tells_what_it_would_make(standing: Ground, dry: Dry) -> None:
    _, out, err = dry(standing, "image.verify", path="/app")

    assert "would run: docker create" in out + err


def test_a_dry_sweep_tells_of_an_engine_that_is_away(
    bare: Ground, dry: Dry, tmp_path: Path
) -> None:
    (tmp_path / "unstale").mkdir(mode=0o700)
    note = {"endpoint": {"DOCKER_HOST": "unix:///nowhere/docker.sock"}}
    (tmp_path / "unstale" / "1057.lease").write_text(json.dumps(note))

    code, out, _ = dry(replace(bare, state=tmp_path), "stack.reap")

    assert code == 5
    assert "unix:///nowhere/docker.sock could not be swept" in out
    assert [path.name for path in (tmp_path / "unstale").iterdir()] == ["1057.lease"]


def test_what_is_echoed_quotes_no_secret(bare: Ground) -> None:
    env = {**bare.shim.env, "XDG_STATE_HOME": str(bare.state)}
    secret = "heron-72-lighthouse"

    result = bare.checkout.inv(
        *("--dry", "--echo", "image.build", "--build-arg", f"API_TOKEN={secret}"), env=env
    ).must(0)

    assert secret not in result.text
