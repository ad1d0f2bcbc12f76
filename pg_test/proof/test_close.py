"""The end of a match: final means final, and every vote that was taken in time is in it."""

import os
import signal
import threading
import time

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.debugger import Debugger
from testkit.follower import Follower
from testkit.harness import SERVER_ENDS, eventually, fold, running
from testkit.oracle import Vote

REFUSED = psycopg.errors.ObjectNotInPrerequisiteState
ONE = Vote("m", "home")
ELEMENT = '{"match_id": "m", "team_choice": "home"}'


def status(session):
    return session.execute("SELECT status FROM get_realtime_stats('m')").fetchone()[0]


def test_closing_waits_for_voters_in_flight(still):
    """The final message comes once every transaction that voted in time has ended, prepared ones too, and counts them."""
    journal = [Vote("m", "home", None, None, votes) for votes in (1, 10, 100, 1000)]
    with still.connect() as session, still.connect() as open_one, still.connect() as preparing, still.connect() as rolled_back:
        follower = Follower(session, "m")
        session.execute(*vote_calls.record(journal[0]))
        for voter, vote in ((open_one, journal[1]), (preparing, journal[2]), (rolled_back, journal[3])):
            voter.execute("BEGIN")
            voter.execute(*vote_calls.record(vote))
        preparing.execute("PREPARE TRANSACTION 'in time'")
        session.execute("SELECT close_match('m')")
        for late in (session, preparing):
            with pytest.raises(REFUSED):
                late.execute(*vote_calls.record(journal[0]))

        def fold_and_look(expected):
            for _ in range(5):
                session.execute("SELECT record_vote('other', 'home')")
                session.execute("SELECT vote_agg.fold()")
            assert status(session) == expected
            assert follower.catch_up()
            return [message for message in follower.messages if message.get("final")]

        assert not fold_and_look("closed")
        open_one.execute("COMMIT")
        rolled_back.execute("ROLLBACK")
        assert not fold_and_look("closed")
        session.execute("COMMIT PREPARED 'in time'")
        (final,) = fold_and_look("final")
        assert final["stats"]["total"] == 111 and follower.messages[-1] == final
        assert fold_and_look("final") == [final], "there is one final message"
        assert not follower.differences(journal[:3])
        assert not oracle.differences(session, "m", journal[:3], folded=True)


@pytest.mark.parametrize("how", ["close_match", "closes_at"])
@pytest.mark.parametrize("end", SERVER_ENDS)
def test_a_vote_in_time_outlives_the_server(new_cluster, new_database, end, how):
    """It is prepared, and its transaction has another name after the server's end. The match is final when it is in, not before."""
    cluster = new_cluster()
    still = new_database(cluster)
    still.configure(worker="off")

    def fold():
        for _ in range(5):
            still.sql("SELECT record_vote('other', 'home')")
            still.fold()
        return still.value("SELECT status FROM get_realtime_stats('m')")

    with still.connect() as session:
        # The end comes near only when the vote was taken, however long that takes.
        opened = "SELECT open_match('m', closes_at => clock_timestamp() + %s::interval)"
        session.execute(opened, ("1 day" if how == "closes_at" else None,))
        session.execute("BEGIN")
        session.execute(*vote_calls.record(ONE))
        session.execute("PREPARE TRANSACTION 'in time'")
        session.execute(*(("SELECT close_match('m')",) if how == "close_match" else (opened, ("1 s",))))
    eventually("the match is closed", lambda: still.value("SELECT status FROM get_realtime_stats('m')") == "closed")
    assert fold() == "closed"
    for _ in range(2):
        end(cluster)
        assert fold() == "closed"
    still.sql("COMMIT PREPARED 'in time'")
    assert fold() == "final"
    rows = still.sql("SELECT body::json->'final', body::json#>'{stats,total}' FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq")
    assert [total for is_final, total in rows if is_final] == [1] and rows[-1] == (True, 1)


def test_the_end_is_seen_before_anybody_is_told(still):
    """Folds in the transaction that closes a match know its end before other sessions do. They may vote until it commits."""
    with still.connect() as session, still.connect() as closing:
        session.execute(*vote_calls.record(ONE))
        closing.execute("BEGIN")
        closing.execute("SELECT close_match('m')")
        for _ in range(5):
            closing.execute("SELECT vote_agg.fold()")
        session.execute(*vote_calls.record(ONE))
        closing.execute("COMMIT")
        assert status(session) == "closed"
        for _ in range(3):
            session.execute("SELECT vote_agg.fold()")
        assert status(session) == "final"
        rows = session.execute("SELECT body::json->'final', body::json#>'{stats,total}' FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq").fetchall()
        assert [total for is_final, total in rows if is_final] == [2] and rows[-1] == (True, 2)


