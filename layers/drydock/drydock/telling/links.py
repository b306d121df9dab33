"""Links for people who have no AWS credentials.

A link's key is nowhere: KMS makes it, always the same one, out of what the link is for, with a key that never leaves
KMS. Only its hash is stored, so whoever can read the table, a log or a run's input cannot make one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import urlencode

from drydock.aws.calls import call, client

_NO_HASH = "0" * 64


def make_key(kms_key: str, *about: str) -> str:
    """The key of the link to what these texts name: 256 bits that only this KMS key can make."""
    made = call(
        client("kms").generate_mac, KeyId=kms_key, MacAlgorithm="HMAC_SHA_256", Message="\n".join(about).encode()
    )
    return base64.urlsafe_b64encode(made["Mac"]).rstrip(b"=").decode()


def hash_of_key(key: str) -> str:
    """The SHA-256 of a link's key in hexadecimal digits: all that is stored of the key."""
    return hashlib.sha256(key.encode()).hexdigest()


def fits(key: str, key_hash: str) -> bool:
    """Whether this is the key of that hash. No key fits an empty hash, and none is found quicker to be wrong."""
    return hmac.compare_digest(hash_of_key(key), key_hash or _NO_HASH)


def link_to(url: str, path: str, run_id: str, key: str) -> str:
    """The whole address, below the function URL."""
    return f"{url.rstrip('/')}{path}?{urlencode({'run': run_id, 'key': key})}"
