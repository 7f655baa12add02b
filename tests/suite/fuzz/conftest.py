"""How many inputs each parser gets, and where Hypothesis may write.

Few and always the same ones by themselves; `inv fuzz` asks for as many as it is told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

HERE = Path(__file__).parent
# In importlib mode no test folder is importable. Last: the unit tests have a `conftest`
# that they import.
sys.path.append(str(HERE))

_EXAMPLES = int(os.environ.get("UNSTALE_FUZZ_EXAMPLES", "0"))

# Its tables of Unicode; no example is kept: what was found is written down in a test.
set_hypothesis_home_dir(HERE.parents[2] / ".unstale" / "hypothesis")
settings.register_profile(
    "fuzz",
    max_examples=_EXAMPLES or 15,
    derandomize=not _EXAMPLES,
    database=None,
    # No parser needs a second for what is drawn here, and the machine may be busy.
    deadline=timedelta(seconds=10),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.load_profile("fuzz")


def pytest_configure(config: pytest.Config) -> None:
    """Inputs may be long; that is no fault."""
    config.addinivalue_line("filterwarnings", "ignore:Generating overly large repr")


@pytest.fixture(scope="session")
def with_docker(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment with a docker command in its path, which nobody starts."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "docker").touch(mode=0o755)
    return {"PATH": str(folder), "DOCKER_HOST": "tcp://127.0.0.1:1", "HOME": str(folder)}
