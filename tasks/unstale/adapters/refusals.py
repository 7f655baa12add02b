"""Why compose refuses a project, told without a value. Pure.

Compose quotes what it can't read: a whole line of an env file, the text around a
``${``, a number that is none. Each may be a secret. So its words are never passed
on: known ones become ours, with file, line and key, and unknown ones are left out.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale.adapters.docker_words import meaningful
from unstale.errors import Fault
from unstale.mask import is_secret

__all__ = ["UNKNOWN", "refusal", "refused_as"]

UNKNOWN = "Its words are not shown, since they may quote a secret."

Texts = Mapping[str, str]
"""The files that compose read, by the names they are shown with."""

_NAME = r"[A-Za-z_][\w.\-]{0,63}"
_PATH = r"(?P<path>[\w.\[\]/\-]+)"
_ASSIGNMENT = re.compile(rf"\s*(?:export\s+|-\s+)?[\"']?(?P<key>{_NAME})[\"']?\s*[=:]\s*")
_OPEN_VARIABLE = "`${…}` is not closed, or holds what no variable's name may hold."
_YAML = re.compile(r"\.ya?ml$")


def refusal(words: str, texts: Texts) -> str:
    """Say what compose finds wrong in *texts*, from its standard error *words*.

    What is quoted is looked for in *texts*, and only its place is told.
    """
    return _said(_meaning(words), texts)


def refused_as(words: str) -> Fault:
    """Which fault compose's standard error *words* stand for."""
    return _fault(_meaning(words))


def _meaning(words: str) -> str:
    return "\n".join(meaningful(words.splitlines())).strip()


def _said(text: str, texts: Texts) -> str:
    for rule in _RULES:
        if found := rule.pattern.match(text):
            return rule.say(found, texts)
    return UNKNOWN


def _fault(text: str) -> Fault:
    for rule in _RULES:
        if found := rule.pattern.match(text):
            return rule.fault or _fault(found["rest"])
    return Fault.CONTENT


# Where it is


def _at(quoted: str, texts: Texts) -> str:
    """Where the first line of *quoted* is assigned: ``FILE, line 3: KEY: ``."""
    wanted = quoted.split("\n", 1)[0]
    for file, number, line in _lines(texts):
        found = _ASSIGNMENT.match(line)
        value = line[found.end() :] if found else ""
        if found and wanted and value.lstrip("\"'").startswith(wanted.lstrip("\"'")):
            return f"{file}, line {number}: {_key(found['key'])}: "
    return ""


def _lines(texts: Texts) -> Iterator[tuple[str, int, str]]:
    for file, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            yield file, number, line


def _on_line(number: str, texts: Texts, is_wrong: Callable[[str], bool]) -> str:
    """``FILE, line 3: `` where only one file can have a wrong line of that number."""
    hits = [f for f, n, line in _lines(texts) if str(n) == number and is_wrong(line)]
    env_files = [file for file in texts if not _YAML.search(file)]
    possible = hits or env_files
    file = possible[0] if len(possible) == 1 else "An env file"
    return f"{file}, line {number}: "


def _compose_file(texts: Texts) -> str:
    files = [file for file in texts if _YAML.search(file)]
    return files[0] if len(files) == 1 else "A compose file"


def _key(text: str) -> str:
    """*text* if it is a name, and not a value on a line of its own."""
    return text if re.fullmatch(_NAME, text) and not is_secret("", text) else "a key"


def _is_plain(name: str, texts: Texts) -> bool:
    """Whether *name* is a name, and was written as such rather than put in from a variable."""
    known = any(name in text for file, text in texts.items() if _YAML.search(file))
    return known and re.fullmatch(_NAME, name) is not None


# A path may be made of a variable's value, so it is told as somebody wrote it

_REFERENCE = r"(?:\$\{[^{}]*\}|\$\w+)"
_TOKEN = re.compile(rf"(?:{_REFERENCE}|[^\s\"'\[\]{{}},])+")


