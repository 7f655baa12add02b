"""The templates of ``ci.workflow``, and that this repository's own workflow is true to them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke import Config, Context, Exit

from unstale import ns
from unstale.errors import UsageError
from unstale.render.workflow import PLACES, PROVIDERS, Job, Provider, provider_of, text

ROOT = Path(__file__).resolve().parents[3]
JOBS = [Job("", "main", has_lock=True), Job("ci", "trunk/next", has_lock=False)]
# Of https://docs.gitlab.com/ci/yaml: a key that it does not know fails the pipeline.
GITLAB_JOB = {
    *("stage", "image", "services", "variables", "timeout", "interruptible", "rules", "cache"),
    *("before_script", "script", "after_script", "artifacts", "needs", "tags", "retry"),
}
GITHUB_STEP = {"name", "uses", "with", "run", "if", "env", "id", "shell", "timeout-minutes"}


def _yaml(provider: Provider, job: Job) -> dict[Any, Any]:
    found = yaml.safe_load(text(provider, job))
    assert isinstance(found, dict)
    return found


WITH_DOCKER = "./bootstrap --with-docker"


def _steps(document: dict[Any, Any]) -> list[dict[str, Any]]:
    """Of the first job, which is the only one of a template."""
    job = next(iter(document["jobs"].values()))
    steps: list[dict[str, Any]] = job["steps"]
    return steps


@pytest.mark.parametrize("job", JOBS)
def test_github_gets_what_a_job_needs(job: Job) -> None:
    document = _yaml("github", job)
    (found,) = document["jobs"].values()
    checkout = _steps(document)[0]["with"]

    # YAML 1.1 reads `on` as true.
    assert document[True] == {"push": {"branches": [job.branch]}, "pull_request": None}
    assert document["permissions"] == {"contents": "read"}
    assert document["concurrency"]["cancel-in-progress"] is True
    assert found["timeout-minutes"] == 30
    assert found["env"] == {"UV_COMPILE_BYTECODE": "1"}
    assert checkout == {"fetch-depth": 0, "persist-credentials": False}
    assert all(step.keys() <= GITHUB_STEP for step in _steps(document))


@pytest.mark.parametrize("document", ["template", "own"])
def test_actions_have_a_version_and_evidence_is_kept_of_red_runs(document: str) -> None:
    own = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = _steps(_yaml("github", JOBS[0]) if document == "template" else own)
    used = [step["uses"] for step in steps if "uses" in step]

    assert all(re.fullmatch(r"[a-z-]+/[a-z/-]+@v\d+", one) for one in used)
    (upload,) = [s for s in steps if s.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] in {"always()", "failure()"}
    assert upload["with"]["include-hidden-files"] is True
    assert ".unstale/runs/" in upload["with"]["path"]


def test_this_repositorys_own_workflow_is_true_to_the_template() -> None:
    own = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    template = _yaml("github", JOBS[0])
    job = own["jobs"]["check"]
    package = own["jobs"]["package"]

    assert own["permissions"] == template["permissions"]
    assert own["concurrency"]["cancel-in-progress"] is True
    assert job["timeout-minutes"]
    assert package["timeout-minutes"]
    # One of them runs in the stand-in image, which bootstrap makes.
    assert package["steps"][-1]["run"] == f"{WITH_DOCKER} python -m pytest tests/suite/release"
    assert _steps(own)[0] == _steps(template)[0]


@pytest.mark.parametrize("job", JOBS)
def test_gitlab_gets_what_a_job_needs(job: Job) -> None:
    ((_, found),) = _yaml("gitlab", job).items()

    assert found.keys() <= GITLAB_JOB
    assert found["variables"]["DOCKER_HOST"] == "tcp://docker:2375"
    assert found["variables"]["DOCKER_TLS_CERTDIR"] == ""
    assert found["variables"]["GIT_DEPTH"] == "0"
    assert found["services"] == [{"name": "docker:28-dind", "alias": "docker"}]
    assert found["artifacts"]["when"] == "always"
    assert found["artifacts"]["reports"] == {"junit": ".unstale/runs/*/report.junit.xml"}
    assert found["timeout"]
    assert found["interruptible"] is True


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_command_is_good_shell_and_names_tasks_and_options_that_are(
    provider: Provider, job: Job
) -> None:
    document = _yaml(provider, job)
    commands = (
        [step["run"] for step in _steps(document) if "run" in step]
        if provider == "github"
        else [c for part in ("before_script", "script") for c in document["integration"][part]]
    )
    script = "\n".join(commands)
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)

    runs = [shlex.split(found) for found in re.findall(r"unstale ([a-z]+\.[^>|]+)", script)]
    assert {run[0] for run in runs} == {"test.integration", "image.status"}
    for name, *words in runs:
        known = {f for one in ns[name].get_arguments() for f in one.names}
        assert {w.removeprefix("--") for w in words if w.startswith("--")} <= known
        assert ("ci" in words) == (job.environment == "ci")


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("printed", "saved", "is_green"),
    [
        ('{"services": [{"image": "a:1"}, {"image": "b:2"}]}', "save a:1 b:2", True),
        ('{"services": []}', "", True),
        ('{"error": "no engine"}', "", False),
    ],
    ids=["images", "none is built", "not told"],
)
def test_what_is_built_is_saved_and_where_nothing_is_the_job_stays_green(
    tmp_path: Path, job: Job, printed: str, saved: str, is_green: bool
) -> None:
    for name in ("uv", "uvx"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{printed}'\nexit 1\n")
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ $# -gt 3 ] || exit 1\nshift 3\necho save "$@"\n')
    for name in ("uv", "uvx", "docker"):
        (tmp_path / name).chmod(0o755)

    ran = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", job.save],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert ran.stdout.strip() == saved
    assert (ran.returncode == 0) is is_green


def test_both_providers_have_a_place() -> None:
    assert PLACES.keys() == set(PROVIDERS)


def test_gitlab_is_taken_where_its_file_is() -> None:
    assert provider_of("", has_gitlab=True) == "gitlab"
    assert provider_of("", has_gitlab=False) == "github"
    assert provider_of("github", has_gitlab=True) == "github"
    with pytest.raises(UsageError, match="no template for 'jenkins'"):
        provider_of("jenkins", has_gitlab=False)


# --- The task ---

TypeIt = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> TypeIt:
    """Run ``ci.workflow --json`` in an empty project below *tmp_path*."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(folder: str = ".", **options: Any) -> tuple[int, dict[str, Any]]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "pyproject.toml").touch()
        monkeypatch.chdir(tmp_path / folder)
        code = 0
        try:
            ns["ci.workflow"](Context(Config()), json=True, **options)
        except Exit as end:
            code = end.code
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_project_below_the_top_of_its_repository_gets_no_file(
    tmp_path: Path, type_it: TypeIt
) -> None:
    (tmp_path / ".git").mkdir()

    code, document = type_it("services/api", write=True, yes=True)

    assert code != 0
    assert "services/api is not the top of its repository." in json.dumps(document)
    assert "set the working directory" in json.dumps(document)
    assert not (tmp_path / "services/api/.github").exists()
    assert type_it("services/api")[0] == 0
    assert type_it(write=True, yes=True) == (0, {**type_it()[1], "written": True})


@pytest.mark.parametrize(
    ("lock", "program"),
    [
        ('[[package]]\nname = "unstale"\nversion = "0.1.0"\n', "uv run --frozen unstale"),
        ('[[package]]\r\nname = "unstale"\r\n', "uv run --frozen unstale"),
        ('[[package]]\nname = "unstale-things"\nversion = "1"\n', "uvx unstale"),
        ("version = 1\n", "uvx unstale"),
        (None, "uvx unstale"),
    ],
)
def test_uv_runs_unstale_only_where_it_has_locked_it(
    tmp_path: Path, type_it: TypeIt, lock: str | None, program: str
) -> None:
    if lock is not None:
        (tmp_path / "uv.lock").write_bytes(lock.encode())

    _, document = type_it(provider="github")

    assert set(re.findall(r"uvx? .*?unstale", document["text"])) == {program}
