"""The only way a value becomes text: which values are secret, and how they are hidden.

A value is secret by its name or by itself, see `is_secret`. False alarms cost
little, a leak costs much; so the rules err on one side, as long as ordinary
words, versions, paths, hosts and plain URLs stay readable.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import log2
from urllib.parse import quote, unquote

__all__ = ["MASK", "Mask", "is_secret", "is_token", "joined", "mask_for"]

MASK = "********"

# Patterns that few values need are strings: compiled at their first use, and kept by
# `re`. Every command imports this module.

# --- names -----------------------------------------------------------------------

# Most names and values hold none of these: they cost no more than this look.
_STEM = re.compile(
    "pass|pw|secret|token|key|dsn|cred|salt|private|jwt|pat|auth|cookie|cert|sig|webhook|pepper"
    "|bearer|hmac|mnemonic|psw|kennwort|otp|pin|mfa|seed|mdp|login|basic"
)
_SECRETS = frozenset({
    "BEARER", "CRED", "CREDS", "DSN", "ENCRYPTIONKEY", "HMAC", "KEY", "KEYS", "MASTERKEY", "MDP",
    "MNEMONIC", "PASSE", "PAT", "PEPPER", "PW", "SALT", "WEBHOOK", "WEBHOOKS",
})  # fmt: skip
# As often the name of a switch: true and false are no secrets of theirs.
_SOFT = frozenset({
    "AUTH", "AUTHORIZATION", "CERT", "CERTS", "CERTIFICATE", "COOKIE", "COOKIES", "JWT", "MFA",
    "OTP", "PIN", "PRIVATE", "SIGNATURE", "TOTP",
})  # fmt: skip
# Written as one word: PGPASSWORD, DBPASS, requirepass, masterauth, CLIENTSECRET.
_PASSWORD_ENDS = (
    "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PSWD", "PASSWRD", "PASSWORT",
    "KENNWORT",
)  # fmt: skip
_NO_PASSWORDS = frozenset({"BYPASS", "COMPASS", "ENCOMPASS", "OVERPASS", "SURPASS", "UNDERPASS"})
_SECRET_ENDS = (
    "SECRET", "SECRETS", "TOKEN", "TOKENS", "CREDENTIAL", "CREDENTIALS", "APIKEY", "APIKEYS",
    "ACCESSKEY", "SECRETKEY", "PRIVATEKEY", "AUTHKEY", "SIGNINGKEY", "MASTERAUTH", "USERAUTH",
)  # fmt: skip
# Before KEY they make it one that all may know.
_OPEN_KEYS = frozenset({"PUBLIC", "PUB", "PUBLISHABLE", "PRIMARY", "FOREIGN", "PARTITION", "SORT"})

# A name with one of these tells how long, how many: API_KEY_DEFAULT_DAYS,
# PASSWORD_MIN_LENGTH, ACCESS_TOKEN_EXPIRE_MINUTES, MAX_API_KEYS_PER_USER.
_MEASURES = frozenset({
    "ATTEMPTS", "BITS", "BYTES", "COST", "COUNT", "DAYS", "ENABLED", "EXPIRATION", "EXPIRE",
    "EXPIRES", "EXPIRY", "HOURS", "INTERVAL", "ITERATIONS", "KIB", "LEEWAY", "LEN", "LENGTH",
    "LIFETIME", "LIMIT", "MAX", "MB", "MIN", "MINUTES", "MS", "PARALLELISM", "PER", "PORT", "RATE",
    "REQUIRED", "RETRIES", "ROTATION", "ROUNDS", "SEC", "SECONDS", "SECS", "SIZE", "TIMEOUT", "TTL",
    "VALIDITY", "VERSION", "WEEKS",
})  # fmt: skip
_MEASURE = r"-?\d{1,10}(?:\.\d+)?\s?[A-Za-z]{0,7}|(?:\d+[wdhms]){1,5}"
_SWITCHES = frozenset({"true", "false", "yes", "no", "on", "off", "0", "1", "", "none", "null"})
# At the end of a name they tell of which kind, where, or whether: JWT_ALGORITHM,
# POSTGRES_PASSWORD_FILE, AUTH_BACKEND.
_KINDS = frozenset({
    "ALG", "ALGORITHM", "ALGORITHMS", "AUDIENCE", "BACKEND", "CLASS", "DISABLED", "DOMAIN",
    "ENCRYPTION", "FORMAT", "HTTPONLY", "ISSUER", "METHOD", "MODE", "NAME", "POLICY", "PREFIX",
    "PROVIDER", "REALM", "SAMESITE", "SCHEME", "SECURE", "STORE", "TYPE", "VERSION",
})  # fmt: skip
_KIND = r"[A-Za-z][\w.:-]{0,63}"
_PLACES = frozenset({"DIR", "DIRECTORY", "FILE", "FOLDER", "PATH"})
_PLACE = r"(?:[A-Za-z]:)?[\w.~-]*(?:[/\\][\w.@-]*)+|[\w-]+\.[a-z]{2,5}"
_ADDRESSES = frozenset({"ENDPOINT", "HOST", "SERVER", "URI", "URL"})
_ADDRESS = r"(?i:(?:[a-z][a-z0-9+.-]*://)?[\w.-]+(?::\d+)?(?:/[\w./-]*)?)"
# A digest of something that is no secret, which looks like a key.
_DIGESTS = frozenset({"CHECKSUM", "COMMIT", "DIGEST", "REVISION", "SHA"})

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PIECE = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Name:
    """What a variable's name says of its value."""

    kind: str = ""
    """``password``, ``secret``, ``soft``; empty where it is no secret's."""
    last: str = ""
    is_measure: bool = False
    is_digest: bool = False
    is_seed: bool = False

    @property
    def tells_about(self) -> bool:
        """Whether it may be about a secret, instead of naming one."""
        return self.is_measure or self.last in _KINDS | _PLACES | _ADDRESSES

    def fits(self, value: str) -> bool:
        """Whether *value* is no secret although the name holds a secret's word."""
        if self.is_measure and (re.fullmatch(_MEASURE, value) or value.lower() in _SWITCHES):
            return True
        if self.kind == "soft" and value.lower() in _SWITCHES:
            return True
        return any(
            self.last in names and re.fullmatch(pattern, value) for names, pattern in _FITTING
        )


