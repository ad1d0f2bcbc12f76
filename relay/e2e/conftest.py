"""A PostgreSQL server for each file of tests, a fresh database for each test, and relays and swarms on it."""

import itertools

import pytest

from testkit import rig
from testkit.cluster import Cluster

names = (f"relay_{n}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def cluster():
    port = rig.free_port()
    with Cluster(listen_addresses="'127.0.0.1'", port=port) as cluster:
        cluster.tcp_port = port
        yield cluster


class Database:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def connect(self, user="postgres", **options):
        import psycopg

        return psycopg.connect(f"host=127.0.0.1 port={self.cluster.tcp_port} dbname={self.name} user={user}", autocommit=True, **options)

    def sql(self, query, *params):
        with self.connect() as session:
            done = session.execute(query, params or None)
            return done.fetchall() if done.description else []

    def url(self, user="relay", port=None):
        return f"postgres://{user}@127.0.0.1:{port or self.cluster.tcp_port}/{self.name}"


@pytest.fixture
def db(cluster):
    """With the extension, and a role `relay` that may read and no more."""
    import psycopg

    database = Database(cluster, next(names))
    admin = psycopg.connect(f"host=127.0.0.1 port={cluster.tcp_port} dbname=postgres user=postgres", autocommit=True)
    with admin:
        admin.execute(f"CREATE DATABASE {database.name}")
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'relay'").fetchone():
            admin.execute("CREATE ROLE relay LOGIN")
            admin.execute("CREATE ROLE stranger LOGIN")
    database.sql("CREATE EXTENSION vote_agg")
    database.sql("SELECT vote_agg.grant_reader('relay')")
    return database


@pytest.fixture
def new_relay(db, tmp_path):
    """Starts relays; at the end they go, and none may have panicked."""
    relays = []

    def start(dsn=None, **flags):
        relays.append(rig.Relay(dsn or db.url(), tmp_path / f"relay_{len(relays)}.log", **flags))
        return relays[-1].start()

    yield start
    for relay in relays:
        relay.__exit__()
    for relay in relays:
        assert "panicked" not in relay.log.read_text()


@pytest.fixture
def swarm():
    with rig.Swarm() as swarm:
        yield swarm
