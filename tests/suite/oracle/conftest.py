"""The judge's modules for its tests, and one engine for all of them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# In importlib mode no test folder is importable; see also tasks.py.
sys.path.insert(0, str(Path(__file__).parent))

from engine import Engine


@pytest.fixture(scope="session")
def judge_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine, with its base images; what it built is gone at the end."""
    engine = Engine(uuid.uuid4().hex[:8], tmp_path_factory.mktemp("bake"))
    engine.prepare()
    yield engine
    engine.remove_images()
