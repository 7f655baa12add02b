"""The mask: which names are secret, and what becomes of their values in text."""

from __future__ import annotations

import base64
import html
import itertools
import json
import random
import re
import shlex
import string
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unstale import mask as mask_module
from unstale.adapters.output import Output
from unstale.mask import MASK, Mask, is_secret, joined, mask_for


@pytest.mark.parametrize(
    "key",
    [
        "POSTGRES_PASSWORD", "DB_PWD", "jwt_secret", "API_KEY", "SENTRY_DSN", "REFRESH_TOKEN",
        "SMTP_CREDENTIALS", "PASSWORD_SALT", "GITHUB_PAT", "SESSION_COOKIE", "AUTH_HEADER",
        "PASS", "DB_PASSWD", "KEY_PASSPHRASE", "SMTP_PW", "PASSWORD2", "SMTP-PASS", "db.password",
        "DBPASS", "PGPASSWORD", "pgpassword", "requirepass", "masterauth", "APIKEY", "ACCESSKEY",
        "SECRETKEY", "CLIENTSECRET", "apiKey", "clientSecret", "dbPassword", "AWS_ACCESS_KEY_ID",
        "OAuth2ClientSecret", "TLS_KEY", "SSL_CERT", "SLACK_WEBHOOK_URL", "API_KEYS", "JWT",
        "AGE_SECRET_KEY", "REQUEST_SIGNATURE", "PRIVATE_KEY", "CREDS", "DB_PSWD", "PASSWRD",
        "DBPASSWRD", "DB_PASSWORT", "KENNWORT", "OTP", "TOTP_BACKUP", "SIM_PIN", "ADMIN_MFA",
        "WALLET_MNEMONIC", "MDP", "DB_PASSE",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "LOG_LEVEL", "DEBUG", "API_V1_PREFIX", "PATH", "POSTGRES_USER", "KEYCLOAK_REALM", "MONKEY",
        "KEYBOARD", "AUTHOR", "PATTERN", "BYPASS", "COMPASS_HOST", "TOKENIZER", "SSH_PUBLIC_KEY",
        "PASTE", "SIGNAL", "CERTAINTY", "MAPPING", "SPINNER", "RANDOM_SEED", "LOGIN", "BASIC",
        "IMPASSE", "OPTION",
    ],
)  # fmt: skip
def test_an_ordinary_name_is_no_secret(key: str) -> None:
    assert not is_secret(key, "value")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("API_KEY_DEFAULT_DAYS", "90"),
        ("ACCESS_TOKEN_SECONDS", "900"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30"),
        ("TOKEN_TTL", "15m"),
        ("MAX_API_KEYS_PER_USER", "5"),
        ("PASSWORD_MIN_LENGTH", "12"),
        ("PASSWORD_HASH_MEMORY_KIB", "8192"),
        ("JWT_ALGORITHM", "HS256"),
        ("password_encryption", "scram-sha-256"),
        ("AUTH_ENABLED", "true"),
        ("COOKIE_SECURE", "false"),
        ("AUTH_BACKEND", "django.contrib.auth.backends.ModelBackend"),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/database"),
        ("TLS_KEY_FILE", "key.pem"),
        ("AUTH_URL", "http://auth:8000/v1"),
    ],
)
def test_a_name_that_tells_about_a_secret_has_none_if_the_value_is_of_that_kind(
    key: str, value: str
) -> None:
    assert not is_secret(key, value)
    assert not is_secret(key)


