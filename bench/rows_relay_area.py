"""The relay's cost of clients that look at an area each, in a match all over the world."""

import time

from bench.load import say
from bench.relays import Bulk, Crowd, Usage, build, relay, seq_of
from bench.result import Result, median, ratios
from bench.rows_relay import CLIENTS, LOADS, SHOWN, match_of, votes_in

# Around a cell of resolution 6 up to three steps: a city with all its cells.
AREA = "SELECT array_agg(to_hex(c)) FROM (SELECT h3_neighbors(%s::bigint, 3) UNION SELECT %s::bigint) AS a(c)"


def views(bench, table):
    """As many areas as there are clients, each another one."""
    centres = [cell for (cell,) in bench.sql(f"SELECT DISTINCT h3_parent(cell, 6) FROM {table}")]
    assert len(centres) >= CLIENTS, len(centres)
    return [bench.sql(AREA, cell, cell)[0][0] for cell in centres[:CLIENTS]]


def relay_area(bench):
    """Bytes and processor time for 1,500 clients with 1,500 areas, against one room at resolution 3 and one at the cells' own."""
    build()
    bench.worker(True)
    match, table = match_of(bench, "220 cities")
    load, areas = LOADS[0], views(bench, table)

    def measure(name):
        with relay(bench, max_joins=1_000) as server, Crowd(server) as crowd:
            crowd.open(CLIENTS)
            if name == "areas":
                for number, area in enumerate(areas):
                    crowd.join(match, first=number, last=number + 1, area=area, **SHOWN)
            else:
                crowd.join(match, resolution=3, **SHOWN)
            usage = Usage(bench, server, crowd, match)
            with Bulk(bench, match, votes_in(table, load)):
                time.sleep(bench.seconds)
            bench.drain()
            crowd.assert_all_know(seq_of(bench, match))
            usage.finish()
        say(f"  {name}: {usage.cpu_ms:.1f} ms and {usage.bytes / CLIENTS / 1e3:.2f} KB a fold; {usage.folds} folds")
        return usage

    usages = {"areas": [], "room": []}
    for order in bench.order(usages):
        for name in order:
            usages[name].append(measure(name))
    cpu = {name: [usage.cpu_ms for usage in of] for name, of in usages.items()}
    sizes = {name: [usage.bytes / CLIENTS / 1e3 for usage in of] for name, of in usages.items()}
    what = f"20,000 cells (220 cities), {load:,} votes a fold, {CLIENTS:,} clients that look at a city each"
    return [
        Result(f"{what}: bytes a fold", sizes["areas"], ("≤", 5), f"{median(sizes['room']):.1f} KB at resolution 3", " KB"),
        Result(
            f"{what}: processor time a fold against one room at resolution 3",
            ratios(cpu["areas"], cpu["room"]),
            ("≤", 2),
            f"{median(cpu['areas']):.1f} against {median(cpu['room']):.1f} ms",
        ),
    ]
