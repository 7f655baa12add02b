"""A project that unstale never saw: `init`, and then a run that is green and honest."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout, copy_images_env

COMPOSE = """\
services:
  web:
    build:
      context: .
      args:
        UNSTALE_PYTHON_IMAGE: ${UNSTALE_PYTHON_IMAGE:-python:3.13-slim}
    command: [python, -m, http.server, "8000"]
    init: true
    environment: {GREETING: hello}
    ports: ["8000:8000"]
    healthcheck:
      test: [CMD, python, -c, "import urllib.request as r; r.urlopen('http://127.0.0.1:8000')"]
      interval: 1s
      retries: 20
"""
FILES = {
    "docker-compose.yml": COMPOSE,
    "docker-compose.ci.yml": "services:\n  web:\n    environment: {GREETING: hello from ci}\n",
    "Dockerfile": "ARG UNSTALE_PYTHON_IMAGE\nFROM ${UNSTALE_PYTHON_IMAGE}\nCOPY site /srv\n"
    "WORKDIR /srv\n",
    "site/hello.txt": "hello\n",
    "requirements.txt": "pytest\n",
    "tests/integration/test_web.py": "import os\nfrom urllib.request import urlopen\n\n"
    "def test_it():\n    where = os.environ['UNSTALE_WEB_8000']\n"
    "    assert urlopen(f'http://{where}/hello.txt').read() == b'hello\\n'\n",
    "pyproject.toml": "[tool.black]\nline-length = 100  # mine\n",
}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    root = tmp_path_factory.mktemp("init") / f"it-{uuid.uuid4().hex[:8]}"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    copy_images_env(root)
    checkout = Checkout(root, program=("-m", "unstale"))
    yield checkout
    checkout.sweep()
    checkout.inv("image.clean", "--yes").must(0)


def test_a_stranger_is_set_up_and_its_first_run_is_green(stranger: Checkout) -> None:
    done = stranger.inv("init", "--yes").must(0)

    assert done.out.endswith("Next: unstale test.integration\n")
    text = (stranger.root / "pyproject.toml").read_text()
    assert text.startswith(FILES["pyproject.toml"])
    assert 'compose-files = ["docker-compose.yml", "docker-compose.ci.yml"]' in text
    assert 'reason = "baseline, unreviewed"' in text
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    answer = stranger.inv("test.integration", "--json", env={"PATH": path}).must(0).document()
    details = {s["name"]: s["detail"] for s in answer["steps"]}
    assert answer["tests"]["passed"] == 1
    assert "1 allowed" in details["env_parity"]
    assert stranger.leftovers() == []


@pytest.mark.long  # its words are in unit/test_absent.py
def test_a_runner_without_pytest_says_so_and_what_to_do(stranger: Checkout) -> None:
    """After the first one, whose image is there."""
    stranger.replace("pyproject.toml", 'runner = "host"', 'runner = "web"')

    answer = stranger.inv("test.integration", "--json").must(5).document()

    assert answer["outcome"] == "configuration"
    assert "The test command 'pytest' is not in the image of 'web'." in answer["errors"][0]
    assert "Next: install pytest in the image" in answer["errors"][0]
    assert stranger.leftovers() == []