@pytest.mark.parametrize(
    ("key", "value", "password"),
    [
        ("LOGIN", "robin:heron-72", "heron-72"),
        ("SMTP_LOGIN", "robin@example.com:heron-72", "heron-72"),
        ("BASIC", "robin:heron-72", "heron-72"),
        ("ADDRESS", base64.b64encode(b"robin:heron-72").decode(), "heron-72"),
        ("ADDRESS", base64.b64encode(b"robin:heron-72").decode().rstrip("="), "heron-72"),
        ("SEED", "heron heron about plover", "heron heron about plover"),
        ("ADDRESS", "pa$heron-72", "heron-72"),
        ("ADDRESS", "password: heron-72", "heron-72"),
        ("ADDRESS", "user: robin\npassword: heron-72\n", "heron-72"),
        ("ADDRESS", "{user: robin, password: heron-72}", "heron-72"),
        ("ADDRESS", r"user: robin\npassword: heron-72\nport: 1", "heron-72"),
        ("ADDRESS", "token: 'heron 72' # of robin", "heron 72"),
        ("ADDRESS", "X-Api-Key: heron-72", "heron-72"),
    ],
)
def test_a_password_beside_its_user_or_its_name_is_hidden_alone_too(
    key: str, value: str, password: str
) -> None:
    assert is_secret(key, value)
    assert mask_for({key: value})(f"no {password} here") == f"no {MASK} here"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LOGIN", "robin"),
        ("LOGIN", "auth:8080"),
        ("LOGIN", "http://auth:8080/login"),
        ("LOGIN_URL", "accounts:login"),
        ("LOGIN_REDIRECT_URL", "app:home"),
        ("IMAGE", "example:latest"),
        ("SEED", "42"),
        ("SEED_TEXT", "heron"),
        ("OTP", "true"),
        ("PIN_LENGTH", "4"),
        ("MFA_ISSUER", "Example"),
        ("FORMAT", "$remote_addr2 - $user"),
        ("PATTERN", "^[a-z0-9]+$"),
        ("NAME", "app2$VERSION"),
        ("WORD", "abcdefghijklmnop"),
        ("TEXT", "error: password"),
        ("TEXT", "The password: heron"),
        ("TEXT", "level: debug"),
    ],
)
def test_what_only_looks_like_a_login_is_no_secret(key: str, value: str) -> None:
    assert not is_secret(key, value)


def test_a_switch_is_no_secret_where_the_name_may_be_one() -> None:
    assert is_secret("USE_AUTH")
    assert not is_secret("USE_AUTH", "0")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("POSTGRES_PASSWORD_FILE", "heron"),
        ("TOKEN_TTL", "heron-plover"),
        ("AUTH_URL", "http://auth/?heron=1"),
        ("JWT_ALGORITHM", "9f8a7b6c5d4e3f2a1b0c"),
        ("PASSWORD", "true"),
        ("API_KEY", "12345"),
        ("SLACK_WEBHOOK_URL", "https://chat.example.com/hook/1"),
    ],
)
def test_a_name_that_tells_about_a_secret_protects_a_value_of_another_kind(
    key: str, value: str
) -> None:
    assert is_secret(key, value)


HEX_64 = "71d05ea93c8f4b26bd1e6f40a7c2985d" * 2


@pytest.mark.parametrize(
    "value",
    [
        "https://hooks.slack.com/services/T0/B0/heronPlover",
        "http://app/?a=1&api_key=heron",
        "https://bucket/?X-Amz-Signature=heron",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIheron\n",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJoZXJvbiJ9.heronheron",
        f"ghp_{'hE7r' * 9}",
        "github_pat_11HERON0heron0heron",
        "glpat-heron1heron2heron3",
        "xoxb-123456789-heron",
        "sk_live_heron123",
        "sk-proj-heron1heron2heron3",
        "AKIAHERONHERONHERON7",
        f"AIza{'hE7r' * 9}",
        f"hf_{'hE7r' * 8}",
        f"npm_{'hE7r' * 9}",
        f"pypi-{'hE7r' * 9}",
        f"dop_v1_{'0123456789abcdef' * 4}",
        "SG.heronheronheron.ploverplover",
        HEX_64,
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "$2b$12$heronheronheronheronhe",
        "$argon2id$v=19$m=8192,t=1,p=1$heron",
        "encrypted:BDqDheron",
        "pytest --token=heron",
        "psql --password heron",
        "PGPASSWORD=heron psql",
        "redis-cli -a heron ping",
        "docker login -u ci -p heron example.com",
        "sshpass -p heron ssh ci@example.com",
        "mysqladmin ping -pheron",
        "curl -u robin:heron http://app:8000",
        "curl -H 'Authorization: Bearer heron-72'",
        '{"user": "app", "password": "heron 72"}',
        "Server=db;User Id=app;Password=heron;",
        "host=db user=app password=heron",
    ],
)
def test_a_secret_is_known_by_its_value(value: str) -> None:
    assert is_secret("ADDRESS", value)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql",
        "true",
        "1.2.3-rc.1+build.20240101",
        "2024-01-02T03:04:05+00:00",
        "01234567890123456789012345",
        "/var/lib/postgresql/17/main/pgdata",
        "src/app/services/authentication/handler.py",
        "tests/api/test_api_keys_endpoints.py::test_a_key_is_listed",
        "config.settings.integration_test",
        "app.services.users.PasswordHandlerFactory",
        "accounts.models:Base.metadata",
        "http://app:8000/api/v1/users?page=2&limit=100",
        "abc123xyz789qq.execute-api.eu-west-1.example.com",
        "ghcr.io/example/my-application-image:1.2.3",
        "ghcr.io/example/my-application-image",
        f"python@sha256:{HEX_64}",
        "America/Argentina/Buenos_Aires",
        "postgres-integration-test-runner-service",
        "The quick brown fox jumps over 13 lazy dogs",
        "The password: it is kept elsewhere",
        "--encoding=UTF8 --locale=C.UTF-8",
        "localhost,127.0.0.1,.example.com",
        "pg_isready --quiet --host=127.0.0.1 --username=app",
        'PGPASSWORD="$POSTGRES_PASSWORD" psql --dbname=app',
        "x86_64-unknown-linux-gnu-gcc-13",
        "arn:aws:iam::123456789012:role/app",
        "*/5 * * * *",
    ],
)
def test_an_ordinary_value_is_no_secret(value: str) -> None:
    assert not is_secret("ADDRESS", value)


