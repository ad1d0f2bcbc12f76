"""A table that the application has: bare, attached, and counted by a trigger for each row."""

from bench.load import say, vote_scripts
from bench.result import Result, median, ratios
from bench.rows_vote import compare

SESSIONS = 32
ROWS = 100_000
TABLES = {"bare": "peer.table_bare", "attached": "peer.table_attached", "counted": "peer.table_counted"}


def inserts(table):
    return vote_scripts(f"INSERT INTO {table} VALUES ('table', '{{team}}', :cell, '{{country}}');")


def prepare(bench):
    bench.worker(False)
    attached = bench.sql("SELECT 1 FROM vote_agg.stat_attach WHERE source = 'peer.table_attached'::regclass")
    if not attached:
        bench.sql("SELECT attach_votes('peer.table_attached', h3_index => 'h3_index', country_code => 'country_code')")


def clear(bench):
    """Without triggers: what is measured is how rows come."""
    with bench.connect() as session:
        session.execute("SET session_replication_role = replica")
        session.execute("TRUNCATE " + ", ".join(TABLES.values()))


def source_rows(bench):
    """Single-row INSERTs by many sessions, the worker folding beside the attached table."""
    prepare(bench)

    def run(name):
        clear(bench)
        bench.worker(name == "attached")
        tps = bench.pgbench(inserts(TABLES[name]), clients=SESSIONS).tps
        bench.drain()
        return tps

    tps = compare(bench, {name: lambda name=name: run(name) for name in TABLES})
    mid = {name: f"{median(values):,.0f}" for name, values in tps.items()}
    return [
        Result(
            f"an attached table, single-row INSERTs by {SESSIONS} sessions, against the bare table",
            ratios(tps["attached"], tps["bare"]),
            ("≥", 0.7),
            f"{mid['attached']} against {mid['bare']} rows/s",
        ),
        Result(
            "the same against a trigger that counts each row",
            ratios(tps["attached"], tps["counted"]),
            ("≥", 5),
            f"against {mid['counted']} rows/s",
        ),
    ]


def source_bulk(bench):
    """One INSERT … SELECT, with its commit."""
    prepare(bench)
    clear(bench)
    seconds = {"bare": [], "attached": []}
    for order in bench.order(seconds):
        for name in order:
            query = f"INSERT INTO {TABLES[name]} SELECT 'table', v.* FROM bench.votes({ROWS}, 20000) AS v"
            seconds[name].append(bench.timed(query))
            say(f"  {name}: {seconds[name][-1] * 1000:.0f} ms")
            bench.drain()
    return [
        Result(
            f"an attached table, INSERT … SELECT of {ROWS:,} rows, 20,000 cells, against the bare table",
            ratios(seconds["bare"], seconds["attached"]),
            ("≥", 0.6),
            f"{median(seconds['attached']) * 1000:.0f} against {median(seconds['bare']) * 1000:.0f} ms",
        )
    ]
