"""Notes that an empty database is indexed by every search parameter (hie_server/store/indexing)."""

from hie_server.store import indexing
from hie_server.store.database import Store


def upgrade(store: Store) -> None:
    indexing.start(store)
