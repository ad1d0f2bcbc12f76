"""Measures vote_agg against what a competent user would write, on one private cluster, in alternating rounds.

Prints a table of ratios. Those that count are kept in bench/RESULTS.md by hand, since it also says what they are about.
Needs the extension installed (`make install`).
"""

import argparse
import datetime
import os
import pathlib
import re
import subprocess
import sys

from bench import rows_ballot, rows_bulk, rows_door, rows_door_durable, rows_door_wait, rows_fold, rows_long, rows_map, rows_nodes, rows_read, rows_relay, rows_relay_area, rows_relay_crowd, rows_relay_harm, rows_source, rows_verify, rows_vote
from bench.load import SETTINGS, Bench, say
from bench.result import table
from testkit.cluster import PG_CONFIG, Cluster

ROWS = {
    "hot_votes": rows_vote.hot_votes,
    "slow_disk": rows_vote.slow_disk,
    "ballots": rows_ballot.ballots,
    "many_ballots": rows_ballot.many_ballots,
    "bulk_json": rows_bulk.bulk_json,
    "bulk_arrays": rows_bulk.bulk_arrays,
    "stats": rows_read.stats,
    "snapshot": rows_read.snapshot,
    "roll_up": rows_map.roll_up,
    "geojson": rows_map.geojson,
    "parts": rows_map.parts,
    "fold": rows_fold.fold,
    "latency": rows_fold.latency,
    "poisoned": rows_fold.poisoned,
    "source_rows": rows_source.source_rows,
    "source_bulk": rows_source.source_bulk,
    "old_snapshot": rows_long.old_snapshot,
    "scale": rows_long.scale,
    "memory": rows_long.memory,
    "verify": rows_verify.verify,
    "front": rows_nodes.front,
    "scaling": rows_nodes.scaling,
    "relay_cpu": rows_relay.relay_cpu,
    "relay_resolution": rows_relay.relay_resolution,
    "relay_area": rows_relay_area.relay_area,
    "relay_parts": rows_relay.relay_parts,
    "relay_idle": rows_relay.relay_idle,
    "relay_latency": rows_relay.relay_latency,
    "relay_crowd": rows_relay.relay_crowd,
    "relay_joins": rows_relay.relay_joins,
    "relay_slow": rows_relay_harm.relay_slow,
    "relay_forged": rows_relay_harm.relay_forged,
    "relay_hostile": rows_relay_crowd.relay_hostile,
    "relay_return": rows_relay_crowd.relay_return,
}
# What needs Redis and the packages of bench/peers/api (scripts/setup --peers).
PEERS = {
    "door_durable": rows_door_durable.door_durable,
    "door_votes": rows_door.door_votes,
    "many_ballots": rows_ballot.many_ballots,
    "door_half": rows_door_wait.door_half,
    "door_lone": rows_door_wait.door_lone,
    "door_slow_disk": rows_door.door_slow_disk,
    "door_notify": rows_door_wait.door_notify,
    "door_sockets": rows_door_wait.door_sockets,
    "door_memory": rows_door_wait.door_memory,
    "door_map": rows_door_wait.door_map,
}
ALL = ROWS | PEERS


def flush_cost(cluster):
    """Microseconds that the disk takes to make one 8 kB write durable."""
    out = cluster.run("pg_test_fsync", "-s", 1, "-f", cluster.path / "fsync_test")
    return int(re.search(r"one 8kB write.*?\bfdatasync\s+[\d.]+ ops/sec\s+(\d+) usecs", out, re.S)[1])


def machine(cluster):
    """What the figures depend on."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = cluster.sql("SHOW server_version")[0][0]
    settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    return (
        f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GB memory, Linux {os.uname().release.split('-')[0]}, PostgreSQL {version}; "
        f"a flush (fdatasync of 8 kB) takes {flush_cost(cluster)} µs. pgbench runs on the same machine; "
        f"load average before the run {os.getloadavg()[0]:.1f}. "
        f"Settings: {settings}; everything else, autovacuum and synchronous_commit = on among it, at its default."
    )


def report(results, about, args):
    rounds = "quick run: " if args.quick else ""
    return (
        f"`make bench` on {datetime.date.today()}. {about}\n\n"
        f"Measured in alternating rounds ({rounds}{args.rounds} rounds, {args.seconds} s where something runs for a time). "
        f"The peers are in `peers/`.\n\n{table(results)}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME[,NAME]", help=f"some of: {', '.join(ALL)}")
    parser.add_argument("--peers", action="store_true", help=f"the door against Redis and Node.js APIs: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, help="default 5; 2 with --quick")
    parser.add_argument("--seconds", type=int, help="length of a timed run; default 10; 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="a few minutes: to see that everything works, not for figures")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = max(3, args.seconds or (3 if args.quick else 10))
    only = args.only.split(",") if args.only else PEERS if args.peers else ROWS
    if unknown := set(only) - set(ALL):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")

    library = pathlib.Path(subprocess.check_output([PG_CONFIG, "--pkglibdir"], text=True).strip(), "vote_agg.so")
    installed = library.stat().st_mtime
    results = []
    with Cluster(**SETTINGS) as cluster:
        about = machine(cluster)
        bench = Bench(cluster, args.rounds, args.seconds, args.quick)
        for name in (name for name in ALL if name in only):
            say(name)
            results += ALL[name](bench)
    if library.stat().st_mtime != installed:
        raise SystemExit("another build was installed meanwhile: the figures are of two versions")
    print(report(results, about, args))
    return 0 if all(result.is_met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
