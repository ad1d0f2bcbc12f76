"""Maps: roll-up, GeoJSON, tiles and boxes of matches of 100,000 cells."""

import functools

from bench.load import say
from bench.result import Result, median, ratios

WORLD, EUROPE = (-180, -90, 180, 90), (-10, 36, 30, 60)
HUNDREDTH = "{0, 30, 25, 47.2}"  # degrees: a hundredth of the sphere
TILES = [(z, int(540 / 1024 * 2**z), int(340 / 1024 * 2**z)) for z in range(4, 13)]  # around Switzerland


def ms(seconds):
    return f"{median(seconds) * 1000:.1f} ms"


@functools.cache
def prepare(bench):
    """Matches spread evenly: `world` and `europe` of 100,000 cells, `tenth` of 10,000; the same in the peers' tables."""
    say("  loading three matches")
    bench.worker(False)
    bench.clear_peers()
    for match, cells, resolution, (west, south, east, north) in (
        ("world", 100_000, 7, WORLD),
        ("europe", 100_000, 9, EUROPE),
        ("tenth", 10_000, 7, WORLD),
    ):
        bench.sql("SELECT bench.spread(%s, %s, %s, %s, %s, %s, %s)", match, cells, resolution, west, south, east, north)
    bench.drain()
    bench.sql("INSERT INTO peer.outlines SELECT h3_index, h3_to_geojson(h3_index) FROM peer.cell_votes WHERE match_id = 'tenth' GROUP BY 1")
    bench.sql("VACUUM ANALYZE")


def alternate(bench, ways, times=1):
    """Seconds of each statement by round, the best of a few in a session that has run it before."""
    seconds = {name: [] for name in ways}
    with bench.connect() as session:
        for order in bench.order(ways):
            for name in order:
                session.execute(ways[name])
                seconds[name].append(min(timed(session, ways[name]) for _ in range(3)) / times)
    say("  " + ", ".join(f"{name}: {ms(values)}" for name, values in seconds.items()))
    return seconds


def timed(session, statement):
    """Seconds that the server takes, without what the client does with the rows."""
    plan = session.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}").fetchone()[0][0]
    return plan["Execution Time"] / 1000


def roll_up(bench):
    prepare(bench)
    ways = {"ours": "SELECT * FROM get_match_aggregates('europe', 4)", "sql": "SELECT * FROM peer.roll_up('europe', 4)"}
    seconds = alternate(bench, ways)
    return [
        Result(
            "100,000 cells rolled up from resolution 9 to 4, against SQL with bit arithmetic",
            ratios(seconds["sql"], seconds["ours"]),
            ("≥", 3),
            f"{ms(seconds['ours'])} against {ms(seconds['sql'])}",
        ),
    ]


def geojson(bench):
    prepare(bench)
    seconds = alternate(bench, {"ours": "SELECT get_match_geojson('tenth')", "plpgsql": "SELECT peer.geojson('tenth')"})
    return [
        Result(
            "get_match_geojson, 10,000 cells, against plpgsql over a table of outlines",
            ratios(seconds["plpgsql"], seconds["ours"]),
            ("≥", 5),
            f"{ms(seconds['ours'])} against {ms(seconds['plpgsql'])}",
        ),
    ]


def parts(bench):
    """A part of a match costs a part."""
    prepare(bench)
    tiles = ", ".join("({}, {}, {})".format(*tile) for tile in TILES)
    whole = alternate(bench, {"geojson": "SELECT get_match_geojson('world')", "rows": "SELECT * FROM get_match_aggregates('world')"})
    part = alternate(bench, {"tiles": f"SELECT get_match_tile('world', z, x, y) FROM (VALUES {tiles}) AS t(z, x, y)"}, len(TILES))
    coarsest = alternate(bench, {"zoom 0": "SELECT get_match_tile('world', 0, 0, 0)"})
    box = alternate(bench, {"box": f"SELECT * FROM get_match_aggregates('world', bbox => '{HUNDREDTH}')"})
    return [
        Result(
            "a tile (zoom 4 to 12) of 100,000 cells against all of them as GeoJSON",
            ratios(part["tiles"], whole["geojson"]),
            ("≤", 0.05),
            f"{ms(part['tiles'])} against {ms(whole['geojson'])}; the tile that shows the whole world {ms(coarsest['zoom 0'])}",
        ),
        Result(
            "a box of a hundredth of the world against the whole read of 100,000 cells",
            ratios(box["box"], whole["rows"]),
            ("≤", 0.05),
            f"{ms(box['box'])} against {ms(whole['rows'])}",
        ),
    ]
