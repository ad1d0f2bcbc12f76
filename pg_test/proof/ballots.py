"""Ballots: the oracle fed from the table of ballots, and sessions that cast them in every way and remember what they did."""

import collections
import itertools
import json
from typing import NamedTuple, Optional

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.harness import eventually, random_for

MATCH = "final"
HOT = 5  # half of all ballots are those of so many voters
OWN = 3  # voters of each session that nobody else touches
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
ENDS = ("COMMIT", "COMMIT", "COMMIT PREPARED", "ROLLBACK", "ROLLBACK PREPARED")
OUTCOMES = ("counted", "changed", "unchanged", "retracted", "nothing to retract", "bulk")
EVENTS = {*ENDS, *OUTCOMES, "rolled back to savepoint", "savepoint kept", "refused", "cancelled"}
GONE = (None, "57P01", "57P02", "57P03")  # the connection broke, or the server said why it breaks it

# A row a transaction, written in it: tells after a cancel or a broken connection whether it was committed.
DONE = "CREATE TABLE done (name text PRIMARY KEY)"

# One statement, one snapshot: every way of counting the match's votes, ballots first. What may be missing of a vote is
# counted as missing in the ballots too.
WAYS = """
WITH ballots AS MATERIALIZED (SELECT * FROM vote_agg.ballot WHERE match_id = %(match)s),
     stats AS MATERIALIZED (SELECT * FROM get_realtime_stats(%(match)s))
SELECT ARRAY[
    (SELECT count(*) FROM ballots),
    coalesce((SELECT total_votes FROM stats), 0),
    coalesce((SELECT sum(v.value::bigint) FROM stats s, jsonb_each_text(s.votes) v), 0),
    coalesce((SELECT sum(votes) FROM get_match_timeline(%(match)s)), 0),
    coalesce((SELECT sum(total_votes) FROM get_match_aggregates(%(match)s)), 0) + (SELECT count(*) FROM ballots WHERE h3_index IS NULL),
    coalesce((SELECT sum(total_votes) FROM get_country_aggregates(%(match)s)), 0)
        + (SELECT count(*) FROM ballots WHERE country_code IS NULL)],
  coalesce((SELECT active_cells FROM stats), 0) - (SELECT count(DISTINCT h3_index) FROM ballots),
  coalesce((SELECT active_countries FROM stats), 0) - (SELECT count(DISTINCT country_code) FROM ballots)
"""


class Choice(NamedTuple):
    team: str
    cell: Optional[int]
    country: Optional[str]


def any_choice(rng):
    vote = vote_calls.any_vote(rng, MATCH)
    return Choice(vote.team, vote.cell, vote.country)


def cast(rng, voter, choice, match=MATCH):
    """The cell as text or as a number."""
    if rng.random() < 0.5:
        return "SELECT cast_vote(%s, %s, %s, %s::bigint, %s)", (match, voter, *choice)
    index = None if choice.cell is None else f"{choice.cell:x}"
    return "SELECT cast_vote(%s, %s, %s, %s::text, %s)", (match, voter, choice.team, index, choice.country)


def cast_some(session, rng, journal, match, times):
    """Casts ballots of a few voters of `match`, one after the other; the journal has where each one's vote is now."""
    query = "SELECT match_id, team_choice, h3_index, country_code FROM vote_agg.ballot WHERE (match_id, voter_id) = (%s, %s)"
    for _ in range(times):
        voter, choice = f"voter {rng.randrange(10)}", any_choice(rng)
        for old in session.execute(query, (match, voter)):
            journal.remove(oracle.Vote(*old))
        session.execute(*cast(rng, voter, choice, match))
        journal.append(oracle.Vote(match, *choice))


def bulk(ballots):
    """Voters and choices, in one batch."""
    keys = ("match_id", "voter_id", "team_choice", "h3_index", "country_code")
    elements = [(MATCH, voter, team, cell and f"{cell:x}", country) for voter, (team, cell, country) in ballots]
    return "SELECT bulk_increment(%s::jsonb)", (json.dumps([dict(zip(keys, element)) for element in elements]),)


