"""F11 to F13 of services: what they do decides, and they are named with their own words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, docker
from lightstack import behave, fresh, gone, overlay

LIMIT = {"mem_limit": "64m", "memswap_limit": "64m"}
SERVER = ["python", "/app/serve.py"]
# Files that no Dockerfile of anybody should make.
SCRIPTS = r"""
RUN printf '#!/bin/sh\r\nexec python /app/serve.py\r\n' > /crlf.sh \
 && printf '#!/bin/nosuch\n' > /strange.sh && printf '#!/bin/sh\n' > /plain.sh \
 && chmod 755 /crlf.sh /strange.sh && chmod 644 /plain.sh
"""


@pytest.fixture(scope="module")
def module_light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The light project, with scripts in its image that can't be executed."""
    checkout = fresh(tmp_path_factory.mktemp("light"))
    checkout.append("Dockerfile", SCRIPTS)
    checkout.inv("image.build").must(0)
    yield checkout
    gone(checkout)


def _run(light: Checkout, code: int = 5) -> tuple[Any, str]:
    """A run's document, and all that its errors say."""
    answer = light.inv("test.integration", "--json").must(code).document()
    assert answer["code"] == code
    return answer, "\n".join(answer["errors"])


def _receipt(answer: Any) -> Any:
    return json.loads(Path(answer["receipt"]).read_text())["predicate"]["annotations"]


def _states(answer: Any) -> dict[str, Any]:
    """Service to its state, as the evidence has it."""
    found = json.loads((Path(answer["evidence"]) / "containers.json").read_text())
    return {one["service"]: one for one in found}


# --- Under the tests, which themselves are green whatever the database does ---


@pytest.mark.long  # `test_who_died_first_is_named_first` is the short one
@pytest.mark.parametrize("after", ["0", "0.7", "1.2"])
@pytest.mark.parametrize("code", ["0", "1", "137"])
def test_a_database_that_dies_under_the_tests_makes_them_void(
    light: Checkout, code: str, after: str
) -> None:
    behave(light, LIGHT_DB=f"drop:{code}:{after}")

    answer, said = _run(light)

    assert answer["outcome"] == "service died"
    assert f"'db' did not survive the tests: it ended with exit code {code}." in said
    if code != "137":
        assert f"db: ending with {code}" in said
    assert _states(answer)["db"]["exit_code"] == int(code)
    assert _receipt(answer)["fallen"] == [
        {"service": "db", "how": f"ended with exit code {code}."},
    ]
    assert "db: ending" in (Path(answer["evidence"]) / "logs" / "service-db.log").read_text()


@pytest.mark.long
@pytest.mark.parametrize("after", [str(n / 10) for n in range(10, 24)])
def test_a_database_that_dies_as_the_tests_end_is_never_believed(
    light: Checkout, after: str
) -> None:
    behave(light, LIGHT_DB=f"drop:1:{after}", LIGHT_SECONDS="1.5")

    result = light.inv("test.integration", "--json")
    answer = result.document()

    if answer["code"] == 0:
        # Then it lived when its state was looked at, after the tests' end.
        assert _states(answer)["db"]["status"] == "running"
    else:
        assert (answer["code"], answer["outcome"]) == (5, "service died"), answer


@pytest.mark.long
@pytest.mark.parametrize("policy", ["always", "on-failure", "unless-stopped"])
def test_a_database_that_is_restarted_under_the_tests_makes_them_void(
    light: Checkout, policy: str
) -> None:
    overlay(light, db={"restart": policy})
    behave(light, LIGHT_DB="drop:3:0.2", LIGHT_SECONDS="3")

    answer, said = _run(light)

    assert answer["outcome"] == "service died"
    assert "it ended with exit code 3 and was started again by the engine." in said


@pytest.mark.parametrize("policy", ["no", pytest.param("always", marks=pytest.mark.long)])
def test_a_database_that_runs_out_of_memory_is_named_with_its_limit(
    light: Checkout, policy: str
) -> None:
    overlay(light, db={**LIMIT, "restart": policy})
    behave(light, LIGHT_DB="starve:300", LIGHT_SECONDS="2")

    answer, said = _run(light)

    assert answer["outcome"] == "out of memory"
    assert "'db' did not survive the tests: it ended with exit code 137" in said
    assert "out of memory (limit 64 MiB)" in said


CHECK = {
    "test": [
        "CMD",
        "python",
        "-S",
        "-c",
        "import urllib.request as r; r.urlopen('http://127.0.0.1:8000')",
    ],
    "interval": "0.3s",
    "start_period": "5s",
    "start_interval": "0.3s",
}


