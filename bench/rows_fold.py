"""Folding, and how soon a listener hears of a vote."""

import bisect
import json
import random
import threading
import time

from bench.load import our_votes, percentile, say
from bench.result import Result, median, ratios

FOLD_INTERVAL = 100  # milliseconds, the default
# Each cell votes for one team only, so that both sides write the same number of rows: 160,000 less the countries.
VOTES = "bench.votes(1000000, 159900, true)"


def fold(bench):
    bench.worker(False)
    bench.clear_peers()
    bench.drain()

    def ours():
        bench.sql(f"SELECT count(record_vote('fold', team_choice, h3_index, country_code)) FROM {VOTES}")
        return bench.timed("SELECT vote_agg.fold()")

    def plain():
        bench.sql(f"INSERT INTO peer.pending SELECT 'fold', team_choice, h3_index, country_code, 1, now() FROM {VOTES}")
        return bench.timed("SELECT peer.fold()")

    ways = {"ours": ours, "plain": plain}
    seconds = {name: [] for name in ways}
    for run in ways.values():  # the first time only adds rows
        run()
    for order in bench.order(ways):
        bench.sql("VACUUM")
        for name in order:
            seconds[name].append(ways[name]())
            bench.drain()
    say("  " + ", ".join(f"{name}: {median(values):.2f} s" for name, values in seconds.items()))
    return [
        Result(
            "fold of 1,000,000 rows into 160,000 keys against plain SQL",
            ratios(seconds["plain"], seconds["ours"]),
            ("≥", 1.0),
            f"{median(seconds['ours']):.2f} against {median(seconds['plain']):.2f} s",
        ),
    ]


def latency(bench):
    """Probe votes go to a match of their own: the message that carries its n-th vote tells that vote n was heard of."""
    rate = bench.full_rate / 2
    bench.worker(True)
    heard = []  # (votes counted so far, when)
    listener = bench.connect()
    listener.execute("LISTEN vote_agg")

    def listen():
        for notify in listener.notifies():
            now = time.perf_counter()
            if notify.payload == "enough":
                return
            body = json.loads(notify.payload)
            if body["match"] == "probe":
                heard.append((body["stats"]["total"], now))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    bench.sql("CHECKPOINT")
    length = bench.rounds * bench.seconds
    voters = bench.start(our_votes("hot"), seconds=length + 2, rate=rate)
    committed = []
    with bench.connect() as voter:
        deadline = time.monotonic() + length
        while time.monotonic() < deadline:
            voter.execute("SELECT record_vote('probe', 'home')")
            committed.append(time.perf_counter())
            time.sleep(random.uniform(0.02, 0.15))  # in no step with the folds
    voters.finish()
    time.sleep(1)
    bench.sql("SELECT pg_notify('vote_agg', 'enough')")
    listening.join()
    listener.close()
    arrivals = [heard[bisect.bisect_left(heard, (n, 0))][1] for n in range(1, len(committed) + 1)]
    waits = [(arrival - at) * 1000 for arrival, at in zip(arrivals, committed, strict=True)]
    info = f"{len(waits):,} probes at {rate:,.0f} votes/s, fold_interval {FOLD_INTERVAL} ms, longest {max(waits):.0f} ms"
    say(f"  {info}")
    return [
        Result(
            "commit to NOTIFY received, half load, p50 against fold_interval",
            [percentile(waits, 0.5) / FOLD_INTERVAL],
            ("≤", 1),
            info,
        ),
        Result("the same, p99", [percentile(waits, 0.99) / FOLD_INTERVAL], ("≤", 3)),
    ]
