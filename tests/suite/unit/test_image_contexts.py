"""Which ignore file counts, and what is read only once."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Checkout

from unstale.errors import CouldNotTell
from unstale.image import dockerignore
from unstale.image.contexts import Contexts, ignore_file


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    return checkout.write({"Dockerfile": "", "docker/Dockerfile": "", "a": "", "b": ""})


def sent(checkout: Checkout, contexts: Contexts | None = None) -> set[str]:
    main = (contexts or Contexts()).main(checkout.spec())
    return {path for path, _ in main.under(".")} - {"."}


def test_the_ignore_file_is_the_contexts_unless_the_dockerfile_has_its_own(
    tree: Checkout,
) -> None:
    spec = tree.spec(dockerfile="docker/Dockerfile")
    assert ignore_file(spec) is None
    tree.write({".dockerignore": "a\n"})
    assert ignore_file(spec) == tree.root / ".dockerignore"

    tree.write({"docker/Dockerfile.dockerignore": ""})
    assert ignore_file(spec) == tree.root / "docker/Dockerfile.dockerignore"
    assert ignore_file(tree.spec()) == tree.root / ".dockerignore"


def test_a_dockerfile_outside_of_the_context_may_have_its_own(
    tree: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "Other.dockerignore").write_text("a")

    assert ignore_file(tree.spec(dockerfile=str(tmp_path / "Other"))) == (
        tmp_path / "Other.dockerignore"
    )


def test_a_linked_ignore_file_is_followed_inside_the_context_only(
    tree: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("a")
    tree.write({"rules": "b"})
    ignore = tree.root / ".dockerignore"
    ignore.symlink_to("rules")
    assert sent(tree) >= {"a"}
    assert "b" not in sent(tree)

    ignore.unlink()
    ignore.symlink_to(tmp_path / "outside")
    assert sent(tree) >= {"a", "b"}


def test_a_folder_in_place_of_the_ignore_file_has_no_rules(tree: Checkout) -> None:
    tree.write({".dockerignore/": ""})

    assert sent(tree) >= {"a", "b"}


def test_a_pattern_that_the_builder_refuses_is_refused(tree: Checkout) -> None:
    tree.write({".dockerignore": "[a-"})

    with pytest.raises(CouldNotTell):
        Contexts().main(tree.spec())


# --- The folder of unstale itself ---


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ("", ".unstale"),
        ("src\n", ".unstale"),
        (".unstale\n!.unstale/runs\n", ""),
        (".unstale\n", ""),
        ("*\n", ""),
        (".*\n", ""),
        ("*\n!.unstale\n", ".unstale"),
    ],
)
def test_the_line_that_an_ignore_file_lacks(tree: Checkout, rules: str, lacking: str) -> None:
    tree.write({".dockerignore": rules})

    assert Contexts(hidden=tree.root / ".unstale").lacks(tree.spec()) == lacking


def test_a_hidden_folder_elsewhere_needs_no_line(tree: Checkout, tmp_path: Path) -> None:
    assert Contexts(hidden=tmp_path / ".unstale").lacks(tree.spec()) == ""
    assert Contexts().lacks(tree.spec()) == ""


@pytest.mark.parametrize("name", ["a*b", "a?b", "[ab]", "!ab", "#ab", "a\\b"])
def test_a_hidden_folder_is_left_out_by_its_name_alone(tree: Checkout, name: str) -> None:
    hidden = tree.root / name / ".unstale"
    tree.write({f"{name}/.unstale/x": "", "aXb/.unstale/x": "", f"{name}/kept": ""})
    contexts = Contexts(hidden=hidden)

    found = sent(tree, contexts)

    assert {path for path in found if ".unstale" in path} == {"aXb/.unstale", "aXb/.unstale/x"}
    assert f"{name}/kept" in found
    # The line is a pattern of the builder's, too.
    assert len(dockerignore.parse(contexts.lacks(tree.spec()))) == 1


# --- Once ---


def test_services_with_one_context_and_rules_share_its_scan(tree: Checkout) -> None:
    contexts = Contexts()

    assert contexts.main(tree.spec(target="a")) is contexts.main(tree.spec(target="b"))
    assert contexts.additional(tree.root) is contexts.main(tree.spec())
    tree.write({"docker/Dockerfile.dockerignore": "a"})
    other = contexts.main(tree.spec(dockerfile="docker/Dockerfile"))
    assert other is not contexts.main(tree.spec())


def test_an_edit_is_seen_after_a_rescan(tree: Checkout) -> None:
    contexts = Contexts()
    before = contexts.main(tree.spec()).digest(".")
    tree.write({"a": "changed", "new": ""})
    assert contexts.main(tree.spec()).digest(".") == before

    contexts.rescan()
    assert contexts.main(tree.spec()).digest(".") != before


def test_what_was_learnt_is_kept_for_the_next_command(tree: Checkout, tmp_path: Path) -> None:
    contexts = Contexts(tmp_path / "stat")
    digest = contexts.main(tree.spec()).digest(".")
    contexts.save()

    assert len(list((tmp_path / "stat").iterdir())) == 1
    assert Contexts(tmp_path / "stat").main(tree.spec()).digest(".") == digest


@pytest.mark.parametrize(
    ("target", "counts"),
    [("rules", True), ("/rules", True), ("sub/../rules", True), ("/etc/hostname", False)],
)
def test_a_linked_ignore_file_is_followed_inside_of_the_context(
    tree: Checkout, target: str, *, counts: bool
) -> None:
    tree.write({"rules": "a\n"})
    (tree.root / ".dockerignore").symlink_to(target)

    assert ("a" not in sent(tree)) == counts


def test_what_is_outside_or_ignored_is_left_out_of_the_build(
    tree: Checkout, tmp_path: Path
) -> None:
    tree.write({".dockerignore": "lib\n!lib/kept\n"})
    spec = tree.spec()

    def leaves_out(path: Path) -> bool:
        return Contexts().leaves_out(spec, path)

    assert leaves_out(tmp_path / "elsewhere")
    assert leaves_out(tree.root / "lib")
    assert leaves_out(tree.root / "lib/a")
    assert not leaves_out(tree.root / "lib/kept")
    assert not leaves_out(tree.root / "src")
    assert not leaves_out(tree.root)
