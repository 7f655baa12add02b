"""A headless Chromium that looks at pages: what it complains of, and how they are laid out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Browser", "Look", "find", "rows_of"]

Look = dict[str, Any]
"""What was measured of a page."""

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--v=0"),
)
# CI installs it while other tests run: .ci/run says so, and when that failed.
_INSTALLED_S = 300.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")

# What is measured of each page, in a frame of its own, so that the page stays as it is.
_SCRIPT = """
const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => {
  const part = c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
};
const contrast = (a, b) => {
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05);
};
const behind = (view, element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = rgb(view.getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const look = frame => {
  const view = frame.contentWindow, page = view.document, root = page.documentElement;
  const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  const faint = [], wide = [];
  let seen = 0;
  while (texts.nextNode()) {
    const words = texts.currentNode.textContent.trim(), owner = texts.currentNode.parentElement;
    if (!words || ["STYLE", "TITLE", "title", "desc"].includes(owner.tagName)) continue;
    const style = view.getComputedStyle(owner);
    const colour = rgb(owner.closest("svg") ? style.fill : style.color).slice(0, 3);
    const ratio = contrast(colour, behind(view, owner));
    seen += 1;
    if (ratio < 4.5) faint.push([words.slice(0, 40), Math.round(ratio * 100) / 100]);
    const box = owner.getBoundingClientRect();
    if (box.right > root.clientWidth + 1 && !owner.closest("figure"))
      wide.push([owner.tagName, words.slice(0, 40), box.right]);
  }
  return {
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches, texts: seen,
    page: view.getComputedStyle(page.body).backgroundColor,
    width: root.clientWidth, scrolls: root.scrollWidth, faint, wide,
    scripts: view.planted === undefined ? [] : ["ran"],
  };
};
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(look);
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


class Browser:
    """Chromium, with a profile of its own for each start."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._starts = 0

    def _start(self, *arguments: str) -> tuple[str, str]:
        self._starts += 1
        profile = self._folder / f"profile{self._starts}"
        # A bus that is not there it would look for, and complain.
        environ = {**os.environ, "HOME": str(self._folder)}
        done = subprocess.run(
            [self._binary, *_FLAGS, f"--user-data-dir={profile}", *arguments],
            check=False,
            capture_output=True,
            timeout=120,
            env=environ,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == 0, err
        return out, err

    def screenshot(self, page: Path, width: int, height: int, *, dark: bool) -> tuple[Path, str]:
        """A picture of *page*, and what its console said meanwhile."""
        picture = self._folder / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png"
        _, err = self._start(
            f"--window-size={width},{height}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--screenshot={picture}",
            page.as_uri(),
        )
        said = [line for line in err.splitlines() if ":CONSOLE:" in line]
        return picture, "\n".join(said)

    def looks(self, frames: Sequence[tuple[str, int, bool]]) -> tuple[Look, ...]:
        """How each page is laid out: the page, its width, and whether it is dark there."""
        shown = "".join(
            f'<iframe style="border: 0; width: {width}px; height: 4000px; '
            f'color-scheme: {"dark" if dark else "light"}" srcdoc="{escape(page)}"></iframe>'
            for page, width, dark in frames
        )
        harness = self._folder / f"harness{self._starts}.html"
        harness.write_text(
            f"<!DOCTYPE html><meta charset='utf-8'><body>{shown}"
            f"<pre id='found'></pre><script>{_SCRIPT}</script>",
            encoding="utf-8",
        )
        out, _ = self._start("--dump-dom", "--virtual-time-budget=10000", harness.as_uri())
        found = re.search(r'<pre id="found">(.+?)</pre>', out, re.DOTALL)
        assert found, out[-2000:]
        return tuple(json.loads(unescape(found[1])))


def find(folder: Path) -> Browser:
    """A browser; without one a test is skipped, and fails in CI."""
    failed = Path(__file__).parents[3] / ".unstale" / "chromium.failed"
    deadline = time.monotonic() + (_INSTALLED_S if os.environ.get("CI") else 0)
    while True:
        binary = next(filter(None, map(shutil.which, _NAMES)), None)
        # While it is being unpacked it is there, and does not start.
        if (
            binary
            and subprocess.run([binary, "--version"], capture_output=True, check=False).returncode
            == 0
        ):
            return Browser(binary, folder)
        if time.monotonic() > deadline or failed.is_file():
            break
        time.sleep(1)
    if os.environ.get("CI"):
        pytest.fail("There is no Chromium in CI, which is to install it: see .ci/run.")
    pytest.skip("There is no Chromium here: apt-get install chromium")


def rows_of(picture: Path) -> set[bytes]:
    """The different rows of a PNG, as it has them."""
    raw = picture.read_bytes()
    width, height = (int.from_bytes(raw[at : at + 4]) for at in (16, 20))
    data, at = b"", 8
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4])
        if raw[at + 4 : at + 8] == b"IDAT":
            data += raw[at + 8 : at + 8 + size]
        at += size + 12
    pixels = zlib.decompress(data)
    line = len(pixels) // height
    assert width
    return {pixels[n * line + 1 : (n + 1) * line] for n in range(height)}
