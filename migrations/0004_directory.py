"""The exchange's own Organization: in a Consent it stands for every approved facility."""

from pymongo.errors import DuplicateKeyError

from hie_server.identity import facilities
from hie_server.store.database import Store


def upgrade(store: Store) -> None:
    try:
        facilities.add_exchange(store)
    except DuplicateKeyError:
        pass
