"""Low water when somebody vacuums the heaps by hand: they may become shorter than their mark, or other files."""

import pytest

from late_writer import LateWriter
from pending_heaps import LATE, ROUNDS, ROWS, TURN_SIZE, empty, equals, fold_on, fold_until_the_mark_moves, grow, tend, turn


@pytest.mark.parametrize("how", ["TRUNCATE", "FREEZE, TRUNCATE", "FULL"])
@pytest.mark.parametrize("pending", [0, 10])
def test_somebody_vacuums_by_hand(still, how, pending):
    """The heap may become shorter, or another file; the next votes must not lie where the mark says that nothing counts."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    still.settle()
    for _ in range(2):
        if pending:
            journal.append(grow(still, pending))
        tend(still, how)
        equals(still, journal)
        # Past the old mark without any fold in between.
        journal.append(grow(still, 2 * ROUNDS * ROWS))
        equals(still, journal)
        fold_on(still, journal, rounds=2)
    fold_until_the_mark_moves(still, journal)


def test_an_old_snapshot_survives_vacuum_full(still):
    """Its votes are in another file then, below the mark that it sees. It must not have read yet, else it holds a lock."""
    journal = []
    fold_until_the_mark_moves(still, journal)
    with still.connect() as old:
        journal.append(grow(still, ROWS))
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        then = list(journal)
        fold_on(still, journal, rounds=2)
        tend(still, "FULL")
        equals(still, then, old)
        fold_on(still, journal, rounds=2)
        equals(still, then, old)


@pytest.mark.parametrize("how", ["TRUNCATE", "FULL"])
def test_the_other_heap_is_vacuumed_with_late_votes_in_it(still, how):
    """Votes that came late into the heap whose turn is over are neither lost nor read twice."""
    still.configure(turn_size=TURN_SIZE)
    journal = []
    with LateWriter(still, "idle") as writer:
        turn(still, journal)
        writer.end("COMMIT")
        journal.append(LATE)
        tend(still, how)
        equals(still, journal)
        fold_on(still, journal, rounds=2)
        tend(still, how)
        equals(still, journal)
    empty(still)
    equals(still, journal)
