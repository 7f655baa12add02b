"""Programs that end what `docker exec` started and left; pure text, run in containers.

Whoever ends the client of a ``docker exec`` leaves its process in the container
(moby#9098). It is found by a variable that only it and its children have. Each program
takes that as its argument, sends SIGTERM, a second and a half later SIGKILL, and ends
with 0 once nothing is left. One that can't look ends with 127.
"""

from __future__ import annotations

__all__ = ["PROGRAMS"]

_SHELL = r"""
command -v grep >/dev/null || exit 127
each() {
  left=0
  for file in /proc/[0-9]*/environ; do
    if grep -qs -- "$tag" "$file"; then
      pid=${file#/proc/}
      kill "-$1" "${pid%/environ}" 2>/dev/null && left=$((left + 1))
    fi
  done
}
tag=$1
each TERM
round=0
while each 0; [ "$left" -gt 0 ] && [ "$round" -lt 15 ]; do
  round=$((round + 1))
  sleep 0.1 2>/dev/null || sleep 1
done
each KILL
sleep 0.1 2>/dev/null || sleep 1
each 0
[ "$left" -eq 0 ]
"""

_PYTHON = """
import os, sys, time
def each(number):
    left = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/" + name + "/environ", "rb") as file:
                if sys.argv[1].encode() in file.read():
                    os.kill(int(name), number)
                    left += 1
        except OSError:
            pass
    return left
each(15)
end = time.time() + 1.5
while each(0) and time.time() < end:
    time.sleep(0.1)
each(9)
time.sleep(0.1)
sys.exit(1 if each(0) else 0)
"""

PROGRAMS = (
    ("sh", "-c", _SHELL, "sh"),
    ("python3", "-S", "-c", _PYTHON),
    ("python", "-S", "-c", _PYTHON),
)
"""In the order in which they are tried."""
