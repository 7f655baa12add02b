"""Under which name a context is sent: a safe one, whatever was sent before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkout import Checkout, image_fact

from unstale.image import transfer
from unstale.image.contexts import Contexts, ignore_file
from unstale.image.transfer import Sent, decode, encode, entries, moments, next_send, renamed

TEXT = "FROM base\nCOPY src /app/\n"
AT = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    checkout.images["base"] = image_fact("sha256:base")
    checkout.write({"src/app.py": "v1", "src/pkg/mod.py": "", "docs/a": "1", "Dockerfile": TEXT})
    os.utime(checkout.root / "src/app.py", AT)
    return checkout


def sends(tree: Checkout, text: str | None = None) -> dict[str, tuple[str, str]]:
    spec = tree.spec(text)
    return entries(tree.inputs(text), ignore_file(spec))


def put(tree: Checkout, content: str, at: tuple[int, int] = AT) -> None:
    """Write src/app.py with a time of its own."""
    (tree.root / "src/app.py").write_text(content)
    os.utime(tree.root / "src/app.py", at)


def first(tree: Checkout) -> Sent:
    sent, why = next_send(None, sends(tree))
    assert why == ""
    return sent


# --- What the builder could not notice ---


def test_another_content_of_equal_size_and_time_is_sent_under_a_new_name(
    tree: Checkout,
) -> None:
    before = first(tree)
    put(tree, "v2")

    after, why = next_send(before, sends(tree))

    assert after.name != before.name
    assert why == "src/app.py changed, and its size and time did not"


@pytest.mark.parametrize(
    ("content", "at"), [("v2", (AT[0], AT[1] + 1)), ("v22", AT), ("v1", (5, 5))]
)
def test_another_size_or_time_is_noticed_by_the_builder(
    tree: Checkout, content: str, at: tuple[int, int]
) -> None:
    before = first(tree)
    put(tree, content, at)

    after, why = next_send(before, sends(tree))

    assert (after.name, why) == (before.name, "")


def test_another_mode_of_a_file_is_noticed_by_the_builder(tree: Checkout) -> None:
    before = first(tree)
    (tree.root / "src/app.py").chmod(0o600)

    assert next_send(before, sends(tree))[0].name == before.name


@pytest.mark.parametrize("folder", ["src", "src/pkg"])
def test_another_mode_of_a_folder_is_not(tree: Checkout, folder: str) -> None:
    before = first(tree)
    (tree.root / folder).chmod(0o700)

    after, why = next_send(before, sends(tree))

    assert after.name != before.name
    assert why.startswith(f"{folder} changed")


def test_another_attribute_of_a_file_is_not(tree: Checkout) -> None:
    before = first(tree)
    os.setxattr(tree.root / "src/app.py", "user.unstale", b"1")

    assert next_send(before, sends(tree))[0].name != before.name


def test_a_link_that_points_elsewhere_with_equal_length_is_not(tree: Checkout) -> None:
    link = tree.root / "src/link"
    link.symlink_to("aaa")
    os.utime(link, AT, follow_symlinks=False)
    before = first(tree)
    link.unlink()
    link.symlink_to("bbb")
    os.utime(link, AT, follow_symlinks=False)

    assert next_send(before, sends(tree))[0].name != before.name


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_the_dockerfile_and_its_ignore_file_are_sent_too(tree: Checkout, name: str) -> None:
    tree.write({".dockerignore": "docs/a"})
    os.utime(tree.root / name, AT)
    before = first(tree)
    text = (tree.root / name).read_text()
    (tree.root / name).write_text(text.replace("/app", "/opt").replace("docs/a", "docs/b"))
    os.utime(tree.root / name, AT)
    spec = tree.spec()

    after, why = next_send(before, entries(tree.inputs(), ignore_file(spec)))

    assert after.name != before.name
    assert f"{name} changed" in why


def test_a_file_that_nothing_reads_is_never_the_reason(tree: Checkout) -> None:
    os.utime(tree.root / "docs/a", AT)
    before = first(tree)
    tree.write({"docs/a": "2"})
    os.utime(tree.root / "docs/a", AT)

    assert next_send(before, sends(tree))[0].name == before.name


# --- The history of what was sent ---


def test_what_was_sent_long_ago_is_remembered(tree: Checkout) -> None:
    one = first(tree)
    put(tree, "v2", (2, 2))
    two, _ = next_send(one, sends(tree))
    assert two.name == one.name
    # v3 looks as v1 did, which the builder may still hold.
    put(tree, "v3", AT)

    assert next_send(two, sends(tree))[0].name != one.name


def test_what_was_never_sent_is_not_held_against_it(tree: Checkout) -> None:
    one = first(tree)
    put(tree, "v2", (2, 2))
    put(tree, "v3", (2, 2))

    assert next_send(one, sends(tree))[0].name == one.name


def test_a_file_that_went_and_came_back_otherwise_is_held_against_it(tree: Checkout) -> None:
    one = first(tree)
    (tree.root / "src/app.py").unlink()
    two, _ = next_send(one, sends(tree))
    assert two.name == one.name
    put(tree, "v2")

    assert next_send(two, sends(tree))[0].name != one.name


def test_what_came_back_as_it_was_is_safe(tree: Checkout) -> None:
    one = first(tree)
    put(tree, "v2", (2, 2))
    two, _ = next_send(one, sends(tree))
    put(tree, "v1")

    assert next_send(two, sends(tree))[0].name == one.name


def test_under_a_new_name_only_what_is_sent_now_is_known(tree: Checkout) -> None:
    one = first(tree)
    put(tree, "v2")
    two, _ = next_send(one, sends(tree))

    assert two.files[":src/app.py"].keys() == one.files[":src/app.py"].keys()
    assert two.files[":src/app.py"] != one.files[":src/app.py"]
    assert next_send(two, sends(tree)) == (two, "")


def test_a_renamed_send_keeps_what_it_holds(tree: Checkout) -> None:
    one = first(tree)
    other = renamed(one)

    assert other.name != one.name
    assert other.files == one.files


def test_two_checkouts_never_share_a_name(tree: Checkout) -> None:
    assert first(tree).name != first(tree).name


def test_a_context_that_can_not_be_followed_is_sent_whole(tree: Checkout) -> None:
    text = "FROM base\nCOPY --from=$X a /b\n"

    assert ":docs/a" in sends(tree, text)
    assert ":docs/a" not in sends(tree, TEXT)


def test_an_additional_context_is_sent_beside_the_others(tree: Checkout, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/x").touch()
    spec = tree.spec(
        "FROM base\nCOPY --from=lib x /\n", additional_contexts=(("lib", str(tmp_path / "lib")),)
    )
    inputs = tree.inputs(additional_contexts=spec.additional_contexts, contexts=Contexts())

    assert "lib:x" in entries(inputs, ignore_file(spec))


# --- Written down ---


def test_a_send_comes_back_from_its_file(tree: Checkout) -> None:
    (tree.root / "src/na\udcffme").touch()
    sent = first(tree)

    assert decode(encode(sent)) == sent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"version": 2, "name": "a", "files": {}}',
        '{"version": 1, "files": {}}',
        '{"version": 1, "name": "a", "files": []}',
        '{"version": 1, "name": "a", "files": {"a": "b"}}',
    ],
)
def test_a_file_that_says_something_else_is_no_send(text: str) -> None:
    assert decode(text) is None


def test_a_name_from_a_file_is_never_a_path() -> None:
    found = decode('{"version": 1, "name": "../../etc/x", "files": {}}')

    assert found == Sent("x", {})


def test_each_context_has_a_file_of_its_own() -> None:
    assert transfer.key("/a/svc") != transfer.key("/b/svc")
    assert transfer.key("/a/\udcff") != transfer.key("/a/x")


# --- What came and went while the builder looked ---


def seen(tree: Checkout, text: str | None = None) -> str:
    spec = tree.spec(text)
    return moments(tree.inputs(text), ignore_file(spec))


def come_and_go(path: Path) -> None:
    path.write_text("evil")
    path.unlink()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FROM base\nCOPY . /app/\n", "evil.txt"),
        ("FROM base\nRUN --mount=type=bind,target=/m ls /m\n", "evil.txt"),
        ("FROM base\nCOPY --from=$X a /b\n", "evil.txt"),
        ("FROM base\nCOPY src/*.py /app/\n", "src/evil.py"),
        ("FROM base\nCOPY s*/*.py /app/\n", "src/evil.py"),
        ("FROM base\nCOPY s*/*/*.py /app/\n", "src/pkg/evil.py"),
        ("FROM base\nCOPY src /app/\n", "src/pkg/evil.py"),
    ],
)
def test_a_name_that_came_and_went_where_names_are_listed_is_seen(
    tree: Checkout, text: str, name: str
) -> None:
    before = seen(tree, text)
    come_and_go(tree.root / name)

    assert seen(tree) != before


def test_it_is_seen_in_a_context_that_is_reached_by_a_link(tree: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tree.root)
    linked = Checkout(link, tree.images)
    before = seen(linked, "FROM base\nCOPY . /app/\n")
    come_and_go(tree.root / "evil.txt")

    assert seen(linked) != before


def test_it_is_seen_in_a_folder_of_which_only_exceptions_would_be_sent(tree: Checkout) -> None:
    tree.write({".dockerignore": "docs\n!docs/*.txt\n"})
    before = seen(tree, "FROM base\nCOPY . /app/\n")
    come_and_go(tree.root / "docs/evil.txt")

    assert seen(tree) != before


def test_a_name_where_none_is_listed_moves_nothing(tree: Checkout) -> None:
    before = seen(tree, "FROM base\nCOPY src/app.py /app/\n")
    come_and_go(tree.root / "docs/evil.txt")
    come_and_go(tree.root / "evil.txt")
    come_and_go(tree.root / "src/evil.txt")

    assert seen(tree) == before


@pytest.mark.parametrize("rules", ["", "*\n!src\n!**/*.py\n"])
def test_what_unstale_writes_in_a_listed_folder_moves_nothing(tree: Checkout, rules: str) -> None:
    tree.write({".unstale/build/x": "", ".dockerignore": rules})
    tree.spec("FROM base\nCOPY . /app/\n")

    def look() -> str:
        contexts = Contexts(hidden=tree.root / ".unstale")
        return moments(tree.inputs(contexts=contexts), None)

    before = look()
    come_and_go(tree.root / ".unstale/one")
    tree.write({".unstale/build/y": "", ".unstale/proofs/z": ""})

    assert look() == before


@pytest.mark.parametrize("name", ["Dockerfile", "src/here"])
def test_an_edit_of_what_a_link_leads_to_is_seen(tree: Checkout, name: str) -> None:
    text = "FROM base\nCOPY src/here /app/\n"
    tree.write({"docs/real": text})
    for link in ("Dockerfile", "src/here"):
        (tree.root / link).unlink(missing_ok=True)
        (tree.root / link).symlink_to(tree.root / "docs/real" if link == name else "app.py")
    if name == "src/here":
        (tree.root / name).unlink()
        (tree.root / name).symlink_to("/docs/real")
        (tree.root / "Dockerfile").unlink()
        tree.write({"Dockerfile": text})
    before = seen(tree)
    (tree.root / "docs/real").write_text("other")
    (tree.root / "docs/real").write_text(text)
    os.utime(tree.root / "docs/real", AT)

    assert seen(tree) != before


@pytest.mark.parametrize(("name", "real"), [("lib", "src"), (".dockerignore", "docs/a")])
def test_a_link_that_led_elsewhere_for_a_while_is_seen(
    tree: Checkout, name: str, real: str
) -> None:
    link = tree.root / name
    link.symlink_to(real)
    before = seen(tree, f"FROM base\nCOPY {'lib' if name == 'lib' else 'src'}/app.py /app/\n")
    for target in ("Dockerfile", real):
        link.unlink()
        link.symlink_to(target)

    assert seen(tree) != before


def test_a_listed_folder_with_nothing_to_send_may_go(tree: Checkout) -> None:
    tree.write({".dockerignore": "docs\n!docs/*.txt\n"})
    spec = tree.spec("FROM base\nCOPY . /app/\n")
    inputs = tree.inputs()
    before = moments(inputs, ignore_file(spec))
    (tree.root / "docs/a").unlink()
    (tree.root / "docs").rmdir()

    assert moments(inputs, ignore_file(spec)) != before