_FITTING = ((_KINDS, _KIND), (_PLACES, _PLACE), (_ADDRESSES, _ADDRESS))


# One of each for all: a large file has ten thousand such names.
_ORDINARY_NAME = _Name()
_DIGEST = _Name(is_digest=True)


def _read_name(text: str) -> _Name:
    if not _STEM.search(text.lower()):
        plain = map(str.upper, _WORD.findall(text))
        return _ORDINARY_NAME if _DIGESTS.isdisjoint(plain) else _DIGEST
    words = [*_words(text)] or [""]
    kinds = {_kind(before, word) for before, word in zip(["", *words], words, strict=False)}
    kind = next((k for k in ("password", "secret", "soft") if k in kinds), "")
    if not re.fullmatch(r"[\w.:\[\]-]+", text):
        return _Name(kind)  # a text, whose last word tells nothing of the first
    # The address is the secret of a webhook.
    last = "" if "WEBHOOK" in words and words[-1] in _ADDRESSES else words[-1]
    return _Name(
        kind,
        last,
        is_measure=not _MEASURES.isdisjoint(words),
        is_digest=not _DIGESTS.isdisjoint(words),
        is_seed="SEED" in words,
    )


_name = lru_cache(8192)(_read_name)


def _words(text: str) -> Iterator[str]:
    """The words of a name in capitals, split at all but letters, and at capitals."""
    for piece in _PIECE.findall(text):
        words = _WORD.findall(piece)
        # OAuthTOKEN2 may be split in more than one way.
        whole = piece.upper().rstrip("0123456789")
        if len(words) > 1 and _kind("", whole):
            yield whole
        else:
            yield from (word.upper() for word in words)


def _kind(before: str, word: str) -> str:
    if word.endswith(_PASSWORD_ENDS) or word.startswith(("PASSWORD", "PASSCODE")):
        return "" if word in _NO_PASSWORDS else "password"
    if word in ("KEY", "KEYS") and before in _OPEN_KEYS:
        return ""
    if word in _SECRETS or word.endswith(_SECRET_ENDS):
        return "secret"
    return "soft" if word in _SOFT else ""


def is_secret(key: str, value: str | None = None) -> bool:
    """Say whether *value*, which *key* names, is a secret: by the name, or by itself.

    The words of the name decide: PASSWORD, TOKEN, KEY and the like, in any
    spelling. Where it only tells about a secret (JWT_ALGORITHM, TOKEN_SECONDS,
    PASSWORD_FILE) and the value is of that kind, it is none. Of itself a value is
    secret if it holds a URL with user or password, a known kind of token, an
    assignment of a secret, a private key, or what looks drawn by lot. Any text may
    stand for *key*: a command line is asked for its words.
    """
    # A text is no name: it would fill the cache, and is rarely asked twice.
    name = _name(key) if len(key) <= 100 else _read_name(key)
    if name.kind and not (name.tells_about if value is None else name.fits(value)):
        return True
    if not value:
        return False
    return bool(_secrets_within(value)) or _is_secret_whole(value, name)


