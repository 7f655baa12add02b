"""What is added to an env file, read back by compose and by python-dotenv."""

from __future__ import annotations

import random
from pathlib import Path

from dialect_cases import FILES, SEED
from dialects import Compose, compose_values, dotenv_values

from unstale.parity.sync import Document, Unwritable, apply, assignment, plan

_LETTERS = 'ab1$$${}A\\\\\'""## \t`=:;!%&?*\u00e9\u00a0\u3000n/@,.-~^|<>()[]'
_ENDS = ("\n", "\r\n")


def random_values(chance: random.Random, count: int) -> dict[str, str]:
    return {
        f"K{number}": "".join(chance.choices(_LETTERS, k=chance.randint(0, 7)))
        for number in range(count)
    }


def test_every_value_that_is_written_is_read_back_by_both(tmp_path: Path) -> None:
    values = random_values(random.Random(SEED), 10 * FILES)
    written = {key: assignment(key, value) for key, value in values.items()}
    lines = {key: line for key, line in written.items() if not isinstance(line, Unwritable)}
    path = tmp_path / "written.env"

    for end in _ENDS:
        path.write_bytes("".join(line + end for line in lines.values()).encode())

        wanted = {key: values[key] for key in lines}
        assert dotenv_values(path.read_bytes()) == wanted
        assert compose_values(Compose(tmp_path), {"f": path}) == {"f": wanted}
    assert len(lines) > 0.6 * len(values)


def test_a_synced_file_has_its_own_values_and_the_examples_in_both(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    files, wanted = {}, {}
    for number in range(FILES // 5):
        name = f"f{number}"
        files[name] = tmp_path / f"{name}.env"
        wanted[name] = _synced(chance, files[name])

    got = compose_values(Compose(tmp_path), files)

    assert got == wanted
    assert {name: dotenv_values(path.read_bytes()) for name, path in files.items()} == wanted


def _synced(chance: random.Random, path: Path) -> dict[str, str]:
    """Write a random file with the half of an example, and give what both should read."""
    end = chance.choice(_ENDS)
    values = random_values(chance, 8)
    written = {key: assignment(key, value) for key, value in values.items()}
    lines = {key: line for key, line in written.items() if not isinstance(line, Unwritable)}
    example = "".join(f"# About {key}.\n{line}\n" for key, line in lines.items())
    kept = sorted(lines, key=lambda _: chance.random())[: len(lines) // 2]
    text = end.join(f"{key}='own $ value' # c" for key in kept) + chance.choice((end, ""))
    made = plan(Document(path, text), Document(path, example))
    synced = apply(text, made)
    path.write_bytes(synced.encode())

    assert made.refused == ()
    assert apply(synced, plan(Document(path, synced), Document(path, example))) == synced
    return {key: "own $ value" if key in kept else values[key] for key in lines}


def test_references_that_are_copied_are_expanded_alike(tmp_path: Path) -> None:
    example = 'HOST=h\nURL=http://${HOST}:${NOPE}/\nTITLE="at ${HOST} # 1"\nLATER=${Z}\n'
    text = apply("Z=z\n", plan(Document(tmp_path, "Z=z\n"), Document(tmp_path, example)))
    path = tmp_path / "referring.env"
    path.write_text(text)

    got = compose_values(Compose(tmp_path), {"f": path})["f"]

    wanted = {"Z": "z", "HOST": "h", "URL": "http://h:/", "TITLE": "at h # 1", "LATER": "z"}
    assert got == wanted
    assert dotenv_values(path.read_bytes()) == wanted