@pytest.mark.parametrize("key", ["PYTHON_SHA256", "GIT_COMMIT", "IMAGE_DIGEST"])
def test_a_digest_by_name_is_no_secret_though_it_looks_like_one(key: str) -> None:
    assert is_secret("OTHER", HEX_64)
    assert not is_secret(key, HEX_64)


def test_what_is_drawn_by_lot_is_nearly_always_known() -> None:
    lot = random.Random(5)
    alphabet = string.ascii_letters + string.digits
    drawn = [lot.randbytes(16).hex() for _ in range(500)]
    drawn += [base64.urlsafe_b64encode(lot.randbytes(24)).decode() for _ in range(500)]
    drawn += ["".join(lot.choices(alphabet, k=24)) for _ in range(500)]

    missed = [value for value in drawn if not is_secret("ADDRESS", value)]

    assert len(missed) <= 3


def test_a_text_may_be_asked_for_the_names_in_it() -> None:
    assert is_secret("--token=heron --name=app --type")


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("postgresql+psycopg://app:heron@db:5432/app", True),
        ("redis://:heron@cache:6379/0", True),
        ("http://app:8000/docs", False),
        ("https://example.com/@heron", False),
        ("user@example.com", False),
    ],
)
def test_a_url_is_secret_if_it_holds_a_password(value: str, secret: bool) -> None:
    assert is_secret("ADDRESS", value) is secret


def test_a_secret_value_leaves_no_trace_in_text() -> None:
    mask = mask_for({"API_KEY": "heron-72", "LOG_LEVEL": "warning"})

    assert mask("warning: key heron-72 refused") == f"warning: key {MASK} refused"


def test_a_secret_that_contains_another_is_hidden_whole() -> None:
    mask = Mask(("heron-72", "heron-72-plover"))

    assert mask("heron-72-plover heron-72") == f"{MASK} {MASK}"


def test_a_url_keeps_all_but_its_password() -> None:
    mask = mask_for({"DATABASE_URL": "postgresql://app:heron-72@db/app"})

    assert mask("postgresql://app:heron-72@db/app") == f"postgresql://app:{MASK}@db/app"
    assert mask("login with heron-72") == f"login with {MASK}"


def test_a_password_in_a_url_is_hidden_even_if_nobody_named_it() -> None:
    assert mask_for({})("connect to amqp://w:pw@mq") == f"connect to amqp://w:{MASK}@mq"


def test_regular_expression_characters_in_a_secret_are_taken_literally() -> None:
    assert mask_for({"TOKEN": "a.c+(d]$"})("abc+(d]$ a.c+(d]$") == f"abc+(d]$ {MASK}"


def test_a_short_secret_does_not_garble_ordinary_words() -> None:
    assert mask_for({"TOKEN": "test"})("12 tests passed") == "12 tests passed"


def test_values_without_a_secret_name_empty_ones_and_none_are_left_alone() -> None:
    mask = mask_for({"A": "ordinary", "API_KEY": None, "B_KEY": ""})

    assert mask("an ordinary line") == "an ordinary line"


