"""The journal's entries keep fewer terms: those written before are found by the same ones.

What an entry says stays as it was; only what it is found by is written anew.
"""

from bson.binary import Binary
from pymongo import UpdateOne

from hie_server.audit.index import KIND, terms
from hie_server.audit.journal import Journal
from hie_server.store.database import Store

BATCH = 1_000


def upgrade(store: Store) -> None:
    journal, changes = Journal(store), []
    for row in store.db.journal.find({"ranges": {"$exists": True}}):
        event = journal.event(row)
        patients = [(KIND, "-concerns", "", each) for each in event.patients()]
        facility = [(KIND, "-facility", "", event.facility or "")]
        kept = {store.seal.term(*each) for each in patients + facility} & set(row["index"])
        found = kept | {store.seal.term(*each) for each in terms(event)}
        change = {"$set": {"index": [Binary(each) for each in found]}, "$unset": {"ranges": ""}}
        changes.append(UpdateOne({"_id": row["_id"]}, change))
        if len(changes) == BATCH:
            store.db.journal.bulk_write(changes)
            changes = []
    if changes:
        store.db.journal.bulk_write(changes)
