"""A root and its shards, on clusters of their own: what the root says is the sum of what the shards say."""

import json
import shutil

import psycopg
import pytest

from testkit import oracle
from testkit.cluster import Cluster
from testkit.harness import KILLS, SECONDS, Database, crash, eventually, random_for, running
from testkit.puller import Puller, differing

MATCHES = ("semi", "final", "third")
TEAMS = ("red", "blue", "Ünïon \"q\"", "x")
COUNTRIES = ("DE", "FR", "us", None)


@pytest.fixture(scope="module")
def nodes(new_cluster):
    """The root's cluster and those of two shards."""
    return [new_cluster() for _ in range(3)]


@pytest.fixture
def root_and_shards(nodes, new_database):
    root, *shards = [new_database(cluster) for cluster in nodes]
    shards = dict(zip(("one", "two"), shards))
    for name in shards:
        root.sql("SELECT vote_agg.follow(%s)", name)
    return root, shards


@pytest.fixture
def still_ones(root_and_shards):
    """The same where only the test folds."""
    root, shards = root_and_shards
    for database in (root, *shards.values()):
        database.configure(worker="off")
    return root, shards


def vote(session, rng, match, voters):
    team, country, voter = rng.choice(TEAMS), rng.choice(COUNTRIES), f"voter {rng.randrange(voters)}"
    cell = f"{oracle.cell(rng.randrange(122), *(rng.randrange(2, 7) for _ in range(rng.randrange(0, 5)))):x}" if rng.random() < 0.7 else None
    call = rng.randrange(6)
    if call == 0:
        session.execute("SELECT record_vote(%s, %s, %s, %s, %s)", (match, team, cell, country, rng.randrange(1, 5)))
    elif call == 1:
        session.execute("SELECT increment_country_aggregate(%s, %s, %s, %s)", (match, country or "GB", team, rng.randrange(1, 3)))
    elif call == 2:
        session.execute("SELECT retract_vote(%s, %s)", (match, voter))
    elif call == 3:
        session.execute("SELECT bulk_increment(%s, %s)", (match, [rng.choice(TEAMS) for _ in range(rng.randrange(1, 9))]))
    else:
        session.execute("SELECT cast_vote(%s, %s, %s, %s, %s)", (match, voter, team, cell, country))


def voter(database, name, purges=True):
    rng = random_for("root", name)

    def run(stop):
        with database.connect() as session:
            while not stop.is_set():
                match, chance = rng.choice(MATCHES), rng.random()
                if purges and chance < 0.004:
                    session.execute("SELECT purge_match(%s)", (match,))
                elif chance < 0.008:
                    session.execute("SELECT vote_agg.new_history()")
                else:
                    vote(session, rng, match, 200)
                stop.wait(rng.random() * 0.01)

    return run


def pull_all(root, shards):
    for name, shard in shards.items():
        shard.settle()
        Puller(root, shard, name).pull_all()
    root.settle()


def test_a_root_says_what_its_shards_say(root_and_shards):
    root, shards = root_and_shards
    chaos = random_for("root", "chaos")
    jobs = [voter(shard, f"{name} {n}") for name, shard in shards.items() for n in range(2)]
    pullers = [Puller(root, shard, name).misbehave(random_for("puller", name, n)) for name, shard in shards.items() for n in range(2)]
    root.is_patrolled = False  # it crashes
    with running(*jobs, *pullers) as stop:
        for _ in range(KILLS):
            stop.wait(SECONDS / 2 / KILLS)
            if chaos.random() < 0.3:
                root.sql("SELECT purge_match(%s)", chaos.choice(MATCHES))
            crash(root.cluster)
        stop.wait(SECONDS / 4)
    pull_all(root, shards)
    assert not differing(root, shards)
    for (match,) in root.sql("SELECT DISTINCT match_id FROM vote_agg.feed"):
        assert not root.failed_checks(match), match
        seqs = [seq for (seq,) in root.sql("SELECT seq FROM vote_agg.feed WHERE match_id = %s ORDER BY seq", match)]
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), match
        with root.connect() as session:
            before = oracle.observed(session, match)
            session.execute("SELECT rebuild_match(%s)", (match,))
            assert oracle.observed(session, match) == before, match
    assert not differing(root, shards)


