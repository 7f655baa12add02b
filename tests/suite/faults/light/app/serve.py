"""Answer on port 8000 with 200, and do what LIGHT_DB says.

exit:CODE:SECONDS   end after so long (0 seconds: at once)
drop:CODE:SECONDS   end so long after the tests' first question; 137: by SIGKILL
starve:MIB          take that much memory at the tests' first question
ill:SECONDS         fail the health check for so long from the tests' first question on
leave:CODE          end as soon as `db` answers no more
silent              never answer, so never become healthy
flap                answer every second time
sick:SECONDS        answer 500 after so long
eat:MIB             take that much memory at the first request after 1 s
stubborn            ignore SIGTERM
"""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

VERB, *REST = os.environ.get("LIGHT_DB", "").split(":")
BEGAN = time.monotonic()
asked = 0
tested: list[float] = []
"""When the tests asked; a health check is from within."""


def end(code: int, after: float = 0.0) -> None:
    time.sleep(after)
    print(f"db: ending with {code}", flush=True)
    if code == 137:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(code)


def first_question() -> None:
    if VERB == "drop":
        threading.Thread(target=end, args=(int(REST[0]), float(REST[1])), daemon=True).start()
    if VERB == "starve":
        take(int(REST[0]))


def take(mebibytes: int) -> None:
    hoard = bytearray(mebibytes << 20)
    hoard[::4096] = b"x" * len(hoard[::4096])


def leave(code: int) -> None:
    while True:
        time.sleep(0.1)
        try:
            urllib.request.urlopen("http://db:8000", timeout=1).read()
        except OSError:
            end(code)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        global asked
        asked += 1
        age = time.monotonic() - BEGAN
        if VERB == "eat" and age > 1:
            take(int(REST[0]))
        if not self.client_address[0].startswith("127."):
            tested.append(time.monotonic())
            if len(tested) == 1:
                first_question()
        is_sick = VERB == "sick" and age > float(REST[0])
        if VERB == "ill" and tested and time.monotonic() < tested[0] + float(REST[0]):
            is_sick = True
        self.send_response(500 if is_sick or (VERB == "flap" and asked % 2) else 200)
        self.end_headers()
        self.wfile.write(b"ok")


if VERB == "exit":
    threading.Thread(target=end, args=(int(REST[0]), float(REST[1])), daemon=True).start()
if VERB == "leave":
    threading.Thread(target=leave, args=(int(REST[0]),), daemon=True).start()
if VERB == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("db: listening", flush=True)
if VERB == "silent":
    signal.pause()
HTTPServer(("", 8000), Answer).serve_forever()
