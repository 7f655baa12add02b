"""A workflow to start from: GitHub Actions and GitLab CI. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from unstale.errors import UsageError

__all__ = ["PLACES", "PROVIDERS", "Job", "Provider", "provider_of", "text"]

Provider = Literal["github", "gitlab"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

PLACES: dict[Provider, str] = {
    "github": ".github/workflows/integration.yml",
    "gitlab": ".gitlab-ci.yml",
}
"""Where each looks for it, from the root of the project."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the workflow is to run."""

    environment: str
    """Empty: the default one."""
    branch: str
    """Whose pushes are tested, besides what is to be merged."""
    has_lock: bool
    """Whether unstale is in the lock that uv has of the project."""

    @property
    def program(self) -> str:
        """How unstale is started."""
        return "uv run --frozen unstale" if self.has_lock else "uvx unstale"

    @property
    def command(self) -> str:
        """The run itself; what it prints is below the state folder, which no image sees."""
        env = f" --env {self.environment}" if self.environment else ""
        return f"{self.program} test.integration --reuse --json{env} > .unstale/ci.json"

    @property
    def save(self) -> str:
        """Keeps the images for the next run, which proves them again; there may be none."""
        env = f" --env {self.environment}" if self.environment else ""
        names = "import json, sys; print(*(s['image'] for s in json.load(sys.stdin)['services']))"
        # What it says of them is in its document; a shell with pipefail would end here.
        status = f"{{ {self.program} image.status --json{env} || true; }}"
        kept = 'if [ -n "$images" ]; then docker save --output .unstale/images.tar $images; fi'
        return f'images=$({status} | python3 -c "{names}"); {kept}'


_LOAD = "if [ -f .unstale/images.tar ]; then docker load --input .unstale/images.tar; fi"

_GITHUB = """\
# Written by `unstale ci.workflow --provider github`; yours from here on.
name: integration

on:
  push:
    branches: [@branch@]
  pull_request:

permissions:
  contents: read

concurrency:
  group: integration-${{ github.ref }}
  cancel-in-progress: true

jobs:
  integration:
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    env:
      # uv leaves that to the first import, which is then slow in each command.
      UV_COMPILE_BYTECODE: "1"
    steps:
      - uses: actions/checkout@v4
        with:
          # Verdicts count the commits since an image was built.
          fetch-depth: 0
          persist-credentials: false
      - uses: astral-sh/setup-uv@v5
        with:
          enable-cache: true
      # The images and receipts of an earlier run: what is fresh is not built again, and
      # where a receipt proves the same, --reuse runs nothing. Both are judged, not believed.
      - uses: actions/cache/restore@v4
        with:
          path: |
            .unstale/images.tar
            .unstale/receipts
          key: unstale-${{ runner.os }}-${{ github.run_id }}-${{ github.run_attempt }}
          restore-keys: unstale-${{ runner.os }}-
      - name: Load the images
        run: @load@
      - name: Integration tests
        run: |
          mkdir -p .unstale
          @command@
      - name: Keep the images
        run: @save@
      - uses: actions/cache/save@v4
        with:
          path: |
            .unstale/images.tar
            .unstale/receipts
          key: unstale-${{ runner.os }}-${{ github.run_id }}-${{ github.run_attempt }}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: integration
          path: |
            .unstale/ci.json
            .unstale/runs/
            .unstale/receipts/
          include-hidden-files: true
          if-no-files-found: warn
"""

_GITLAB = """\
# Written by `unstale ci.workflow --provider gitlab`; yours from here on.
integration:
  stage: test
  image: docker:28
  services:
    - name: docker:28-dind
      alias: docker
  variables:
    # Published ports are on that host, too: unstale takes it from here.
    DOCKER_HOST: tcp://docker:2375
    DOCKER_TLS_CERTDIR: ""
    # Verdicts count the commits since an image was built.
    GIT_DEPTH: "0"
    # uv leaves that to the first import, which is then slow in each command.
    UV_COMPILE_BYTECODE: "1"
    UV_CACHE_DIR: $CI_PROJECT_DIR/.unstale/uv
  timeout: 30 minutes
  interruptible: true
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  # The images and receipts of an earlier run: what is fresh is not built again, and
  # where a receipt proves the same, --reuse runs nothing. Both are judged, not believed.
  cache:
    key: unstale-$CI_COMMIT_REF_SLUG
    fallback_keys:
      - unstale-$CI_DEFAULT_BRANCH
    paths:
      - .unstale/images.tar
      - .unstale/receipts/
      - .unstale/uv/
  before_script:
    - apk add --no-cache git python3 uv
    - mkdir -p .unstale
    - '@load@'
  script:
    - '@command@'
    - '@save@'
  artifacts:
    when: always
    expire_in: 2 weeks
    paths:
      - .unstale/ci.json
      - .unstale/runs/
      - .unstale/receipts/
    reports:
      junit: .unstale/runs/*/report.junit.xml
"""


def text(provider: Provider, job: Job) -> str:
    """The workflow's file."""
    match provider:
        case "github":
            template = _GITHUB
        case "gitlab":
            template = _GITLAB
    filled = {"branch": job.branch, "load": _LOAD, "command": job.command, "save": job.save}
    if provider == "gitlab":  # between single quotes
        filled = {name: value.replace("'", "''") for name, value in filled.items()}
    for name, value in filled.items():
        template = template.replace(f"@{name}@", value)
    return template


def provider_of(given: str, *, has_gitlab: bool) -> Provider:
    """The provider called *given*; if none is, GitLab where the project has its file.

    Raises:
        UsageError: it is none of those that are known.

    """
    for known in PROVIDERS:
        if given == known:
            return known
    if given:
        raise UsageError(
            f"There is no template for {given!r}.",
            cause=f"One of: {', '.join(PROVIDERS)}.",
            hint="--provider github",
        )
    return "gitlab" if has_gitlab else "github"
