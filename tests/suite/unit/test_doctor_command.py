"""``doctor`` as it is typed: what it prints, mends and ends with, and on what it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from unstale.adapters import docker_words
from unstale.adapters.leases import Leases
from unstale.doctor import command, script, words
from unstale.doctor.command import Options
from unstale.doctor.finding import (
    CHECKS,
    Check,
    Copy,
    Diagnosis,
    Finding,
    MakeFolder,
    Need,
    Reap,
    blocked,
    fail,
    not_asked,
    ok,
    untold,
    warn,
)
from unstale.doctor.mending import mend
from unstale.doctor.script import System
from unstale.errors import Outcome, exit_code

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")

# A docker that answers what ours does, without one.
DOCKER = """#!/bin/sh
case "$1 $2" in
"info --format") echo '["26.1",null,[{"Name":"compose","Version":"2.26.1"},
{"Name":"buildx","Version":"0.13.1"}],"/nonexistent","2020-01-01T00:00:00Z"]' ;;
"compose --file"*) echo '{"name": "demo", "services": {"app": {"image": "heron:1",
"volumes": [{"type": "bind", "source": "'$PWD'/uploads", "target": "/x"}]}}}' ;;
"image inspect") echo '[]'; echo "Error: No such image: heron:1" >&2; exit 1 ;;
*) exit 1 ;;
esac
"""


@dataclass
class Place:
    """A project, a docker command that pretends, and a Python that has nothing else."""

    root: Path
    path: str

    def doctor(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # -S: no site-packages. -P: the working folder is none of its places.
        argv = [sys.executable, "-S", "-P", "-W", "error", "-m", "unstale.doctor", *arguments]
        env = {"PATH": self.path, "HOME": str(self.root), "PYTHONPATH": str(ROOT / "tasks")}
        env["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"  # not this machine's own
        return subprocess.run(
            argv,
            cwd=self.root,
            env=env | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def states(self, *arguments: str, **environment: str) -> dict[str, str]:
        found = json.loads(self.doctor("--json", *arguments, **environment).stdout)
        return {one["id"]: one["state"] for one in found["checks"]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root, folder = tmp_path / "demo", tmp_path / "bin"
    (root / "docker").mkdir(parents=True)
    (root / "docker/docker-compose.test.yml").write_text("services: {}\n")
    (root / "env").mkdir()
    (root / "env/.env.test.example").write_text("KEY=\n")
    (root / "pyproject.toml").write_text(
        '[tool.unstale.environments.test]\nenv-file = "env/.env.test"\n'
    )
    folder.mkdir()
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    return Place(root, f"{folder}:/usr/bin:/bin")


def test_nothing_but_the_standard_library_is_imported(place: Place) -> None:
    (place.root / "env/.env.test").write_text("KEY=1\n")
    place.root.joinpath("json.py").write_text("raise SystemExit('the checkout was imported')\n")
    code = (
        "import sys; sys.argv = ['doctor']\n"
        "from unstale.doctor.__main__ import main\n"
        "main()\n"
        "own = {name.partition('.')[0] for name in sys.modules} - {'__main__', 'unstale'}\n"
        "print('FOREIGN', *sorted(own - sys.stdlib_module_names))"
    )
    argv = [sys.executable, "-S", "-P", "-c", code]
    env = {"PATH": place.path, "PYTHONPATH": str(ROOT / "tasks"), "HOME": str(place.root)}

    done = subprocess.run(
        argv, cwd=place.root, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.splitlines()[-1] == "FOREIGN", done.stderr
    assert "UNS-D19" in done.stdout
    assert "1 services in docker" in done.stdout  # so compose was asked, and its model read


def test_it_takes_little_of_the_processor(place: Place) -> None:
    place.doctor()  # compiles
    before = os.times()
    place.doctor()
    after = os.times()

    # Its own and its children's: 0.3 s measured. Other processes can't make it longer.
    used = after.children_user - before.children_user
    assert used + after.children_system - before.children_system < 1.0


def test_the_first_cause_comes_first_and_hides_what_follows(place: Place) -> None:
    (place.root / "env/.env.test").write_text("KEY=1\n")

    done = place.doctor(PATH="/nonexistent")

    assert done.returncode == 5
    assert "✗ UNS-D01" in done.stdout
    for number in ("02", "03", "04", "05", "06"):
        assert f"- UNS-D{number}" in done.stdout
    assert "not checked: UNS-D01 comes first" in done.stdout
    assert "Begin with UNS-D01" in done.stdout
    assert "fix (root): install Docker Engine" in done.stdout


def test_an_env_file_that_is_missing_is_the_cause_and_compose_is_not_blamed(place: Place) -> None:
    states = place.states()

    assert (states["UNS-D13"], states["UNS-D11"]) == ("fail", "skipped")
    assert place.doctor().returncode == 2


def test_without_a_terminal_and_without_yes_nothing_is_changed(place: Place) -> None:
    before = sorted(place.root.rglob("*"))

    done = place.doctor("--fix")

    assert sorted(place.root.rglob("*")) == before
    assert f"would do: cp {place.root}/env/.env.test.example" in done.stdout
    assert done.returncode == 2


def test_what_needs_no_root_is_mended_and_looked_at_again(place: Place) -> None:
    done = place.doctor("--fix", "--yes")

    assert (place.root / "env/.env.test").read_text() == "KEY=\n"
    assert (place.root / "env/.env.test").stat().st_mode & 0o777 == 0o600
    assert "done: cp" in done.stdout
    # Compose is asked now, and knows of a mount; once more:
    assert not (place.root / "uploads").exists()
    assert place.states("--fix", "--yes")["UNS-D14"] == "ok"
    assert (place.root / "uploads").is_dir()


@pytest.mark.parametrize("form", ["--json", "--strict"])
def test_a_mending_that_fails_hides_no_diagnosis(place: Place, form: str) -> None:
    (place.root / "pyproject.toml").write_text("")
    (place.root / "uploads").mkdir()
    (place.root / "env/.env.test").symlink_to("/nonexistent")  # is not written through

    done = place.doctor("--fix", "--yes", form)

    assert place.doctor().returncode == 0  # it is a warning, and what was asked for failed
    assert done.returncode == 5
    assert "UNS-D19" in done.stdout
    if form == "--json":
        (mended,) = json.loads(done.stdout)["mended"]
        assert mended["answer"] == "failed"
        assert "could not be made" in mended["why"]
    else:
        assert "failed: cp " in done.stdout
        assert f"next: ls -ld {place.root}/env\n" in done.stdout


def test_without_an_engine_nothing_is_reaped(place: Place) -> None:
    (place.root / "state/unstale").mkdir(parents=True)
    (place.root / "state/unstale/4711.lease").write_text("{}")
    environ = {"XDG_STATE_HOME": f"{place.root}/state"}

    assert "what dead runs left" in place.doctor("--fix", **environ).stdout
    done = place.doctor("--fix", PATH="/nonexistent", **environ)
    assert "Runs that died: 1" in done.stdout
    assert "what dead runs left, and" not in done.stdout


def test_strict_lets_a_warning_fail(place: Place) -> None:
    (place.root / "env/.env.test").write_text("KEY=1\n")
    (place.root / "uploads").mkdir()
    # The pretended engine lives in 2020, and its image is not here.
    states = place.states()
    assert (states["UNS-D08"], states["UNS-D19"]) == ("warn", "warn")

    assert (place.doctor().returncode, place.doctor("--strict").returncode) == (0, 3)


def test_a_mistyped_setting_is_told_and_the_rest_goes_on(place: Place) -> None:
    (place.root / "pyproject.toml").write_text("[tool.unstale]\nrunnr = 1\n")

    states = place.states()

    assert states["UNS-D02"] == "ok"
    assert states["UNS-D10"] == "fail"
    assert {states[f"UNS-D{n}"] for n in (11, 12, 13)} == {"skipped"}


def test_json_is_one_document(place: Place) -> None:
    done = place.doctor("--json", "--fix", "--print-fix", PATH="/nonexistent")

    found = json.loads(done.stdout)
    assert found["schema"] == "unstale/doctor@1"
    assert (found["outcome"], found["code"], found["first"]) == ("usage", 2, "UNS-D01")
    assert [one["id"] for one in found["checks"]] == [one.id for one in CHECKS]
    assert found["mended"][0]["answer"] == "would"
    assert "script" in found


def test_what_is_lacking_is_told_as_bootstrap_reads_it(place: Place) -> None:
    assert place.doctor("--needs").stdout == ""
    assert "start" in place.doctor("--needs", PATH="/nonexistent").stdout.splitlines()


def test_plugins_that_are_there_are_not_lacking_where_the_context_is_lost(place: Place) -> None:
    lost = """#!/bin/sh
