"""Many votes in one call."""

from bench.load import say
from bench.result import Result, median, ratios

LOOP_VOTES = 20_000


def bulk_json(bench):
    """A call is timed with its commit; folding what it left behind is not part of it and is told beside it."""
    bench.clear_peers()
    bench.worker(False)
    bench.sql("SELECT bench.make_document('json', 100000, 20000), bench.make_document('loop', %s, 20000)", LOOP_VOTES)
    ways = {
        "ours": lambda: ours(bench, "SELECT bulk_increment(doc) FROM bench.documents WHERE name = 'json'"),
        "set": lambda: (bench.timed("SELECT peer.bulk_json(doc) FROM bench.documents WHERE name = 'json'"), 0),
        "loop": lambda: (
            bench.timed("SELECT peer.bulk_loop(doc) FROM bench.documents WHERE name = 'loop'") * 100_000 / LOOP_VOTES,
            0,
        ),
    }
    seconds, fold = alternate(bench, ways)
    return [
        Result(
            "bulk_increment(jsonb), 100,000 votes, 20,000 cells, against set-based SQL",
            ratios(seconds["set"], seconds["ours"]),
            ("≥", 5),
            f"{ms(seconds['ours'])} against {ms(seconds['set'])}; folded later in {ms([fold])}",
        ),
        Result(
            f"the same against a plpgsql loop (of {LOOP_VOTES:,} votes, times {100_000 // LOOP_VOTES}, which flatters it)",
            ratios(seconds["loop"], seconds["ours"]),
            ("≥", 50),
            f"against {median(seconds['loop']):.1f} s",
        ),
    ]


def bulk_arrays(bench):
    bench.clear_peers()
    bench.worker(False)
    bench.sql("SELECT bench.make_arrays('arrays', 1000000, 20000)")
    call = "SELECT {}('arrays', teams, cells, countries) FROM bench.arrays WHERE name = 'arrays'"
    ways = {
        "ours": lambda: ours(bench, call.format("bulk_increment")),
        "set": lambda: (bench.timed(call.format("peer.bulk_arrays")), 0),
    }
    seconds, fold = alternate(bench, ways)
    return [
        Result(
            "bulk_increment(arrays), 1,000,000 votes, 20,000 cells, against set-based SQL",
            ratios(seconds["set"], seconds["ours"]),
            ("≥", 5),
            f"{ms(seconds['ours'])} against {ms(seconds['set'])}; folded later in {ms([fold])}",
        ),
    ]


def ms(seconds):
    return f"{median(seconds) * 1000:.0f} ms"


def ours(bench, call):
    """Seconds of the call, and of folding what it appended."""
    return bench.timed(call), bench.timed("SELECT vote_agg.fold()")


def alternate(bench, ways):
    """Seconds of each way by round, and the median of our folds. The first time, which only adds rows, does not count."""
    for run in ways.values():
        run()
    seconds, folds = {name: [] for name in ways}, []
    for order in bench.order(ways):
        bench.sql("VACUUM")
        for name in order:
            call, fold = ways[name]()
            seconds[name].append(call)
            if name == "ours":
                folds.append(fold)
    say("  " + ", ".join(f"{name}: {median(values):.3f} s" for name, values in seconds.items()))
    bench.drain()
    return seconds, median(folds)
