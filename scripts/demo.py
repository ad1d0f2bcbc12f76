"""Votes from the world's cities, live in this terminal, then the proof that every one was counted.

Runs a private PostgreSQL with the installed extension and beside it a relay, which serves the live map, opens a match and votes
from 16 sessions for DEMO_SECONDS (default 20). Half of them record votes; the other half cast the ballots of voters, who change their minds now and then,
and whose calls come twice now and then. Each session keeps a journal of what was acknowledged; at the end the journals,
the ballots and what the extension counted must be the same, by team, country and cell: exit status 1 if not. In a terminal
the server then stays, for a look with psql, until Enter or Ctrl-C; nothing remains of it after that.
"""

import argparse
import contextlib
import csv
import itertools
import json
import multiprocessing
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from typing import NamedTuple

import psycopg
from scripts.live import Live
from testkit.cluster import Cluster

ROOT = pathlib.Path(__file__).parent.parent
MAP = ROOT / "client" / "map" / "dist"
MATCH = "final"
HOME, AWAY = TEAMS = ["home", "away"]
SESSIONS = 16
CHANGES, RETRIES = 0.2, 0.05  # chances that a ballot is one of a voter who has voted, and that its call comes twice
SHOWN = 5  # differences, should there be any
PATIENCE = 30  # seconds for the feed to catch up; it takes a fraction of one
FORK = multiprocessing.get_context("fork")
STOP = FORK.Event()  # tells the sessions to end early
ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class City(NamedTuple):
    name: str
    country_code: str
    h3_index: str
    population: int


def read_cities():
    """Biggest first."""
    with open(ROOT / "fixtures" / "cities.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [City(row["name"], row["country_code"], row["h3_index"], int(row["population"])) for row in rows]


def ignore_endings():
    """From here on things are put away: an impatient second Ctrl-C would leave some of them behind."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def end(number, _):
    ignore_endings()
    sys.exit(128 + number)


@contextlib.contextmanager
def private_cluster():
    """A server that flushes every commit to disk, gone at the end whatever happens, a Ctrl-C while it starts included."""
    with tempfile.TemporaryDirectory(prefix="vote_agg.demo.") as folder:
        cluster = Cluster(folder, fsync="on")
        try:
            yield cluster.start()
        finally:
            ignore_endings()
            cluster.stop("immediate")


@contextlib.contextmanager
def relay(cluster):
    """A relay beside the server, on its usual port where that is free. Yields its address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 3001))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = ROOT / "target" / "release" / "vote-agg-relay"
    command = [binary, "--host", "127.0.0.1", "--port", str(port), "--map-dir", MAP, "--database-url", cluster.dsn(user="viewer")]
    with open(pathlib.Path(cluster.path) / "relay.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "RUST_LOG": "warn"})
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PATIENCE
        while not is_ready(address):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit((pathlib.Path(cluster.path) / "relay.log").read_text(errors="replace"))
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def is_ready(address):
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=5):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


def prepare(cluster):
    """The extension, the match, and two roles that may do what they need and no more."""
    with cluster.connect() as session:
        session.execute("CREATE EXTENSION vote_agg")
        session.execute("SELECT open_match(%s, %s)", [MATCH, TEAMS])
        session.execute("CREATE ROLE fan LOGIN")
        session.execute("SELECT vote_agg.grant_writer('fan')")
        session.execute("CREATE ROLE viewer LOGIN")
        session.execute("SELECT vote_agg.grant_reader('viewer')")


# Voting


def leaning(country_code):
    """The chance that somebody from this country votes for the home team: another one for each, the same in every run."""
    return random.Random(country_code).uniform(0.1, 0.9)


class Sent:
    """A session's journal: what was acknowledged, by team, cell and country."""

    def __init__(self):
        self.recorded, self.outcomes = Counter(), Counter()
        self.ballots = {}  # by voter: where the vote is now

    def add(self, other):
        self.recorded += other.recorded
        self.outcomes += other.outcomes
        self.ballots |= other.ballots

    def calls(self):
        return self.recorded.total() + self.outcomes.total()

    def cast(self):
        return Counter(self.ballots.values())


def vote(number, dsn, cities, until):
    """One session of fans; returns what it sent. Every other one casts ballots."""
    chance = random.Random(number)
    weights = list(itertools.accumulate(city.population for city in cities))
    home = {city.country_code: leaning(city.country_code) for city in cities}
    sent = Sent()
    with psycopg.connect(dsn, autocommit=True) as session:
        while time.monotonic() < until and not STOP.is_set():
            city = chance.choices(cities, cum_weights=weights)[0]
            team = HOME if chance.random() < home[city.country_code] else AWAY
            choice = (team, city.h3_index, city.country_code)
            if number % 2:
                cast(session, chance, sent, number, choice)
            else:
                session.execute("SELECT record_vote(%s, %s, %s, %s)", [MATCH, *choice], prepare=True)
                sent.recorded[choice] += 1
    return sent


