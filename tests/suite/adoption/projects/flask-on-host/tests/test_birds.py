import json
import os
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

BASE_URL = os.environ.get("BASE_URL", "http://localhost:5000")


def get(path):
    with urlopen(BASE_URL + path, timeout=5) as answer:
        return json.load(answer)


def test_health():
    assert get("/health") == {"greeting": "hello"}


def test_wren():
    assert get("/birds/wren")["about"] == "small and loud"


def test_nobody():
    with pytest.raises(HTTPError):
        get("/birds/dodo")
