"""Three services and their tests in one repository: contexts and mounts beside the compose file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adopted import PROJECTS, Adopted, adopted

FRESH = dict.fromkeys(("catalog", "e2e-tests", "gateway", "orders"), "fresh")


@pytest.fixture(scope="module")
def storefront(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    with adopted(PROJECTS / "monorepo", tmp_path_factory.mktemp("mono")) as found:
        yield found


def test_the_order_goes_through_all_of_them(storefront: Adopted) -> None:
    found = storefront.run(0)

    assert found["tests"]["passed"] == 1
    assert storefront.details(found)["up"] == "catalog, gateway, orders"
    assert storefront.verdicts(0, "--fail-on-stale") == FRESH


def test_what_a_mount_lays_over_the_image_is_current(storefront: Adopted) -> None:
    storefront.replace("services/catalog/src/main.py", "4900", "5000")

    # The container gets the file that is here, whatever its image has.
    assert storefront.verdicts(0, "--fail-on-stale") == FRESH
    found = storefront.run(1)

    assert storefront.details(found)["build_if_needed"] == "every image is fresh"
    assert found["tests"]["failed"] == 1


def test_a_library_makes_those_stale_that_do_not_mount_it(storefront: Adopted) -> None:
    storefront.append("libs/common/common.py", "\n# Shared.\n")

    assert storefront.verdicts(3, "--fail-on-stale") == {**FRESH, "catalog": "stale"}


def test_what_a_container_compiles_into_a_context_is_named(storefront: Adopted) -> None:
    storefront.git("checkout", "--quiet", "--", "services", "libs")
    storefront.replace("services/orders/Dockerfile", " PYTHONDONTWRITEBYTECODE=1", "")

    found = storefront.run(4)

    assert "libs/common/__pycache__" in found["errors"][0]
