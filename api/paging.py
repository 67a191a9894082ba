"""Pages of a list (AIP-158): sizes, and tokens that only their own list accepts."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from lbaas.model.errors import InvalidArgument, Violation

DEFAULT_SIZE = 50
LARGEST_SIZE = 1000

_MAC_BYTES = 16
_LONGEST_TOKEN = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list is asked for: the names after `after`, at most `size`."""

    after: str
    size: int
    _bound: bytes
    _secret: bytes

    def token(self, last: str) -> str:
        """Gives the token of the page that follows the name `last`."""
        return _written(_mac(self._secret, self._bound, last) + last.encode())


@dataclass(frozen=True, slots=True)
class Pager:
    """Opens and seals page tokens with a secret that all of a plane's processes share."""

    secret: bytes

    def page(self, *, page_size: int, page_token: str, collection: str, scope: str) -> Page:
        """Gives the page asked for.

        Args:
            page_size: As the caller wrote it; 0 for the default, capped at the largest.
            page_token: As the caller wrote it; "" for the first page.
            collection: The method's list, so that no other list takes the token.
            scope: What else it is bound to: parent and filter.

        Raises:
            InvalidArgument: The size is negative, or the token is not of this list.
        """
        bound = hashlib.sha256(f"{collection}\0{scope}".encode()).digest()
        violations = []
        if page_size < 0:
            violations.append(
                Violation("page_size", "must not be negative; 0 gives the default", "OUT_OF_RANGE")
            )
        after = self._open(page_token, bound)
        if after is None:
            violations.append(
                Violation(
                    "page_token",
                    "is not a token that this list gave for this parent and filter;"
                    " start again without one",
                    "INVALID_PAGE_TOKEN",
                )
            )
        if after is None or violations:
            raise InvalidArgument(violations, reason="INVALID_PAGE")
        size = min(page_size or DEFAULT_SIZE, LARGEST_SIZE)
        return Page(after=after, size=size, _bound=bound, _secret=self.secret)

    def _open(self, token: str, bound: bytes) -> str | None:
        if not token:
            return ""
        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            sealed = base64.b64decode(
                (token + "=" * (-len(token) % 4)).encode("ascii"), altchars=b"-_", validate=True
            )
            after = sealed[_MAC_BYTES:].decode()
        except (binascii.Error, UnicodeError):
            return None
        if _written(sealed) != token:
            return None  # base64 has several spellings; only ours is a token
        mac = _mac(self.secret, bound, after)
        return after if hmac.compare_digest(mac, sealed[:_MAC_BYTES]) else None


def _written(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _mac(secret: bytes, bound: bytes, last: str) -> bytes:
    return hmac.digest(secret, bound + last.encode(), "sha256")[:_MAC_BYTES]
