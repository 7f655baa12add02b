"""Dockerfiles, ignore files, and what stamps and notes of builds hold."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale.compose import BuildSpec
from unstale.facts import ImageFact
from unstale.image import (
    dockerfile,
    dockerignore,
    explain,
    goglob,
    goregexp,
    imageconfig,
    layers,
    ledger,
    manifest,
    program,
    reference,
    shell,
    statements,
    transfer,
)
from unstale.image.contexts import Contexts
from unstale.image.inputs import build_inputs
from unstale.image.listing import pack
from unstale.image.proof import Proof, Proofs
from unstale.image.statcache import _MAGIC, StatCache, _sum
from unstale.mask import Mask
from unstale.pipeline import builds

HUGE = "9" * 5000
CONTEXTS = Contexts()
STAGES = """\
# syntax=docker/dockerfile:1
ARG A=1
FROM base:$A AS one
COPY --from=tools /a /b
RUN --mount=type=bind,source=a,target=/a <<E
echo $A
E
FROM one
COPY --chown=1:2 a b /c/
ENV A=b C="d e"
HEALTHCHECK --interval=1m30s --retries=3 CMD ["true"]
ONBUILD RUN x
"""
REST = """\
FROM a
ADD --checksum=sha256:0 https://example.com/a.tgz /x
SHELL ["/bin/sh", "-c"]
EXPOSE 80/tcp $P
VOLUME ["/data"]
USER a:b
WORKDIR ../c
LABEL a="b\\
c" d=e
STOPSIGNAL 9
"""
DOCKERFILES = (*soup.repository("docker/Dockerfile"), STAGES, REST)
WORDS = (
    *("FROM", "COPY", "ADD", "RUN", "ENV", "ARG", "LABEL", "ONBUILD", "HEALTHCHECK", "WORKDIR"),
    *("EXPOSE", "VOLUME", "SHELL", "CMD", "AS", "NONE", "--from=0", "--mount=type=bind,from=a"),
    *("--interval=1h2m", "--retries=", "--platform=$A", "<<A", "<<-'B'", "\nA\n", "base", "a=b"),
    *("FROM a\n", '["a"]', "${A:-b}", "${A%%*}", "${A//b/$c}", "# escape=`\n", "\\\n", "tools"),
    *(f"--from={HUGE}", f"--retries={HUGE}", f"--interval={HUGE}h", "\u00b2", "$\u0661"),
)


def fact(config: Mapping[str, Any]) -> ImageFact:
    return ImageFact(
        "sha256:1", (), None, {}, 0, "amd64", "linux", "", (), (), config=json.dumps(config)
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> BuildSpec:
    """A build with a small context, whose Dockerfile is inline."""
    root = tmp_path_factory.mktemp("context")
    for name in ("a", "b", "src/app.py", "tools/x"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("src")
    return BuildSpec(
        context=str(root),
        dockerfile="Dockerfile",
        dockerfile_inline="",
        target=None,
        args=(("A", "b"), ("P", ""), ("SHELL", None)),
        additional_contexts=(("far", "https://example.com"), ("tools", str(root / "tools"))),
        platforms=(),
    )


def local_image(name: str) -> ImageFact | None:
    config = {"Env": ["PATH=/bin"], "OnBuild": ["COPY src /src"] if "on" in name else []}
    return fact(config) if name.startswith("base") else None


@given(text=soup.lines(WORDS, DOCKERFILES), target=st.sampled_from([None, "one", "0", HUGE]))
@example(f"FROM a\nHEALTHCHECK --retries={HUGE} CMD x", None)
@example(f"FROM base\nCOPY --from={HUGE} a b", None)
@example(f"FROM {HUGE}", HUGE)
@example("FROM base\n# \ud800", None)
@example("FROM base AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(1000)), None)
@example("FROM base\nRUN " + "${A:-" * 3000, None)
def test_dockerfile(build: BuildSpec, text: str, target: str | None) -> None:
    spec = replace(build, dockerfile_inline=text, target=target)
    with soup.only_ours():
        found = build_inputs(spec, {"SHELL": "x"}, local_image, CONTEXTS)

        assert found.digest


@given(soup.lines(WORDS, DOCKERFILES), st.sampled_from(["\\", "`"]))
def test_trigger(text: str, escape: str) -> None:
    with soup.only_ours():
        dockerfile.parse_instruction(text, escape, 3)


@given(soup.texts(("type=bind,source=a", '"a,b","c""d",e'), (",", '"', "=")))
def test_mount(text: str) -> None:
    with soup.only_ours(ValueError):
        fields = dockerfile.csv_fields(text)
        quoted = ",".join('"' + field.replace('"', '""') + '"' for field in fields)

        assert dockerfile.csv_fields(quoted) == fields


_SHELL = ("$A", "${A}", "${A:-x}", "${A#*b}", "${A%%b?}", "${A/b/c}", "${A//*/$0}", "'a b'", '"$A"')


@given(soup.texts(words=_SHELL), st.sampled_from(["\\", "`"]), st.booleans(), st.booleans())
def test_words_of_a_shell(text: str, escape: str, quotes: bool, escapes: bool) -> None:
    variables = {"A": "abab*\n", "": "x"}
    with soup.only_ours(shell.Unresolved):
        shell.expand(text, variables, escape)
    with soup.only_ours(shell.Unresolved):
        shell.expand_words(text, variables, escape)
    with soup.only_ours(shell.Unresolved):
        shell.expand_body(text, variables)
    with soup.only_ours(shell.Unresolved):
        shell.tokens(text, quotes=quotes, escapes=escapes)


@given(soup.of_files(words=("<<A", "<<-", "'B'", '["a", 1]', "--a=b", "CMD", "ENV", "a=b")))
def test_statement(text: str) -> None:
    with soup.only_ours(statements.Malformed):
        found = statements.Lines(text)
        statements.syntax_of(found)
        list(statements.statements(found, statements.escape_of(found)))
    with soup.only_ours(statements.Malformed):
        name, _, rest = statements.split(text)
        statements.check_syntax(name, rest, "\\")
    with soup.only_ours(statements.Malformed):
        statements.json_words(text)
    statements.quoted_words(text, "`")
    statements.blank_words(text)
    statements.heredoc_of(text)
    statements.health(text)


_IGNORED = (
    "*",
    "**",
    "!",
    "/",
    "[a-z]",
    "[^",
    "]",
    "?",
    "\\",
    "\\Q",
    "\\E",
    "\\d",
    "{2}",
    "(",
    "|",
)
_IGNORE = ("# a\n.git\n**/__pycache__\n!src/*.py\n/docs/**\na?[b-d]\n", ".unstale\n\n!**\n")


@given(soup.of_files(_IGNORE, _IGNORED), soup.texts(words=("src", ".git", "/", "a.py")))
@example(f"[a]{{{HUGE}}}", "a")
@example(f"[a]{{1,{HUGE}}}", "a")
@example(f"[a]{'(' * 3000}", "a")
def test_ignore_file(text: str, path: str) -> None:
    with soup.only_ours():
        rules = dockerignore.parse(text)
        matched: tuple[bool, ...] = (False,) * len(rules)
        for depth in range(1, path.count("/") + 2):
            part = "/".join(path.split("/")[:depth])
            _, matched = dockerignore.step(part, rules, matched)
        dockerignore.may_hold_exceptions(path, rules)


@given(text=soup.texts(words=_IGNORED), name=soup.texts())
@example(text="*a" * 40 + "*b", name="a" * 250)
def test_pattern(text: str, name: str) -> None:
    with soup.only_ours(goglob.BadPattern):
        goglob.refuse_as_matching_a_dot(text)
    with soup.only_ours(goglob.BadPattern):
        goglob.translate(text).fullmatch(name)


_EXPRESSION = (
    "[[:alpha:]]",
    "[^a-z]",
    "\\x{41}",
    "\\101",
    "\\pL",
    "(",
    ")",
    "|",
    "{1,3}",
    "*",
    "$",
)


@given(soup.texts(words=_EXPRESSION), soup.texts())
@example("a{" + HUGE + "}", "")
@example("(" * 3000, "")
@example("\\x{" + "f" * 9000 + "}", "")
def test_expression(text: str, name: str) -> None:
    with soup.only_ours(goregexp.BadRegexp):
        goregexp.compile_search(text).search(name)


@given(
    soup.texts(("example.com:5000/a/b:1@sha256:" + "0" * 64, "python:3.13-slim"), (":", "@", "/"))
)
def test_reference(text: str) -> None:
    assert isinstance(reference.why_refused(text), str)
    assert program.familiar(program.familiar(text)) or not text


CONFIG = {
    "User": "a",
    "Env": ["A=b", "PATH=/bin"],
    "Cmd": ["x"],
    "Entrypoint": None,
    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5},
    "Labels": {"a": "b"},
    "ExposedPorts": {"80/tcp": {}},
    "OnBuild": ["RUN x"],
    "WorkingDir": "/a",
    "ArgsEscaped": True,
}


@given(soup.documents(CONFIG))
def test_config_of_a_stamp(config: Any) -> None:
    """What `fits` takes, all that comes after it can follow."""
    if imageconfig.fits(config):
        base = fact(config)
        imageconfig.key(imageconfig.start(base))
        imageconfig.needed(base, is_inherited=True)
        imageconfig.commands(base.config)


DIGEST = "0" * 64
MANIFEST = json.loads(
    manifest.to_json(
        manifest.Manifest(
            files={"a.py": "f644:" + "1" * 10, "b:c": "l777:" + "2" * 10},
            steps=((3, "0" * 32),),
            config="0" * 32,
            options="",
            bases={"base": (("sha256:" + DIGEST,), json.dumps({"Env": ["A=b"]}))},
        )
    )
)


@given(soup.json_texts(MANIFEST) | soup.texts(words=("eJw", "A" * 40, "=", "{")))
def test_stamp(text: str) -> None:
    found = manifest.decode(text)

    if found is not None:
        assert manifest.decode(manifest.to_json(found)) == found
        packed = manifest.encode(found)
        assert packed is None or manifest.decode(packed) == found
        manifest.base_facts(found)


def test_a_good_stamp_is_read() -> None:
    """Or the fuzzing of stamps would see nothing but refusals."""
    assert manifest.decode(json.dumps(MANIFEST)) is not None


SENT = {"version": 1, "name": "unstale-1", "files": {":a": {"file 1 2": "ab"}}}


@given(soup.json_texts(SENT))
def test_sent(text: str) -> None:
    found = transfer.decode(text)

    if found is not None:
        assert transfer.decode(transfer.encode(found)) == found
        transfer.next_send(found, {":a": ("file 1 2", "ab")})
        assert "/" not in found.name


RECORD = {
    "service": "a",
    "image_id": "sha256:1",
    "inputs": "v1:sha256:2",
    "revision": "3",
    "dirty": False,
    "built_at": "2026-01-01T00:00:00+00:00",
}


def _record(built_at: str) -> str:
    return json.dumps(RECORD | {"built_at": built_at})


@given(st.lists(soup.json_texts(RECORD), max_size=3).map("\n".join))
@example(_record("0001-01-01T00:00:00+14:00"))
@example(_record("9999-12-31T23:59:59-14:00"))
def test_ledger(text: str) -> None:
    found = ledger.parse_records(text)

    shown = [explain.clock(one.built_at) for one in sorted(found, key=lambda one: one.built_at)]
    assert all(map(str.isprintable, shown))


PROOF = {"image_id": "sha256:1", "inputs": "i", "compared": 3, "rewritten": ["/a"]}


@given(soup.json_texts(PROOF))
@example('{"image_id": "sha256:1", "inputs": "i", "compared": Infinity, "rewritten": []}')
def test_proof(text: str) -> None:
    kept = Proofs(cast("Any", soup.Texts({Path("/p/1.json"): text})), Path("/p"))

    assert isinstance(kept.of("sha256:1", "i"), Proof | None)


@given(soup.json_texts(["/a", "/b"]))
def test_rewritten(text: str) -> None:
    site = SimpleNamespace(state_folder=Path("/s"))
    files = soup.Texts({Path("/s/proofs/rewritten.a.json"): text})
    bench = cast("Any", SimpleNamespace(site=site, files=files))

    assert isinstance(builds._rewritten(bench, cast("Any", SimpleNamespace(name="a"))), frozenset)


STATS = {".": (pack([("a", (1, 2, 3, 4, 5, 33188))]), pack({"a": (b"1", b"")}), {})}
_PACKED = st.one_of(
    soup.values().map(pack),
    st.dictionaries(st.sampled_from([".", "a", ""]), soup.values(), max_size=2).map(pack),
    st.tuples(st.just(STATS["."][0]), soup.values(), soup.values()).map(
        lambda one: pack({".": one})
    ),
    st.just(pack(STATS)),
)


@given(soup.raw(), st.booleans(), _PACKED)
def test_stat_cache(head: bytes, is_whole: bool, body: bytes) -> None:
    """Its checksum tells damage; what has the right one may still be another thing.

    Bytes of marshal that nobody packed have no right checksum here: it promises nothing
    for those.
    """
    good = _MAGIC + _sum(body, b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stat"
        path.write_bytes((good if is_whole else head) + body)
        cache = StatCache.load(path)
        cache.scan(folder, ".")
        cache.scan_ahead(folder, ".", b"k")
        cache.save()


_LAYERS = (
    "RUN |2 A=b TOKEN=heron-72-lake /bin/sh -c pip install x # buildkit",
    "/bin/sh -c #(nop)  ENV A=b PASSWORD=heron-72-lake",
    "COPY a /b # buildkit",
)


@given(st.lists(soup.texts(_LAYERS, ("|", "=", "ENV ", "/bin/sh -c ")), max_size=3))
@example([f"|{HUGE} A=b "])
def test_history_of_layers(found: list[str]) -> None:
    shown = layers.masked_history([*found, _LAYERS[0]], Mask())

    assert not any(re.search("heron-72-lake", one) for one in shown[-1:])
