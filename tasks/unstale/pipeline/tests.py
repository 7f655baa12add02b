"""Run the tests in the stack and judge the run by evidence."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from unstale.errors import (
    CouldNotTell,
    EngineUnavailable,
    Fault,
    NotDone,
    NotReady,
    TestsFailed,
    TimedOut,
    Unavailable,
)
from unstale.facts import ArchiveMember, ContainerFact, Death, moment
from unstale.mask import Mask
from unstale.pipeline import absent, addresses, junit, printed
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import Allowance, Command, CommandResult, Line, RunOptions
from unstale.schema.status import SchemaStatus
from unstale.stack.autopsy import autopsy
from unstale.stack.lifecycle import MAY_END, PROJECT
from unstale.stack.running import Fall, casualties, missed_checks, published

__all__ = ["TestRun", "arguments_for", "judge", "run_tests", "told"]

# A JUnit file of 50 MiB passes; what would fill memory or disk does not.
_ALLOWANCE = Allowance(size_bytes=128 << 20, entries=10_000)
# The names that coverage gives to what it writes. No other is made here.
_COVERAGE = r"\.coverage(?:\.[\w.-]{1,200})?|coverage(?:\.(?:xml|json|lcov))?"
_SHOWN = 10
# What tests print is in their log; of this much the reason of a red run is read.
_TAIL_BYTES = 1 << 20
_LAST = 15  # lines of a runner that hung or was ended
_SIGNALS = {one.value: one.name for one in signal.Signals}
_WITH_VALUE = frozenset({"-c", "-k", "-m", "-n", "-o", "-p", "-r", "-W"})


@dataclass(frozen=True, slots=True)
class TestRun:
    """What is known after the runner ended, before anything is removed."""

    __test__ = False

    exit_code: int
    counts: junit.Counts | None
    """None: no JUnit file came out, or none that can be read."""
    runner: ContainerFact | None
    fallen: tuple[Fall, ...]
    """The first to fall first."""
    states: tuple[ContainerFact, ...] = ()
    """Every container of the stack, as it was when the tests were over."""
    notes: tuple[str, ...] = ()
    """What was remarkable of services that did survive."""
    damage: str = ""
    """Why the JUnit file can't be read."""
    output: str = field(default="", repr=False)
    """What the runner printed, masked."""
    again: str = "inv test.run"
    """What runs tests again, in the same environment."""
    left_out: str = ""
    """Why there is no coverage, where that is known."""
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
        TimedOut: the deadline passed; the cause is what the tests printed last.
        EngineUnavailable: it went away meanwhile.
        Unavailable: the runner is not running, in ``exec`` mode.

    """
    again = _again(site, task)
    last: deque[str] = deque(maxlen=_LAST)

    def heard(text: str) -> None:
        last.append(text)
        line(text)

    try:
        if site.runner == "host":
            return _on_host(
                ports, site, deployment, arguments, deadline_s, heard, environment, again
            )
        return _in_stack(
            ports, site, deployment, arguments, number, deadline_s, heard, environment, again
        )
    except TimedOut as error:
        # An engine that hangs is the cause then, and this says so.
        states = _containers(ports, deployment)
        raise TimedOut(
            f"The tests (step run_tests) did not end within {deadline_s:g} s.",
            cause="\n".join(
                [
                    *(["The last lines that they printed:"] if last else ["They printed nothing."]),
                    *(f"  {site.mask(text)}" for text in last),
                    *(f"{c.name}: {c.status}" + _health(c) for c in states),
                ]
            ),
            hint="mend the test that hangs, or raise tests in [tool.unstale.deadlines]",
        ) from error


def _health(container: ContainerFact) -> str:
    return f", {container.health}" if container.health else ""


def _in_stack(
    ports: Ports,
    site: Site,
    deployment: Deployment,
    arguments: Sequence[str],
    number: str,
    deadline_s: float,
    line: Line,
    environment: Mapping[str, str],
    again: str,
) -> TestRun:
    report, argv = _command(site, arguments, number, _entry_point(ports, site))
    before = _containers(ports, deployment)
    options = RunOptions(
        argv,
        deadline_s,
        name=f"{deployment.target.project}-tests-{number}",
        environment=(("UNSTALE_RUN", deployment.run), *environment.items()),
        tail_bytes=_TAIL_BYTES,
    )
    if site.settings.runner.mode == "exec":
        runner = _running(before, site.require_runner())
        stale = _report(ports, runner, report)
        result = ports.docker.execute(runner.id, options, line)
        code = result.returncode
        after = _containers(ports, deployment)
        container = next((c for c in after if c.id == runner.id), None)
    else:
        stale = None
        result = ports.docker.run(deployment.target, site.require_runner(), options, line)
        code = result.returncode
        after = _containers(ports, deployment)
        container = next((c for c in after if c.name == options.name), None)
        if _never_ran(container):
            if not _fallen(ports, site, deployment, before, after):
                _require_command(site, container, result, 127)
                raise _not_started(ports, site, container, result)
            container = None  # no report in it is of this run
        code = container.exit_code if container and container.has_ended else code
    found = _report(ports, container, report) if container else None
    if found is None:
        _require_command(site, container, result, code)
    coverage, left_out = _coverage(ports, container, report) if container else ((), "")
    if left_out:
        line(left_out)
    document = _keep(deployment, found, coverage, site.mask)
    if _is_older(found, stale, container):
        document = None  # an earlier run's file is no evidence of this one
    counts, damage = _counts(document)
    # Once more: what died while the files were fetched fell as well.
    after = _containers(ports, deployment)
    return TestRun(
        exit_code=code,
        counts=counts,
        runner=container,
        fallen=_fallen(ports, site, deployment, before, after),
        states=after,
        notes=tuple(missed_checks(before, after)),
        damage=damage,
        output=_output(site, result),
        again=again,
        left_out=left_out,
    )


def _require_command(
    site: Site, container: ContainerFact | None, result: CommandResult, code: int
) -> None:
    said = f"{container.error if container else ''}\n{_output(site, result)}"
    if error := absent.not_there(site, site.require_runner(), said, code):
        raise error


def _never_ran(container: ContainerFact | None) -> bool:
    """Whether the runner is not there, or could not be started; compose ends with 1 then."""
    return container is None or container.status == "created"


def _not_started(
    ports: Ports, site: Site, container: ContainerFact | None, result: CommandResult
) -> Unavailable:
    found = autopsy(ports.docker, container) if container else None
    said = site.mask(result.stderr).strip()[-1500:]
    return Unavailable(
        f"The test runner could not be {'started' if container else 'created'}.",
        cause=(found.cause if found else "") or said,
        hint=(found.hint if found else "") or "inv test.integration --verbose",
        fault=(found.fault if found else None) or Fault.SERVICE_DIED,
    )


def _fallen(
    ports: Ports,
    site: Site,
    deployment: Deployment,
    before: Sequence[ContainerFact],
    after: Sequence[ContainerFact],
) -> tuple[Fall, ...]:
    def fallen(deaths: Sequence[Death] = ()) -> tuple[Fall, ...]:
        return casualties(
            before,
            after,
            site.require_runner(),
            expected=site.started_services,
            may_end=site.stack.one_shots,
            deaths=deaths,
        )

    return fallen() and fallen(_deaths(ports, deployment, before))


def _deaths(
    ports: Ports, deployment: Deployment, before: Sequence[ContainerFact]
) -> tuple[Death, ...]:
    """The ends since the last service was started; none where the engine won't say."""
    since = max((c.started_at for c in before if c.status == "running"), default="")
    try:
        return ports.docker.deaths({PROJECT: deployment.target.project}, since) if since else ()
    except EngineUnavailable:
        raise
    except Unavailable:
        return ()


