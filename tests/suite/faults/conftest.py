"""Faults are injected into a light stack: see ``light/`` and `light.py`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# In importlib mode no test folder is importable; see also tasks.py.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from harness import Checkout
from lightstack import fresh, gone


@pytest.fixture(scope="session", autouse=True)
def _mortal() -> None:
    """Let SIGQUIT end what tests start: a shell's background job inherits that it is ignored."""
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leases of our own: runs that die here are no business of whoever works here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def module_light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One project with its image for the tests of a file."""
    checkout = fresh(tmp_path_factory.mktemp("light"))
    checkout.inv("image.build").must(0)
    yield checkout
    gone(checkout)


@pytest.fixture
def light(module_light: Checkout) -> Iterator[Checkout]:
    """The project as it is committed; nothing of a test may be left in the engine."""
    kept = [module_light.root / name for name in (".env.test", "pyproject.toml")]
    before = [path.read_bytes() for path in kept]
    yield module_light
    for path, content in zip(kept, before, strict=True):
        path.write_bytes(content)
    left = module_light.leftovers()
    module_light.sweep()
    assert left == []
