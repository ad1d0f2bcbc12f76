"""A root with a shard behind it, where a suite expects a plain database (RIG=root).

A session on it is two. What votes, or looks at votes that only a shard has, goes to the shard; what reads, follows or repairs goes to
the root. Transactions are opened and ended on both. A fold first folds the shard, then waits until the root has all of it.
"""

import os
import re

from testkit import rig
from testkit.harness import fold

NAME = "shard"
VOTES = re.compile(
    r"\b((rpc_)?record_votes?|bulk_increment|bulk_update_aggregates|(rpc_)?(increment|update)_(h3|country)_aggregate|(rpc_)?cast_votes?"
    r"|retract_votes?|get_vote|attach_votes|detach_votes)\(|\bvote_agg\.ballot\b"
)
BOTH = re.compile(r"^\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b|\b(open|close|purge)_match\(|\bvote_agg\.grant_writer\(")
FOLD = re.compile(r"\bvote_agg\.fold\(\)")
HEADS = "SELECT u.* FROM vote_agg.get_heads() h CROSS JOIN LATERAL unnest(h.match_ids, h.epochs, h.seqs) AS u"
APPLIED = "SELECT match_id, epoch, seq FROM vote_agg.shard_head"


# Tests that a root cannot pass, by file and name, and why.
NOT_OF_A_ROOT = {
    ("test_first", "test_snapshot_then_updates"): "a shard tells cells and countries apart: `new` has no country",
    ("test_events", "test_folds_that_no_message_has_room_for"): "it counts folds: a root has fewer, with more in each",
    ("test_http", "test_the_list_of_matches"): "one statement votes and opens another match; a root hears of a match with its first vote",
    ("test_door", "test_a_door_that_cannot_be_right_does_not_open"): "it alters settings of the database that takes votes, by its name",
    ("test_door_fair", "test_a_vote_that_came_too_late_holds_up_nobody"): "it replaces a function in the database that takes votes",
    ("test_service", "test_a_client_that_does_not_read_gets_a_snapshot_when_it_does"):
        "its client answers no ping: a fold that waits for a shard and a pull takes so long that the client is put out before it reads",
    ("test_pull", None): "it has a root and shards of its own",
    ("test_cluster", None): "it has nodes of its own",
    ("test_database", None): "it has servers of its own: TLS, poolers, standbys",
    ("test_truth", None): "it has a primary and a standby of its own",
    ("test_documents", None): "it runs the documents' commands on a server of its own",
    ("test_validate", None): "it votes over the address that it reads from",
    ("test_soak", None): "it measures memory over hours",
}


def is_chosen():
    rig_name = os.environ.get("RIG", "plain")
    assert rig_name in ("plain", "root"), f"RIG is {rig_name!r}: plain or root"
    return rig_name == "root"


class Session:
    """The two sessions as one: what psycopg's has, as far as the suites use it."""

    def __init__(self, root, shard):
        self.root, self.shard = root, shard

    def execute(self, query, params=None, **options):
        text = query if isinstance(query, str) else query.as_string(self.root)
        if FOLD.search(text):
            self.settle_shard()
        if VOTES.search(text):
            return self.shard.execute(query, params, **options)
        if BOTH.search(text):
            self.shard.execute(query, params, **options)
        return self.root.execute(query, params, **options)

    def settle_shard(self):
        """Folds the shard, and waits until the root has what it had then."""

        def is_folded():
            fold(self.shard)
            return self.shard.execute("SELECT coalesce(sum(rows), 0) FROM vote_agg.stat_pending").fetchone()[0] == 0

        rig.eventually("nothing is pending on the shard", is_folded)
        heads = self.shard.execute(HEADS).fetchall()

        def is_applied():
            applied = {match: (epoch, seq) for match, epoch, seq in self.root.execute(APPLIED).fetchall()}
            return all(applied.get(match, (None, 0))[0] == epoch and applied[match][1] >= seq for match, epoch, seq in heads)

        rig.eventually("the root has what the shard has folded", is_applied)

    @property
    def autocommit(self):
        return self.root.autocommit

    @autocommit.setter
    def autocommit(self, value):
        self.root.autocommit = self.shard.autocommit = value

    def rollback(self):
        self.shard.rollback()
        self.root.rollback()

    def commit(self):
        self.shard.commit()
        self.root.commit()

    def close(self):
        self.shard.close()
        self.root.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        return getattr(self.root, name)
