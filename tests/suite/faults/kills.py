"""One kill: a victim runs a light stack, a signal comes, and we look at what is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import Checkout
from lightstack import LIGHT, behave
from shim import shim

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

SIGNALS: Mapping[str, tuple[int, ...]] = {
    "INT": (signal.SIGINT,),
    "TERM": (signal.SIGTERM,),
    "HUP": (signal.SIGHUP,),
    "KILL": (signal.SIGKILL,),
    "QUIT": (signal.SIGQUIT,),
    "INT2": (signal.SIGINT,) * 2,
    "INT3": (signal.SIGINT,) * 3,
}
"""What is sent, 0.5 s apart."""

WORDLESS = ("KILL", "QUIT", "INT3")
"""After these the victim itself removes nothing more; whoever does may take 5 s."""

# How long a killed victim is watched. Its clients may go on for a while, and what the
# engine was asked for before still lands.
_ENDS_S = 60.0
_GOOD_S = 180.0
_CLIENTS_S = 10.0
_SETTLED_S = 5.0
_LANDED_S = 3.0
_LONGEST_S = 20.0
_BETWEEN_S = 0.5
_TAG = "FAULTS_PROJECT"
_INIT = str(HERE / "victims" / "init.yml")


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody who runs the light stack's tests."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    """Ours must have removed all when it ends; others' clients may still do so."""


def victims(source: Path | None = None) -> dict[str, Victim]:
    """All of them; *source* is the folder that unstale is imported from."""
    place = {"PYTHONPATH": str(source)} if source else {}
    scripts = HERE / "victims"
    invoke = ("-m", "invoke", "--search-root", str(scripts), "--collection", "invoke_finally")
    python = sys.executable
    found = (
        Victim("unstale", (python, "-m", "unstale", "test.integration"), place, is_ours=True),
        Victim("bash-run", ("bash", str(scripts / "bash_run.sh"))),
        Victim("bash-up", ("bash", str(scripts / "bash_up.sh"))),
        Victim("pow", (python, str(scripts / "pow_finally.py"))),
        Victim("invoke", (python, *invoke, "integration")),
    )
    return {victim.name: victim for victim in found}


