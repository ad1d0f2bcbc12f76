"""One match on three shards, live in this terminal, then the proof that every vote was counted, once.

Runs private servers with the installed extension: three shards, a front before them, and a root behind them, to which a puller
brings what they have counted; and a relay on the root, which serves the live map. The match is spread over the shards. For
DEMO_SECONDS (default 20) 16 sessions vote through the front: half of them record votes, half cast the ballots of fans, who change
their minds now and then. On the way one shard is killed, and comes back later. Its voters wait meanwhile, and each sends the
same ballot again until it is acknowledged. A call without a voter can't be sent again: where it failed, its vote may count or not.

At the end what was acknowledged, the ballots, the front, the root and the relay must agree by team, country and cell, and
verify_match on every node must find nothing: exit status 1 if not. In a terminal all of it then stays until Enter or Ctrl-C, unless
DEMO_SECONDS or CI is set; nothing remains of it after that.
"""

import argparse
import pathlib
import sys
import time
from collections import Counter

import psycopg
from scripts.fans import CHANGES, HOME, MATCH, SESSIONS, STOP, TEAMS, Fans, Sent, names_of, read_cities, run_sessions
from scripts.live import Live
from scripts.proof import choices_by_kind, compare, read_ballots, read_pending, read_relayed, read_totals
from scripts.service import PATIENCE, heed_endings, private_clusters, relay, seconds_to_run, stays, wait_for_farewell
from testkit.puller import Process

SHARDS = ["shard_0", "shard_1", "shard_2"]
KILLED = 1  # the number of the shard that is killed on the way
LONGEST_AWAY = 5  # seconds
STEP = 0.2  # seconds between two looks at what is to be done next
CERTAIN = ("22", "23", "42", "0A000", "25006", "55000")  # refusals, by the beginning of their SQLSTATE: they count nothing


# Nodes


def prepare(shards, front, root):
    """The extensions, and roles that may do what they need and no more."""
    for shard in shards:
        with shard.connect() as session:
            session.execute("CREATE EXTENSION vote_agg")
            session.execute("ALTER DATABASE postgres SET vote_agg.auto_open = off")
            add_roles(session, fan="vote_agg.grant_writer", viewer="vote_agg.grant_reader", puller="vote_agg.grant_reader")
    with root.connect() as session:
        session.execute("CREATE EXTENSION vote_agg")
        add_roles(session, viewer="vote_agg.grant_reader", puller="vote_agg.grant_puller")
        for name in SHARDS:
            session.execute("SELECT vote_agg.follow(%s)", [name])
    with front.connect() as session:
        session.execute("CREATE EXTENSION vote_agg_front CASCADE")
        for shard in shards:
            session.execute("SELECT vote_agg_front.add_shard(%s)", [f"host={shard.path} port={shard.port} dbname=postgres"])
        add_roles(session, fan="vote_agg_front.grant_writer", viewer="vote_agg_front.grant_reader")
        for role in ("fan", "viewer"):
            session.execute(f"CREATE USER MAPPING FOR {role} SERVER vote_agg_shards OPTIONS (user '{role}')")
        session.execute("SELECT open_match(%s, %s, spread => true)", [MATCH, TEAMS])


def add_roles(session, **grants):
    for role, grant in grants.items():
        session.execute(f"CREATE ROLE {role} LOGIN")
        session.execute(f"SELECT {grant}(%s)", [role])


def puller(shards, root):
    of_each = {name: shard.dsn(user="puller") for name, shard in zip(SHARDS, shards)}
    return Process(root.dsn(user="puller"), of_each, pathlib.Path(root.path) / "puller.log")


class Outage:
    """One shard is killed after a third of the time, and comes back after another third."""

    def __init__(self, shard, seconds):
        self.shard, self.seconds = shard, seconds
        self.killed, self.is_over = None, False

    def step(self, left):
        if self.killed is None and left <= self.seconds * 2 / 3:
            self.shard.kill()
            self.killed = time.monotonic()
        elif self.killed and not self.is_over and time.monotonic() - self.killed >= min(self.seconds / 3, LONGEST_AWAY):
            self.finish()

    def finish(self):
        if not self.is_over:
            if self.killed is None:
                self.shard.kill()
            self.shard.start()
            self.is_over = True

    def __str__(self):
        name = SHARDS[KILLED]
        return f"{name} is back" if self.is_over else f"{name} was killed: its voters wait" if self.killed else "all shards are there"


