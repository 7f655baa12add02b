"""Env files: what is read, and what is refused without quoting it."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.errors import ConfigError, CouldNotTell, MissingFile, UnstaleError, UsageError
from unstale.parity.envfile import (
    Duplicate,
    Entry,
    ExampleGap,
    example_gaps,
    example_of,
    merged,
    parse,
    read,
    variables,
)
from unstale.parity.model import Source, Variable

PATH = Path("env/.env.test")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_assignment_keeps_its_line_behind_blank_lines_and_comments() -> None:
    file = parse(PATH, b"# head\n\n\nA=1\n\nexport B='two words' # why\n")

    assert file.entries == (Entry("A", "1", 4), Entry("B", "two words", 6))


def test_bare_empty_and_absent_are_three_things() -> None:
    assert parse(PATH, b"BARE\nEMPTY=\n").values == {"BARE": None, "EMPTY": ""}


def test_the_last_duplicate_wins_and_the_first_is_still_listed() -> None:
    file = parse(PATH, b"A=1\nA=2\n")

    assert file.values == {"A": "2"}
    assert [entry.line for entry in file.entries] == [1, 2]


@pytest.mark.parametrize("text", ["$OTHER", "${OTHER:-x}", "$$"])
def test_nothing_is_expanded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "expanded")

    assert parse(PATH, f"A={text}\n".encode()).values == {"A": text}


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data() -> None:
    file = parse(PATH, b"\xef\xbb\xbfA=1\r\nB=2\r\n")

    assert file.entries == (Entry("A", "1", 1), Entry("B", "2", 2))


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        pytest.param(b'A=1\nB="hunter2-open\nC=3\n', 2, id="open-quote"),
        pytest.param(b"A=1\n\nhunter2 and more\n", 3, id="words"),
        pytest.param(b"A=1\nhunter2/+x=\n", 2, id="inside-of-a-private-key"),
        pytest.param(b"A=1\nB=\xff-hunter2\n", 2, id="not-utf-8"),
        pytest.param(b"A=1\nB=hunter2\0\n", 2, id="zero-byte"),
    ],
)
def test_a_bad_line_is_named_by_number_and_not_quoted(raw: bytes, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(PATH, raw)

    assert f"{PATH}, line {line}:" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "tool"),
    [
        pytest.param(b"\0GITCRYPT\0\x93\x01", "git-crypt", id="git-crypt"),
        pytest.param(b"$ANSIBLE_VAULT;1.1;AES256\n3132\n", "ansible-vault", id="ansible-vault"),
        pytest.param(b'A=1\nB="encrypted:BDqD/x"\n', "dotenvx", id="dotenvx"),
        pytest.param(b"B=ENC[AES256_GCM,data:x,type:str]\n", "sops", id="sops"),
    ],
)
def test_an_encrypted_file_is_not_guessed_at(raw: bytes, tool: str) -> None:
    with pytest.raises(CouldNotTell, match=tool):
        parse(PATH, raw)


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="There is no env file"):
        read(tmp_path / ".env.ci")


def test_a_lone_example_is_named(tmp_path: Path) -> None:
    write(tmp_path, ".env.ci.example", "A=1\n")

    with pytest.raises(MissingFile, match=r"Only its example is there: .*\.env\.ci\.example"):
        read(tmp_path / ".env.ci")


def test_a_folder_in_its_place_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read(tmp_path)


def test_a_later_file_overrides_an_earlier_one(tmp_path: Path) -> None:
    first = write(tmp_path, "a", "A=1\nB=1\n")
    second = write(tmp_path, "b", "B=2\nC\n")

    assert merged((first, second)) == {"A": "1", "B": "2", "C": None}


def test_no_file_at_all_is_not_an_empty_environment() -> None:
    with pytest.raises(UnstaleError, match="no env file"):
        merged(())


def test_an_entry_prints_no_value() -> None:
    file = parse(PATH, b"JWT_SECRET=hunter2\n")

    assert "hunter2" not in repr(file)


def test_a_duplicate_is_listed_with_all_its_lines() -> None:
    file = parse(PATH, b"A=1\nB=1\n\nA=2\nA=3\n")

    assert file.duplicates == (Duplicate("A", (1, 4, 5)),)


def test_a_file_that_may_not_be_read_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    # Root may read everything: no mode of a real file would refuse.
    monkeypatch.setattr(Path, "read_bytes", refuse)

    with pytest.raises(CouldNotTell, match="may not be read"):
        read(tmp_path / ".env")


def test_each_value_has_the_file_and_line_that_decided_it(tmp_path: Path) -> None:
    first = write(tmp_path, "base.env", "A=1\nB=1\n")
    second = write(tmp_path, "ci.env", "\nB=2\nC\n")

    assert variables((first, second), tmp_path) == {
        "A": Variable("1", Source("env-file", "base.env", 1)),
        "B": Variable("2", Source("env-file", "ci.env", 2)),
        "C": Variable(None, Source("env-file", "ci.env", 3)),
    }


def test_of_duplicates_the_last_line_is_the_source(tmp_path: Path) -> None:
    path = write(tmp_path, ".env", "A=1\nA=2\n")

    assert variables((path,), tmp_path) == {"A": Variable("2", Source("env-file", ".env", 2))}


@pytest.mark.parametrize(
    ("name", "present", "example"),
    [
        pytest.param(".env.ci", (".env.example", ".env.ci.example"), ".env.ci.example", id="own"),
        pytest.param(".env.ci", (".env.example", ".env.test"), ".env.example", id="common"),
        pytest.param("ci.env", ("example.env",), "example.env", id="name-before-ending"),
        pytest.param(".env", (".env.sample",), ".env.sample", id="sample"),
        pytest.param(".env", (".env.test",), None, id="none"),
        pytest.param(".env.example", (".env.sample",), None, id="an-example-has-none"),
    ],
)
def test_the_example_of_a_file_is_found_beside_it(
    tmp_path: Path, name: str, present: tuple[str, ...], example: str | None
) -> None:
    for one in (name, *present):
        write(tmp_path, one, "A=1\n")

    assert example_of(tmp_path / name) == (example and tmp_path / example)


def test_a_file_and_its_example_differ_by_keys_alone(tmp_path: Path) -> None:
    example = write(tmp_path, ".env.example", "B=change-me\nA=\nC=1\n# OPTIONAL=1\n")
    first = write(tmp_path, ".env.base", "A=1\nZ=1\nOPTIONAL=2\n")
    second = write(tmp_path, ".env.ci", "C=3\nY=1\n")

    gaps = example_gaps((first, second))

    assert gaps == (ExampleGap(example, (first, second), missing=("B",), undocumented=("Y", "Z")),)


def test_a_file_that_has_all_keys_of_its_example_has_no_gap(tmp_path: Path) -> None:
    write(tmp_path, ".env.example", "A=change-me\n# B=optional\n")
    path = write(tmp_path, ".env.ci", "A=real\n")

    assert example_gaps((path,)) == ()


def test_a_key_that_is_encrypted_is_told_apart_however_it_is_written() -> None:
    for raw in (b"B=encrypted:abc", b"export B=encrypted:abc", b"B = 'encrypted:abc'"):
        with pytest.raises(CouldNotTell, match=r"line 1: B is encrypted by dotenvx"):
            parse(PATH, raw)


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.hunter2ttt"


@pytest.mark.parametrize(
    "line",
    [
        JWT,
        f"export {JWT}",
        f"{JWT}=",
        "hunter2uuu",
        "hunter2Uuu",
        "hunter2.uuu",
        "hunter-2",
        "HUNTER2UUU",
        "AKIAHUNTER2HUNTER2HU",
        "AKIAHUNTER2HUNTER2HU=x",
        "ghp_hunter2hunter2hunter2hunter2hunt=",
        "hunter2Ab==",
        "wJalrXUtnFEMIK7MDENGbPx=",
        "deadbeefdeadbeefdeadbeef",
    ],
)
def test_a_value_on_a_line_of_its_own_is_refused_and_not_told(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(PATH, f"A=1\nJWT=\n{line}\n".encode())

    assert f"{PATH}, line 3:" in str(caught.value)
    assert line.rstrip("=") not in str(caught.value)
    assert "unter2" not in str(caught.value)


@pytest.mark.parametrize("line", ["hunter2uuu", "export hunter2uuu", "hunterTwo", "hunter_two"])
def test_a_bare_line_that_may_be_a_name_goes_by_its_number(line: str) -> None:
    assert parse(PATH, f"A=1\n{line}\n".encode()).entries == (
        Entry("A", "1", 1),
        Entry("line 2", None, 2),
    )


@pytest.mark.parametrize(
    "line", ["HOSTVAR", "export HOSTVAR", "_A", "https_proxy", "AWS_S3_BUCKET", "NODE14"]
)
def test_a_bare_line_that_is_a_name_stays_one(line: str) -> None:
    name = line.removeprefix("export ")

    assert parse(PATH, f"A=1\n{line}\n".encode()).values == {"A": "1", name: None}


@pytest.mark.parametrize("neighbour", [".env.example", ".env.test", "ci.env"])
def test_a_bare_name_that_a_neighbour_assigns_is_known(tmp_path: Path, neighbour: str) -> None:
    path = write(tmp_path, ".env.ci", "A=\nregion1\nzone2\n")
    write(tmp_path, neighbour, "# region1=eu\nexport zone2=a\n")

    assert read(path).values == {"A": "", "region1": None, "zone2": None}


@pytest.mark.parametrize(
    "line",
    [
        "logLevel=", "oauth2ClientSecretKey=", "apiV2Url=x", "K==", "a.b=", "a[0]=",
        "ACCESS_TOKEN_EXPIRE_MINUTES=", "POSTGRES14_REPLICATIONSLOT2XYZ=1",
        "spring.datasource.hikari.maximum-pool-size=5",
        "ConnectionStrings__DefaultConnection=", "authentication.handlers.V2.TokenHandler=x",
    ],
)  # fmt: skip
def test_a_long_name_is_no_value(line: str) -> None:
    assert parse(PATH, line.encode()).values.keys() == {line.partition("=")[0]}
