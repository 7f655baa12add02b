"""One clone and its images for all tests; each test gets it as it was committed.

An engine that does not answer fails these tests, on a laptop as in CI: a
skipped test would be green without a proof.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# In importlib mode no test folder is importable; see also tasks.py.
sys.path.insert(0, str(Path(__file__).parent))

from harness import ROOT, Checkout, copy_images_env, docker


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Fail with one sentence, instead of once in each test, without an engine."""
    try:
        answer = docker("version", "--format", "{{.Server.Version}}", code=None)
    except FileNotFoundError:
        pytest.fail("These tests need Docker. Next: ./bootstrap --with-docker", pytrace=False)
    if answer.code:
        pytest.fail(
            f"These tests need a Docker engine: {answer.err.strip()}\n"
            "Next: ./bootstrap --with-docker",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone of the last commit, without what is uncommitted here."""
    root = tmp_path_factory.mktemp("clone") / f"it-{uuid.uuid4().hex[:8]}"
    subprocess.run(("git", "clone", "--quiet", str(ROOT), str(root)), check=True)
    copy_images_env(root)
    found = Checkout(root)
    yield found
    found.sweep()
    found.inv("image.clean", "--yes").must(0)


@pytest.fixture
def checkout(clone: Checkout) -> Iterator[Checkout]:
    """The clone, as committed; nothing of the test may be left in the engine."""
    head = clone.git("rev-parse", "HEAD").strip()
    yield clone
    clone.git("reset", "--quiet", "--hard", head)
    clone.git("clean", "--quiet", "-d", "--force")


@pytest.fixture
def stack(checkout: Checkout) -> Iterator[Checkout]:
    """The clone with its images built, for tests of stacks."""
    checkout.inv("image.build").must(0)
    yield checkout
    if any((checkout.root / ".unstale" / "standing").glob("*")):
        checkout.inv("stack.down")
    left = checkout.leftovers()
    checkout.sweep()
    assert left == []
