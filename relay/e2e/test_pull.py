"""The puller: what shards count is counted at the root, whoever of pullers and shards comes and goes."""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from testkit import rig
from testkit.puller import Process, differing

SEED = int(os.environ.get("PROOF_SEED") or random.randrange(1_000_000))
SECONDS = float(os.environ.get("PULL_SECONDS", 8))
NAMES = ("north", "south")
GONE = "away"


@pytest.fixture
def nodes(cluster, db):
    """The root, where the role `relay` pulls, and two shards."""
    root, shards = db, {}
    root.sql("SELECT vote_agg.grant_puller('relay')")
    for name in NAMES:
        database = f"{db.name}_{name}"
        with db.connect() as admin:
            admin.execute(f"CREATE DATABASE {database}")
        shards[name] = type(db)(cluster, database)
        shards[name].sql("CREATE EXTENSION vote_agg")
        shards[name].sql("SELECT vote_agg.grant_reader('relay')")
        root.sql("SELECT vote_agg.follow(%s)", name)
    yield root, shards
    # A server has eight places for workers, and each database takes one for a minute.
    for database in (root, *shards.values()):
        database.sql("SELECT vote_agg.stop_worker()")


@pytest.fixture
def new_puller(tmp_path):
    processes = []

    def start(root, shards, **flags):
        urls = {name: shard if isinstance(shard, str) else shard.url() for name, shard in shards.items()}
        processes.append(Process(root.url(), urls, tmp_path / f"puller_{len(processes)}.log", **flags).start())
        return processes[-1]

    yield start
    for one in processes:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)
        assert "panicked" not in one.log.read_text()


def vote(shard, rng, times):
    with shard.connect() as session:
        for _ in range(times):
            match, team = rng.choice("abc"), rng.choice(("red", "blue", "green"))
            cell = rng.choice(("872a1072bffffff", "8009fffffffffff", None))
            session.execute("SELECT cast_vote(%s, %s, %s, %s, %s)", (match, str(rng.randrange(100)), team, cell, rng.choice(("DE", "FR", None))))
            if rng.random() < 0.01:
                session.execute("SELECT purge_match(%s)", (match,))
            elif rng.random() < 0.02:
                session.execute("SELECT vote_agg.new_history()")


def is_even(root, shards):
    pending = "SELECT coalesce(sum(rows), 0) FROM vote_agg.stat_pending"
    return not any(node.sql(pending)[0][0] for node in (root, *shards.values())) and not differing(root, shards)


def metrics_of(puller):
    """None while it starts."""
    with contextlib.suppress(OSError):
        return puller.metrics()


def test_two_pullers_that_are_killed_count_each_vote_once(nodes, new_puller):
    root, shards = nodes
    rng = random.Random(f"{SEED}/pull")
    pullers = [new_puller(root, shards, pull_interval=0.02) for _ in range(2)]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for shard in shards.values():
            vote(shard, rng, 40)
        if rng.random() < 0.5:
            one = rng.choice(pullers)
            one.end(rng.choice((signal.SIGKILL, signal.SIGTERM)))
            one.start()
    rig.eventually(f"the root says what the shards say (PROOF_SEED={SEED})", lambda: is_even(root, shards))
    for match in "abc":
        assert not root.sql("SELECT * FROM verify_match(%s) WHERE NOT ok", match)
    # Nothing is asked for that did not move.
    applied = "SELECT max(applied_at) FROM vote_agg.shard_head"
    before = root.sql(applied)
    time.sleep(0.5)
    assert root.sql(applied) == before
    text = rig.eventually("it serves", lambda: metrics_of(pullers[0]))
    for metric in ("rounds_total", "waiting", "round_duration_seconds_count"):
        assert f"vote_pull_{metric}" in text, text
    assert pullers[0].end(signal.SIGTERM) == 0