def bad(rng, voter):
    """A call that is refused with 22023."""
    element = {"match_id": MATCH, "voter_id": voter, "team_choice": "home"}
    return rng.choice(
        (
            ("SELECT cast_vote(%s, %s, 'home', '872a1072bfffff0')", (MATCH, voter)),
            ("SELECT cast_vote(%s, %s, NULL)", (MATCH, voter)),
            ("SELECT retract_vote(%s, '')", (MATCH,)),
            ("SELECT bulk_increment(%s::jsonb)", (json.dumps([element, {**element, "votes": 2}]),)),
            ("SELECT bulk_increment(%s::jsonb)", (json.dumps([element, {**element, "voter_id": "x" * 201}]),)),
        )
    )


def recount(session, match=MATCH):
    """The ballots as the votes that they stand for."""
    query = "SELECT match_id, team_choice, h3_index, country_code FROM vote_agg.ballot WHERE match_id = %s"
    return [oracle.Vote(*row) for row in session.execute(query, (match,))]


def differences(session, match=MATCH, folded=False):
    """Empty when all that is read for `match` equals a recount of its ballots, in one snapshot."""
    with oracle.one_snapshot(session):
        return oracle.differences(session, match, recount(session, match), folded)


def look(session):
    """What must hold at any moment."""
    assert not differences(session)
    add_up(session)


def add_up(session):
    """The same sums without looking at each ballot here."""
    ways, *active = session.execute(WAYS, {"match": MATCH}).fetchone()
    assert len(set(ways)) == 1 and active == [0, 0], f"in one snapshot: {ways}, active {active}"


def check_key(db):
    """The key knows each ballot, and each voter once."""
    db.sql("CREATE EXTENSION IF NOT EXISTS amcheck")
    db.sql("SELECT bt_index_check('vote_agg.ballot_pkey', true)")
    table = "SELECT count(*), count(DISTINCT (match_id, voter_id)) FROM vote_agg.ballot"
    with db.connect() as session:
        session.execute("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off")
        ballots, voters = session.execute(table).fetchone()
    assert ballots == voters


def is_gone(error):
    """A lost connection and nothing else: not a deadlock, not a lock that was waited for too long."""
    assert error.sqlstate in GONE, error
    return True


def connect(db):
    def attempt():
        try:
            return db.connect()
        except psycopg.OperationalError as error:
            return not is_gone(error)

    return eventually("the server takes connections", attempt)


def again_and_again(db, act, pause=0.0):
    """A job that calls `act(session)`, in a new session whenever the server has taken one away."""

    def run(stop):
        while not stop.is_set():
            try:
                with connect(db) as session:
                    while not stop.wait(pause):
                        act(session)
            except psycopg.OperationalError as error:
                is_gone(error)

    return run


