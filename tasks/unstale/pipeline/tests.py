"""Run the tests in the stack and judge the run by evidence."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from unstale.errors import CouldNotTell, Fault, NotReady, TestsFailed, Unavailable
from unstale.facts import ArchiveMember, ContainerFact
from unstale.mask import Mask
from unstale.pipeline import junit, printed
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import Command, CommandResult, Line, RunOptions
from unstale.schema.status import SchemaStatus
from unstale.stack.lifecycle import PROJECT, evidence
from unstale.stack.running import casualties, published

__all__ = ["TestRun", "arguments_for", "judge", "run_tests", "told"]

_LARGEST_FILE = 100 * 1024 * 1024
_SHOWN = 10
_WITH_VALUE = frozenset({"-c", "-k", "-m", "-n", "-o", "-p", "-r", "-W"})


@dataclass(frozen=True, slots=True)
class TestRun:
    """What is known after the runner ended, before anything is removed."""

    __test__ = False

    exit_code: int
    counts: junit.Counts | None
    """None: no JUnit file came out."""
    runner: ContainerFact | None
    fallen: tuple[ContainerFact, ...]
    output: str = field(default="", repr=False)
    """What the runner printed, masked."""
    again: str = "inv test.run"
    """What runs tests again, in the same environment."""
    keeps_cache: bool = False
    """Whether pytest's cache outlives the run, and so knows what failed."""


