"""A hot standby reads the same numbers; promoted, it takes votes, and its feed says that a new history has begun."""

import psycopg
import pytest

import ballots
import vote_calls
from testkit import oracle
from testkit.cluster import Cluster
from testkit.follower import Follower
from testkit.harness import Database, eventually, random_for, running

# What depends on the clock or on who runs where is left out: votes per minute, the worker.
READS = {
    "stats": "SELECT status, total_votes, votes, leader, dominance, active_cells, active_countries, last_vote_at, seq, epoch,"
    " lead_changes, last_lead_change_at, last_lead_change_from, last_lead_change_to FROM get_realtime_stats('m')",
    "cells": "SELECT * FROM get_match_aggregates('m') ORDER BY h3_index",
    "coarse cells": "SELECT * FROM get_match_aggregates('m', 3, 2, 5)",
    "cells in a box": "SELECT * FROM get_match_aggregates('m', 5, bbox => '{-180, -60, 20, 90}', smooth => 1) ORDER BY h3_index",
    "top cells": "SELECT * FROM get_top_cells('m', 5), get_cell('m', '8009fffffffffff')",
    "geojson": "SELECT get_match_geojson('m')::text, get_match_geojson('m', territories => true)::text",
    "tile": "SELECT get_match_tile('m', 0, 0, 0)",
    "countries": "SELECT * FROM get_country_aggregates('m') ORDER BY country_code",
    "timeline": "SELECT * FROM get_match_timeline('m') ORDER BY 1, 2",
    "at": "SELECT country_code, total_votes, votes, leader, dominance FROM get_match_at('m', 'infinity')",
    "flips": "SELECT * FROM get_match_flips('m', max_rows => 1000)",
    "changes": "SELECT seq, at, body::text, resync FROM get_match_changes('m', 0)",
    "update": "SELECT get_match_update('m', 0)->>'seq', (get_match_update('m', 0)->'cells')::text",
    "snapshot": "SELECT get_match_snapshot('m')->>'seq', get_match_snapshot('m')->'cells'",
    "live": "SELECT match_id, status, total_votes, votes, leader, dominance, active_cells, active_countries FROM vote_agg.live",
    "ballots": "SELECT * FROM vote_agg.ballot ORDER BY match_id, voter_id",
    "stat_fold": "SELECT folds, rows, last_fold_at, last_rows, last_error FROM vote_agg.stat_fold",
    "stat_pending": "SELECT * FROM vote_agg.stat_pending",
}


@pytest.fixture
def standby(cluster, still):
    """The database `still` on a standby of its server, which waits until the standby has each commit on disk."""
    path = cluster.path / "standby"
    source = ("-h", cluster.path, "-U", "postgres")
    cluster.run("pg_basebackup", *source, "-D", path / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
    other = Cluster(path)
    cluster.configure(synchronous_standby_names="'*'", synchronous_commit="on")
    with other:
        cluster.reload()
        eventually("it streams", lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")[0][0])
        yield Database(other, still.name)


def catch_up(primary, standby):
    (lsn,) = primary.sql("SELECT pg_current_wal_flush_lsn()")[0]
    eventually("the standby has replayed all", lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn))


def test_a_standby_reads_and_takes_over(cluster, still, standby):
    rng, journal = random_for("standby"), []
    with still.connect() as primary, standby.connect() as session:

        def vote(writer, times):
            for _ in range(times):
                statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                for statement in statements:
                    writer.execute(*statement)
                journal.extend(votes)
            ballots.cast_some(writer, rng, journal, "m", times)

        vote(primary, 50)
        for folded in (False, True, False):
            if folded:
                still.settle()
            else:
                vote(primary, 20)
            catch_up(still, standby)
            for name, read in READS.items():
                assert primary.execute(read).fetchall() == session.execute(read).fetchall(), name
            assert not oracle.differences(session, "m", journal, folded)

        writes = ("record_vote('m', 'home')", "cast_vote('m', 'voter 0', 'home')", "vote_agg.fold()", "close_match('m')")
        for write in writes:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                session.execute(f"SELECT {write}")

        follower = Follower(session, "m")
        old_epoch, old_seq = follower.epoch, follower.seq
        cluster.kill()
        standby.cluster.run("pg_ctl", "-D", standby.cluster.data, "-w", "promote")
        assert not oracle.differences(session, "m", journal), "what was acknowledged is there before the first fold"
        vote(session, 20)
        standby.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
        rows = session.execute("SELECT seq, epoch FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq").fetchall()
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
        assert {epoch for seq, epoch in rows if seq <= old_seq} == {old_epoch}
        assert len(rows) > old_seq and old_epoch not in {epoch for seq, epoch in rows if seq > old_seq}
        assert not follower.catch_up(), "a new epoch makes a follower start again"
        assert follower.epoch != old_epoch and not follower.differences(journal)


def test_nothing_is_lost_when_the_primary_dies_under_load(cluster, still, standby):
    """Synchronous: what was acknowledged is on the standby. Votes whose commit was not answered may be there or not."""
    acknowledged = [[] for _ in range(4)]
    still.sql("CREATE TABLE journal (id text PRIMARY KEY, votes bigint)")
    still.sql(f"ALTER DATABASE {still.name} RESET vote_agg.worker")

    def voter(number):
        def run(stop):
            try:
                with still.connect() as session:
                    while not stop.is_set():
                        name = f"{number}/{len(acknowledged[number])}"
                        with session.transaction():
                            session.execute("SELECT record_vote('m', 'home', NULL::text, 'FR', 3)")
                            session.execute("INSERT INTO journal VALUES (%s, 3)", (name,))
                        acknowledged[number].append(name)
            except psycopg.OperationalError as gone:
                assert gone.sqlstate in (None, "57P01", "57P02", "57P03"), gone

        return run

    with running(*map(voter, range(4))):
        eventually("everybody votes", lambda: all(acknowledged))
        eventually("folds go on", lambda: still.value("SELECT count(*) FROM vote_agg.feed") > 3)
        cluster.kill()
    standby.cluster.run("pg_ctl", "-D", standby.cluster.data, "-w", "promote")
    names = {name for (name,) in standby.sql("SELECT id FROM journal")}
    assert not set(sum(acknowledged, [])) - names
    journal = [oracle.Vote("m", "home", None, "FR", 3)] * len(names)
    with standby.connect() as session:
        assert not oracle.differences(session, "m", journal)
        standby.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
        seqs = [seq for (seq,) in session.execute("SELECT seq FROM vote_agg.feed ORDER BY seq")]
        assert seqs == list(range(1, len(seqs) + 1))


@pytest.fixture
def cluster(new_cluster):
    """A server for each proof here: it does not survive it."""
    return new_cluster()
