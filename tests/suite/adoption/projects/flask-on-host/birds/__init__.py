import os

from flask import Flask, abort

BIRDS = {"wren": "small and loud", "heron": "tall and patient"}


def create_app():
    app = Flask(__name__)

    @app.get("/health")
    def health():
        return {"greeting": os.environ.get("BIRDS_GREETING", "")}

    @app.get("/birds/<name>")
    def bird(name):
        if name not in BIRDS:
            abort(404)
        return {"name": name, "about": BIRDS[name]}

    return app
