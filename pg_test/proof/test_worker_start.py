"""Where no worker can start, and servers that start with votes pending."""

import pytest

from testkit import oracle
from testkit.harness import eventually
from testkit.oracle import Vote

ONE = Vote("m", "home")
VOTE = "SELECT record_vote('m', 'home')"


def equals(db, votes, folded=False):
    with db.connect() as session:
        assert not oracle.differences(session, "m", [ONE] * votes, folded)


def voting_session(db):
    """A session and the texts of the warnings it got."""
    session, warnings = db.connect(), []

    def keep(notice):
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(f"{notice.message_primary} {notice.message_detail} {notice.message_hint}")

    session.add_notice_handler(keep)
    return session, warnings


@pytest.fixture(scope="module")
def slotless(new_cluster):
    return new_cluster(max_worker_processes=0)


def test_no_free_slot(slotless, new_database):
    """One warning a session that names the remedy; votes are safe, and the remedy works."""
    db = new_database(slotless)
    for count in (1, 2):
        session, warnings = voting_session(db)
        for _ in range(3):
            session.execute(VOTE)
            session.execute("SELECT pg_sleep(1.1)")  # a session looks for the worker at most once a second
        (warning,) = warnings
        assert "vote_agg.fold()" in warning
        equals(db, 3 * count)
        session.close()
    assert db.worker() is None and db.pending() == 6
    assert db.value("SELECT vote_agg.fold()") == 6
    equals(db, 6, folded=True)


def test_all_slots_taken(new_cluster, new_database):
    """One slot: the first database's worker has it. When it is free again the other one's votes are folded."""
    cluster = new_cluster(max_worker_processes=1, max_logical_replication_workers=0, **{"vote_agg.worker_idle_exit": "'1s'"})
    first, second = new_database(cluster), new_database(cluster)
    busy, none = voting_session(first)
    session, warnings = voting_session(second)

    def refused():
        busy.execute(VOTE)
        session.execute(VOTE)
        count[0] += 1
        return warnings

    count = [0]
    eventually("no slot is free", refused)
    assert len(warnings) == 1 and not none
    equals(second, count[0])

    def served():
        session.execute(VOTE)
        count[0] += 1
        return second.pending() == 0

    eventually("the slot is free again", served)
    equals(second, count[0], folded=True)
    assert len(warnings) == 1, "one warning a session"
    busy.close()
    session.close()


def test_switched_off(still):
    """A choice, not a failure: nobody is warned, no worker comes, and fold() does the work."""
    session, warnings = voting_session(still)
    for _ in range(3):
        session.execute(VOTE)
        session.execute("SELECT pg_sleep(1.1)")
    assert not warnings
    session.close()
    assert still.worker() is None and still.value("SELECT vote_agg.fold()") == 3
    equals(still, 3, folded=True)


def restart_with_pending(db, reads=True):
    """Three votes that nobody folds, then a restart after which a worker may run."""
    db.configure(worker="off")
    for _ in range(3):
        db.sql(VOTE)
    assert db.pending() == 3
    db.sql(f"ALTER DATABASE {db.name} RESET vote_agg.worker")
    db.cluster.restart()
    if reads:
        equals(db, 3)


def test_restart_not_preloaded(new_cluster, new_database):
    """Readable at once; the first read starts the worker that folds."""
    db = new_database(new_cluster())
    restart_with_pending(db)
    eventually("all three are folded", lambda: db.pending() == 0)
    equals(db, 3, folded=True)


def test_restart_preloaded(new_cluster, new_database):
    """Folded without any vote. A database without the extension and one that does not exist harm nobody."""
    cluster = new_cluster()
    db, bare = new_database(cluster), new_database(cluster, extension=False)
    cluster.configure(
        shared_preload_libraries="'vote_agg'", **{"vote_agg.databases": f"'missing, {bare.name}, {db.name}'"}
    )
    restart_with_pending(db)
    eventually("the votes are folded", lambda: db.pending() == 0)
    equals(db, 3, folded=True)
    bare.sql("CREATE EXTENSION vote_agg")
    bare.sql(VOTE)
    eventually("a vote starts the worker that had left", lambda: bare.pending() == 0)
    equals(bare, 1, folded=True)


def test_restart_preloaded_without_a_list(new_cluster, new_database):
    """Every database that has the extension gets its worker, and none of the others keeps one."""
    cluster = new_cluster(shared_preload_libraries="'vote_agg'", max_worker_processes=4)
    dbs = [new_database(cluster, extension=False) for _ in range(3)]
    db = dbs[1]
    db.sql("CREATE EXTENSION vote_agg")
    restart_with_pending(db, reads=False)
    query = "SELECT sum(total_rows) FROM (SELECT total_rows FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1) f"
    eventually("the votes are folded", lambda: db.value(query) == 3)
    workers = "SELECT datname FROM pg_stat_activity WHERE backend_type = 'vote_agg worker'"
    eventually("one worker stays", lambda: cluster.sql(workers) == [(db.name,)])


def test_a_preloaded_server_refuses_no_vote_when_its_worker_is_gone(new_cluster, new_database):
    """SIGTERM ends it; the next vote starts another."""
    cluster = new_cluster(shared_preload_libraries="'vote_agg'")
    db = new_database(cluster)
    db.sql(VOTE)
    pid = eventually("a worker runs", db.worker)
    db.sql("SELECT pg_terminate_backend(%s)", pid)
    eventually("it goes", lambda: db.worker() != pid)
    db.sql(VOTE)
    eventually("both are folded", lambda: db.pending() == 0)
    equals(db, 2, folded=True)
