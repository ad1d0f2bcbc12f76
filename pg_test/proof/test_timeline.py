"""The time line, its retention and the changes of leader, each against a recount that shares nothing with the extension."""

import datetime

import psycopg
import pytest

import timed_votes
import vote_calls
from test_dump import restore, target  # noqa: F401  (a fixture)
from testkit import oracle
from testkit.harness import SECONDS, eventually, fold, random_for, running
from ticker import Ticker
from timed_votes import MINUTE, Timed

START = datetime.datetime(2024, 7, 14, 19, 0, 17, tzinfo=datetime.timezone.utc)
WIDTHS = [n * MINUTE for n in (1, 2, 5, 7, 60, 1_440)]
CLOCK = {"options": "-c vote_agg.worker=off -c timezone=UTC"}


def any_votes(rng, how_many, start=START, minutes=200):
    """Votes at random times; some are late, some move a ballot at one moment, some only tell a country."""
    journal = []
    for _ in range(how_many):
        at = start + rng.random() * minutes * MINUTE
        vote = Timed(at, rng.choice(vote_calls.TEAMS), rng.choice((1, 1, 2, 9)), rng.choice((None, *vote_calls.COUNTRIES)))
        journal.append(vote)
        kind = rng.randrange(6)
        if kind == 0:
            later = at + rng.random() * 5 * MINUTE
            journal.append(vote._replace(at=later, votes=-vote.votes))
            journal.append(vote._replace(at=later, team=rng.choice(vote_calls.TEAMS)))
        elif kind == 1 and vote.country:
            journal[-1] = vote._replace(in_total=False)
    return journal


def equal_at_all_times(session, match, journal, rng, kept_from=None):
    """Random buckets, cuts and moments, in one snapshot, equal the recount."""
    moments = [START - 3 * MINUTE + rng.random() * 220 * MINUTE for _ in range(6)]
    with oracle.one_snapshot(session):
        for width in WIDTHS:
            assert timed_votes.read_buckets(session, match, width) == timed_votes.buckets(journal, width, kept_from=kept_from), width
            cut = rng.sample(moments, 2)
            assert timed_votes.read_buckets(session, match, width, *cut) == timed_votes.buckets(journal, width, *cut, kept_from), (width, cut)
        for moment in moments:
            read, as_of = timed_votes.read_standing(session, match, moment)
            assert as_of == timed_votes.floor(moment)
            assert read == timed_votes.standing(journal, as_of), moment


def test_every_bucket_and_moment_is_a_recount(still):
    """Folded or pending, early or late, counted or taken back."""
    rng, journal = random_for("time line"), []
    with still.connect(**CLOCK) as session:
        for round_ in range(8):
            votes = any_votes(rng, 40)
            timed_votes.record(session, "m", votes)
            journal += votes
            equal_at_all_times(session, "m", journal, rng)
            if round_ % 2 == 0:
                session.execute("SELECT vote_agg.fold()")
                equal_at_all_times(session, "m", journal, rng)
        still.settle()
        equal_at_all_times(session, "m", journal, rng)
        rows = "SELECT count(*), count(DISTINCT bucket) FROM vote_agg.timeline"
        assert len(set(session.execute(rows).fetchone())) == 1, "one row a minute"
        rows = "SELECT count(*), count(DISTINCT (bucket, country_code)) FROM vote_agg.country_timeline"
        assert len(set(session.execute(rows).fetchone())) == 1, "one row a minute and country"


