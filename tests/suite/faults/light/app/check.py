"""Ask the database for LIGHT_SECONDS, then do what LIGHT_TESTS says; write JUnit.

exit:CODE     write a green file, end with CODE
fail          one test failed
none          no test was collected (5)
skip          all were skipped
silent        end with 0 and write no file (os._exit in a test)
half          write half a file
huge:MIB      write a file of that size
eat:MIB       take that much memory
eatchild:MIB  a child takes it; the runner itself ends with 1
stubborn      ignore SIGTERM for a minute
kill:SIGNAL   end itself by a signal
hang          never end
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

VERB, *REST = os.environ.get("LIGHT_TESTS", "").split(":")
REPORT = Path("/app/reports/junit.xml")
GREEN = '<testsuite><testcase classname="light" name="test_db_answers"/></testsuite>'
RED = '<testsuite><testcase classname="light" name="test_db"><failure>no</failure></testcase></testsuite>'
SKIPPED = '<testsuite><testcase classname="light" name="test_db"><skipped/></testcase></testsuite>'
EAT = "hoard = bytearray({0} << 20); hoard[::4096] = b'x' * len(hoard[::4096])"


def ask() -> None:
    end = time.monotonic() + float(os.environ.get("LIGHT_SECONDS", "1.5"))
    print("tests: begin", flush=True)
    while time.monotonic() < end:
        try:
            urllib.request.urlopen("http://db:8000", timeout=2).read()
        except OSError as error:
            print(f"tests: {error}", flush=True)
        time.sleep(0.1)
    print("tests: end", flush=True)


def main() -> int:
    if VERB == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    ask()
    if VERB == "silent":
        return 0
    if VERB == "kill":
        os.kill(os.getpid(), int(REST[0]))
    if VERB == "hang":
        print("tests: waiting for a lock", flush=True)
        signal.pause()
    if VERB == "eat":
        exec(EAT.format(REST[0]))
    if VERB == "eatchild":
        return 1 if subprocess.run([sys.executable, "-c", EAT.format(REST[0])]).returncode else 0
    document = {"fail": RED, "skip": SKIPPED, "half": GREEN[:40]}.get(VERB, GREEN)
    if VERB == "none":
        return 5
    if VERB == "huge":
        document = GREEN.replace(
            "/>", f"><system-out>{'x' * (int(REST[0]) << 20)}</system-out></testcase>", 1
        )
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(document)
    return int(REST[0]) if VERB == "exit" else VERB == "fail"


sys.exit(main())