@pytest.mark.long
def test_a_database_that_gets_ill_makes_the_tests_void(light: Checkout) -> None:
    overlay(light, db={"healthcheck": {**CHECK, "retries": 2}})
    behave(light, LIGHT_DB="ill:60", LIGHT_SECONDS="4")

    answer, said = _run(light)

    assert answer["outcome"] == "service died"
    assert "'db' did not survive the tests: it is unhealthy." in said
    assert "HTTP Error 500" in said
    assert {c["service"]: c["health"] for c in _receipt(answer)["containers"]}["db"] == "unhealthy"


@pytest.mark.long
def test_a_health_check_that_failed_and_is_good_again_is_noted(light: Checkout) -> None:
    """It lived all the time, and its answers were what the tests got.

    The engine keeps five checks: what failed long before the end is forgotten.
    """
    overlay(light, db={"healthcheck": {**CHECK, "retries": 20, "interval": "0.6s"}})
    behave(light, LIGHT_DB="ill:2", LIGHT_SECONDS="4")

    answer, _ = _run(light, 0)

    (note,) = _receipt(answer)["health"]
    assert note.startswith("db: ")
    assert note.endswith("health checks or more failed meanwhile, and it is healthy again")


@pytest.mark.long
def test_a_paused_database_makes_the_tests_void(light: Checkout) -> None:
    behave(light, LIGHT_SECONDS="4")
    running = light.start("test.integration", "--json")
    running.wait_for("running_image")
    time.sleep(1)
    docker("pause", *light.containers("db"))

    answer = running.end().must(5).document()

    assert answer["outcome"] == "service died"
    assert "'db' did not survive the tests: it is paused." in answer["errors"][0]


def test_who_died_first_is_named_first(light: Checkout) -> None:
    app = {
        "command": SERVER,
        "environment": {"LIGHT_DB": "leave:4"},
        "healthcheck": {"disable": True},
    }
    overlay(
        light,
        app={
            "image": light.image("db"),
            **app,
            "depends_on": {"db": {"condition": "service_healthy"}},
        },
    )
    behave(light, LIGHT_DB="drop:1:0.3", LIGHT_SECONDS="2")

    answer, said = _run(light)

    assert answer["outcome"] == "service died"
    assert "'db' did not survive the tests: it ended with exit code 1." in said
    assert "After it, 'app' ended with exit code 4." in said
    assert [one["service"] for one in _receipt(answer)["fallen"]] == ["db", "app"]


def _beside(light: Checkout, command: str, **more: object) -> None:
    """A service beside the database that sleeps and ends."""
    overlay(light, beside={"image": light.image("db"), "command": ["sh", "-c", command], **more})


@pytest.mark.parametrize(
    ("command", "more", "code"),
    [
        # It is said to end, or nothing is said at all.
        ("sleep 2", {"restart": "no"}, 0),
        pytest.param("sleep 2; exit 3", {"restart": "no"}, 5, marks=pytest.mark.long),
        pytest.param("sleep 2", {}, 5, marks=pytest.mark.long),
    ],
    ids=["a one-shot", "a one-shot that fails", "a sidecar"],
)
def test_what_ends_while_the_tests_go_on(
    light: Checkout, command: str, more: dict[str, object], code: int
) -> None:
    _beside(light, command, **more)
    behave(light, LIGHT_SECONDS="4")

    answer, said = _run(light, code)

    assert _states(answer)["beside"]["status"] == "exited"
    if code:
        assert answer["outcome"] == "service died"
        assert "'beside' did not survive the tests: it ended with exit code" in said
    if code and not more:
        assert 'Next: if it may end, write restart: "no"' in said


# --- Before the tests ---


def test_a_service_that_ends_at_once_is_noticed_at_once(light: Checkout) -> None:
    behave(light, LIGHT_DB="exit:3:0")
    running = light.start("test.integration", "--json")
    running.wait_for("exited with 3")
    noticed = time.time()

    answer = running.end().must(5).document()

    assert answer["outcome"] == "not ready"
    assert "'db' exited with 3." in answer["errors"][0]
    assert "db: ending with 3" in answer["errors"][0]
    assert noticed - _seconds(_states(answer)["db"]["finished_at"]) <= 2


def _seconds(engine_time: str) -> float:
    return datetime.fromisoformat(f"{engine_time[:26].rstrip('Z')}+00:00").timestamp()


