"""What the relay's tests share: relays, swarms of clients, a proxy that misbehaves, and the comparison with SQL."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import psycopg

from testkit.harness import fold

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARY = pathlib.Path(os.environ.get("RELAY") or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "vote-agg-relay")
PATIENCE = float(os.environ.get("RIG_PATIENCE", 180))


def eventually(what, condition, patience=PATIENCE):
    """Polls until `condition()` is true and returns what it returned."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen in {patience} s: {what}"
        time.sleep(0.02)
    return value


PORTS = range(20_000, 32_000)
given = set()


def free_port():
    """Below those that the system gives to outgoing connections: one of these could have it before the server does.

    Who asks binds it later. So none is given twice, and processes that share the tests (pytest-xdist) have ports of their own.
    """
    number, count = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    while True:
        port = random.SystemRandom().choice(PORTS[number::count])
        if port in given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            given.add(port)
            return port


def get(url, **headers):
    """Status, headers and body of an HTTP answer."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, dict(answer.headers), answer.read()


# Flags of a relay that waits for clients that are held up: none of them is behind, and gets a snapshot in place of updates.
UNHURRIED = {"client_buffer": 1_024, "slow_timeout": 600}


class Relay:
    """A relay as a process of its own. Flags are keyword arguments."""

    def __init__(self, dsn, log, port=None, **flags):
        self.dsn, self.log, self.flags = dsn, pathlib.Path(log), flags
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def command(self):
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self.flags.items()]
        return [BINARY, "--host=127.0.0.1", f"--port={self.port}", "--log-format=json", *flags]

    def environment(self):
        return {"DATABASE_URL": self.dsn, "RUST_LOG": os.environ.get("RUST_LOG", "info")}

    def start(self, is_ready=True):
        environment = {"PATH": os.environ["PATH"], **self.environment()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), env=environment, stdout=log, stderr=log)
        eventually("the relay serves", lambda: self.is_up() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        if is_ready:
            eventually("the relay follows the feed", lambda: get(f"{self.url}/ready")[0] == 200)
        return self

    def is_up(self):
        try:
            return get(f"{self.url}/health")[0] == 200
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; returns the seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE)
        return time.monotonic() - began

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()

    def metric(self, name):
        text = get(f"{self.url}/metrics")[2].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)

    def cpu(self):
        """Seconds of processor time used so far, to the nanosecond: other counters go by ticks of 10 ms."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self):
        """Bytes resident."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def logged(self):
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


class Swarm:
    """A process of many clients, by default official Socket.IO ones."""

    def __init__(self, *command):
        command = command or ("node", ROOT / "relay" / "e2e" / "swarm.mjs")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, command, **options):
        self.process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the swarm has died"
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer["answer"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Proxy:
    """Between relay and database: lets through, delays, stalls, or cuts."""

    def __init__(self, target):
        self.target = target  # a port on this machine, or the path of a Unix socket
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs, self.delay, self.is_flowing = [], 0, threading.Event()
        self.is_flowing.set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    if isinstance(self.target, int):
                        server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                        server.settimeout(None)
                    else:
                        server = socket.socket(socket.AF_UNIX)
                        server.connect(str(self.target))
                except OSError:
                    client.close()
                    continue
                self.pairs.append((client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.is_flowing.wait()
                time.sleep(self.delay)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stall(self):
        self.is_flowing.clear()

    def flow(self):
        self.is_flowing.set()

    def close(self):
        self.flow()
        self.listener.close()
        self.cut()


CITIES = [line.split("\t") for line in (ROOT / "fixtures" / "cities.tsv").read_text(encoding="utf-8").splitlines()]
CELLS = [(row[CITIES[0].index("h3_index")], row[CITIES[0].index("country_code")]) for row in CITIES[1:]]


# Votes in over 2,000 of 4,802 cells: a fold of these has more changed cells than a message holds.
CROWDED = """SELECT 608725921037287423 + mod(i, 7) * (1::bigint << 36) + mod(i / 7, 7) * (1::bigint << 33)
    + mod(i / 49, 7) * (1::bigint << 30) + mod(i / 343, 7) * (1::bigint << 27) + i / 2401 * (1::bigint << 24) AS cell
    FROM generate_series(0, 4801) i"""
CROWD = f"""SELECT bulk_increment(%s, array_agg(CASE WHEN random() < 0.5 THEN 'home' ELSE 'away' END), array_agg(cell),
    array_agg(CASE WHEN random() < 0.5 THEN 'FR' ELSE 'DE' END)) FROM ({CROWDED}) c WHERE random() < 0.6"""


class Voters:
    """Votes from threads until the block ends, a crowd's now and then; the server may go away and come back meanwhile."""

    def __init__(self, connect, matches, threads=2, pause=0.01, cells=400, seed=0, crowded=()):
        self.connect, self.matches, self.pause, self.cells, self.crowded = connect, matches, pause, cells, crowded
        self.stop = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.vote, args=(random.Random(seed * 1000 + n),), daemon=True) for n in range(threads)]

    def vote(self, rng):
        while not self.stop.is_set():
            try:
                with self.connect() as session:
                    while not self.stop.is_set():
                        cell, country = rng.choice(CELLS[: self.cells])
                        team = rng.choice(["home", "away", "third"])
                        where = rng.choice([(cell, country), (cell, None), (None, country), (None, None)])
                        session.execute("SELECT record_vote(%s, %s, %s::text, %s, %s)", (rng.choice(self.matches), team, *where, rng.randint(1, 5)))
                        if self.crowded and rng.random() < 0.02:
                            session.execute(CROWD, (rng.choice(self.crowded),))
                        time.sleep(self.pause)
            except psycopg.OperationalError:
                time.sleep(0.1)
            except psycopg.Error as error:
                self.failures.append(error)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not self.failures, self.failures


