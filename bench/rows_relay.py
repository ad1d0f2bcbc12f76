"""The relay against a fan-out on the official Socket.IO server: many clients of one match."""

import bisect
import functools
import random
import time

from bench.load import percentile, say
from bench.relays import Bulk, Crowd, Usage, build, private_memory, relay, rig, seq_of, steady
from bench.result import Result, median, ratios
from bench.rows_fold import FOLD_INTERVAL

CLIENTS = 1_500
RATE = 300  # votes a second: some 30 cells and 2 KB a fold
SHOWN = {"bundle": True, "parts": ["cells", "countries", "flips"]}  # as our client asks
WAYS = {"bundle": ("ours", {"bundle": True}), "three": ("ours", {}), "node": ("node", {})}


def relay_cpu(bench):
    """Processor time to keep 1,500 clients up to date, a fold."""
    build()
    bench.worker(True)
    match = "relay"
    bench.sql("SELECT record_vote(%s, 'home')", match)

    def measure(name, wish):
        with relay(bench, name) as server, Crowd(server) as crowd:
            crowd.open(CLIENTS)
            crowd.join(match, **wish)
            usage = Usage(bench, server, crowd, match)
            steady(bench, match, bench.seconds, RATE).finish()
            bench.drain()
            crowd.assert_all_know(seq_of(bench, match))
            usage.finish()
        say(f"  {name} {wish}: {usage.cpu_ms:.1f} ms a fold, {usage.share:.3f} of a core, {usage.frames / CLIENTS:.2f} frames a fold")
        return usage

    usages = {name: [] for name in WAYS}
    for order in bench.order(WAYS):
        for name in order:
            usages[name].append(measure(*WAYS[name]))
    cpu = {name: [usage.cpu_ms for usage in of] for name, of in usages.items()}
    size = median([usage.bytes / CLIENTS for usage in usages["bundle"]])
    return [
        Result(
            "relay, 1,500 clients of one match: processor time a fold, one event, against Node socket.io",
            ratios(cpu["bundle"], cpu["node"]),
            ("≤", 1 / 3),
            f"{median(cpu['bundle']):.1f} against {median(cpu['node']):.1f} ms; {size / 1e3:.1f} KB a client and fold",
        ),
        Result(
            "the same with the three events",
            ratios(cpu["three"], cpu["node"]),
            ("≤", 0.9),
            f"{median(cpu['three']):.1f} against {median(cpu['node']):.1f} ms",
        ),
    ]


# 20,000 cells of resolution 7: one country (9 cells of resolution 3), or around the 220 largest of the world's cities.
SHAPES = {"a country": "SELECT bench.cell(n) FROM generate_series(0, 19999) AS n", "220 cities": None}
# Votes a tenth of a second: nearly as many cells as a message of the feed holds, then a fifth, two fifths and nearly two thirds of all.
LOADS = (1_500, 5_000, 10_000, 20_000)


@functools.cache
def match_of(bench, shape):
    """A match of that shape, and a table of its cells."""
    cells, match, table = SHAPES[shape], f"relay {shape}", f"bench.cells_{list(SHAPES).index(shape)}"
    if cells is None:
        with bench.connect() as session:
            session.execute("CREATE TABLE bench.city (h3_index text)")
            session.cursor().executemany("INSERT INTO bench.city VALUES (%s)", [(cell,) for cell, _ in rig.CELLS[:220]])
        cells = "SELECT ('x' || lpad(n, 16, '0'))::bit(64)::bigint FROM bench.city, h3_neighbors(h3_index, 5) AS n"
    bench.sql(f"CREATE TABLE {table} AS SELECT row_number() OVER () AS n, c AS cell FROM ({cells}) AS c(c)")
    bench.sql(f"SELECT bulk_increment('{match}', array_agg(bench.team(n)), array_agg(cell)) FROM {table}")
    bench.drain()
    return match, table


def votes_in(table, load):
    """A call that votes in cells of the table, drawn at random."""
    return f"""SELECT bulk_increment(%s, array_agg(bench.team(i)), array_agg(cell)) FROM (
        SELECT i, 1 + floor(random() * (SELECT max(n) FROM {table}))::bigint AS n FROM generate_series(1, {load}) AS i OFFSET 0
    ) AS draw JOIN {table} USING (n)"""


def relay_resolution(bench):
    """Bytes and processor time for clients at resolution 3 against those at the cells' own."""
    build()
    bench.worker(True)
    results = []
    for shape in SHAPES:
        match, table = match_of(bench, shape)
        for load in LOADS:
            results += resolution_rows(bench, shape, match, votes_in(table, load), load)
    return results