class Caster:
    """A session that casts ballots in random transactions, for voters that all share and for some of its own.

    Within a transaction voters come in ascending order: who takes them crosswise asks for deadlocks.
    """

    def __init__(self, db, number, shared, own=OWN):
        self.db, self.rng, self.shared = db, random_for("caster", number), shared
        self.names = (f"caster_{number}_{n}" for n in itertools.count())
        self.choices = {f"own {number} {n}": None for n in range(own)}
        self.gained = 0  # ballots that came to be, less those that were retracted
        self.events = collections.Counter()
        self.open()

    def open(self):
        self.session = connect(self.db)
        self.pid = self.session.info.backend_pid

    def run(self, stop):
        while not stop.is_set():
            before = dict(self.choices), self.gained
            try:
                committed = self.transaction()
            except psycopg.OperationalError as error:
                self.interrupted(error)
                committed = self.find_out()
            if not committed:
                self.choices, self.gained = before
        self.session.close()

    def transaction(self):
        self.name, self.end = next(self.names), self.rng.choice(ENDS)
        self.session.execute(f"BEGIN ISOLATION LEVEL {self.rng.choice(LEVELS)}")
        self.session.execute("INSERT INTO done VALUES (%s)", (self.name,))
        voters = sorted(self.voter() for _ in range(self.rng.randint(1, 8)))
        while voters:
            some = self.rng.choice((1, 1, 1, 2, 4))
            self.step(voters[:some])
            voters = voters[some:]
        if "PREPARED" in self.end:
            self.session.execute(f"PREPARE TRANSACTION '{self.name}'")
            self.session.execute(f"{self.end} '{self.name}'")
        else:
            self.session.execute(self.end)
        self.events[self.end] += 1
        return self.end.startswith("COMMIT")

    def voter(self):
        hot, own = self.shared[:HOT], list(self.choices)
        return self.rng.choice(self.rng.choice((hot, hot, self.shared, own or hot)))

    def step(self, voters):
        """One call or two, perhaps in a savepoint."""
        before = dict(self.choices), self.gained
        event = self.rng.choice((None, None, "rolled back to savepoint", "savepoint kept", "refused"))
        if event:
            self.session.execute("SAVEPOINT here")
        if len(voters) > 1:
            self.bulk(voters)
        elif self.rng.random() < 0.3:
            self.retract(*voters)
        else:
            self.cast(*voters)
        if event == "refused":
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                self.session.execute(*bad(self.rng, voters[-1]))
        if event:
            self.session.execute("RELEASE SAVEPOINT here" if event == "savepoint kept" else "ROLLBACK TO SAVEPOINT here")
            self.events[event] += 1
        if event not in (None, "savepoint kept"):
            self.choices, self.gained = before

    def answer(self, statement):
        return self.session.execute(*statement).fetchone()[0]

    def cast(self, voter):
        choice = any_choice(self.rng)
        for _ in range(self.rng.choice((1, 2))):  # a retry does no harm
            outcome = self.answer(cast(self.rng, voter, choice))
            if voter in self.choices:
                assert outcome == self.remember(voter, choice), voter
            self.gained += outcome == "counted"
            self.events[outcome] += 1

    def retract(self, voter):
        is_retracted = self.answer(("SELECT retract_vote(%s, %s)", (MATCH, voter)))
        if voter in self.choices:
            assert is_retracted == (self.choices[voter] is not None), voter
            self.choices[voter] = None
        self.gained -= is_retracted
        self.events["retracted" if is_retracted else "nothing to retract"] += 1

    def bulk(self, voters):
        """Some voters twice or three times; what counts is the order of the elements of one voter."""
        ballots = [(voter, any_choice(self.rng)) for voter in self.rng.choices(voters, k=len(voters) * 2)]
        counted = self.answer(bulk(ballots))
        own = [self.remember(voter, choice) for voter, choice in ballots if voter in self.choices].count("counted")
        others = len({voter for voter, _ in ballots} - set(self.choices))
        assert own <= counted <= own + others, (own, counted, others)
        self.gained += counted
        self.events["bulk"] += 1

    def remember(self, voter, choice):
        """Notes the choice of a voter of its own; returns what a call must answer."""
        old, self.choices[voter] = self.choices[voter], choice
        return "counted" if old is None else "unchanged" if old == choice else "changed"

    def interrupted(self, error):
        self.events["cancelled" if isinstance(error, psycopg.errors.QueryCanceled) or not is_gone(error) else "gone"] += 1

    def find_out(self):
        """Ends what is left of the last transaction, however often that is interrupted; was it committed?"""
        while True:
            try:
                if self.session.closed:
                    self.open()
                self.session.execute("ROLLBACK")
                prepared = "SELECT FROM pg_prepared_xacts WHERE gid = %s"
                if self.session.execute(prepared, (self.name,)).fetchone() is not None:
                    self.session.execute(f"{self.end} '{self.name}'")
                return self.session.execute("SELECT FROM done WHERE name = %s", (self.name,)).fetchone() is not None
            except psycopg.OperationalError as error:
                self.interrupted(error)


def disturber(casters, rng):
    """Cancels sessions again and again, and ends one now and then."""

    def act(session):
        pids = [caster.pid for caster in rng.sample(casters, max(1, len(casters) // 4))]
        session.execute("SELECT pg_cancel_backend(pid) FROM unnest(%s) AS pid", (pids,))
        if rng.random() < 0.2:
            session.execute("SELECT pg_terminate_backend(%s)", (pids[0],))

    return act
