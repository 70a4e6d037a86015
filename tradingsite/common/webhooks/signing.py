"""Secrets and signatures as Standard Webhooks has them (standardwebhooks.com); secrets encrypted at rest.

The key at rest is derived from `SECRET_KEY`; secrets of before a change of it are read by `SECRET_KEY_FALLBACKS`.
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from tradingsite.common.webhooks.errors import SecretUnreadable

PREFIX = "whsec_"
BYTES = 32


def new_secret() -> str:
    """Return a secret as its receiver keeps it: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def encrypt(secret: str) -> str:
    return _box().encrypt(secret.encode()).decode()


def decrypt(kept: str) -> str:
    """Return the secret.

    Raises:
        SecretUnreadable: when none of the keys in force encrypted it.
    """
    try:
        return _box().decrypt(kept.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable from None


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,` and the base64 of the HMAC-SHA256 of `<id>.<seconds>.<body>`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _box() -> MultiFernet:
    return MultiFernet([_fernet(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"trading desk: webhook secrets").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