def resolution_rows(bench, shape, match, call, load):
    def measure(wish):
        with relay(bench) as server, Crowd(server) as crowd:
            crowd.open(CLIENTS)
            crowd.join(match, bundle=True, **wish)
            usage = Usage(bench, server, crowd, match)
            with Bulk(bench, match, call):
                time.sleep(bench.seconds)
            bench.drain()
            crowd.assert_all_know(seq_of(bench, match))
            usage.finish()
        say(f"  {shape}, {load:,} {wish}: {usage.cpu_ms:.1f} ms and {usage.bytes / CLIENTS / 1e3:.1f} KB a fold; {usage.folds} folds")
        return usage

    wishes = {"native": {}, "three": {"resolution": 3}}
    usages = {name: [] for name in wishes}
    for order in bench.order(wishes):
        for name in order:
            usages[name].append(measure(wishes[name]))
    rows = []
    for what, unit, of in (("bytes", "KB", lambda u: u.bytes / CLIENTS / 1e3), ("processor time", "ms", lambda u: u.cpu_ms)):
        three, native = ([of(usage) for usage in usages[name]] for name in ("three", "native"))
        rows.append(
            Result(
                f"20,000 cells ({shape}), {load:,} votes a fold, {CLIENTS:,} clients at resolution 3: {what} a fold against the cells' own resolution",
                ratios(three, native),
                ("≤", 0.1),
                f"{median(three):.1f} against {median(native):.1f} {unit}",
            )
        )
    return rows


def relay_parts(bench):
    """Bytes and processor time for clients that leave out the list `new`, as ours does, against whole messages."""
    build()
    bench.worker(True)
    match, table = match_of(bench, "220 cities")
    clients, load = 50, LOADS[0]  # what they have not read of their snapshots fits into the share of one address
    ways = {"whole": {"bundle": True}, "shown": SHOWN}
    results = []
    for place, at in (("the cells' own resolution", {}), ("resolution 3", {"resolution": 3})):
        usages = {name: [] for name in ways}
        for order in bench.order(ways):
            for name in order:
                with relay(bench) as server, Crowd(server) as crowd:
                    crowd.open(clients)
                    crowd.join(match, **ways[name], **at)
                    usage = Usage(bench, server, crowd, match)
                    with Bulk(bench, match, votes_in(table, load)):
                        time.sleep(bench.seconds)
                    bench.drain()
                    crowd.assert_all_know(seq_of(bench, match))
                    usage.finish()
                usages[name].append(usage)
        sizes, cpu = ({name: [of(usage) for usage in usages[name]] for name in ways} for of in (lambda u: u.bytes / clients / 1e3, lambda u: u.cpu_ms))
        results.append(
            Result(
                f"20,000 cells (220 cities), {load:,} votes a fold, {clients} clients at {place}: bytes a fold without `new` against whole messages",
                ratios(sizes["shown"], sizes["whole"]),
                ("≤", 0.6),
                f"{median(sizes['shown']):.1f} against {median(sizes['whole']):.1f} KB; {median(cpu['shown']):.1f} against {median(cpu['whole']):.1f} ms",
            )
        )
    return results


def relay_idle(bench):
    """Memory of a connection that has joined and waits."""
    build()
    bench.sql("SELECT record_vote('idle', 'home')")
    bench.worker(True)
    bench.drain()
    clients = 5_000

    def measure(name, wish):
        with relay(bench, name) as server, Crowd(server) as crowd:
            before = private_memory(server.process.pid)
            crowd.open(clients)
            crowd.join("idle", **wish)
            time.sleep(2)
            grown = (private_memory(server.process.pid) - before) / clients / 1e3
        say(f"  {name}: {grown:.1f} KB a connection")
        return grown

    ways = {name: WAYS[name] for name in ("bundle", "node")}
    grown = {name: [] for name in ways}
    for order in bench.order(ways):
        for name in order:
            grown[name].append(measure(*ways[name]))
    return [
        Result(
            f"relay, {clients:,} idle connections: memory of each against Node socket.io",
            ratios(grown["bundle"], grown["node"]),
            ("≤", 1),
            f"{median(grown['bundle']):.1f} against {median(grown['node']):.1f} KB",
        )
    ]


