import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


def get(url):
    with urlopen(url, timeout=5) as answer:
        return json.load(answer)


def serve(routes):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            routes.setdefault("/health", lambda: "ok")
            self.send_response(200 if self.path in routes else 404)
            self.end_headers()
            if self.path in routes:
                self.wfile.write(json.dumps(routes[self.path]()).encode())

        def log_message(self, *args):
            pass

    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
