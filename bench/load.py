"""What every measurement needs: the cluster, pgbench, the worker on or off, processor time."""

import functools
import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from testkit.cluster import BIN

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = {
    "fsync": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",  # each round begins with a checkpoint of its own
    "max_connections": 200,
}
CLIENTS = 64
COUNTRIES = ("FR", "DE", "BR", "US")
# bench.cell in pgbench's arithmetic: a digit for the country, then three at random, which makes 343 cells a country.
CELL = (
    f"\\set cell {0x872A00000FFFFFF} + {{digit}} * {1 << 33} + "
    + " + ".join(f"random(0, 6) * {1 << bit}" for bit in (30, 27, 24))
    + "\n"
)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def vote_scripts(statement):
    """pgbench scripts of one vote each, for every team and country; `statement` has {team}, {country} and :cell."""
    return [
        CELL.format(digit=digit) + statement.format(team=team, country=country) + "\n"
        for digit, country in enumerate(COUNTRIES)
        for team in ("home", "away")
    ]


def our_votes(match):
    return vote_scripts(f"SELECT record_vote('{match}', '{{team}}', :cell::bigint, '{{country}}');")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def cpu_seconds(pid):
    """Processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class Pgbench:
    """pgbench running in the background; `finish` waits for its end."""

    def __init__(self, bench, scripts, *, clients=CLIENTS, seconds=None, transactions=None, rate=None, log=False, dbname="bench"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgbench.", dir=bench.cluster.path))
        command = [BIN / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(2, clients)]
        command += ["-T", seconds] if seconds else ["-t", transactions]
        command += ["-R", int(rate)] if rate else []
        command += ["-l", "--log-prefix", self.folder / "log"] if log else []
        for i, script in enumerate(scripts):
            (self.folder / f"{i}.sql").write_text(script)
            command += ["-f", self.folder / f"{i}.sql"]
        command += ["-h", bench.cluster.path, "-U", "postgres", dbname]
        self.process = subprocess.Popen([str(c) for c in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self):
        """Waits; then `tps`, `transactions` and, where logged, `milliseconds` of each are known."""
        out, err = self.process.communicate()
        if self.process.returncode or "aborted" in err:
            raise RuntimeError(f"pgbench failed ({self.process.returncode}): {err or out}")
        self.tps = float(re.search(r"tps = ([\d.]+) \(without", out)[1])
        self.transactions = int(re.search(r"actually processed: (\d+)", out)[1])
        # A line of the log is: client, transaction, microseconds, script, second, microsecond of its end.
        lines = itertools.chain.from_iterable(p.read_text().splitlines() for p in self.folder.glob("log.*"))
        self.milliseconds = [int(line.split()[2]) / 1000 for line in lines]
        shutil.rmtree(self.folder)
        return self


class Bench:
    """A cluster with the extension, the peers and the votes to feed them with in database `bench`."""

    def __init__(self, cluster, rounds, seconds, quick):
        self.cluster, self.rounds, self.seconds, self.quick = cluster, rounds, seconds, quick
        self.create_database("bench")

    def create_database(self, dbname):
        with self.cluster.connect() as session:
            session.execute(f"CREATE DATABASE {dbname}")
        with self.connect(dbname) as session:
            session.execute("CREATE EXTENSION vote_agg")
            for file in (HERE / "data.sql", *(HERE / "peers" / f"{name}.sql" for name in ("tables", "upserts", "bulk", "fold", "trigger", "map"))):
                session.execute(file.read_text())

    def connect(self, dbname="bench", **options):
        return self.cluster.connect(dbname, **options)

    def sql(self, query, *params, dbname="bench"):
        return self.cluster.sql(query, *params, dbname=dbname)

    def start(self, scripts, **options):
        return Pgbench(self, scripts, **options)

    def pgbench(self, scripts, **options):
        """One pgbench run, for a round's time unless told otherwise, after a checkpoint so that none falls into it."""
        self.sql("CHECKPOINT")
        if "transactions" not in options:
            options.setdefault("seconds", self.seconds)
        return self.start(scripts, **options).finish()

    def order(self, items):
        """`items` for each round in turn, every other round backwards, so that a drift of the machine cancels out."""
        items = list(items)
        for i in range(self.rounds):
            yield items if i % 2 == 0 else items[::-1]

    def timed(self, query, *params, dbname="bench"):
        """Seconds that a statement takes, its commit included."""
        with self.connect(dbname) as session:
            session.execute("CHECKPOINT")
            started = time.perf_counter()
            session.execute(query, params or None)
            return time.perf_counter() - started

    def clear_peers(self, dbname="bench"):
        self.sql(
            "TRUNCATE peer.bare, peer.ballot, peer.cell_votes, peer.country_votes, peer.match_votes, peer.cell_json, peer.pending",
            dbname=dbname,
        )

    def worker_pid(self, dbname="bench"):
        return self.sql("SELECT worker_pid FROM vote_agg.stat_fold", dbname=dbname)[0][0]

    def worker(self, on, dbname="bench"):
        """Folding by the background worker, or by nobody, from now on."""
        self.cluster.configure(**{"vote_agg.worker": "on" if on else "off"})
        self.cluster.reload()
        deadline = time.monotonic() + 20
        while bool(pid := self.worker_pid(dbname)) != on:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker is {'not ' if on else ''}running\n{self.cluster.log_tail()}")
            if on:
                self.sql("SELECT record_vote('warm-up', 'home')", dbname=dbname)
            else:
                self.sql("SELECT pg_terminate_backend(%s)", pid, dbname=dbname)
            time.sleep(0.1)

    def drain(self, dbname="bench"):
        """Folds until nothing is pending."""
        with self.connect(dbname) as session:
            while session.execute("SELECT sum(rows) FROM vote_agg.stat_pending").fetchone()[0]:
                session.execute("SELECT vote_agg.fold()")
                time.sleep(0.02)

    @functools.cached_property
    def full_rate(self):
        """Votes a second at full load with the worker folding."""
        self.worker(True)
        return self.pgbench(our_votes("rate"), seconds=5).tps

    def load_big_match(self, dbname="bench", millions=1):
        """Votes on 100,000 cells of the match `big`, folded; a million at a time."""
        self.sql("SELECT bench.make_arrays('big', 1000000, 100000)", dbname=dbname)
        for done in range(millions):
            if done % 10 == 9:
                say(f"  {done + 1} of {millions} million votes")
            self.sql("SELECT bulk_increment('big', teams, cells, countries) FROM bench.arrays WHERE name = 'big'", dbname=dbname)
            self.drain(dbname)
        self.sql("VACUUM ANALYZE", dbname=dbname)
