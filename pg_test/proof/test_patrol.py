"""The patrol sees each invariant that it looks at broken, and says which; and nothing where nothing is broken."""

import pytest

import vote_calls
from testkit import oracle
from testkit.harness import running
from testkit.patrol import broken, patrol

VOTE = oracle.Vote("m", "home", vote_calls.CELLS[7], "FR")

DAMAGE = [
    (1, "UPDATE vote_agg.h3_aggregate SET votes = votes || 1::bigint"),
    (1, "DELETE FROM vote_agg.timeline"),
    (1, "UPDATE vote_agg.country_aggregate SET votes[1] = votes[1] + 1"),
    (2, "UPDATE vote_agg.fold_log SET mark_1 = 4294967294, file_1 = pg_relation_filenode('vote_agg.pending_1')"),
    (2, "UPDATE vote_agg.fold_log SET drained = true, current_heap = 2"),
    (3, "DELETE FROM vote_agg.feed WHERE seq = 2"),
    (3, "UPDATE vote_agg.feed SET body = replace(body, '\"seq\":3', '\"seq\":4')"),
    (6, "DELETE FROM vote_agg.ballot"),
    (7, "ALTER TABLE t DISABLE TRIGGER ALL; DELETE FROM t"),
]


@pytest.fixture
def full(still):
    """Folded three times, with ballots, an attached table, and votes that wait."""
    still.is_patrolled = False
    still.sql("CREATE TABLE t (match_id text, team_choice text); INSERT INTO t VALUES ('m', 'away')")
    still.sql("SELECT attach_votes('t'), vote_agg.fill()")
    for _ in range(3):
        still.sql(*vote_calls.record(VOTE)[:1], *vote_calls.record(VOTE)[1])
        still.sql("SELECT cast_vote('m', 'ann', CASE WHEN random() < 0.5 THEN 'home' ELSE 'away' END), record_vote('m', 'home')")
        still.settle()
    still.sql("SELECT record_vote('m', 'home')")
    return still


@pytest.mark.parametrize("number, damage", DAMAGE)
def test_what_is_broken_is_seen(full, number, damage):
    with full.connect() as session:
        assert not broken(session)
        session.execute(damage)
        found = broken(session)
    assert number in {invariant for invariant, *_ in found}, found


def test_the_run_is_stopped(full):
    full.sql("DELETE FROM vote_agg.ballot")
    with pytest.raises(AssertionError, match="broken invariants"):
        with running(patrol(full)) as stop:
            assert stop.wait(60)
