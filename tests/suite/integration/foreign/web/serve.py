"""Answer every request with one sentence."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """The whole service."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"A bird a day.")


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
