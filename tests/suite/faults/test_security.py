"""F24 and S3 to S11: what is hostile runs nothing, reads nothing and writes nowhere."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from harness import Checkout, Result, docker, environment
from lightstack import behave, fresh, gone

# --- looking runs nothing --------------------------------------------------------------

LOOKS = (
    "--list",
    "image.status",
    "image.verify --grep serve",
    "image.timeline",
    "plan",
    "why image",
    "stack.status",
    "stack.logs",
    "env.diff test other",
    "env.check",
    "init",
    "adopt Makefile",
)
ALL_LOOKS = (
    *LOOKS,
    "--help",
    "--version",
    "image.status --json",
    "image.list --history",
    "db.status",
    "env.matrix",
    "why stack",
    "why env",
    "test.integration --help",
)
# Proven, a finding, a usage error that the plant itself is, could not tell, not up.
_ANSWERS = {0, 2, 3, 4, 5}


@dataclass(frozen=True)
class Hostile:
    """A checkout, and a program that leaves a mark wherever it is run."""

    checkout: Checkout
    trap: Path
    mark: Path

    @property
    def root(self) -> Path:
        return self.checkout.root

    def write(self, path: str, text: str) -> None:
        """A file of the checkout; ``TRAP`` and ``MARK`` in it become paths."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("TRAP", str(self.trap)).replace("MARK", str(self.mark)))

    def program(self, path: str) -> None:
        self.write(path, '#!/bin/sh\nexec TRAP "$0" "$@"\n')
        (self.root / path).chmod(0o755)

    def git(self, *arguments: str) -> None:
        self.checkout.git(*(a.replace("TRAP", str(self.trap)) for a in arguments))

    def look(self, what: str, *, env: Mapping[str, str], program: tuple[str, ...]) -> int:
        done = subprocess.run(
            (*program, *what.split()),
            cwd=self.root,
            env={**environment(), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        text = f"{done.stdout}\n{done.stderr}"
        assert not self.mark.exists(), f"{what}: {self.mark.read_text()}\n{text}"
        assert "Traceback" not in text, text
        assert "BUG" not in text, text
        assert done.returncode in _ANSWERS, f"{what}: {done.returncode}\n{text}"
        return done.returncode


_PYTHON = "import os; os.system('TRAP python')\n"
_COMMAND = (str(Path(sys.executable).with_name("unstale")),)
_MODULE = (sys.executable, "-m", "unstale")


def _modules(at: Hostile, *names: str) -> None:
    for name in names:
        at.write(name, _PYTHON)


def _tasks(at: Hostile) -> None:
    _modules(at, "tasks.py", "tasks/__init__.py", "fabfile.py", "noxfile.py", "invoke.py")
    at.write("invoke.yaml", "run: {shell: TRAP}\ntasks: {collection_name: tasks}\n")
    at.write("invoke.json", '{"run": {"shell": "TRAP"}}')
    at.write("unstale.py", _PYTHON)
    at.write("unstale.yaml", "run: {shell: TRAP}\n")


def _python_starts(at: Hostile) -> None:
    _modules(at, "conftest.py", "sitecustomize.py", "usercustomize.py", "setup.py")
    at.write("evil.pth", "import os; os.system('TRAP pth')\n")
    at.write("pyvenv.cfg", "home = .\ninclude-system-site-packages = true\n")


def _shadows(at: Hostile) -> None:
    """Names of ours and of what we import, where `python -m` looks first."""
    names = ("yaml", "dotenv", "rich", "invoke", "filelock", "python_on_whales", "alembic")
    _modules(at, *(f"{name}/__init__.py" for name in names), *(f"{name}.py" for name in names))
    _modules(at, "tomllib.py", "difflib.py", "json.py", "sqlalchemy.py", "shlex.py", "base64.py")


def _settings(at: Hostile) -> None:
    at.write("evil.py", _PYTHON + "class Settings: pass\n")
    at.checkout.append("pyproject.toml", '\n[tool.unstale.parity]\nsettings = "evil:Settings"\n')


def _plugins(at: Hostile) -> None:
    """The record of docker's plugins, which names programs, as it once was in a checkout."""
    at.program("docker-compose")
    plugin = at.root / "docker-compose"
    docker = subprocess.run(("which", "docker"), capture_output=True, text=True, check=True)
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    seen = {}
    for path in (docker.stdout.strip(), str(home), str(plugin)):
        try:
            s = Path(path).stat()
            seen[path] = [s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns]
        except OSError:
            seen[path] = []
    import json

    at.write(".unstale/docker.json", json.dumps(seen))


def _records(at: Hostile) -> None:
    at.write(".unstale/standing/test", "../../../etc $(TRAP)\n")
    at.write(".unstale/standing/other", "x y z\n")
    at.write(".unstale/receipts/20990101T000000Z-0.json", '{"predicate": {"annotations": 1}}')
    at.write(".unstale/builds/test.jsonl", '{"service": "db"}\n[]\nTRAP\n')
    at.write(".unstale/proofs/x.json", "[]")


def _env_files(at: Hostile) -> None:
    lines = (
        "PATH=.:TRAP", "LD_PRELOAD=./evil.so", "DOCKER_HOST=tcp://127.0.0.1:9",
        "DOCKER_CONFIG=./.docker", "DOCKER_CONTEXT=evil", "GIT_SSH_COMMAND=TRAP", "GIT_SSH=TRAP",
        "GIT_EXEC_PATH=.", "GIT_EXTERNAL_DIFF=TRAP", "GIT_PAGER=TRAP", "PAGER=TRAP",
        "BASH_ENV=TRAP", "ENV=TRAP", "PYTHONPATH=.", "PYTHONSTARTUP=conftest.py",
        "COMPOSE_FILE=evil.yml", "COMPOSE_PROFILES=*", "COMPOSE_PROJECT_NAME=evil",
        "COMPOSE_EXPERIMENTAL_GIT_REMOTE=true", "COMPOSE_EXPERIMENTAL_OCI_REMOTE=true",
        "UNSTALE_TRUST=1", "BUILDX_CONFIG=.", "BUILDKIT_HOST=tcp://127.0.0.1:9",
    )  # fmt: skip
    for name in (".env", ".env.test", ".env.other", ".unstale/images.env"):
        before = (at.root / name).read_text() if (at.root / name).exists() else ""
        at.write(name, "\n".join((before, *lines, "")))
    at.write(".docker/config.json", '{"credsStore": "evil", "currentContext": "evil"}')
    for name in ("git", "docker", "ssh", "sh", "docker-credential-evil", "python", "grep"):
        at.program(name)


def _substitutions(at: Hostile) -> None:
    for text in ("A=$(TRAP)", "B=`TRAP`", "C=${D:-$(TRAP)}", "E='$(TRAP)'"):
        at.checkout.append(".env.test", f"{text.replace('TRAP', str(at.trap))}\n")


def _included(what: str) -> Callable[[Hostile], None]:
    def plant(at: Hostile) -> None:
        for name in ("docker-compose.test.yml", "docker-compose.other.yml"):
            old = (at.root / name).read_text()
            at.write(name, what + old)
        for name in (".env.test", ".env.other"):
            at.checkout.append(
                name,
                f"GIT_SSH_COMMAND={at.trap}\nCOMPOSE_EXPERIMENTAL_GIT_REMOTE=true\n"
                "COMPOSE_EXPERIMENTAL_OCI_REMOTE=true\n",
            )

    return plant


def _extended(at: Hostile) -> None:
    for name in ("docker-compose.test.yml", "docker-compose.other.yml"):
        at.checkout.replace(
            name, "  db:\n", "  db:\n    extends: {file: git@localhost:a/b.git, service: x}\n"
        )
        at.checkout.append(name.replace("docker-compose", ".env").removesuffix(".yml"),
                           f"GIT_SSH_COMMAND={at.trap}\n")  # fmt: skip


def _git(at: Hostile) -> None:
    at.write(".gitattributes", "* filter=evil diff=evil\n")
    keys = (
        "core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "core.askPass",
        "gpg.program", "diff.external", "diff.evil.textconv", "diff.evil.command",
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "alias.status",
        "alias.log", "credential.helper",
    )  # fmt: skip
    for name in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        at.program(f".githooks/{name}")
    for key in keys:
        at.git("config", key, "TRAP")
    at.git("config", "log.showSignature", "true")
    at.git("config", "core.hooksPath", ".githooks")
    (at.root / "app" / "serve.py").touch()
    at.checkout.append("app/check.py", "\n")


def _pytest(at: Hostile) -> None:
    at.write("evil_plugin.py", _PYTHON)
    at.checkout.append(
        "pyproject.toml", '\n[tool.pytest.ini_options]\naddopts = "-p evil_plugin"\n'
    )
    at.write("pytest.ini", "[pytest]\naddopts = -p evil_plugin\n")
    at.write(".coveragerc", "[run]\nplugins = evil_plugin\n")


def _dockerfile(at: Hostile) -> None:
    at.write("Dockerfile", "# syntax=example.com/evil\nFROM scratch\nRUN TRAP\nONBUILD RUN TRAP\n")


PLANTS: dict[str, Callable[[Hostile], None]] = {
    "tasks": _tasks,
    "python-starts": _python_starts,
    "shadows": _shadows,
    "settings": _settings,
    "plugins": _plugins,
    "records": _records,
    "env-files": _env_files,
    "substitutions": _substitutions,
    "git": _git,
    "pytest": _pytest,
    "dockerfile": _dockerfile,
    "include-git": _included("include: [{path: 'git@localhost:a/b.git'}]\n"),
    "include-https": _included("include: ['https://localhost:1/a/b.git']\n"),
    "include-oci": _included("include: ['oci://localhost:1/a/b']\n"),
    "extends-git": _extended,
}
# What makes compose refuse the file would hide what comes later.
_TOGETHER = [name for name in PLANTS if not name.startswith(("include", "extends"))]


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project while it was still honest: built, and up."""
    checkout = fresh(tmp_path_factory.mktemp("hostile"))
    (checkout.root / "docker-compose.other.yml").write_text(
        (checkout.root / "docker-compose.test.yml").read_text()
    )
    (checkout.root / ".env.other").write_text((checkout.root / ".env.test").read_text())
    (checkout.root / ".gitignore").write_text(".unstale/\n")
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.git("add", ".")
    checkout.git("commit", "--quiet", "-m", "Begin")
    checkout.inv("image.build").must(0)
    checkout.inv("stack.up").must(0)
    yield checkout
    checkout.inv("stack.down").must(0)
    gone(checkout)


@pytest.fixture
def hostile(proven: Checkout, tmp_path: Path) -> Iterator[Hostile]:
    """The project in the same folder, as somebody else pushed it."""
    mark, trap = tmp_path / "mark", tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho \"$0 $*\" >>'{mark}'\ncat\n")
    trap.chmod(0o755)
    aside = tmp_path / "aside"
    subprocess.run(("cp", "-a", str(proven.root), str(aside)), check=True)
    yield Hostile(proven, trap, mark)
    subprocess.run(("rm", "-r", str(proven.root)), check=True)
    subprocess.run(("cp", "-a", str(aside), str(proven.root)), check=True)


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        pytest.param(_TOGETHER, LOOKS, id="together"),
        pytest.param(["include-git"], ("image.status", "env.check"), id="include-git-in-short"),
        *(pytest.param([n], ALL_LOOKS, id=n, marks=pytest.mark.long) for n in PLANTS),
    ],
)
def test_looking_runs_nothing_of_a_hostile_checkout(
    names: list[str], looks: tuple[str, ...], hostile: Hostile
) -> None:
    for name in names:
        PLANTS[name](hostile)
    hostile.mark.unlink(missing_ok=True)  # what the planting itself ran
    # As many have it; in one of our own it would be the user's.
    path = {"PATH": f".::bin:{os.environ['PATH']}"}

    codes = {what: hostile.look(what, env=path, program=_COMMAND) for what in looks}

    assert {code for what, code in codes.items() if what.startswith("--")} <= {0}
    if names in (["tasks"], ["python-starts"], ["shadows"], ["plugins"], ["records"], ["pytest"]):
        assert codes["image.status"] == 0
        assert codes["env.diff test other"] == 0
    if "include" in names[0] or "extends" in names[0]:
        assert codes["image.status"] == 2


@pytest.mark.parametrize(
    "name",
    ["shadows", *(pytest.param(n, marks=pytest.mark.long) for n in ("tasks", "python-starts"))],
)
def test_python_dash_m_imports_nothing_of_the_folder_either(name: str, hostile: Hostile) -> None:
    PLANTS[name](hostile)
    # Python itself imports these before it comes to us: `python -P -m unstale` does not.
    for module in ("sitecustomize.py", "usercustomize.py", "unstale.py"):
        (hostile.root / module).unlink(missing_ok=True)

    assert hostile.look("image.status", env={}, program=_MODULE) == 0


def test_the_trap_goes_off_where_it_is_trusted(hostile: Hostile) -> None:
    _settings(hostile)

    with pytest.raises(AssertionError, match="python"):
        hostile.look("env.check", env={"UNSTALE_TRUST": "1"}, program=_COMMAND)


def test_a_planted_record_leads_to_no_other_stack(hostile: Hostile) -> None:
    """Who believed it would show, and take down, what another checkout has up."""
    record = hostile.root / ".unstale" / "standing" / "test"
    run, project = record.read_text().split()
    hostile.write(".unstale/standing/other", f"{run} {project}\n")

    assert hostile.checkout.inv("stack.status", "--env", "other").must(0).out == "No stack is up.\n"
    hostile.checkout.inv("stack.down", "--env", "other").must(0)
    assert len(hostile.checkout.containers("db")) == 1


# --- S7: what reaches out of its containers --------------------------------------------

REACHING = {
    "privileged": "privileged: true",
    "pid": "pid: host",
    "socket": "volumes: ['/var/run/docker.sock:/var/run/docker.sock']",
    "root": "volumes: ['/:/host:ro']",
    "home": "volumes: ['~/.ssh:/keys']",
    "linked": "volumes: ['./out:/out']",
    "capability": "cap_add: [SYS_ADMIN]",
    "device": "devices: ['/dev/null:/dev/x']",
    "unconfined": "security_opt: ['seccomp=unconfined']",
    "network": "network_mode: host",
    "env_file": "env_file: [/etc/hostname]",
    "build": "build: {context: ., network: host}",
    "context": "build: https://localhost:1/a.git",
    "elsewhere": "build: {context: /etc}",
    "secret": "secrets: [s]",
    "volume": "volumes: ['etc:/etc2']",
}


def reaching(folder: Path, what: str) -> Checkout:
    """A project of one service that has *what*."""
    (folder / "out").symlink_to("/")
    (folder / "pyproject.toml").write_text('[tool.unstale]\nschema = "none"\n')
    text = f"services:\n  tests:\n    {what}\n"
    if "build" not in what:
        text += "    build: .\n    image: example.com/none\n"
    (folder / "compose.test.yml").write_text(
        f"{text}secrets:\n  s: {{file: /etc/hostname}}\n"
        "volumes:\n  etc: {driver_opts: {type: none, o: bind, device: /etc}}\n"
    )
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    return Checkout(folder, program=("-m", "unstale"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("socket", "linked") else (pytest.mark.long,))
        for name in REACHING
    ],
)
def test_an_untrusted_stack_that_reaches_out_is_refused(name: str, tmp_path: Path) -> None:
    checkout = reaching(tmp_path, REACHING[name])
    field = REACHING[name].partition(":")[0]

    refused = checkout.inv("image.build", "--untrusted").must(2)

    assert "tests: " + field in refused.err
    assert "compose.test.yml:" in refused.err
    assert refused.err.count("\n") >= 3
    for what in ("test.integration", "stack.up"):
        answer = checkout.inv(what, env={"UNSTALE_UNTRUSTED": "1"}).must(2)
        assert "not trusted" in answer.err


@pytest.mark.long
def test_an_honest_stack_is_trusted_or_not_all_the_same(light: Checkout) -> None:
    answer = light.inv("test.integration", "--untrusted", "--json").must(0).document()

    assert answer["outcome"] == "proven"
    assert "reach " not in light.inv("stack.status").out


def test_an_env_file_that_changes_docker_itself_is_refused(light: Checkout) -> None:
    light.append(".env.test", "GIT_SSH_COMMAND=x\n")

    refused = light.inv("image.build", "--untrusted").must(2)

    assert ".env.test: GIT_SSH_COMMAND" in refused.err


def test_what_reaches_out_is_told_in_the_run_and_in_the_receipt(light: Checkout) -> None:
    import json

    light.replace("docker-compose.test.yml", "  db:\n", "  db:\n    cap_add: [NET_BIND_SERVICE]\n")

    result = light.inv("test.integration", "--json").must(0)

    told = "db: cap_add: adds NET_BIND_SERVICE to what it may do"
    assert f"reach  {told}\n" in result.err
    receipt = json.loads(Path(result.document()["receipt"]).read_text())
    annotations = receipt["predicate"]["annotations"]
    assert annotations["reaches"] == [told]
    # S10: the stand-in has no digest.
    assert list(annotations["unpinned"]) == ["db", "test-runner"]
    light.replace("docker-compose.test.yml", "    cap_add: [NET_BIND_SERVICE]\n", "")


# --- S3: where no secret may be --------------------------------------------------------

CANARIES = {
    "FILE_PASSWORD": "kestrel-Qx7fFile0",
    "HOLDER_TOKEN": "kestrel-Qx7hHold1",
    "PLAIN_SECRET": "kestrel-Qx7pPlain2",
    "DATABASE_URL": "kestrel-Qx7uUrl3",
    "TYPED_KEY": "kestrel-Qx7tTyped4",
    "BUILD_TOKEN": "kestrel-Qx7bBuild5",
}
_TELL = """
def tell() -> str:
    return " ".join(f"{key}={value}" for key, value in os.environ.items())


def main() -> int:
    print(tell(), flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    print(f"failing with {tell()}", file=sys.stderr, flush=True)
"""


class Listening:
    """Reads the arguments of every process of this machine, over and over."""

    def __init__(self, text: bytes) -> None:
        self.heard: set[bytes] = set()
        self.rounds = 0
        self._text = text
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._ends.wait(0.002):
            self.rounds += 1
            for entry in Path("/proc").iterdir():
                if entry.name.isdecimal():
                    with suppress(OSError):
                        said = (entry / "cmdline").read_bytes()
                        # What the user typed, their own process has.
                        if self._text in said and b"--build-arg\0TYPED_KEY=" not in said:
                            self.heard.add(said)


@pytest.fixture
def canaries(tmp_path: Path) -> Iterator[Checkout]:
    checkout = fresh(tmp_path / "project")
    checkout.append(
        ".env.test",
        f"FILE_PASSWORD={CANARIES['FILE_PASSWORD']}\nHOLDER_TOKEN={CANARIES['HOLDER_TOKEN']}\n"
        f"DATABASE_URL=postgresql://app:{CANARIES['DATABASE_URL']}@db:5432/app\n"
        f"BUILD_TOKEN={CANARIES['BUILD_TOKEN']}\n",
    )
    checkout.replace(
        "docker-compose.test.yml",
        "    environment:\n      LIGHT_TESTS:",
        "    env_file: [.env.test]\n    environment:\n      HOLDER_TOKEN: ${HOLDER_TOKEN}\n"
        f"      PLAIN_SECRET: {CANARIES['PLAIN_SECRET']}\n      LIGHT_TESTS:",
    )
    checkout.replace(
        "docker-compose.test.yml",
        "      args:\n",
        "      args:\n        BUILD_TOKEN: ${BUILD_TOKEN}\n",
    )
    checkout.replace("app/check.py", "\n\ndef main() -> int:\n", f"\n{_TELL}")
    checkout.replace("app/check.py", "<failure>no</failure>", "<failure>TELL</failure>")
    checkout.replace(
        "app/check.py", "write_text(document)", 'write_text(document.replace("TELL", tell()))'
    )
    checkout.append("Dockerfile", "ARG TYPED_KEY\n")
    yield checkout
    gone(checkout)


def test_no_secret_is_where_others_can_read_it(canaries: Checkout, tmp_path: Path) -> None:
    checkout = canaries
    state = {"XDG_STATE_HOME": str(tmp_path / "state"), "LIGHT_SECONDS": "0.1"}
    behave(checkout, LIGHT_TESTS="fail", LIGHT_SECONDS="0.1")
    said = ""
    with Listening(b"kestrel-Qx7") as listening:
        typed = f"TYPED_KEY={CANARIES['TYPED_KEY']}"
        said += checkout.inv("image.build", "--build-arg", typed, env=state).must(0).text
        ran = checkout.inv(
            "test.integration", "--build", "--keep", "--verbose", "--json", env=state
        )
        said += ran.must(1).text
        for what in ("stack.status", "stack.logs", "image.list --history", "env.matrix"):
            said += checkout.inv(*what.split(), env=state).text
    project = ran.document()["kept"]
    objects = docker("ps", "--all", "--no-trunc", "--format", "{{json .}}").out
    ids = docker(
        "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}"
    )
    labels = docker(
        "inspect", "--format", "{{json .Config.Labels}} {{.Name}} {{.Args}}", *ids.out.split()
    )
    for kind in ("network", "volume"):
        objects += docker(kind, "ls", "--format", "{{json .}}").out
    image = docker("image", "inspect", checkout.image("test-runner")).out
    history = docker(
        "history", "--no-trunc", "--format", "{{.CreatedBy}}", checkout.image("db")
    ).out
    junit = str(checkout.folder(ran) / "junit.xml")
    folders = (checkout.root / ".unstale", tmp_path / "state")
    files = {
        str(path): path.read_text("utf-8", "replace")
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }
    checkout.inv("stack.down", env=state).must(0)

    assert listening.rounds > 100
    assert listening.heard == set()
    places = {"output": said, "objects": objects, "labels": labels.out, "image": image}
    assert "FILE_PASSWORD=********" in files[junit]
    hits = {place for place, text in {**places, **files}.items() if "kestrel-Qx7" in text}
    assert hits == set()
    # What a project makes a build argument is in its image, and it is told.
    others = [one for key, one in CANARIES.items() if key != "BUILD_TOKEN"]
    assert not any(one in history for one in others)
    assert "build.args.BUILD_TOKEN: stays readable in the image" in said


# --- S5 and S8: what a container hands over, and what it sees ---------------------------

_ODD = """
for name in (".coverage", "a\\nb", "\\x1b[2J", ".coverage.\\x1b[2J", "coverage.xml\\n"):
    Path(f"/app/reports/{name}").write_text("x")
os.mkfifo("/app/reports/coverage.json")
os.symlink("/etc/passwd", "/app/reports/coverage.lcov")
"""
# What the runner leaves where its report should be, before it ends.
HANDED_OVER = {
    "zeros": ("REPORT.open('wb').truncate(300 << 20)", "artifacts"),
    "many": (
        "REPORT.unlink(); REPORT.mkdir()\n[(REPORT / str(i)).touch() for i in range(11_000)]",
        "artifacts",
    ),
    "zeros beside it": ("open('/app/reports/zeros', 'wb').truncate(300 << 20)", "proven"),
    "many beside it": (
        "[open(f'/app/reports/{i}', 'w').close() for i in (*range(11_000), '.coverage')]",
        "proven",
    ),
    "linked report": (
        "REPORT.unlink(); REPORT.symlink_to('/etc/hostname')",
        "no evidence",
    ),
    "linked folder": (
        "os.rename('/app/reports', '/app/r'); os.symlink('/app/r', '/app/reports')",
        "proven",
    ),
    "odd names": (_ODD, "proven"),
    "50 MiB": (
        "REPORT.write_text(GREEN.replace('/>', '>' + 'x' * (50 << 20) + '</testcase>', 1))",
        "proven",
    ),
}


@pytest.fixture(scope="module")
def handing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project that is mounted into its runner, which does what HAND says at its end."""
    checkout = fresh(tmp_path_factory.mktemp("handing"))
    checkout.replace(
        "docker-compose.test.yml", "      LIGHT_TESTS:", "      HAND: ${HAND:-}\n      LIGHT_TESTS:"
    )
    checkout.replace(
        "docker-compose.test.yml",
        "    profiles: [test]\n",
        "    profiles: [test]\n    volumes: ['.:/checkout']\n",
    )
    checkout.replace(
        "app/check.py",
        "    return int(REST[0]) if",
        "    import base64\n    exec(base64.b64decode(os.environ['HAND']), globals())\n"
        "    return int(REST[0]) if",
    )
    checkout.inv("image.build").must(0)
    yield checkout
    gone(checkout)


def hand(checkout: Checkout, code: str) -> Result:
    """Run it with a runner that does *code* at its end."""
    encoded = base64.b64encode(code.encode()).decode()
    behave(checkout, LIGHT_SECONDS="0.1", HAND=encoded)
    return checkout.inv("test.integration", "--json")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "zeros" else (pytest.mark.long,))
        for name in HANDED_OVER
    ],
)
def test_what_a_runner_leaves_is_taken_within_bounds(name: str, handing: Checkout) -> None:
    code, outcome = HANDED_OVER[name]

    answer = hand(handing, code)

    found = answer.document()
    assert found["outcome"] == outcome, answer.text
    assert answer.code == {"artifacts": 5, "no evidence": 4, "proven": 0}[outcome]
    folder = handing.folder(answer)
    assert folder.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    known = {"junit.xml", ".coverage", "compose.override.yml", "containers.json", "database.txt"}
    known |= {"report.html", "report.junit.xml"}
    assert {n for n in names if not n.endswith(".log")} <= known
    if name.endswith("beside it"):
        details = " ".join(step["detail"] for step in found["steps"])
        assert "coverage is left out: There is too much under /app/reports" in details
        assert ".coverage" not in names
    assert handing.leftovers() == []


