"""What the proofs share: parameters, fresh databases, load in threads, and patience.

Every wait is a poll that gives up only when nothing sane could take that long, so a slow machine fails no test.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import random
import re
import signal
import threading
import time

import psycopg

from testkit.house import PLAIN, Guests
from testkit.patrol import patrol

SEED = int(os.environ.get("PROOF_SEED") or random.randrange(1_000_000))
os.environ["PROOF_SEED"] = str(SEED)  # for the processes that share the tests
SECONDS = float(os.environ.get("PROOF_SECONDS", 20))
KILLS = int(os.environ.get("PROOF_KILLS", 5))
CRASHES = int(os.environ.get("PROOF_CRASHES") or max(1, KILLS // 4))
SESSIONS = int(os.environ.get("PROOF_SESSIONS", 16))
VOTERS = int(os.environ.get("PROOF_VOTERS", 200))
CELLS = int(os.environ.get("PROOF_CELLS", 1_000_000))
STATEMENTS = int(os.environ.get("PROOF_STATEMENTS", 6_000))
DAMAGES = int(os.environ.get("PROOF_DAMAGES", 60))
ATTEMPTS = int(os.environ.get("PROOF_ATTEMPTS", 30))
READS = int(os.environ.get("PROOF_READS", 300))
PATIENCE = 120

# A session that waits longer for a lock fails with 55P03: nothing here may hang.
PATIENT = f"-c lock_timeout={PATIENCE}s"


def random_for(*names):
    """A generator of random numbers that the seed and the names decide."""
    return random.Random("/".join(map(str, (SEED, *names))))


def eventually(what, condition):
    """Polls until `condition()` is true and returns what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen in {PATIENCE} s: {what}"
        time.sleep(0.02)
    return value


def all_come(stop, events, counters):
    """Waits until each kind of event has come in one of the counters, which others fill meanwhile, or `stop` is set."""
    eventually("each kind of event has come", lambda: stop.is_set() or all(any(seen[event] for seen in counters) for event in events))


@contextlib.contextmanager
def running(*jobs):
    """Runs each `job(stop)` in a thread until the block ends or one job fails; that failure is raised at the end.

    Beside them each database of the proof has a patrol, unless the proof breaks invariants on purpose.
    """
    jobs = [*jobs, *(patrol(database) for database in Database.all if database.is_patrolled)]
    stop = threading.Event()

    def run(job):
        try:
            return job(stop)
        except BaseException:
            stop.set()
            raise

    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            yield stop
        finally:
            stop.set()
    for future in futures:
        future.result()


def fold(session):
    """Folds, unless a lock is in the way. A fold tries locks, and autovacuum has one now and then."""
    with contextlib.suppress(psycopg.errors.LockNotAvailable):
        session.execute("SELECT vote_agg.fold()")


class Database:
    """A database, usually with the extension in it."""

    all = []  # that are there now

    def __init__(self, cluster, name):
        self.cluster, self.name, self.guests = cluster, name, Guests(cluster, name)
        self.is_patrolled = True

    def create(self, extension=True):
        (self.cluster.house or PLAIN).furnish(self.cluster, self.name)
        if extension:
            self.sql("CREATE EXTENSION IF NOT EXISTS vote_agg")
        self.guests.__enter__()
        if extension and self.guests.threads:
            # A test that folds itself finds nothing of theirs pending.
            eventually("the guests are there", self.guests.are_there)
            self.settle()
        Database.all.append(self)
        return self

    def connect(self, **options):
        # A clock that somebody sets ends waits that have a limit.
        is_set = self.cluster.house and self.cluster.house.clock
        return self.cluster.connect(self.name, **{"options": "" if is_set else PATIENT, **options})

    def sql(self, query, *params):
        return self.cluster.sql(query, *params, dbname=self.name)

    def value(self, query, *params):
        return self.sql(query, *params)[0][0]

    def configure(self, **settings):
        """Settings of vote_agg for sessions and workers that start from now on."""
        for name, value in settings.items():
            self.sql(f"ALTER DATABASE {self.name} SET vote_agg.{name} = '{value}'")

    def pending(self):
        return self.value("SELECT sum(rows) FROM vote_agg.stat_pending")

    def fold(self):
        """Folds as a superuser may by hand; returns the rows. A fold tries locks, and may find one of autovacuum's: then again."""

        def folded():
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                return self.sql("SELECT vote_agg.fold()")
            return None

        return eventually("no lock is in the way of a fold", folded)[0][0]

    def settle(self):
        """Folds until nothing is pending, whoever else folds."""

        def settled():
            self.fold()
            return self.pending() == 0

        eventually("nothing is pending", settled)

    def failed_checks(self, match):
        """What verify_match finds wrong, where calls are random.

        A call that says from which country votes came may say so of more votes than there are: that check is left out.
        """
        query = "SELECT check_name, expected, found, detail FROM verify_match(%s) WHERE NOT ok AND check_name <> 'countries <= teams'"
        return self.sql(query, match)

    def worker(self):
        """The process id of this database's worker, or None."""
        return self.value("SELECT worker_pid FROM vote_agg.stat_fold")

    def drop(self):
        """Whatever a test that failed has left in it."""
        self.guests.__exit__()
        if self in Database.all:
            Database.all.remove(self)
        if not (self.cluster.data / "postmaster.pid").exists():
            return  # some servers don't survive their proof
        prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = %s"
        for (name,) in self.cluster.sql(prepared, self.name):
            self.sql(f"ROLLBACK PREPARED '{name}'")
        self.cluster.sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


def kill(cluster, pid):
    """SIGKILL to one process of the server, which ends all others and restarts by itself; returns when it has.

    One that was at its own end already takes nobody along: then it returns false.
    """
    with cluster.connect() as witness:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        crashed = []

        def has_noticed():
            try:
                witness.execute("SELECT 1")
            except psycopg.OperationalError:
                crashed.append(True)
                return True
            if pathlib.Path(f"/proc/{pid}").exists():
                return False
            time.sleep(1)  # from when it is gone to the line in the log
            return f"(PID {pid}) was terminated by signal 9" not in cluster.log_text()

        eventually("the server ends everybody", has_noticed)

    def is_up():
        try:
            return not cluster.sql("SELECT pg_is_in_recovery()")[0][0]
        except psycopg.OperationalError:
            return False

    eventually("the server takes connections again", is_up)
    return bool(crashed)


def crash_a_child(cluster):
    """What the kernel does to one process when memory is short: sessions and shared memory go, the postmaster stays."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"
    kill(cluster, eventually("there is a background writer", lambda: cluster.sql(query))[0][0])


def crash(cluster):
    """The postmaster is killed, and the server is started again."""
    cluster.kill()
    cluster.start()


def restart(cluster):
    """The server is stopped as one should, and started again."""
    cluster.restart()


SERVER_ENDS = (crash_a_child, crash, restart)  # no session outlives one of these, a prepared transaction does


# verify_match and rebuild_match refuse a table that changed since their snapshot, and ask to be called again: no voter sees that.
CALL_AGAIN = "was changed while it was about to be counted"
FAULT = re.compile(
    r"PANIC:  "
    r"|\b(XX...|40001|40P01)\b.* (WARNING|ERROR|FATAL|LOG):  "
    r"|(votes could not be folded|an attached table could not be counted): "
    r"|terminated by signal (4|6|7|8|11):"
)


def faults(log):
    """Lines of a server's log that no test may cause: a crash or bug of ours, a deadlock, a serialization failure."""
    return [line for line in log.splitlines() if FAULT.search(line) and CALL_AGAIN not in line]