def is_token(text: str) -> bool:
    """Say whether a token of a known kind, or a URL with a password, is in *text*."""
    return bool(_secrets_within(text))


# --- values ----------------------------------------------------------------------

# What is looked through for the rest: each word once, up to its last @, or no word with
# many :// would be read in linear time.
_URL_WORD = re.compile(r"[a-zA-Z0-9+.-]{0,31}://[^\s\"']*")
_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://"
# Greedy up to the last @: a password may contain one, and a slash.
_URL_PASSWORD = re.compile(rf"(?P<head>{_SCHEME}[^\s:/@]*:)(?P<password>[^\s\"']+)@")
# A user name without a password is often a token.
_URL_TOKEN = re.compile(rf"(?P<head>{_SCHEME})(?P<password>[^\s\"'/@:*]+)@")
_QUERY_PASSWORD = re.compile(
    r"(?P<head>[?&;](?:[\w.-]*(?:password|passwd|pwd|passphrase|secret|token|signature"
    r"|credential|api[_-]?key|access[_-]?key)|pass|auth|key|sig)=)(?P<password>[^&\s\"'#;]+)",
    re.IGNORECASE,
)


# What each of the tokens below holds.
_MAKERS = (
    r"gh|gl|xox|xapp-|k_live_|k_test_|whsec_|sk-|AKIA|ASIA|AIza|ya29\.|hf_|npm_|pypi-|_v1_|SG\.|shp"
    r"|hv|AGE-|dp\.|xkeysib-|NRAK-|PMAK-|tskey-|sq0|lin_api_|figd_|rubygems_|key-|r8_|EAAC|sbp_"
    r"|nfp_|ey|ew|slack|/webhooks/"
)


@cache
def _known_token() -> re.Pattern[str]:
    """Tokens that their makers gave a form of its own, and bearers of any."""
    return re.compile(
        r"(?<![\w.-])(?:"
        r"gh[opsur]_\w{16,}|github_pat_\w{16,}|gl[a-z]{2,5}-[\w.-]{16,}|xox[a-z]-[\w-]{8,}"
        r"|xapp-[\w-]{8,}|[srp]k_(?:live|test)_\w{8,}|whsec_[\w+/=]{8,}|sk-(?=[\w-]*\d)[\w-]{16,}"
        r"|A[KS]IA[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w-]{16,}|hf_\w{16,}|npm_\w{30,}"
        r"|pypi-[\w-]{16,}|do[opr]_v1_\w{16,}|SG\.[\w-]{8,}\.[\w-]{8,}|shp(?:at|ca|pa|ss)_\w{16,}"
        r"|hv[sbr]\.[\w-]{16,}|AGE-SECRET-KEY-\w{16,}|dp\.[a-z]{2,6}\.\w{16,}|glsa_\w{16,}"
        r"|xkeysib-[\w-]{16,}|NRAK-\w{16,}|PMAK-[\w-]{16,}|tskey-[\w-]{16,}|sq0[a-z]{3}-[\w-]{16,}"
        r"|lin_api_\w{16,}|figd_[\w-]{16,}|rubygems_\w{16,}|key-[0-9a-f]{32}|r8_\w{16,}"
        r"|EAAC[\w]{20,}|sbp_\w{16,}|nfp_\w{16,}"
        # A JWT: the first part is base64 of what begins with a brace.
        r"|e[yw][A-Za-z0-9][\w-]{6,}\.[\w-]{4,}\.[\w-]*"
        r"|(?<=hooks\.slack\.com/services/)[\w/]+"
        r"|(?<=/api/webhooks/)[\w/-]+"
        r")"
    )


_VALUE = r"(?:\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^\s;&,\"'<>|)}\]]+))"


@cache
def _assignments() -> tuple[re.Pattern[str], ...]:
    """``PGPASSWORD=x``, ``--token=x``, ``"token": "x"``; ``--token x``; and ``token: x``."""
    return (
        re.compile(
            r"(?<![\w$.-])(?:--?)?(?P<name>[A-Za-z_][\w.-]*)(?:\s*=\s*|(?<=\w)[\"']\s*:\s*)"
            + _VALUE
        ),
        re.compile(rf"(?<![\w-])--?(?P<name>[A-Za-z][\w-]*)\s+(?!-){_VALUE}"),
        # YAML and headers. More words would make it a sentence: "password: it is kept".
        re.compile(
            rf"(?:^|[{{,\"'\n]|\\n)[\t -]*(?P<name>[A-Za-z_][\w.-]*):\s+{_VALUE}"
            r"(?=\s*(?:$|[\n#,}\"'\\]))"
        ),
    )