def test_a_mask_does_not_print_what_it_hides() -> None:
    assert "heron" not in repr(Mask(("heron-72",)))


def test_two_values_of_one_name_are_both_hidden() -> None:
    mask = mask_for([("API_KEY", "heron-72"), ("API_KEY", "egret-72")])

    assert mask("heron-72 egret-72") == f"{MASK} {MASK}"


def test_a_password_in_the_query_of_a_url_is_hidden() -> None:
    url = "postgresql://app@db.example.com/app?sslmode=require&password=heron-72-x&a=1"

    shown = Mask()(f"could not connect to {url}")

    assert "heron-72-x" not in shown
    assert "&a=1" in shown
    assert is_secret("URL", url)


def go_json(text: str) -> str:
    """As Go's encoding/json writes *text*."""
    told = json.dumps(text, ensure_ascii=False)
    return re.sub("[&<>\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", told)


def php_json(text: str) -> str:
    """As PHP's json_encode writes *text*."""
    return json.dumps(text).replace("/", "\\/")


def hex_json(text: str, which: str) -> str:
    """As writers of JSON do that spell *which* and what is not ASCII in capital numbers."""
    told = (f"\\u{ord(c):04X}" if c in which else json.dumps(c)[1:-1] for c in text)
    capital = (re.sub("[0-9a-f]{4}", lambda f: f[0].upper(), c) for c in told)
    return "".join(capital)


SECRET = "he'r\"on $7&<ü>/p+l%v\\r"


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        go_json(SECRET),
        php_json(SECRET),
        go_json(SECRET).replace("/", "\\/"),
        re.sub("[&<>]", lambda found: f"\\u{ord(found[0]):04x}", php_json(SECRET)),
        hex_json(SECRET, ""),
        hex_json(SECRET, "<>").replace("/", "\\/"),
        hex_json(SECRET, "&<>'\""),
        hex_json(SECRET, "&<>'\"+`"),
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%20", "+"),
        shlex.quote(SECRET),
        html.escape(SECRET),
        SECRET.replace("$", "$$"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"a{SECRET}".encode()).decode(),
        base64.b64encode(f"ab{SECRET}cd".encode()).decode(),
        base64.urlsafe_b64encode(f"abc{SECRET}".encode()).decode(),
    ],
    ids=[
        "plain", "json", "json-utf8", "go", "php", "go-php", "php-go", "capitals",
        "php-tags", "php-all", "dotnet", "repr", "url",
        "url-all", "form", "shell", "html", "compose", "base64", "base64-1", "base64-2",
        "base64-url",
    ],
)  # fmt: skip
def test_a_secret_is_hidden_however_it_is_spelled(spelled: str) -> None:
    shown = mask_for({"DB_PASSWORD": SECRET})(f"<<{spelled}>>")

    assert MASK in shown
    # What of base64 depends on a neighbour may stay: a few bits of the secret.
    assert len(shown.replace(MASK, "")) <= len("<<''>>") + 8


