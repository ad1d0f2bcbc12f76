"""Reading a match of 100,000 cells."""

import functools

from bench.load import HERE, our_votes, percentile, say
from bench.result import Result, median, ratios

STATS = "SELECT * FROM get_realtime_stats('big');"
SNAPSHOT = "SELECT get_match_snapshot('big');"
UPDATE = "SELECT get_match_update('big', 0);"
# As much processor time as a read of the stats takes without load (0.14 ms), and no table.
NOTHING = "SELECT count(*) FROM generate_series(1, 1000);"


def peer(name):
    return (HERE / "peers" / f"{name}.sql").read_text()


@functools.cache
def prepare(bench):
    """The match `big` with us and, once it is folded, with the peers."""
    say("  loading 100,000 cells")
    bench.worker(False)
    bench.clear_peers()
    bench.load_big_match()
    bench.sql("""
        INSERT INTO peer.cell_votes SELECT 'big', h3_index, team_choice, count(*) FROM bench.votes(1000000, 100000)
        GROUP BY 2, 3 ORDER BY 2, 3;
        INSERT INTO peer.cell_json SELECT match_id, to_hex(h3_index), jsonb_object_agg(team_choice, votes) FROM peer.cell_votes
        GROUP BY 1, h3_index ORDER BY h3_index""")
    bench.sql("VACUUM ANALYZE peer.cell_votes, peer.cell_json")


def stats(bench):
    """Both sides read under the same votes, half of what the machine can take; the peer's table lies still all the while."""
    prepare(bench)
    rate = bench.full_rate / 2
    bench.worker(True)

    def reads(script, loaded=True):
        bench.sql("CHECKPOINT")
        voters = bench.start(our_votes("big"), seconds=bench.seconds + 2, rate=rate) if loaded else None
        run = bench.start([script], clients=1, seconds=bench.seconds, log=True).finish()
        if voters:
            voters.finish()
        return run

    ways = {
        "ours": functools.partial(reads, STATS),
        "calm": functools.partial(reads, STATS, loaded=False),
        "sum": functools.partial(reads, peer("stats")),
        # What the machine alone does to a session under that load.
        "nothing": functools.partial(reads, NOTHING),
        "nothing calm": functools.partial(reads, NOTHING, loaded=False),
    }
    runs = {name: [] for name in ways}
    for order in bench.order(ways):
        for name in order:
            runs[name].append(ways[name]())
    tps = {name: [run.tps for run in of] for name, of in runs.items()}
    p99 = {name: [percentile(run.milliseconds, 0.99) for run in of] for name, of in runs.items()}
    say("  " + ", ".join(f"{name}: {median(tps[name]):,.1f}/s, p99 {median(p99[name]):.2f} ms" for name in ways))
    return [
        Result(
            "get_realtime_stats at 100,000 cells, half load, against summing the rows",
            ratios(tps["ours"], tps["sum"]),
            ("≥", 20),
            f"{median(tps['ours']):,.0f} against {median(tps['sum']):.1f} reads/s",
        ),
        Result(
            "its p99 against its own p99 without load",
            ratios(p99["ours"], p99["calm"]),
            ("≤", 4),
            f"{median(p99['ours']):.2f} against {median(p99['calm']):.2f} ms; "
            f"a statement as long that reads no table: {median(p99['nothing']):.2f} against {median(p99['nothing calm']):.2f} ms",
        ),
    ]


def snapshot(bench):
    prepare(bench)
    bench.worker(False)
    bench.drain()
    scripts = {"ours": SNAPSHOT, "update": UPDATE, "same": peer("snapshot_same_table"), "plain": peer("snapshot_plain_table")}
    seconds = {name: [] for name in scripts}
    for order in bench.order(scripts):
        for name in order:
            seconds[name].append(1 / bench.pgbench([scripts[name]], clients=1, transactions=3 if bench.quick else 10).tps)
    ms = {name: f"{median(values) * 1000:.0f}" for name, values in seconds.items()}
    say(f"  ms: {ms}")
    return [
        Result(
            "get_match_snapshot, 100,000 cells, against json_agg over the same table",
            ratios(seconds["same"], seconds["ours"]),
            ("≥", 1.5),
            f"{ms['ours']} against {ms['same']} ms",
        ),
        Result(
            "the same against json_agg over a table of text cells and jsonb votes",
            ratios(seconds["plain"], seconds["ours"]),
            ("≥", 1.5),
            f"against {ms['plain']} ms",
        ),
        Result(
            "all of it as one message (get_match_update since 0), 100,000 cells, against json_agg over the same table",
            ratios(seconds["same"], seconds["update"]),
            ("≥", 1),
            f"{ms['update']} against {ms['same']} ms",
        ),
    ]
