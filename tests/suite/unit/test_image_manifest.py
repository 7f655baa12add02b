"""What a stamp was made of, in a label that anybody may read."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest
from checkout import Checkout, image_fact

from unstale.image.manifest import Manifest, base_facts, decode, encode, manifest, to_json

TEXT = "FROM base\nCOPY src /app/\n"


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    checkout.images["base"] = image_fact("sha256:base", Env=["LANG=C"], OnBuild=["RUN x"])
    return checkout.write({"src/app.py": "print(1)", "src/pkg/mod.py": "", "docs/a": ""})


def made(tree: Checkout, text: str = TEXT, **arguments: str) -> Manifest:
    return manifest(tree.inputs(text, args=tuple(sorted(arguments.items()))))


def test_a_manifest_comes_back_from_a_label_and_from_a_file(tree: Checkout) -> None:
    (tree.root / "src/link").symlink_to("\udcff")
    (tree.root / "src/na\nme \udcff").touch()
    one = made(tree)
    packed = encode(one)

    assert packed is not None
    assert decode(packed) == one
    assert decode(to_json(one)) == one


def test_it_has_the_files_that_are_read_and_no_others(tree: Checkout) -> None:
    one = made(tree)

    assert set(one.files) == {"src", "src/app.py", "src/pkg", "src/pkg/mod.py"}
    assert one.files["src/app.py"].startswith("f644:")
    assert one.files["src"].startswith("f755:")


def test_a_file_of_an_additional_context_has_its_name(tree: Checkout) -> None:
    contexts = (("lib", str(tree.root / "docs")),)
    text = "FROM base\nCOPY --from=lib a /x/\n"

    one = manifest(tree.inputs(text, additional_contexts=contexts))

    assert set(one.files) == {"lib:a"}


def test_a_step_has_its_line_and_a_trigger_of_an_image_none(tree: Checkout) -> None:
    assert [line for line, _ in made(tree).steps] == [0, 2]


def test_of_a_dockerfile_that_can_not_be_followed_it_has_all_files(tree: Checkout) -> None:
    one = made(tree, "FROM base\nCOPY --from=$X a /x/\n")

    assert {"Dockerfile", "docs/a", "src/app.py"} <= set(one.files)
    assert (one.steps, one.config) == ((), "")


def test_the_same_inputs_give_the_same_text(tree: Checkout) -> None:
    assert encode(made(tree)) == encode(made(tree))


def test_what_is_too_large_for_a_label_is_not_packed() -> None:
    digests = (hashlib.sha256(b"%d" % n).hexdigest() for n in range(6000))
    files = {f"src/{one[10:16]}": f"f644:{one[:10]}" for one in digests}

    assert encode(Manifest(files, (), "", "", {})) is None


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "{",
        "{}",
        "AAAA",
        packed(b""),
        packed(b"\xff"),
        packed(b"[]"),
        packed(b"1"),
        packed(b"null"),
        packed(b'{"version": 2, "files": {}, "steps": [], "config": "", "bases": {}}'),
        packed(b'{"version": 1, "files": {}, "steps": [], "config": ""}'),
        packed(b'{"version": 1, "files": [], "steps": [], "config": "", "bases": {}}'),
        packed(b'{"version": 1, "files": {}, "steps": [1], "config": "", "bases": {}}'),
        packed(b'{"version": 1, "files": {}, "steps": [["a", "b"]], "config": "", "bases": {}}'),
        packed(b'{"version": 1, "files": {}, "steps": [], "config": "", "bases": {"a": [1]}}'),
        packed(b'{"version": 1, "files": {}')[:-8],
        packed(b"[" * 20_000),
    ],
)
def test_a_label_that_is_foreign_or_damaged_is_no_manifest(text: str) -> None:
    assert decode(text) is None


def document(**parts: object) -> str:
    known: dict[str, object] = {
        "version": 1,
        "files": {"a": "f644:0123456789"},
        "steps": [[2, "0" * 32]],
        "config": "",
        "options": "0" * 32,
        "bases": {"base": [["sha256:base"], "{}"]},
    }
    return json.dumps(known | parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"files": {"a": ""}},
        {"files": {"a": "f644:"}},
        {"files": {"a": "x644:0123456789"}},
        {"files": {"a": 5}},
        {"steps": [["2", "0" * 32]]},
        {"steps": [[2, "0"]]},
        {"steps": [[float("inf"), "0" * 32]]},
        {"config": "x"},
        {"options": None},
        {"bases": {"base": [[1], "{}"]}},
        *(
            {"bases": {"base": [[], config]}}
            for config in (
                "?",
                "1",
                "[1]",
                "null",
                "[" * 20_000,
                '{"Env": 5}',
                '{"Env": [1]}',
                '{"Volumes": 3}',
                '{"Volumes": {"/a": 1}}',
                '{"Labels": {"a": []}}',
                '{"Healthcheck": {"Test": {}}}',
                '{"OnBuild": "RUN x"}',
                '{"User": []}',
                '{"Other": ""}',
            )
        ),
    ],
)
def test_a_part_of_another_shape_makes_it_no_manifest(parts: dict[str, object]) -> None:
    assert decode(document()) is not None
    assert decode(document(**parts)) is None


def test_a_label_that_unpacks_to_more_than_a_manifest_is_left_packed() -> None:
    content = document().encode()
    most = 4 * 1024 * 1024

    assert decode(packed(content + b" " * (most - len(content)))) is not None
    assert decode(packed(content + b" " * (most + 1 - len(content)))) is None


def test_what_would_not_be_unpacked_is_not_packed() -> None:
    files = {f"{'a' * 4000}{n}": "f644:0123456789" for n in range(1100)}

    assert encode(Manifest(files, (), "", "", {})) is None


def test_the_base_images_come_back_as_far_as_a_digest_needs_them(tree: Checkout) -> None:
    text = "FROM base\nCOPY --from=tools /t /t\nCOPY src $LANG/\n"
    tree.images["tools"] = image_fact("sha256:tools")
    digest = tree.digest(text)
    known = base_facts(made(tree, text))
    tree.images.clear()
    assert tree.inputs(text).unknown

    tree.images.update(known)
    assert tree.digest(text) == digest


# --- Secrets ---


@pytest.mark.parametrize(
    "line",
    [
        "ARG API_TOKEN\nRUN x",
        "ARG API_TOKEN=0\nRUN x",
        "ARG API_TOKEN\nRUN --mount=source=src,target=/s x",
        "ARG API_TOKEN\nCOPY <<EOF /f\n$API_TOKEN\nEOF",
        "ARG API_TOKEN\nCOPY src /app/$API_TOKEN/",
        "ARG API_TOKEN\nLABEL token=$API_TOKEN",
        "ARG API_TOKEN\nENV HEADER='Bearer $API_TOKEN'\nENV OTHER=\"Bearer $API_TOKEN\"\nRUN x",
        "ARG API_TOKEN\nRUN --mount=source=src,target=/$API_TOKEN x",
    ],
)
def test_nothing_in_it_depends_on_the_value_of_a_secret(tree: Checkout, line: str) -> None:
    text = f"FROM base\n{line}\n"
    digests = {tree.digest(text, args=(("API_TOKEN", value),)) for value in ("hunter2", "another")}
    texts = {to_json(made(tree, text, API_TOKEN=value)) for value in ("hunter2", "another")}

    assert (len(digests), len(texts)) == (2, 1)
    assert "hunter2" not in texts.pop()


def test_a_value_that_is_an_address_with_a_password_is_not_in_it(tree: Checkout) -> None:
    text = "FROM base\nARG INDEX\nRUN x\n"
    values = ("https://me:hunter2@example.com/", "https://me:other12@example.com/")

    assert len({to_json(made(tree, text, INDEX=value)) for value in values}) == 1


def test_of_a_base_image_with_a_secret_only_the_layers_are_kept(tree: Checkout) -> None:
    tree.images["base"] = image_fact("sha256:base", Env=["API_TOKEN=hunter2", "EMPTY"])

    one = made(tree, "FROM base\nLABEL token=$API_TOKEN\n")
    tree.images["base"] = image_fact("sha256:base", Env=["API_TOKEN=another", "EMPTY"])
    other = made(tree, "FROM base\nLABEL token=$API_TOKEN\n")

    assert one.bases == {"base": (("sha256:base",), "")}
    assert base_facts(one) == {}
    assert to_json(one) == to_json(other)


EVERYTHING: dict[str, Any] = {
    "Env": ["LANG=C"],
    "OnBuild": ["RUN x"],
    "User": "me",
    "WorkingDir": "/w",
    "Shell": ["/bin/bash", "-c"],
    "Cmd": ["serve"],
    "Entrypoint": ["/entry"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
    "StopSignal": "SIGINT",
    "ArgsEscaped": True,
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/data": {}},
    "Labels": {"a": "b"},
}
STAGES = """\
FROM base AS one
RUN y
FROM below
COPY --from=one /a /a
COPY --from=tools /t /t
RUN z
"""


def test_of_each_base_image_there_is_what_its_use_needs(tree: Checkout) -> None:
    for name in ("base", "below", "tools"):
        tree.images[name] = image_fact(f"sha256:{name}", **EVERYTHING, Hostname="h", Tty=True)
    digest = tree.digest(STAGES)
    one = made(tree, STAGES)
    kept = {name: json.loads(config) for name, (_, config) in one.bases.items()}

    assert kept["tools"] == {}
    assert kept["base"].keys() == {"Env", "OnBuild", "User", "WorkingDir", "Shell"}
    assert kept["below"] == EVERYTHING
    tree.images = dict(base_facts(one))
    assert tree.digest(STAGES) == digest
    assert decode(to_json(one)) == one


def test_of_an_image_that_another_build_stamped_no_stamp_is_kept(tree: Checkout) -> None:
    labels = {"dev.unstale.manifest": "x", "com.docker.compose.project": "x", "a": "b"}
    tree.images["base"] = image_fact("sha256:base", labels=labels)

    assert json.loads(made(tree).bases["base"][1]) == {"Labels": {"a": "b"}}


def test_of_a_dockerfile_that_can_not_be_followed_no_config_is_kept(tree: Checkout) -> None:
    one = made(tree, "FROM base\nCOPY --from=$X a /x/\n")

    assert one.bases == {"base": (("sha256:base",), "")}


@pytest.mark.parametrize(
    "config",
    [
        {"Labels": {"api_token": "hunter2"}},
        {"Labels": {"start": "serve --token=hunter2"}},
        {"Labels": {"home": "https://me:hunter2@example.com/"}},
        {"Cmd": ["serve", "--token=hunter2"]},
        {"Entrypoint": ["https://hunter2@example.com/"]},
        {"Healthcheck": {"Test": ["CMD", "check", "--password=hunter2"]}},
        {"Env": ["CONN=host=db password=hunter2"]},
        {"OnBuild": ["RUN login --secret hunter2"]},
    ],
)
def test_a_secret_anywhere_in_a_config_keeps_it_out(tree: Checkout, config: dict[str, Any]) -> None:
    tree.images["base"] = image_fact("sha256:base", **config)

    assert made(tree).bases == {"base": (("sha256:base",), "")}


def test_no_secret_of_an_image_that_is_built_with_and_not_on_is_in_it(tree: Checkout) -> None:
    secret = {"Labels": {"api_token": "hunter2"}, "Cmd": ["serve", "--token=hunter2"]}
    tree.images["base"] = image_fact("sha256:base", **secret, Env=["LANG=C"])
    tree.images["tools"] = image_fact("sha256:tools", Env=["CONN=password=hunter2"], **secret)
    tree.images["below"] = image_fact("sha256:below")

    text = to_json(made(tree, STAGES))

    assert "hunter2" not in text
    assert "LANG=C" in text