_SPEAKER = "redis-cli|mysql|mariadb|curl|wget|login|sshpass|Basic|Bearer|Digest|Token"


@cache
def _spoken() -> re.Pattern[str]:
    """What is a password where it stands, without a word that says so."""
    return re.compile(
        r"\b(?:(?:Basic|Bearer|Digest|Token)\s+(?P<bearer>[\w.=+/~-]{6,})"
        r"|redis-cli\b[^|;&]*?\s-a\s*(?P<redis>[^\s\"']+)"
        r"|(?:mysql|mariadb)\w*(?:-admin)?\b[^|;&]*?\s-p(?P<mysql>[^\s\"']+)"
        r"|\blogin\b[^|;&\n]{0,400}?\s-p[ =]?[\"']?(?P<login>[^\s\"'=]+)"
        r"|sshpass\s+-p\s*[\"']?(?P<ssh>[^\s\"']+)"
        r"|(?:curl|wget)\b[^|;]*?\s(?:-u|--user)[ =][\"']?[^\s:\"']+:(?P<curl>[^\s\"']+))"
    )


# $NAME, ${NAME}, $(command), {name}, {{ name }}, <name>, %(name)s, ****.
_PLACEHOLDER = r"\$[$({A-Za-z_]|\{\{|\{\w*\}|<[\w -]+>|%\(|\*+$"


def _in_urls(text: str) -> Iterator[str]:
    """Passwords, and user names that stand alone, in the URLs of *text*."""
    for word in _URL_WORD.findall(text) if "://" in text else ():
        at, rest = _parts(word)
        for pattern in (_URL_PASSWORD, _URL_TOKEN):
            yield from (found["password"] for found in pattern.finditer(at))
        yield from (found["password"] for found in _QUERY_PASSWORD.finditer(at + rest))


def _parts(word: str) -> tuple[str, str]:
    """*word* up to its last @, where one of its logins ends, and the rest."""
    end = word.rfind("@") + 1
    return word[:end], word[end:]


def _without_logins(found: re.Match[str]) -> str:
    at, rest = _parts(found[0])
    for pattern in (_URL_PASSWORD, _URL_TOKEN):
        at = pattern.sub(rf"\g<head>{MASK}@", at)
    return _QUERY_PASSWORD.sub(rf"\g<head>{MASK}", at + rest)


def _secrets_within(text: str) -> tuple[str, ...]:
    """The secrets that stand in *text* between words that are none."""
    found = [*_in_urls(text)]
    if len(text) >= 12 and re.search(_MAKERS, text):
        found += (match[0] for match in _known_token().finditer(text))
    if ("=" in text or " " in text or ":" in text) and _STEM.search(text.lower()):
        found += _assigned(text)
    if " " in text and re.search(_SPEAKER, text):
        found += (value for match in _spoken().finditer(text) for value in _groups(match))
    return tuple(found)


def _assigned(text: str) -> Iterator[str]:
    for pattern in _assignments():
        for match in pattern.finditer(text):
            name = _name(match["name"]) if len(match["name"]) <= 100 else _Name()
            for value in _groups(match):
                if name.kind and not name.fits(value):
                    yield value


def _groups(match: re.Match[str]) -> Iterator[str]:
    """What *match* caught, unless it only stands for a value, or is hidden already."""
    caught = (value for name, value in match.groupdict().items() if name != "name" and value)
    return (value for value in caught if not re.match(_PLACEHOLDER, value))