def test_a_container_that_sees_the_checkout_leads_no_write_out(
    handing: Checkout, tmp_path: Path
) -> None:
    """It puts links where the run's files are about to be written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "junit.xml").write_text("mine")
    code = f"""
import glob
for run in glob.glob("/checkout/.unstale/runs/*"):
    for name in ("junit.xml", "containers.json", "coverage"):
        if not os.path.lexists(f"{{run}}/{{name}}"):
            inside = "" if name == "coverage" else f"/{{name}}"
            os.symlink(f"{outside}{{inside}}", f"{{run}}/{{name}}")
Path("/app/reports/.coverage").write_text("theirs")
"""

    answer = hand(handing, code)

    assert [p.name for p in outside.iterdir()] == ["junit.xml"]
    assert (outside / "junit.xml").read_text() == "mine"
    assert answer.code == 5, answer.text
    assert "is a link" in answer.text
    assert handing.leftovers() == []


@pytest.mark.long
def test_no_container_of_ours_sees_the_engine(handing: Checkout) -> None:
    """S8: asked of every container there is, while a run goes on."""
    behave(handing, LIGHT_SECONDS="2", HAND="")
    running = handing.start("test.integration")
    mounts: set[str] = set()
    while running.goes_on():
        ids = docker("ps", "--all", "--quiet", "--filter", "label=dev.unstale.owner").out.split()
        form = "{{.Name}} {{.HostConfig.Privileged}} {{range .Mounts}}{{.Source}} {{end}}"
        mounts |= set(docker("inspect", "--format", form, *ids, code=None).out.splitlines())
    running.end().must(0)

    ours = [line for line in mounts if handing.root.name in line]
    assert len(ours) >= 2
    assert not any("docker.sock" in line or " true " in line for line in mounts)


def test_a_checkout_that_brings_a_link_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    checkout = fresh(tmp_path / "project")
    (checkout.root / ".unstale" / "runs").symlink_to(outside)

    for what in ("image.status", "stack.up", "test.integration"):
        assert "runs is a link" in checkout.inv(what).must(5).err
    assert list(outside.iterdir()) == []
