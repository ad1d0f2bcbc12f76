#!/usr/bin/python3
"""A private PostgreSQL cluster: its own folder, its own Unix socket, no TCP, run as the user postgres when called by root.

As a module: `with Cluster() as cluster: cluster.connect()`. As a command: `testkit/cluster.py up DIR | down DIR | psql DIR`,
or `testkit/cluster.py run -- COMMAND…` for a cluster that lasts as long as the command and is its PGHOST.
"""

import argparse
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psycopg

PG_CONFIG = os.environ.get("PG_CONFIG") or "/usr/lib/postgresql/15/bin/pg_config"
BIN = pathlib.Path(subprocess.check_output([PG_CONFIG, "--bindir"], text=True).strip())
SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",  # a killed server needs no fsync; benchmarks turn it on
    "max_prepared_transactions": 64,
    "max_connections": 200,
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "log_line_prefix": "'%m [%p] %b %d '",
    "unix_socket_permissions": "0777",
    "lc_messages": "'C'",
}
PORT = 5432  # names the socket file; with listen_addresses, also the TCP port


def as_postgres():
    """Arguments for subprocess that drop root's rights, which the server refuses, and backtraces, which would be in every error."""
    drop = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    return {"env": {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}, **drop}


class Cluster:
    """A cluster in `path` (default: a new folder under /tmp, removed at the end). `settings` are added to postgresql.conf.

    `house` (testkit.house) is what surrounds the extension in it.
    """

    def __init__(self, path=None, house=None, **settings):
        self.is_temporary, self.house, self.options = path is None, house, ""
        if house:
            settings = {**settings, **{name: f"'{value}'" for name, value in house.server.items()}}
        self.path = pathlib.Path(path or tempfile.mkdtemp(prefix="vote_agg."))
        self.path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.path, user.pw_uid, user.pw_gid)
            os.chmod(self.path, 0o755)
        self.data = self.path / "data"
        self.log = self.path / "server.log"
        if not self.data.exists():
            self.run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            self.configure(**SETTINGS)
        self.port = settings.setdefault("port", PORT)
        self.configure(unix_socket_directories=f"'{self.path}'", **settings)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop("immediate")
        if self.is_temporary and not os.environ.get("KEEP_CLUSTERS"):
            shutil.rmtree(self.path, ignore_errors=True)

    def run(self, program, *args, check=True, environment=None, **options):
        """Runs one of PostgreSQL's programs as postgres; its output is shown only when it fails."""
        options = {**as_postgres(), **options}
        options["env"].update(environment or {})
        done = subprocess.run(
            [BIN / program, *map(str, args)], cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed ({done.returncode}): {done.stdout}\n{self.log_tail()}")
        return done.stdout

    def configure(self, **settings):
        """Adds lines to postgresql.conf; they take effect at the next start (or reload, where PostgreSQL allows)."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self):
        # The log goes to a file: a pipe would keep pg_ctl's caller waiting for the server's end.
        environment = self.house.environment(self) if self.house else {}
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "120", "start", environment=environment)
        self.options = self.house.options(self) if self.house else ""
        return self

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "120", "stop", check=False)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def reload(self):
        self.run("pg_ctl", "-D", self.data, "reload")

    def postmaster(self):
        """The process id of the running postmaster."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def processes(self):
        """The process ids of the postmaster and its children."""
        pid = self.postmaster()
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        return [pid, *map(int, children)]

    @contextlib.contextmanager
    def silence(self):
        """Until the block ends nothing of it runs: who is connected, or connects, hears neither an answer nor an end."""
        stopped = []
        try:
            # The postmaster first: it starts no other child then.
            for pid in self.processes():
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill(self):
        """SIGKILL to the postmaster, then waits until its children have noticed and gone."""
        # Stopped first: it starts no other child then.
        os.kill(self.postmaster(), signal.SIGSTOP)
        pid, *children = self.processes()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not all(has_ended(p) for p in [pid, *children]):
            if time.monotonic() > deadline:
                for child in children:
                    try:
                        os.kill(child, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            time.sleep(0.02)
        # Where nobody reaps orphans, the dead postmaster stays as a zombie that the next one would take for alive.
        for lock in (self.data / "postmaster.pid", self.path / f".s.PGSQL.{self.port}.lock"):
            lock.unlink(missing_ok=True)

    def dsn(self, dbname="postgres", user="postgres"):
        return f"host={self.path} port={self.port} dbname={dbname} user={user}"

    def connect(self, dbname="postgres", user="postgres", **options):
        """A session, in autocommit mode unless told otherwise."""
        options["options"] = f"{self.options} {options.get('options', '')}".strip()
        return psycopg.connect(self.dsn(dbname, user), **{"autocommit": True, **options})

    def sql(self, query, *params, dbname="postgres"):
        """Runs one statement in a session of its own; returns its rows, if any."""
        with self.connect(dbname) as session:
            done = session.execute(query, params or None)
            return done.fetchall() if done.description else []

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines=20):
        return "\n".join(self.log_text().splitlines()[-lines:])


def has_ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone, or going while it is read
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "psql", "run"])
    parser.add_argument("dir", help="the cluster's folder; for run: the command")
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="for up: lines of postgresql.conf; for psql: its arguments")
    args = parser.parse_args()
    if args.action == "run":
        with Cluster() as cluster:
            environment = {**os.environ, "PGHOST": str(cluster.path), "PGPORT": str(PORT), "PGUSER": "postgres"}
            return subprocess.run([args.dir, *args.settings], env=environment, check=False).returncode
    path = pathlib.Path(args.dir).absolute()
    if args.action == "up":
        cluster = Cluster(path, **dict(s.split("=", 1) for s in args.settings)).start()
        print(f"export PGHOST={cluster.path} PGPORT={cluster.port} PGUSER=postgres")
    elif args.action == "down":
        Cluster(path).stop("immediate")
        shutil.rmtree(path, ignore_errors=True)
    else:
        os.execv(BIN / "psql", ["psql", "-h", str(path), "-p", str(PORT), "-U", "postgres", *args.settings])


if __name__ == "__main__":
    sys.exit(main())
