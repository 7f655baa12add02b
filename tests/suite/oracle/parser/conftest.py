"""The modules of these tests, and whether their library is there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

# In importlib mode no test folder is importable.
sys.path.insert(0, str(Path(__file__).parent))

# `dockerfile` has no wheel for Linux on arm64 (requirements.lock has its marker).
collect_ignore = [] if find_spec("dockerfile") else ["test_library.py"]