def test_each_line_of_a_private_key_is_hidden_but_those_that_all_keys_have() -> None:
    body = "heronheronheron01\nploverplover0002"
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    mask = mask_for({"TLS": key})

    assert mask("near heronheronheron01: bad") == f"near {MASK}: bad"
    assert mask("ploverplover0002") == MASK
    assert mask("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"
    assert mask(key.replace("\n", "\\n")) == MASK


def test_what_compose_takes_for_a_variable_in_a_password_is_hidden() -> None:
    mask = mask_for({"PASS": "ab$UsErPassWoRd-x.y", "OTHER": "1"})

    assert mask('The "UsErPassWoRd" variable is not set.') == f'The "{MASK}" variable is not set.'


@pytest.mark.parametrize("quote", ['"', '\\"', '\\\\\\"'])
def test_half_a_password_that_compose_warns_of_is_hidden_though_nobody_has_it(quote: str) -> None:
    warning = "The {0}{1}{0} variable is not set. Defaulting to a blank string."

    hidden = Mask()(warning.format(quote, "heron72Plover"))

    assert hidden == warning.format(quote, MASK)
    assert "DB_HOST" in Mask()(warning.format(quote, "DB_HOST"))
    assert "AKIA" not in Mask()(warning.format(quote, "AKIAHERONHERONHERON7"))


def test_the_name_of_a_variable_that_a_secret_refers_to_stays() -> None:
    mask = mask_for({
        "URL": "postgresql://app:${POSTGRES_PASSWORD}@db/app",
        "A_TOKEN": "$REFERRED",
        "REFERRED": "heron-72",
        "B_TOKEN": "${NOT_SET:-plover-72}",
    })  # fmt: skip

    assert mask("POSTGRES_PASSWORD REFERRED NOT_SET") == "POSTGRES_PASSWORD REFERRED NOT_SET"
    assert mask("plover-72") == MASK


def test_a_short_password_is_hidden_where_it_stands_alone() -> None:
    mask = mask_for({"DB_PASSWORD": "letme", "API_KEY": "heron", "URL": "redis://:plov@c"})

    assert mask("refused 'letme' (letme): letmein outletme") == (
        f"refused '{MASK}' ({MASK}): letmein outletme"
    )
    assert mask("a heron") == "a heron"
    assert mask("plov?") == f"{MASK}?"


@pytest.mark.parametrize("password", ["postgres", "pw", "5432", "secret"])
def test_a_common_or_tiny_password_is_hidden_behind_its_name_only(password: str) -> None:
    mask = mask_for({"POSTGRES_PASSWORD": password})

    assert mask(f"{password} in 1 {password}") == f"{password} in 1 {password}"
    assert mask(f"POSTGRES_PASSWORD={password}") == f"POSTGRES_PASSWORD={MASK}"
    assert mask(f"{{'password': '{password}'}}") == f"{{'password': '{MASK}'}}"
    assert mask(f"psql --password {password}") == f"psql --password {MASK}"


@pytest.mark.parametrize(
    ("key", "secret"),
    [("API_KEY", "ab12c"), ("API_TOKEN", "heron"), ("SIM_PIN", "4821"), ("API_KEY_2", "x9")],
)
def test_a_short_token_is_hidden_behind_its_name_only(key: str, secret: str) -> None:
    mask = mask_for({key: secret})

    assert mask(f"{secret} in 1 {secret}") == f"{secret} in 1 {secret}"
    assert mask(f"{key}={secret}") == f"{key}={MASK}"
    assert mask(f'{{"{key.lower()}": "{secret}"}}') == f'{{"{key.lower()}": "{MASK}"}}'
    assert mask(f"{key}={secret}-x") == f"{key}={secret}-x"
    assert secret not in repr(mask)


@pytest.mark.parametrize(("key", "value"), [("USE_TOKEN", "1"), ("TOKEN", " ")])
def test_what_can_not_be_a_token_stays(key: str, value: str) -> None:
    assert mask_for({key: value})(f"token={value}") == f"token={value}"


def test_a_user_of_a_url_stays_behind_a_name() -> None:
    assert mask_for({"URL": "redis://app@cache"})("auth: app") == "auth: app"


def test_masks_hide_together_what_each_hides() -> None:
    mask = joined(mask_for({"API_KEY": "ab12c"}), mask_for({"PASSWORD": "heron-72"}))

    assert mask("key=ab12c heron-72") == f"key={MASK} {MASK}"


def test_a_line_of_dashes_takes_no_time_squared() -> None:
    mask = mask_for({"API_KEY": "ab12c"})
    mask("key=1")  # compiles it

    begin = time.process_time()
    mask("-" * 3_000)

    assert time.process_time() - begin < 1


def test_a_secret_within_a_command_is_hidden_and_the_command_is_not() -> None:
    mask = mask_for({"test": "redis-cli -a heron-72 ping"})

    assert mask("redis-cli -a heron-72 ping") == f"redis-cli -a {MASK} ping"


def test_a_mask_of_ten_thousand_secrets_replaces_as_one_of_a_few_does() -> None:
    mask = mask_for({f"KEY_{i}": f"heron-plover-{i:05}" for i in range(10_000)})

    assert mask("x heron-plover-00042 heron-plover-0004 y") == f"x {MASK} heron-plover-0004 y"


# --- S4: however it is spelled, and wherever it is cut -----------------------------------

_NAMES = st.sampled_from(["DB_PASSWORD", "API_TOKEN", "CLIENT_SECRET", "SIGNING_KEY", "SENTRY_DSN"])
_DRAWN = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "!%&'()*+,-./:;<=>?@[]^_{|}~\"é"),
    min_size=6,
    max_size=80,
).filter(lambda text: not text.isdecimal() and text.lower() not in mask_module._COMMON)
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda s: json.dumps(s)[1:-1],
    "go": lambda s: go_json(s)[1:-1],
    "php": lambda s: php_json(s)[1:-1],
    "php-all": lambda s: hex_json(s, "&<>'\""),
    "dotnet": lambda s: hex_json(s, "&<>'\"+`"),
    "url": lambda s: quote(s, safe=""),
    "form": lambda s: quote(s, safe="").replace("%20", "+"),
    "repr": lambda s: repr(s)[1:-1],
    "html": html.escape,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64-1": lambda s: base64.b64encode(f"a:{s}\n".encode()).decode(),
    "base64-2": lambda s: base64.b64encode(f"a{s}".encode()).decode(),
    "base64-url": lambda s: base64.urlsafe_b64encode(f"abc{s}z".encode()).decode(),
}


