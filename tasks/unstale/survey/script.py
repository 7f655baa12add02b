"""A shell script as the commands that are in it, each with its line. Pure; nothing is run.

No shell: what it can't follow it hands on as it is written. Each command is there
exactly once, whatever is around it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

__all__ = ["Block", "Command", "assigned", "commands", "expanded"]

_OPERATORS = (";;&", ";;", "&&", "||", "|&", ";&", "\n", ";", "&", "|", "(", ")")
_REDIRECTION = re.compile(r"(?:\d*|&)(?:<<<|>>|>\||<>|>&|<&|>|<)")
_HEREDOC = re.compile(r"\d*<<(-?)[ \t]*(\\?)(['\"]?)([\w.+-]+)\3")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_OPENS = {"if": "if", "while": "loop", "until": "loop", "for": "loop", "select": "loop"}
_CLOSES = {"fi": "if", "done": "loop", "esac": "case", "}": "group", ")": "group"}
_BETWEEN = frozenset({"then", "else", "do", "!", "time", "{", "in"})
_DEEPEST = 40
_LONGEST = 2000
_REFERENCE = re.compile(r"\$(?:\{(\w+(?:\[@\])?)(?::?[-=][^}]*)?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Block:
    """What a command stands in: a loop, a branch, a function, an arm of a case."""

    kind: str
    """One of: if, loop, case, arm, function, group."""
    line: int
    words: tuple[str, ...] = ()
    """Its condition, its patterns or its name."""


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command."""

    line: int
    words: tuple[str, ...]
    blocks: tuple[Block, ...] = ()
    """From outside inwards."""
    piped: tuple[Command, ...] = ()
    """Those that its output goes to."""
    inner: tuple[Command, ...] = ()
    """Those whose output its words have: ``$(...)``."""
    is_condition: bool = False

    @property
    def text(self) -> str:
        """The command in a line, with what it is piped to."""
        own = " ".join(
            _quoted(one) if not one or re.search(r"\s", one) else one for one in self.words
        )
        return " | ".join((own, *(one.text for one in self.piped)))

    def within(self, kind: str) -> Block | None:
        """The innermost block of *kind* around it."""
        return next((one for one in reversed(self.blocks) if one.kind == kind), None)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


@dataclass(frozen=True, slots=True)
class _Token:
    line: int
    text: str
    is_operator: bool = False
    is_quoted: bool = False


def commands(text: str, line: int = 1) -> tuple[Command, ...]:
    """The commands of *text*, whose first line has the number *line*."""
    return tuple(_Reader(list(_tokens(text, line))).read())


# --- tokens ---------------------------------------------------------------------------


def _tokens(text: str, line: int) -> Iterator[_Token]:  # noqa: C901 - a branch for each kind
    """The words and operators of *text*; redirections and comments are left out."""
    at, bodies = 0, list[tuple[str, bool]]()
    size = len(text)
    while at < size:
        char = text[at]
        if char in " \t\r":
            at += 1
        elif text.startswith("\\\n", at):
            at, line = at + 2, line + 1
        elif char == "#":
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif char == "\n":
            yield _Token(line, "\n", is_operator=True)
            at, line = at + 1, line + 1
            for word, is_stripped in bodies:
                at, line = _after_body(text, at, line, word, is_stripped=is_stripped)
            bodies = []
        elif (found := _HEREDOC.match(text, at)) and not text.startswith("<<<", at):
            bodies.append((found[4], bool(found[1])))
            at = found.end()
        elif found := _REDIRECTION.match(text, at):
            at = _after_target(text, found.end())
            line += text.count("\n", found.end(), at)
        elif text.startswith("((", at):
            end = text.find("))", at)
            end = size if end < 0 else end + 2
            yield _Token(line, text[at:end])
            line += text.count("\n", at, end)
            at = end
        elif operator := next((one for one in _OPERATORS if text.startswith(one, at)), ""):
            yield _Token(line, operator, is_operator=True)
            at += len(operator)
        else:
            end, word, is_quoted = _word(text, at)
            yield _Token(line, word, is_quoted=is_quoted)
            line += text.count("\n", at, end)
            at = end


def _after_body(text: str, at: int, line: int, word: str, *, is_stripped: bool) -> tuple[int, int]:
    """Where a here-document is over."""
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        row = text[at:end]
        at, line = min(end + 1, len(text)), line + (1 if end < len(text) else 0)
        if (row.lstrip("\t") if is_stripped else row).rstrip("\r") == word:
            break
    return at, line


def _after_target(text: str, at: int) -> int:
    """Where the target of a redirection is over."""
    while at < len(text) and text[at] in " \t":
        at += 1
    if at >= len(text) or text[at] == "\n":
        return at
    return max(_word(text, at)[0], at)