def test_the_servers_clock_decides(db):
    """Votes cast just now are in the bucket of now, and were not there before it began."""
    with db.connect(**CLOCK) as session:

        def in_one_minute():
            session.execute("SELECT purge_match('m')")
            before = session.execute("SELECT clock_timestamp()").fetchone()[0]
            session.execute("SELECT record_vote('m', 'home', NULL::text, 'FR', 3)")
            read = timed_votes.read_buckets(session, "m", MINUTE)
            standing = timed_votes.read_standing(session, "m", before)[0]
            after = session.execute("SELECT clock_timestamp()").fetchone()[0]
            return timed_votes.floor(before) == timed_votes.floor(after) and (read, standing, timed_votes.floor(before))

        read, standing, minute = eventually("all in one minute", in_one_minute)
        assert read == {(minute, "home"): (3, 3)} and standing == {}


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_a_ticker_follows_from_the_messages(still, margin):
    """Few places and teams that are close: leaders change all the time, and also by votes that are taken back."""
    still.configure(flip_margin=margin)
    rng = random_for("ticker", margin)
    with still.connect() as session:
        for fold in range(150):
            if fold % 15 == 0:  # a rally of the teams in turn, which overtakes by any margin
                total = session.execute("SELECT total_votes FROM get_realtime_stats('m')").fetchone()[0]
                team, cell = vote_calls.TEAMS[fold // 15 % 3], vote_calls.CELLS[fold // 15 % 2]
                rally = vote_calls.placed_vote(rng, "m")._replace(team=team, cell=cell, votes=2 * max(total, 0) + 100)
                session.execute(*vote_calls.record(rally))
            for _ in range(rng.choice((1, 1, 2, 30))):
                vote = vote_calls.any_vote(rng, "m")._replace(cell=rng.choice((None, *vote_calls.CELLS[:4])))
                session.execute(*vote_calls.record(vote))
            if rng.random() < 0.2:
                team, country = rng.choice(vote_calls.TEAMS), rng.choice((None, *vote_calls.COUNTRIES))
                took = Timed(datetime.datetime.now(datetime.timezone.utc), team, -rng.choice((1, 40)), country)
                timed_votes.record(session, "m", [took])
            session.execute("SELECT vote_agg.fold()")
        check_ticker(session, Ticker(margin), at_least=3)


def check_ticker(session, ticker, at_least):
    messages = [body for (body,) in session.execute("SELECT body FROM get_match_changes('m', 0)")]
    for message in messages:
        ticker.apply(message)
    for scope in ("match", "country", "cell"):
        assert sum(flip[0] == scope for flip in ticker.flips) >= at_least, f"{scope}: too few changes to show anything"
    query = """SELECT lead_changes, to_char(last_lead_change_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                      last_lead_change_from, last_lead_change_to FROM get_realtime_stats('m')"""
    last = ticker.changes[-1] if ticker.changes else (None, None, None)
    assert session.execute(query).fetchone() == (len(ticker.changes), *last)
    assert kept_flips(session, "m") == ticker.kept[:1_000]


def kept_flips(session, match):
    return session.execute("SELECT seq, scope, country_code, before, after FROM get_match_flips(%s, max_rows => 1000)", (match,)).fetchall()


def test_a_ticker_follows_under_load(db):
    """Several sessions vote and the worker folds; another session folds in between, with places of its own."""

    def voter(number):
        def run(stop):
            rng = random_for("ticker", "load", number)
            with db.connect() as session:
                while not stop.is_set():
                    vote = vote_calls.any_vote(rng, "m")._replace(cell=rng.choice(vote_calls.CELLS), votes=rng.choice((1, 5, 50)))
                    session.execute(*vote_calls.record(vote))

        return run

    def folder(stop):
        with db.connect() as session:
            while not stop.wait(0.05):
                fold(session)

    with running(*map(voter, range(3)), folder) as stop:
        stop.wait(SECONDS / 4)
    db.settle()
    with db.connect() as session:
        ticker = Ticker()
        check_ticker(session, ticker, at_least=0)
        assert ticker.flips, "nobody ever took the lead"


@pytest.fixture
def retention(cluster):
    """Sets vote_agg.timeline_retention, a setting of the server."""

    def set_to(minutes):
        cluster.configure(**{"vote_agg.timeline_retention": minutes})
        cluster.reload()
        with cluster.connect() as session:
            session.execute("LOAD 'vote_agg'")
            shown = "SELECT setting FROM pg_settings WHERE name = 'vote_agg.timeline_retention'"
            eventually("the setting arrives", lambda: session.execute(shown).fetchone() == (str(minutes),))

    yield set_to
    set_to(-1)


def prune(session):
    """A fold that erases: the time of the last one is put back, so that none has to wait."""
    session.execute("UPDATE vote_agg.fold_log SET pruned_at = '2000-01-01' WHERE id = (SELECT max(id) FROM vote_agg.fold_log)")
    session.execute("SELECT record_vote('another', 'home')")
    assert session.execute("SELECT vote_agg.fold()").fetchone()[0] >= 1


def horizon(session, match):
    query = "SELECT kept_from FROM vote_agg.timeline WHERE match_id = %s AND bucket = '-infinity'"
    rows = session.execute(query, (match,)).fetchall()
    assert len(rows) <= 1
    return rows[0][0] if rows else None


def test_what_is_erased_goes_on_counting(still, retention, target):  # noqa: F811
    """The horizon moves over a match whose votes come early, late, and for minutes that are gone; another match is idle."""
    rng = random_for("retention")
    now = datetime.datetime.now(datetime.timezone.utc)
    start = now - 200 * MINUTE
    journal = idle = any_votes(rng, 150, start, 190)
    with still.connect(**CLOCK) as session, still.connect(**CLOCK) as other:
        for match in ("m", "idle"):
            timed_votes.record(session, match, journal)
        session.execute("SELECT vote_agg.fold()")
        prune(session)
        assert horizon(session, "m") is None, "by default all is kept"
        rows = session.execute("SELECT count(*) FROM vote_agg.timeline").fetchone()[0]

        for minutes in (150, 90, 0):
            retention(minutes)
            session.execute("SELECT 'a session takes a new setting before its next statement'")
            before = datetime.datetime.now(datetime.timezone.utc)
            prune(session)
            kept_from = horizon(session, "m")
            latest = datetime.datetime.now(datetime.timezone.utc)
            assert timed_votes.floor(before) <= kept_from + minutes * MINUTE <= timed_votes.floor(latest)
            for table in ("timeline", "country_timeline"):
                query = f"SELECT count(*) FROM vote_agg.{table} WHERE bucket > '-infinity' AND bucket < %s"
                assert session.execute(query, (kept_from,)).fetchone()[0] == 0, table
            assert session.execute("SELECT count(*) FROM vote_agg.timeline").fetchone()[0] < rows
            check_after(session, "idle", idle, rng)
            check_after(session, "m", journal, rng)

            # Late votes, for minutes that are gone too, folded by a session that remembers where the erased rows were.
            late = any_votes(rng, 20, start, 190)
            timed_votes.record(other, "m", late)
            journal = journal + late
            check_after(session, "m", journal, rng)
            other.execute("SELECT vote_agg.fold()")
            check_after(session, "m", journal, rng)
        retention(100)
        session.execute("SELECT 'a longer time brings nothing back'")
        late = Timed(start, "home", 5, "FR")
        timed_votes.record(session, "m", [late])
        journal = [*journal, late]
        prune(session)
        assert horizon(session, "m") >= kept_from
        check_after(session, "m", journal, rng)
        still.settle()
        restore(still, target, "custom")
        with target.connect(**CLOCK) as restored:
            check_after(restored, "m", journal, rng)
        assert session.execute("SELECT purge_match('m')").fetchone()[0] == sum(vote.votes for vote in journal if vote.in_total)
        for table in ("timeline", "country_timeline"):
            assert session.execute(f"SELECT count(*) FROM vote_agg.{table} WHERE match_id = 'm'").fetchone()[0] == 0, table


def check_after(session, match, journal, rng):
    """Buckets from the horizon on and moments from it on equal a recount of everything; moments before it are refused."""
    with oracle.one_snapshot(session):
        kept_from = horizon(session, match)
        for width in WIDTHS:
            assert timed_votes.read_buckets(session, match, width) == timed_votes.buckets(journal, width, kept_from=kept_from), width
        now = datetime.datetime.now(datetime.timezone.utc)
        for moment in [kept_from, *(kept_from + rng.random() * (now - kept_from) for _ in range(4))]:
            read, as_of = timed_votes.read_standing(session, match, moment)
            assert read == timed_votes.standing(journal, as_of), moment
        # Everything read as of now, erased or not, is what the votes add up to.
        votes = [oracle.Vote(match, vote.team, None, vote.country, vote.votes, vote.in_total) for vote in journal]
        at = {key: n for key, n in oracle.expected(match, votes).items() if key[0] == "at" and n}
        found = {key: n for key, n in oracle.observed(session, match).items() if key[0] == "at" and n}
        assert found == at
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is kept from"):
        session.execute("SELECT * FROM get_match_at(%s, %s)", (match, kept_from - datetime.timedelta(microseconds=1)))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is kept from"):
        session.execute("SELECT * FROM get_match_at(%s, '-infinity')", (match,))


def test_announced_flips_are_kept_as_long_as_the_time_line(still, retention, target):  # noqa: F811
    """A rebuild keeps them, and adds what it announces; a dump carries them; retention erases the old ones; a purge those of its match alone."""
    still.is_patrolled = False  # a leader is damaged
    with still.connect(**CLOCK) as session:

        def cast(match, votes):
            for number, (team, country) in enumerate(votes):
                session.execute("SELECT cast_vote(%s, %s, %s, NULL::text, %s)", (match, f"{number}", team, country))
            session.execute("SELECT vote_agg.fold()")

        for match in ("m", "other"):
            cast(match, [("home", "FR")] * 5)
            cast(match, [("away", "FR")] * 4 + [("home", "DE")])
        told = [(2, "match", None, "home", "away"), (2, "country", "DE", None, "home"), (2, "country", "FR", "home", "away"),
                (1, "match", None, None, "home"), (1, "country", "FR", None, "home")]
        assert kept_flips(session, "m") == kept_flips(session, "other") == told

        session.execute("SELECT rebuild_match('m')")
        assert kept_flips(session, "m") == told, "a rebuild that changes nothing"
        session.execute("UPDATE vote_agg.feed SET leader = 0 WHERE match_id = 'm' AND seq = 3")
        session.execute("SELECT rebuild_match('m')")
        told = [(4, "match", None, "home", "away"), *told]
        assert kept_flips(session, "m") == told, "a rebuild that corrects the leader"
        cast("m", [("home", "FR")])
        assert kept_flips(session, "m") == told, "votes of a rebuilt match"

        still.settle()
        restore(still, target, "custom")
        with target.connect(**CLOCK) as restored:
            assert kept_flips(restored, "m") == told

        prune(session)
        assert kept_flips(session, "m") == told, "by default all is kept"
        session.execute("UPDATE vote_agg.flip SET at = at - interval '2 hours' WHERE seq = 1")
        retention(60)
        session.execute("SELECT 'a session takes a new setting before its next statement'")
        prune(session)
        assert kept_flips(session, "m") == told[:-2] and kept_flips(session, "other") == told[1:-2]
        assert session.execute("SELECT purge_match('m')").fetchone()[0] == 5
        assert kept_flips(session, "m") == [] and kept_flips(session, "other") == told[1:-2]
        cast("m", [("away", None)])
        assert kept_flips(session, "m") == [(1, "match", None, None, "away")], "a purged match begins anew"


def test_the_worker_erases_and_a_reader_sees_one_moment(db, retention):
    """Minutes are erased under load: an open snapshot still has them, and every sum in it stays what it was."""
    now = datetime.datetime.now(datetime.timezone.utc)
    old = [Timed(now - n * MINUTE, "home", n, "FR") for n in range(5, 60)]
    with db.connect() as session, db.connect(**CLOCK) as reader:
        timed_votes.record(session, "m", old)
        session.execute("SELECT record_vote('m', 'home', NULL::text, 'FR')")
        eventually("the worker folds", lambda: db.pending() == 0)
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = timed_votes.read_buckets(reader, "m", MINUTE), timed_votes.read_standing(reader, "m", now)
        retention(3)

        def erased():
            session.execute("SELECT record_vote('m', 'away', NULL::text, 'DE')")
            return horizon(session, "m")

        kept_from = eventually("the worker erases", erased)
        assert before == (timed_votes.read_buckets(reader, "m", MINUTE), timed_votes.read_standing(reader, "m", now))
        reader.execute("COMMIT")
        assert min(bucket for bucket, _ in timed_votes.read_buckets(reader, "m", MINUTE)) >= kept_from
        total = reader.execute("SELECT votes -> 'home' FROM get_match_at('m', 'infinity') WHERE country_code = 'FR'").fetchone()[0]
        assert total == sum(vote.votes for vote in old) + 1
