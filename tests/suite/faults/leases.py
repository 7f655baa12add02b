"""What the tests of leases share: watchdogs, other engines, objects that look like ours."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness import Checkout, docker

from unstale.adapters.leases import Leases

RUN, OWNER = "dev.unstale.run", "dev.unstale.owner"
WATCHDOG = "adapters/watchdog.py"


def eventually(holds: Callable[[], object], within_s: float) -> float:
    """Wait until it holds; how many seconds that took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < within_s, f"not within {within_s} s"
        time.sleep(0.05)
    return time.monotonic() - begin


def proven_gone(checkout: Checkout, within_s: float) -> float:
    """Wait until two listings in a row are empty; how many seconds that took."""
    return eventually(lambda: not (checkout.leftovers() or checkout.leftovers()), within_s)


def volumes(checkout: Checkout) -> set[str]:
    """The volumes that its containers have mounted, those without a name among them."""
    form = '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}'
    return set(docker("inspect", "--format", form, *checkout.containers()).out.split())


def watchdogs(state: Path) -> list[int]:
    """The processes that watch runs whose leases are below *state*."""
    mark = f"{WATCHDOG}\0{state / 'unstale'}\0".encode()
    return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if mark in _bytes(p)]


def clients(root: Path) -> list[str]:
    """The docker commands that are alive in the folder *root*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = _bytes(path).split(b"\0")
        if b"docker" in words[0] and str(root).encode() in b" ".join(words):
            found.append(b" ".join(words).decode(errors="replace"))
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def kill_watchdogs(state: Path) -> None:
    """SIGKILL to each of them: power loss, or a cgroup that is ended whole."""
    for pid in watchdogs(state):
        os.kill(pid, signal.SIGKILL)


def owner(state: Path) -> str:
    """The owner label of those whose leases are below *state*."""
    return Leases({"XDG_STATE_HOME": str(state)}).owner


@contextmanager
def objects(name: str, image: str, labels: Mapping[str, str]) -> Iterator[Callable[[], list[str]]]:
    """A container that runs, a network and a volume; what lists those that are there."""
    flags = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    forever = ("python", "-S", "-c", "import time; time.sleep(600)")
    docker("network", "create", *flags, name)
    docker("volume", "create", *flags, name)
    docker(
        *("run", "--detach", "--init", "--restart", "always", "--name", name, "--network", name),
        *("--volume", f"{name}:/data", *flags, image, *forever),
    )

    def there() -> list[str]:
        running = docker("ps", "--format", "{{.Names}}").out.split()
        networks = docker("network", "ls", "--format", "{{.Name}}").out.split()
        volumes = docker("volume", "ls", "--format", "{{.Name}}").out.split()
        kinds = {"container": running, "network": networks, "volume": volumes}
        return [kind for kind, names in kinds.items() if name in names]

    try:
        yield there
    finally:
        docker("rm", "--force", "--volumes", name, code=None)
        docker("network", "rm", name, code=None)
        docker("volume", "rm", name, code=None)


_HOLDING = """
import os, sys
from unstale.adapters.leases import Leases
with Leases(os.environ).held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def living(run: str) -> Iterator[None]:
    """A process that holds the lease of *run*."""
    with subprocess.Popen(
        (sys.executable, "-c", _HOLDING, run),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


@contextmanager
def second_engine(data: Path | None = None) -> Iterator[str]:
    """An engine of its own in a network namespace of its own; its address.

    What it makes is in the folder *data*, by default in one that is removed.
    """
    # A socket's path has room for 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    name = f"leases{os.getpid()}"
    host = f"unix://{folder}/docker.sock"
    # Its mounts, too, are gone with it.
    alone = ("unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
    words = (
        *("dockerd", "--host", host, "--data-root", str(data or folder / "data")),
        *("--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
        *("--containerd-namespace", name, "--containerd-plugins-namespace", f"{name}p"),
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            (*alone, *words),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return docker("--host", host, "version", code=None).code == 0

    try:
        eventually(answers, 120)
        yield host
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
