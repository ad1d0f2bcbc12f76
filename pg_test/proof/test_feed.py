"""Followers of the feed: late, absent for a while, or gone for too long, each ends with exactly the aggregates' state."""

import copy
import json

import pytest

import vote_calls
from testkit import oracle
from testkit.follower import Follower
from testkit.harness import SECONDS, eventually, random_for, running
from testkit.oracle import Vote

RESYNC_CELLS = 2_000  # more changed cells than this in one fold, and the message leaves them out
NOTIFY_BYTES = 7_900  # a longer message is notified without its lists
MANY_CELLS = [oracle.cell(30, *(n // 7**digit % 7 for digit in range(5))) for n in range(RESYNC_CELLS + 1)]


def vote_in(session, match, cells):
    """One vote in each of the cells, in one transaction; returns them."""
    votes = [Vote(match, "home", cell) for cell in cells]
    session.execute(*vote_calls.bulk_arrays(votes))
    return votes


def test_followers_that_come_late_and_stay_away(db):
    """One follows from the start, one comes and goes, one skips messages, one comes at the end; votes go on all the while."""
    journals = [[] for _ in range(4)]

    def voter(number):
        def run(stop):
            rng = random_for("feed", number)
            with db.connect() as session:
                while not stop.is_set():
                    statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                    with session.transaction():
                        for statement in statements:
                            session.execute(*statement)
                    journals[number] += votes

        return run

    followers = []

    def follow(naps, catch_up=Follower.catch_up):
        def run(stop):
            rng = random_for("follower", naps)
            with db.connect() as session:
                follower = Follower(session, "m")
                while not stop.wait(rng.random() * naps):
                    assert catch_up(follower), "nothing that this follower missed was too old"
                follower.session = None
                followers.append(follower)

        return run

    with running(*map(voter, range(4)), follow(0.1), follow(2), follow(0.5, Follower.update)) as stop:
        stop.wait(SECONDS / 2)
    db.settle()
    journal = sum(journals, [])
    with db.connect() as session:
        assert not oracle.differences(session, "m", journal, folded=True)
        followers.append(Follower(session, "m"))
        for follower in followers:
            follower.session = session
            assert follower.catch_up()
            assert not follower.differences(journal)
        assert max(len(follower.messages) for follower in followers) > 2, "the feed hardly moved"


def test_arrivals_are_told_once(still):
    """What the messages call new adds up to the votes."""
    rng = random_for("arrivals")
    journal = []
    with still.connect() as session:
        follower = Follower(session, "m")
        for _ in range(20):
            vote = vote_calls.any_vote(rng, "m")
            session.execute(*vote_calls.record(vote))
            journal.append(vote)
            if rng.random() < 0.5:
                session.execute("SELECT vote_agg.fold()")
        still.settle()
        assert follower.catch_up()
    news = [new for message in follower.messages for new in message["new"]]
    arrived = [Vote("m", team, cell and int(cell, 16), country, votes) for team, cell, country, votes in news]
    assert not oracle.compare(oracle.expected("m", journal), oracle.expected("m", arrived))


@pytest.mark.parametrize("count", [RESYNC_CELLS, RESYNC_CELLS + 1])
def test_a_message_holds_2000_cells(still, count):
    with still.connect() as session:
        follower = Follower(session, "m")
        journal = vote_in(session, "m", MANY_CELLS[:count])
        still.settle()
        body = session.execute("SELECT body FROM get_match_changes('m', 0)").fetchone()[0]
        assert body.get("resync", False) == ("cells" not in body) == (count > RESYNC_CELLS)
        assert follower.catch_up() == (count <= RESYNC_CELLS)
        journal += vote_in(session, "m", MANY_CELLS[:3])
        still.settle()
        assert follower.catch_up()
        assert not follower.differences(journal)


def test_an_update_brings_any_earlier_state_forward(still):
    """Whoever stood at any seq has, with one message more, what the newest snapshot says; a rebuild tells them to start again."""
    rng = random_for("updates")
    cast = """SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', 'm', 'team_choice', team, 'h3_index', cell,
        'country_code', country, 'voter_id', voter))) FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS v(voter, team, cell, country)"""
    with still.connect() as session:
        assert session.execute("SELECT get_match_update('m', 0)").fetchone() == (None,)
        stood, voters = [Follower(session, "m")], set()

        def state(follower):
            return follower.votes, {k: v for k, v in follower.cells.items() if v}, {k: v for k, v in follower.countries.items() if v}

        def vote():
            if voters and rng.random() < 0.2:
                gone = rng.sample(sorted(voters), min(len(voters), 50))
                session.execute("SELECT count(retract_vote('m', v)) FROM unnest(%s::text[]) AS v", (gone,))
                voters.difference_update(gone)
            else:
                count = rng.choice([1, 3, 3, RESYNC_CELLS + 1])
                names = rng.sample([f"v{n}" for n in range(3_000)], count)
                places = rng.sample(MANY_CELLS, count) if count > 3 else rng.choices(MANY_CELLS[:5], k=count)
                drawn = [rng.choices(options, k=count) for options in (["home", "away"], ["FR", "DE", None])]
                session.execute(cast, (names, drawn[0], [f"{cell:x}" for cell in places], drawn[1]))
                voters.update(names)
            still.settle()

        for step in range(25):
            vote()
            newest = Follower(session, "m")
            for follower in [*rng.sample(stood, min(4, len(stood))), newest]:
                later = copy.copy(follower)
                later.cells, later.countries = dict(follower.cells), dict(follower.countries)
                assert later.update()
                assert (later.seq, state(later)) == (newest.seq, state(newest)), (step, follower.seq)
            stood.append(newest)
        before = [follower for follower in stood if follower.seq > 0]
        session.execute("SELECT rebuild_match('m')")
        rebuilt = Follower(session, "m")
        assert rebuilt.seq == newest.seq + 1
        for follower in before:
            assert not follower.update()
            (update,) = session.execute("SELECT get_match_update('m', %s)", (follower.seq,)).fetchone()
            assert update["resync"] and "cells" not in update and "countries" not in update
        assert stood[0].seq == 0 and stood[0].update(), "who knew nothing is told all"
        assert stood[0].seq == rebuilt.seq and state(stood[0]) == state(rebuilt)
        vote()
        assert rebuilt.update() and state(rebuilt) == state(Follower(session, "m"))


def test_a_cursor_beyond_the_end_starts_again(still):
    with still.connect() as session:
        session.execute("SELECT record_vote('m', 'home')")
        still.settle()
        changes = "SELECT seq, resync FROM get_match_changes('m', %s)"
        newest = session.execute("SELECT seq FROM get_realtime_stats('m')").fetchone()[0]
        assert session.execute(changes, (newest - 1,)).fetchall() == [(newest, False)]
        assert session.execute(changes, (newest,)).fetchall() == []
        (row,) = session.execute(changes, (newest + 1,)).fetchall()
        assert row[1] is True
        (row,) = session.execute("SELECT seq, resync FROM get_match_changes('unheard-of', 5)").fetchall()
        assert row[1] is True
        assert session.execute("SELECT seq, resync FROM get_match_changes('unheard-of', 0)").fetchall() == []


def test_a_cursor_past_retention_starts_again(cluster, still):
    """A follower that was away for too long is told so, and is right again after its new snapshot."""
    with still.connect() as session:
        follower = Follower(session, "m")
        journal = []

        def vote(count):
            for _ in range(count):
                journal.extend(vote_in(session, "m", MANY_CELLS[len(journal) % 7 :][:1]))
                still.settle()

        vote(5)
        assert follower.catch_up()
        away_since = follower.seq
        vote(2)
        cluster.configure(**{"vote_agg.feed_retention": "'1s'"})
        cluster.reload()
        try:

            def forgotten():
                vote(1)
                return session.execute("SELECT min(seq) FROM vote_agg.feed").fetchone()[0] > away_since + 1

            eventually("old messages go", forgotten)
        finally:
            cluster.configure(**{"vote_agg.feed_retention": "'1h'"})
            cluster.reload()
        for since in (0, away_since):
            (row,) = session.execute("SELECT resync FROM get_match_changes('m', %s)", (since,)).fetchall()
            assert row[0] is True
        assert not follower.catch_up()
        vote(3)
        assert follower.catch_up()
        assert follower.differences(journal[:-1]) and not follower.differences(journal)
        assert not oracle.differences(session, "m", journal, folded=True)


def test_notifications_carry_the_message_where_it_fits(still):
    with still.connect() as listener, still.connect() as session:
        listener.execute("LISTEN vote_agg")
        heard = []
        listener.add_notify_handler(lambda notification: heard.append(notification.payload))
        bodies = []
        for count in [*range(1, 260, 4), 600, len(MANY_CELLS)]:
            vote_in(session, "m", MANY_CELLS[:count])
            still.settle()
            body = session.execute("SELECT body::text FROM get_match_changes('m', %s)", (len(bodies),)).fetchone()[0]
            bodies.append(body)
        eventually("every message is notified", lambda: listener.execute("SELECT 1") and len(heard) == len(bodies))
        sizes = [len(body.encode()) for body in bodies]
        assert min(sizes) <= NOTIFY_BYTES < max(sizes)
        for body, payload in zip(bodies, heard):
            if len(body.encode()) <= NOTIFY_BYTES:
                assert payload == body
            else:
                assert len(payload.encode()) <= NOTIFY_BYTES
                full, partial = json.loads(body), json.loads(payload)
                assert partial.pop("partial") is True
                assert partial == {key: full[key] for key in full if key not in ("cells", "countries", "new", "flips")}


def test_only_folds_notify(still):
    """A voter's transaction notifies nobody: it could not be prepared, and its commit would take a global lock."""
    with still.connect() as listener, still.connect() as session:
        listener.execute("LISTEN vote_agg")
        heard = []
        listener.add_notify_handler(heard.append)
        session.execute("BEGIN")
        session.execute("SELECT record_vote('m', 'home')")
        session.execute("PREPARE TRANSACTION 'quiet'")
        session.execute("COMMIT PREPARED 'quiet'")
        session.execute("NOTIFY vote_agg, 'after the vote'")
        eventually("the later notification", lambda: listener.execute("SELECT 1") and heard)
        assert [notification.payload for notification in heard] == ["after the vote"]
        still.settle()
        eventually("the fold's notification", lambda: listener.execute("SELECT 1") and len(heard) == 2)