# A private key or a certificate, a hash of a password, an encrypted value.
_WHOLE = re.compile(
    r"\s*-----BEGIN [A-Z0-9 ]+-----|\$(?:2[abxy]?|argon2\w*|scrypt|pbkdf2[\w-]*|[156y])\$"
    r"|\{?(?:SSHA|SHA|MD5|CRYPT)\}|encrypted:|ENC\[|\$ANSIBLE_VAULT"
)
_TOKEN_LIKE = re.compile(r"[\w.=+/-]{20,}")
# A dollar in the middle of a password, which compose takes for a variable.
_HALVED = r"(?=.*\d)[\w.!@#%&*+-]+\$[\w.!@#%&*+-]*[a-z][\w.!@#%&*+-]*"
# The words that a wallet is restored from.
_SEED_WORDS = r"[a-z]{3,8}(?:\s+[a-z]{3,8}){3,23}"
# What a user logs in with, in one: robin:heron-72. Not a port, not a scheme.
_LOGINS = frozenset({"BASIC", "LOGIN"})
_LOGIN = r"[^\s:/]+:(?P<password>(?!//|\d{1,5}$)\S+)"
_BASE64 = re.compile(r"[A-Za-z0-9+/]{12,}={0,2}")
_LOGIN_BYTES = rb"[\w.@+-]+:[!-~]+"
_DRAWN_BITS = 3.5
_HEX = re.compile(r"[0-9a-f]{20,}|[0-9A-F]{20,}")
_HOST_NAME = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}")
_PATH_START = ("/", "./", "../", "~/")
# What people write: a word, words in camel case, a number, a word with a number.
_ORDINARY = (
    r"[A-Z]?[a-z]{1,15}|[A-Z]{1,15}|\d{1,8}|[A-Za-z]{1,12}\d{1,4}|\d{1,6}[A-Za-z]{1,3}"
    r"|[A-Za-z][a-z]{1,15}(?:[A-Z][a-z]{1,15}|[A-Z]{2,6}(?![a-z])){1,5}"
)
_LEAST_STRANGE = 8


def _is_secret_whole(value: str, name: _Name) -> bool:
    """Whether all of *value* is a secret of itself."""
    if _WHOLE.match(value):
        return True
    text = value.strip()
    if _login_password(text, name) or ("$" in text and re.fullmatch(_HALVED, text)):
        return True
    if name.is_seed and re.fullmatch(_SEED_WORDS, text):
        return True
    if not _TOKEN_LIKE.fullmatch(text) or (name.is_digest and _HEX.fullmatch(text)):
        return False
    return _looks_drawn(text)


def _login_password(text: str, name: _Name) -> str:
    """The password behind a user, as such under a LOGIN's name or in base64; else empty."""
    if name.last in _LOGINS and (found := re.fullmatch(_LOGIN, text)):
        return found["password"]
    if not _BASE64.fullmatch(text):
        return ""
    inside = text.rstrip("=")
    # One character more than whole bytes have is a slip, not another text.
    raw = base64.b64decode(inside[: len(inside) - (len(inside) % 4 == 1)] + "==")
    return raw.partition(b":")[2].decode() if re.fullmatch(_LOGIN_BYTES, raw) else ""


def _looks_drawn(text: str) -> bool:
    """Whether the characters of *text* look drawn by lot, rather than written.

    The entropy alone is high for module paths and long names, too: what is left
    besides ordinary words must be as long as a part of a secret.
    """
    if _HOST_NAME.fullmatch(text):
        return False
    strange = sum(
        len(piece) for piece in _PIECE.findall(text) if not re.fullmatch(_ORDINARY, piece)
    )
    if strange < (16 if text.startswith(_PATH_START) else _LEAST_STRANGE):
        return False
    return _bits(text) >= _DRAWN_BITS or (bool(_HEX.fullmatch(text)) and not text.isdecimal())


def _bits(text: str) -> float:
    """Shannon's entropy of the characters of *text*, in bits for each."""
    counts = Counter(text).values()
    return -sum(count / len(text) * log2(count / len(text)) for count in counts)


# --- what becomes of them in text --------------------------------------------------

# Shorter values stand in ordinary output, inside of other words as well.
_SHORTEST = 6
_SHORTEST_TOKEN = 4
_SHORTEST_LINE = 16
_SHORTEST_PIECE = 8
# Forms. Of more, what begins a line is not looked for: an index of all their ends
# would take longer than what it is for.
_MOST_CUT = 20_000

# Passwords of test databases that are words of our own messages, too. To replace
# them everywhere would make them unreadable, and would tell what the secret is.
_COMMON = frozenset({
    "access", "account", "accounts", "admin", "administrator", "application", "backend",
    "cache", "client", "database", "default", "demo", "develop", "development", "disabled",
    "docker", "enabled", "example", "false", "guest", "host", "image", "integration", "local",
    "localhost", "main", "manager", "mariadb", "master", "mongo", "mongodb", "mysql", "none",
    "null", "owner", "password", "postgres", "postgresql", "production", "public", "pytest",
    "python", "rabbitmq", "redis", "required", "root", "secret", "server", "service", "staging",
    "string", "test", "tester", "testing", "tests", "token", "true", "user", "username",
    "users", "value", "worker",
})  # fmt: skip


