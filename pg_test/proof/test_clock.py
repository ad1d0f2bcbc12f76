"""The clock of the server is set while votes come in: back, ahead, ahead and back. Nothing stands still, and final stays final."""

import psycopg
import pytest

import vote_calls
from testkit.debugger import Debugger
from testkit.harness import eventually
from testkit.oracle import Vote
from testkit.server_clock import ServerClock

HOUR = 3600
REFUSED = psycopg.errors.ObjectNotInPrerequisiteState
ONE = Vote("m", "home")
FOLD = "SELECT vote_agg.fold()"


@pytest.fixture(scope="module")
def cluster(new_cluster):
    """A server whose clock `cluster.clock` sets."""
    cluster = new_cluster()
    cluster.clock = ServerClock(cluster.path)
    cluster.stop()
    with cluster.clock.environment():
        cluster.start()
    return cluster


@pytest.fixture
def clock(cluster):
    yield cluster.clock
    cluster.clock.set(0)


@pytest.fixture
def session(still, clock):
    """One without a lock_timeout, which a clock that leaps would end."""
    with still.connect(options="") as session:
        yield session


def one(session, query, *params):
    return session.execute(query, params or None).fetchone()[0]


def per_minute(session):
    return one(session, "SELECT votes_per_minute FROM get_realtime_stats('m')")


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("steps", [(HOUR, 0), (0, -HOUR), (0, HOUR, 0), (0, -HOUR, HOUR, -2 * HOUR, 0)])
def test_no_rate_stands_still(session, clock, steps, folded):
    """After each step votes count in the rate: they are so many more than those before that any part of them tells."""
    before, votes = 0, 7
    for step in steps:
        clock.set(step)
        for _ in range(2):
            session.execute("SELECT record_vote('m', 'home', NULL::text, NULL, %s)", (votes,))
            if folded:
                session.execute(FOLD)
        assert per_minute(session) > before, step
        before, votes = before + 2 * votes, 500 * votes
    session.execute(FOLD)
    rate = "SELECT (body::json #>> '{stats,per_minute}')::bigint FROM vote_agg.feed ORDER BY seq DESC LIMIT 1"
    assert one(session, rate) > before / 400, "and in what is told"
    assert one(session, "SELECT last_vote_at <= clock_timestamp() FROM get_realtime_stats('m')")


@pytest.mark.parametrize("folds", [1, 2, 3, 5])
def test_no_vote_is_late(still, session, clock, folds):
    """A fold that finds the end writes it down. A clock that is set back then opens nothing, for no session that knew the match."""
    session.execute("SELECT open_match('m', closes_at => clock_timestamp() + '1 hour')")
    session.execute(*vote_calls.record(ONE))
    clock.set(2 * HOUR)
    for _ in range(folds):
        session.execute(FOLD)
    clock.set(0)
    assert one(session, "SELECT status FROM get_realtime_stats('m')") == ("closed" if folds < 3 else "final")
    with still.connect(options="") as newcomer:
        for voter in (session, newcomer):
            with pytest.raises(REFUSED):
                voter.execute(*vote_calls.record(ONE))
    for _ in range(3):
        session.execute(FOLD)
    rows = session.execute("SELECT body::json->'final', body::json#>'{stats,total}' FROM vote_agg.feed ORDER BY seq").fetchall()
    assert [total for is_final, total in rows if is_final] == [1] and rows[-1] == (True, 1)


def test_a_match_that_ended_may_go_on(session, clock):
    """Its end may be moved until it is final, as ever."""
    session.execute("SELECT open_match('m', closes_at => clock_timestamp() + '1 hour')")
    clock.set(2 * HOUR)
    session.execute(FOLD)
    session.execute("SELECT open_match('m', closes_at => clock_timestamp() + '1 hour')")
    session.execute(*vote_calls.record(ONE))
    for _ in range(5):
        session.execute(FOLD)
    assert one(session, "SELECT status FROM get_realtime_stats('m')") == "open"
    clock.set(4 * HOUR)
    for _ in range(5):
        session.execute(FOLD)
    assert one(session, "SELECT status FROM get_realtime_stats('m')") == "final"