@dataclass(frozen=True, slots=True)
class Leak:
    """What a project still has in the engine."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)


class Witness:
    """Listens to the engine: no label tells whose an anonymous volume is."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._volumes: dict[str, str] = {}
        types = ("--filter", "type=volume", "--filter", "type=container")
        events = ("--filter", "event=mount", "--filter", "event=create")
        self._process = subprocess.Popen(
            ("docker", "events", "--format", "{{json .}}", *types, *events),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            event = json.loads(line)
            actor = event["Actor"]
            if event["Type"] == "container":
                self._names[actor["ID"]] = actor["Attributes"].get("name", "")
            elif event["Action"] == "mount":
                self._volumes[actor["ID"]] = actor["Attributes"].get("container", "")

    def volumes(self, name: str) -> set[str]:
        """What was ever mounted into a container with *name* in its name."""
        found = list(self._volumes.items())
        return {volume for volume, one in found if name in self._names.get(one, "")}

    def close(self) -> None:
        """Stop listening."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout:
            self._process.stdout.close()


class Scene:
    """A copy of the light project whose name no other project of this machine has."""

    def __init__(
        self, folder: Path, source: Path | None = None, witness: Witness | None = None
    ) -> None:
        self.name = f"kl-{uuid.uuid4().hex[:10]}"
        self.root = folder / self.name
        self.state = folder / f"{self.name}-state"
        self._source = source
        self._witness = witness
        self.shim = shim(folder / f"{self.name}-shim")
        shutil.copytree(LIGHT, self.root)
        self.behave(LIGHT_SECONDS="0.5")
        (self.root / ".unstale").mkdir(exist_ok=True)
        if (images := ROOT / ".unstale" / "images.env").exists():
            shutil.copy(images, self.root / ".unstale")

    def behave(self, **variables: str) -> None:
        """Let the services do something: see `light/app`."""
        behave(Checkout(self.root), **variables)

    def environment(self, victim: Victim) -> dict[str, str]:
        """A state folder of its own: another project's sweep must not tidy up here."""
        foreign = ("UNSTALE_", "COMPOSE_", "PYTEST_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        own = {_TAG: self.name, "FAULTS_MORE": _INIT, "XDG_STATE_HOME": str(self.state)}
        return {**kept, **_images(self.root), **victim.environment, **own}

    def start(self, victim: Victim) -> subprocess.Popen[bytes]:
        """Begin a run in a group of its own; what it prints goes to files beside the project."""
        with (
            (self.root.parent / f"{self.name}.out").open("wb") as out,
            (self.root.parent / f"{self.name}.err").open("wb") as err,
        ):
            return subprocess.Popen(
                victim.argv,
                cwd=self.root,
                env=self.environment(victim),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def slowly(self, victim: Victim, verb: str, *, late: bool = False) -> Victim:
        """Let the first docker command that does *verb* wait for two seconds.

        *late*: what it asks for the engine does all the same, whatever becomes of it.
        """
        self.shim.misbehave({verb: "late:2" if late else "slow:2"})
        return replace(victim, environment={**victim.environment, **self.shim.env})

    def await_moment(
        self, process: subprocess.Popen[bytes], line: str = "", within_s: float = 120
    ) -> None:
        """Return when *line* was printed; without one, when the slow command has begun."""
        end = time.monotonic() + within_s
        while not (line in self.printed() if line else self.shim.begun.exists()):
            assert process.poll() is None, f"ended with {process.returncode}: {self.printed()}"
            assert time.monotonic() < end, f"not within {within_s} s: {self.printed()}"
            time.sleep(0.01)

    def printed(self, stream: str = "err") -> str:
        """What it printed to a stream so far."""
        path = self.root.parent / f"{self.name}.{stream}"
        return path.read_text(errors="replace") if path.exists() else ""

    def leak(self) -> Leak:
        """All that bears the project's name, and volumes that its containers had."""
        # A container that looks into an image has the image's labels.
        lines = _docker("ps", "--all", "--format", "{{.Names}} {{.Labels}}")
        networks = _docker("network", "ls", "--format", "{{.Name}}")
        volumes = _docker("volume", "ls", "--format", "{{.Name}}")
        anonymous = self._witness.volumes(self.name) if self._witness else set()
        return Leak(
            tuple(line.split()[0] for line in lines if self.name in line),
            tuple(name for name in networks if self.name in name),
            tuple(name for name in volumes if self.name in name or name in anonymous),
        )

    def clients(self) -> list[str]:
        """Command lines of processes that the victim started, but the watchdog and its own."""
        found: dict[str, str] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{_TAG}={self.name}".encode() in (process / "environ").read_bytes():
                    found[process.name] = _words(process)
        guards = {pid for pid, words in found.items() if "watchdog" in words}
        return [
            f"{pid} {words}"
            for pid, words in found.items()
            if words and not guards & {pid, _parent(pid)}
        ]

    def remove(self) -> None:
        """Remove what is left by name; the images, and the folder."""
        for line in self.clients():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        left = self.leak()
        if left.containers:
            _docker("rm", "--force", "--volumes", *left.containers)
        left = self.leak()
        if left.networks:
            _docker("network", "rm", *left.networks)
        if left.volumes:
            _docker("volume", "rm", "--force", *left.volumes)
        images = _docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
        mine = [image for image in images if self.name in image]
        if mine:
            _docker("image", "rm", "--force", *mine)
        for path in self.root.parent.glob(f"{self.name}*"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def scene(
    folder: Path, source: Path | None = None, witness: Witness | None = None
) -> Iterator[Scene]:
    """A project that is gone at the end, with all it has in the engine."""
    one = Scene(folder, source, witness)
    try:
        yield one
    finally:
        one.remove()


@dataclass(frozen=True, slots=True)
class Kill:
    """What a signal did. Durations are in seconds."""

    victim: str
    signal: str
    target: str
    """``leader`` or ``group``."""
    moment: float
    """After the start."""
    late: bool = False
    """The victim had ended before."""
    code: int | None = None
    """None: it did not end within a minute, and was killed."""
    right: bool = True
    """Whether the code says that the run was stopped by that signal."""
    gone: float = 0
    """From the first signal to the end of the process."""
    clients: tuple[str, ...] = ()
    """Processes it started that lived on without it."""
    containers: int = 0
    networks: int = 0
    volumes: int = 0
    leaked: tuple[str, ...] = ()
    empty: float | None = None
    """Of the wordless: from the signal to when all listings were empty; None: never."""
    doing: str = ""
    """The last line that the victim had printed when the signal came."""
    stderr: str = ""
    """Its last words, where something is wrong."""

    @property
    def is_leaky(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)

    @property
    def is_wrong(self) -> bool:
        return not self.right


def strike(place: Scene, victim: Victim, name: str, target: str, moment: float) -> Kill:
    """Start *victim*, send the signals *name* after *moment* seconds, and look."""
    began = time.monotonic()
    process = place.start(victim)
    time.sleep(max(0.0, began + moment - time.monotonic()))
    return hit(place, victim, process, name, target, time.monotonic() - began)


def hit(
    place: Scene,
    victim: Victim,
    process: subprocess.Popen[bytes],
    name: str,
    target: str,
    moment: float = 0,
) -> Kill:
    """Send the signals *name* to *process*, which runs *victim*, and look."""
    doing = last_line(place)
    begun = time.monotonic()
    if process.poll() is not None:
        return Kill(victim.name, name, target, round(moment, 3), late=True)
    for at, number in enumerate(SIGNALS[name]):
        if at:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_BETWEEN_S)
        if process.poll() is None:
            _send(process, number, target)
    code = _end(process, begun + _ENDS_S)
    gone = time.monotonic() - begun
    clients = place.clients()
    empty = None
    if name in WORDLESS:
        left, empty = _await_empty(place, begun)
    else:
        if not victim.is_ours:
            _await_clients(place, time.monotonic() + _CLIENTS_S)
        left = place.leak()
    right = is_right(code, SIGNALS[name][0])
    lives_on = victim.is_ours and bool(clients) and name not in WORDLESS
    is_wrong = bool(left) or not right or lives_on
    return Kill(
        victim.name,
        name,
        target,
        round(moment, 3),
        code=code,
        right=right,
        gone=round(gone, 3),
        clients=tuple(line[:200] for line in clients),
        containers=len(left.containers),
        networks=len(left.networks),
        volumes=len(left.volumes),
        leaked=(*left.containers, *left.networks, *left.volumes),
        empty=None if empty is None else round(empty, 3),
        doing=doing,
        stderr=place.printed()[-1500:] if is_wrong else "",
    )


def is_right(code: int | None, number: int) -> bool:
    """Whether *code* tells of that signal: 128 and it, or death by it."""
    return code in (128 + number, -number)


def last_line(place: Scene) -> str:
    """The last line that the victim printed to either stream."""
    lines = (place.printed("err") + place.printed("out")).strip().splitlines()
    return lines[-1].strip()[:100] if lines else ""


def _send(process: subprocess.Popen[bytes], number: int, target: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        if target == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)


def _end(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    try:
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _await_clients(place: Scene, deadline: float) -> None:
    while place.clients() and time.monotonic() < deadline:
        time.sleep(0.2)


def _await_empty(place: Scene, begun: float) -> tuple[Leak, float | None]:
    """What is left 5 s after the kill, and since when all listings were empty.

    What the engine was asked for before the kill may still land, so one is not enough.
    """
    at_settled: Leak | None = None
    since: float | None = None
    while True:
        at = time.monotonic() - begun
        now = place.leak()
        if now or place.clients():
            since = None
        elif since is None:
            since = at
        if at_settled is None and at >= _SETTLED_S:
            at_settled = now
        is_over = since is not None and at >= max(_LANDED_S, since + 0.1)
        if is_over or at > _LONGEST_S:
            return now if at_settled is None else at_settled, since
        time.sleep(0.25)


def length(folder: Path, victim: Victim, source: Path | None, *, runs: int = 3) -> float:
    """The median seconds of good runs."""
    found = []
    for _ in range(runs):
        with scene(folder, source) as place:
            began = time.monotonic()
            process = place.start(victim)
            code = _end(process, began + _GOOD_S)
            found.append(time.monotonic() - began)
            assert code == 0, f"{victim.name} ended with {code}: {place.printed()}"
            assert not place.leak(), f"{victim.name} leaks by itself: {place.leak()}"
    return sorted(found)[len(found) // 2]


def _words(process: Path) -> str:
    return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def _parent(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except (OSError, IndexError):
        return ""


def _images(root: Path) -> dict[str, str]:
    path = root / ".unstale" / "images.env"
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: value.strip("\"'") for key, _, value in pairs}


def _docker(*arguments: str) -> list[str]:
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.splitlines()