_Rest = tuple[str, int]
"""A form of a secret, and where the piece of it begins that may begin a line."""


@dataclass(slots=True)
class _Words:
    """What a mask looks for, indexed; made when it is first used: most never are."""

    heads: Mapping[str, tuple[str, ...]]
    """The forms of long secrets by their first characters, the longest first."""
    rests: Mapping[str, tuple[_Rest, ...]]
    """What of them may begin a line, if they are cut in two, by its first characters."""
    tokens: re.Pattern[str] | None
    """Short secrets, where they stand alone."""
    assigned: re.Pattern[str] | None
    """Common words and the shortest, where they follow on a secret's name."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Replaces secret values in text, the longest first.

    A secret of six characters and more is found anywhere, also as JSON, Python,
    a shell, a URL, HTML or base64 spell it. A shorter one is replaced only where it
    stands alone, and one of up to three characters, a short number, a common word
    (``postgres``) or a short token only behind a name like ``PASSWORD=``: elsewhere,
    what is hidden would be ordinary output, and the gaps would tell the secret.

    A long one that a program cut over two lines is hidden in both, but for a piece
    of up to seven characters or a plain word.
    """

    secrets: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    """Tokens and keys that may be words of any message; hidden behind such a name."""
    _words: list[_Words] = field(init=False, repr=False, compare=False, default_factory=list)

    def __call__(self, text: str) -> str:
        """*text* without secret values, passwords in URLs and halves of passwords."""
        if self.secrets or self.named:
            text = self._without_secrets(text)
        if "variable is not set" in text:
            text = re.sub(_UNSET, _without_half_a_password, text)
        if "://" not in text:
            return text
        return _URL_WORD.sub(_without_logins, text)

    def __repr__(self) -> str:
        # The dataclass repr would print the values this object exists to hide.
        return f"Mask({len(self.secrets) + len(self.named)} secrets)"

    def _without_secrets(self, text: str) -> str:
        if not self._words:
            self._words.append(_index(self.secrets, self.named))
        words = self._words[0]
        text = _replace(_without_rests(text, words.rests), words.heads)
        if words.tokens is not None:
            text = words.tokens.sub(MASK, text)
        if words.assigned is not None:
            text = words.assigned.sub(rf"\g<head>{MASK}", text)
        return text


def joined(*masks: Mask) -> Mask:
    """A mask that hides what any of *masks* hides."""
    secrets = {secret for mask in masks for secret in mask.secrets}
    named = {secret for mask in masks for secret in mask.named}
    return Mask(tuple(sorted(secrets)), tuple(sorted(named - secrets)))


def _index(secrets: Iterable[str], named: Iterable[str]) -> _Words:
    heads: dict[str, set[str]] = {}
    tokens, assigned = set(), {*filter(None, named)}
    for secret in filter(None, secrets):
        is_number = secret.isdecimal() and len(secret) < _SHORTEST
        if secret.lower() in _COMMON or is_number or len(secret) < _SHORTEST_TOKEN:
            assigned.add(secret)
            continue
        if len(secret) < _SHORTEST:
            tokens.add(secret)
        for form in _forms(secret):
            heads.setdefault(form[:_SHORTEST], set()).add(form)
    return _Words(
        {head: tuple(sorted(forms, key=len, reverse=True)) for head, forms in heads.items()},
        _rests(heads.values()) if len(heads) <= _MOST_CUT else {},
        re.compile(rf"(?<!\w)(?:{_any_of(tokens)})(?!\w)") if tokens else None,
        re.compile(rf"{_PASSWORD_NAME}(?:{_any_of(assigned)})(?![\w-])") if assigned else None,
    )


# Compose takes what is behind a dollar sign for a variable, and warns of it; the word
# may be half of a password, which nobody has as a value.
_UNSET = r"The (?P<quote>\\*\")(?P<name>\w+)(?P=quote) variable is not set"


def _without_half_a_password(found: re.Match[str]) -> str:
    is_name = re.fullmatch(r"[A-Z_][A-Z0-9_]*", found["name"]) and not is_token(found["name"])
    return (
        found[0] if is_name else f"The {found['quote']}{MASK}{found['quote']} variable is not set"
    )


# PASSWORD=x, "password": "x", --password x.
_NAMED = (
    r"(?i:pass(?:word|wd|phrase)?|pwd?|secret|token|keys?|auth|pin|otp|jwt|pat|salt|dsn|cookie"
    r"|cred(?:ential)?s?)(?:[_-]?\d{1,3})?"
)
_PASSWORD_NAME = rf"(?P<head>{_NAMED}[\"']?\s*[=:]\s*[\"']?|(?<![\w-])--?[\w-]*{_NAMED}\s+[\"']?)"


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


