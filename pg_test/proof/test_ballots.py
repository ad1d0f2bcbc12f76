"""One voter, one vote: whatever sessions, cancels, kills and purges do, the totals are those of the ballots that stand."""

import collections
import concurrent.futures
import itertools
import pathlib
import re

import pytest

import ballots
import vote_calls
from ballots import MATCH, Caster, again_and_again
from test_crash_under_load import kill_postmaster
from testkit.harness import SECONDS, SESSIONS, VOTERS, all_come, eventually, fold, random_for, running

SHARED = [f"shared {n:06}" for n in range(VOTERS)]
TEAMS = ("home", "away")
ROUNDS = 5

# All sessions run this side by side from the moment when the gate opens, and meet at every voter: whoever is ahead commits
# the first vote, whoever is behind passes over it faster.
RACE = """
CREATE TABLE outcome (voter text, team text, what text);
CREATE PROCEDURE race(gate bigint, team text) LANGUAGE plpgsql AS $$
DECLARE
    voter text;
    what text;
BEGIN
    PERFORM pg_advisory_lock_shared(gate);
    FOR n IN 1..500 LOOP
        voter := format('%s/%s', gate, n);
        BEGIN
            what := cast_vote('final', voter, team);
        EXCEPTION WHEN unique_violation THEN
            what := 'refused';
        END;
        INSERT INTO outcome VALUES (voter, team, what);
        COMMIT;
    END LOOP;
END
$$;
"""


@pytest.fixture
def own(new_cluster, new_database):
    """A database in a cluster of its own: a crash hits everybody in it."""
    db = new_database(new_cluster())
    db.sql(ballots.DONE)
    return db


def everybody(db, casters, *others):
    """Casters, those who get in their way, two who look and one who folds besides the worker."""
    disturb = again_and_again(db, ballots.disturber(casters, random_for("disturber")), 0.05)
    readers = [again_and_again(db, ballots.look, 0.05)] * 2
    return running(*(caster.run for caster in casters), disturb, *readers, again_and_again(db, fold, 0.05), *others)


def check(db):
    """Pending, and then folded, what is counted is what a recount of the ballots gives."""
    ballots.check_key(db)
    with db.connect() as session:
        assert not ballots.differences(session)
        db.settle()
        assert not ballots.differences(session, folded=True)


def test_one_vote_a_voter_under_load_and_over_a_crash(own):
    """Without a deadlock or a serialization failure: casters take them for errors, and the server's log is looked through."""
    casters = [Caster(own, n, SHARED) for n in range(SESSIONS)]
    with everybody(own, casters) as stop:
        stop.wait(SECONDS / 3)
        kill_postmaster(own)
        stop.wait(SECONDS / 3)
        all_come(stop, ballots.EVENTS, [caster.events for caster in casters])
    events = sum((caster.events for caster in casters), collections.Counter())
    print(dict(events))
    assert not ballots.EVENTS - set(events), "some kind of event never came"
    check(own)
    query = "SELECT voter_id, team_choice, h3_index, country_code FROM vote_agg.ballot WHERE match_id = %s"
    stands = {voter: ballots.Choice(*choice) for voter, *choice in own.sql(query, MATCH)}
    assert len(stands) == sum(caster.gained for caster in casters), "each acknowledged first vote that nobody took back"
    for caster in casters:
        for voter, choice in caster.choices.items():
            assert stands.get(voter) == choice, voter


def test_a_purge_among_ballots(cluster, db):
    """Again and again: what stays is one vote a ballot, at every moment."""
    db.sql(ballots.DONE)
    casters = [Caster(db, n, SHARED, own=0) for n in range(SESSIONS)]
    erased = []

    def purge(session):
        erased.append(session.execute("SELECT purge_match(%s)", (MATCH,)).fetchone()[0])

    with everybody(db, casters, again_and_again(db, purge, 0.1)) as stop:
        stop.wait(SECONDS / 5)
        eventually("two purges found votes", lambda: stop.is_set() or sum(votes > 0 for votes in erased) > 1)
    print(f"{erased} votes erased")
    check(db)