def _word(text: str, start: int) -> tuple[int, str, bool]:
    """The end of the word at *start*, the word without its quotes, and whether it had some.

    Substitutions stay as they are written. A quote without an end takes the rest.
    """
    out: list[str] = []
    at, is_quoted = start, False
    while at < len(text) and text[at] not in " \t\n\r;&|()<>":
        char = text[at]
        if char == "\\":
            out.append("" if text[at + 1 : at + 2] == "\n" else text[at + 1 : at + 2])
            at += 2
        elif char == "'":
            end = text.find("'", at + 1)
            end = len(text) if end < 0 else end
            out.append(text[at + 1 : end])
            at, is_quoted = end + 1, True
        elif char == '"':
            at = _double(text, at + 1, out)
            is_quoted = True
        elif char == "`" or text.startswith(("$(", "${"), at):
            end = _substitution(text, at)
            out.append(text[at:end])
            at = end
        else:
            out.append(char)
            at += 1
        if text[at : at + 1] == "(" and _ASSIGNMENT.fullmatch("".join(out)):  # an array
            end = _closed(text, at)
            out.append(text[at:end])
            at = end
    if at == start:  # a character that begins nothing
        return start + 1, text[start], False
    return min(at, len(text)), "".join(out), is_quoted


def _double(text: str, at: int, out: list[str]) -> int:
    """The end of a double-quoted part, whose content goes to *out*."""
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "`", "$", "\n"):
            out.append(text[at + 1].replace("\n", ""))
            at += 2
        elif text[at] == "`" or text.startswith(("$(", "${"), at):
            end = _substitution(text, at)
            out.append(text[at:end])
            at = end
        else:
            out.append(text[at])
            at += 1
    return at + 1


def _substitution(text: str, start: int) -> int:
    """Where a ``$(...)``, ``${...}`` or backquote is over; the end of *text* if nowhere."""
    if text[start] == "`":
        end = start + 1
        while end < len(text) and text[end] != "`":
            end += 2 if text[end] == "\\" else 1
        return min(end + 1, len(text))
    return _closed(text, start + 1)


def _closed(text: str, start: int) -> int:
    """Where the bracket at *start* is closed; the end of *text* if nowhere."""
    opening = text[start]
    closing = ")" if opening == "(" else "}"
    depth, at = 0, start
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "'" and opening == "(":
            end = text.find("'", at + 1)
            at = len(text) if end < 0 else end
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(text)


# --- commands -------------------------------------------------------------------------