@pytest.mark.parametrize("step", [-HOUR, 120, HOUR])
def test_no_doorbell_is_missed(still, session, clock, step):
    """However long a fold took by the clock. It stands still between its look at the clock and its message."""
    heard = []
    with still.connect(options="") as listener, Debugger(still) as debugger:
        listener.add_notify_handler(lambda notification: heard.append(notification.payload))
        listener.execute("LISTEN vote_agg")
        session.execute(*vote_calls.record(ONE))
        fold = debugger.stop_at("fold:drained", FOLD, session=session)
        clock.set(step)
        debugger.go_on()
        fold.result()
        eventually("it rings", lambda: listener.execute("SELECT 1") and heard)


def test_restored_rows_ring_nowhere(still, session):
    """A dump fills the feed row by row, and nobody is to be told."""
    session.execute(*vote_calls.record(ONE))
    session.execute(FOLD)
    heard = []
    with still.connect(options="") as listener:
        listener.add_notify_handler(lambda notification: heard.append(notification.payload))
        listener.execute("LISTEN vote_agg")
        session.execute("CREATE TEMP TABLE dumped AS SELECT * FROM vote_agg.feed")
        session.execute("DELETE FROM vote_agg.feed")
        session.execute("INSERT INTO vote_agg.feed SELECT * FROM dumped")
        session.execute("NOTIFY vote_agg, 'after it'")
        eventually("the later notification", lambda: listener.execute("SELECT 1") and heard)
        assert heard == ["after it"]


@pytest.mark.parametrize("folded", [True, False])
def test_a_time_to_come_is_now_with_all_votes(session, clock, folded):
    """A minute stays where the clock put it, also where that was ahead. The match as it stands has its votes all the same."""
    for step in (HOUR, 0):
        clock.set(step)
        session.execute("SELECT record_vote('m', 'home', NULL::text, 'FR')")
        if folded:
            session.execute(FOLD)
    standing = "SELECT country_code, total_votes FROM get_match_at('m', {}) ORDER BY 1"
    assert session.execute(standing.format("'infinity'")).fetchall() == [("FR", 2), (None, 2)]
    assert one(session, "SELECT as_of <= clock_timestamp() FROM get_match_at('m', 'infinity') LIMIT 1")
    clock.set(3 * HOUR)
    assert session.execute(standing.format("clock_timestamp() - interval '90 minutes'")).fetchall() == [("FR", 2), (None, 2)]


def test_a_session_finds_that_no_worker_runs(still, clock):
    """It looks once a second, by a clock that is set back meanwhile."""
    still.configure(worker="on")
    with still.connect(options="") as session:
        session.execute(*vote_calls.record(ONE))
        eventually("a worker runs", still.worker)
        session.execute("SELECT pg_terminate_backend(%s)", (still.worker(),))
        eventually("it is gone", lambda: still.worker() is None)
        clock.set(-HOUR)

        def is_folded():
            session.execute(*vote_calls.record(Vote("other", "home")))
            return one(session, "SELECT count(*) FROM vote_agg.feed WHERE match_id = 'other'")

        eventually("a worker runs again", is_folded)


def test_a_worker_goes_by_the_clock_of_sessions(still, clock):
    """A test that sets the clock sets it for all processes of a server, however the server starts them."""
    clock.set(10 * HOUR)
    still.configure(worker="on")
    for turn in range(1, 6):
        with still.connect(options="") as session:
            session.execute(*vote_calls.record(ONE))
            eventually("the worker folds", lambda: one(session, "SELECT count(*) FROM vote_agg.feed") == turn)
            assert one(session, "SELECT at > clock_timestamp() - interval '1 hour' FROM vote_agg.feed ORDER BY seq DESC LIMIT 1"), turn
            session.execute("SELECT vote_agg.stop_worker()")
            eventually("it is gone", lambda: still.worker() is None)


def test_rows_past_their_time_go(session, clock):
    """Folds look for them every ten seconds, by a clock that was ahead when they last did."""
    clock.set(HOUR)
    session.execute(*vote_calls.record(ONE))
    session.execute(FOLD)
    clock.set(0)
    session.execute(*vote_calls.record(ONE))
    session.execute(FOLD)
    assert one(session, "SELECT pruned_at <= clock_timestamp() FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1")


def test_retention_leaves_no_hole_where_the_clock_stepped_back(session, clock):
    """The messages kept are the newest ones, although older ones may carry a later time."""
    for step in (10 * HOUR, 0, 0, 3 * HOUR):
        clock.set(step)
        session.execute("SELECT record_vote('m', 'home')")
        session.execute(FOLD)
    seqs = one(session, "SELECT array_agg(seq ORDER BY seq) FROM vote_agg.feed WHERE match_id = 'm'")
    assert seqs == list(range(seqs[0], 5)), seqs