def probe(bench, crowd, match, seconds, first=0, last=None, pause=(0.02, 0.15)):
    """Milliseconds from a vote's commit to each client that hears of it: the message with the n-th vote for the team `probe`."""
    counted = "SELECT coalesce((votes ->> 'probe')::bigint, 0) FROM get_realtime_stats(%s)"
    start = bench.sql(counted, match)[0][0]
    crowd("record")
    committed = []
    with bench.connect() as voter:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            voter.execute("SELECT record_vote(%s, 'probe')", (match,))
            committed.append(time.time() * 1e6)
            time.sleep(random.uniform(*pause))  # in no step with the folds
    time.sleep(1)

    def heard():
        arrivals = {int(probes): at for probes, at in crowd("arrivals", **crowd.those(first, last)).items()}
        of_last = [at for probes, at in arrivals.items() if probes >= start + len(committed)]
        return arrivals if sum(map(len, of_last)) >= (last or crowd.size) - first else None

    arrivals = rig.eventually("everybody has heard of the last vote", heard)
    known = sorted(arrivals)
    waits = []
    for n, at in enumerate(committed, start + 1):
        waits += [(arrival - at) / 1e3 for arrival in arrivals[known[bisect.bisect_left(known, n)]]]
    return waits


def relay_latency(bench):
    """From a vote's commit to 1,500 sockets."""
    build()
    bench.worker(True)
    waits = {name: [] for name in WAYS}
    for order in bench.order(WAYS):
        for name in order:
            kind, wish = WAYS[name]
            with relay(bench, kind) as server, Crowd(server) as crowd:
                bench.sql("SELECT record_vote('probe relay', 'home')")
                crowd.open(CLIENTS)
                crowd.join("probe relay", **wish)
                waits[name].append(probe(bench, crowd, "probe relay", bench.seconds))
    info = {
        name: ", ".join(f"p{share * 100:.0f} {median([percentile(w, share) for w in of]):.0f} ms" for share in (0.5, 0.99))
        for name, of in waits.items()
    }
    say(f"  {info}")
    results = []
    for what, share, bound in (("p50", 0.5, 1.5), ("p99", 0.99, 3)):
        results.append(
            Result(
                f"commit to each of 1,500 sockets, {what} against fold_interval",
                [percentile(of, share) / FOLD_INTERVAL for of in waits["bundle"]],
                ("≤", bound),
                f"{info['bundle']}; with the three events {info['three']}; Node {info['node']}" if what == "p50" else "",
            )
        )
    return results


def relay_crowd(bench):
    """From a vote's commit to those who look at a match of which each fold changes most cells; a second: as with a snapshot a second."""
    build()
    bench.worker(True)
    match, table = match_of(bench, "220 cities")
    waits = []
    for _ in range(bench.rounds):
        with relay(bench) as server, Crowd(server) as crowd:
            crowd.open(300)
            crowd.join(match, bundle=True, resolution=3)
            with Bulk(bench, match, votes_in(table, LOADS[-1])):
                waits.append(probe(bench, crowd, match, bench.seconds))
        say(f"  p50 {percentile(waits[-1], 0.5):.0f} ms, p99 {percentile(waits[-1], 0.99):.0f} ms")
    info = f"with {LOADS[-1]:,} votes a fold in 20,000 cells (220 cities)"
    return [
        Result(
            f"the same to 300 sockets at resolution 3 of a match whose every fold changes most cells, {what} in seconds",
            [percentile(of, share) / 1e3 for of in waits],
            ("≤", 1),
            info,
        )
        for what, share in (("p50", 0.5), ("p99", 0.99))
    ]


def relay_joins(bench):
    """5,000 clients join a match at once that nobody followed before, while votes come in."""
    build()
    bench.worker(True)
    clients, match = 5_000, "joins"
    bench.sql(f"SELECT count(record_vote('{match}', team_choice, h3_index, country_code)) FROM bench.votes(20000, 1000)")
    bench.drain()
    seconds, reads, encoded = [], [], []
    for _ in range(bench.rounds):
        with relay(bench) as server, Crowd(server) as crowd:
            crowd.open(clients)
            joined = crowd.join(match, bundle=True)
            seconds.append(joined["last"])
            reads.append(server.metric("vote_relay_reads_total"))
            encoded.append(server.metric("vote_relay_snapshots_total"))
            size = crowd.counts()["bytes"] / clients
        say(f"  {joined}, {reads[-1]:.0f} reads, {encoded[-1]:.0f} times encoded")
    return [
        Result(
            f"{clients:,} joins at once: the last snapshot after",
            seconds,
            ("≤", 5),
            f"1,000 cells, {size / 1e3:.0f} KB each",
            " s",
        ),
        Result("reads of the database for that", reads, ("≤", 3)),
        Result("times that the snapshot was encoded", encoded, ("≤", 1)),
    ]
