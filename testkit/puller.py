"""The puller (relay/src/pull) as a process; and one by script, which asks and hands on as it is told: late, twice, or never."""

import os
import pathlib
import signal
import subprocess

import psycopg

from testkit import rig

# What a node holds, by kind, key and team, without zeros. Of a root: the votes of each shard as a source.
KEYS = """
WITH head AS (
    SELECT DISTINCT ON (f.match_id) f.* FROM vote_agg.feed f ORDER BY f.match_id, f.seq DESC
), counted AS (
    SELECT h.match_id, 'team' AS kind, '' AS key, h.votes FROM head h
    UNION ALL SELECT h.match_id, 'no cell', '', h.unplaced FROM head h
    UNION ALL SELECT a.match_id, 'cell', to_hex(a.h3_index), a.votes FROM vote_agg.h3_aggregate a
    UNION ALL SELECT a.match_id, 'country', a.country_code, a.votes FROM vote_agg.country_aggregate a
    UNION ALL SELECT l.match_id, 'minute', (l.bucket AT TIME ZONE 'UTC')::text, l.votes FROM vote_agg.timeline l
    UNION ALL SELECT l.match_id, 'country minute', l.country_code || (l.bucket AT TIME ZONE 'UTC')::text, l.votes
              FROM vote_agg.country_timeline l
)
SELECT c.match_id, c.kind, c.key, h.teams[v.number] AS team, v.votes
FROM counted c JOIN head h USING (match_id) CROSS JOIN LATERAL unnest(c.votes) WITH ORDINALITY AS v(votes, number)
WHERE v.votes <> 0
"""
BY_SOURCE = """
SELECT h.match_id, s.name, v.votes FROM (
    SELECT DISTINCT ON (f.match_id) f.* FROM vote_agg.feed f ORDER BY f.match_id, f.seq DESC) AS h
CROSS JOIN LATERAL unnest(h.sources, h.source_votes) AS v(source, votes) JOIN vote_agg.shard s ON s.number = v.source
WHERE v.votes <> 0
"""
APPLY = "SELECT * FROM vote_agg.apply_pull(%s, %s, %s, %s, %s::json)"


def keys_of(database):
    return {(match, kind, key, team): votes for match, kind, key, team, votes in database.sql(KEYS)}


def differing(root, shards):
    """The keys in which the root differs from the sum of its shards: {key: (root, shards)}. `shards` is {name: database}."""
    expected, sources = {}, {}
    for name, shard in shards.items():
        for key, votes in keys_of(shard).items():
            expected[key] = expected.get(key, 0) + votes
            if key[1] == "team":
                of_shard = (key[0], "source", name, None)
                sources[of_shard] = sources.get(of_shard, 0) + votes
    expected |= sources
    found = keys_of(root) | {(match, "source", name, None): votes for match, name, votes in root.sql(BY_SOURCE)}
    expected = {key: votes for key, votes in expected.items() if votes}
    return {key: (found.get(key, 0), expected.get(key, 0)) for key in found.keys() | expected.keys() if found.get(key, 0) != expected.get(key, 0)}


class Puller:
    """Follows one shard. What it knows of the root's heads it remembers, as a puller does."""

    def __init__(self, root, shard, name):
        self.root, self.shard, self.name = root, shard, name
        self.incarnation, self.heads, self.cursor = None, {}, None

    def begin(self, root):
        row = root.execute("SELECT incarnation, match_ids, epochs, seqs FROM vote_agg.get_shard(%s)", (self.name,)).fetchone()
        self.incarnation, self.heads, self.cursor = row[0], dict(zip(row[1], zip(row[2], row[3]))), None

    def moved(self, shard):
        """The matches that differ from what is known of the root."""
        query = "SELECT next_cursor, whole, match_ids, epochs, seqs, purged FROM vote_agg.get_heads(%s)"
        self.cursor, whole, matches, epochs, seqs, purged = shard.execute(query, (self.cursor,)).fetchone()
        said = dict(zip(matches, zip(epochs, seqs)))
        if whole:
            purged = [match for match in self.heads if match not in said]
        said |= {match: (None, 0) for match in purged}
        return [match for match, head in said.items() if self.heads.get(match, (None, 0)) != head]

    def ask(self, shard, match):
        """What is to be applied: everything that apply_pull takes."""
        epoch, seq = self.heads.get(match, (None, 0))
        query = "SELECT vote_agg.get_match_rows(%s, %s, %s)::text"
        return self.name, self.incarnation, epoch, seq, shard.execute(query, (match, epoch, seq)).fetchone()[0]

    def apply(self, root, asked, match=None):
        """Hands it on; returns the outcome. What comes back is remembered for `match`."""
        outcome, self.incarnation, epoch, seq = root.execute(APPLY, asked).fetchone()
        if match is not None:
            self.heads[match] = epoch, seq
        return outcome

    def pull_all(self):
        """Pulls until nothing differs any more, as it should be done."""
        with self.root.connect() as root, self.shard.connect() as shard:
            while True:
                self.begin(root)
                moved = self.moved(shard)
                (asked,) = root.execute("SELECT vote_agg.note_shard(%s, now(), 0)", (self.name,)).fetchone()
                for match in {*moved, *asked}:
                    self.apply(root, self.ask(shard, match), match)
                if not moved:
                    return

    def misbehave(self, rng):
        """A job that pulls late, twice, never, and again after the root or the shard was gone."""

        def run(stop):
            while not stop.is_set():
                try:
                    with self.root.connect() as root, self.shard.connect() as shard:
                        self.begin(root)
                        self.pull_badly(rng, root, shard, stop)
                except psycopg.OperationalError:
                    stop.wait(0.05)

        return run

    def pull_badly(self, rng, root, shard, stop):
        late = []
        for _ in range(rng.randrange(20, 200)):
            if stop.is_set():
                return
            for match in self.moved(shard):
                asked, fate = self.ask(shard, match), rng.random()
                if fate < 0.1:
                    late.append(asked)
                if fate > 0.2:
                    self.apply(root, asked, match)
                if fate > 0.9:
                    self.apply(root, asked)
            if late and rng.random() < 0.3:
                self.apply(root, late.pop(rng.randrange(len(late))))
            if rng.random() < 0.2:
                # What was dropped is told again, and what another puller has applied is not known here.
                self.cursor = None
            stop.wait(rng.random() * 0.05)


class Process:
    """The real one. `shards` has the address of each by its name; flags are keyword arguments."""

    def __init__(self, root_url, shards, log, **flags):
        self.log, self.port, self.process = pathlib.Path(log), rig.free_port(), None
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        self.command = [rig.BINARY, "pull", f"--admin=127.0.0.1:{self.port}", *flags]
        lines = "\n".join(f"{name}={url}" for name, url in shards.items())
        self.environment = {"PATH": os.environ["PATH"], "ROOT_URL": root_url, "SHARDS": lines}

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        return self

    def end(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(rig.PATIENCE)

    def metrics(self):
        return rig.get(f"http://127.0.0.1:{self.port}/metrics")[2].decode()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()