def test_a_vote_after_the_close_in_an_old_transaction_is_refused(still):
    """Whatever the isolation level: its snapshot is old, the match is closed all the same. What it counted before stays."""
    for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
        match = f"m {level}"
        with still.connect() as session, still.connect() as other:
            session.execute(f"BEGIN ISOLATION LEVEL {level}")
            session.execute(*vote_calls.record(Vote(match, "home")))
            other.execute(*vote_calls.record(Vote(match, "home")))
            other.execute("SELECT close_match(%s)", (match,))
            session.execute("SAVEPOINT s")
            with pytest.raises(REFUSED):
                session.execute(*vote_calls.record(Vote(match, "home")))
            session.execute("ROLLBACK TO SAVEPOINT s")
            session.execute("COMMIT")
            assert not oracle.differences(other, match, [Vote(match, "home")] * 2)


@pytest.mark.parametrize("point", ["vote:locked", "vote:looked"])
def test_a_vote_stands_still_while_the_match_closes(still, point):
    """One that has not looked yet is refused. One that has looked counts, and the match is not final before that."""
    with still.connect() as session:
        session.execute(*vote_calls.record(ONE))
        with Debugger(still) as debugger:
            query, params = vote_calls.record(ONE)
            vote = debugger.stop_at(point, query, *params)
            session.execute("SELECT close_match('m')")
            for _ in range(5):
                session.execute("SELECT vote_agg.fold()")
            assert status(session) == "closed"
            debugger.go_on()
            if point == "vote:locked":
                with pytest.raises(REFUSED):
                    vote.result()
            else:
                vote.result()
        for _ in range(5):
            session.execute("SELECT vote_agg.fold()")
        assert status(session) == "final"
        assert not oracle.differences(session, "m", [ONE] * (2 if point == "vote:looked" else 1), folded=True)


@pytest.mark.parametrize("part", [0.3, 0.45, 0.6, 0.75])
def test_the_time_is_up_during_a_long_call(still, part):
    """A call that began in time and lasted until the match was final: it counts in the final totals or is refused, and
    is never added later. The process is stopped (SIGSTOP) somewhere in the call, as a busy machine might do."""

    def folder(stop):
        with still.connect() as session:
            while not stop.wait(0.01):
                fold(session)

    with still.connect() as session, still.connect() as slow, running(folder):
        slow.execute("CREATE TEMP TABLE long AS SELECT jsonb_agg(%s::jsonb) AS votes FROM generate_series(1, 400000)", (ELEMENT,))
        call = "SELECT bulk_increment(votes) FROM long"
        for _ in range(2):  # the second run tells how long a call takes
            slow.execute("BEGIN")
            began = time.monotonic()
            slow.execute(call)
            seconds = (time.monotonic() - began) * part
            slow.execute("ROLLBACK")
        session.execute("SELECT open_match('m', closes_at => clock_timestamp() + %s * '1 s'::interval)", (seconds + 0.03,))
        counted = 0
        pid = slow.info.backend_pid
        signals = ((seconds, signal.SIGSTOP), (seconds + 1, signal.SIGCONT))
        timers = [threading.Timer(after, os.kill, (pid, what)) for after, what in signals]
        # The time may be up before either of them begins.
        try:
            slow.execute(*vote_calls.record(ONE))  # now this session remembers until when the match is open
            counted = 1
            for timer in timers:
                timer.start()
            counted += slow.execute(call).fetchone()[0]
        except REFUSED:
            pass
        for timer in timers:
            if timer.ident:  # it was started
                timer.join()
        print(f"{counted} taken, stopped after {seconds:.3f} s")
        eventually("the match is final", lambda: status(session) == "final")
        still.settle()
        follower = Follower(session, "m")
        follower.seq = 0
        assert follower.catch_up()
        assert [message["stats"]["total"] for message in follower.messages if message.get("final")] == [counted]
        assert follower.messages[-1]["final"], "votes were added to final totals"
