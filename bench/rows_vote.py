"""One hot match: recording single votes."""

import time

from bench.load import cpu_seconds, our_votes, say, vote_scripts
from bench.result import Result, median, ratios

BARE = vote_scripts(
    "INSERT INTO peer.bare (match_id, team_choice, h3_index, country_code, at) "
    "VALUES ('hot', '{team}', :cell, '{country}', now());"
)
UPSERTS = vote_scripts("SELECT peer.record_vote('hot', '{team}', :cell, '{country}');")
NOTIFY = vote_scripts("SELECT peer.record_vote_notify('hot', '{team}', :cell, '{country}');")


def hot_votes(bench):
    """Five ways of writing the same votes down, each once a round."""
    shares = []
    tps = compare(
        bench,
        {
            "quiet": lambda: quiet(bench),
            "bare": lambda: bare(bench),
            "folding": lambda: folding(bench, shares),
            "upserts": lambda: bench.pgbench(UPSERTS).tps,
            "notify": lambda: bench.pgbench(NOTIFY).tps,
        },
    )
    mid = {name: f"{median(values):,.0f}" for name, values in tps.items()}
    # A bare INSERT is as fast as anything can be: what it reaches against the others is the limit on this machine.
    limit = {name: f"a bare INSERT reaches {median(ratios(tps['bare'], tps[name])):.1f} times" for name in ("upserts", "notify")}
    return [
        Result(
            "record_vote, no fold running, against a bare INSERT",
            ratios(tps["quiet"], tps["bare"]),
            ("≥", 0.92),
            f"{mid['quiet']} against {mid['bare']} votes/s",
        ),
        Result(
            "record_vote, worker and feed on, against a bare INSERT",
            ratios(tps["folding"], tps["bare"]),
            ("≥", 0.88),
            f"{mid['folding']} against {mid['bare']} votes/s",
        ),
        Result(
            "the same against three UPSERTs",
            ratios(tps["folding"], tps["upserts"]),
            ("≥", 8),
            f"against {mid['upserts']} votes/s; {limit['upserts']}",
        ),
        Result(
            "the same against three UPSERTs and pg_notify",
            ratios(tps["folding"], tps["notify"]),
            ("≥", 15),
            f"against {mid['notify']} votes/s; {limit['notify']}",
        ),
        Result("processor time of the worker against that of the voters", shares, ("≤", 0.2)),
    ]


def slow_disk(bench):
    """The same where a flush takes 1 ms longer, as on the network disks of clouds: the sleep stands in for the disk."""
    bench.cluster.configure(commit_delay=1000, commit_siblings=0)
    bench.cluster.reload()
    tps = compare(
        bench,
        {
            "folding": lambda: folding(bench, []),
            "upserts": lambda: bench.pgbench(UPSERTS).tps,
            "notify": lambda: bench.pgbench(NOTIFY).tps,
        },
    )
    bench.cluster.configure(commit_delay=0, commit_siblings=5)
    bench.cluster.reload()
    mid = {name: f"{median(values):,.0f}" for name, values in tps.items()}
    return [
        Result(
            "with 1 ms more a flush: record_vote against three UPSERTs",
            ratios(tps["folding"], tps["upserts"]),
            ("≥", 8),
            f"{mid['folding']} against {mid['upserts']} votes/s",
        ),
        Result(
            "the same against three UPSERTs and pg_notify",
            ratios(tps["folding"], tps["notify"]),
            ("≥", 15),
            f"against {mid['notify']} votes/s",
        ),
    ]


def compare(bench, ways):
    """Votes/s of each way by round."""
    bench.clear_peers()
    tps = {name: [] for name in ways}
    for order in bench.order(ways):
        for name in order:
            tps[name].append(ways[name]())
            say(f"  {name}: {tps[name][-1]:,.0f} votes/s")
    return tps


def quiet(bench):
    bench.worker(False)
    tps = bench.pgbench(our_votes("hot")).tps
    bench.drain()
    return tps


def bare(bench):
    bench.worker(False)
    bench.sql("TRUNCATE peer.bare")
    return bench.pgbench(BARE).tps


def folding(bench, shares):
    """Votes/s with the worker on; the share of processor time that the worker takes goes to `shares`."""
    bench.worker(True)
    bench.sql("CHECKPOINT")
    run = bench.start(our_votes("hot"), seconds=bench.seconds)
    time.sleep(0.5)
    pids = [row[0] for row in bench.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'")]
    worker = bench.worker_pid()
    before = [cpu_seconds(pid) for pid in (worker, *pids)]
    time.sleep(bench.seconds - 1.5)
    if bench.worker_pid() != worker:
        raise RuntimeError("the worker went away under load")
    used = [cpu_seconds(pid) - start for pid, start in zip((worker, *pids), before, strict=True)]
    shares.append(used[0] / sum(used[1:]))
    tps = run.finish().tps
    bench.drain()
    return tps
