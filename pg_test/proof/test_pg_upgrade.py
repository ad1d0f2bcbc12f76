"""pg_upgrade from PostgreSQL 15 carries everything, pending votes, ballots and attached tables too; then a new history begins."""

import os
import pathlib
import subprocess

import psycopg
import pytest

import ballots
import vote_calls
from test_standby import READS
from testkit import cluster as clusters
from testkit import oracle
from testkit.harness import Database, random_for

# Two are about the server's files, and the epoch is that of another history.
KEPT = {name: read.replace(" seq, epoch,", " seq,") for name, read in READS.items() if name not in ("stat_fold", "stat_pending")}
OLD = pathlib.Path("/usr/lib/postgresql/15/bin")
ATTACH = """
CREATE TABLE plain (id int PRIMARY KEY, match_id text, team_choice text);
CREATE TABLE parted (id int, match_id text, team_choice text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
INSERT INTO plain SELECT n, 'rows', 'home' FROM generate_series(1, 100) n;
INSERT INTO parted SELECT n, 'rows', 'away' FROM generate_series(0, 199) n;
SELECT attach_votes('plain'), attach_votes('parted');
"""
CAST = """SELECT count(*) FROM cast_votes(array_fill('poll'::text, ARRAY[10000]),
    (SELECT array_agg('voter ' || n) FROM generate_series(%s::int, %s::int) n), array_fill('yes'::text, ARRAY[10000]))"""
CASTS = int(os.environ.get("PROOF_CASTS", 100_000))
# From 15.20 on a column has a version among its options. A pg_dump that is older than that, as that of 18.6, takes it for one to
# restore, and the newer server refuses it.
FORGET_VERSIONS = """UPDATE pg_attribute SET attoptions = nullif(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), '{}')
    WHERE array_to_string(attoptions, ' ') ~ 'pg_attver='"""


class OldCluster(clusters.Cluster):
    """A server of PostgreSQL 15, with checksums as the newer one has them."""

    def run(self, program, *args, **options):
        newer, clusters.BIN = clusters.BIN, OLD
        try:
            more = ["--data-checksums"] if program == "initdb" else []
            return super().run(program, *args, *more, **options)
        finally:
            clusters.BIN = newer


@pytest.fixture
def old():
    if clusters.BIN == OLD:
        pytest.skip("an upgrade takes a newer server: make newest")
    with OldCluster(**{"vote_agg.feed_retention": "'1d'"}) as cluster:
        yield cluster


@pytest.fixture
def new():
    with clusters.Cluster(**{"vote_agg.feed_retention": "'1d'"}) as cluster:
        cluster.stop()
        yield cluster


def upgrade(old, new):
    """As its manual says, with both servers down."""
    for (name,) in old.sql("SELECT datname FROM pg_database WHERE datallowconn"):
        old.sql(FORGET_VERSIONS, dbname=name)
    old.stop()
    command = [clusters.BIN / "pg_upgrade", "-b", OLD, "-B", clusters.BIN, "-d", old.data, "-D", new.data, "-U", "postgres", "-s", new.path]
    done = subprocess.run(command, cwd=new.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **clusters.as_postgres())
    logs = [path.read_text()[-3000:] for path in new.data.glob("pg_upgrade_output.d/*/log/*dump_1*.log")]
    assert done.returncode == 0, done.stdout[-2000:] + "\n".join(logs)
    new.start()


def test_nothing_differs(old, new):
    rng, journal = random_for("pg_upgrade"), []
    db = Database(old, "votes")
    old.sql("CREATE DATABASE votes")
    db.configure(worker="off")
    db.sql("CREATE EXTENSION vote_agg")

    def vote(session, times):
        for _ in range(times):
            statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
            for statement in statements:
                session.execute(*statement)
            journal.extend(votes)
        ballots.cast_some(session, rng, journal, "m", times)

    with db.connect() as session:
        session.execute(ATTACH)
        for first in range(1, CASTS, 10_000):
            assert session.execute(CAST, (first, first + 9_999)).fetchone() == (10_000,)
        session.execute("SELECT record_vote('over', 'home'), close_match('over')")
        vote(session, 30)
        db.settle()
        db.settle()
        vote(session, 10)
    assert db.pending() > 0
    before, pending = {name: db.sql(read) for name, read in KEPT.items()}, db.pending()
    old_seq, old_epoch = db.sql("SELECT seq, epoch FROM get_realtime_stats('m')")[0]
    assert db.value("SELECT total_votes FROM get_realtime_stats('poll')") == CASTS
    assert db.value("SELECT status FROM get_realtime_stats('over')") == "final"

    upgrade(old, new)
    db = Database(new, "votes")
    assert db.value("SELECT current_setting('server_version_num')::int") >= 160000
    assert db.pending() == pending
    for name, read in KEPT.items():
        assert db.sql(read) == before[name], name
    for match in ("m", "poll", "rows", "over"):
        wrong = db.sql("SELECT check_name, expected, found FROM verify_match(%s) WHERE NOT ok", match)
        assert match == "m" or not wrong, (match, wrong)  # nothing remembers the calls of m; the journal does
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        db.sql("SELECT record_vote('over', 'home')")
    with db.connect() as session:
        vote(session, 10)
        assert not oracle.differences(session, "m", journal)
        session.execute("INSERT INTO plain VALUES (101, 'rows', 'home')")
        session.execute("UPDATE parted SET team_choice = 'home' WHERE id IN (5, 105)")
        db.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
        assert session.execute("SELECT votes FROM get_realtime_stats('rows')").fetchone()[0] == {"home": 103, "away": 198}
    rows = db.sql("SELECT seq, epoch FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq")
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1)) and len(rows) > old_seq
    assert old_epoch not in {epoch for seq, epoch in rows if seq > old_seq}, "followers start from a snapshot"
    assert {state for _, state in db.sql("SELECT check_name, state FROM vote_agg.status() WHERE check_name <> 'settings'")} == {"ok"}

