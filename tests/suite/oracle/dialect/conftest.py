from __future__ import annotations

import sys
from pathlib import Path

# In importlib mode no test folder is importable; see also tasks.py.
sys.path.insert(0, str(Path(__file__).parent))
