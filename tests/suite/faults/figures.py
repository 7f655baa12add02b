"""The other figures: each is measured for unstale and for what people use today."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kills import Leak, Scene, Victim, Witness, scene, victims

_RUN_S = 300.0


@dataclass(frozen=True, slots=True)
class Bench:
    """Where figures are measured."""

    work: Path
    source: Path | None
    witness: Witness

    @property
    def victims(self) -> Mapping[str, Victim]:
        return victims(self.source)

    @contextlib.contextmanager
    def scene(self) -> Iterator[Scene]:
        with scene(self.work, self.source, self.witness) as place:
            yield place


Values = Mapping[str, Sequence[float]]
"""By who was measured: one number a try."""


def _run(place: Scene, victim: Victim) -> int:
    return place.start(victim).wait(_RUN_S)


@contextlib.contextmanager
def _events(*filters: str) -> Iterator[list[tuple[float, str]]]:
    """What the engine tells: when, on the clock of `time.time`, and the container's name."""
    words = [word for one in filters for word in ("--filter", one)]
    form = '{{.TimeNano}} {{index .Actor.Attributes "name"}}'
    process = subprocess.Popen(
        ("docker", "events", "--format", form, *words), stdout=subprocess.PIPE, text=True
    )
    seen: list[tuple[float, str]] = []

    def listen() -> None:
        for line in process.stdout or ():
            nanoseconds, _, name = line.strip().partition(" ")
            seen.append((int(nanoseconds) / 1e9, name))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    time.sleep(0.3)
    try:
        yield seen
    finally:
        process.kill()
        process.wait()
        thread.join()


def exited(bench: Bench) -> Values:
    """Seconds from a service's exit at its start until the run knows of it."""
    found: dict[str, list[float]] = {"unstale": [], "bash-run": []}
    for who, values in found.items():
        for _ in range(6):
            with bench.scene() as place, _events("event=die") as died:
                place.behave(LIGHT_DB="exit:3:0.3")
                process = place.start(bench.victims[who])
                known = {"unstale": "✗ up", "bash-run": "cleaning up"}[who]
                while known not in place.printed() + place.printed("out"):
                    time.sleep(0.01)
                now = time.time()
                process.wait(_RUN_S)
                values.append(now - min(at for at, name in died if place.name in name))
    return found


def stubborn(bench: Bench) -> Values:
    """Seconds to take down three services in a chain that ignore SIGTERM."""
    found: dict[str, list[float]] = {"unstale": [], "docker compose down": []}
    for _ in range(3):
        with bench.scene() as place:
            _chain(place)
            _run(place, replace(bench.victims["unstale"], argv=_json(bench)))
            steps = json.loads(place.printed("out"))["steps"]
            found["unstale"].append(next(s["seconds"] for s in steps if s["name"] == "down"))
        with bench.scene() as place:
            _chain(place)
            environment = place.environment(bench.victims["bash-run"])
            compose = (
                *("docker", "compose", "--project-name", place.name, "--env-file", ".env.test"),
                *("--file", "docker-compose.test.yml"),
            )
            quiet = {"cwd": place.root, "env": environment, "capture_output": True}
            subprocess.run((*compose, "up", "--detach", "--build"), check=True, **quiet)
            begin = time.monotonic()
            subprocess.run((*compose, "down", "--volumes"), check=True, **quiet)
            found["docker compose down"].append(time.monotonic() - begin)
    return found


def _chain(place: Scene) -> None:
    """Make the database stubborn, and two more of it that wait for each other."""
    path = place.root / "docker-compose.test.yml"
    text = path.read_text()
    head, _, volumes = text.rpartition("\nvolumes:")
    database = head[head.index("  db:") : head.index("  test-runner:")].rstrip()
    more = ""
    for name, needed in (("second", "db"), ("third", "second")):
        one = database.replace("  db:", f"  {name}:", 1).replace("build: &build", "build:")
        more += f"{one}\n    depends_on:\n      {needed}: {{condition: service_healthy}}\n\n"
    path.write_text(f"{head}\n\n{more}\nvolumes:{volumes}")
    place.behave(LIGHT_DB="stubborn")


def _json(bench: Bench) -> tuple[str, ...]:
    return (*bench.victims["unstale"].argv, "--json")


def false_green(bench: Bench) -> Values:
    """Whether the run is green (1) although its database died under the tests."""
    found: dict[str, list[float]] = {"unstale": [], "bash-up": []}
    for who, values in found.items():
        for code in (0, 1) * 3:
            with bench.scene() as place:
                # Told by a file, since a start takes as long as it takes.
                _die_under_tests(place, code)
                values.append(float(_run(place, bench.victims[who]) == 0))
    return found


def _die_under_tests(place: Scene, code: int) -> None:
    """Let the database end a second after the first test asked it."""
    place.behave(LIGHT_SECONDS="3")
    serve = place.root / "app" / "serve.py"
    text = serve.read_text()
    dying = f"threading.Timer(1, lambda: os._exit({code})).start()"
    asked = "        if self.client_address[0] != '127.0.0.1' and asked >= 0:\n"
    asked += f"            asked = -1 << 30\n            {dying}\n"
    serve.write_text(text.replace("        asked += 1\n", f"        asked += 1\n{asked}"))


