"""Votes from the world's cities, live in this terminal, then the proof that every one was counted.

Runs a private PostgreSQL with the installed extension and beside it a relay, which serves the live map, opens a match and votes
from 16 sessions for DEMO_SECONDS (default 20). Half of them record votes; the other half send the votes of fans to the relay's door, over HTTP and with a
token for each fan. Fans change their minds now and then, and their requests come twice now and then. Each session keeps a journal of what was acknowledged; at the end the journals,
the ballots and what the extension counted must be the same, by team, country and cell: exit status 1 if not. In a terminal
the server then stays, for a look with psql, until Enter or Ctrl-C, unless DEMO_SECONDS or CI is set; nothing remains of it after that.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import secrets
import sys
import time

import psycopg
from scripts.fans import CHANGES, HOME, MATCH, RETRIES, SESSIONS, STOP, TEAMS, Fans, Sent, names_of, read_cities, run_sessions
from scripts.live import Live
from scripts.proof import choices_by_kind, compare, read_ballots, read_counted, read_followed, read_relayed
from scripts.service import PATIENCE, heed_endings, private_clusters, relay, seconds_to_run, stays, wait_for_farewell

KEY = secrets.token_hex(32)  # of this run's tokens
COUNTRY = "x-country"  # the header of a proxy that knows where its clients are


def door_flags(cluster):
    """Votes with a token, or with a key as the one at the screen sends them. All fans come from one address here, which stands for a proxy."""
    key = pathlib.Path(cluster.path) / "voter-key"
    key.write_text(secrets.token_hex(32))
    who = ["--votes-url", cluster.dsn(user="door"), "--voter-key-file", key, "--votes", "anonymous", "--auth", "optional", "--jwt-key", KEY]
    many = [f"--{name}=1000000" for name in ("max-requests", "max-votes-per-ip", "max-votes")]
    return [*who, *many, "--max-votes-per-voter=1000", "--trusted-proxies=127.0.0.1", f"--country-header={COUNTRY}"]


def prepare(cluster):
    """The extension, the match, and three roles that may do what they need and no more."""
    with cluster.connect() as session:
        session.execute("CREATE EXTENSION vote_agg")
        session.execute("SELECT open_match(%s, %s)", [MATCH, TEAMS])
        session.execute("CREATE ROLE fan LOGIN")
        session.execute("SELECT vote_agg.grant_writer('fan')")
        session.execute("CREATE ROLE door LOGIN")
        session.execute("SELECT vote_agg.grant_writer('door')")
        session.execute("ALTER ROLE door SET vote_agg.auto_open = off")
        session.execute("CREATE ROLE viewer LOGIN")
        session.execute("SELECT vote_agg.grant_reader('viewer')")


# Voting


class Door:
    """A connection to the relay's door, which many fans share."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)

    def cast(self, voter, turn, choice):
        """The outcome of a vote."""
        team, h3_index, country_code = choice
        body = json.dumps({"team_choice": team, "h3_index": h3_index, "turn": turn})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token(voter)}", COUNTRY: country_code}
        self.connection.request("POST", f"/matches/{MATCH}/votes", body, headers)
        answer = self.connection.getresponse()
        told = json.load(answer)
        if answer.status != 200:
            raise RuntimeError(f"the door answers {told} to {voter}, {choice}")
        return told["outcome"]


