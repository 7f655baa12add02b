import json
from urllib.request import urlopen

import pytest
from django.db import IntegrityError

from catalog.models import Product


@pytest.mark.django_db
def test_names_are_unique():
    Product.objects.create(name="kettle", cents=4900)
    with pytest.raises(IntegrityError):
        Product.objects.create(name="kettle", cents=1)


@pytest.mark.django_db
def test_products_are_listed(client):
    Product.objects.create(name="kettle", cents=4900)
    assert client.get("/products/").json() == {"products": [{"name": "kettle", "cents": 4900}]}


def test_the_service_answers():
    with urlopen("http://web:8000/products/", timeout=5) as answer:
        assert json.load(answer) == {"products": []}