def shards_line(viewer):
    """How long ago each shard answered the puller."""
    rows = viewer.execute("SELECT shard, lag_s FROM vote_agg.stat_shards ORDER BY source").fetchall()
    return "the puller heard of " + ", ".join(f"{shard} {lag:.1f} s ago" for shard, lag in rows)


# Voting


class Booth:
    """A session on the front. A ballot that failed waits, and is sent again; nobody else waits for it."""

    def __init__(self, number, dsn, cities):
        self.number, self.fans, self.sent = number, Fans(number, cities), Sent()
        self.front = psycopg.connect(dsn, autocommit=True, options="-c client_min_messages=warning")
        self.voters, self.waiting = 0, {}

    def ask(self, query, params):
        """The answer, or None where nobody can say whether the vote counts."""
        try:
            return self.front.execute(query, params, prepare=True).fetchone()
        except psycopg.Error as error:
            if self.front.closed or (error.sqlstate or "").startswith(CERTAIN):
                raise
            return None

    def record(self):
        choice = self.fans.choice()
        is_acknowledged = self.ask("SELECT record_vote(%s, %s, %s, %s)", [MATCH, *choice])
        (self.sent.recorded if is_acknowledged else self.sent.unknown)[choice] += 1
        if not is_acknowledged:
            time.sleep(STEP)

    def cast(self):
        """A ballot, mostly of a new voter."""
        is_old = self.voters and self.fans.chance.random() < CHANGES
        voter = self.fans.chance.randrange(self.voters) if is_old else self.voters
        self.voters += not is_old
        if voter not in self.waiting:
            self.send(voter, self.fans.choice())

    def send(self, voter, choice):
        """Returns whether it is acknowledged."""
        team, h3_index, country_code = choice
        name, old = f"{self.number}-{voter}", self.sent.ballots.get(f"{self.number}-{voter}")
        answer = self.ask("SELECT cast_vote(%s, %s, %s, %s, %s)", [MATCH, name, team, h3_index, country_code])
        if not answer:
            self.waiting[voter] = choice
            return False
        right = {"unchanged" if old == choice else "changed" if old else "counted"}
        # It may have counted when nobody could say so.
        right |= {"unchanged"} if self.waiting.pop(voter, None) else set()
        if answer[0] not in right:
            raise RuntimeError(f"the front answers {answer[0]} to {name}, {choice} after {old}")
        self.sent.outcomes[answer[0]] += 1
        self.sent.ballots[name] = choice
        return True

    def send_again(self):
        """What waits, until one fails again."""
        for voter, choice in list(self.waiting.items()):
            if not self.send(voter, choice):
                return


def vote(number, until, dsn, cities):
    """One session of fans; returns what it sent."""
    booth, again = Booth(number, dsn, cities), time.monotonic()
    while (now := time.monotonic()) < until and not STOP.is_set():
        if now >= again:
            booth.send_again()
            again = now + STEP
        if number % 2:
            booth.cast()
        else:
            booth.record()
    while booth.waiting and not STOP.is_set():
        if time.monotonic() > until + PATIENCE:
            raise RuntimeError(f"{len(booth.waiting)} ballots of session {number} are still not acknowledged")
        booth.send_again()
        time.sleep(STEP)
    return booth.sent


# The proof


def read_front(reader):
    """What the front says. A session that had a connection to the shard that was killed finds out by an error."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return read_totals(reader)
        except psycopg.Error as error:
            if time.monotonic() > until or (error.sqlstate or "").startswith(CERTAIN):
                raise
        time.sleep(0.05)


def read_root(viewer, wanted):
    """What the root says once it says as many votes as the shards; what it says at last where it doesn't."""
    until = time.monotonic() + PATIENCE
    while (found := read_totals(viewer))["match"] != wanted["match"] or read_pending(viewer):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return found


