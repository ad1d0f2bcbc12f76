"""Neglect and size: an old snapshot, a hundred million votes, ten million votes of one session."""

import functools
import pathlib
import re
import threading
import time

from bench.load import our_votes, say
from bench.result import Result, median, ratios
from bench.rows_read import SNAPSHOT, STATS

OLD = {False: 300, True: 20}  # seconds that a snapshot has been open when it counts, by `quick`
GIVE_BACK = {False: 60, True: 20}  # seconds in which disk space has to come back
TURN_BLOCKS = {False: 8192, True: 1024}  # vote_agg.turn_size: its default, and one that a short run gets past


READS = {  # of the match `big`, which lies south of Cape Cod
    "get_match_aggregates": "SELECT count(*) FROM get_match_aggregates('big');",
    "get_match_aggregates, rolled up": "SELECT count(*) FROM get_match_aggregates('big', 4);",
    "get_match_aggregates, a box": "SELECT count(*) FROM get_match_aggregates('big', bbox => '{-71, 39.5, -70, 40.5}');",
    "get_top_cells": "SELECT count(*) FROM get_top_cells('big', 10);",
    "get_cell": "SELECT count(*) FROM get_cell('big', bench.cell(42));",
    "get_match_geojson": "SELECT length(get_match_geojson('big')::text);",
    "get_match_tile": "SELECT length(get_match_tile('big', 8, 78, 96));",
}


class Reader(threading.Thread):
    """Reads a match's stats without pause, and how long the latest fold took, twice a second."""

    def __init__(self, bench, match, dbname):
        super().__init__(daemon=True)
        self.bench, self.match, self.dbname, self.running, self.reads, self.folds = bench, match, dbname, True, 0, []
        self.start()

    def run(self):
        with self.bench.connect(self.dbname) as session, self.bench.connect(self.dbname) as observer:
            look_at = 0
            while self.running:
                session.execute("SELECT * FROM get_realtime_stats(%s)", (self.match,)).fetchone()
                self.reads += 1
                if time.monotonic() > look_at:
                    (took,) = observer.execute("SELECT last_duration_ms FROM vote_agg.stat_fold").fetchone()
                    self.folds += [took] if took is not None else []
                    look_at = time.monotonic() + 0.5


def full_load(bench, match, seconds, dbname="bench"):
    """Votes/s, reads/s, median fold in ms, and votes cast, over a run at full load with one reader."""
    bench.sql("CHECKPOINT")
    reader = Reader(bench, match, dbname)
    run = bench.start(our_votes(match), seconds=seconds, dbname=dbname).finish()
    reader.running = False
    reader.join()
    figures = run.tps, reader.reads / seconds, median(reader.folds)
    say(f"  {dbname}: " + "{:,.0f} votes/s, {:,.0f} reads/s, fold {:.1f} ms".format(*figures))
    return *figures, run.transactions


def pending_bytes(bench):
    return bench.sql("SELECT pg_relation_size('vote_agg.pending_1') + pg_relation_size('vote_agg.pending_2')")[0][0]


def old_snapshot(bench):
    """Full load beside an old snapshot, in turns with full load on a database that has none: it holds back its own only."""
    blocks, match = TURN_BLOCKS[bench.quick], "neglected"
    bench.cluster.configure(**{"vote_agg.turn_size": blocks})
    bench.create_database("calm")
    bench.worker(True)
    for dbname in ("bench", "calm"):
        full_load(bench, match, 5, dbname)  # adds the rows
    cast = bench.sql("SELECT total_votes FROM get_realtime_stats(%s)", match)[0][0]
    runs = {"bench": [], "calm": []}
    with bench.connect() as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT * FROM get_realtime_stats(%s)", (match,))
        say(f"  snapshot open for {OLD[bench.quick]} s under full load")
        cast += full_load(bench, match, OLD[bench.quick])[3]
        for order in bench.order(runs):
            for dbname in order:
                runs[dbname].append(full_load(bench, match, bench.seconds, dbname))
        peak = pending_bytes(bench)
        holder.execute("COMMIT")
    limit = 2 * blocks * 8192
    started = time.monotonic()
    trickle = bench.start(our_votes(match), clients=2, seconds=GIVE_BACK[bench.quick], rate=200)
    while (left := pending_bytes(bench)) > limit and time.monotonic() < started + GIVE_BACK[bench.quick]:
        time.sleep(0.5)
    freed_in = time.monotonic() - started
    say(f"  pending: {peak / 1e6:,.0f} MB at the end of the snapshot, {left / 1e6:,.0f} MB after {freed_in:.0f} s")
    trickled = trickle.finish().transactions
    counted = bench.sql("SELECT total_votes FROM get_realtime_stats(%s)", match)[0][0]
    lost = abs(cast + sum(run[3] for run in runs["bench"]) + trickled - counted)
    bench.drain()
    bench.cluster.configure(**{"vote_agg.turn_size": TURN_BLOCKS[False]})
    age = f"{OLD[bench.quick]} s old snapshot, full load"
    (votes, reads, folds, _), (calm_votes, calm_reads, calm_folds, _) = (list(zip(*runs[dbname], strict=True)) for dbname in runs)
    return [
        Result(
            f"{age}: votes/s against without",
            ratios(votes, calm_votes),
            ("≥", 0.95),
            f"{median(votes):,.0f} against {median(calm_votes):,.0f}",
        ),
        Result(
            f"{age}: stats reads/s against without",
            ratios(reads, calm_reads),
            ("≥", 0.8),
            f"{median(reads):,.0f} against {median(calm_reads):,.0f}",
        ),
        Result(
            f"{age}: fold time against without",
            ratios(folds, calm_folds),
            ("≤", 1.5),
            f"{median(folds):.1f} against {median(calm_folds):.1f} ms",
        ),
        Result(f"{age}: votes lost", [lost], ("≤", 0), f"{counted:,} counted"),
        Result(
            "disk of pending once the snapshot has gone against two turns",
            [left / limit],
            ("≤", 1),
            f"from {peak / 1e6:,.0f} to {left / 1e6:,.0f} MB in {freed_in:.0f} s",
        ),
    ]


