import os

import requests


def test_the_total_of_an_order():
    assert requests.get(os.environ["GATEWAY"] + "/total", timeout=5).json() == 4900