def _path(path: str, texts: Texts) -> str:
    """*path* if it holds no variable's value, else as a compose file has it, else nothing."""
    written = [w for f, text in texts.items() if _YAML.search(f) for w in _TOKEN.findall(text)]
    folders = {Path(file).parent for file in texts}
    plain = {os.path.normpath(f / w) for f in folders for w in written if "$" not in w}
    if path in texts or path in plain:
        return path
    fitting = sorted((-_literals(w), w) for w in {*written} if _may_be(w, path))
    # A default may be a secret as well.
    return re.sub(r"(\$\{\w+)[^{}]*\}", r"\1}", fitting[0][1]) if fitting else ""


def _literals(written: str) -> int:
    return len(re.sub(_REFERENCE, "", written))


def _may_be(written: str, path: str) -> bool:
    """Whether *path* ends in *written*, whatever its variables are."""
    end = re.sub(r"^(?:\.{1,2}/)+", "", written)
    pieces = (re.escape(piece) for piece in re.split(_REFERENCE, end))
    return bool(_literals(end)) and re.search(rf"(?:^|/){'.*'.join(pieces)}$", path) is not None


def _head(file: str | None, texts: Texts) -> str:
    """``FILE: ``, or nothing where compose names none."""
    return f"{_path(file, texts) or 'A compose file'}: " if file else ""


def _no_base(found: re.Match[str], texts: Texts) -> str:
    file = _head(found["file"], texts)
    return f"{file}the service that {found['service']} extends is not there."


def _no_file(kind: str) -> Callable[[re.Match[str], Texts], str]:
    def say(found: re.Match[str], texts: Texts) -> str:
        path = _path(found["file"], texts)
        if path:
            return f"There is no {kind} {path}."
        article = "An" if kind[0] in "aeiou" else "A"
        return f"{article} {kind} that is named is not there."

    return say


# What is wrong, in the order of `_RULES`


def _in_env_file(found: re.Match[str], texts: Texts) -> str:
    file = _path(found["file"], texts) or "An env file"
    text = _said(found["rest"], {file: texts.get(found["file"], "")})
    return text if text.startswith(f"{file}, ") else f"{file}: {text}"


def _open_quote(found: re.Match[str], texts: Texts) -> str:
    return _sentence(_at(found["text"], texts), "a quote is opened and not closed.")


def _name_with_space(found: re.Match[str], texts: Texts) -> str:
    def is_wrong(line: str) -> bool:
        return " " in line.partition("=")[0].removeprefix("export ").strip()

    return _on_line(found["line"], texts, is_wrong) + "a name with a space in it."


def _wrong_name(found: re.Match[str], texts: Texts) -> str:
    def is_wrong(line: str) -> bool:
        return bool(line.strip()) and _ASSIGNMENT.match(line) is None

    return _on_line(found["line"], texts, is_wrong) + "a name with a character that none may have."


def _template(found: re.Match[str], texts: Texts) -> str:
    try:
        quoted = str(json.loads(found["text"]))
    except (ValueError, RecursionError):  # quoted as Go does, which JSON nearly is
        quoted = found["text"].strip('"')
    return _sentence(_at(quoted, texts), _OPEN_VARIABLE)


def _interpolation(found: re.Match[str], texts: Texts) -> str:
    place = re.sub(rf"{_NAME}: $", "", _at(found["text"], texts))
    return f"{place}{found['path'].rstrip('.')}: {_OPEN_VARIABLE}"


def _while_interpolating(found: re.Match[str], texts: Texts) -> str:
    return f"{found['path']}: {_said(found['rest'], texts)}"


def _required(found: re.Match[str], texts: Texts) -> str:
    """A message is shown as it is written: compose also puts variables into it."""
    message = found["message"] or ""
    is_written = any(f"?{message}}}" in text for text in texts.values())
    reason = f": {message}" if message and is_written else "."
    return f"{found['name']} is required, and not set or empty{reason}"


def _cast(_found: re.Match[str], _texts: Texts) -> str:
    return "the value is not of the type that is needed."


