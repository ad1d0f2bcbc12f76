"""How long a vote through the door takes, and what the door takes of the machine."""

import bisect
import json
import pathlib
import random
import threading
import time

from bench.doors import Voters, build, door, new_match
from bench.load import percentile, say
from bench.relays import Crowd, private_memory, relay, steady
from bench.result import Result, median, ratios
from bench.rows_door import LIST, TOKENS, ours, vote
from bench.rows_fold import FOLD_INTERVAL
from bench.rows_relay import CLIENTS, probe

CELL = 0x872A1072BFFFFFF
ONE = f"""\\set voter random(1, {10**15})
SELECT element, outcome FROM cast_votes(ARRAY['MATCH'], ARRAY[:voter::text], ARRAY['home'], ARRAY[{CELL}::bigint], ARRAY['FR'], ARRAY[1::bigint]);
"""
ALONE = f"""\\set voter random(1, {10**15})
SELECT cast_vote('MATCH', :voter::text, 'home', {CELL}::bigint, 'FR');
"""


def door_half(bench):
    """From the time at which a vote is due to its acknowledgement, at half of the votes/s that the same door takes at most."""
    build()
    waits = []
    with Voters() as voters:
        voters("sign", count=TOKENS * bench.seconds)
        for _ in range(bench.rounds):
            bench.worker(True)
            rate = ours(bench, voters, "door") / 2
            bench.drain()
            with door(bench) as process:
                run = vote(bench, voters, process.port, "door", rate=rate)
            bench.drain()
            waits.append(run)
            say(f"  {rate:,.0f} votes/s: p50 {run['p50']:.1f} ms, p99 {run['p99']:.1f} ms")
    return [
        Result(f"votes through the door at half load, HTTP: acknowledged after, {name}", [run[name] for run in waits], ("≤", bound), unit=" ms")
        for name, bound in (("p50", 5), ("p99", 30))
    ]


def door_lone(bench):
    """One voter after the other, no other load: the door against a session that calls the same function."""
    build()
    with Voters() as voters, door(bench) as process:

        def direct(script):
            return 1000 / bench.pgbench([script.replace("MATCH", new_match(bench))], clients=1).tps

        def through():
            bench.sql("CHECKPOINT")
            run = vote(bench, voters, process.port, "door", connections=1)
            return run["seconds"] * 1000 / run["counted"]

        voters("sign", count=2_000 * bench.seconds)
        through()  # it connects with the first vote
        ways = {"door": through, "direct": lambda: direct(ONE), "cast_vote": lambda: direct(ALONE)}
        took = {name: [] for name in ways}
        for order in bench.order(ways):
            for name in order:
                bench.worker(True)
                took[name].append(ways[name]())
                bench.drain()
        mid = {name: f"{median(values):.3f}" for name, values in took.items()}
        say(f"  milliseconds: {mid}")
    return [
        Result(
            "one lone voter through the door against a direct call of cast_votes, prepared",
            ratios(took["door"], took["direct"]),
            ("≤", 1.5),
            f"{mid['door']} against {mid['direct']} ms; cast_vote, prepared: {mid['cast_vote']} ms",
        )
    ]


def door_notify(bench):
    """From a commit to its notification, among 100 votes a second."""
    bench.worker(True)
    match, heard = new_match(bench), []
    listener = bench.connect()
    listener.execute("LISTEN vote_agg")

    def listen():
        for notify in listener.notifies():
            now = time.perf_counter()
            if notify.payload == "enough":
                return
            body = json.loads(notify.payload)
            if body["match"] == match:
                heard.append((body["stats"]["votes"].get("probe", 0), now))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    waits = []
    for _ in range(bench.rounds):
        voters, committed, before = steady(bench, match, bench.seconds + 1, 100), [], sum(map(len, waits))
        with bench.connect() as voter:
            deadline = time.monotonic() + bench.seconds
            while time.monotonic() < deadline:
                voter.execute("SELECT record_vote(%s, 'probe')", (match,))
                committed.append(time.perf_counter())
                time.sleep(random.uniform(0.02, 0.15))  # in no step with the folds
        voters.finish()
        time.sleep(0.5)
        of = [heard[bisect.bisect_left(heard, (n, 0))][1] for n in range(before + 1, before + len(committed) + 1)]
        waits.append([(arrival - at) * 1000 for arrival, at in zip(of, committed, strict=True)])
    bench.sql("SELECT pg_notify('vote_agg', 'enough')")
    listening.join()
    listener.close()
    longest = max(max(of) for of in waits)
    return [
        Result(
            "commit to NOTIFY received among 100 votes/s, p50",
            [percentile(of, 0.5) for of in waits],
            ("≤", 15),
            f"p99 {median([percentile(of, 0.99) for of in waits]):.0f} ms, longest {longest:.0f} ms",
            " ms",
        )
    ]