def test_a_pull_that_is_late_doubled_or_of_another_history_changes_nothing(still_ones):
    root, shards = still_ones
    shard = shards["one"]
    puller, other = Puller(root, shard, "one"), Puller(root, shard, "one")

    def count(*teams):
        for team in teams:
            shard.sql("SELECT record_vote('m', %s, '872a1072bffffff', 'DE')", team)
            shard.settle()

    with root.connect() as to, shard.connect() as of:
        puller.begin(to)
        other.begin(to)
        count("red")
        assert (puller.moved(of), other.moved(of)) == (["m"], ["m"])
        first, same = puller.ask(of, "m"), other.ask(of, "m")
        assert (puller.apply(to, first, "m"), puller.apply(to, first, "m")) == ("applied", "behind")
        assert other.apply(to, same, "m") == "behind"
        assert other.heads == puller.heads
        assert puller.moved(of) == []
        count("red", "blue")
        late = puller.ask(of, "m")
        count("blue")
        assert other.apply(to, other.ask(of, "m"), "m") == "applied"
        assert puller.apply(to, late) == "behind"
        root.settle()
        assert not differing(root, shards)
        # Purged, and back at the same seq: another epoch.
        puller.begin(to)
        assert puller.moved(of) == []
        stale = puller.ask(of, "m")
        shard.sql("SELECT purge_match('m')")
        count("x", "x", "x", "x")
        assert puller.moved(of) == ["m"]
        assert puller.apply(to, puller.ask(of, "m"), "m") == "applied"
        assert puller.apply(to, stale) == "behind"
        root.settle()
        assert not differing(root, shards)
        # Gone: nothing that was asked for before brings it back, however it was asked.
        whole = ("one", puller.incarnation, None, 0, of.execute("SELECT vote_agg.get_match_rows('m')::text").fetchone()[0])
        shard.sql("SELECT purge_match('m')")
        assert puller.moved(of) == ["m"]
        assert puller.apply(to, puller.ask(of, "m"), "m") == "applied"
        assert puller.apply(to, whole) == "behind"
        # Purged here, too.
        count("red")
        again = puller.ask(of, "m")
        root.sql("SELECT purge_match('m')")
        assert puller.apply(to, again, "m") == "behind"
        puller.pull_all()
        root.settle()
        assert not differing(root, shards)
        assert root.value("SELECT total_votes FROM get_realtime_stats('m')") == 1


def test_the_end_of_a_match_waits_for_every_shard(still_ones):
    root, shards = still_ones
    status = lambda: root.value("SELECT status FROM get_realtime_stats('m')")
    for shard in shards.values():
        shard.sql("SELECT open_match('m', ARRAY['red', 'blue'], closes_at => now() + interval '1 day')")
    shards["one"].sql("SELECT record_vote('m', 'red')")
    pull_all(root, shards)
    assert status() == "open"
    shards["one"].sql("SELECT close_match('m')")
    pull_all(root, shards)
    pull_all(root, shards)
    assert (shards["one"].value("SELECT status FROM get_realtime_stats('m')"), status()) == ("final", "closed")
    for _ in range(3):
        root.fold()
    assert status() == "closed"
    shards["two"].sql("SELECT record_vote('m', 'blue', '872a1072bffffff', 'DE')")
    shards["two"].sql("SELECT close_match('m')")
    eventually("the other shard is final", lambda: shards["two"].sql("SELECT vote_agg.fold()") and shards["two"].value("SELECT status FROM get_realtime_stats('m')") == "final")
    pull_all(root, shards)
    eventually("the root is final", lambda: root.sql("SELECT vote_agg.fold()") and status() == "final")
    assert not differing(root, shards) and not root.failed_checks("m")
    # A shard that says something else now is shown, and not counted.
    puller = Puller(root, shards["two"], "two")
    with root.connect() as to, shards["two"].connect() as of:
        puller.begin(to)
        name, incarnation, epoch, seq, text = puller.ask(of, "m")
        rows = json.loads(of.execute("SELECT vote_agg.get_match_rows('m')::text").fetchone()[0])
        rows["votes"][1] += 1
        rows["unplaced"] = [0, 1]
        rows["minutes"] = []
        assert puller.apply(to, (name, incarnation, epoch, seq, json.dumps(rows))) == "alarm"
    root.settle()
    assert not differing(root, shards) and status() == "final"
    assert root.value("SELECT alarms FROM vote_agg.stat_shards WHERE shard = 'two'") == 1
    assert root.value("SELECT state FROM vote_agg.status() WHERE check_name = 'shards'") == "fail"


