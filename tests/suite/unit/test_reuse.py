"""Reuse: a receipt counts only for a run that would prove the very same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkout import image_fact
from conftest import FakeDocker, FakeFiles

from unstale.compose import Mount, Service, parse
from unstale.config import Environment, RunnerSettings, SchemaSettings, Settings
from unstale.image.check import ImageStatus
from unstale.mask import Mask
from unstale.pipeline.images import Bench
from unstale.pipeline.receipt import PREDICATE, STATEMENT
from unstale.pipeline.reuse import Subject, environment_digest, find, subject
from unstale.pipeline.shelf import Found
from unstale.pipeline.site import Ports, Site
from unstale.ports import ComposeTarget
from unstale.verdict import Fresh

MODEL: dict[str, Any] = {
    "name": "demo",
    "services": {
        "db": {"image": "postgres:17"},
        "tests": {
            "image": "demo-tests",
            "build": {"context": "/nowhere"},
            "environment": {"LOG_LEVEL": "info", "API_TOKEN": "heron-of-the-environment"},
        },
    },
}
STATUS = ImageStatus(
    "tests", "demo-tests", "sha256:1", None, Fresh(), "digest", "v1:sha256:ab", "", 0, 0.0
)

Benches = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, docker: FakeDocker, ports: Ports) -> Benches:
    docker.local_images.append(image_fact("l1", image_id="sha256:pg", tags=("postgres:17",)))

    def build(
        model: dict[str, Any] | None = None,
        runner: str = "tests",
        *,
        database: str | None = None,
        profiles: tuple[str, ...] = (),
        schema: SchemaSettings | None = None,
        values: tuple[tuple[str, str], ...] = (),
        environ: dict[str, str] | None = None,
        **stack: Any,
    ) -> Bench:
        found = parse(model or MODEL)
        settings = Settings(
            root=tmp_path,
            default_env="test",
            environments={},
            runner=RunnerSettings(),
            suites={},
            schema=schema or SchemaSettings(),
            verify=(),
        )
        site = Site(
            settings=settings,
            environment=Environment("test", (), (), profiles=profiles),
            stack=replace(found, **stack),
            target=ComposeTarget("demo", ()),
            runner=runner,
            database=database,
            values=values,
            mask=Mask(),
            owner="me",
            machine_folder=tmp_path / "machine",
            model=model or MODEL,
        )
        return Bench(ports, FakeFiles({}), site, environ or {})

    return build


def mounted(kind: str, source: str) -> Service:
    (tests,) = (s for s in parse(MODEL).services if s.name == "tests")
    return replace(tests, mounts=(Mount(kind, source, "/config", read_only=True),))


def changed(**environment: str) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(json.dumps(MODEL))
    model["services"]["tests"]["environment"] |= environment
    return model


def digest(bench: Bench, *arguments: str, status: ImageStatus = STATUS) -> str:
    found = subject(bench, [status], arguments)
    assert found.why_not == ""
    return found.digest


def test_the_same_run_has_the_same_subject(bench: Benches) -> None:
    assert digest(bench(), "-q") == digest(bench(), "-q")


def test_an_image_built_again_of_the_same_inputs_is_the_same_subject(bench: Benches) -> None:
    again = replace(STATUS, image_id="sha256:2")

    assert digest(bench(), status=again) == digest(bench())


def test_other_inputs_arguments_and_variables_are_other_subjects(bench: Benches) -> None:
    subjects = {
        digest(bench()),
        digest(bench(), "-k", "login"),
        digest(bench(), status=replace(STATUS, inputs="v1:sha256:cd")),
        digest(bench(changed(LOG_LEVEL="debug"))),
        digest(bench(changed(API_TOKEN="another-heron"))),
    }

    assert len(subjects) == 5


def test_another_database_image_is_another_subject(bench: Benches, docker: FakeDocker) -> None:
    before = digest(bench())
    docker.local_images[:] = [image_fact("l2", image_id="sha256:pg2", tags=("postgres:17",))]

    assert digest(bench()) != before


def test_a_mounted_file_counts_by_its_bytes(bench: Benches, tmp_path: Path) -> None:
    path = tmp_path / "service.conf"
    path.write_text("a = 1")
    services = (mounted("bind", str(path)),)
    before = digest(bench(services=services))
    path.write_text("a = 2")

    assert digest(bench(services=services)) != before


def test_a_mounted_folder_of_the_project_counts_by_all_that_is_in_it(
    bench: Benches, tmp_path: Path
) -> None:
    (tmp_path / "conf").mkdir()
    services = (mounted("bind", str(tmp_path / "conf")),)
    before = digest(bench(services=services))
    (tmp_path / "conf" / "new").touch()

    assert digest(bench(services=services)) != before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"runner": "host"}, "on the host"),
        ({"services": (mounted("volume", "shared"),)}, "outlives runs"),
        ({"services": (mounted("bind", "/usr"),)}, "outside of the project"),
        (
            {"services": parse({"name": "x", "services": {"q": {"image": "none:1"}}}).services},
            "none:1",
        ),
    ],
    ids=["host", "volume", "outside", "no image"],
)
def test_what_cannot_be_digested_is_never_reused(
    bench: Benches, options: dict[str, Any], why: str
) -> None:
    found = subject(bench(**options), [STATUS], ())

    assert found.digest == ""
    assert why in found.why_not


def given(kind: str, **entry: Any) -> dict[str, Any]:
    """The model with one config or secret that a service sees as a file."""
    return {**MODEL, kind: {"one": {"name": "demo_one", **entry}}}


@pytest.mark.parametrize("kind", ["configs", "secrets"])
def test_the_bytes_of_a_config_or_secret_count(bench: Benches, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pay$one.key"
    path.write_text("heron one")
    # As compose prints it.
    model = given(kind, file=str(path).replace("$", "$$"))
    before = digest(bench(model))
    path.write_text("heron two")

    assert digest(bench(model)) != before


@pytest.mark.parametrize("kind", ["configs", "secrets"])
def test_the_variable_of_a_config_or_secret_counts_by_its_value(bench: Benches, kind: str) -> None:
    model = given(kind, environment="SEED")
    from_file = digest(bench(model, values=(("SEED", "1"),)))

    assert digest(bench(model, values=(("SEED", "2"),))) != from_file
    assert digest(bench(model, values=(("SEED", "2"),), environ={"SEED": "1"})) == from_file


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"external": True}, "configs.one"),
        ({"environment": "SEED"}, "variable SEED"),
        ({"file": "/nowhere/x"}, "/nowhere/x can't be read"),
    ],
    ids=["external", "variable", "file"],
)
def test_a_config_that_cannot_be_read_is_never_reused(
    bench: Benches, entry: dict[str, Any], why: str
) -> None:
    found = subject(bench(given("configs", **entry)), [STATUS], ())

    assert found.digest == ""
    assert why in found.why_not


def test_who_runs_the_tests_and_how_is_part_of_the_subject(bench: Benches) -> None:
    subjects = {
        digest(bench()),
        digest(bench(runner="db")),
        digest(bench(database="db")),
        digest(bench(profiles=("debug",))),
        digest(bench(schema=SchemaSettings(service="db"))),
    }

    assert len(subjects) == 5


def test_what_unstale_writes_into_a_mounted_checkout_does_not_count(
    bench: Benches, tmp_path: Path
) -> None:
    services = (mounted("bind", str(tmp_path)),)
    (tmp_path / ".unstale").mkdir()
    before = subject(bench(services=services), [STATUS], ())
    (tmp_path / ".unstale" / "receipts").mkdir()

    assert before.digest
    assert subject(bench(services=services), [STATUS], ()) == before


def test_a_mounted_file_that_is_changed_and_changed_back_is_told(
    bench: Benches, tmp_path: Path
) -> None:
    path = tmp_path / "conf" / "x"
    path.parent.mkdir()
    path.write_text("bad")
    services = (mounted("bind", str(path.parent)),)
    before = subject(bench(services=services), [STATUS], ())
    changed_at = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == changed_at:  # the kernel's clock has ticks
        path.write_text("good")
        path.write_text("bad")

    after = subject(bench(services=services), [STATUS], ())

    assert after.digest == before.digest
    assert after != before


def test_a_file_that_a_container_can_write_is_no_fixed_part(bench: Benches, tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("1")
    fixed = mounted("bind", str(path))
    writable = replace(fixed, mounts=(replace(fixed.mounts[0], read_only=False),))
    before = [subject(bench(services=(s,)), [STATUS], ()) for s in (fixed, writable)]
    path.write_text("2")

    after = [subject(bench(services=(s,)), [STATUS], ()) for s in (fixed, writable)]

    differs = [
        (a.fixed != b.fixed, a.digest != b.digest) for a, b in zip(after, before, strict=True)
    ]
    assert differs == [(True, True), (False, True)]


def test_an_own_volume_that_may_be_a_folder_of_this_machine_outlives_runs(bench: Benches) -> None:
    options = {"type": "none", "o": "bind", "device": "/srv/data"}
    model = {**MODEL, "volumes": {"data": {"name": "demo_data", "driver_opts": options}}}
    services = (mounted("volume", "data"),)

    found = subject(bench(model, services=services, own_volumes=("data",)), [STATUS], ())

    assert "outlives runs" in found.why_not


def test_the_stacks_own_volume_is_new_in_each_run(bench: Benches) -> None:
    services = (mounted("volume", "data"),)

    assert subject(bench(services=services, own_volumes=("data",)), [STATUS], ()).digest


def test_what_is_given_beside_the_model_goes_through_the_slow_hash() -> None:
    fast = {hashlib.sha256(text.encode()).hexdigest() for text in ("heron", '["heron"]')}
    digests = {environment_digest(MODEL, one).rpartition(":")[2] for one in (["heron"], ["crane"])}

    assert len(digests) == 2
    assert not digests & fast


def test_no_secret_and_no_fast_hash_of_one_is_in_the_environments_digest() -> None:
    other = changed(API_TOKEN="another-heron")

    assert environment_digest(MODEL) == environment_digest(json.loads(json.dumps(MODEL)))
    assert environment_digest(MODEL) != environment_digest(other)
    assert "heron" not in environment_digest(MODEL)


def receipt(result: str, digest: str) -> str:
    annotations = {
        **dict.fromkeys(("outcome", "started", "environment"), "-"),
        **dict.fromkeys(("revision", "dirty", "schema")),
        "skipped": 0,
        "steps": [],
        "subject": digest,
    }
    predicate = {
        "result": result,
        "configuration": [],
        "passedTests": [],
        "failedTests": [],
        "annotations": annotations,
    }
    document = {"_type": STATEMENT, "predicateType": PREDICATE, "subject": []}
    return json.dumps({**document, "predicate": predicate})


def everybody(_found: Found) -> bool:
    return True


def test_the_newest_receipt_that_passed_is_found(bench: Benches) -> None:
    one = bench()
    folder = one.site.state_folder / "receipts"
    for name, text in {
        "20260101T000000Z-a.json": receipt("PASSED", "v1:x"),
        "20260102T000000Z-b.json": receipt("PASSED", "v1:x"),
        "20260103T000000Z-c.json": receipt("FAILED", "v1:x"),
        "20260104T000000Z-d.json": receipt("WARNED", "v1:x"),
        "20260105T000000Z-e.json": receipt("PASSED", "v1:y"),
        "20260106T000000Z-f.json": "{torn",
        "20260107T000000Z-g.dsse.json": receipt("PASSED", "v1:x"),
        "latest.json": receipt("PASSED", "v1:x"),
    }.items():
        one.files.write_atomic(folder / name, text)

    assert find(one, Subject("v1:x"), everybody) == folder / "20260102T000000Z-b.json"
    assert find(one, Subject("v1:z"), everybody) is None


def test_a_receipt_that_is_not_believed_spares_nothing(bench: Benches) -> None:
    one = bench()
    folder = one.site.state_folder / "receipts"
    for name in ("20260101T000000Z-a", "20260102T000000Z-planted"):
        one.files.write_atomic(folder / f"{name}.json", receipt("PASSED", "v1:x"))
    one.files.write_atomic(folder / "20260101T000000Z-a.dsse.json", "signed")

    def signed(found: Found) -> bool:
        return found.envelope == "signed"

    assert find(one, Subject("v1:x"), signed) == folder / "20260101T000000Z-a.json"


def test_no_receipt_proves_what_has_no_digest(bench: Benches) -> None:
    one = bench()
    path = one.site.state_folder / "receipts" / "20260101T000000Z-a.json"
    one.files.write_atomic(path, receipt("PASSED", ""))

    assert find(one, Subject("", "the tests run on the host"), everybody) is None
