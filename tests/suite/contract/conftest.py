"""What the tests of a contract share with each other, and with the fast ones."""

from __future__ import annotations

import sys
from pathlib import Path

# In importlib mode no test folder is importable.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "unit")]