def test_the_end_of_a_match_waits_for_a_shard_that_was_never_heard_of_it(still_ones):
    root, shards = still_ones
    status = "SELECT status FROM get_realtime_stats('m')"
    for shard in shards.values():
        shard.sql("SELECT open_match('m')")
        shard.sql("SELECT record_vote('m', 'red')")
    one = {"one": shards["one"]}
    shards["one"].sql("SELECT close_match('m')")
    eventually("one is final", lambda: shards["one"].sql("SELECT vote_agg.fold()") and shards["one"].value(status) == "final")
    for _ in range(3):
        pull_all(root, one)
    assert root.value(status) == "closed"
    shards["two"].sql("SELECT close_match('m')")
    eventually("two is final", lambda: shards["two"].sql("SELECT vote_agg.fold()") and shards["two"].value(status) == "final")
    for _ in range(3):
        pull_all(root, shards)
    assert root.value(status) == "final" and root.value("SELECT total_votes FROM get_realtime_stats('m')") == 2


def test_the_end_of_a_match_that_one_shard_has(still_ones):
    root, shards = still_ones
    shards["two"].configure(auto_open="off")
    shards["one"].sql("SELECT open_match('m')")
    shards["one"].sql("SELECT record_vote('m', 'red')")
    pull_all(root, shards)
    # Its end by the root's own hand does not hurry it.
    root.sql("SELECT close_match('m')")
    for _ in range(3):
        pull_all(root, shards)
    status = "SELECT status FROM get_realtime_stats('m')"
    assert root.value(status) == "closed"
    shards["one"].sql("SELECT close_match('m')")
    for _ in range(3):
        pull_all(root, shards)
    assert (shards["one"].value(status), root.value(status)) == ("final", "final")
    assert not differing(root, shards) and not root.failed_checks("m")


def test_a_standby_that_lost_votes_is_followed_and_the_old_primary_refused(still_ones):
    root, shards = still_ones
    shard = shards["one"]
    rng = random_for("root", "standby")
    with shard.connect() as session:
        for _ in range(50):
            vote(session, rng, "m", 20)
    pull_all(root, shards)
    primary = shard.cluster
    path = primary.path / "standby"
    primary.run("pg_basebackup", "-h", primary.path, "-U", "postgres", "-D", path / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
    with shard.connect() as session:
        for _ in range(50):
            vote(session, rng, "m", 20)
    pull_all(root, shards)
    old = Puller(root, shard, "one")
    with root.connect() as to, shard.connect() as of:
        old.begin(to)
        said = old.ask(of, "m")
    primary.stop()  # and nobody got the last votes
    other = Cluster(path)
    try:
        with other:
            promoted = Database(other, shard.name)
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="standby"):
                promoted.sql("SELECT vote_agg.get_heads()")
            other.run("pg_ctl", "-D", other.data, "promote")
            eventually("it is the primary", lambda: not promoted.value("SELECT pg_is_in_recovery()"))
            pull_all(root, {"one": promoted, "two": shards["two"]})
            assert not differing(root, {"one": promoted, "two": shards["two"]})
            promoted.sql("SELECT record_vote('m', 'red')")
            pull_all(root, {"one": promoted, "two": shards["two"]})
            assert not differing(root, {"one": promoted, "two": shards["two"]})
            before = root.sql("SELECT * FROM vote_agg.shard_head, vote_agg.mirror")
            with root.connect() as to, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="old primary"):
                old.apply(to, said)
            assert root.sql("SELECT * FROM vote_agg.shard_head, vote_agg.mirror") == before
            # The same database under two names would count twice.
            twin = Puller(root, promoted, "two")
            with root.connect() as to, promoted.connect() as of:
                twin.begin(to)
                with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="same database as shard"):
                    twin.apply(to, twin.ask(of, "m"))
    finally:
        shutil.rmtree(path, ignore_errors=True)
        primary.start()


