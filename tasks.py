"""This repository runs itself with its own tool, plus the chores of its own."""

import sys
from pathlib import Path

from unstale import ns

sys.path.insert(0, str(Path(__file__).parent / "tests"))
from chores import bench, check, faults, fuzz, oracle, reference

ns.add_task(check)
ns.add_task(oracle)
ns.add_task(bench)
ns.add_task(faults)
ns.add_task(fuzz)
ns.add_task(reference)
