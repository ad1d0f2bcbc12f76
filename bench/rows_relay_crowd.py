"""What one hostile address, and a relay that ends, cost everybody else."""

import concurrent.futures
import contextlib
import json
import subprocess
import time

from bench.load import percentile, say
from bench.relays import HOSTILE, Crowd, build, private_memory, relay, rig, seq_of
from bench.result import Result, median, ratios
from bench.rows_relay import probe

OTHERS = 500
SOCKETS, REQUESTS = 2_000, 200  # of the hostile address
STRICT = {"max_clients_per_ip": 2_000, "max_requests": 1_000}  # the relay's own defaults
# Votes in 1,372 cells: the hostile address asks for them in ways that nobody has asked for.
CELLS = "SELECT bulk_increment(%s, array_agg(bench.team(n)), array_agg(bench.cell(n))) FROM generate_series(0, 1371) AS n"


@contextlib.contextmanager
def refuser():
    """A listener that only refuses: its port."""
    with subprocess.Popen([HOSTILE, "refuse"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def relay_hostile(bench):
    """A hostile address at the relay, and the same at a listener that refuses everything: what the others see of it."""
    build()
    bench.worker(True)
    match = "hostile"
    bench.sql(CELLS, match)
    bench.drain()

    def measure(is_at_relay):
        with relay(bench, **STRICT) as server, Crowd(server) as crowd, refuser() as refusing:
            crowd.open(OTHERS)
            crowd.join(match, bundle=True, resolution=3)
            before = private_memory(server.process.pid)
            port, seconds = (server.port if is_at_relay else refusing), bench.seconds + 10
            attack = [HOSTILE, "attack", str(port), "127.0.0.66", str(SOCKETS), str(REQUESTS), str(seconds), match]
            with subprocess.Popen(attack, stdout=subprocess.PIPE, text=True) as hostile:
                time.sleep(5)
                waits = probe(bench, crowd, match, bench.seconds)
                grown = (private_memory(server.process.pid) - before) / 1e6
                came = json.loads(hostile.communicate()[0])
            bench.drain()
            crowd.assert_all_know(seq_of(bench, match))
        p99 = percentile(waits, 0.99)
        say(f"  at the {'relay' if is_at_relay else 'refuser'}: p99 {p99:.0f} ms, {grown:.0f} MB more; {came}")
        return p99, grown

    found = {True: [], False: []}
    for order in bench.order(found):
        for is_at_relay in order:
            found[is_at_relay].append(measure(is_at_relay))
    p99 = {name: [wait for wait, _ in of] for name, of in found.items()}
    return [
        Result(
            f"one hostile address, {SOCKETS:,} sockets and {REQUESTS} requests at a time: p99 of {OTHERS} others against its attack on a listener that only refuses",
            ratios(p99[True], p99[False]),
            ("≤", 1.5),
            f"{median(p99[True]):.0f} against {median(p99[False]):.0f} ms",
        ),
        Result("memory of the relay that this takes", [grown for _, grown in found[True]], ("≤", 300), unit=" MB"),
    ]


CROWD = 8_000  # at each of two relays
PAUSE = (0.6, 1.4)  # between votes: each fold goes to all of them


def relay_return(bench):
    """16,000 clients at two relays, one of which ends: until those of it are right again, and what those of the other one feel."""
    build()
    bench.worker(True)
    results = []
    for name, end in (("stopped", rig.Relay.stop), ("killed", rig.Relay.kill)):
        results += returns(bench, name, end)
    return results


def returns(bench, name, end):
    match = f"relay {name}"
    bench.sql("SELECT record_vote(%s, 'home')", match)
    bench.drain()
    with relay(bench) as ending, relay(bench) as staying, Crowd(ending) as moving, Crowd(staying) as others:
        for crowd, other in ((moving, staying), (others, ending)):
            crowd.open(CROWD, others=[other.port], addresses=250)
            crowd.join(match, bundle=True)
        before = percentile(probe(bench, others, match, max(20, bench.seconds), pause=PAUSE), 0.99)
        window = moving("window")["milliseconds"] / 1e3
        reads = staying.metric("vote_relay_reads_total")

        def are_right():
            wanted, counts = seq_of(bench, match), moving.counts()
            return counts["connected"] == CROWD and all(int(seq) >= wanted for seq in counts["heads"])

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            probing = pool.submit(probe, bench, others, match, max(30, bench.seconds), pause=PAUSE)
            time.sleep(2)
            began = time.monotonic()
            end(ending)
            ended = time.monotonic()
            rig.eventually("they are right again", are_right)
            seconds = time.monotonic() - began
            reads = staying.metric("vote_relay_reads_total") - reads
            during = percentile(probing.result(), 0.99)
        counts = moving.counts()
        assert counts["gaps"] == 0 == others.counts()["returns"], counts
        say(f"  {name}: right after {seconds:.1f} s, ended after {ended - began:.1f}, window {window:.1f}; p99 {before:.0f}, then {during:.0f} ms; {counts}")
    return [
        Result(f"{2 * CROWD:,} clients at two relays, one {name}: its {CROWD:,} are right again, beyond their window, after", [seconds - window], ("≤", 10), unit=" s"),
        Result("reads of the database for that", [reads], ("≤", 10)),
        Result("p99 of those who stayed, against before", [during / before], ("≤", 1.5), f"{during:.0f} against {before:.0f} ms"),
    ]