@given(_NAMES, _DRAWN, st.sampled_from(sorted(_SPELLINGS)), st.text(max_size=30))
@settings(max_examples=500, deadline=None)
def test_a_secret_of_any_characters_is_hidden_in_any_spelling(
    name: str, secret: str, spelling: str, around: str
) -> None:
    mask, spelled = mask_for({name: secret}), _SPELLINGS[spelling](secret)
    assume(secret.strip() in mask.secrets)  # else it stands for a variable: FOO_BAR, ${FOO}
    assume(spelled not in f"<{around}>  <{around}>")

    shown = mask(f"<{around}> {spelled} <{around}>")

    assert spelled not in shown
    # Of base64, what depends on its neighbours may stay at either end.
    assert MASK in shown


@given(_NAMES, _DRAWN, st.lists(st.integers(1, 200), max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_secret_is_hidden_wherever_its_bytes_are_cut(
    name: str, secret: str, cuts: list[int]
) -> None:
    mask = mask_for({name: secret})
    data = f"one {secret} two {secret}\n{secret}\n".encode()
    told: list[str] = []
    reader = Output(lambda line: told.append(mask(line)), 1 << 20, str)
    ends = [0, *sorted(cut % len(data) for cut in cuts), len(data)]

    for begin, end in itertools.pairwise(ends):
        reader.feed(data[begin:end])
    reader.close()

    assert secret not in "\n".join(told)
    assert told == [mask(line) for line in data.decode().splitlines()]


@pytest.mark.parametrize("spelling", ["plain", "base64", "url"])
def test_a_secret_that_is_cut_over_two_lines_is_hidden_in_both(spelling: str) -> None:
    secret = "he7ron/Plover+Egret=0042_x"
    mask, spelled = mask_for({"API_TOKEN": secret}), _SPELLINGS[spelling](secret).rstrip("=")

    for at in range(8, len(spelled) - 8):
        first, second = f"said {spelled[:at]}", f"{spelled[at:]} and on"

        assert mask(f"{first}\n{second}") == f"said {MASK}\n{MASK} and on"
        # A stream is masked line by line.
        assert (mask(first), mask(second)) == (f"said {MASK}", f"{MASK} and on")


def test_a_wrapped_base64_of_a_secret_is_hidden() -> None:
    secret = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=120))
    wrapped = base64.encodebytes(secret.encode()).decode()

    shown = mask_for({"API_TOKEN": secret})(wrapped)

    # The last line, of eight letters, could be a word of any output.
    assert len(re.sub(r"[*\n]", "", shown)) <= 8


def test_a_word_at_the_end_or_the_begin_of_a_line_stays() -> None:
    mask = mask_for({"A_PASSWORD": "postgres-secret-value", "B_TOKEN": "changeme-production"})

    for line in ("connected to postgres", "value of it", "secret-of the sea", "production is up"):
        assert mask(line) == line


def test_a_mask_takes_time_in_proportion_to_the_text() -> None:
    mask = mask_for({f"KEY_{i}": f"heron-{i:04}-plover-Qx" for i in range(40)})
    line = "the quick brown fox jumps over heron-0007-plov and the lazy dog, and so on\n"
    mask(line)

    def seconds(size: int) -> float:
        text = line * (size // len(line))
        begin = time.process_time()
        mask(text)
        return time.process_time() - begin

    # Ten megabytes are ten times one, not a hundred times; with room for a slow machine.
    assert seconds(10_000_000) < 25 * seconds(1_000_000)