def cast(session, chance, sent, number, choice):
    """A ballot of a voter of this session, mostly a new one."""
    voters = len(sent.ballots)
    voter = f"{number}-{chance.randrange(voters) if voters and chance.random() < CHANGES else voters}"
    old = sent.ballots.get(voter)
    answers = ["unchanged" if old == choice else "changed" if old else "counted"]
    answers += ["unchanged"] if chance.random() < RETRIES else []
    for expected in answers:
        query = "SELECT cast_vote(%s, %s, %s, %s, %s)"
        (answer,) = session.execute(query, [MATCH, voter, *choice], prepare=True).fetchone()
        if answer != expected:
            raise RuntimeError(f"cast_vote({voter}, {choice}) after {old} answered {answer}, not {expected}")
        sent.outcomes[answer] += 1
    sent.ballots[voter] = choice


def run_votes(cluster, cities, seconds, live):
    """Votes from all sessions while the picture follows. Returns all that was sent, and what is counted at that moment."""
    until = time.monotonic() + seconds
    with ProcessPoolExecutor(SESSIONS, mp_context=FORK) as sessions:
        try:
            # Ctrl-C reaches the whole process group. The sessions inherit this mask and leave it to this process, which
            # in turn must not be thrown out of the executor half-way through its start.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
            futures = [sessions.submit(vote, number, cluster.dsn(user="fan"), cities, until) for number in range(SESSIONS)]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
            while True:
                done, running = wait(futures, timeout=live.interval, return_when=FIRST_EXCEPTION)
                journals = [future.result() for future in done]
                if not running:
                    sent = Sent()
                    for journal in journals:
                        sent.add(journal)
                    return sent, read_counted(live.viewer)
                live.refresh(f"{SESSIONS} sessions voting · {max(until - time.monotonic(), 0):.0f} s left")
        finally:
            STOP.set()


# The proof


def by_kind(total, votes, countries, cells):
    """Counts to compare, each by its key; `countries` and `cells` are pairs of a name and its votes by team."""
    return {
        "match": Counter({MATCH: total}),
        "team": Counter(votes),
        "country and team": Counter({(name, team): n for name, teams in countries for team, n in teams.items()}),
        "cell and team": Counter({(name, team): n for name, teams in cells for team, n in teams.items()}),
    }


def choices_by_kind(journal):
    """`journal`: votes by team, cell and country."""
    teams, countries, cells = Counter(), defaultdict(Counter), defaultdict(Counter)
    for (team, h3_index, country_code), votes in journal.items():
        teams[team] += votes
        countries[country_code][team] += votes
        cells[h3_index][team] += votes
    return by_kind(teams.total(), teams, countries.items(), cells.items())


def read_ballots(cluster):
    """What the ballots say, one a voter. No reader sees them, so the superuser looks."""
    query = "SELECT team_choice, to_hex(h3_index), country_code, count(*) FROM vote_agg.ballot WHERE match_id = %s GROUP BY 1, 2, 3"
    return choices_by_kind(Counter({tuple(choice): votes for *choice, votes in cluster.sql(query, MATCH)}))


def read_pending(viewer):
    return viewer.execute("SELECT sum(rows)::bigint AS rows FROM vote_agg.stat_pending").fetchone().rows


def read_counted(viewer):
    """What the read functions say, and how much of it is still pending."""
    with viewer.transaction():
        stats = viewer.execute("SELECT total_votes, votes FROM get_realtime_stats(%s)", [MATCH]).fetchone()
        countries = viewer.execute("SELECT country_code, votes FROM get_country_aggregates(%s)", [MATCH]).fetchall()
        cells = viewer.execute("SELECT h3_index, votes FROM get_match_aggregates(%s)", [MATCH]).fetchall()
        return by_kind(*stats, countries, cells), read_pending(viewer)


def read_followed(viewer):
    """What a follower of the feed knows, once nothing is pending any more."""
    until = time.monotonic() + PATIENCE
    while read_pending(viewer):
        if time.monotonic() > until:
            fold = viewer.execute("SELECT * FROM vote_agg.stat_fold").fetchone()
            sys.exit(f"Votes are still pending after {PATIENCE} seconds: {fold}")
        time.sleep(0.02)
    state = viewer.execute("SELECT get_match_snapshot(%s) AS state", [MATCH]).fetchone().state
    return by_kind(state["stats"]["total"], state["stats"]["votes"], state["countries"], state["cells"])


