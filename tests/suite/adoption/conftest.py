"""Other people's projects, adopted and run on the real engine, one file a project."""

from __future__ import annotations

import sys
from pathlib import Path

# In importlib mode no test folder is importable; see also tasks.py.
sys.path[:0] = [str(Path(__file__).parents[1] / "integration"), str(Path(__file__).parent)]

# They run in containers of theirs.
collect_ignore = ["projects"]