def verify(nodes):
    """Each check of each node; true when all are right."""
    print("\nverify_match, by code that shares nothing with what counts:")
    is_right = True
    for name, node in nodes.items():
        rows = node.sql("SELECT check_name, expected, found, ok FROM verify_match(%s)", MATCH)
        wrong = [row for row in rows if not row[3]]
        is_right &= bool(rows) and not wrong
        print(f"  {name:<18} {len(rows):>3} checks  {f'FAILS: {wrong}' if wrong else 'ok' if rows else 'NONE'}")
    return is_right


def prove(sent, at_front, shards, root, viewer, address):
    """Prints all that must agree; true when it does."""
    outcomes = ", ".join(f"{sent.outcomes[name]:,} {name}" for name in ("counted", "changed", "unchanged"))
    print(f"\n{sent.recorded.total():,} votes recorded; {sent.outcomes.total():,} ballots acknowledged: {outcomes}")
    print(f"{sent.unknown.total():,} calls without a voter failed: their outcome is unknown")
    same = compare("Ballots on all shards, one a voter, as acknowledged last:", choices_by_kind(sent.cast()), read_ballots(*shards), of="acknowledged")
    wanted, unknown = choices_by_kind(sent.recorded + sent.cast()), choices_by_kind(sent.unknown)
    same &= compare("The front, added up from all shards:", wanted, at_front, unknown, of="acknowledged")
    at_root = read_root(viewer, at_front)
    same &= compare("The root, which the puller has brought it to:", at_front, at_root, of="front")
    same &= compare("What the relay says:", at_root, read_relayed(address), of="root")
    return verify({**dict(zip(SHARDS, shards)), "root": root}) and same


def farewell(shards, front, root, address):
    return f"""
All of it stays up, and the map at {address}/?match={MATCH}: it shows what you vote. In another terminal:

  testkit/cluster.py psql {front.path}      # the front

  SELECT record_vote('{MATCH}', '{HOME}', '872a1072bffffff', 'US');
  SELECT cast_vote('{MATCH}', 'you', '{HOME}', '872a1072bffffff', 'US');
  SELECT total_votes, votes FROM get_realtime_stats('{MATCH}');

  testkit/cluster.py psql {root.path}       # the root

  SELECT shard, lag_s, waiting, last_error FROM vote_agg.stat_shards \\watch 1

Kill a shard, vote, and start it again:

  kill -9 $(head -1 {shards[0].path}/data/postmaster.pid)
  testkit/cluster.py up {shards[0].path}

Enter or Ctrl-C stops everything and removes its folders."""


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    heed_endings()
    seconds = seconds_to_run()
    cities = read_cities()
    print(f"Starting {len(SHARDS)} shards, a front and a root for {SESSIONS} sessions and {len(cities):,} cities …\n", flush=True)
    with private_clusters(*SHARDS, "front", "root") as (*shards, front, root):
        prepare(shards, front, root)
        with puller(shards, root) as pulling, relay(root) as address, root.connect(user="viewer") as viewer, front.connect(user="viewer") as reader:
            reader.execute("SET client_min_messages = warning")
            print(f"Watch it on a map, live: {address}/?match={MATCH}\n", flush=True)
            live = Live(viewer, MATCH, TEAMS, names_of(cities), more=lambda: shards_line(viewer))
            outage, drawn = Outage(shards[KILLED], seconds), Counter()

            def refresh(left):
                outage.step(left)
                if time.monotonic() - drawn["at"] >= live.interval:
                    drawn["at"] = time.monotonic()
                    live.refresh(f"{SESSIONS} sessions voting · {left:.0f} s left · {outage}")

            def look():
                outage.finish()
                return read_front(reader)

            sent, at_front = run_sessions(vote, (front.dsn(user="fan"), cities), seconds, min(STEP, live.interval), refresh, look)
            live.finish(f"{SESSIONS} sessions voted for {seconds:g} s · {sent.calls() / seconds:,.0f} calls/s · {outage}")
            same = prove(sent, at_front, shards, root, viewer, address)
            if not same:
                print(pulling.log.read_text(errors="replace"))
            print("\nEvery vote acknowledged is counted, each once, on the shards and at the root." if same else "\nWhat is counted is not what was sent.")
            if stays():
                wait_for_farewell(farewell(shards, front, root, address))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