def test_a_shard_that_is_away_delays_its_own_votes_only(nodes, new_puller):
    root, shards = nodes
    root.sql("SELECT vote_agg.follow(%s)", GONE)
    nowhere = f"postgres://relay@127.0.0.1:{rig.free_port()}/nowhere"
    new_puller(root, {**shards, GONE: nowhere}, pull_timeout=1)
    shards["north"].sql("SELECT record_vote('m', 'red')")
    total = "SELECT total_votes FROM get_realtime_stats('m')"
    rig.eventually("the vote is counted", lambda: root.sql(total) == [(1,)])
    # One that stops in the middle: a lock that every answer needs.
    with shards["south"].connect() as locker:
        locker.execute("BEGIN")
        locker.execute("LOCK TABLE vote_agg.feed IN ACCESS EXCLUSIVE MODE")
        lost = "SELECT last_error IS NOT NULL FROM vote_agg.stat_shards WHERE shard = %s"
        rig.eventually("it is named", lambda: root.sql(lost, "south") == [(True,)] and root.sql(lost, GONE) == [(True,)])
        shards["north"].sql("SELECT record_vote('m', 'red')")
        rig.eventually("the vote is counted", lambda: root.sql(total) == [(2,)])
        locker.execute("ROLLBACK")
    shards["south"].sql("SELECT record_vote('m', 'red')")
    rig.eventually("it goes on", lambda: root.sql(total) == [(3,)])
    rig.eventually("it is well again", lambda: root.sql(lost, "south") == [(False,)])
    bad = "SELECT detail FROM vote_agg.status() WHERE check_name = 'shards' AND state <> 'ok'"

    def names_it_alone():
        ((detail,),) = root.sql(bad)
        return detail.startswith(GONE) and "south" not in detail and "north" not in detail

    rig.eventually("it alone is named", names_it_alone)


def test_one_match_that_cannot_be_pulled_stops_no_other(nodes, new_puller):
    root, shards = nodes
    shard = shards["north"]
    for match in ("bad", "good"):
        shard.sql("SELECT record_vote(%s, 'red', '872a1072bffffff')", match)
    rig.eventually("they are folded", lambda: shard.sql("SELECT count(*) FROM vote_agg.feed") == [(2,)])
    shard.sql("UPDATE vote_agg.h3_aggregate SET votes = '{2}' WHERE match_id = 'bad'")
    new_puller(root, shards)
    error = "SELECT last_error, waiting FROM vote_agg.stat_shards WHERE shard = 'north'"
    rig.eventually("the other is counted", lambda: root.sql("SELECT total_votes FROM get_realtime_stats('good')") == [(1,)])
    rig.eventually("the reason is told", lambda: "more than before" in (root.sql(error)[0][0] or ""))
    rig.eventually("it alone waits", lambda: root.sql(error)[0][1] == 1)
    assert root.sql("SELECT total_votes FROM get_realtime_stats('bad')") == [(0,)]
    shard.sql("UPDATE vote_agg.h3_aggregate SET votes = '{1}' WHERE match_id = 'bad'")
    rig.eventually("it comes back by itself", lambda: is_even(root, shards) and root.sql(error) == [(None, 0)])


def test_an_end_comes_to_the_root(nodes, new_puller):
    root, shards = nodes
    new_puller(root, shards)
    for shard in shards.values():
        with shard.connect() as session:
            session.execute(f"ALTER DATABASE {shard.name} SET vote_agg.auto_open = off")
    for name in NAMES:
        shards[name].sql("SELECT open_match('spread')")
    shards["north"].sql("SELECT open_match('home')")
    for shard in shards.values():
        shard.sql("SELECT record_vote('spread', 'red')")
    shards["north"].sql("SELECT record_vote('home', 'red')")
    shards["north"].sql("SELECT close_match('home')")
    shards["north"].sql("SELECT close_match('spread')")
    status = "SELECT status FROM get_realtime_stats(%s)"
    rig.eventually("one shard has it, and is enough", lambda: root.sql(status, "home") == [("final",)])
    assert root.sql(status, "spread") != [("final",)]
    shards["south"].sql("SELECT close_match('spread')")
    rig.eventually("all shards have closed it", lambda: root.sql(status, "spread") == [("final",)])
    assert root.sql("SELECT total_votes FROM get_realtime_stats('spread')") == [(2,)]


def test_settings_that_make_no_sense(nodes, tmp_path):
    root, _ = nodes

    def said(*flags):
        environment = {"PATH": os.environ["PATH"], "ROOT_URL": root.url()}
        done = subprocess.run([rig.BINARY, "pull", *flags], env=environment, text=True, capture_output=True, timeout=rig.PATIENCE)
        assert done.returncode != 0
        return done.stdout + done.stderr

    assert "SHARDS" in said()
    assert "comes twice" in said("--shard=a=host=h", "--shard=a=host=h")
    assert "give 0.001 to 86400 seconds" in said("--shard=a=host=h", "--pull-interval=0")
    (tmp_path / "shards").write_text("# none\n")
    assert "SHARDS" in said(f"--shards-file={tmp_path / 'shards'}")
