"""Passwords: what may be one, and how it is kept (argon2id)."""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from reid.errors import AccountError

SHORTEST, LONGEST = 12, 256
_FEWEST_DIFFERENT = 5
# A letter is four code points at most when taken apart, so no password that is allowed has more.
# Nothing longer is put together: that takes a time that grows with the square of its length.
_MOST_TYPED = 4 * LONGEST
# Each hash takes `memory` KiB: a flood of sign-ins waits here rather than fill the machine.
_AT_ONCE = 2


class Passwords:
    """Hashes and checks passwords. Safe to share by threads."""

    def __init__(self, time_cost: int = 3, memory: int = 65536, lanes: int = 4) -> None:
        """Make one.

        Args:
            time_cost: passes over the memory.
            memory: KiB for each hash. The defaults are those of RFC 9106 for little memory.
            lanes: argon2's parallelism.
        """
        self._hasher = PasswordHasher(time_cost, memory, lanes)
        self._turn = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """The argon2 hash to be stored."""
        with self._turn:
            return self._hasher.hash(_normal(password))

    def matches(self, stored: str | None, password: str) -> bool:
        """True if the password is the stored one.

        It takes as long where nothing is stored, so that the time of an answer does not tell
        whether a name exists.
        """
        with self._turn:
            try:
                self._hasher.verify(stored or self._nobody, _normal(password)[:LONGEST])
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """True if it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)


def check_password(password: str, name: str) -> None:
    """Refuse what is guessed first.

    Length is what counts; there is no rule about digits or signs, which people answer with `1!`.

    Raises:
        AccountError: saying which rule; never the password.
    """
    text = _normal(password)
    length = len(password) if len(password) > _MOST_TYPED else len(text)
    if not SHORTEST <= length <= LONGEST:
        raise AccountError(
            f"the password has {length} characters; allowed: {SHORTEST} to {LONGEST}"
        )
    if len(set(text)) < _FEWEST_DIFFERENT:
        raise AccountError(f"the password has fewer than {_FEWEST_DIFFERENT} different characters")
    if name.lower() in text.lower() and len(text) - len(name) < SHORTEST // 2:
        raise AccountError("the password is little more than the user's name")


def _normal(password: str) -> str:
    # Two keyboards may type one letter in two ways.
    return unicodedata.normalize("NFC", password[:_MOST_TYPED])
