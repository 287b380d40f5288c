"""What is on disk opens with this server's key, in its own row, and with nothing else."""

from __future__ import annotations

import threading

import pytest

from hie_server.store.database import Store
from hie_server.store.sealing import Seal, SealError

OWNER = "Patient/6f1c64a5-9c1f-4bb7-8a6b-7a2d9f6f5a10"
BODY = b'{"resourceType":"Patient"}'
CONTEXT = "Patient/1|1"


def other(store: Store, key: bytes = bytes(32)) -> Seal:
    return Seal(key, store.db["keys"])


def test_what_was_sealed_opens_to_the_same_bytes(store: Store) -> None:
    for data in (b"", BODY, bytes(range(256)) * 4_000):
        kid, sealed = store.seal.seal(OWNER, data, CONTEXT)
        assert store.seal.open(kid, sealed, CONTEXT) == data


def test_the_same_body_is_never_sealed_to_the_same_bytes(store: Store) -> None:
    sealed = {store.seal.seal(OWNER, BODY, CONTEXT)[1] for _ in range(50)}
    assert len(sealed) == 50
    assert all(b"Patient" not in each for each in sealed)


def test_a_body_moved_to_another_row_or_changed_by_one_bit_does_not_open(store: Store) -> None:
    kid, sealed = store.seal.seal(OWNER, BODY, CONTEXT)
    with pytest.raises(SealError):
        store.seal.open(kid, sealed, "Patient/1|2")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealError):
            store.seal.open(kid, bytes(changed), CONTEXT)


def test_what_is_cut_short_does_not_open(store: Store) -> None:
    kid, sealed = store.seal.seal(OWNER, BODY, CONTEXT)
    boxed = store.seal.box(BODY, CONTEXT)
    for length in range(0, len(boxed), 5):
        with pytest.raises(SealError):
            store.seal.open(kid, sealed[:length], CONTEXT)
        with pytest.raises(SealError):
            store.seal.unbox(boxed[:length], CONTEXT)


def test_another_servers_key_opens_nothing(store: Store) -> None:
    kid, sealed = store.seal.seal(OWNER, BODY, CONTEXT)
    with pytest.raises(SealError, match="server key"):
        other(store).open(kid, sealed, CONTEXT)


def test_erasing_an_owners_key_erases_what_it_sealed(make_store: object, store: Store) -> None:
    kid, sealed = store.seal.seal(OWNER, BODY, CONTEXT)
    kept_kid, kept = store.seal.seal("Organization/other", BODY, CONTEXT)
    store.db.keys.delete_one({"owner": OWNER})
    fresh = make_store().seal  # type: ignore[operator]
    with pytest.raises(SealError, match="erased"):
        fresh.open(kid, sealed, CONTEXT)
    assert fresh.open(kept_kid, kept, CONTEXT) == BODY


def test_one_owner_has_one_key_whoever_makes_it_first(make_store: object, store: Store) -> None:
    seals = [make_store().seal for _ in range(12)]  # type: ignore[operator]
    kids: list[str] = []
    threads = [
        threading.Thread(target=lambda s=seal: kids.append(s.seal(OWNER, BODY, CONTEXT)[0]))
        for seal in seals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kids) == 12 and len(set(kids)) == 1
    assert store.db.keys.count_documents({"owner": OWNER}) == 1


def test_a_key_is_on_disk_wrapped_only(store: Store) -> None:
    kid, _ = store.seal.seal(OWNER, BODY, CONTEXT)
    row = store.db.keys.find_one({"_id": kid})
    assert row is not None and len(row["wrapped"]) == 12 + 32 + 16


def test_a_page_preloads_its_keys(make_store: object, store: Store) -> None:
    made = [store.seal.seal(f"Organization/{n}", BODY, CONTEXT) for n in range(5)]
    fresh = make_store().seal  # type: ignore[operator]
    fresh.preload([kid for kid, _ in made] * 2 + ["unknown"])
    store.db.keys.delete_many({})
    assert [fresh.open(kid, sealed, CONTEXT) for kid, sealed in made] == [BODY] * 5


def test_terms_depend_on_every_part_and_on_the_key(store: Store) -> None:
    parts = [("a", "b"), ("ab", ""), ("a", "b", ""), ("b", "a"), ("a",), ("A", "b")]
    assert len({store.seal.term(*each) for each in parts}) == len(parts)
    assert store.seal.term("a", "b") == store.seal.term("a", "b")
    assert other(store).term("a", "b") != store.seal.term("a", "b")


def test_a_box_opens_in_its_own_context_alone(store: Store) -> None:
    boxed = store.seal.box(BODY, CONTEXT)
    assert store.seal.unbox(boxed, CONTEXT) == BODY
    for seal, context in ((store.seal, "another"), (other(store), CONTEXT)):
        with pytest.raises(SealError):
            seal.unbox(boxed, context)


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        (OWNER, True),
        ("exchange", True),
        ("Patient/9876543210", False),
        ("Patient/Ravi-Kumar", False),
        ("Patient/6F1C64A5-9C1F-4BB7-8A6B-7A2D9F6F5A10", False),
        ("http://other.example/Patient/1", False),
        ("9876543210", False),
    ],
)
def test_only_references_of_our_own_making_stay_in_the_clear(
    store: Store, reference: str, kept: bool
) -> None:
    opaque = store.seal.opaque(reference)
    assert (opaque == reference) is kept
    assert store.seal.opaque(reference) == opaque
    if not kept:
        assert not any(part in opaque for part in ("9876543210", "Ravi", "other.example", "9C1F"))


def test_a_server_key_has_32_bytes(store: Store) -> None:
    with pytest.raises(ValueError, match="32"):
        other(store, bytes(31))
