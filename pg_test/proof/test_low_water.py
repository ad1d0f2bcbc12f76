"""Low water, step by step: no reader misses or doubles a row, whoever stands where while marks move and heaps take turns.

The worker is off: each step is the test's own, and each comparison with the oracle reads through the marks as they are.
"""

import contextlib

import pytest

from late_writer import WHERE, LateWriter
from pending_heaps import FOLD, LATE, LATE_CALL, ROUNDS, ROWS, TURN_SIZE
from pending_heaps import current, empty, equals, fold_on, fold_until_the_mark_moves, grow, tend, turn
from testkit.debugger import FOLD_POINTS, VOTE_POINTS, Debugger


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("where", WHERE)
def test_a_late_writer(still, where, how):
    """Folds go on and the heap grows far past the place where the late vote will be, or already is."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    with LateWriter(still, where) as writer:
        fold_on(still, journal, rounds=ROUNDS // 2)
        writer.half_way()
        fold_on(still, journal, rounds=ROUNDS // 2)
        writer.end(how)
        if how == "COMMIT":
            journal.append(LATE)
        equals(still, journal)
        fold_until_the_mark_moves(still, journal)


@pytest.mark.parametrize("where", WHERE)
def test_a_late_writer_while_heaps_take_turns(still, where):
    """The heap that the writer has locked is no longer the current one when it goes on."""
    still.configure(turn_size=TURN_SIZE)
    journal = []
    turn(still, journal)
    empty(still)
    with LateWriter(still, where) as writer:
        turn(still, journal)
        equals(still, journal)
        writer.half_way()
        fold_on(still, journal, rounds=3)
        writer.end("COMMIT")
        journal.append(LATE)
        equals(still, journal)
    for _ in range(2):
        empty(still)
        equals(still, journal)
        turn(still, journal)
        fold_on(still, journal, rounds=2)


@pytest.mark.parametrize("point", FOLD_POINTS)
def test_a_fold_stands_still(still, point):
    """Meanwhile others vote, read and ask for a fold without waiting; some end only after it."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    journal.append(grow(still, ROWS))
    with still.connect() as writer, Debugger(still) as debugger:
        fold = debugger.stop_at(point, FOLD)
        writer.execute("BEGIN")
        writer.execute(LATE_CALL[0], LATE_CALL[1:])
        for _ in range(3):
            journal.append(grow(still, ROWS))
            equals(still, journal)
            assert still.value(FOLD) == 0, "two fold at once"
        debugger.go_on()
        assert fold.result()[0][0] >= ROWS
        equals(still, journal)
        fold_on(still, journal)
        writer.execute("COMMIT")
        journal.append(LATE)
        fold_until_the_mark_moves(still, journal)


@pytest.mark.parametrize("point", VOTE_POINTS)
def test_a_writer_and_a_fold_stand_still_together(still, point):
    """The fold has read the heap's size, the writer has not written yet; then both go on at once."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    steps = [(point, *LATE_CALL), ("fold:sized", FOLD)]
    for order in (steps, steps[::-1]):
        journal.append(grow(still, ROWS))
        with Debugger(still) as debugger:
            stopped = [debugger.stop_at(*step) for step in order]
            equals(still, journal)
            journal.append(grow(still, ROWS))
            debugger.go_on()
            for future in stopped:
                future.result()
        journal.append(LATE)
        equals(still, journal)
        fold_on(still, journal, rounds=3)
    fold_until_the_mark_moves(still, journal)


def test_old_snapshots_see_what_they_saw(still):
    """Through folds, marks, turns and vacuums: the same numbers, with what was folded then and what was pending then."""
    still.configure(turn_size=TURN_SIZE)
    still.sql(*LATE_CALL)
    journal, snapshots = [LATE], []
    fold_until_the_mark_moves(still, journal)
    for _ in range(4):
        journal.append(grow(still, ROWS))
        session = still.connect()
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        equals(still, journal, session)
        snapshots.append((session, list(journal)))
        fold_on(still, journal, rounds=3)
        tend(still)
        for old, then in snapshots:
            equals(still, then, old)
    assert current(still) == 2, "a big heap gives way although an old snapshot is open"
    for old, then in snapshots:
        equals(still, then, old)
        old.close()
    empty(still)
    turn(still, journal)
    equals(still, journal)


def test_sessions_go_on_filling_the_block_they_began(still):
    """Each votes more rarely than the one before it; the heap's end is ever further away from its block."""
    journal = []
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(still.connect()) for _ in range(8)]
        for number in range(1, 25):
            journal.append(grow(still, ROWS // 2))
            for pace, session in enumerate(sessions, start=1):
                if number % pace == 0:
                    session.execute(LATE_CALL[0], LATE_CALL[1:])
                    journal.append(LATE)
            equals(still, journal)
            still.sql(FOLD)
    fold_until_the_mark_moves(still, journal)


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
def test_a_voter_folds_in_its_own_transaction(still, how):
    """It counts its own votes, and its lock on the heap is no reason to think that nobody writes."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    with still.connect() as session, LateWriter(still, "idle") as writer:
        session.execute("BEGIN")
        for own in (1, 2, 2):
            session.execute(LATE_CALL[0], LATE_CALL[1:])
            journal.append(grow(still, ROWS))
            assert session.execute(FOLD).fetchone()[0] == ROWS + own
            session.execute(LATE_CALL[0], LATE_CALL[1:])
            session.execute("SAVEPOINT s")
            session.execute(FOLD)
            session.execute("ROLLBACK TO SAVEPOINT s")
            equals(still, journal)
        session.execute(how)
        writer.end("COMMIT")
        journal += [LATE] * (7 if how == "COMMIT" else 1)
        equals(still, journal)
        fold_on(still, journal)
    fold_until_the_mark_moves(still, journal)


def test_the_heap_gets_shorter_before_the_mark_moves(still):
    """A fold notes where the mark may go next; VACUUM takes the empty end away; the heap grows again past that place."""
    journal = []
    for vacuum in ("VACUUM", "VACUUM (TRUNCATE)", "VACUUM (FREEZE, TRUNCATE)"):
        journal.append(grow(still, 8 * ROWS))
        still.sql(FOLD)
        still.sql(f"{vacuum} vote_agg.pending_1, vote_agg.pending_2")
        for votes in (500, 500, 12 * ROWS):
            journal.append(grow(still, votes))
            equals(still, journal)
            still.sql(FOLD)
            equals(still, journal)