@pytest.mark.long
@pytest.mark.parametrize(
    ("verb", "check", "said"),
    [
        ("silent", {"retries": 2, "timeout": "0.5s"}, "'db' is unhealthy."),
        ("sick:0", {"retries": 2}, "HTTP Error 500"),
        ("sick:0", {"retries": 2000}, "db: running, its health check is 'starting'."),
        ("sick:0", {"retries": 2000}, "Its health check said:"),
        ("flap", {"retries": 1, "start_period": "0s"}, "'db' is unhealthy."),
    ],
)
def test_a_database_that_does_not_get_healthy_says_why(
    light: Checkout, verb: str, check: dict[str, object], said: str
) -> None:
    overlay(
        light,
        pyproject="\n[tool.unstale.deadlines]\nready = 12\n",
        db={"healthcheck": {**CHECK, "start_period": "0s", **check}},
    )
    behave(light, LIGHT_DB=verb)

    answer, told = _run(light)

    assert answer["outcome"] == "not ready"
    assert said in told


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        (["/crlf.sh"], "CRLF in /crlf.sh?"),
        *(
            pytest.param([path], said, marks=pytest.mark.long)
            for path, said in (
                ("/strange.sh", "/strange.sh asks for /bin/nosuch, which is not in the image."),
                ("/plain.sh", "/plain.sh may not be executed: its mode is 0644."),
                ("nowhere", "There is no nowhere in the image."),
            )
        ),
    ],
    ids=["CRLF", "interpreter", "mode", "missing"],
)
@pytest.mark.parametrize("service", ["db", pytest.param("test-runner", marks=pytest.mark.long)])
def test_what_can_not_be_executed_is_looked_into(
    light: Checkout, service: str, entrypoint: list[str], said: str
) -> None:
    overlay(light, **{service: {"entrypoint": entrypoint}})

    answer, told = _run(light)

    assert answer["outcome"] == "service died"
    assert said in told
    assert "exit code" in told or "exited with" in told


@pytest.mark.long
def test_crlf_behind_env_is_seen_as_well(light: Checkout) -> None:
    text = r"printf '#!/usr/bin/env sh\r\nexit\r\n' > /tmp/e.sh; chmod 755 /tmp/e.sh; /tmp/e.sh"
    overlay(light, db={"command": ["sh", "-c", text]})

    _, told = _run(light)

    assert "sh\\r" in told  # the last line of its log; the script is no word of the command


@pytest.mark.long
@pytest.mark.parametrize("mount", ["./Dockerfile:/app", "./Dockerfile:/proc/x"])
def test_a_container_that_is_never_started_has_the_engines_words(
    light: Checkout, mount: str
) -> None:
    overlay(light, db={"volumes": [mount]})

    answer, told = _run(light)

    assert answer["outcome"] == "service died"
    assert "'db' was created and could not be started." in told
    assert "mount" in told


@pytest.mark.long
def test_a_restart_loop_is_named(light: Checkout) -> None:
    overlay(light, db={"restart": "always", "healthcheck": {"disable": True}})
    behave(light, LIGHT_DB="exit:3:0")

    answer, told = _run(light)

    assert answer["outcome"] == "not ready"
    assert "'db' restarts in a loop: 7 times while it was waited for." in told


@pytest.mark.long
def test_a_database_without_the_memory_to_start_is_named_with_its_limit(light: Checkout) -> None:
    hoard = "hoard = bytearray(300 << 20); hoard[::4096] = b'x' * len(hoard[::4096])"
    overlay(light, db={**LIMIT, "command": ["python", "-c", hoard]})

    answer, told = _run(light)

    assert answer["outcome"] == "out of memory"
    assert "'db' ran out of memory (limit 64 MiB, exit code 137)." in told


FOREIGN = """
FROM scratch
COPY app/serve.py /serve
CMD ["/serve"]
"""


def test_an_image_for_another_machine_is_refused_before_anything_starts(light: Checkout) -> None:
    (light.root / "Foreign").write_text(FOREIGN)
    name = f"{light.root.name}-foreign:1"
    docker(
        *("build", "--quiet", "--platform", "linux/s390x", "--tag", name),
        *("--file", str(light.root / "Foreign"), str(light.root)),
    )
    try:
        overlay(light, other={"image": name})

        answer, told = _run(light)
    finally:
        docker("image", "rm", name)

    assert (answer["outcome"], answer["step"]) == ("configuration", "up")
    assert "is for linux/s390x, and this engine runs linux/" in told
    assert "containers.json" not in told
    assert not (Path(answer["evidence"]) / "containers.json").read_text().strip("[]\n")