def token(subject):
    """A JSON Web Token that lets its subject vote for a minute."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"sub": subject, "scope": "vote", "exp": int(time.time()) + 60}
    signed = f"{part(json.dumps({'alg': 'HS256'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(KEY.encode(), signed.encode(), hashlib.sha256))}"


def vote(number, until, dsn, address, cities):
    """One session of fans; returns what it sent. Every other one goes to the door."""
    fans, sent, door = Fans(number, cities), Sent(), Door(address)
    with psycopg.connect(dsn, autocommit=True) as session:
        while time.monotonic() < until and not STOP.is_set():
            choice = fans.choice()
            if number % 2:
                cast(door, fans.chance, sent, number, choice)
            else:
                session.execute("SELECT record_vote(%s, %s, %s, %s)", [MATCH, *choice], prepare=True)
                sent.recorded[choice] += 1
    return sent


def cast(door, chance, sent, number, choice):
    """A ballot of a voter of this session, mostly a new one."""
    voters = len(sent.ballots)
    voter = f"{number}-{chance.randrange(voters) if voters and chance.random() < CHANGES else voters}"
    old = sent.ballots.get(voter)
    answers = ["unchanged" if old == choice else "changed" if old else "counted"]
    answers += ["unchanged"] if chance.random() < RETRIES else []
    sent.turns[voter] += 1
    for expected in answers:
        answer = door.cast(voter, sent.turns[voter], choice)
        if answer != expected:
            raise RuntimeError(f"the door answers {answer} to {voter}, {choice} after {old}, not {expected}")
        sent.outcomes[answer] += 1
    sent.ballots[voter] = choice


def farewell(cluster, address):
    return f"""
The server stays up, and the map at {address}/?match={MATCH}: it shows what you vote. In another terminal:

  testkit/cluster.py psql {cluster.path}

  SELECT * FROM vote_agg.live \\watch 1
  SELECT * FROM get_country_aggregates('{MATCH}') LIMIT 10;
  LISTEN vote_agg;
  SELECT record_vote('{MATCH}', '{HOME}', '872a1072bffffff', 'US');
  SELECT cast_vote('{MATCH}', 'you', '{HOME}', '872a1072bffffff', 'US');
  SELECT 'psql shows notifications after the next command';

Or vote through the door:

  curl --header "Idempotency-Key: $(uuidgen)" --json '{{"team_choice": "{HOME}", "h3_index": "872a1072bffffff"}}' {address}/matches/{MATCH}/votes

Enter or Ctrl-C stops it and removes its folder."""


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    heed_endings()
    seconds = seconds_to_run()
    cities = read_cities()
    print(f"Starting a private server for {SESSIONS} sessions and {len(cities):,} cities …\n", flush=True)
    with private_clusters("server") as (cluster,):
        prepare(cluster)
        with relay(cluster, *door_flags(cluster)) as address, cluster.connect(user="viewer") as viewer:
            print(f"Watch it on a map, live: {address}/?match={MATCH}", flush=True)
            print(f"The relay also answers at {address}/matches/{MATCH}/stats, or curl -N {address}/matches/{MATCH}/events\n", flush=True)
            live = Live(viewer, MATCH, TEAMS, names_of(cities))
            sent, (counted, pending) = run_sessions(
                vote,
                (cluster.dsn(user="fan"), address, cities),
                seconds,
                live.interval,
                refresh=lambda left: live.refresh(f"{SESSIONS} sessions voting · {left:.0f} s left"),
                look=lambda: read_counted(viewer),
            )
            live.finish(f"{SESSIONS} sessions voted for {seconds:g} s · {sent.calls() / seconds:,.0f} calls/s")
            outcomes = ", ".join(f"{sent.outcomes[name]:,} {name}" for name in ("counted", "changed", "unchanged"))
            print(f"\n{sent.recorded.total():,} votes recorded; {sent.outcomes.total():,} ballots cast: {outcomes}")
            same = compare("Ballots, one a voter, where each voter sent it last:", choices_by_kind(sent.cast()), read_ballots(cluster))
            wanted = choices_by_kind(sent.recorded + sent.cast())
            same &= compare(f"Read functions right after the last vote, {pending:,} rows still pending:", wanted, counted)
            same &= compare("What followers of the feed know, nothing pending any more:", wanted, read_followed(viewer))
            same &= compare("What the relay says:", wanted, read_relayed(address))
            print("\nEvery vote sent is counted, each once; every voter has one vote." if same else "\nWhat is counted is not what was sent.")
            if stays():
                wait_for_farewell(farewell(cluster, address))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