def test_what_cannot_be_is_refused_and_changes_nothing(still_ones):
    root, shards = still_ones
    shard = shards["one"]
    shard.sql("SELECT record_vote('m', 'red', '872a1072bffffff', 'DE')")
    pull_all(root, shards)
    shard.sql("SELECT record_vote('m', 'blue')")
    shard.settle()
    puller = Puller(root, shard, "one")
    with root.connect() as to, shard.connect() as of:
        puller.begin(to)
        name, incarnation, epoch, seq, text = puller.ask(of, "m")

        def refused(error, match, change=lambda rows: None, **asked):
            rows = json.loads(text)
            change(rows)
            asked = {"shard": name, "epoch": epoch, "seq": seq, "rows": json.dumps(rows)} | asked
            with pytest.raises(error, match=match):
                puller.apply(to, (asked["shard"], incarnation, asked["epoch"], asked["seq"], asked["rows"]))

        bad, state, unknown = psycopg.errors.InvalidParameterValue, psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.UndefinedObject
        refused(bad, "no answer of get_match_rows", rows="[]")
        refused(bad, "no answer of get_match_rows", rows=None)
        refused(bad, "version is 2", lambda rows: rows.update(v=2))
        refused(bad, "changed after seq 0", lambda rows: rows.update(since=0))
        refused(bad, "votes more than before", lambda rows: rows.update(votes=[1, 2]))
        refused(bad, "named twice", lambda rows: rows.update(teams=["red", "red"]))
        refused(bad, "other numbers", lambda rows: rows.update(teams=["blue", "red"]))
        refused(bad, "must not be empty", lambda rows: rows.update(match=""))
        refused(bad, "invalid H3 cell", lambda rows: rows.update(cells=[[5, [[0, 1]]]], votes=[2, 1]))
        refused(unknown, 'shard "three" is not followed', shard="three")
        refused(state, "old primary", lambda rows: rows.update(timeline=0))
        root.sql("SELECT vote_agg.unfollow('one')")
        refused(unknown, "not followed")
        root.sql("SELECT vote_agg.follow('one')")
        assert not root.pending()
    for wrong in ("x", "1:", ":"):
        with pytest.raises(bad, match="no cursor"):
            shard.sql("SELECT vote_agg.get_heads(%s)", wrong)
    with pytest.raises(bad, match="at least 0"):
        shard.sql("SELECT vote_agg.get_match_rows('m', 'x', -1)")
    pull_all(root, shards)
    assert not differing(root, shards)


def test_a_purge_that_is_forgotten_is_told_by_all_matches(still_ones):
    root, shards = still_ones
    shard = shards["one"]
    heads = "SELECT next_cursor, whole, match_ids, purged FROM vote_agg.get_heads(%s)"
    for match in ("a", "b"):
        shard.sql("SELECT record_vote(%s, 'red')", match)
    shard.settle()
    cursor, whole, matches, purged = shard.sql(heads, None)[0]
    assert (whole, matches, purged) == (True, ["a", "b"], [])
    assert shard.sql(heads, cursor)[0] == (cursor, False, [], [])
    shard.sql("SELECT purge_match('b')")
    after, *said = shard.sql(heads, cursor)[0]
    assert said == [False, [], ["b"]]
    assert shard.sql(heads, after)[0] == (after, False, [], [])
    shard.sql("UPDATE vote_agg.purged SET at = at - interval '2 days'")
    shard.sql("UPDATE vote_agg.fold_log SET pruned_at = pruned_at - interval '1 hour'")
    shard.sql("SELECT record_vote('a', 'red')")
    shard.settle()
    assert shard.sql(heads, cursor)[0][1:] == (True, ["a"], [])
    assert shard.sql(heads, after)[0][1:] == (False, ["a"], [])
    shard.sql("SELECT vote_agg.new_history()")
    assert shard.sql(heads, after)[0][1:] == (True, ["a"], [])
