"""Merged reads while people vote: each is a sum of moments, so no vote that was acknowledged is missing, and none is there twice."""

import collections
import itertools
import threading

import pytest

from shards import Front
from testkit import oracle
from testkit.harness import READS, eventually, random_for, running

TEAMS, COUNTRIES = ("home", "away", "third"), ("FR", "DE", "BR")
CELLS = [oracle.cell(20, 3, n % 7, n // 7, 1) for n in range(40)]
VOTERS = 12  # who change their minds, each between two cells of their own
LOOKS = READS // 5


@pytest.fixture
def front(cluster, new_database):
    made = Front(new_database(cluster, extension=False), [new_database(cluster) for _ in range(3)])
    made.db.is_patrolled = False  # it has no votes
    made.rows("SELECT open_match('calls', %s, spread => true)", list(TEAMS))
    made.rows("SELECT open_match('minds', spread => true)")
    yield made
    made.close()


class Journal:
    """What was tried and what was acknowledged so far, by team; each voter has one, and adds to it alone."""

    def __init__(self):
        self.tried, self.acknowledged = collections.Counter(), collections.Counter()

    def send(self, session, votes, query, *params):
        self.tried.update(votes)
        session.execute(query, params)
        self.acknowledged.update(votes)


def votes_by(journal, front, number):
    """A job that records votes in every way in which none is taken back."""
    rng, voters = random_for("front load", number), itertools.count()

    def run(stop):
        with front.db.connect() as session:
            while not stop.is_set():
                kind, n = rng.randrange(4), rng.randrange(1, 6)
                teams, cells, countries = ([rng.choice(what) for _ in range(n)] for what in (TEAMS, CELLS, COUNTRIES))
                if kind == 0:
                    journal.send(session, {teams[0]: n}, "SELECT record_vote('calls', %s, %s::bigint, %s, %s)", teams[0], cells[0], countries[0], n)
                elif kind == 1:
                    journal.send(session, collections.Counter(teams), "SELECT bulk_increment('calls', %s, %s::bigint[], %s)", teams, cells, countries)
                elif kind == 2:
                    named = [f"{number}/{next(voters)}" for _ in range(n)]
                    journal.send(session, collections.Counter(teams), "SELECT FROM cast_votes(%s, %s, %s, %s::bigint[], %s)", ["calls"] * n, named, teams, cells, countries)
                else:
                    journal.send(session, collections.Counter(teams), "SELECT FROM record_votes(%s, %s, %s::bigint[], %s)", ["calls"] * n, teams, cells, countries)

    return run


# Each says the votes by team.
WAYS = (
    "SELECT e.key, e.value::bigint FROM get_realtime_stats('calls') s, jsonb_each_text(s.votes) e",
    "SELECT e.key, sum(e.value::bigint) FROM get_country_aggregates('calls') s, jsonb_each_text(s.votes) e GROUP BY 1",
    "SELECT e.key, sum(e.value::bigint) FROM get_match_aggregates('calls', 0) s, jsonb_each_text(s.votes) e GROUP BY 1",
    "SELECT team_choice, sum(votes) FROM get_match_timeline('calls') GROUP BY 1",
    "SELECT e.key, e.value::bigint FROM get_match_at('calls', 'infinity') s, jsonb_each_text(s.votes) e WHERE s.country_code IS NULL",
)


def sum_of(counters):
    total = collections.Counter()
    for counter in counters:
        total.update(counter.copy())
    return total


def test_a_total_lies_between_what_was_acknowledged_and_what_was_tried(front):
    """And it never falls, where nobody takes a vote back."""
    journals = [Journal() for _ in range(3)]
    left, lock, seen = iter(range(READS)), threading.Lock(), collections.Counter()

    def reads(stop):
        highest = collections.Counter()
        with front.db.connect() as session:
            while not stop.is_set():
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                before = sum_of(journal.acknowledged for journal in journals)
                found = collections.Counter(dict(session.execute(WAYS[number % len(WAYS)]).fetchall()))
                after = sum_of(journal.tried for journal in journals)
                for team in TEAMS:
                    floor = max(before[team], highest[team])
                    assert floor <= found[team] <= after[team], (WAYS[number % len(WAYS)], team, before[team], highest[team], found[team], after[team])
                    highest[team] = found[team]
                seen[number % len(WAYS), len(highest) == len(TEAMS) and highest.total() > 0] += 1

    with running(*(votes_by(journal, front, number) for number, journal in enumerate(journals))) as stop:
        eventually("votes come", lambda: stop.is_set() or set(sum_of(journal.acknowledged for journal in journals)) == set(TEAMS))
        readers = [threading.Thread(target=lambda: failures.append(caught(reads, stop))) for _ in range(3)]
        failures = []
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert failures == [None] * 3, next(filter(None, failures))
    assert sum(seen.values()) == READS and all(seen[way, True] > 0 for way in range(len(WAYS))), seen
    # At rest the two bounds are one.
    assert sum_of(journal.acknowledged for journal in journals) == sum_of(journal.tried for journal in journals)
    for way in WAYS:
        assert collections.Counter(dict(front.rows(way))) == sum_of(journal.tried for journal in journals), way


def caught(job, *args):
    try:
        job(*args)
    except BaseException as error:
        return error


def test_a_voter_who_changes_their_mind_is_in_one_place(front):
    """Each has two cells, two teams and two countries, and is in exactly one of each at every look."""
    homes = {f"fan {n}": (CELLS[2 * n], CELLS[2 * n + 1]) for n in range(VOTERS)}
    places = {f"{cell:x}": voter for voter, cells in homes.items() for cell in cells}

    def cast(session, voter, way):
        n = int(voter.split()[1])
        teams, countries = (f"a{n}", f"b{n}"), ("FR", "DE")
        columns = [["minds"], [voter], [teams[way]], [homes[voter][way]], [countries[way]]]
        if way:
            session.execute("SELECT FROM cast_votes(%s, %s, %s, %s::bigint[], %s)", columns)
        else:
            session.execute("SELECT cast_vote(%s, %s, %s, %s::bigint, %s)", [column[0] for column in columns])

    changes = collections.Counter()

    def changing(number):
        rng = random_for("minds", number)

        def run(stop):
            with front.db.connect() as session:
                while not stop.is_set():
                    voter = f"fan {rng.randrange(VOTERS // 3) * 3 + number}"
                    cast(session, voter, rng.randrange(2))
                    changes[voter] += 1

        return run

    for voter in homes:
        cast(front.session, voter, 0)
    moved = collections.defaultdict(set)
    with running(*(changing(number) for number in range(3))) as stop:
        eventually("minds change", lambda: stop.is_set() or changes.total() >= 10)
        for look in itertools.count():
            if look >= LOOKS and any(len(cells) == 2 for cells in moved.values()):
                break
            assert look < 100 * LOOKS, "nobody was seen to move"
            kind = look % 3
            if kind == 0:
                rows = front.rows("SELECT h3_index, total_votes FROM get_match_aggregates('minds') WHERE total_votes <> 0")
                assert sorted(places[cell] for cell, _ in rows) == sorted(homes) and {votes for _, votes in rows} == {1}, rows
                for cell, _ in rows:
                    moved[places[cell]].add(cell)
            elif kind == 1:
                total, votes = front.rows("SELECT total_votes, votes FROM get_realtime_stats('minds')")[0]
                teams = [team for team, count in votes.items() if count]
                assert total == VOTERS and sorted(team[1:] for team in teams) == sorted(voter.split()[1] for voter in homes), votes
            else:
                rows = front.rows("SELECT country_code, total_votes FROM get_country_aggregates('minds')")
                assert sum(votes for _, votes in rows) == VOTERS, rows
    for shard in front.shards:
        assert shard.value("SELECT count(*) FROM vote_agg.ballot WHERE match_id = 'minds'") > 0
