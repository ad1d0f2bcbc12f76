"""An epoch names one history. Each way in which one can fork begins another: followers start from a snapshot, none keeps what is gone."""

import os
import shutil

import pytest

from test_standby import catch_up
from testkit import oracle
from testkit.cluster import Cluster
from testkit.follower import Follower
from testkit.harness import SERVER_ENDS, Database, eventually
from testkit.oracle import Vote

CELLS = (0x872A1072BFFFFFF, 0x871FB4662FFFFFF)
FIRST, LOST, LATER = Vote("m", "home", CELLS[0]), Vote("m", "away", CELLS[1]), Vote("m", "home")


def vote(db, one):
    """Records a vote and folds it."""
    db.sql("SELECT record_vote(%s, %s, %s::bigint)", *one[:3])
    db.fold()


def epoch(db):
    return db.value("SELECT epoch FROM get_realtime_stats('m')")


def snapshot(db):
    return db.value("SELECT get_match_snapshot('m')")


def copy(source, target, keep=()):
    """Copies a data directory, all but some of its files, and lets the server's user own it."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.name in keep:
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, symlinks=True)
        else:
            shutil.copy2(path, target / path.name)
    for path in [target, *target.rglob("*")]:
        if path.parent != target or path.name not in keep:
            shutil.chown(path, source.stat().st_uid, source.stat().st_gid)
    target.chmod(0o700)


@pytest.fixture
def forked(still):
    """A match with a vote that the fork leaves out, and a follower that has seen it."""
    vote(still, FIRST)
    return still


def goes_on(db, session, follower, before, journal):
    """After a fork: a follower of before is not left with what is gone, neither when it asks nor when it is told."""
    assert epoch(db) == snapshot(db)["epoch"] != before, "the first read knows"
    told = epoch(db)
    for _ in range(follower.seq + 1):
        vote(db, LATER)
        journal.append(LATER)
    assert epoch(db) == told, "a fold changes it no more"
    assert db.value("SELECT body->>'epoch' FROM get_match_changes('m', 1) ORDER BY seq DESC LIMIT 1") == told
    follower.session = session
    assert not follower.update(), "an update is of another history"
    assert not follower.catch_up(), "the feed makes it start again"
    assert follower.epoch == told and not follower.differences(journal)
    assert not oracle.differences(session, "m", journal, folded=True)


@pytest.mark.parametrize("end", SERVER_ENDS)
def test_a_server_that_starts_again_goes_on(new_cluster, new_database, end):
    cluster = new_cluster()
    still = new_database(cluster)
    still.configure(worker="off")
    vote(still, FIRST)
    before = epoch(still)
    end(cluster)
    assert epoch(still) == before
    vote(still, LATER)
    assert still.sql("SELECT DISTINCT epoch FROM vote_agg.feed") == [(before,)] == [(epoch(still),)]


def test_a_dump_restored_into_its_own_database(forked):
    server = ("-h", forked.cluster.path, "-U", "postgres", "-d", forked.name)
    path = forked.cluster.path / f"{forked.name}.dump"
    forked.cluster.run("pg_dump", *server, "-Fc", "-f", path)
    vote(forked, LOST)
    with forked.connect() as session:
        follower, before = Follower(session, "m"), epoch(forked)
    forked.cluster.run("pg_restore", *server, "--clean", "--if-exists", "--exit-on-error", path)
    with forked.connect() as session:
        goes_on(forked, session, follower, before, [FIRST])


def test_a_copy_by_template(forked, new_database):
    copied = Database(forked.cluster, f"{forked.name}_copy")
    before = epoch(forked)
    forked.cluster.sql(f"CREATE DATABASE {copied.name} TEMPLATE {forked.name}")
    copied.configure(worker="off")
    vote(forked, LOST)
    try:
        with forked.connect() as session, copied.connect() as other:
            assert epoch(forked) == before
            goes_on(copied, other, Follower(session, "m"), before, [FIRST])
    finally:
        copied.drop()


def test_a_copied_data_directory(new_cluster, new_database):
    """Two servers begin with the same files. The one whose files were copied goes on, the other begins a history."""
    cluster = new_cluster()
    still = new_database(cluster)
    still.configure(worker="off")
    vote(still, FIRST)
    before = epoch(still)
    cluster.stop()
    path = cluster.path / "copy"
    path.mkdir()
    copy(cluster.data, path / "data")
    with Cluster(path) as other:
        cluster.start()
        copied = Database(other, still.name)
        vote(still, LOST)
        assert epoch(still) == before
        with still.connect() as session, copied.connect() as there:
            goes_on(copied, there, Follower(session, "m"), before, [FIRST])
        assert epoch(still) == before


def test_a_recovery_to_an_earlier_time(cluster, forked):
    """From a backup, as after a mistake. It begins a timeline of its own."""
    path = cluster.path / "earlier"
    cluster.run("pg_basebackup", "-h", cluster.path, "-U", "postgres", "-D", path / "data", "-X", "fetch", "-c", "fast", "--no-sync")
    vote(forked, LOST)
    before = epoch(forked)
    (path / "data" / "recovery.signal").touch()
    earlier = Cluster(path)
    earlier.configure(restore_command="'false'")
    with earlier, forked.connect() as session:
        copied = Database(earlier, forked.name)
        eventually("it takes votes", lambda: not copied.value("SELECT pg_is_in_recovery()"))
        with copied.connect() as there:
            goes_on(copied, there, Follower(session, "m"), before, [FIRST])


def test_a_standby_tells_the_history_of_its_primary(cluster, forked):
    """It has other files and takes no votes. Promoted, it knows at once, before any fold."""
    path = cluster.path / "standby"
    source = ("-h", cluster.path, "-U", "postgres")
    cluster.run("pg_basebackup", *source, "-D", path / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
    before = epoch(forked)
    with Cluster(path) as other:
        standby = Database(other, forked.name)
        catch_up(forked, standby)
        assert epoch(standby) == before
        forked.sql("SELECT vote_agg.new_history()")
        catch_up(forked, standby)
        assert epoch(standby) == epoch(forked) != before
        vote(forked, LOST)
        catch_up(forked, standby)
        before = epoch(forked)
        assert epoch(standby) == before
        other.run("pg_ctl", "-D", other.data, "-w", "promote")
        with forked.connect() as session, standby.connect() as there:
            vote(forked, LOST)
            goes_on(standby, there, Follower(session, "m"), before, [FIRST, LOST])


def test_a_snapshot_of_the_disk_is_told_by_the_operator(new_cluster, new_database):
    """The very same files, as they were. Nothing in them tells, so new_history is for the operator to call."""
    cluster = new_cluster()
    still = new_database(cluster)
    still.configure(worker="off")
    vote(still, FIRST)
    cluster.stop()
    copy(cluster.data, cluster.path / "snapshot")
    cluster.start()
    vote(still, LOST)
    with still.connect() as session:
        follower, before = Follower(session, "m"), epoch(still)
    cluster.stop()
    # What a disk brings back is the file itself; a copy of it would be another one. It is written once.
    kept = ("PG_VERSION",)
    for path in cluster.data.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else os.unlink(path)
    copy(cluster.path / "snapshot", cluster.data, keep=kept)
    cluster.start()
    assert epoch(still) == before, "the server cannot tell"
    still.sql("SELECT vote_agg.new_history()")
    with still.connect() as session:
        goes_on(still, session, follower, before, [FIRST])
