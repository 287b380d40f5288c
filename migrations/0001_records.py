"""The collections of records, people and the journal, and the indexes their queries walk.

A search walks (custodian | patient, index, updated, _id): the access picks the prefix, one term
drives. A read by id uses `read`, so that a hidden row is refused without being fetched.
"""

from pymongo import ASCENDING, DESCENDING, IndexModel

from hie_server.store.database import Store
from hie_server.store.repository import READ_INDEX

NEWEST = [("updated", DESCENDING), ("_id", DESCENDING)]


def upgrade(store: Store) -> None:
    for name, indexes in INDEXES.items():
        store.db[name].create_indexes(indexes)


INDEXES = {
    "resources": [
        IndexModel(
            [("_id", ASCENDING), ("custodian", ASCENDING), ("patient", ASCENDING),
             ("rank", ASCENDING)],
            name=READ_INDEX,
        ),
        IndexModel([("custodian", ASCENDING), ("index", ASCENDING), *NEWEST], name="custodian"),
        IndexModel([("patient", ASCENDING), ("index", ASCENDING), *NEWEST], name="patient"),
        IndexModel(
            [("index", ASCENDING), *NEWEST],
            name="directory",
            partialFilterExpression={"custodian": "exchange"},
        ),
    ],
    "history": [
        IndexModel([("resource", ASCENDING), ("version", DESCENDING)], name="version", unique=True)
    ],
    "journal": [IndexModel([("index", ASCENDING), *NEWEST], name="index")],
    "people": [
        IndexModel([("patients", ASCENDING)], name="patients", unique=True),
        IndexModel([("health_id", ASCENDING)], name="health_id", unique=True),
    ],
    "keys": [IndexModel([("owner", ASCENDING)], name="owner", unique=True)],
}
