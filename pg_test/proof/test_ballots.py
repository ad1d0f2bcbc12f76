"""One voter, one vote: whatever sessions, cancels, kills and purges do, the totals are those of the ballots that stand."""

import collections
import pathlib
import re
import threading

import psycopg
import pytest

import ballots
import harness
from ballots import MATCH, Caster, again_and_again
from harness import SECONDS, SESSIONS, VOTERS, eventually, random_for, running
from test_crash import kill_postmaster

SHARED = [f"shared {n:06}" for n in range(VOTERS)]
TEAMS = ("home", "away")


@pytest.fixture
def own(new_cluster, new_database):
    """A database in a cluster of its own: a crash hits everybody in it."""
    db = new_database(new_cluster())
    db.sql(ballots.DONE)
    return db


def fold(session):
    session.execute("SELECT vote_agg.fold()")


def purge(session):
    session.execute("SELECT purge_match(%s)", (MATCH,))


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
    casters = [Caster(own, n, SHARED) for n in range(SESSIONS)]
    with everybody(own, casters) as stop:
        stop.wait(SECONDS / 2)
        kill_postmaster(own)
        stop.wait(SECONDS / 2)
    events = sum((caster.events for caster in casters), collections.Counter())
    print(dict(events))
    assert not ballots.EVENTS - set(events), "some kind of event never came: a longer PROOF_SECONDS is needed"
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
    with everybody(db, casters, again_and_again(db, purge, 0.1)) as stop:
        stop.wait(SECONDS / 4)
    check(db)
