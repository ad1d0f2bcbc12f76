"""A shard that is silent, as behind a broken network: PgBouncer beside the front ends the wait, and the other shards go on."""

import psycopg
import pytest

from shards import Front
from testkit.harness import eventually
from testkit.pooler import PORT, bouncer

LIMITS = {"query_timeout": 2, "server_connect_timeout": 2}
CERTAIN = ("22", "23", "42", "0A000", "25006", "55000")  # refusals: they count nothing
VOTERS = [f"voter {n}" for n in range(20)]


@pytest.fixture
def pooled(new_cluster, new_database):
    """A front and two shards, in clusters of their own, with PgBouncer between them."""
    clusters = [new_cluster() for _ in range(3)]
    for cluster in clusters:
        # PL/Proxy's own errors have no SQLSTATE of theirs.
        cluster.planted += ["Pl/Proxy", "PL/Proxy", "vote_agg_front."]
    shards = [new_database(cluster) for cluster in clusters[1:]]
    places = {shard.name: f"host={shard.cluster.path} port={shard.cluster.port}" for shard in shards}
    with bouncer(clusters[0], "postgres", databases=places, admin_users="postgres"):
        made = Front(new_database(clusters[0], extension=False), shards, lambda shard: f"host={clusters[0].path} port={PORT} dbname={shard.name}")
        yield made
        made.close()


def test_a_silent_shard_is_waited_for_no_longer_than_the_pooler_says(pooled):
    pooled.rows("SELECT open_match('spread', spread => true)")
    home = next(match for match in map("home {}".format, range(99)) if pooled.value("SELECT vote_agg_front.shard_of(%s, 2)", match) == 0)
    pooled.rows("SELECT open_match(%s)", home)
    shard_of = {voter: pooled.value("SELECT vote_agg_front.shard_of(%s, 2)", voter) for voter in VOTERS}
    here, there = (next(voter for voter in VOTERS if shard_of[voter] == shard) for shard in (0, 1))
    total = "SELECT total_votes, votes FROM get_realtime_stats(%s)"

    def ask(query, *params):
        """The answer; None where the error leaves open what the shard has done, as one after a time-out does."""
        try:
            return pooled.rows(query, *params)
        except psycopg.Error as error:
            assert not error.sqlstate.startswith(CERTAIN), error
            return None

    def cast(match, voter):
        return ask("SELECT cast_vote(%s, %s, 'home')", match, voter)

    limit(pooled.db.cluster)
    with pooled.shards[1].cluster.silence():
        # Nothing but a time-out can end these: the server says nothing, and its socket stays open.
        assert cast("spread", there) is None
        assert ask(total, "spread") is None
        # The other shard's voters and matches are none the worse.
        for match in ("spread", home):
            assert eventually("a ballot on the other shard", lambda match=match: cast(match, here)) in ([("counted",)], [("unchanged",)])
        assert eventually("a read of the other shard", lambda: ask(total, home)) == [(1, {"home": 1})]
    # What was unknown is sent again, and counts once.
    assert eventually("the shard is back", lambda: cast("spread", there)) in ([("counted",)], [("unchanged",)])
    assert eventually("it is there", lambda: cast("spread", there)) == [("unchanged",)]
    assert eventually("a read of both", lambda: ask(total, "spread")) == [(2, {"home": 2})]


def limit(cluster):
    """From now on PgBouncer waits no longer than this. Nothing that a test needs to go well depends on it being enough at once."""
    with psycopg.connect(f"host={cluster.path} port={PORT} dbname=pgbouncer user=postgres", autocommit=True) as console:
        for name, seconds in LIMITS.items():
            console.execute(f"SET {name} = {seconds}")