def door_sockets(bench):
    """From a commit to 1,500 sockets, a vote a second; then what the relay and the worker take while nobody votes or listens."""
    build()
    bench.worker(True)
    waits, idle = [], []
    for _ in range(bench.rounds):
        match = new_match(bench)
        bench.drain()
        with relay(bench) as server:
            with Crowd(server) as crowd:
                crowd.open(CLIENTS)
                crowd.join(match, bundle=True)
                waits.append(probe(bench, crowd, match, max(10, bench.seconds), pause=(0.6, 1.4)))
            time.sleep(15)  # the relay looks after connections that left it for another ten seconds
            pids, began = (server.process.pid, bench.worker_pid()), time.monotonic()
            before = sum(map(exact_cpu, pids))
            time.sleep(max(10, bench.seconds))
            idle.append((sum(map(exact_cpu, pids)) - before) / (time.monotonic() - began) * 100)
        say(f"  p50 {percentile(waits[-1], 0.5):.1f} ms, p99 {percentile(waits[-1], 0.99):.1f} ms; idle {idle[-1]:.3f} % of a core")
    return [
        *(
            Result(f"a vote a second: commit to each of {CLIENTS:,} sockets, {name}", [percentile(of, share) for of in waits], ("≤", bound), unit=" ms")
            for name, share, bound in (("p50", 0.5, 30), ("p99", 0.99, 60))
        ),
        Result("processor time of relay and worker while nobody votes or listens, of a core", idle, ("≤", 0.1), unit=" %"),
    ]


def exact_cpu(pid):
    """Seconds of processor time that a process has used, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


SOCKETS, ADDRESSES = 16_000, 250


def door_memory(bench):
    """Memory of voters' sockets, all of which vote, and what the relay takes beside them."""
    build()
    bench.worker(True)
    each, beside = [], []
    for _ in range(bench.rounds):
        match = new_match(bench)
        with door(bench, max_votes_per_voter=5) as process, Voters() as voters:
            before = private_memory(process.process.pid)
            voters.open(process.port, "fan", match, connections=SOCKETS, addresses=ADDRESSES)
            voters.vote(max(10, bench.seconds), rate=SOCKETS / 5)
            high = high_memory(process.process.pid)
            time.sleep(3)
            after = private_memory(process.process.pid)
            each.append((after - before) / SOCKETS / 1e3)
            beside.append((high - (after - before)) / 1e6)
        bench.drain()
        say(f"  {each[-1]:.1f} KB a socket, {beside[-1]:.0f} MB beside them")
    return [
        Result(f"{SOCKETS:,} voters' sockets that have voted: memory of each", each, ("≤", 24), unit=" KB"),
        Result("memory of the relay beside them, at most", beside, ("≤", 200), unit=" MB"),
    ]


def high_memory(pid):
    """The most bytes that a process has had resident."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


MANY, FOLLOWERS = 50_000, 300


def door_map(bench):
    """Followers of a match with the map's wish, while votes come in through the door."""
    build()
    waits, paces = [], []
    with Voters() as voters:
        for _ in range(bench.rounds):
            bench.worker(True)
            match = new_match(bench)
            with door(bench, auth="optional") as process, Crowd(process) as crowd:
                crowd.open(FOLLOWERS)
                crowd.join(match, bundle=True, parts=["cells", "countries", "flips"], resolution=3)
                voters.open(process.port, "list", match, connections=32, size=LIST)
                voting = threading.Thread(target=lambda: paces.append(voters.vote(bench.seconds + 2, rate=MANY / LIST)))
                voting.start()
                time.sleep(1)
                waits.append(probe(bench, crowd, match, bench.seconds))
                voting.join()
            bench.drain()
            say(f"  {paces[-1]['counted'] / paces[-1]['seconds']:,.0f} votes/s: p99 {percentile(waits[-1], 0.99):.0f} ms")
    came = median([run["counted"] / run["seconds"] for run in paces])
    return [
        Result(
            f"{FOLLOWERS} followers of a map while {MANY:,} votes/s come in: commit to each, p99 against fold_interval",
            [percentile(of, 0.99) / FOLD_INTERVAL for of in waits],
            ("≤", 3),
            f"{came:,.0f} votes/s came in; p50 {median([percentile(of, 0.5) for of in waits]):.0f} ms",
        )
    ]