def test_a_purge_ends_beside_voters_who_never_pause(still):
    """At every moment one of two voters is at work on a ballot: each begins before the other one ends, by a commit or a rollback."""
    random = random_for("never pause")
    with still.connect() as ann, still.connect() as bob, still.connect() as operator:
        voters = [(ann, "ann"), (bob, "bob")]
        for session, voter in voters:
            session.execute("SELECT cast_vote('m', %s, 'home')", (voter,))

        def begin(session, voter):
            session.execute("BEGIN")
            for team in ("away", "home"):  # one of them is a change, whatever the ballot says
                session.execute("SELECT cast_vote('m', %s, %s)", (voter, team))

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begin(*voters[0])
            purge = pool.submit(lambda: operator.execute("SELECT purge_match('m')").fetchone())
            turns = itertools.count(1)

            def is_purged():
                turn = next(turns)
                begin(*voters[turn % 2])
                voters[(turn + 1) % 2][0].execute(random.choice(("COMMIT", "ROLLBACK")))
                return purge.done()

            try:
                eventually("the purge ends", is_purged)
            finally:
                operator.cancel()
                for session, _ in voters:
                    session.execute("ROLLBACK")
            purge.result()
        assert still.value("SELECT count(*) FROM vote_agg.ballot") == still.value("SELECT total_votes FROM get_realtime_stats('m')")
        still.settle()
        assert still.sql("SELECT check_name FROM verify_match('m') WHERE NOT ok") == []
        # After the end of the match nobody can come any more, and a purge leaves none of the ballots that it sees.
        ann.execute("SELECT cast_vote('m', 'ann', 'first')")
        ann.execute("BEGIN")
        ann.execute("SELECT cast_vote('m', 'ann', 'last')")
        still.sql("SELECT close_match('m')")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            purge = pool.submit(lambda: operator.execute("SELECT purge_match('m')").fetchone())
            waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            eventually("the purge waits for ann", lambda: still.value(waits, operator.info.backend_pid))
            ann.execute("COMMIT")
            purge.result()
        assert still.value("SELECT count(*) FROM vote_agg.ballot") == still.value("SELECT total_votes FROM get_realtime_stats('m')") == 0


def race(db, gate):
    """One round: every session, at every isolation level, casts the first vote of the same 500 new voters."""

    def run(number):
        with db.connect() as session:
            session.execute(f"SET default_transaction_isolation = '{ballots.LEVELS[number % 3]}'")
            session.execute(f"CALL race({gate}, '{TEAMS[number % 2]}')")

    with db.connect() as keeper, concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
        keeper.execute("SELECT pg_advisory_lock(%s)", (gate,))
        sessions = [pool.submit(run, number) for number in range(SESSIONS)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually("all stand at the gate", lambda: keeper.execute(waiting).fetchone()[0] == SESSIONS)
        keeper.execute("SELECT pg_advisory_unlock(%s)", (gate,))
        for session in sessions:
            session.result()


@pytest.mark.parametrize("changes_allowed", [True, False])
def test_first_votes_of_a_voter_meet(db, changes_allowed):
    """Whoever finds no ballot inserts one, and takes it back when another session's was faster. One is counted."""
    db.sql(RACE)
    db.sql("SELECT open_match(%s, changes_allowed => %s)", MATCH, changes_allowed)
    gates = itertools.count()
    with running(again_and_again(db, ballots.look, 0.05)):
        for _ in range(ROUNDS):
            race(db, next(gates))
        check(db)

        def taken_back():
            # No ballot is deleted here but those that came second.
            taken = db.value("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'ballot'")
            return taken or race(db, next(gates))

        print(f"{eventually('two sessions insert the same ballot at once', taken_back)} ballots taken back")
    check(db)

    voters = collections.defaultdict(list)
    for voter, team, what in db.sql("SELECT * FROM outcome"):
        voters[voter].append((team, what))
    stands = dict(db.sql("SELECT voter_id, team_choice FROM vote_agg.ballot"))
    assert stands.keys() == voters.keys()
    for voter, outcomes in voters.items():
        (first,) = [team for team, what in outcomes if what == "counted"]
        second = TEAMS[1 - TEAMS.index(first)]
        changes = [what for _, what in outcomes].count("changed")
        if changes_allowed:
            assert stands[voter] == (second if changes % 2 else first), (voter, outcomes)
        else:
            assert stands[voter] == first, (voter, outcomes)
            assert {(team, what) for team, what in outcomes if what != "counted"} <= {(first, "unchanged"), (second, "refused")}


def test_a_session_of_many_ballots_does_not_grow(db):
    """300,000 ballots: in statements of their own, in large ones and in bulk; first votes and changes."""
    cast = "SELECT count(cast_vote('final', 'v' || i % {}, '{}', {})) FROM generate_series(1, 30000) AS i"
    many = """SELECT bulk_increment((SELECT jsonb_agg(jsonb_build_object(
        'match_id', 'final', 'voter_id', 'b' || i, 'team_choice', 'home')) FROM generate_series({0} * 30000, {0} * 30000 + 29999) AS i))"""
    single = "DO $$ BEGIN FOR i IN 1..{} LOOP PERFORM cast_vote('final', 's' || i, 'home'); COMMIT; END LOOP; END $$"
    with db.connect() as session:
        status = pathlib.Path(f"/proc/{session.info.backend_pid}/status")

        def megabytes():
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read_text())[1]) / 1024

        def vote(times):
            for n in range(times):
                session.execute(cast.format(30_000, TEAMS[n % 2], vote_calls.CELLS[n]))
                session.execute(many.format(n))
            session.execute(single.format(times * 1_000))

        vote(2)
        warm = megabytes()
        vote(5)
        print(f"{warm:.1f} MB, then {megabytes():.1f} MB")
        assert megabytes() < warm + 10
        db.settle()
        ballots.add_up(session)
