"""What Podman is known by, when a check is due, and what is not built there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from workshop import TEXT, Workshop

from unstale.adapters import engine, podman
from unstale.compose import Service, Stack
from unstale.errors import ConfigError
from unstale.override import for_run
from unstale.pipeline import engines
from unstale.pipeline.images import statuses
from unstale.verdict import Fresh

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def _container(*, started_s: float, last_s: float | None = None, **check: Any) -> dict[str, Any]:
    log = None if last_s is None else [{"Start": _ago(last_s + 60)}, {"Start": _ago(last_s)}]
    health = {"Test": ["CMD", "true"], "Interval": 3_000_000_000, **check}
    state = {"Status": "running", "StartedAt": _ago(started_s), "Health": {"Log": log}}
    return {"Config": {"Healthcheck": health}, "State": state}


def test_podman_is_known_by_a_header() -> None:
    assert podman.is_podman({"server": "Libpod/4.3.1", "libpod-api-version": "4.3.1"})


def test_any_other_engine_is_not_podman() -> None:
    assert not podman.is_podman({})
    assert not podman.is_podman({"server": "Docker/26.1.5", "api-version": "1.45"})


@pytest.mark.parametrize(
    ("container", "due"),
    [
        (_container(started_s=2), False),
        (_container(started_s=3), True),
        (_container(started_s=90, last_s=2), False),
        (_container(started_s=90, last_s=4), True),
        (_container(started_s=-3600), True),
        (_container(started_s=9, Interval=0), False),
        (_container(started_s=31, Interval=0), True),
        (_container(started_s=9, Test=["NONE"]), False),
        (_container(started_s=9, Test=None), False),
        ({"Config": {"Healthcheck": None}, "State": {"Status": "running"}}, False),
        ({"Config": {}, "State": {}}, False),
        ({}, False),
    ],
    ids=lambda one: "" if isinstance(one, dict) else str(one),
)
def test_a_check_is_due_an_interval_after_the_last_one(
    container: dict[str, Any], *, due: bool
) -> None:
    assert podman.is_due(container, NOW) is due


def test_a_container_that_ended_is_not_checked() -> None:
    ended = _container(started_s=90)
    ended["State"]["Status"] = "exited"

    assert not podman.is_due(ended, NOW)


class _Engine:
    """Answers like Podman, and notes which checks it was told to run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, last_s: float) -> None:
        self.checked: list[tuple[str, float]] = []
        self.asked = threading.Event()
        self.listed = ""
        self._last_s = last_s
        monkeypatch.setattr(engine, "answer", self._answer)

    def _answer(self, _host: str, place: str, deadline_s: float = 20.0) -> object:
        if place.startswith("/containers/json?"):
            assert "dev.unstale.owner" in place
            self.listed = place
            return [{"Id": "a"}, "odd", {"Id": "b"}]
        if place.endswith("/healthcheck"):
            self.checked.append((place.split("/")[-2], deadline_s))
            self.asked.set()
            return {"Status": "healthy"}
        if place == "/containers/b/json":
            return None  # gone meanwhile
        now = datetime.now(UTC)
        found = _container(started_s=0, Timeout=2_000_000_000)
        found["State"]["StartedAt"] = (now - timedelta(seconds=self._last_s)).isoformat()
        return found


def test_what_is_due_is_checked_with_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    there = _Engine(monkeypatch, last_s=10)

    podman.check_health("/s", ["dev.unstale.run=r1"])

    assert there.checked == [("a", 7.0)]
    assert "dev.unstale.run%3Dr1" in there.listed  # and no other checkout's


def test_what_systemd_checks_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = _Engine(monkeypatch, last_s=1)

    podman.check_health("/s", ["dev.unstale.run=r1"])

    assert there.checked == []


def test_checks_go_on_beside_a_command_and_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = _Engine(monkeypatch, last_s=10)

    with podman.checking_health("/s", ()):
        assert there.asked.wait(10)

    for watcher in [t for t in threading.enumerate() if t.name == "health checks"]:
        watcher.join(10)
        assert not watcher.is_alive()


def _service(*check: str) -> Service:
    return Service("db", "db", None, None, (), (), (), (), (), bool(check), None, check=check)


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (("CMD", "sh", "-c", "exit 1"), ["CMD-SHELL", "sh -c 'exit 1'"]),
        (("CMD", "say", ""), ["CMD-SHELL", "say ''"]),
        (("CMD", "pg_isready"), None),
        (("CMD-SHELL", "exit 1"), None),
        ((), None),
    ],
)
def test_podman_gets_a_check_with_blanks_quoted(
    check: tuple[str, ...], told: list[str] | None
) -> None:
    import yaml

    stack = Stack("demo", (_service(*check),), (), ())
    docker = for_run(stack, {}, {}, unique=True)
    found = yaml.safe_load(for_run(stack, {}, {}, unique=True, is_podman=True))

    assert "healthcheck" not in docker
    assert found["services"]["db"].get("healthcheck") == (told and {"test": told})


# --- What is built there ---


def _on_podman(shop: Workshop, text: str = TEXT) -> Workshop:
    shop.docker.podman = True
    shop.checkout.write({"Dockerfile": text})
    return shop


def test_a_file_that_only_a_run_mounts_is_built_without_podmans_cache(shop: Workshop) -> None:
    mounting = f"{TEXT}RUN --mount=type=bind,source=src,target=/s cat /s/app.py > /dev/null\n"
    _on_podman(shop, mounting).build()
    shop.docker.podman = False
    shop.build()

    assert [options.no_cache for _, _, options in shop.builds] == [True, False]


def test_podmans_cache_is_used_where_it_sees_what_is_read(shop: Workshop) -> None:
    _on_podman(shop).build()

    assert [options.no_cache for _, _, options in shop.builds] == [False]


def test_the_verdict_says_that_podman_built(shop: Workshop) -> None:
    _on_podman(shop).build()

    (status,) = statuses(shop.bench)
    assert status.verdict == Fresh()
    assert "how Podman's own builder reads the Dockerfile" in status.not_covered


@pytest.mark.parametrize(
    ("ignore", "text", "cause"),
    [
        (".containerignore", TEXT, "counts for Podman alone"),
        ("Dockerfile.dockerignore", TEXT, "Podman does not read"),
        (".dockerignore", f"{TEXT}COPY . /all/\n", "nothing keeps .unstale/ out"),
        (".dockerignore", f"{TEXT}COPY .* /all/\n", "nothing keeps .unstale/ out"),
    ],
)
def test_what_podman_would_read_otherwise_is_not_built(
    shop: Workshop, ignore: str, text: str, cause: str
) -> None:
    _on_podman(shop, text).checkout.write({ignore: "nothing\n"})

    with pytest.raises(ConfigError) as refused:
        shop.build()

    assert cause in refused.value.cause
    assert refused.value.hint
    assert shop.builds == []


def test_state_that_nothing_copies_need_not_be_ignored(shop: Workshop) -> None:
    _on_podman(shop).checkout.write({".dockerignore": "nothing\n"})

    engines.require_buildable(shop.bench, shop.bench.services)


def test_a_shared_ignore_file_keeps_the_state_out(shop: Workshop) -> None:
    everything = f"{TEXT}COPY . /all/\n"
    _on_podman(shop, everything).checkout.write({".dockerignore": ".unstale\n"})

    engines.require_buildable(shop.bench, shop.bench.services)
