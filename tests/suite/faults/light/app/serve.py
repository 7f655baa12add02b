"""Answer on port 8000 with 200, and do what LIGHT_DB says.

exit:CODE:SECONDS   end after so long (0 seconds: at once)
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
from http.server import BaseHTTPRequestHandler, HTTPServer

VERB, *REST = os.environ.get("LIGHT_DB", "").split(":")
BEGAN = time.monotonic()
asked = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        global asked
        asked += 1
        age = time.monotonic() - BEGAN
        if VERB == "eat" and age > 1:
            hoard = bytearray(int(REST[0]) << 20)
            hoard[::4096] = b"x" * len(hoard[::4096])
        is_sick = VERB == "sick" and age > float(REST[0])
        self.send_response(500 if is_sick or (VERB == "flap" and asked % 2) else 200)
        self.end_headers()
        self.wfile.write(b"ok")


def end() -> None:
    time.sleep(float(REST[1]))
    print(f"db: ending with {REST[0]}", flush=True)
    os._exit(int(REST[0]))


if VERB == "exit":
    threading.Thread(target=end, daemon=True).start()
if VERB == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("db: listening", flush=True)
if VERB == "silent":
    signal.pause()
HTTPServer(("", 8000), Answer).serve_forever()
