"""Low water through crashes: the server or one session dies while a vote or a fold stands at a named step."""

import psycopg
import pytest

from pending_heaps import FOLD, LATE, LATE_CALL, ROWS, TURN_SIZE, empty, equals, fold_on, fold_until_the_mark_moves, grow, turn
from testkit.debugger import FOLD_POINTS, VOTE_POINTS, Debugger
from testkit.harness import SERVER_ENDS, kill


@pytest.fixture(scope="module")
def cluster(new_cluster):
    """One for all: it is killed again and again, and damage would add up."""
    return new_cluster()


def kill_server(cluster, _session=None):
    cluster.kill()
    cluster.start()


def kill_session(cluster, session):
    kill(cluster, session.info.backend_pid)


@pytest.mark.parametrize("how", [kill_server, kill_session])
@pytest.mark.parametrize("point", [*VOTE_POINTS, *FOLD_POINTS])
def test_a_crash_at_each_step(cluster, still, point, how):
    journal = []
    fold_until_the_mark_moves(still, journal)
    journal.append(grow(still, ROWS))
    statement = LATE_CALL if point in VOTE_POINTS else (FOLD,)
    with Debugger(still) as debugger:
        stopped = debugger.stop_at(point, *statement)
        how(cluster, debugger.sessions[0])
        with pytest.raises(psycopg.OperationalError):
            stopped.result()
        assert debugger.sessions[0].broken
    equals(still, journal)
    fold_on(still, journal, rounds=2)
    fold_until_the_mark_moves(still, journal)


def test_a_crash_between_turns(cluster, still):
    """Marks, turns and what is left on disk agree again after each crash."""
    still.configure(turn_size=TURN_SIZE)
    journal = []
    for _ in range(3):
        turn(still, journal)
        journal.append(grow(still, ROWS))
        kill_server(cluster)
        equals(still, journal)
        fold_on(still, journal, rounds=1)
        kill_server(cluster)
        equals(still, journal)
        empty(still)


@pytest.mark.parametrize("is_listed_before", ["it is prepared", "the server ends", "never"])
@pytest.mark.parametrize("end", SERVER_ENDS)
def test_a_prepared_vote_of_a_former_life(cluster, still, end, is_listed_before):
    """Its lock comes back under another name; the mark must go on waiting for it, whichever name was listed."""
    journal = []
    fold_until_the_mark_moves(still, journal)

    def list_writers():
        """Folds once, when the late vote lies so far below the end that a mark which did not wait would pass over it."""
        journal.append(grow(still, 4 * ROWS))
        still.sql(FOLD)
        assert still.value("SELECT waiting FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1")

    with still.connect() as session:
        session.execute("BEGIN")
        session.execute(LATE_CALL[0], LATE_CALL[1:])
        if is_listed_before == "it is prepared":
            list_writers()
        session.execute("PREPARE TRANSACTION 'former life'")
    if is_listed_before == "the server ends":
        list_writers()
    end(cluster)
    fold_on(still, journal)
    end(cluster)  # twice read back from disk
    fold_on(still, journal, rounds=2)
    still.sql("COMMIT PREPARED 'former life'")
    journal.append(LATE)
    equals(still, journal)
    fold_until_the_mark_moves(still, journal)
    still.settle()
    equals(still, journal)