class _Reader:
    """Goes through tokens once, and knows what it is in."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._blocks: list[Block] = []
        self._words: list[_Token] = []
        self._condition: Block | None = None
        self._found: list[Command] = []
        self._pipes = False

    def read(self) -> list[Command]:
        """All commands, in their order."""
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token.is_operator:
                self._operator(token)
            elif self._words or token.is_quoted or not self._keyword(token):
                self._words.append(token)
        self._end()
        return self._found

    def _operator(self, token: _Token) -> None:
        if self._words and self._words[0].text == "[[" and self._words[-1].text != "]]":
            self._words += [token] if token.text != "\n" else []
            return
        match token.text:
            case "(" if self._blocks and self._blocks[-1].kind == "case":
                return  # before a pattern
            case "(" if len(self._words) == 1 and self._peek() == ")":
                name = self._words.pop()
                self._at += 1
                self._function(name)
            case "(":
                self._end()
                self._open("group", token)
            case ")" if self._blocks and self._blocks[-1].kind == "case":
                patterns = tuple(word.text for word in self._words if word.text != "|")
                self._words = []
                self._open("arm", token, patterns)
            case ")":
                self._end()
                self._close("group")
            case "|" if self._blocks and self._blocks[-1].kind == "case":
                return  # between patterns
            case "|" | "|&":
                self._end(pipes=True)
            case ";;" | ";;&" | ";&":
                self._end()
                self._close("arm")
            case _:
                self._end()

    def _peek(self) -> str:
        following = self._tokens[self._at : self._at + 1]
        return following[0].text if following and following[0].is_operator else ""

    def _keyword(self, token: _Token) -> bool:  # noqa: C901 - a branch for each word
        """Take a word that begins, ends or divides something; False: it is none."""
        text = token.text
        if self._blocks and self._blocks[-1].kind == "case" and text != "esac":
            return False
        if text == "function":
            following = self._tokens[self._at : self._at + 1]
            if following and not following[0].is_operator:
                self._at += 1
                if self._peek() == "(":
                    self._at += 2
                self._function(following[0])
            return True
        if text == "case":
            self._open("case", token, self._until_in())
        elif text in ("for", "select"):
            self._open("loop", token, self._until_do())
        elif text in _OPENS:
            self._open(_OPENS[text], token)
            self._condition = self._blocks[-1]
        elif text == "elif":
            self._close("if")
            self._open("if", token)
            self._condition = self._blocks[-1]
        elif text in _CLOSES:
            self._close(_CLOSES[text])
        elif text in _BETWEEN:
            self._condition = None if text in ("then", "do", "else") else self._condition
            if text == "{" and not (self._blocks and self._blocks[-1].kind == "function"):
                self._open("group", token)
        else:
            return False
        return True

    def _function(self, name: _Token) -> None:
        self._open("function", name, (name.text,))

    def _until_in(self) -> tuple[str, ...]:
        return self._taken(("in",))

    def _until_do(self) -> tuple[str, ...]:
        return self._taken(("do",))

    def _taken(self, ends: tuple[str, ...]) -> tuple[str, ...]:
        taken: list[str] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token.text in ends and not token.is_quoted:
                break
            if not token.is_operator:
                taken.append(token.text)
        return tuple(taken)

    def _open(self, kind: str, token: _Token, words: tuple[str, ...] = ()) -> None:
        self._blocks.append(Block(kind, token.line, words))

    def _close(self, kind: str) -> None:
        kinds = ("group", "function") if kind == "group" else (kind,)
        if kind == "case" and self._blocks and self._blocks[-1].kind == "arm":
            self._blocks.pop()
        if self._blocks and self._blocks[-1].kind in kinds:
            self._blocks.pop()
        self._condition = None

    def _end(self, *, pipes: bool = False) -> None:
        """The command that was read so far is complete."""
        words, self._words = self._words, []
        takes, self._pipes = self._pipes, pipes
        if not words:
            return
        texts = tuple(word.text for word in words)
        is_condition = self._condition is not None
        if is_condition:
            self._conditioned(texts)
        inner = tuple(one for text in texts for one in _inner(text, words[0].line))
        made = Command(
            words[0].line, texts, tuple(self._blocks), (), inner, is_condition=is_condition
        )
        if takes and self._found:
            last = self._found[-1]
            self._found[-1] = replace(last, piped=(*last.piped, made))
        else:
            self._found.append(made)

    def _conditioned(self, texts: tuple[str, ...]) -> None:
        block = self._blocks[-1]
        self._blocks[-1] = replace(block, words=(*block.words, *texts))
        self._condition = self._blocks[-1]


def _inner(word: str, line: int, depth: int = 0) -> Iterator[Command]:
    """The commands of the substitutions in *word*."""
    at = 0
    while depth < _DEEPEST and (at := _first(word, at)) >= 0:
        end = _substitution(word, at)
        if word[at] == "`":
            yield from commands(word[at + 1 : end - 1], line)
        elif not word.startswith("$((", at):
            # make's own: $(shell ...) and its other functions
            at += 6 if word.startswith("$(shell ", at) else 0
            yield from commands(word[at + 2 : end - 1], line)
        at = end


def _first(word: str, at: int) -> int:
    found = [place for place in (word.find("$(", at), word.find("`", at)) if place >= 0]
    return min(found, default=-1)


# --- variables ------------------------------------------------------------------------


def assigned(found: tuple[Command, ...]) -> dict[str, str]:
    """What the commands set once, to one value; the rest nobody can tell without running them.

    Of an array it is what it is first: options add to that, or replace it.
    """
    values: dict[str, list[str]] = {}
    for one in found:
        words = one.words[1:] if one.words[0] in ("export", "readonly", "local") else one.words
        if all(_ASSIGNMENT.match(word) for word in words):
            for word in words:
                name, _, value = word.partition("=")
                values.setdefault(name.rstrip("+"), []).append(value)
    single = {name: each[0] for name, each in values.items() if len({*each}) == 1}
    arrays = {f"{n}[@]": each[0][1:-1] for n, each in values.items() if each[0].startswith("(")}
    return {**single, **arrays}


def expanded(words: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """*words* with the variables that are known; one that is a whole word may become several."""
    made: list[str] = []
    for word in words:
        text = word
        for _ in range(5):
            text = _REFERENCE.sub(lambda found: _value(found, values), text)
            if len(text) > _LONGEST:
                break
        made += _split(text) if text != word and _REFERENCE.fullmatch(word) else [text]
    return tuple(made)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote without an end
        return text.split()


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name = found[1] or found[2]
    if name in values:
        return values[name][:_LONGEST]
    default = re.match(r"\$\{\w+:?[-=]([^}]*)\}", found[0])
    return default[1] if default else found[0]