def truth(session, match_id, resolution):
    """What SQL says, in the form that a client keeps."""
    text = session.execute("SELECT get_match_snapshot(%s, %s)", (match_id, resolution)).fetchone()[0]
    return {
        "seq": text["seq"], "epoch": text["epoch"],
        "total": text["stats"]["total"], "votes": text["stats"]["votes"], "leader": text["stats"]["leader"],
        "cells": dict(map(tuple_of, text["cells"])), "countries": dict(map(tuple_of, text["countries"])),
    }


def within(session, cells, area):
    """Those of the cells that are one of the area's, lie in one, or hold one, as SQL has parents; all of them without an area."""
    if area is None:
        return cells
    found = session.execute(
        """SELECT DISTINCT c FROM unnest(%s::text[]) c, unnest(%s::text[]) a,
        LATERAL (SELECT least(('x' || substr(c, 2, 1))::bit(4)::int, ('x' || substr(a, 2, 1))::bit(4)::int)) r(least)
        WHERE h3_parent(c, r.least) = h3_parent(a, r.least)""",
        (list(cells), list(area)),
    )
    return {cell: cells[cell] for (cell,) in found}


def tuple_of(pair):
    return pair[0], tuple(sorted(pair[1].items()))


def known(report):
    """The same of a client's report."""
    state = report["state"]
    return state and {
        "seq": state["seq"], "epoch": state["epoch"],
        "total": state["stats"]["total"], "votes": state["stats"]["votes"], "leader": state["stats"]["leader"],
        "cells": dict(map(tuple_of, state["cells"])), "countries": dict(map(tuple_of, state["countries"])),
    }


def settle(connect):
    """Folds until nothing is pending."""

    def settled():
        with connect() as session:
            fold(session)
            return session.execute("SELECT coalesce(sum(rows), 0) FROM vote_agg.stat_pending").fetchone()[0] == 0

    eventually("nothing is pending", settled)


def assert_truth(connect, swarm, patience=PATIENCE):
    """Every client knows what SQL knows, and none has seen anything that cannot be right."""
    settle(connect)
    with connect() as session:
        return assert_knows(session, swarm, patience)


def assert_knows(session, swarm, patience=PATIENCE):
    """The same where nothing is pending any more."""
    names = {match_id for match_id, *_ in swarm("heads")}
    heads = {name: truth(session, name, None) for name in names}
    wanted = {name: [head["epoch"], head["seq"]] for name, head in heads.items()}

    def behind():
        heads = enumerate(swarm("heads"))
        return [(match_id, epoch, seq, f"client {n}") for n, (match_id, epoch, seq, _) in heads if [epoch, seq] != wanted[match_id]]

    deadline = time.monotonic() + patience
    while left := behind():
        assert time.monotonic() < deadline, f"{len(left)} clients are behind, such as {left[:3]}; wanted {wanted[left[0][0]]}"
        time.sleep(0.1)
    truths = {}
    reports = swarm("reports")
    for number, report in enumerate(reports):
        area = report["state"].get("area")
        key = report["matchId"], report["resolution"], area and tuple(area)
        if key not in truths:
            truths[key] = truth(session, *key[:2])
            truths[key]["cells"] = within(session, truths[key]["cells"], area)
        assert not report["faults"], (number, report["faults"][:5], report["counts"])
        found, expected = known(report), truths[key]
        wrong = [name for name in expected if found[name] != expected[name]]
        assert not wrong, (number, key, wrong, {name: (found[name], expected[name]) for name in wrong})
    return reports