def _rests(forms: Iterable[Iterable[str]]) -> Mapping[str, tuple[_Rest, ...]]:
    # Offsets, no pieces: those of a key in one line would be as many as it is long, each.
    found: dict[str, list[_Rest]] = {}
    for form in (one for some in forms for one in some if _is_one_line(one)):
        for at in range(1, len(form) - _SHORTEST_PIECE + 1):
            if _is_telling(form[at : at + 2 * _SHORTEST_PIECE]):
                found.setdefault(form[at : at + _SHORTEST_PIECE], []).append((form, at))
    return {
        head: tuple(sorted(rests, key=lambda one: len(one[0]) - one[1], reverse=True))
        for head, rests in found.items()
    }


def _is_telling(piece: str) -> bool:
    """Whether a piece of a secret is long enough to be one, and no word of any output."""
    if len(piece) < _SHORTEST_PIECE:
        return False
    return len(piece) >= 2 * _SHORTEST_PIECE or not re.fullmatch(r"[A-Za-z]+|\d+", piece)


def _without_rests(text: str, rests: Mapping[str, tuple[_Rest, ...]]) -> str:
    """*text* without what begins a line as the second half of a secret."""
    if not rests:
        return text
    lines = text.split("\n")
    for at, line in enumerate(lines):
        for form, start in rests.get(line[:_SHORTEST_PIECE], ()):
            is_all_in = len(line) >= 2 * _SHORTEST_PIECE and form.startswith(line, start)
            if is_all_in or line.startswith(form[start:]):
                lines[at] = MASK + line[len(form) - start :]
                break
    return "\n".join(lines)


def _replace(text: str, heads: Mapping[str, tuple[str, ...]]) -> str:
    """*text* without what *heads* lists.

    A look into a dictionary for each character: other than with an alternation of
    them all, ten thousand secrets cost no more than ten.
    """
    size = _SHORTEST
    starts = [i for i in range(len(text) - size + 1) if text[i : i + size] in heads]
    shown: list[str] = []
    end = 0
    for start in starts:
        if start < end:
            continue
        forms = heads[text[start : start + size]]
        form = next((f for f in forms if text.startswith(f, start)), "")
        length = len(form) or _cut(text, start, forms)
        if length:
            shown += (text[end:start], MASK)
            end = start + length
    return "".join((*shown, text[end:]))


def _cut(text: str, start: int, forms: Sequence[str]) -> int:
    """How much of one of *forms* stands at *start*, where the line ends in the midst of it."""
    line = text.find("\n", start, start + len(forms[0]))
    piece = text[start : line if line >= 0 else start + len(forms[0])]
    is_last = line >= 0 or start + len(piece) == len(text)
    if not (is_last and _is_telling(piece)):
        return 0
    return len(piece) if any(f.startswith(piece) for f in forms if _is_one_line(f)) else 0


def _is_one_line(form: str) -> bool:
    """Not a text of several, such as a key, which is looked for line by line as it is."""
    return "\n" not in form and "-----" not in form


def _forms(secret: str) -> Iterator[str]:
    """How *secret* may be spelled, as far as that is long enough to be looked for."""
    lines = [line.strip() for line in re.split(r"[\r\n]+|\\r|\\n", secret)]
    # A private key comes in lines, which an error message tells apart. Its first
    # and last one are the same in all keys.
    whole = [line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith("-----")]
    for text in dict.fromkeys((secret, *whole)):
        for form in (*_spelled(text), *_encoded(text)):
            if len(form) >= _SHORTEST:
                yield form