def read_relayed(address):
    """What the relay answers over HTTP, read after the feed has caught up."""

    def answer(what):
        with urllib.request.urlopen(f"{address}/matches/{MATCH}/{what}", timeout=PATIENCE) as reply:
            return json.load(reply)

    stats = answer("stats")["stats"]
    return by_kind(stats["total"], stats["votes"], answer("countries")["countries"], answer("aggregates")["cells"])


def compare(title, sent, counted):
    """Prints what was sent beside what is counted; true when they are the same."""
    print(f"\n{title}\n  {'by':<18} {'keys':>7} {'sent':>12} {'counted':>12}")
    same = True
    for kind, wanted in sent.items():
        found = counted[kind]
        wrong = sorted(key for key in wanted.keys() | found.keys() if wanted[key] != found[key])
        verdict = f"DIFFERS in {len(wrong):,}" if wrong else "ok"
        print(f"  {kind:<18} {len(wanted):>7,} {wanted.total():>12,} {found.total():>12,}  {verdict}")
        for key in wrong[:SHOWN]:
            print(f"    {key}: sent {wanted[key]:,}, counted {found[key]:,}")
        same = same and not wrong
    return same


def wait_for_farewell(cluster, address):
    """Leaves the server up for a look by hand."""
    print(f"""
The server stays up, and the map at {address}/?match={MATCH}: it shows what you vote. In another terminal:

  testkit/cluster.py psql {cluster.path}

  SELECT * FROM vote_agg.live \\watch 1
  SELECT * FROM get_country_aggregates('{MATCH}') LIMIT 10;
  LISTEN vote_agg;
  SELECT record_vote('{MATCH}', '{HOME}', '872a1072bffffff', 'US');
  SELECT cast_vote('{MATCH}', 'you', '{HOME}', '872a1072bffffff', 'US');
  SELECT 'psql shows notifications after the next command';

Enter or Ctrl-C stops it and removes its folder.""")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        input()


def seconds_to_run():
    try:
        seconds = float(os.environ.get("DEMO_SECONDS") or 20)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        sys.exit(f"DEMO_SECONDS is {os.environ['DEMO_SECONDS']!r}: give a number of seconds above 0")
    return seconds


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sys.stdout.reconfigure(errors="replace")  # a terminal without bars still shows numbers
    for number in ENDINGS:
        signal.signal(number, end)
    seconds = seconds_to_run()
    cities = read_cities()
    # Several cities can share a cell; it is called after the biggest.
    names = {city.h3_index: f"{city.name}, {city.country_code}" for city in reversed(cities)}
    print(f"Starting a private server for {SESSIONS} sessions and {len(cities):,} cities …\n", flush=True)
    with private_cluster() as cluster:
        prepare(cluster)
        with relay(cluster) as address, cluster.connect(user="viewer") as viewer:
            print(f"Watch it on a map, live: {address}/?match={MATCH}", flush=True)
            print(f"The relay also answers at {address}/matches/{MATCH}/stats, or curl -N {address}/matches/{MATCH}/events\n", flush=True)
            live = Live(viewer, MATCH, TEAMS, names)
            sent, (counted, pending) = run_votes(cluster, cities, seconds, live)
            live.finish(f"{SESSIONS} sessions voted for {seconds:g} s · {sent.calls() / seconds:,.0f} calls/s")
            outcomes = ", ".join(f"{sent.outcomes[name]:,} {name}" for name in ("counted", "changed", "unchanged"))
            print(f"\n{sent.recorded.total():,} votes recorded; {sent.outcomes.total():,} ballots cast: {outcomes}")
            same = compare("Ballots, one a voter, where each voter sent it last:", choices_by_kind(sent.cast()), read_ballots(cluster))
            wanted = choices_by_kind(sent.recorded + sent.cast())
            same &= compare(f"Read functions right after the last vote, {pending:,} rows still pending:", wanted, counted)
            same &= compare("What followers of the feed know, nothing pending any more:", wanted, read_followed(viewer))
            same &= compare("What the relay says:", wanted, read_relayed(address))
            print("\nEvery vote sent is counted, each once; every voter has one vote." if same else "\nWhat is counted is not what was sent.")
            if sys.stdin.isatty():
                wait_for_farewell(cluster, address)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
