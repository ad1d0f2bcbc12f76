"""Many nodes: through the front, more shards, and what the root takes."""

import bisect
import itertools
import json
import random
import threading
import time

from bench.load import cpu_seconds, our_votes, percentile, say
from bench.nodes import CLIENTS, Nodes, cpu_of
from bench.result import Result, median, ratios
from bench.rows_ballot import CAST, scripts
from bench.rows_fold import FOLD_INTERVAL

SESSIONS = 8  # a shard
SLOW = {"commit_delay": 2000, "commit_siblings": 0}  # microseconds more a flush: the sleep stands in for the disk
SHARDS = 4


def front(bench):
    """Single calls and ballots of one match on two shards, through the front and straight to the shards, whose flushes are real."""
    runs = itertools.count()
    tps = {name: [] for name in ("calls direct", "calls", "ballots direct", "ballots")}
    with Nodes(2, has_front=True) as nodes:
        nodes.open_apart("direct")
        nodes.front.sql("SELECT open_match('spread', '{home,away}', spread => true)")

        def measure(name):
            match = "direct" if name.endswith("direct") else "spread"
            # Each run has voters of its own, so that each ballot is a first one.
            cast = CAST.replace("'-'", f"'-{next(runs)}-'")
            script = our_votes(match) if name.startswith("calls") else scripts(cast, match, 10**15)
            where = nodes.shards if match == "direct" else [nodes.front]
            found = nodes.votes(where, script, CLIENTS // len(where), bench.seconds)
            nodes.drain()
            return found

        for order in bench.order(tps):
            for name in order:
                tps[name].append(measure(name))
                say(f"  {name}: {tps[name][-1]:,.0f} votes/s")
    return [
        Result(
            f"{text} of one match on 2 shards, through the front against straight to the shards",
            ratios(tps[kind], tps[f"{kind} direct"]),
            ("≥", least),
            f"{median(tps[kind]):,.0f} against {median(tps[f'{kind} direct']):,.0f} votes/s, {CLIENTS} sessions",
        )
        for kind, text, least in (("calls", "record_vote", 0.5), ("ballots", "cast_vote", 0.4))
    ]


def scaling(bench):
    """One match on 1, 2 and 4 shards where the disks are the limit, straight to the shards, with a root that follows all of them."""
    counts = (1, 2, SHARDS)
    tps, cpu, roots = ({n: [] for n in counts} for _ in range(3))
    with Nodes(SHARDS, is_followed=True, **SLOW) as nodes:
        nodes.open_apart("hot")
        nodes.open_apart("probe")
        for order in bench.order(counts):
            for n in order:
                before = usage(nodes)
                tps[n].append(nodes.votes(nodes.shards[:n], our_votes("hot"), SESSIONS, bench.seconds))
                nodes.drain()
                of_shards, of_root = (now - then for now, then in zip(usage(nodes), before))
                cpu[n].append(of_shards / (tps[n][-1] * bench.seconds) * 1e6)
                roots[n].append(of_root / of_shards)
                say(f"  {n} shards: {tps[n][-1]:,.0f} votes/s, {cpu[n][-1]:.0f} µs a vote, the root {roots[n][-1]:.3f} of the shards")
        waits, rate = probed(bench, nodes, median(tps[SHARDS]) / 2)
    about = f"{len(waits):,} probes at {rate:,.0f} votes/s on {SHARDS} shards, fold_interval {FOLD_INTERVAL} ms, longest {max(waits):.0f} ms"
    limit = f"with {SESSIONS} sessions a shard, a flush 2 ms slower"
    return [
        Result(f"record_vote of one match on 2 shards against 1, {limit}", ratios(tps[2], tps[1]), ("≥", 1.8), f"{median(tps[2]):,.0f} against {median(tps[1]):,.0f} votes/s"),
        Result("the same on 4 shards", ratios(tps[4], tps[1]), ("≥", 3.4), f"{median(tps[4]):,.0f} votes/s"),
        Result("the same, processor time of the shards a vote, 4 against 1", ratios(cpu[4], cpu[1]), ("≤", 1.1), f"{median(cpu[4]):.0f} against {median(cpu[1]):.0f} µs"),
        Result("processor time of root and puller against that of 4 shards", roots[4], ("≤", 0.1), f"{median(roots[1]):.3f} at 1, {median(roots[2]):.3f} at 2"),
        Result("commit on a shard to NOTIFY received from the root, half load, p50 against fold_interval", [percentile(waits, 0.5) / FOLD_INTERVAL], ("≤", 2), about),
        Result("the same, p99", [percentile(waits, 0.99) / FOLD_INTERVAL], ("≤", 4)),
    ]


def usage(nodes):
    """Processor time of the shards, and of the root with its puller, so far."""
    return sum(cpu_of(shard) for shard in nodes.shards), cpu_of(nodes.root) + cpu_seconds(nodes.puller.process.pid)


def probed(bench, nodes, rate):
    """Milliseconds from the commit of each probe on any shard to the notification of the root, and the votes a second beside them."""
    listener, heard = nodes.root.connect(), []
    listener.execute("LISTEN vote_agg")

    def listen():
        for notify in listener.notifies():
            now = time.perf_counter()
            if notify.payload == "enough":
                return
            if '"probe"' in notify.payload:
                heard.append((json.loads(notify.payload)["stats"]["total"], now))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    length = bench.rounds * bench.seconds
    load = [nodes.start(shard, our_votes("hot"), clients=SESSIONS, seconds=length + 2, rate=max(1, rate / SHARDS)) for shard in nodes.shards]
    voters, committed = [shard.connect() for shard in nodes.shards], []
    deadline = time.monotonic() + length
    while time.monotonic() < deadline:
        random.choice(voters).execute("SELECT record_vote('probe', 'home')")
        committed.append(time.perf_counter())
        # One at a time: the total tells which has arrived. In no step with folds and pulls.
        until = time.monotonic() + 30
        while not (heard and heard[-1][0] >= len(committed)):
            if time.monotonic() > until:
                raise RuntimeError(f"the root has not told of probe {len(committed)} in 30 s")
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.1))
    found = sum(run.finish().tps for run in load)
    nodes.root.sql("SELECT pg_notify('vote_agg', 'enough')")
    listening.join()
    for session in (listener, *voters):
        session.close()
    return [(heard[bisect.bisect_left(heard, (n, 0))][1] - at) * 1000 for n, at in enumerate(committed, 1)], found
