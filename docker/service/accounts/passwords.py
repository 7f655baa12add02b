"""What a password must look like, and how it is kept."""

import secrets
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from starlette.concurrency import run_in_threadpool

MIN_LENGTH = 12
MAX_LENGTH = 128

_RULES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (f"at least {MIN_LENGTH} characters", lambda word: len(word) >= MIN_LENGTH),
    (f"at most {MAX_LENGTH} characters", lambda word: len(word) <= MAX_LENGTH),
    ("a lower-case letter", lambda word: any(map(str.islower, word))),
    ("an upper-case letter", lambda word: any(map(str.isupper, word))),
    ("a digit", lambda word: any(map(str.isdigit, word))),
)


def unmet_rules(password: str) -> tuple[str, ...]:
    """Return what *password* lacks, in the order of the rules; empty if it will do."""
    return tuple(rule for rule, is_met in _RULES if not is_met(password))


class Passwords:
    """Hash and check passwords off the event loop: each takes tens of milliseconds."""

    def __init__(self, *, time_cost: int, memory_kib: int) -> None:
        """Set the price of one hash."""
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib)
        self._decoy = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """Return *password* hashed with a fresh salt and the parameters beside it."""
        return await run_in_threadpool(self._hasher.hash, password)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Say whether *password* is the one behind *hashed*.

        ``None`` (no such user) takes as long as a wrong password, so the time
        of the answer does not tell which addresses have an account.
        """
        found = await run_in_threadpool(self._verify, hashed or self._decoy, password)
        return found and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerifyMismatchError:
            return False
