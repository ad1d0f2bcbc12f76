"""Shards, a front and a root with its puller: a cluster each, whose commits wait for their own flush."""

import contextlib
import pathlib
import time
from types import SimpleNamespace

from bench.load import SETTINGS, Pgbench, cpu_seconds
from testkit.cluster import Cluster
from testkit.puller import Process

CLIENTS = 64
SMALL = {**SETTINGS, "shared_buffers": "256MB", "max_wal_size": "4GB"}


class Nodes:
    """`shards` of them; followed by a root, or behind a front, as asked. `settings` are more of the shards' postgresql.conf."""

    def __init__(self, shards, is_followed=False, has_front=False, **settings):
        self.counts, self.is_followed, self.has_front, self.settings = shards, is_followed, has_front, settings

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            start = lambda **settings: stack.enter_context(Cluster(**{**SMALL, **settings}))  # noqa: E731
            self.shards = [start(**self.settings) for _ in range(self.counts)]
            for shard in self.shards:
                shard.sql("CREATE EXTENSION vote_agg")
                shard.sql("ALTER DATABASE postgres SET vote_agg.auto_open = off")
            if self.has_front:
                self.front = start()
                self.front.sql("CREATE EXTENSION vote_agg_front CASCADE")
                for shard in self.shards:
                    self.front.sql("SELECT vote_agg_front.add_shard(%s)", f"host={shard.path} port={shard.port} dbname=postgres")
            if self.is_followed:
                self.root = start()
                self.root.sql("CREATE EXTENSION vote_agg")
                names = {f"shard {n}": shard.dsn() for n, shard in enumerate(self.shards)}
                for name in names:
                    self.root.sql("SELECT vote_agg.follow(%s)", name)
                self.puller = stack.enter_context(Process(self.root.dsn(), names, pathlib.Path(self.root.path) / "puller.log"))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def open_apart(self, match):
        """On each shard by itself: without a fence."""
        for shard in self.shards:
            shard.sql("SELECT open_match(%s, '{home,away}')", match)

    def start(self, cluster, scripts, **options):
        return Pgbench(SimpleNamespace(cluster=cluster), scripts, dbname="postgres", **options)

    def votes(self, clusters, scripts, clients, seconds):
        """Votes a second where each of `clusters` has so many sessions."""
        for cluster in (*self.shards, *clusters):
            cluster.sql("CHECKPOINT")
        runs = [self.start(cluster, scripts, clients=clients, seconds=seconds) for cluster in clusters]
        return sum(run.finish().tps for run in runs)

    def drain(self):
        """Until nothing is pending on any shard."""
        for shard in self.shards:
            with shard.connect() as session:
                while session.execute("SELECT sum(rows) FROM vote_agg.stat_pending").fetchone()[0]:
                    session.execute("SELECT vote_agg.fold()")
                    time.sleep(0.02)


def cpu_of(cluster):
    """Processor time of all processes that the cluster has and had."""
    postmaster = cluster.postmaster()
    ended = pathlib.Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()
    children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    used = cpu_seconds(postmaster) + (int(ended[13]) + int(ended[14])) / 100
    for child in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used += cpu_seconds(child)
    return used
