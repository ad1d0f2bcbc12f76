"""A PostgreSQL server for each file of tests, a fresh database for each test, and relays and swarms on it.

With RIG=root in the environment the database is a root, with a shard behind it that takes the votes.
"""

import itertools

import pytest

from testkit import rig, rooted
from testkit.cluster import Cluster
from testkit.puller import Process


def pytest_collection_modifyitems(items):
    for item in items if rooted.is_chosen() else ():
        file = item.path.stem
        why = rooted.NOT_OF_A_ROOT.get((file, item.name.split("[")[0])) or rooted.NOT_OF_A_ROOT.get((file, None))
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


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

    def votes_url(self, user="relay", port=None):
        """Where votes go."""
        return self.url(user, port)


class Root(Database):
    """A root: its shard is a database beside it."""

    def __init__(self, cluster, name):
        super().__init__(cluster, name)
        self.shard = Database(cluster, f"{name}_shard")

    def connect(self, user="postgres", **options):
        return rooted.Session(super().connect(user, **options), self.shard.connect())

    def votes_url(self, user="relay", port=None):
        return self.shard.url(user, port)


def create(database):
    """With the extension, and a role `relay` that may read and no more."""
    import psycopg

    admin = psycopg.connect(f"host=127.0.0.1 port={database.cluster.tcp_port} dbname=postgres user=postgres", autocommit=True)
    with admin:
        admin.execute(f"CREATE DATABASE {database.name}")
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'relay'").fetchone():
            admin.execute("CREATE ROLE relay LOGIN")
            admin.execute("CREATE ROLE stranger LOGIN")
    with Database.connect(database) as session:
        session.execute("CREATE EXTENSION vote_agg")
        session.execute("SELECT vote_agg.grant_reader('relay')")


@pytest.fixture
def db(cluster, tmp_path):
    name = next(names)
    if not rooted.is_chosen():
        database = Database(cluster, name)
        create(database)
        yield database
        return
    root = Root(cluster, name)
    create(root.shard)
    create(root)
    root.sql("SELECT vote_agg.follow(%s)", rooted.NAME)
    with Process(root.url("postgres"), {rooted.NAME: root.shard.url("postgres")}, tmp_path / "puller.log", pull_interval=0.02) as puller:
        yield root
    assert "panicked" not in puller.log.read_text()
    # A server has eight places for workers, and each database takes one for a minute.
    for database in (root, root.shard):
        Database.sql(database, "SELECT vote_agg.stop_worker()")


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


@pytest.fixture
def doors(db, new_relay, tmp_path):
    from doors import Doors

    return Doors(db, new_relay, tmp_path)
