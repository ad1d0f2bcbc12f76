"""Relays, ours and the peer, and a crowd of clients that costs little."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from bench.load import HERE, our_votes
from testkit import rig

ROOT = HERE.parent
PEER = HERE / "peers" / "relay"
CROWD = pathlib.Path(os.environ.get("CROWD") or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "examples" / "crowd")
HOSTILE = CROWD.with_name("hostile")
MANY = {"max_clients_per_ip": 20_000, "max_requests": 1_000_000}  # all of the crowd come from one address


def build():
    if "RELAY" in os.environ:
        return  # another relay than the one built from here
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "vote_agg_relay", "--bins", "--examples"]
    subprocess.run(command, cwd=ROOT, check=True)
    if not (PEER / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PEER, check=True)


class Peer(rig.Relay):
    """peers/relay/relay.mjs"""

    def command(self):
        return ["node", PEER / "relay.mjs"]

    def environment(self):
        host, dbname = self.dsn
        return {"PORT": str(self.port), "PGHOST": str(host), "PGUSER": "postgres", "PGDATABASE": dbname, "NODE_ENV": "production"}

    def start(self, is_ready=False):
        return super().start(is_ready)

    def is_up(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


@contextlib.contextmanager
def relay(bench, name="ours", **flags):
    """A new process of ours, or of the peer."""
    folder = tempfile.mkdtemp(prefix="relay.")
    if name == "ours":
        relay = rig.Relay(bench.cluster.dsn("bench"), f"{folder}/log", **{**MANY, **flags})
    else:
        relay = Peer((bench.cluster.path, "bench"), f"{folder}/log")
    try:
        with relay:
            yield relay
    finally:
        shutil.rmtree(folder)


class Crowd(rig.Swarm):
    """Clients by number, `first` up to but without `last`."""

    def __init__(self, relay):
        super().__init__(CROWD)
        self.relay, self.size = relay, 0

    def open(self, count, **options):
        self("open", port=self.relay.port, count=count, **options)
        self.size += count

    def join(self, match, first=0, last=None, **wish):
        joined = self("join", **self.those(first, last), wish={"matchId": match, **wish})
        assert not joined["refusals"] and joined["joined"] == (last or self.size) - first, joined
        return joined

    def those(self, first=0, last=None):
        return {"from": first, "to": self.size if last is None else last}

    def counts(self, first=0, last=None):
        return self("counts", **self.those(first, last))

    def assert_all_know(self, seq, first=0, last=None):
        """They have all there is, without a gap."""
        rig.eventually("everybody is up to date", lambda: set(self.counts(first, last)["heads"]) == {str(seq)})
        counts = self.counts(first, last)
        assert (counts["gaps"], counts["closed"]) == (0, 0), counts


def seq_of(bench, match):
    return bench.sql("SELECT seq FROM get_realtime_stats(%s)", match)[0][0]


def steady(bench, match, seconds, rate):
    """Votes at a rate, in the background; `finish` waits for the last."""
    return bench.start(our_votes(match), clients=4, seconds=seconds, rate=rate)


class Bulk:
    """A bulk of votes for the cells every tenth of a second, until the block ends."""

    def __init__(self, bench, match, call):
        self.bench, self.match, self.call = bench, match, call
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.vote)

    def vote(self):
        with self.bench.connect() as session:
            due = time.monotonic()
            while not self.stop.is_set():
                session.execute(self.call, (self.match,))
                due += 0.1
                self.stop.wait(max(0, due - time.monotonic()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Usage:
    """What a relay uses, and its clients receive, a fold: from one quiet moment to another, so that nothing is still under way."""

    def __init__(self, bench, relay, crowd, match):
        self.parts = bench, relay, crowd, match
        self.began = self.now()

    def now(self):
        bench, relay, crowd, match = self.parts
        counts = crowd.counts()
        return time.monotonic(), seq_of(bench, match), relay.cpu(), counts["frames"], counts["bytes"]

    def finish(self):
        seconds, folds, cpu, frames, bytes_ = (b - a for a, b in zip(self.began, self.now(), strict=True))
        self.share, self.folds = cpu / seconds, folds
        self.cpu_ms, self.frames, self.bytes = cpu / folds * 1000, frames / folds, bytes_ / folds
        return self


def private_memory(pid):
    """Bytes that belong to a process alone."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024

