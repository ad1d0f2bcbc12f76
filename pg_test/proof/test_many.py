"""Many votes in one call: each as if it had come alone, and turns put them in order, whatever way they take."""

import concurrent.futures
import threading

import pytest

from testkit.harness import ATTEMPTS, eventually, random_for


CELLS = (608725951823478783, 590711591230504959, None, None, 5)
COUNTRIES = ("FR", "DE", None, "QQ")
TEAMS = ("home", "away", "third", "", None)

MATCHES = """
SELECT open_match('{0} open'), open_match('{0} teams', ARRAY['home', 'away']), open_match('{0} first', changes_allowed => false),
    open_match('{0} later', opens_at => now() + interval '1 day'), open_match('{0} over')
"""


def element(random, prefix, voters):
    """An element with values of every kind, good and bad."""
    kinds = ("open", "teams", "first", "later", "over", "auto")
    match = random.choice([f"{prefix} {kind}" for kind in kinds] * 3 + ["", None, "x" * 201])
    voter = random.choice([f"voter {n}" for n in range(voters)] * 3 + ["", None])
    team = random.choice(TEAMS * 3 + ("x" * 201, "a\nb"))
    turn = random.choice([None, None, 1, 2, 3, 4, 5, 0, -1])
    return match, voter, team, random.choice(CELLS), random.choice(COUNTRIES), turn


CAST = """SELECT outcome, sqlstate, replace(message, %s, ''), hint
    FROM cast_votes(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[]) ORDER BY element"""
RETRACT = """SELECT outcome, sqlstate, replace(message, %s, ''), hint
    FROM retract_votes(%s::text[], %s::text[], %s::bigint[]) ORDER BY element"""


def cast(session, prefix, elements):
    columns = [list(column) for column in zip(*elements, strict=True)] or [[]] * 6
    return session.execute(CAST, [prefix, *columns]).fetchall()


def retract(session, prefix, elements):
    match, voter, _, _, _, turn = ([list(column) for column in zip(*elements, strict=True)] or [[]] * 6)
    return session.execute(RETRACT, [prefix, match, voter, turn]).fetchall()


def state(db, prefix):
    """Ballots and totals of the matches of that prefix."""
    ballots = db.sql(
        "SELECT replace(match_id, %s, ''), voter_id, team_choice, h3_index, country_code, turn FROM vote_agg.ballot "
        "WHERE starts_with(match_id, %s) ORDER BY 1, 2",
        prefix, prefix,
    )
    # A team whose votes all went again within one call has never been seen.
    totals = "SELECT %s, team, n FROM get_realtime_stats(%s), jsonb_each(votes) AS v (team, n) WHERE n <> '0' ORDER BY 2"
    return ballots, [db.sql(totals, kind, f"{prefix} {kind}") for kind in ("open", "teams", "first", "later", "over", "auto")]