HOURS = 2
SPREAD = """
    WITH sums AS (
        SELECT match_id, {keys} team, sum(votes)::bigint AS votes
        FROM (SELECT match_id, {keys} team, u.votes FROM vote_agg.{table} t, unnest(t.votes) WITH ORDINALITY AS u(votes, team)) AS each
        GROUP BY match_id, {keys} team
    ), gone AS (DELETE FROM vote_agg.{table})
    INSERT INTO vote_agg.{table} (match_id, {keys} bucket, votes)
    SELECT match_id, {keys} date_trunc('minute', now()) - (minute + 60) * interval '1 minute',
           array_agg(votes / {minutes} + CASE WHEN minute = 0 THEN votes % {minutes} ELSE 0 END ORDER BY team)
    FROM sums, generate_series(0, {minutes} - 1) AS minute GROUP BY match_id, {keys} minute
"""


def spread_time_line(bench, dbname):
    """The same two hours for both: reading a time line costs by its minutes, and the longer loading has more of them."""
    for table, keys in (("timeline", ""), ("country_timeline", "country_code,")):
        bench.sql(SPREAD.format(table=table, keys=keys, minutes=60 * HOURS), dbname=dbname)
        bench.sql(f"VACUUM ANALYZE vote_agg.{table}", dbname=dbname)


def scale(bench):
    """Two databases with the same 100,000 cells, one of which has counted a hundred times the votes."""
    millions = 10 if bench.quick else 100
    bench.worker(False)
    for dbname, loads in (("votes_few", 1), ("votes_many", millions)):
        say(f"  {dbname}: loading {loads} million votes")
        bench.create_database(dbname)
        bench.load_big_match(dbname, loads)
        spread_time_line(bench, dbname)

    def read(statement):
        return lambda dbname: bench.pgbench([statement], clients=1, seconds=2, dbname=dbname).tps

    def fold(dbname):
        bench.sql(
            "SELECT count(record_vote('big', team_choice, h3_index, country_code)) FROM bench.votes(200000, 100000)",
            dbname=dbname,
        )
        return 1 / bench.timed("SELECT vote_agg.fold()", dbname=dbname)

    def bulk(dbname):
        speed = 1 / bench.timed(
            "SELECT bulk_increment('big', teams, cells, countries) FROM bench.arrays WHERE name = 'big'", dbname=dbname
        )
        bench.drain(dbname)
        return speed

    def votes(dbname):
        tps = bench.pgbench(our_votes("big"), dbname=dbname).tps
        bench.drain(dbname)
        return tps

    snapshots = 3 if bench.quick else 10

    def reads(script, dbname):
        return bench.pgbench([script], clients=1, transactions=snapshots, dbname=dbname).tps

    ways = {
        "record_vote": votes,
        "get_realtime_stats": read(STATS),
        "get_match_timeline": read("SELECT * FROM get_match_timeline('big');"),
        "get_match_at": read("SELECT * FROM get_match_at('big', now() - interval '90 minutes');"),
        "get_match_snapshot": functools.partial(reads, SNAPSHOT),
        **{name: functools.partial(reads, script) for name, script in READS.items()},
        "bulk_increment(arrays) of 1,000,000": bulk,
        "fold of 200,000": fold,
    }
    results = []
    for name, run in ways.items():
        speed = {"votes_few": [], "votes_many": []}
        for dbname in speed:
            run(dbname)  # warms up, and brings the rows to where every other round leaves them
        for order in bench.order(speed):
            for dbname in order:
                speed[dbname].append(run(dbname))
        few, many = (median(values) for values in speed.values())
        say(f"  {name}: {many:,.2f}/s against {few:,.2f}/s")
        results.append(
            Result(
                f"{millions} million votes counted against 1 million: {name}",
                ratios(speed["votes_many"], speed["votes_few"]),
                ("≥", 0.9),
                f"{many:,.2f} against {few:,.2f} a second",
            )
        )
    return results


def memory(bench):
    """Ten million votes of one session: 19 of 20 in large statements, the rest in transactions of their own."""
    million = 100_000 if bench.quick else 1_000_000
    bench.worker(True)
    single = """DO $$ BEGIN FOR i IN 1..{} LOOP
                    PERFORM record_vote('memory', bench.team(i), bench.cell(i % 2401), 'FR'); COMMIT;
                END LOOP; END $$"""
    with bench.connect() as session:
        session.execute("SET synchronous_commit = off")  # so that half a million commits take no hour
        pid = session.info.backend_pid

        def private_memory():
            return int(re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024

        def vote(batches, commits):
            for _ in range(batches):
                session.execute(
                    "SELECT count(record_vote('memory', bench.team(i), bench.cell(i % 2401), 'FR')) "
                    "FROM generate_series(1, 100000) AS i"
                )
            session.execute(single.format(commits))

        vote(1, 10_000)
        warm = private_memory()
        vote(95 * million // 1_000_000, million // 2)
        grown = private_memory() - warm
    bench.drain()
    return [
        Result(
            f"{million * 10:,} votes through one session: its memory grows by", [grown], ("≤", 10), f"from {warm:.1f} MB", " MB"
        )
    ]
