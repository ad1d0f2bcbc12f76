"""The two heaps of pending votes: fill them, fold them, tend them, and read everything through their marks."""

import vote_calls
from testkit import oracle
from testkit.harness import eventually

TURN_SIZE = "3MB"  # small, but several times the slack that marks leave below the end
ROWS = 6_000  # about 45 blocks
ROUNDS = 8  # of so many rows: enough to leave the slack behind

LATE = oracle.Vote("m", "home", vote_calls.CELLS[7], "BR", 1_000_000)
LATE_CALL = (vote_calls.record(LATE)[0], *vote_calls.record(LATE)[1])
FOLD = "SELECT vote_agg.fold()"


def grow(db, votes):
    """Many votes, each a row of its own, in one statement; returns what they count."""
    filler = oracle.Vote("m", "away", None, "FR", votes)
    votes_each = "SELECT record_vote('m', 'away', NULL::bigint, 'FR') FROM generate_series(1, %s)"
    db.sql(f"WITH v AS MATERIALIZED ({votes_each}) SELECT count(*) FROM v", votes)
    return filler


def equals(db, journal, session=None):
    """Asserts that everything read equals the journal."""
    with db.connect() as fresh:
        assert not oracle.differences(session or fresh, "m", journal)


def fold_on(db, journal, rounds=ROUNDS):
    """The heap grows and is folded, and everything is read, again and again."""
    for _ in range(rounds):
        journal.append(grow(db, ROWS))
        equals(db, journal)
        db.fold()
        equals(db, journal)


def state(db):
    """Which heap takes votes, and the low-water marks of both in blocks."""
    rows = db.sql("SELECT current_heap, mark_1, mark_2 FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1")
    return rows[0] if rows else (1, 0, 0)


def current(db):
    return state(db)[0]


def fold_until_the_mark_moves(db, journal):
    """Without this, a test would have shown nothing about marks."""
    before = state(db)

    def moved():
        fold_on(db, journal, rounds=1)
        now = state(db)
        return now != before and now[now[0]] > 0

    eventually("the mark moves", moved)


def tend(db, how="TRUNCATE"):
    """Vacuums both heaps."""
    for heap in (1, 2):
        db.sql(f"VACUUM ({how}) vote_agg.pending_{heap}")


def turn(db, journal):
    """Votes and folds until the other heap has its turn."""
    before = current(db)

    def turned():
        journal.append(grow(db, 3 * ROWS))
        db.fold()
        return current(db) != before

    eventually("the other heap has its turn", turned)


def empty(db):
    """Folds and vacuums until the heap whose turn it is not holds no block."""

    def emptied():
        db.fold()
        tend(db)
        return db.value("SELECT pg_relation_size(%s::regclass)", f"vote_agg.pending_{3 - current(db)}") == 0

    eventually("the other heap is empty on disk", emptied)
