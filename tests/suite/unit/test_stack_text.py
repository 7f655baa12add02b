"""The state of a stack as text and as JSON: names, never values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from unstale.facts import ContainerConfig, ContainerFact, MountFact, Placement
from unstale.pipeline.containers import StackStatus
from unstale.render.stack import as_document, as_text
from unstale.stack.judge import ContainerStatus
from unstale.stack.mounts import Finding
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

ROOT = Path("/home/robin/shop")
SETTING = Stale((Reason("environment:LOG_LEVEL", "modified"), Reason("port:80/tcp", "added")))
OLD = Stale((Reason("container:demo-app-1", "modified"),))


@pytest.fixture
def app(container: ContainerFact) -> ContainerStatus:
    config = ContainerConfig(environment=("LOG_LEVEL=hunter2-hunter2",))
    made = replace(container, ports=((80, "127.0.0.1:32768"),), health="healthy", config=config)
    return ContainerStatus(made, Fresh(), Fresh(), Fresh())


def hidden(app: ContainerStatus, mount: MountFact, files: int = 1) -> ContainerStatus:
    found = tuple(
        Finding(
            Placement(
                ROOT / "src" / f"{n}.py", PurePosixPath(mount.target, f"{n}.py"), derived=False
            ),
            "hidden",
            mount,
        )
        for n in range(files)
    )
    return replace(
        app, mounts=Stale((Reason(f"mount:{mount.target}", "modified"),)), findings=found
    )


def text(*found: ContainerStatus, missing: Sequence[str] = ()) -> str:
    return "\n".join(as_text(StackStatus("demo", found, tuple(missing)), ROOT))


def test_a_fresh_stack_is_a_table_and_nothing_to_type(app: ContainerStatus) -> None:
    assert text(app).splitlines() == [
        "SERVICE  STATE    HEALTH   IMAGE  CONFIG  MOUNTS  PORTS",
        "app      running  healthy  fresh  fresh   fresh   80 -> 127.0.0.1:32768",
    ]


def test_changed_settings_are_named_and_need_no_build(app: ContainerStatus) -> None:
    found = text(replace(app, configuration=SETTING))

    assert "  modified: environment:LOG_LEVEL\n  added: port:80/tcp\n" in found
    assert found.endswith("Next: inv stack.up   (what is stale is created anew; nothing is built)")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("image", "missing"), [(OLD, ()), (Fresh(), ("db",))], ids=["an old image", "no container"]
)
def test_what_up_heals_is_left_to_it(
    app: ContainerStatus, image: Verdict, missing: tuple[str, ...]
) -> None:
    assert "Next: inv stack.up  " in text(replace(app, image=image), missing=missing)


def test_a_service_without_a_container_is_told(app: ContainerStatus) -> None:
    assert "db: there is no container" in text(app, missing=["db"])


def test_what_cannot_be_told_says_why(app: ContainerStatus) -> None:
    assert "  nobody can look" in text(replace(app, mounts=Unknown("nobody can look")))


CODE = MountFact("volume", "/v", "/app/src", "demo_code")


def test_a_volume_that_hides_code_is_named_with_its_files(app: ContainerStatus) -> None:
    found = text(hidden(app, CODE, files=5))

    assert "mount:/app/src  the volume demo_code shows other bytes than src/0.py" in found
    assert "src/2.py and 2 more: a build does not change that" in found
    assert "Next: inv stack.down stack.up " in found
    assert "yourself" not in found


def test_a_volume_that_down_leaves_is_left_to_its_owner(app: ContainerStatus) -> None:
    assert "remove the volume precious yourself" in text(
        hidden(app, replace(CODE, name="precious"))
    )
    assert "yourself" not in text(hidden(app, replace(CODE, name="f" * 64)))


def test_a_replaced_file_needs_a_restart(app: ContainerStatus) -> None:
    found = text(hidden(app, MountFact("bind", "/home/robin/shop/src", "/app/src")))

    assert "a bind shows other bytes than src/0.py" in found
    assert "Next: docker restart demo-app-1 " in found


def test_a_service_that_is_gone_goes_with_the_stack(app: ContainerStatus) -> None:
    gone = Stale((Reason("service:app", "removed"),))

    assert "Next: inv stack.down stack.up " in text(replace(app, configuration=gone))


def test_the_document_has_every_verdict_and_no_value(app: ContainerStatus) -> None:
    found = replace(hidden(app, CODE, files=30), configuration=SETTING, image=Unknown("no image"))
    document = as_document(StackStatus("demo", (found,), ("db",)), ROOT)

    assert "hunter2" not in json.dumps(document)
    assert (document["verdict"], document["missing"]) == ("stale", ["db"])
    (one,) = document["containers"]
    assert one["verdict"] == "stale"
    assert one["image"] == {"id": "sha256:1111", "verdict": "unknown", "why": "no image"}
    assert one["configuration"]["verdict"] == "stale"
    assert one["ports"] == [{"container": 80, "host": "127.0.0.1:32768"}]
    assert [r["path"] for r in one["reasons"]] == [
        "environment:LOG_LEVEL",
        "port:80/tcp",
        "mount:/app/src",
    ]
    (hiding,) = one["mounts"]["hiding"]
    assert (hiding["name"], hiding["count"], len(hiding["files"])) == ("demo_code", 30, 20)


def test_a_gap_is_missing_unless_something_is_stale(app: ContainerStatus) -> None:
    assert StackStatus("demo", (app,), ()).verdict == Fresh()
    assert StackStatus("demo", (app,), ("db",)).verdict == Missing()
    assert StackStatus("demo", (replace(app, image=OLD),), ("db",)).verdict == OLD
    assert StackStatus("", (), ()).verdict == Missing()
