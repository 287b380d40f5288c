"""Clients of the authorisation server and their tokens."""

from hie_server.authz import clients
from hie_server.store.database import Store


def upgrade(store: Store) -> None:
    clients.ensure_indexes(store)
