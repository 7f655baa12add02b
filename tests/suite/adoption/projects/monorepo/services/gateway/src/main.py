import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self):
        with urlopen(os.environ["ORDERS"] + self.path, timeout=5) as answer:
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.read())

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("", 8000), Gateway).serve_forever()