def batches(random, prefix, size):
    """Calls to cast or to retract, some small ones or a big one of each; the same for every prefix."""
    voters = 4 + size // 8
    if size > 1_000:
        calls = [(cast, size), (retract, size // 10)]
    else:
        calls = [(random.choice((cast, cast, retract)), random.choice((1, 2, 7, 40))) for _ in range(size // 10)]
    for call, n in calls:
        yield call, [element(random, prefix, voters) for _ in range(n)]


@pytest.mark.parametrize("sizes", [[60] * ATTEMPTS, [10_000]], ids=["many seeds", "ten thousand"])
def test_each_element_is_as_if_it_had_come_alone(db, sizes):
    """The same elements in calls of many and in calls of one: outcomes, ballots and totals are the same."""
    with db.connect() as session:
        for n, size in enumerate(sizes):
            answers = {}
            for way in ("many", "single"):
                prefix = f"{way} {size} {n}"
                session.execute(MATCHES.format(prefix))
                session.execute("SELECT close_match(%s)", [f"{prefix} over"])
                answers[way] = []
                for call, elements in batches(random_for(f"many {size} {n}"), prefix, size):
                    for part in [elements] if way == "many" else [[one] for one in elements]:
                        answers[way] += call(session, prefix, part)
            assert answers["many"] == answers["single"]
            assert state(db, f"many {size} {n}") == state(db, f"single {size} {n}")
            kinds = {(outcome, code) for outcome, code, *_ in answers["many"]}
            if size == 10_000:  # enough of them for everything to occur
                wanted = {(outcome, None) for outcome in ("counted", "changed", "unchanged", "retracted", "superseded")}
                wanted |= {("refused", code) for code in ("22023", "23505", "42704", "55000")}
                assert kinds == wanted
    db.settle()
    for (match,) in db.sql("SELECT match_id FROM vote_agg.match WHERE starts_with(match_id, 'many')"):
        assert db.sql("SELECT check_name FROM verify_match(%s) WHERE NOT ok", match) == []


ONE_VOTER = {
    "cast_votes": "SELECT count(*) FROM cast_votes(array_fill('m'::text, ARRAY[{n}]), array_fill('ann'::text, ARRAY[{n}]), ARRAY(SELECT 'team ' || i % 3 FROM generate_series(1, {n}) i))",
    "retract_votes": "SELECT count(*) FROM retract_votes(array_fill('m'::text, ARRAY[{n}]), array_fill('ann'::text, ARRAY[{n}]), turns => ARRAY(SELECT i FROM generate_series(1, {n}) i))",
    "bulk_increment": """SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', 'm', 'voter_id', 'ann', 'team_choice', 'team ' || i % 3)))
        FROM generate_series(1, {n}) i""",
}


@pytest.mark.parametrize("call", ONE_VOTER)
def test_a_voter_who_comes_often_in_a_call_is_written_twice(still, call):
    """Each further version of a row would make the next look slower, and the call more than linear."""
    changes = "SELECT sum(pg_stat_get_xact_tuples_inserted(c) + pg_stat_get_xact_tuples_updated(c)) FROM (SELECT 'vote_agg.ballot'::regclass AS c) AS t"
    with still.connect() as session:
        for n in (1, 2, 10_000):
            session.execute("BEGIN")
            before = session.execute(changes).fetchone()[0]
            session.execute(ONE_VOTER[call].format(n=n))
            written = session.execute(changes).fetchone()[0] - before
            assert written == min(n, 2), f"{written} versions of a ballot for {n} elements"
            session.execute("ROLLBACK")
        session.execute(ONE_VOTER[call].format(n=10_000))
        kept = session.execute("SELECT team_choice, turn FROM vote_agg.ballot").fetchall()
        assert kept == [(None, 10_000) if call == "retract_votes" else ("team 1", None)]
        assert session.execute("SELECT coalesce(total_votes, 0) FROM get_realtime_stats('m')").fetchone() == (int(call != "retract_votes"),)


def test_the_highest_turn_counts_whichever_door_it_takes(db):
    """Requests of voters who change their minds are doubled, delayed and sent through two doors at once: of each voter, the highest
    turn counts. Without turns the last one to come would."""
    random = random_for("doors")
    newest, requests = {}, []
    for voter in (f"voter {n}" for n in range(100)):
        for turn in range(1, random.randint(2, 9)):
            newest[voter] = ("doors", voter, random.choice(("home", "away", "third", None)), None, None, turn)
            requests += [newest[voter]] * random.randint(1, 4)
    random.shuffle(requests)

    def door(mine, random):
        """Sends some at a time, and what was busy again."""
        with db.connect() as session:
            while mine:
                size = random.randint(1, 50)
                some, mine = mine[:size], mine[size:]
                for call, is_vote in ((cast, True), (retract, False)):
                    elements = [element for element in some if (element[2] is not None) == is_vote]
                    answers = call(session, "", elements)
                    assert not [answer for answer in answers if answer[0] == "refused"]
                    mine += [element for element, answer in zip(elements, answers, strict=True) if answer[0] == "busy"]

    with concurrent.futures.ThreadPoolExecutor() as doors:
        halves = requests[::2], requests[1::2]
        for done in [doors.submit(door, half, random_for(f"door {n}")) for n, half in enumerate(halves)]:
            done.result()
    kept = dict(db.sql("SELECT voter_id, (team_choice, turn)::text FROM vote_agg.ballot WHERE match_id = 'doors'"))
    assert kept == {voter: f"({team or ''},{turn})" for voter, (_, _, team, _, _, turn) in newest.items()}
    db.settle()
    assert db.sql("SELECT check_name FROM verify_match('doors') WHERE NOT ok") == []


@pytest.mark.parametrize(
    ("act", "retry", "answer"),
    [
        ("SELECT outcome FROM cast_votes('{m}', '{ann}', '{home}', turns => '{1}')",) * 2 + ("unchanged",),
        ("SELECT outcome FROM cast_votes('{m}', '{ann}', '{home}', turns => '{2}')", "SELECT outcome FROM cast_votes('{m}', '{ann}', '{x}', turns => '{1}')", "superseded"),
        ("SELECT outcome FROM retract_votes('{m}', '{old}')",) * 2 + ("unchanged",),
        ("SELECT cast_vote('m', 'ann', 'home')",) * 2 + ("unchanged",),
        ("SELECT retract_vote('m', 'old')",) * 2 + (False,),
        ("""SELECT bulk_increment('[{"match_id": "m", "voter_id": "ann", "team_choice": "home"}]')""",) * 2 + (0,),
    ],
    ids=["vote", "older turn", "retractions", "cast_vote", "retract_vote", "bulk_increment"],
)
def test_an_answer_about_another_commit_is_as_durable_as_that_commit(new_cluster, new_database, act, retry, answer):
    """A call whose commit still waits for a standby is sent again: the answer comes only when the wait is over."""
    db = new_database(new_cluster())
    db.sql("SELECT cast_vote('m', 'old', 'home')")

    def waits(session):
        return db.sql("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'", session.info.backend_pid) == [(1,)]

    with db.connect() as probe, db.connect() as first, db.connect() as again, concurrent.futures.ThreadPoolExecutor() as pool:
        has_waited = threading.Event()
        try:
            db.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            db.sql("SELECT pg_reload_conf()")
            # Nobody's commit waits before the checkpointer has read that.
            def commit_until_one_waits():
                while not has_waited.is_set():
                    probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

            probing = pool.submit(commit_until_one_waits)
            eventually("commits wait for a standby", lambda: waits(probe))
            has_waited.set()
            probe.cancel()
            probing.result()
            told = pool.submit(lambda: first.execute(act).fetchall())
            eventually("the commit waits for a standby", lambda: waits(first))
            # The commit stands, and is not as durable as it should be: the server says so, and the client takes it for lost.
            first.cancel()
            told.result()
            told = pool.submit(lambda: again.execute(retry).fetchall())
            eventually("the other one waits too", lambda: waits(again))
        finally:
            has_waited.set()
            db.sql("ALTER SYSTEM RESET synchronous_standby_names")
            db.sql("SELECT pg_reload_conf()")
        assert told.result() == [(answer,)]
