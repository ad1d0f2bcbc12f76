"""Servers, relays and pullers of a demonstration: started, and put away whatever ends it."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from testkit.cluster import Cluster
from testkit.rig import BINARY

ROOT = pathlib.Path(__file__).parent.parent
MAP = ROOT / "client" / "map" / "dist"
PATIENCE = 30  # seconds for what takes a fraction of one
ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def ignore_endings():
    """From here on things are put away: an impatient second Ctrl-C would leave some of them behind."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def end(number, _):
    ignore_endings()
    sys.exit(128 + number)


def heed_endings():
    """A signal ends the demonstration as an error would: what was started is put away."""
    sys.stdout.reconfigure(errors="replace")  # a terminal without bars still shows numbers
    for number in ENDINGS:
        signal.signal(number, end)


def seconds_to_run():
    try:
        seconds = float(os.environ.get("DEMO_SECONDS") or 20)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        sys.exit(f"DEMO_SECONDS is {os.environ['DEMO_SECONDS']!r}: give a number of seconds above 0")
    return seconds


def stays():
    """Does it go on serving after the proof? A person at a terminal says when it is enough; DEMO_SECONDS has said so, and CI does not care."""
    return sys.stdin.isatty() and not (os.environ.get("DEMO_SECONDS") or os.environ.get("CI"))


@contextlib.contextmanager
def private_clusters(*names):
    """Servers that flush every commit to disk, gone at the end whatever happens, a Ctrl-C while they start included."""
    with tempfile.TemporaryDirectory(prefix="vote_agg.demo.") as folder:
        os.chmod(folder, 0o755)  # the servers' user has folders of its own in it
        clusters = []

        def start(name):
            clusters.append(Cluster(pathlib.Path(folder) / name, fsync="on"))
            return clusters[-1].start()

        try:
            with ThreadPoolExecutor(len(names)) as pool:
                started = list(pool.map(start, names))
            yield started
        finally:
            ignore_endings()
            for cluster in clusters:
                cluster.stop("immediate")


@contextlib.contextmanager
def relay(cluster, *flags):
    """A relay beside the server, on its usual port where that is free. Yields its address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 3001))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    map_of = [f"--map-dir={MAP}"] if MAP.exists() else []
    command = [BINARY, "--host", "127.0.0.1", "--port", str(port), "--database-url", cluster.dsn(user="viewer"), *map_of, *flags]
    log = pathlib.Path(cluster.path) / "relay.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, "RUST_LOG": "warn"})
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PATIENCE
        while not is_ready(address):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(log.read_text(errors="replace"))
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def is_ready(address):
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=5):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


def wait_for_farewell(text):
    """Leaves everything up for a look by hand, until somebody says that it is enough."""
    print(text)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        input()