def _counts(document: bytes | None) -> tuple[junit.Counts | None, str]:
    """What a JUnit file says, and why it can't be read."""
    try:
        return (None if document is None else junit.read(document)), ""
    except CouldNotTell as error:
        return None, error.cause


def judge(ports: Ports, run: TestRun) -> junit.Counts:
    """Accept a run that is green by exit code *and* by evidence.

    Raises:
        NotReady: a service died under the tests: no result can be believed.
        Unavailable: the runner was killed, for want of memory or otherwise.
        TestsFailed: tests failed, or none ran.
        CouldNotTell: exit code 0 without a JUnit file of its own.

    """
    if run.fallen:
        raise _void(ports, run)
    if run.runner is not None and run.runner.oom_killed:
        raise _starved(run, run.runner)
    # 125 to 127 are the engine's own, and above are signals.
    if not 0 <= run.exit_code < 125:
        raise _ended(ports, run)
    counts = run.counts
    if run.exit_code != 0:
        raise _failed(run)
    if run.damage:
        raise CouldNotTell(
            "The runner ended with 0, but its JUnit file can't be read: green without evidence.",
            cause=run.damage,
            hint=f"run again, and let nothing end the runner before its time: {run.again}",
            fault=Fault.NO_EVIDENCE,
        )
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