def _unknown_anchor(found: re.Match[str], texts: Texts) -> str:
    lines = (f"{f}, line {n}: " for f, n, line in _lines(texts) if f"*{found['name']}" in line)
    return _sentence(next(lines, ""), "an alias for which there is no anchor.")


def _unmarshal(found: re.Match[str], texts: Texts) -> str:
    file = _compose_file(texts)
    return f"{file}, line {found['line']}: a {found['tag']} where something else is expected."


def _twice(found: re.Match[str], texts: Texts) -> str:
    first = f"{_key(found['key'])} is there twice, first in line {found['first']}."
    return f"{_compose_file(texts)}, line {found['line']}: {first}"


def _yaml(found: re.Match[str], texts: Texts) -> str:
    line = f", line {found['line']}" if found["line"] else ""
    return f"{_compose_file(texts)}{line}: {found['words']}."


def _unknown_property(found: re.Match[str], texts: Texts) -> str:
    name = _key(found["name"])
    place = found["path"] or "at the top"
    return f"{_head(found['file'], texts)}{place}: compose does not know {name} there."


def _must(found: re.Match[str], texts: Texts) -> str:
    file = _head(found["file"], texts)
    return f"{file}{found['path']} {found['rest']}."


def _invalid(found: re.Match[str], texts: Texts) -> str:
    file = _head(found["file"], texts)
    return f"{file}{found['path'].rstrip('.:')} is not what compose expects there."


def _undefined(found: re.Match[str], texts: Texts) -> str:
    name = found["name"].strip('"')
    named = f" {name}" if _is_plain(name, texts) else ""
    return f"The service {found['service']} names a {found['kind']}{named} that is not defined."


def _port(found: re.Match[str], texts: Texts) -> str:
    """With the one line of a compose file that has what compose quotes."""
    text = found["text"]
    lines = [(f, n) for f, n, line in _lines(texts) if text and text in line and _YAML.search(f)]
    place = f"{lines[0][0]}, line {lines[0][1]}: " if len(lines) == 1 else ""
    return _sentence(place, "a port is written as none is.")


def _empty(_found: re.Match[str], texts: Texts) -> str:
    hollow = (f for f, text in texts.items() if _YAML.search(f) and not _without_comments(text))
    return f"{next(hollow, 'A compose file')} is empty."


def _without_comments(text: str) -> str:
    return "".join(line.partition("#")[0] for line in text.splitlines()).strip("\ufeff \t-.")


def _line_without_name(_found: re.Match[str], texts: Texts) -> str:
    lines = (f"{f}, line {n}: " for f, n, line in _lines(texts) if line.lstrip().startswith("="))
    return _sentence(next(lines, "An env file: "), "a line that begins with `=`.")


def _verbatim(found: re.Match[str], _texts: Texts) -> str:
    return f"{found['words']}."


def _says(text: str) -> Callable[[re.Match[str], Texts], str]:
    """What takes nothing from the words but ``{file}`` and the like."""

    def say(found: re.Match[str], _texts: Texts) -> str:
        return text.format(**found.groupdict())

    return say