def images(bench: Bench) -> Values:
    """Images that each further run of an unchanged checkout adds."""
    found: dict[str, list[float]] = {"unstale": [], "bash-run, a project a run": []}
    with bench.scene() as place:
        _run(place, bench.victims["unstale"])
        for _ in range(5):
            before = _mine(place)
            _run(place, bench.victims["unstale"])
            found["unstale"].append(len(_mine(place) - before))
    with bench.scene() as place:
        names = [f"{place.name}-{number}" for number in range(6)]
        for number, name in enumerate(names):
            before = _mine(place)
            script = replace(
                bench.victims["bash-run"],
                argv=("env", f"FAULTS_PROJECT={name}", *bench.victims["bash-run"].argv),
            )
            _run(place, script)
            if number:
                found["bash-run, a project a run"].append(len(_mine(place) - before))
    return found


def _mine(place: Scene) -> set[str]:
    """Images with the project's name in a tag or a label, dangling ones too."""
    listed = subprocess.check_output(
        ("docker", "image", "ls", "--all", "--no-trunc", "--quiet"), text=True
    ).split()
    form = "{{.Id}} {{json .RepoTags}} {{json .Config.Labels}}"
    lines = subprocess.run(
        ("docker", "image", "inspect", "--format", form, *set(listed)),
        capture_output=True, text=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    return {line.split()[0] for line in lines if place.name in line}


_GRANDCHILD = "sleep {0} & sleep {0}"
_OURS_TIMED = """
from unstale.adapters.process import SystemProcess
from unstale.errors import TimedOut
from unstale.ports import Command
try:
    SystemProcess().run(Command(("sh", "-c", {0!r}), 1.0))
except TimedOut:
    pass
"""
_INVOKE_TIMED = """
from invoke import Context
from invoke.exceptions import CommandTimedOut
try:
    Context().run({0!r}, timeout=1)
except CommandTimedOut:
    pass
"""


def grandchild(bench: Bench) -> Values:
    """Grandchildren that are alive half a second after a step's time-out."""
    found: dict[str, list[float]] = {"unstale": [], "invoke": []}
    scripts = {"unstale": _OURS_TIMED, "invoke": _INVOKE_TIMED}
    environment = {**os.environ, **bench.victims["unstale"].environment}
    for number in range(10):
        for who, values in found.items():
            seconds = f"{3000 + number}.{uuid.uuid4().int % 10**9}"
            code = scripts[who].format(_GRANDCHILD.format(seconds))
            process = subprocess.Popen(
                (sys.executable, "-c", code), env=environment, stdin=subprocess.DEVNULL
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            time.sleep(0.5)
            values.append(float(len(_ended_by(seconds))))
            process.kill()
            process.wait()
    return found


def _ended_by(seconds: str) -> list[int]:
    """The processes that sleep *seconds*, which end here."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.name))
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def parallel(bench: Bench) -> Values:
    """Seconds of one run, and of four at once in checkouts of their own; images are built."""
    found: dict[str, list[float]] = {}
    for who in ("unstale", "bash-run"):
        with contextlib.ExitStack() as stack:
            places = [stack.enter_context(bench.scene()) for _ in range(4)]
            for place in places:
                place.behave(LIGHT_SECONDS="2")
                assert _run(place, bench.victims[who]) == 0, place.printed()
            for _ in range(5):
                for count in (1, 4):
                    begin = time.monotonic()
                    with ThreadPoolExecutor(count) as pool:
                        codes = pool.map(_run, places[:count], [bench.victims[who]] * count)
                        assert set(codes) == {0}
                    seconds = time.monotonic() - begin
                    found.setdefault(f"{who} N={count}", []).append(seconds)
    return found


def concurrent(bench: Bench) -> Values:
    """Whether a run is red (1), of four at once in one checkout."""
    found: dict[str, list[float]] = {"unstale": [], "bash-run": []}
    for who, values in found.items():
        with bench.scene() as place:
            victim = bench.victims[who]
            assert _run(place, victim) == 0, place.printed()
            for _ in range(5):
                with ThreadPoolExecutor(4) as pool:
                    codes = pool.map(_silent, [place] * 4, [victim] * 4)
                    values += [float(code != 0) for code in codes]
    return found


def _silent(place: Scene, victim: Victim) -> int:
    return subprocess.run(
        victim.argv, cwd=place.root, env=place.environment(victim),
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    ).returncode  # fmt: skip


def canary(bench: Bench) -> Values:
    """Places where the value of a secret of the env file is seen, during a run and after."""
    with bench.scene() as place:
        secret = f"canary{uuid.uuid4().hex}"
        _plant(place, secret)
        seen: set[str] = set()
        process = place.start(replace(bench.victims["unstale"], argv=_json(bench)))
        while process.poll() is None:
            seen |= _looked(place, secret)
        assert process.returncode == 0, place.printed()
        for stream in ("out", "err"):
            if secret in place.printed(stream):
                seen.add(f"std{stream}")
        for path in (place.root / ".unstale").rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                seen.add(str(path.relative_to(place.root)))
        for image in _mine(place):
            for verb in (("image", "inspect"), ("history", "--no-trunc")):
                if secret in subprocess.check_output(("docker", *verb, image), text=True):
                    seen.add(f"docker {verb[0]}")
        for hit in sorted(seen):
            sys.stdout.write(f"canary: {hit}\n")
        return {"unstale": [float(len(seen))]}


def _plant(place: Scene, secret: str) -> None:
    """A secret that a service gets, and that its tests print and write into JUnit."""
    env = place.root / ".env.test"
    env.write_text(f"{env.read_text()}API_TOKEN={secret}\n")
    path = place.root / "docker-compose.test.yml"
    text = path.read_text()
    for name in ("LIGHT_DB", "LIGHT_TESTS"):
        text = text.replace(f"      {name}:", f"      API_TOKEN: ${{API_TOKEN}}\n      {name}:")
    path.write_text(text)
    check = place.root / "app" / "check.py"
    text = check.read_text().replace('print("tests: begin"', 'print(os.environ["API_TOKEN"]')
    green = next(line for line in text.splitlines() if line.startswith("GREEN = "))
    told = green.replace("= '", "= f'").replace(
        "/></testsuite>",
        "><system-out>{os.environ['API_TOKEN']}</system-out></testcase></testsuite>",
    )
    check.write_text(text.replace(green, told.replace("f'", 'f"""').rstrip("'") + '"""'))


def _looked(place: Scene, secret: str) -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if secret.encode() in (process / "cmdline").read_bytes():
                found.add("/proc/*/cmdline")
    ids = subprocess.check_output(
        ("docker", "ps", "--all", "--quiet", "--filter", f"name={place.name}"), text=True
    ).split()
    form = "{{json .Config.Labels}} {{.Name}} {{json .Config.Cmd}}"
    if (
        ids
        and secret
        in subprocess.run(
            ("docker", "inspect", "--format", form, *ids),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    ):
        found.add("labels of a container")
    return found


def next_start(bench: Bench) -> Values:
    """Objects that are left after SIGKILL of all in the tests, and a whole further run.

    Of unstale its watchdog is killed, too; and look-alikes stand by that must survive.
    """
    found: dict[str, list[float]] = {"unstale": [], "bash-run": [], "foreign, removed": []}
    for who in ("unstale", "bash-run"):
        for _ in range(8):
            with bench.scene() as place:
                place.behave(LIGHT_SECONDS="20")
                process = place.start(bench.victims[who])
                while not any("test" in name for name in place.leak().containers):
                    assert process.poll() is None, place.printed()
                    time.sleep(0.1)
                _kill_all(place, process)
                assert place.leak(), "there was nothing to kill"
                foreign = _look_alikes(place) if who == "unstale" else []
                place.behave(LIGHT_SECONDS="0.5")
                assert _run(place, bench.victims[who]) == 0, place.printed()
                left = _names(place.leak())
                found[who].append(len(left - set(foreign)))
                if foreign:
                    found["foreign, removed"].append(len(set(foreign) - left))
    return found


def _names(leak: Leak) -> set[str]:
    return {*leak.containers, *leak.networks, *leak.volumes}


def _kill_all(place: Scene, process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    for _ in range(2):
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"={place.name}\0".encode() in (path / "environ").read_bytes():
                    os.kill(int(path.name), signal.SIGKILL)
    process.wait()


def _look_alikes(place: Scene) -> list[str]:
    """Objects with a name like a run's, and with labels like a run's of another machine."""
    run = uuid.uuid4().hex[:8]
    name = f"unstale-{place.name}-{run}"
    labels = ("--label", f"dev.unstale.run={run}", "--label", "dev.unstale.owner=f00d-0")
    found = []
    for number, more in enumerate(((), labels, labels[:2])):
        one = f"{name}-{number}"
        image = _image(place)
        subprocess.run(
            ("docker", "create", *more, "--name", one, image, "-"), capture_output=True, check=True
        )
        for kind in ("network", "volume"):
            subprocess.run(("docker", kind, "create", *more, one), capture_output=True, check=True)
        found += [one]
    return found


def _image(place: Scene) -> str:
    return next(iter(_mine(place)))


FIGURES: Mapping[str, Callable[[Bench], Values]] = {
    "exited": exited,
    "stubborn": stubborn,
    "false-green": false_green,
    "images": images,
    "grandchild": grandchild,
    "parallel": parallel,
    "concurrent": concurrent,
    "canary": canary,
    "next-start": next_start,
}


def measure(name: str, source: Path | None) -> Values:
    """Measure the figure *name*."""
    witness = Witness()
    try:
        with tempfile.TemporaryDirectory(prefix="unstale-faults-") as folder:
            return FIGURES[name](Bench(Path(folder), source, witness))
    finally:
        witness.close()
