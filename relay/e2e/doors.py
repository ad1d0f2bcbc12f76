"""Relays that take votes, voters at them, and a proxy that cuts a connection at a chosen word."""

import contextlib
import http.client
import itertools
import json
import socket
import time
import uuid

import psycopg
from test_guard import GUARDED, token
from testkit import rig

SECRET = "a secret for the names of voters, long enough"
PARIS = "8f1fb46625550c3"


class Doors:
    """Starts relays that take votes, on one database with one secret."""

    def __init__(self, db, new_relay, folder):
        self.db, self.new_relay, self.folder, self.numbers = db, new_relay, folder, itertools.count()
        with db.connect() as session:
            if not session.execute("SELECT 1 FROM pg_roles WHERE rolname = 'door'").fetchone():
                session.execute("CREATE ROLE door LOGIN")
                session.execute("ALTER ROLE door SET vote_agg.auto_open = off")
            session.execute("SELECT vote_agg.grant_writer('door')")

    def flags(self, secret=SECRET, port=None, user="door", **flags):
        """The settings of a relay that takes votes; one that is None is left out."""
        key = self.folder / f"key_{next(self.numbers)}"
        key.write_text(secret + "\n")
        flags = {**GUARDED, "auth": "optional", "votes_url": self.db.votes_url(user, port), "voter_key_file": key, **flags}
        return {name: value for name, value in flags.items() if value is not None}

    def open(self, **flags):
        return self.new_relay(**self.flags(**flags))

    def match(self, name="final", **options):
        options = "".join(f", {option} => {value}" for option, value in options.items())
        self.db.sql(f"SELECT open_match('{name}', ARRAY['home', 'away']{options})")

    def ballots(self, match="final"):
        """The turn and team of each ballot."""
        return self.db.sql("SELECT team_choice, turn FROM vote_agg.ballot WHERE match_id = %s ORDER BY 1, 2", match)

    def assert_exact(self, match="final"):
        rows = self.db.sql("SELECT check_name, expected, found FROM verify_match(%s) WHERE NOT ok", match)
        assert not rows, rows
        total, ballots = self.db.sql("SELECT (SELECT total_votes FROM get_realtime_stats(%s)), (SELECT count(team_choice) FROM vote_agg.ballot WHERE match_id = %s)", match, match)[0]
        assert total == ballots, (total, ballots)
        return total


class Voter:
    """Somebody with a token of their own; or, without a subject, with a key."""

    def __init__(self, relay, subject="ann", scope="vote", match="final", **claims):
        self.relay, self.match, self.turn, self.connection = relay, match, 0, None
        self.headers = {"Authorization": f"Bearer {token(sub=subject, scope=scope, **claims)}"} if subject else {"Idempotency-Key": str(uuid.uuid4())}

    def request(self, method, path, body=None, **headers):
        """Status, headers and JSON of an answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.relay.port, timeout=rig.PATIENCE)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        sent = {**self.headers, **({"Content-Type": "application/json"} if data else {}), **headers}
        try:
            self.connection.request(method, path, data, {name: value for name, value in sent.items() if value is not None})
            answer = self.connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise

    def send(self, body, **headers):
        """Status and JSON."""
        status, _, answer = self.request("POST", f"/matches/{self.match}/votes", body, **headers)
        return status, answer

    def vote(self, team="home", turn=None, **more):
        self.turn = turn or self.turn + 1
        return self.send({"team_choice": team, "turn": self.turn, **more})

    def retract(self, turn=None):
        self.turn = turn or self.turn + 1
        status, _, answer = self.request("DELETE", f"/matches/{self.match}/votes?turn={self.turn}")
        return status, answer

    def insist(self, team, turn, deadline):
        """Sends a vote again under the same turn until it is known what became of it."""
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, answer = self.vote(team, turn)
                if status not in (429, 503, 504):
                    return status, answer
            time.sleep(0.02)
        raise AssertionError(f"no answer about turn {turn}")


class Cutter(rig.Proxy):
    """Cuts the connection instead of passing on data with a word in it, `times` times."""

    def __init__(self, target):
        super().__init__(target)
        self.word, self.times = None, 0

    def after(self, word, times):
        self.word, self.times = word, times

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.is_flowing.wait()
                if self.times and self.word in data:
                    self.times -= 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def end_backends(db):
    """Ends the sessions of all doors; how many there were."""
    with contextlib.suppress(psycopg.OperationalError):
        return db.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'vote-agg-door' AND datname = current_database()")[0][0]
    return 0
