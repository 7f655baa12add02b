"""Chores of this repository, which the package does not ship."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from invoke import Context, task
from invoke.exceptions import Exit

_ROOT = Path(__file__).resolve().parents[1]

# Cheap and sharp first: a typo should not wait for an engine.
_CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", ("ruff", "format", "--check", "tasks", "tests/suite", "tests/chores.py")),
    ("lint", ("ruff", "check", "tasks", "tests/suite", "tests/chores.py")),
    ("types", ("mypy",)),
    ("layers", ("lint-imports",)),
    (
        "fast tests",
        (
            *("coverage", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            "--numprocesses=2",
            *(
                "tests/suite/unit",
                "tests/suite/docs",
                "tests/suite/bootstrap",
                "docker/service/tests",
            ),
        ),
    ),
    (
        "tests on the engine",
        (
            *("coverage", "run", "-m", "pytest", "-q", "--durations=20"),
            # Three at a time: they wait for the engine more than they compute. The tests
            # of a file share fixtures, and stay together.
            *("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder"),
            # The longest files first: the last one keeps only one of them busy.
            "tests/suite/integration",
            "tests/suite/faults",
            "tests/suite/plugin",
            "tests/suite/contract",
            "tests/suite/adoption",
        ),
    ),
    (
        "oracles",
        (
            # Not measured: that would take as long again, and what they try the fast
            # tests reach, too.
            *("python", "-m", "pytest", "-q", "--durations=10"),
            *("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder"),
            "tests/suite/oracle",
            "tests/suite/fuzz",
            "tests/suite/bench",
            "tests/suite/release",
        ),
    ),
    ("merge coverage", ("coverage", "combine", "--quiet")),
    ("coverage", ("coverage", "report", "--skip-covered", "--fail-under=85")),
)


@task(help={"full": "the tests that are marked long, too; CI does without them"})
def check(_ctx: Context, full: bool = False) -> None:  # noqa: FBT002 - Invoke reads flags so
    """Lint, types, layers, tests, coverage: what CI runs."""
    subprocess.run([sys.executable, "-m", "coverage", "erase"], cwd=_ROOT, check=True)
    for name, always in _CHECKS:
        short = () if full or "pytest" not in always else ("-m", "not long")
        command = (*always, *short)
        print(f"--- {name}: {' '.join(command)}", flush=True)
        begin = time.monotonic()
        code = subprocess.run(command, cwd=_ROOT, check=False).returncode
        print(f"--- {name}: {time.monotonic() - begin:.1f} s", flush=True)
        if code:
            raise Exit(f"check failed at: {name}", code=code)


@task(
    help={
        "cases": "random mutations to judge; the ledger of the seed is gone on with",
        "seed": "where they come from",
        "jobs": "builds at once",
        "only": "judge the case of this name again, and show it",
        "planted": "plant faults in our own modules, and see that each is found",
    }
)
def oracle(
    _ctx: Context,
    cases: int = 1000,
    seed: int = 1,
    jobs: int = 2,
    only: str = "",
    planted: bool = False,  # noqa: FBT002 - Invoke reads flags from booleans
) -> None:
    """Let the engine judge the image proof on random builds and mutations."""
    place = _ROOT / "tests" / "suite" / "oracle" / "campaign.py"
    command = [sys.executable, str(place), "--folder", str(_ROOT / ".unstale" / "oracle")]
    command += ["--cases", str(cases), "--seed", str(seed), "--jobs", str(jobs)]
    command += (["--only", only] if only else []) + (["--planted"] if planted else [])
    code = subprocess.run(command, cwd=_ROOT, check=False).returncode
    if code:
        raise Exit(f"oracle ended with {code}", code=code)


@task(
    help={
        "kills": "of unstale for each of INT, TERM, HUP and KILL; of others 0.3 times as many",
        "seed": "where the moments come from; its ledger is gone on with",
        "only": "a victim, a signal or both (KILL/unstale); a figure, or all of them: figures",
        "jobs": "kills at once",
        "report": "print the tables of docs/reliability.md, and do nothing",
    }
)
def faults(
    _ctx: Context,
    kills: int = 100,
    seed: int = 1,
    only: str = "",
    jobs: int = 1,
    report: bool = False,  # noqa: FBT002 - Invoke reads flags from booleans
) -> None:
    """Kill runs at random moments, ours and those of others, and count what is left."""
    place = _ROOT / "tests" / "suite" / "faults" / "campaign.py"
    command = [sys.executable, str(place), "--folder", str(_ROOT / ".unstale" / "faults")]
    command += ["--kills", str(kills), "--seed", str(seed), "--jobs", str(jobs)]
    command += (["--only", only] if only else []) + (["--report"] if report else [])
    code = subprocess.run(command, cwd=_ROOT, check=False).returncode
    if code:
        raise Exit(f"faults ended with {code}", code=code)


@task(
    iterable=["only"],
    help={
        "only": "list, verdict, answer, cold, schema, isolation or env; may be repeated",
        "runs": "how often each is timed, by turns with its baseline",
        "files": "sizes of the trees, with commas",
    },
)
def bench(_ctx: Context, only: list[str], runs: int = 5, files: str = "1000,10000,100000") -> None:
    """Measure what must be fast, and print the table of docs/performance.md."""
    command = [sys.executable, str(_ROOT / "tests" / "suite" / "bench" / "bench.py")]
    command += ["--runs", str(runs), "--files", *files.split(",")]
    command += ["--only", *only] if only else []
    code = subprocess.run(command, cwd=_ROOT, check=False).returncode
    if code:
        raise Exit(f"bench ended with {code}", code=code)


@task(
    help={
        "examples": "inputs for each parser",
        "only": "the tests whose name has this; as pytest's -k",
        "seed": "where the inputs come from; without one, each run has others",
    }
)
def fuzz(_ctx: Context, examples: int = 10_000, only: str = "", seed: str = "") -> None:
    """Feed every parser of ours what nobody wrote."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=10"]
    command += ["--numprocesses=2", str(_ROOT / "tests" / "suite" / "fuzz")]
    command += (["-k", only] if only else []) + ([f"--hypothesis-seed={seed}"] if seed else [])
    env = {**os.environ, "UNSTALE_FUZZ_EXAMPLES": str(examples)}
    code = subprocess.run(command, cwd=_ROOT, env=env, check=False).returncode
    if code:
        raise Exit(f"fuzz ended with {code}", code=code)


@task
def reference(_ctx: Context) -> None:
    """Write docs/reference.md anew, from the code."""
    place = _ROOT / "tests" / "suite" / "docs" / "reference.py"
    subprocess.run([sys.executable, str(place)], cwd=_ROOT, check=True)