def _sentence(place: str, text: str) -> str:
    return f"{place}{text}" if place else text[0].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Words of compose, what is said of them, and what fault they are."""

    pattern: re.Pattern[str]
    say: Callable[[re.Match[str], Texts], str]
    fault: Fault | None
    """None: that of the words in the group ``rest``."""


def _rule(
    pattern: str,
    say: Callable[[re.Match[str], Texts], str],
    fault: Fault | None = Fault.CONTENT,
) -> _Rule:
    return _Rule(re.compile(pattern, re.DOTALL), say, fault)


_SERVICE = r"service \"?(?P<service>[\w.\-]+)\"?"
_VALIDATING = rf"(?:validating (?P<file>[^\n]+?): )?{_PATH}"

# Recorded from compose 2.26.1. The first that fits counts.
_RULES = (
    _rule(r"failed to read (?P<file>[^\n]+?): (?P<rest>.*)", _in_env_file, None),
    _rule(r"line \d+: unterminated quoted value (?P<text>.*)", _open_quote),
    _rule(r"line (?P<line>\d+): key cannot contain a space", _name_with_space),
    _rule(r"line (?P<line>\d+): unexpected character .* in variable name", _wrong_name),
    _rule(r"[Ii]nvalid template: (?P<text>.*)", _template),
    _rule(
        rf"invalid interpolation format for {_PATH}(?:\.?\nYou may[^\n]*\n|: )\"?(?P<text>.*)",
        _interpolation,
    ),
    _rule(rf"error while interpolating {_PATH}: (?P<rest>.*)", _while_interpolating, None),
    _rule(
        rf"required variable (?P<name>{_NAME}) is missing a value(?:: (?P<message>.*))?",
        _required,
        Fault.CONFIGURATION,
    ),
    _rule(r"failed to cast to expected type", _cast),
    _rule(r"yaml: unknown anchor '(?P<name>[^']*)' referenced", _unknown_anchor),
    _rule(
        r"yaml: unmarshal errors:\n +line (?P<line>\d+): cannot unmarshal !!(?P<tag>\w+)",
        _unmarshal,
    ),
    _rule(
        r"yaml: unmarshal errors:\n +line (?P<line>\d+): mapping key \"(?P<key>.*)\""
        r" already defined at line (?P<first>\d+)",
        _twice,
    ),
    # The scanner's own words, of which none holds a part of the text.
    _rule(r"yaml: (?:line (?P<line>\d+): )?(?P<words>[A-Za-z ,\-\d]+)$", _yaml),
    _rule(
        rf"validating (?P<file>[^\n]+?): (?:\(root\)|{_PATH})"
        r" Additional property (?P<name>.*) is not allowed",
        _unknown_property,
    ),
    _rule(rf"{_VALIDATING}:? (?P<rest>must be an? [a-z, ]+|unexpected type [a-z]+)$", _must),
    _rule(r"validating (?P<file>[^\n]+?): (?P<path>[\w.\[\]\-]+) ", _invalid),
    _rule(
        r"(?P<file>)decoding failed due to the following error\(s\):\s+error decoding "
        r"'(?P<path>[\w.\[\]\-]+)'",
        _invalid,
    ),
    _rule(r"env file (?P<file>[^\n]+) not found: ", _no_file("env file"), Fault.MISSING_FILE),
    _rule(
        r"(?:open|stat) (?P<file>[^\n]+): no such file or directory",
        _no_file("file"),
        Fault.MISSING_FILE,
    ),
    _rule(
        rf"{_SERVICE} has neither an image nor a build context",
        _says("The service {service} has neither an image nor a build."),
    ),
    _rule(
        rf"{_SERVICE} (?:refers to|depends on) undefined (?P<kind>[a-z]+) (?P<name>[^\s:]+)",
        _undefined,
    ),
    _rule(rf"(?P<words>{_SERVICE} declares mutually exclusive `\w+` and `\w+`)", _verbatim),
    _rule(
        rf"cannot extend {_SERVICE} in (?P<file>[^\n]+?): service",
        _no_base,
    ),
    _rule(r"(?P<words>dependency cycle detected: [\w.\-]+(?: -> [\w.\-]+)+)$", _verbatim),
    _rule(
        r"(?:Invalid (?:containerPort|hostPort|proto|ip address|port)|No port specified)"
        r"(?:: (?P<text>[^\n]*))?",
        _port,
    ),
    _rule(r"invalid spec: ", _says("A volume is written as none is.")),
    _rule(r"Top-level object must be a mapping", _says("A compose file is no mapping.")),
    _rule(r"empty compose file", _empty),
    _rule(r"setenv: invalid argument", _line_without_name),
    _rule(
        rf"{_PATH}: one of file\|environment must be set",
        _says("{path}: one of file and environment must be set."),
    ),
    _rule(r"Non-string key in (?P<path>[\w.\[\]\-]+): ", _says("{path}: a key that is no text.")),
)