case "$DOCKER_CONTEXT $1 $2" in
"default compose version") echo Docker Compose version v2.26.1 ;;
"default buildx version") echo github.com/docker/buildx v0.13.1 171fcbe ;;
*) echo 'context "nowhere": context not found' >&2; exit 1 ;;
esac
"""
    Path(place.path.partition(":")[0], "docker").write_text(lost)

    done = place.doctor("--needs", DOCKER_CONTEXT="nowhere", DOCKER_HOST="")

    assert "start" in done.stdout.splitlines()
    assert "buildx" not in done.stdout
    assert "compose" not in done.stdout


# The findings


def test_ids_are_stable_and_written_down() -> None:
    assert [one.id for one in CHECKS] == [f"UNS-D{n:02}" for n in range(1, 20)]
    assert [one.name for one in CHECKS] == [
        *("docker command", "engine", "permission", "context", "compose", "buildx", "disk"),
        *("clock", "ports", "settings", "compose files", "migrations", "env files", "mounts"),
        *("bytecode", "shadowing", "hidden tasks", "leftovers", "images"),
    ]


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.id)
def test_each_check_has_its_part_of_the_page(check: Check) -> None:
    assert f"### {check.id}\n" in PAGE
    assert check.name in PAGE
    assert check.page == f"docs/doctor.md#{check.id.lower()}"


def every(**given: Finding) -> Diagnosis:
    found = {one.name: ok(one.name, "fine") for one in CHECKS}
    return Diagnosis(tuple((found | {f.check.name: f for f in given.values()}).values()))


@pytest.mark.parametrize(
    ("finding", "loose", "strict"),
    [
        (ok("disk", "x"), 0, 0),
        (warn("disk", "x", "df"), 0, 3),
        (not_asked("ports", "none"), 0, 0),
        (untold("clock", "x", "y"), 4, 4),
        (fail("engine", "x", "y"), 5, 5),
        (fail("settings", "x", "y", outcome=Outcome.USAGE), 2, 2),
        (fail("migrations", "x", "y", outcome=Outcome.MISMATCH), 3, 3),
    ],
)
def test_each_state_has_its_exit_code(finding: Finding, loose: int, strict: int) -> None:
    found = every(one=finding)

    assert exit_code(found.outcome(strict=False)) == loose
    assert exit_code(found.outcome(strict=True)) == strict


def test_what_was_not_checked_is_never_green() -> None:
    cause = fail("engine", "x", "y")
    found = every(a=cause, b=blocked("clock", cause))

    text = "\n".join(words.as_text(found, Outcome.UNAVAILABLE, str))

    assert "- UNS-D08" in text
    assert "1 fail, 1 skipped" in text


def test_a_url_in_what_was_seen_loses_its_password() -> None:
    secret = fail("context", "docker looks at tcp://me:heron72x@192.0.2.1.", "unset DOCKER_HOST")

    document = words.as_document(every(one=secret), Outcome.UNAVAILABLE, command.Mask(), {})

    assert "heron72x" not in json.dumps(document)
    assert "192.0.2.1" in json.dumps(document)


# Mending


def mendable(*mendings: Any) -> Diagnosis:
    return Diagnosis((replace(warn("env files", "x", "y"), mendings=mendings),))


def test_what_is_there_by_now_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")

    copy, folder = Copy(tmp_path / "a", tmp_path / "b"), MakeFolder(tmp_path / "c")

    one, other = mend(mendable(copy, folder), tmp_path, lambda _f, _m: "done")

    assert (one.answer, other.answer) == ("failed", "done")
    assert "could not be made" in str(one.error)
    assert (tmp_path / "b").read_text() == "old"


def test_a_no_changes_nothing(tmp_path: Path) -> None:
    found = mend(mendable(MakeFolder(tmp_path / "x/y"), Reap()), tmp_path, lambda _f, _m: "left")

    assert [one.answer for one in found] == ["left", "left"]
    assert list(tmp_path.iterdir()) == []


def test_a_kept_stack_whose_checkout_is_away_is_not_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unstale.project import Project

    leases = Leases({"XDG_STATE_HOME": str(tmp_path)})
    (tmp_path / "unstale").mkdir()
    leases.keep("4711", tmp_path / "away", "test")
    swept: list[str] = []

    def reap(_self: Project, *, homeless: bool = True) -> tuple[()]:
        swept.extend(one.run for one in leases.seen_dead(homeless=homeless))
        return ()

    monkeypatch.setattr(Project, "stack_reap", reap)
    assert [one.run for one in leases.seen_dead(homeless=True)] == ["4711"]

    found = mend(mendable(Reap()), tmp_path, lambda _f, _m: "done")

    assert [one.answer for one in found] == ["done"]
    assert swept == []


def test_each_is_shown_and_asked_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = iter(["y\n", "\n"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: next(asked), raising=False)
    confirm = command._confirm(Options(fix=True), command.Mask())

    one, two = MakeFolder(tmp_path / "one"), MakeFolder(tmp_path / "two")
    found = mend(mendable(one, two), tmp_path, confirm)

    assert [m.answer for m in found] == ["done", "left"]
    assert f"mkdir -p {tmp_path / 'one'}? [y/N]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_dry_run_only_says_so(tmp_path: Path) -> None:
    confirm = command._confirm(Options(fix=True, yes=True, dry=True), command.Mask())

    assert [m.answer for m in mend(mendable(MakeFolder(tmp_path / "x")), tmp_path, confirm)] == [
        "would"
    ]
    assert list(tmp_path.iterdir()) == []


# The script


ALL: tuple[Need, ...] = ("command", "engine", "start", "buildx", "compose")


def test_nothing_to_do_is_no_script() -> None:
    assert script.script((), System("debian", "13")) == "# Nothing here needs root.\n"


@pytest.mark.parametrize(
    ("on", "line"),
    [
        (
            System("debian", "13", has_systemd=True),
            "recommends docker-cli docker.io docker-buildx docker-compose\n",
        ),
        (System("debian", "12"), "newer_packages docker-cli docker.io docker-buildx"),
        (
            System("ubuntu", "24.04"),
            "recommends docker.io docker-buildx docker-compose-v2\n",
        ),
        (System("dnf", "42"), "dnf install --assumeyes docker-cli moby-engine docker-buildx"),
        (System("brew"), "brew install docker colima docker-buildx docker-compose"),
        (System(""), "exit 1"),
    ],
    ids=lambda one: one.kind + one.release if isinstance(one, System) else "",
)
def test_each_system_has_its_words(on: System, line: str) -> None:
    text = script.script(ALL, on)

    assert line in text
    parsed = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    # Nothing from the web goes into a shell.
    assert not any(word in text for word in ("curl", "wget", "| sh", "|sh"))


APT = """#!/bin/sh
case "$*" in
indextargets*"Origin: Debian"*) printf '%s\\n' HERE/a.list:2 HERE/b.sources:2 HERE/b.sources:2 ;;
*SourceParts=*update) cp -r "$TMPDIR"/*/sources HERE/seen ;;
*SourceParts=*download*) [ ! -e HERE/broken ] && : >one.deb ;;
esac
"""


@pytest.mark.parametrize("broken", [False, True])
def test_only_entries_of_debian_itself_name_the_newer_suite(
    tmp_path: Path, *, broken: bool
) -> None:
    (tmp_path / "a.list").write_text(
        "deb https://example.com/docker bookworm stable\n"
        "deb [signed-by=/k.gpg] http://deb.example.org/debian bookworm main\n"
    )
    (tmp_path / "b.sources").write_text(
        "Types: deb\nURIs: https://example.com/pg\nSuites: bookworm-pgdg\n\n"
        "Types: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm bookworm-updates\n\n"
    )
    own = tmp_path / "bin"
    own.mkdir()
    for name, text in (("apt-get", APT.replace("HERE", str(tmp_path))), ("chown", "#!/bin/sh\n")):
        (own / name).write_text(text)
        (own / name).chmod(0o755)
    if broken:
        (tmp_path / "broken").touch()
    (tmp_path / "tmp").mkdir()
    env = {"PATH": f"{own}:/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp")}

    done = subprocess.run(
        ["sh"],
        input=script.script(["compose"], System("debian", "12")),
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )

    assert (done.returncode != 0, done.stderr) == (broken, "")
    seen = {path.name: path.read_text() for path in (tmp_path / "seen").iterdir()}
    assert seen == {
        "debian.list": "deb [signed-by=/k.gpg] http://deb.example.org/debian trixie main\n",
        "debian.sources": "Types: deb\nURIs: http://deb.example.org/debian\n"
        "Suites: trixie trixie-updates\n\n",
    }
    assert list((tmp_path / "tmp").iterdir()) == []  # nothing is left of it


def test_the_group_is_never_joined_without_the_sentence() -> None:
    text = script.script(["group"], System("debian", "13"))

    assert "equals root on this machine" in text
    commands = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert commands == ["set -eu"]
    assert "usermod" not in script.script(ALL, System("debian", "13"))
    advice = docker_words.engine_gone("permission denied").hint
    assert "usermod" in advice
    assert "equals root" in advice


@pytest.mark.parametrize(
    ("release", "has", "platform", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "apt-get", "linux", ("debian", "12")),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=24.04\n", "apt-get", "linux", ("ubuntu", "24.04")),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "apt-get", "linux", ("ubuntu", "")),
        ("ID=fedora\nVERSION_ID=42\n", "dnf", "linux", ("dnf", "42")),
        ("", "brew", "darwin", ("brew", "")),
        ("ID=alpine\n", "apk", "linux", ("", "")),
    ],
)
def test_the_system_is_known_by_what_it_says(
    tmp_path: Path, release: str, has: str, platform: str, expected: tuple[str, str]
) -> None:
    path = tmp_path / "os-release"
    if release:
        path.write_text(release)

    found = script.system(path, lambda name: name if name == has else None, platform)

    assert (found.kind, found.release) == expected
