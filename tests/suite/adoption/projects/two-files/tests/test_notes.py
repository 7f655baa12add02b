import os

import requests


def test_the_first_note():
    assert requests.get(os.environ["API"], timeout=5).json()[0]["body"] == "buy milk"