def arguments_for(suite: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The runner's arguments: the suite's; its options alone, if one of its paths is given."""
    paths = _paths(suite)
    names_own = any(
        argument == path or argument.startswith((f"{path}/", f"{path}::"))
        for argument in given
        for path in paths
    )
    kept = [word for word in suite if word not in paths] if names_own else suite
    return (*kept, *given)


def _paths(suite: Sequence[str]) -> frozenset[str]:
    """The words of *suite* that are neither an option nor the value of one."""
    return frozenset(
        word
        for before, word in zip(("", *suite), suite, strict=False)
        if not word.startswith("-")
        and before not in _WITH_VALUE
        and not (before.startswith("--") and "=" not in before and _is_plain(word))
    )


def _is_plain(word: str) -> bool:
    """Whether *word* is no path by its looks: ``--maxfail 3``, ``--tb short``."""
    return "/" not in word and ".py" not in word


def told(image_id: str | None, schema: SchemaStatus | None) -> dict[str, str]:
    """What the tests are told, for the pytest plugin: which image, and which database.

    The plugin compares the database with the one that it is connected to.
    """
    found = {"UNSTALE_IMAGE": image_id} if image_id else {}
    if schema is not None and schema.identity is not None:
        where = schema.identity
        found["UNSTALE_DATABASE"] = json.dumps(
            {"system": where.system, "database": where.database, "user": where.user}
        )
    return found


def run_tests(
    ports: Ports,
    site: Site,
    deployment: Deployment,
    arguments: Sequence[str],
    *,
    number: str,
    deadline_s: float,
    line: Line,
    environment: Mapping[str, str] = MappingProxyType({}),
    task: str = "test.run",
) -> TestRun:
    """Run the tests and take the evidence; *number* is unique in the stack.

    *environment* is what the tests are told of the run, see `told`; *task* is the one
    that runs them again.

    Raises:
        TimedOut: the deadline passed.
        Unavailable: the runner is not running, in ``exec`` mode.

    """
    again = _again(site, task)
    if site.runner == "host":
        return _on_host(ports, site, deployment, arguments, deadline_s, line, environment, again)
    report, argv = _command(site, arguments, number)
    before = _containers(ports, deployment)
    options = RunOptions(
        argv,
        deadline_s,
        name=f"{deployment.target.project}-tests-{number}",
        environment=(("UNSTALE_RUN", deployment.run), *environment.items()),
    )
    if site.settings.runner.mode == "exec":
        runner = _running(before, site.runner)
        stale = _fetch(ports, runner, report)
        result = ports.docker.execute(runner.id, options, line)
        code = result.returncode
        container = next((c for c in _containers(ports, deployment) if c.id == runner.id), None)
    else:
        stale = ()
        result = ports.docker.run(deployment.target, site.runner, options, line)
        code = result.returncode
        container = next(
            (c for c in _containers(ports, deployment) if c.name == options.name), None
        )
        dead = casualties(before, _containers(ports, deployment), site.runner)
        if container is None and not dead:
            raise Unavailable(
                "The test runner could not be created.",
                cause=result.stderr.strip()[-1500:],
                hint="inv test.integration --verbose",
            )
        code = container.exit_code if container and container.status == "exited" else code
    members = _fetch(ports, container, report) if container else ()
    document = _keep(deployment.folder, members, report, site.mask)
    if document is not None and document == _document(stale, report):
        document = None  # an earlier run's file is no evidence of this one
    return TestRun(
        exit_code=code,
        counts=None if document is None else junit.read(document),
        runner=container,
        fallen=casualties(before, _containers(ports, deployment), site.runner),
        output=_output(site, result),
        again=again,
    )


def judge(ports: Ports, run: TestRun) -> junit.Counts:
    """Accept a run that is green by exit code *and* by evidence.

    Raises:
        NotReady: a service died under the tests: no result can be believed.
        Unavailable: the runner was killed, for want of memory or otherwise.
        TestsFailed: tests failed, or none ran.
        CouldNotTell: exit code 0 without a JUnit file of its own.

    """
    if run.fallen:
        first = run.fallen[0]
        raise NotReady(
            f"{first.service!r} did not survive the tests: {first.status}, "
            f"exit code {first.exit_code}" + (", out of memory." if first.oom_killed else "."),
            cause=evidence(ports.docker, first),
            hint=f"read logs/service-{first.service}.log of the run's evidence;"
            " of a stack that stands: inv stack.logs",
            fault=Fault.OUT_OF_MEMORY if first.oom_killed else Fault.SERVICE_DIED,
        )
    if run.runner is not None and run.runner.oom_killed:
        raise Unavailable(
            "The test runner ran out of memory.",
            cause="The engine's OOM killer ended a process in it.",
            hint="raise its memory limit, or run fewer tests at once",
            fault=Fault.OUT_OF_MEMORY,
        )
    # 125 to 127 are the engine's own, and above are signals.
    if not 0 <= run.exit_code < 125:
        raise Unavailable(
            f"The test runner did not end by itself (exit code {run.exit_code}).",
            cause=run.runner.error if run.runner else "",
            hint="run again with --verbose",
        )
    counts = run.counts
    if run.exit_code != 0:
        raise _failed(run)
    if counts is None:
        raise CouldNotTell(
            "The runner ended with 0, but left no JUnit file: green without evidence.",
            cause="A test ended the process (os._exit), or the runner writes its file elsewhere.",
            hint="set junit in [tool.unstale.runner], or run again with --verbose",
            fault=Fault.NO_EVIDENCE,
        )
    if counts.failed:
        raise _failed(run)
    if counts.executed == 0:
        raise _none_ran(run)
    return counts


def _failed(run: TestRun) -> TestsFailed:
    stop = printed.stop(run.output)
    if run.counts is not None and run.counts.failed:
        return _red(run, run.counts, stop)
    if stop is not None:
        return TestsFailed(
            stop.what, cause=stop.cause, hint=stop.hint or f"mend that, then {run.again}"
        )
    if run.exit_code == 5:
        return _none_ran(run)
    said = printed.complaints(run.output) if run.exit_code == 4 else ""
    return TestsFailed(
        f"The test runner failed with exit code {run.exit_code}.",
        cause=said or "Tests could not be collected or started.",
        hint="read what it printed: above, or in logs/run_tests.log of the run's evidence",
    )


def _red(run: TestRun, counts: junit.Counts, stop: printed.Stop | None) -> TestsFailed:
    known = printed.node_ids(run.output)
    names = [known.get(name, name) for name in counts.failures]
    more = len(names) - _SHOWN
    rows = [f"  {name}" for name in names[:_SHOWN]] + ([f"  and {more} more"] if more > 0 else [])
    return TestsFailed(
        f"{counts.failed} of {counts.executed} tests failed.",
        cause="\n".join([*rows, *((stop.what, stop.cause) if stop else ())]).rstrip(),
        hint=(stop.hint if stop and run.exit_code == 3 else "") or _only_failed(run, names, known),
    )


def _only_failed(run: TestRun, names: Sequence[str], known: Mapping[str, str]) -> str:
    """The command that runs what failed, and little else.

    A container's own cache is gone with it: --last-failed would find nothing there.
    """
    if run.keeps_cache:
        return f"{run.again} -- --last-failed"
    if set(names) <= set(known.values()):
        chosen = list(dict.fromkeys(names))
        if len(chosen) > _SHOWN:
            chosen = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
        return f"{run.again} -- {shlex.join(chosen)}"
    # Where the tests' files are was not printed.
    bare = [name.rpartition("::")[2].partition("[")[0] for name in names[:_SHOWN]]
    if not all("::" in name for name in names) or not all(name.isidentifier() for name in bare):
        return run.again
    return f"{run.again} -- -k {shlex.quote(' or '.join(dict.fromkeys(bare)))}"


def _none_ran(run: TestRun) -> TestsFailed:
    skipped = run.counts.skipped if run.counts else 0
    if skipped:
        what = f"No test ran: {skipped} were skipped."
        cause = "A run without an executed test proves nothing."
        hint = f"{run.again} -- -rs   (prints why)"
    elif deselected := printed.deselected(run.output):
        what = f"No test ran: all {deselected} that were collected were deselected."
        cause = "By -k, -m, --deselect or --last-failed, typed or configured."
        hint = f"{run.again} -- --collect-only -q   (lists what can be selected)"
    elif run.exit_code == 5:
        is_sure = not printed.has_workers(run.output)
        what = "No test ran."
        cause = "No test was collected" + ("." if is_sure else ", or all were deselected.")
        hint = f"name a file or folder that has tests: {run.again} -- PATH"
    else:
        what = "No test ran."
        cause = "Only a list was asked for (--collect-only), or the runner ran none."
        hint = f"choose from it: {run.again} -- -k NAME"
    return TestsFailed(what, cause=cause, hint=hint)


def _again(site: Site, task: str) -> str:
    name = site.environment.name
    return f"inv {task}" + ("" if name == site.settings.default_env else f" --env {name}")


def _output(site: Site, result: CommandResult) -> str:
    return site.mask(f"{result.stdout}\n{result.stderr}")


def _command(site: Site, arguments: Sequence[str], number: str) -> tuple[str, tuple[str, ...]]:
    settings = site.settings.runner
    argv = (*settings.command, *arguments)
    folder = posixpath.dirname(settings.junit) if settings.junit else "/tmp/unstale"  # noqa: S108 - in the container
    if not _is_pytest(settings.command):
        return settings.junit or f"{folder}/junit.xml", argv
    report = f"{folder}/junit-{number}.xml"
    return report, (*settings.command, f"--junit-xml={report}", *arguments)


def _is_pytest(command: Sequence[str]) -> bool:
    return any(posixpath.basename(word) in ("pytest", "py.test") for word in command)


def _containers(ports: Ports, deployment: Deployment) -> tuple[ContainerFact, ...]:
    return ports.docker.containers({PROJECT: deployment.target.project})


def _running(containers: Sequence[ContainerFact], service: str) -> ContainerFact:
    for container in containers:
        if container.service == service and container.status == "running":
            return container
    raise Unavailable(
        f"{service!r} is not running, and tests run inside it.",
        cause='[tool.unstale.runner] says mode = "exec".',
        hint="inv stack.up",
    )


def _fetch(ports: Ports, container: ContainerFact, report: str) -> tuple[ArchiveMember, ...]:
    folder = PurePosixPath(report).parent
    return tuple(ports.docker.files_in_container(container.id, folder))


def _document(members: Sequence[ArchiveMember], report: str) -> bytes | None:
    return next((m.content for m in members if str(m.path) == report and m.link is None), None)


def _keep(folder: Path, members: Sequence[ArchiveMember], report: str, mask: Mask) -> bytes | None:
    """Write the evidence under names of our own; return the JUnit document."""
    document = _document(members, report)
    if document is not None:
        folder.mkdir(parents=True, exist_ok=True)
        # A failure's text may quote a variable; the file is made to be shown.
        text = mask(document.decode("utf-8", "replace"))
        (folder / "junit.xml").write_text(text, encoding="utf-8")
    for member in members:
        name = member.path.name
        is_plain = member.link is None and len(member.content) <= _LARGEST_FILE
        if is_plain and "coverage" in name and "/" not in name:
            (folder / "coverage").mkdir(parents=True, exist_ok=True)
            (folder / "coverage" / name).write_bytes(member.content)
    return document


def _on_host(
    ports: Ports,
    site: Site,
    deployment: Deployment,
    arguments: Sequence[str],
    deadline_s: float,
    line: Line,
    environment: Mapping[str, str],
    again: str,
) -> TestRun:
    before = _containers(ports, deployment)
    report = deployment.folder / "junit.xml"
    command = site.settings.runner.command
    flag = (f"--junit-xml={report}",) if _is_pytest(command) else ()
    if not flag and site.settings.runner.junit:
        report = site.settings.root / site.settings.runner.junit
    report.unlink(missing_ok=True)  # an earlier run's file is no evidence of this one
    result = ports.process.run(
        Command(
            (*command, *flag, *arguments),
            deadline_s,
            cwd=site.settings.root,
            env={**dict(site.values), **published(before), **environment},
        ),
        line,
    )
    return TestRun(
        exit_code=result.returncode,
        counts=junit.read(report.read_bytes()) if report.exists() else None,
        runner=None,
        fallen=casualties(before, _containers(ports, deployment), "host"),
        output=_output(site, result),
        again=again,
        keeps_cache=True,
    )