def _bytes(text: str) -> bytes:
    """*text* as it is written; a variable of the shell need not be UTF-8."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def _spelled(text: str) -> Iterator[str]:
    """As it is, and in the quotes of JSON, Python, YAML, a shell, a URL, HTML and compose."""
    yield text
    ascii_only = json.dumps(text)
    for plain in (ascii_only, _upper(ascii_only), json.dumps(text, ensure_ascii=False)):
        # Many spell what is markup as numbers, PHP a slash with a backslash, some do both.
        for told in (plain[1:-1], *(_as_numbers(plain[1:-1], which) for which in _MARKUP)):
            yield from (told, told.replace("/", r"\/"))
    yield repr(text)[1:-1]
    yield text.replace("'", "''")
    yield text.replace("'", "'\"'\"'")
    yield re.sub(r"([\"$`\\])", r"\\\1", text)
    yield text.replace("$", "$$")
    yield unquote(text)
    raw = _bytes(text)
    for safe in ("", "/"):
        yield quote(raw, safe=safe)
    yield quote(raw, safe="").replace("%20", "+")
    basic = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield basic
    yield basic.replace('"', "&quot;").replace("'", "&#x27;")
    yield basic.replace('"', "&quot;").replace("'", "&#39;")


_MARKUP = tuple(
    {one: f"\\u{ord(one):04{form}}" for one in which}
    for which, form in (
        ("&<>\u2028\u2029", "x"),  # Go
        ("<>", "X"),  # PHP: JSON_HEX_TAG
        ("&<>", "X"),
        ("&<>'\"", "X"),  # and its other three
        ("&<>'\"+`", "X"),  # .NET
    )
)


def _as_numbers(told: str, which: Mapping[str, str]) -> str:
    # A quote has a backslash of its own already.
    return re.sub(r'\\\\|\\?"|[^"\\]', lambda f: which.get(f[0].lstrip("\\"), f[0]), told)


def _upper(told: str) -> str:
    return re.sub(r"\\\\|\\u[0-9a-f]{4}", lambda f: f[0][:2] + f[0][2:].upper(), told)


def _encoded(text: str) -> Iterator[str]:
    """In base64, wherever in the encoded text it begins."""
    raw = _bytes(text)
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        # What is in the first characters depends on what stands before, and what is
        # in the last one on what follows.
        inside = encoded[(0, 2, 3)[before] : (before + len(raw)) * 8 // 6]
        for form in (encoded,) if before == 0 else ():
            yield from {form, form.translate(_URL_SAFE)}
        yield from {inside, inside.translate(_URL_SAFE)}


_URL_SAFE = str.maketrans("+/", "-_")


# --- which values a mask is made of ------------------------------------------------

# ${NAME}, ${NAME:-default}: what it stands for is not in the text, but for the default.
_BRACED = r"\$\{[A-Za-z_]\w*(?::?[-?+=](?P<default>[^{}]*))?\}"
_VARIABLE = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"


def mask_for(values: Mapping[str, str | None] | Iterable[tuple[str, str | None]]) -> Mask:
    """A mask for the secret ones among *values* (key to value; as pairs, keys may recur)."""
    pairs = [*(values.items() if isinstance(values, Mapping) else values)]
    names = {key for key, _ in pairs}
    secrets: set[str] = set()
    named: set[str] = set()
    for key, value in pairs:
        if value and is_secret(key, value):
            for text, is_word in _hidden_of(key, value, names):
                (named if is_word else secrets).add(text)
    return Mask(tuple(sorted(secrets)), tuple(sorted(named - secrets)))


def _hidden_of(key: str, value: str, names: Container[str]) -> Iterator[tuple[str, bool]]:
    """What of the secret *value* must appear nowhere, or, True, nowhere behind its name."""
    name, within = _name(key), _secrets_within(value)
    if login := _login_password(value.strip(), name):
        yield login, False
    # Of a URL all but its secrets may be shown.
    is_whole = (bool(name.kind) and "://" not in value) or _is_secret_whole(value, name)
    for secret in (*within, *((value,) if is_whole or not within else ())):
        is_user = f"//{secret}@" in value
        is_password = name.kind == "password" or (secret in within and not is_user)
        for text in (secret.strip(), *_pieces(secret)):
            # A short token or key may well be a word of every message.
            is_word = len(text) < _SHORTEST and not is_password
            is_plain = is_word and (is_user or text.lower() in _SWITCHES)
            if not is_plain and not _refers(text, names):
                yield text, is_word


def _refers(text: str, names: Container[str]) -> bool:
    """Whether *text* is the name of a variable, or stands for its value."""
    word = text.removeprefix("$")
    return bool(re.fullmatch(_BRACED, text) or re.fullmatch(_VARIABLE, word)) or word in names


def _pieces(secret: str) -> Iterator[str]:
    """What a message may hold of *secret* after a dollar sign in it was taken for a variable.

    Compose warns that the variable "UsErPassWoRd" is not set, where the password
    is ab$UsErPassWoRd.
    """
    if "$" not in secret:
        return
    defaults = [found["default"] or "" for found in re.finditer(_BRACED, secret)]
    first, *others = re.split(r"\$+", re.sub(_BRACED, "$", secret))
    variables = [re.split(r"\W", other, maxsplit=1)[0] for other in others]
    for text in (*defaults, first, *others, *variables):
        if len(text) >= _SHORTEST:
            yield text
