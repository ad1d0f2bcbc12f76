"""The door, what others would put in its place, and a crowd of voters that costs little."""

import contextlib
import csv
import io
import itertools
import pathlib
import shutil
import subprocess
import tempfile

from bench import relays
from bench.load import HERE
from testkit import rig

API = HERE / "peers" / "api"
SCRIPT = HERE / "peers" / "vote.lua"
VOTERS = relays.CROWD.with_name("voters")
SECRET = "a secret of tokens, and another of voters' names"
TOKENS = {"auth": "required", "jwt_key": SECRET}
# All voters come from one address, and none is to be refused; a proxy would say from which country each is.
BOUNDLESS = {
    "max_votes": 10_000_000, "max_votes_per_ip": 10_000_000, "max_votes_per_voter": 100_000, "max_events": 100_000,
    "trusted_proxies": "127.0.0.1", "country_header": "cf-ipcountry",
}
CONNECTIONS = 256
NAMES = itertools.count()


def build():
    relays.build()
    if missing := [name for name in ("redis-server", "redis-benchmark") if not shutil.which(name)]:
        raise SystemExit(f"{' and '.join(missing)} not found: scripts/setup --peers installs them")
    if not (API / "node_modules").exists():
        raise SystemExit(f"{API.relative_to(HERE.parent)}/node_modules not found: scripts/setup --peers installs it")


def new_match(bench):
    """A match of its own for each run: no voter has voted in it before."""
    match = f"door-{next(NAMES)}"
    bench.sql("SELECT open_match(%s, ARRAY['home', 'away', 'probe'])", match)
    return match


@contextlib.contextmanager
def door(bench, **flags):
    """A relay that takes votes."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="door."))
    (folder / "key").write_text(SECRET)
    if not bench.sql("SELECT 1 FROM pg_roles WHERE rolname = 'door'"):
        bench.sql("CREATE ROLE door LOGIN")
        bench.sql("ALTER ROLE door SET vote_agg.auto_open = off")
    bench.sql("SELECT vote_agg.grant_writer('door')")
    flags = {**relays.MANY, **TOKENS, **BOUNDLESS, "votes_url": bench.cluster.dsn("bench", "door"), "voter_key_file": folder / "key", **flags}
    try:
        with rig.Relay(bench.cluster.dsn("bench"), folder / "log", **flags) as relay:
            yield relay
    finally:
        shutil.rmtree(folder)


class Api(relays.Peer):
    """peers/api: fastify with pg or with ioredis."""

    def __init__(self, name, log, **environment):
        super().__init__((None, None), log)
        self.name, self.variables = name, environment

    def command(self):
        return ["node", API / f"{self.name}.mjs"]

    def environment(self):
        return {"PORT": str(self.port), "NODE_ENV": "production", **self.variables}


@contextlib.contextmanager
def api(name, **environment):
    folder = tempfile.mkdtemp(prefix="api.")
    try:
        with Api(name, f"{folder}/log", **environment) as process:
            yield process
    finally:
        shutil.rmtree(folder)


def postgres_api(bench):
    return api("postgres", PGHOST=str(bench.cluster.path), PGUSER="postgres", PGDATABASE="bench")


class Redis:
    """A server of its own, empty, that writes its log as `appendfsync` says, and never rewrites it meanwhile."""

    def __init__(self, appendfsync):
        self.appendfsync = appendfsync
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="redis."))
        self.port, self.process = rig.free_port(), None

    def start(self):
        flags = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "appendonly": "yes",
            "appendfsync": self.appendfsync, "auto-aof-rewrite-percentage": 0,
        }
        command = ["redis-server", *itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in flags.items())]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        rig.eventually("Redis serves", lambda: self.ask("PING", check=False) == "PONG")
        self.script = self.ask("SCRIPT", "LOAD", SCRIPT.read_text(encoding="utf-8"))
        return self

    def ask(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=check)
        return done.stdout.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder)

    def benchmark(self, votes, pipeline=1):
        """Votes a second of redis-benchmark with the script: it draws the voter, the rest is always the same."""
        keys = [f"match:{name}" for name in ("voters", "teams", "cells", "countries", "feed")]
        vote = ["EVALSHA", self.script, "5", *keys, "__rand_int__", "home", "872a1072bffffff", "FR"]
        command = ["redis-benchmark", "-p", str(self.port), "-c", str(CONNECTIONS), "-n", str(votes), "-r", "1000000000", "-P", str(pipeline), "--csv"]
        out = subprocess.run([*command, *vote], capture_output=True, text=True, check=True).stdout
        counted = int(self.ask("HLEN", "match:voters"))
        if counted < 0.99 * votes:  # it may draw a voter twice, and fill its last pipelines
            raise RuntimeError(f"Redis counted {counted} of {votes} votes")
        return float(list(csv.reader(io.StringIO(out)))[-1][1])


class Voters(rig.Swarm):
    """Voters by number, each with one vote."""

    def __init__(self):
        super().__init__("env", f"JWT_KEY={SECRET}", str(VOTERS))

    def open(self, port, way, match, connections=CONNECTIONS, **options):
        self("open", port=port, way=way, match_id=match, connections=connections, **options)

    def vote(self, seconds, **options):
        """What became of the votes, all of which must be counted."""
        run = self("vote", seconds=seconds, **options)
        if run["others"] or run["closed"] or not run["counted"]:
            raise RuntimeError(f"votes were not counted: {run}")
        return run


def assert_counted(bench, match, run):
    found = bench.sql("SELECT total_votes FROM get_realtime_stats(%s)", match)[0][0]
    if found != run["counted"]:
        raise RuntimeError(f"{run['counted']} votes were acknowledged, {found} are counted")


def pace(run):
    """Votes a second."""
    return run["counted"] / run["seconds"]