def _void(ports: Ports, run: TestRun) -> NotReady:
    """A service fell: no result can be believed, whatever it is."""
    first, *rest = run.fallen
    found = autopsy(ports.docker, first.now)
    failed = run.counts.failed if run.counts else 0
    also = [f"After it, {fall.service!r} {fall.how}" for fall in rest]
    also += [f"{failed} tests failed meanwhile."] if failed else []
    hint = (
        f"read logs/service-{first.service}.log of the run's evidence;"
        " of a stack that stands: inv stack.logs"
    )
    fault = Fault.OUT_OF_MEMORY if first.oom_killed else Fault.SERVICE_DIED
    return NotReady(
        f"{first.service!r} did not survive the tests: it {first.how}",
        cause="\n".join([*also, *([found.cause] if found.cause else [])]),
        hint=MAY_END if first.is_clean_end else found.hint or hint,
        fault=fault,
    )


def _starved(run: TestRun, runner: ContainerFact) -> Unavailable:
    whole = "" if run.exit_code == 137 else ", a child of what ended with {}"
    return Unavailable(
        f"The test runner ran out of memory ({runner.memory_words}).",
        cause="The engine's OOM killer ended a process in it"
        + whole.format(run.exit_code)
        + f".\n{_last_lines(run)}",
        hint="raise its memory limit, or run fewer tests at once",
        fault=Fault.OUT_OF_MEMORY,
    )


def _ended(ports: Ports, run: TestRun) -> Unavailable:
    """The runner was ended, or never began."""
    found = autopsy(ports.docker, run.runner) if run.runner else None
    signum = -run.exit_code if run.exit_code < 0 else run.exit_code - 128
    by = f", by {_SIGNALS[signum]}" if signum in _SIGNALS else ""
    return Unavailable(
        f"The test runner did not end by itself (exit code {run.exit_code}{by}).",
        cause=found.cause if found and found.cause else _last_lines(run),
        hint=(found.hint if found else "") or "run again with --verbose",
        fault=(found.fault if found else None) or Fault.SERVICE_DIED,
    )


def _last_lines(run: TestRun) -> str:
    lines = run.output.rstrip().splitlines()[-_LAST:]
    return "\n".join(["Its last lines:", *(f"  {text}" for text in lines)]) if lines else ""


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


def _entry_point(ports: Ports, site: Site) -> tuple[str, ...]:
    """What a new container of the runner puts before a command: the compose file's, or the image's.

    In a container that is up already nothing is put before one.
    """
    service = site.stack.service(site.runner or "")
    if service is None or site.settings.runner.mode == "exec":
        return ()
    if service.entrypoint is not None:
        return service.entrypoint
    image = ports.docker.images_called([service.image]).get(service.image)
    return tuple(json.loads(image.config).get("Entrypoint") or ()) if image else ()


