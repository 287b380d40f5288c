"""Sealing: what is on disk can't be read without the server key.

A body is compressed, then encrypted by AES-256-GCM under the key of its patient (or custodian),
which is itself encrypted under the server key: erasing that one key erases a life, backups too.
Search terms are keyed hashes. https://csrc.nist.gov/pubs/sp/800/38/d/final
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import uuid
from functools import lru_cache
from typing import Any, Iterable, Mapping

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

TERM_BYTES = 10
NONCE_BYTES = 12
CACHED_KEYS = 50_000
CACHED_TERMS = 50_000
OWN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_local = threading.local()


class SealError(Exception):
    """A body that this server's key can't open, or that was moved or changed on disk."""


def _compress(data: bytes) -> bytes:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=3)
        _local.decompressor = zstandard.ZstdDecompressor()
    return bytes(_local.compressor.compress(data))


def _decompress(data: bytes) -> bytes:
    if not hasattr(_local, "decompressor"):
        _compress(b"")
    return bytes(_local.decompressor.decompress(data))


def subkey(server_key: bytes, purpose: str) -> bytes:
    """A key for one purpose: knowing it tells nothing of the server key or of the others."""
    return hmac.new(server_key, f"hie:{purpose}".encode(), hashlib.sha256).digest()


class Seal:
    """Hashes terms and seals bodies under one server key (32 bytes).

    `keys` is the collection of wrapped data keys: `_id` the key's id (`kid`), `owner` whose
    records it seals, `wrapped`.
    """

    def __init__(self, server_key: bytes, keys: Collection[Any]):
        if len(server_key) != 32:
            raise ValueError("The server key must be 32 bytes.")
        self._term_key = subkey(server_key, "terms")
        self._wrapper = AESGCM(subkey(server_key, "wrap"))
        # The same few thousand terms are asked for again and again.
        self.term = lru_cache(CACHED_TERMS)(self._term)
        self._boxes = AESGCM(subkey(server_key, "box"))
        self._keys = keys
        self._opened: dict[str, AESGCM] = {}
        self._kids: dict[str, str] = {}

    def _term(self, *parts: str) -> bytes:
        """The keyed hash that stands for these parts in an index."""
        message = "\x1f".join(parts).encode()
        return hashlib.blake2b(message, key=self._term_key, digest_size=TERM_BYTES).digest()

    def derive_id(self, *parts: str) -> str:
        """An id that is the same for the same parts, and tells nothing of them or of that."""
        message = "\x1f".join(parts).encode()
        key = self._term_key
        digest = hashlib.blake2b(message, key=key, digest_size=16, person=b"id").digest()
        return str(uuid.UUID(bytes=digest, version=4))

    def opaque(self, reference: str) -> str:
        """The reference as records keep it in the clear: one that is not of our own making is
        hashed, since a facility's local id may be a name or a number of a person."""
        kind, _, identity = reference.partition("/")
        if OWN_ID.fullmatch(identity) or reference == "exchange":
            return reference
        return f"{kind if kind.isalpha() else 'other'}/~{self.term('reference', reference).hex()}"

    def seal(self, owner: str, data: bytes, context: str) -> tuple[str, bytes]:
        """(kid, sealed data). `context` (type, id, version) must be the same on opening, so that
        a body moved to another row doesn't open."""
        kid = self._kid(owner)
        nonce = os.urandom(NONCE_BYTES)
        box = self._open_key(kid)
        return kid, nonce + box.encrypt(nonce, _compress(data), context.encode())

    def open(self, kid: str, sealed: bytes, context: str) -> bytes:
        nonce, data = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return _decompress(self._open_key(kid).decrypt(nonce, data, context.encode()))
        except (InvalidTag, ValueError) as error:
            raise SealError(f"The body sealed by key {kid} does not open.") from error

    def box(self, data: bytes, context: str) -> bytes:
        """Data that only this server can read back, and only in the same context."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._boxes.encrypt(nonce, data, context.encode())

    def unbox(self, boxed: bytes, context: str) -> bytes:
        try:
            nonce, data = boxed[:NONCE_BYTES], boxed[NONCE_BYTES:]
            return self._boxes.decrypt(nonce, data, context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError("Not boxed by this server in this context.") from error

    def preload(self, kids: Iterable[str]) -> None:
        """Fetch the keys of a page in one query."""
        missing = [kid for kid in set(kids) if kid not in self._opened]
        if len(missing) > 1:
            for row in self._keys.find({"_id": {"$in": missing}}):
                self._remember(row)

    def _kid(self, owner: str) -> str:
        kid = self._kids.get(owner)
        if kid is None:
            kid = self._remember(self._key_of(owner))
            _bound(self._kids)[owner] = kid
        return kid

    def _key_of(self, owner: str) -> dict[str, Any]:
        """The owner's key, made on first use; of two made at once one wins."""
        row = self._keys.find_one({"owner": owner})
        if row is not None:
            return dict(row)
        kid, nonce = secrets.token_hex(8), os.urandom(NONCE_BYTES)
        wrapped = nonce + self._wrapper.encrypt(nonce, secrets.token_bytes(32), kid.encode())
        try:
            self._keys.insert_one({"_id": kid, "owner": owner, "wrapped": wrapped})
        except DuplicateKeyError:
            pass
        return dict(self._keys.find_one({"owner": owner}))  # type: ignore[arg-type]

    def _open_key(self, kid: str) -> AESGCM:
        box = self._opened.get(kid)
        if box is None:
            row = self._keys.find_one({"_id": kid})
            if row is None:
                raise SealError(f"The key {kid} is erased.")
            self._remember(row)
            box = self._opened[kid]
        return box

    def _remember(self, row: Mapping[str, Any]) -> str:
        kid, wrapped = str(row["_id"]), bytes(row["wrapped"])
        try:
            key = self._wrapper.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], kid.encode())
        except InvalidTag as error:
            raise SealError("The server key is not the one that this database was sealed with.") \
                from error
        _bound(self._opened)[kid] = AESGCM(key)
        return kid


def _bound(cache: dict[str, Any]) -> dict[str, Any]:
    if len(cache) >= CACHED_KEYS:
        cache.clear()
    return cache
