"""What surrounds the extension: settings, neighbours and clocks that suites run among. `pg_test/hostile/houses.py` lists them."""

import contextlib
import dataclasses
import itertools
import threading

import psycopg

from testkit.server_clock import ServerClock

SUITES = ("regression", "isolation", "proof")
STEP_SECONDS = 3  # between two steps of a clock

# An event trigger runs `after` at the end of each CREATE EXTENSION that makes ours, in whichever session.
AFTER = """
CREATE SCHEMA house;
CREATE FUNCTION house.after() RETURNS event_trigger LANGUAGE plpgsql SET client_min_messages = error AS $house$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'vote_agg' AND object_type = 'extension') THEN
        {after};
    END IF;
END
$house$;
CREATE EVENT TRIGGER house ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION house.after();
"""


@dataclasses.dataclass(frozen=True)
class House:
    """One surrounding. All but the name has a default that changes nothing."""

    name: str
    database: dict = dataclasses.field(default_factory=dict)  # ALTER DATABASE … SET; the suites' own sessions undo it
    sessions: dict = dataclasses.field(default_factory=dict)  # the same, and the suites' sessions have it too
    server: dict = dataclasses.field(default_factory=dict)  # postgresql.conf
    once: str = ""  # a statement, once a server
    create: str = ""  # options of CREATE DATABASE
    arrives: str = ""  # how a database {old} with the extension and votes becomes {new}, for those that are not made as new ones
    before: str = ""  # statements in the new database
    after: str = ""  # one statement right after CREATE EXTENSION
    guests: tuple = ()  # sessions that stay as they are then, to the end; each the statements of one, apart by ;;
    clock: tuple = ()  # seconds that the server's clock is ahead; of several it steps through all, again and again
    since: int = 15  # the first and the last version of PostgreSQL that has it
    until: int = 99
    only: tuple = ()  # the suites to run in it, where not those that it can make a difference to
    without: tuple = ()  # tests and specs whose own tables do not go with it
    alone: bool = False  # cannot be combined
    red: tuple = ()  # suites that fail in it today; one that does not fail turns the run red

    @property
    def of_worker(self):
        """Whether it is about a worker, whom only proofs have; or about sessions and objects."""
        return bool(self.database or self.guests or self.clock)

    @property
    def suites(self):
        return self.only or (("proof",) if self.of_worker else ("regression", "isolation"))

    def environment(self, cluster):
        """Of the server's processes."""
        if not self.clock:
            return {}
        cluster.clock = ServerClock(cluster.path, self.clock[0])
        return cluster.clock.variables()

    def furnish(self, cluster, database):
        """Makes the database, all but what happens after CREATE EXTENSION."""
        if self.once:
            with contextlib.suppress(psycopg.errors.DuplicateObject):
                cluster.sql(self.once)
        if self.arrives:
            self.arrive(cluster, f"{database}_old", database)
        else:
            cluster.sql(f"CREATE DATABASE {database} {self.create}")
        if self.before:
            cluster.sql(self.before, dbname=database)
        if self.after:
            cluster.sql(AFTER.format(after=self.after), dbname=database)
        for name, value in {**self.database, **self.sessions}.items():
            # In quotes several schemas would be one with a long name.
            cluster.sql(f"ALTER DATABASE {database} SET {name} = " + (value if name == "search_path" else f"'{value}'"))

    def arrive(self, cluster, old, new):
        """A database that had another name, or is the copy of one: the extension in it has folded votes and a worker."""
        cluster.sql(f"CREATE DATABASE {old}")
        cluster.sql("CREATE EXTENSION vote_agg", dbname=old)
        cluster.sql("SELECT record_vote('old', 'home')", dbname=old)
        while not cluster.sql("SELECT worker_pid FROM vote_agg.stat_fold", dbname=old)[0][0]:
            cluster.sql("SELECT record_vote('old', 'home')", dbname=old)
        cluster.sql(f"ALTER DATABASE {old} SET vote_agg.worker = off")
        cluster.sql("SELECT vote_agg.stop_worker()", dbname=old)
        cluster.sql("SELECT vote_agg.fold(), purge_match('old')", dbname=old)
        cluster.sql(f"ALTER DATABASE {old} RESET vote_agg.worker")
        cluster.sql(self.arrives.format(old=old, new=new))

    def options(self, cluster):
        """What undoes the settings of the database in a session, as libpq's options want it."""
        if self.clock:
            return "-c lock_timeout=0"  # a clock that somebody sets ends waits that have a limit
        if not self.database:
            return ""
        with cluster.connect(options="") as session:
            values = {name: session.execute(f"SHOW {name}").fetchone()[0] for name in self.database}
        return " ".join(f"-c {name}=" + value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in values.items())


PLAIN = House("plain", only=SUITES)


def combined(name, houses, **more):
    """All of the houses in one."""
    houses = [house for house in houses if not house.alone]

    def merged(field):
        pairs = [pair for house in houses for pair in getattr(house, field).items()]
        values = {}
        for key, value in pairs:  # of libraries all, of anything else the last
            values[key] = f"{values[key]},{value}" if key in values and key.endswith("_libraries") else value
        return values

    def joined(field):
        return "; ".join(filter(None, (getattr(house, field) for house in houses)))

    dicts = {field: merged(field) for field in ("database", "sessions", "server")}
    without = tuple(test for house in houses for test in house.without)
    return House(name, **dicts, without=without, before=joined("before"), after=joined("after"), guests=tuple(guest for house in houses for guest in house.guests), **more)


class Steps:
    """Moves the clock of a server through its steps until the block ends."""

    def __init__(self, cluster):
        self.cluster, self.stop = cluster, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for seconds in itertools.cycle(self.cluster.house.clock):
            self.cluster.clock.set(seconds)
            if self.stop.wait(STEP_SECONDS):
                return

    def __enter__(self):
        if len(self.cluster.house.clock) > 1:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()


class Guests:
    """Sessions of guests: they come once the extension is there, and stay until the block ends. They start no worker."""

    def __init__(self, cluster, database):
        self.cluster, self.database = cluster, database
        self.stop, self.failure = threading.Event(), None
        self.there = 0  # guests whose statements are done
        guests = cluster.house.guests if cluster.house else ()
        self.threads = [threading.Thread(target=self.run, args=(guest,), daemon=True) for guest in guests]

    def run(self, guest):
        try:
            with self.cluster.connect(self.database) as session:
                while not session.execute("SELECT 1 FROM pg_extension WHERE extname = 'vote_agg'").fetchone():
                    if self.stop.wait(0.05):
                        return
                session.execute("LOAD 'vote_agg'")
                # Some tests fold themselves and count the rows: a worker would take some of them.
                session.execute("SET vote_agg.worker = off")
                for statement in guest.split(";;"):
                    session.execute(statement)
                self.there += 1
                self.stop.wait()
                session.execute("ROLLBACK")
        except psycopg.OperationalError:
            pass  # the server went down in a crash that a proof made
        except psycopg.Error as error:
            self.failure = error

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def are_there(self):
        """Whether all have done what they do, or one has failed."""
        return self.failure is not None or self.there == len(self.threads)

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()
        assert self.failure is None, self.failure
