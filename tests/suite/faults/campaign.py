"""Hundreds of kills at random moments: a ledger that is gone on with, and its tables.

Victims and signals make cells. Each cell's kills are spread evenly over the length of a
good run, half to the process group and half to its leader alone. One kill is one line of
the ledger; unstale is a copy of the commit that the ledger was begun with.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

from figures import FIGURES, Values, measure  # noqa: E402 - likewise
from kills import (  # noqa: E402 - the path comes first
    SIGNALS,
    Kill,
    Victim,
    Witness,
    length,
    scene,
    strike,
    victims,
)
from tables import figure_table, kill_table  # noqa: E402 - likewise

_STRATA = 10
_KILLS_A_LENGTH = 40
"""How long a run takes changes with the machine's load: it is measured anew so often, and
after two kills that came too late."""
_FEW = 0.3
"""Of the kills of a cell: as many where the victim is not ours, or the signal is rare."""
_OFTEN = ("INT", "TERM", "HUP", "KILL")


@dataclass(slots=True)
class Ledger:
    """A file of JSON lines: ``{"kill": …}``, ``{"length": …}`` and ``{"figure": …}``."""

    path: Path
    kills: list[Kill] = field(default_factory=list)
    lengths: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """All that is known so far; a line that was cut short is passed over."""
        ledger = cls(path)
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                raw = json.loads(line)
            except ValueError:
                continue
            if "kill" in raw:
                told = raw["kill"].items()
                ledger.kills.append(
                    Kill(**{k: tuple(v) if isinstance(v, list) else v for k, v in told})
                )
            elif "length" in raw:
                ledger.lengths[raw["length"]] = raw["seconds"]
            elif "figure" in raw:
                ledger.figures[raw["figure"]] = raw["values"]
        return ledger

    def add_kill(self, kill: Kill) -> None:
        self.kills.append(kill)
        self.write({"kill": asdict(kill), "at": round(time.time()), "load": os.getloadavg()[0]})

    def add_length(self, victim: str, seconds: float) -> None:
        self.lengths[victim] = seconds
        self.write({"length": victim, "seconds": round(seconds, 3)})

    def add_figure(self, name: str, values: Values) -> None:
        """A later measurement takes the place of an earlier one."""
        self.figures[name] = values
        self.write(
            {"figure": name, "values": {k: [round(x, 3) for x in v] for k, v in values.items()}}
        )

    def write(self, line: object) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def counted(self, victim: str, name: str) -> list[Kill]:
        """The kills of a cell that hit while it ran."""
        mine = (k for k in self.kills if (k.victim, k.signal) == (victim, name))
        return [kill for kill in mine if not kill.late]


@dataclass(frozen=True, slots=True)
class Cell:
    """A victim, a signal, and how many kills are wanted."""

    victim: Victim
    signal: str
    wanted: int

    @property
    def key(self) -> tuple[str, str]:
        return self.victim.name, self.signal


def cells(known: Iterable[Victim], wanted: int, only: str) -> list[Cell]:
    """Ours first; *only* is a victim, a signal or both: ``KILL/unstale``."""
    words = set(filter(None, only.split("/")))
    found = []
    for victim in known:
        for name in SIGNALS:
            if name in ("QUIT", "INT3") and not victim.is_ours:
                continue
            often = victim.is_ours and name in _OFTEN
            if words <= {victim.name, name}:
                found.append(Cell(victim, name, wanted if often else max(1, round(wanted * _FEW))))
    return found


def plan(seed: int, cell: Cell, at: int, attempt: int, seconds: float) -> tuple[str, float]:
    """The target and the moment of a cell's kill number *at*."""
    chance = random.Random(f"{seed}.{cell.victim.name}.{cell.signal}.{at}.{attempt}").random()
    target = ("group", "leader")[(at + at // _STRATA) % 2]
    return target, seconds * ((at % _STRATA) + chance) / _STRATA


def snapshot(folder: Path) -> Path:
    """The package as it is committed, and stays while a ledger is filled."""
    source = folder / "src"
    if not source.exists():
        new = folder / f"src.{os.getpid()}"
        new.mkdir(parents=True)
        archive = subprocess.run(
            ("git", "archive", "HEAD:tasks"), cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(("tar", "-x", "-C", str(new)), input=archive, check=True)
        head = ("git", "rev-parse", "--short", "HEAD")
        (new / "COMMIT").write_text(subprocess.check_output(head, cwd=ROOT, text=True))
        new.rename(source)
    return source


@dataclass(slots=True)
class Campaign:
    """The kills that are going on and those to come."""

    ledger: Ledger
    seed: int
    cells: Sequence[Cell]
    source: Path
    witness: Witness
    work: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    going: Counter[tuple[str, str]] = field(default_factory=Counter)
    stopped: bool = False

    def run(self, jobs: int) -> None:
        """Kill until each cell has what it wants; a kill that began is gone through with."""
        workers = [threading.Thread(target=self._work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:
            self.stopped = True
            _tell("stopping after the kills that are going on")
            raise
        finally:
            for worker in workers:
                worker.join()

    def _work(self) -> None:
        while not self.stopped and (cell := self._next()) is not None:
            try:
                self._kill(cell)
            finally:
                with self.lock:
                    self.going[cell.key] -= 1

    def _next(self) -> Cell | None:
        """Of the first victim with work to do, the cell that is furthest behind."""
        with self.lock:
            open_cells = [cell for cell in self.cells if self._done(cell) < cell.wanted]
            mine = [c for c in open_cells if c.victim == open_cells[0].victim]
            if not mine:
                return None
            found = min(mine, key=lambda cell: self._done(cell) / cell.wanted)
            self.going[found.key] += 1
            return found

    def _done(self, cell: Cell) -> int:
        return len(self.ledger.counted(*cell.key)) + self.going[cell.key]

    def _kill(self, cell: Cell) -> None:
        name = cell.victim.name
        before = [kill for kill in self.ledger.kills if kill.victim == name]
        is_odd = len(before) > 1 and all(kill.late for kill in before[-2:])
        if is_odd or len(before) % _KILLS_A_LENGTH == 0:
            seconds = length(self.work, cell.victim, self.source)
            self.ledger.add_length(name, seconds)
            _tell(f"{name}: a good run takes {seconds:.1f} s")
        with self.lock:
            at = self._done(cell) - 1
            lates = sum(k.late for k in self.ledger.kills if (k.victim, k.signal) == cell.key)
        seconds = self.ledger.lengths[name]
        target, moment = plan(self.seed, cell, at, lates, seconds)
        with scene(self.work, self.source, self.witness) as place:
            kill = strike(place, cell.victim, cell.signal, target, moment)
        with self.lock:
            self.ledger.add_kill(kill)
            _tell(_progress(self.ledger, self.cells, kill))


def campaign(ledger: Ledger, seed: int, wanted: int, only: str, jobs: int) -> None:
    """Go on until each cell has its kills."""
    source = snapshot(ledger.path.parent / f"seed-{seed}")
    todo = cells(victims(source).values(), wanted, only)
    witness = Witness()
    try:
        with tempfile.TemporaryDirectory(prefix="unstale-faults-") as folder:
            Campaign(ledger, seed, todo, source, witness, Path(folder)).run(jobs)
    finally:
        witness.close()


def _progress(ledger: Ledger, todo: Sequence[Cell], kill: Kill) -> str:
    mine = ledger.counted(kill.victim, kill.signal)
    wanted = next(c.wanted for c in todo if c.key == (kill.victim, kill.signal))
    what = f"{kill.victim:9} {kill.signal:4} {len(mine):3}/{wanted} {kill.target:6}"
    if kill.late:
        return f"{what} at {kill.moment:4.1f} s: too late, tried again"
    leaks = f"left {kill.containers}/{kill.networks}/{kill.volumes}" if kill.is_leaky else "clean"
    code = "" if kill.right or kill.signal == "KILL" else f", WRONG CODE {kill.code}"
    empty = f", empty after {kill.empty:.1f} s" if kill.empty is not None else ""
    clients = f", {len(kill.clients)} clients live on" if kill.clients else ""
    gone = f"gone in {kill.gone:.1f} s"
    return f"{what} at {kill.moment:4.1f} s: {leaks}{code}, {gone}{empty}{clients} | {kill.doing}"


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; ends with 3 if unstale leaked or ended with a wrong code."""
    parser = argparse.ArgumentParser(prog="faults")
    parser.add_argument("--kills", type=int, default=100, help="in each cell of unstale")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a victim, a signal or both; or a figure")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the tables")
    parser.add_argument("--folder", type=Path, required=True, help="where the ledgers are")
    given = parser.parse_args(arguments)
    ledger = Ledger.open(given.folder / f"seed-{given.seed}.jsonl")
    if not given.report:
        # Handled, these signals are at their default in what we start, whatever
        # started us: a child inherits only what is ignored.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, _stop)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        source = snapshot(given.folder / f"seed-{given.seed}")
        names = FIGURES if given.only == "figures" else {given.only} & FIGURES.keys()
        for name in names:
            ledger.add_figure(name, measure(name, source))
        if not names:
            campaign(ledger, given.seed, given.kills, given.only, given.jobs)
    commit = given.folder / f"seed-{given.seed}" / "src" / "COMMIT"
    _tell(f"seed {given.seed}, commit {commit.read_text() if commit.exists() else 'unknown'}")
    _tell("\n".join((*kill_table(ledger.kills), "", *figure_table(ledger.kills, ledger.figures))))
    ours = [kill for kill in ledger.kills if kill.victim == "unstale" and not kill.late]
    wrong = (kill.signal != "KILL" and not kill.right for kill in ours)
    return 3 if any(wrong) or any(kill.is_leaky for kill in ours) else 0


def _stop(number: int, _frame: object) -> None:
    if number != signal.SIGHUP:  # whoever started us may have gone home
        sys.exit(128 + number)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is what a chore prints


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