def _command(
    site: Site, arguments: Sequence[str], number: str, entry_point: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    settings = site.settings.runner
    folder = posixpath.dirname(settings.junit) if settings.junit else "/tmp/unstale"  # noqa: S108 - in the container
    if not _is_pytest(settings.command):
        return settings.junit or f"{folder}/junit.xml", (*settings.command, *arguments)
    report = f"{folder}/junit-{number}.xml"
    # An entry point that is pytest takes its name for a file.
    is_there = _is_pytest(entry_point) and _is_pytest(settings.command[:1])
    words = settings.command[1:] if is_there else settings.command
    return report, (*words, f"--junit-xml={report}", *arguments)


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


def _report(ports: Ports, container: ContainerFact, path: str) -> ArchiveMember | None:
    """The runner's report; a link is none.

    Raises:
        Unavailable: it is larger than anybody should read.

    """
    place = PurePosixPath(path)
    members = ports.docker.files_in_container(container.id, place, _ALLOWANCE, follow=False)
    return next((m for m in members if m.path == place and m.link is None), None)


def _coverage(
    ports: Ports, container: ContainerFact, report: str
) -> tuple[tuple[ArchiveMember, ...], str]:
    """What coverage wrote beside the report; or none, and why.

    The folder may be a whole project, virtual environment and all: that costs the
    coverage, never the tests' evidence.
    """
    folder = PurePosixPath(report).parent
    try:
        members = ports.docker.files_in_container(container.id, folder, _ALLOWANCE)
        return tuple(m for m in members if _is_coverage(m, folder)), ""
    except EngineUnavailable:
        raise
    except Unavailable as error:
        return (), f"coverage is left out: {error.what} {error.cause}".rstrip()


def _is_coverage(member: ArchiveMember, folder: PurePosixPath) -> bool:
    is_ours = member.path.parent == folder and member.link is None
    return is_ours and re.fullmatch(_COVERAGE, member.path.name) is not None


def _is_older(
    found: ArchiveMember | None, stale: ArchiveMember | None, runner: ContainerFact | None
) -> bool:
    """Whether the report was there before the tests: from the image, or an earlier run.

    A runner of its own started after whatever is older; in one that goes on, what was
    there (*stale*) tells. Times are the container's own, in whole seconds.
    """
    if found is None or runner is None:
        return False
    if stale is not None:
        return (stale.content, stale.modified) == (found.content, found.modified)
    if not runner.one_off or found.modified is None:
        return False
    return found.modified < int(moment(runner.started_at).timestamp())


def _keep(
    deployment: Deployment,
    report: ArchiveMember | None,
    coverage: Sequence[ArchiveMember],
    mask: Mask,
) -> bytes | None:
    """Write the evidence under names of our own; return the JUnit document."""
    if report is not None:
        _show(deployment, report.content, mask)
    for member in coverage:
        text = member.content.decode("utf-8", "surrogateescape")
        deployment.write(deployment.folder / "coverage" / member.path.name, text)
    return report.content if report else None


def _show(deployment: Deployment, document: bytes, mask: Mask) -> None:
    """Write a JUnit document that is made to be shown: a failure may quote a variable."""
    text = mask(document.decode("utf-8", "replace"))
    deployment.write(deployment.folder / "junit.xml", text)


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is written, even with the same bytes; None: no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


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
    is_ours = report.parent == deployment.folder
    earlier = _version(report)  # an earlier run's file is no evidence of this one
    try:
        result = ports.process.run(
            Command(
                (*command, *flag, *arguments),
                deadline_s,
                cwd=site.settings.root,
                env={
                    **dict(site.values),
                    **published(before),
                    **environment,
                    # In a dry run nothing is published, nor is anything run.
                    **({} if ports.is_dry else addresses.variables(site, before)),
                },
                changes=True,
                tail_bytes=_TAIL_BYTES,
            ),
            line,
        )
        document = None if _version(report) in (None, earlier) else report.read_bytes()
        if document is not None:
            _show(deployment, document, site.mask)
        elif is_ours:
            report.unlink(missing_ok=True)
    except NotDone:
        raise
    except BaseException as error:
        if is_ours:  # it may quote a secret
            report.unlink(missing_ok=True)
        if isinstance(error, Unavailable) and (why := absent.not_here(site, error.what)):
            raise why from error
        raise
    said = "" if document else _output(site, result)
    if why := absent.not_here(site, said, result.returncode):
        raise why
    counts, damage = _counts(document)
    after = _containers(ports, deployment)
    return TestRun(
        exit_code=result.returncode,
        counts=counts,
        runner=None,
        fallen=_fallen(ports, site, deployment, before, after),
        states=after,
        notes=tuple(missed_checks(before, after)),
        damage=damage,
        output=_output(site, result),
        again=again,
        keeps_cache=True,
    )
