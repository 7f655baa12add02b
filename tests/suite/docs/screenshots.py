"""The pictures of docs/reports.md: `python tests/suite/docs/screenshots.py` makes them.

A clone of this repository is built, then gets a change that makes its images stale, and
runs green; then a test that fails, and runs red. Needs an engine and Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

from browser import find

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
LARGEST = 150_000
ONE_TEST = """

def test_an_answer_is_what_it_should_be() -> None:
    answer = {"status": 500, "detail": "the database is away"}

    assert answer["status"] == 401
"""
# Picture: the run, the size of the window, and whether it is dark.
PICTURES = {
    "report-green": ("green", 1000, 1000, False),
    "report-red": ("red", 1000, 1000, True),
    "report-green-phone": ("green", 390, 900, True),
    "report-red-phone": ("red", 390, 900, False),
}


def run(clone: Path, *command: str, code: int = 0) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("UNSTALE_", "GITHUB_"))}
    done = subprocess.run(command, cwd=clone, env=kept, check=False)
    assert done.returncode == code, (command, done.returncode)


def commit(clone: Path, words: str) -> None:
    who = ("-c", "user.name=Example", "-c", "user.email=dev@example.com")
    run(clone, "git", *who, "commit", "--quiet", "--all", "--message", words)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def pages(clone: Path, inv: str) -> dict[str, Path]:
    """The report of a run on images that were stale, and of one with a failing test."""
    tests = "tests/api/test_api_keys_endpoints.py"
    run(clone, inv, "image.build")
    append(clone / "docker" / "service" / "accounts" / "models.py", "\n# One more line.\n")
    commit(clone, "Say one more thing of the models")
    found = {"green": clone / "green.html", "red": clone / "red.html"}
    run(clone, inv, "test.integration", "--", tests)
    run(clone, inv, "receipt.show", "--html", str(found["green"]))
    append(clone / tests, ONE_TEST)
    commit(clone, "Expect a 401")
    run(clone, inv, "test.integration", "--", tests, code=1)
    run(clone, inv, "receipt.show", "--html", str(found["red"]))
    return found


def main() -> None:
    inv = str(Path(sys.executable).with_name("inv"))
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "example"
        run(ROOT, "git", "clone", "--quiet", str(ROOT), str(clone))
        if (written := ROOT / ".unstale" / "images.env").exists():
            (clone / ".unstale").mkdir()
            shutil.copy(written, clone / ".unstale")
        try:
            shown = pages(clone, inv)
        finally:
            run(clone, inv, "image.clean", "--yes")
        browser = find(Path(place))
        IMAGES.mkdir(exist_ok=True)
        for name, (kind, width, height, dark) in PICTURES.items():
            picture, said = browser.screenshot(shown[kind], width, height, dark=dark)
            assert not said, said
            assert picture.stat().st_size < LARGEST, (name, picture.stat().st_size)
            shutil.copy(picture, IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
