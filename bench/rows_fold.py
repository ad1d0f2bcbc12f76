"""Folding, and how soon a listener hears of a vote."""

import bisect
import json
import random
import threading
import time

from bench.load import our_votes, percentile, say
from bench.result import Result, median, ratios
from testkit.poison import Poison

FOLD_INTERVAL = 100  # milliseconds, the default
# Each cell votes for one team only, so that both sides write the same number of rows: 160,000 less the countries.
VOTES = "bench.votes(1000000, 159900, true)"


def fold(bench):
    bench.worker(False)
    bench.clear_peers()
    bench.drain()

    def ours():
        bench.sql(f"SELECT count(record_vote('fold', team_choice, h3_index, country_code)) FROM {VOTES}")
        return bench.timed("SELECT vote_agg.fold()")

    def plain():
        bench.sql(f"INSERT INTO peer.pending SELECT 'fold', team_choice, h3_index, country_code, 1, now() FROM {VOTES}")
        return bench.timed("SELECT peer.fold()")

    ways = {"ours": ours, "plain": plain}
    seconds = {name: [] for name in ways}
    for run in ways.values():  # the first time only adds rows
        run()
    for order in bench.order(ways):
        bench.sql("VACUUM")
        for name in order:
            seconds[name].append(ways[name]())
            bench.drain()
    say("  " + ", ".join(f"{name}: {median(values):.2f} s" for name, values in seconds.items()))
    return [
        Result(
            "fold of 1,000,000 rows into 160,000 keys against plain SQL",
            ratios(seconds["plain"], seconds["ours"]),
            ("≥", 1.0),
            f"{median(seconds['ours']):.2f} against {median(seconds['plain']):.2f} s",
        ),
    ]


def latency(bench):
    """Probe votes go to a match of their own: the message that carries its n-th vote tells that vote n was heard of."""
    rate = bench.full_rate / 2
    bench.worker(True)
    heard = []  # (votes counted so far, when)
    listener = bench.connect()
    listener.execute("LISTEN vote_agg")

    def listen():
        for notify in listener.notifies():
            now = time.perf_counter()
            if notify.payload == "enough":
                return
            body = json.loads(notify.payload)
            if body["match"] == "probe":
                heard.append((body["stats"]["total"], now))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    bench.sql("CHECKPOINT")
    length = bench.rounds * bench.seconds
    voters = bench.start(our_votes("hot"), seconds=length + 2, rate=rate)
    committed = []
    with bench.connect() as voter:
        deadline = time.monotonic() + length
        while time.monotonic() < deadline:
            voter.execute("SELECT record_vote('probe', 'home')")
            committed.append(time.perf_counter())
            time.sleep(random.uniform(0.02, 0.15))  # in no step with the folds
    voters.finish()
    time.sleep(1)
    bench.sql("SELECT pg_notify('vote_agg', 'enough')")
    listening.join()
    listener.close()
    arrivals = [heard[bisect.bisect_left(heard, (n, 0))][1] for n in range(1, len(committed) + 1)]
    waits = [(arrival - at) * 1000 for arrival, at in zip(arrivals, committed, strict=True)]
    info = f"{len(waits):,} probes at {rate:,.0f} votes/s, fold_interval {FOLD_INTERVAL} ms, longest {max(waits):.0f} ms"
    say(f"  {info}")
    return [
        Result(
            "commit to NOTIFY received, half load, p50 against fold_interval",
            [percentile(waits, 0.5) / FOLD_INTERVAL],
            ("≤", 1),
            info,
        ),
        Result("the same, p99", [percentile(waits, 0.99) / FOLD_INTERVAL], ("≤", 3)),
    ]


MATCHES, EACH, PROBED = 1_000, 4, 20  # matches, of which so many are poisoned in each of five ways; healthy ones that are probed
VOTE = "\\set n random(0, {last})\nSELECT record_vote('match ' || :n, 'home', NULL::bigint, 'FR');\n"
BAD = "\\set n random(0, 3)\nSELECT record_vote('poison {kind} ' || :n, 'home', NULL::bigint, 'FR');\n"


def poisoned(bench):
    """A thousand matches at full load, without and with twenty that cannot be folded: how late the others are in the feed."""
    bench.worker(True)
    results = []
    for name, limit in (("without", None), ("with", ("≤", 3))):
        bench.create_database("poisoned")
        try:
            waits, tps = many_matches(bench, is_poisoned=name == "with")
        finally:
            bench.sql("DROP DATABASE poisoned WITH (FORCE)")
        late = percentile(waits, 0.99) / FOLD_INTERVAL
        info = f"{len(waits):,} probes at {tps:,.0f} votes/s, p50 {percentile(waits, 0.5):.0f} ms, longest {max(waits):.0f} ms"
        say(f"  {name}: p99 {late:.2f} fold intervals; {info}")
        if limit:
            title = f"{MATCHES:,} matches at full load, {5 * EACH} of them poisoned: commit to feed of the others, p99 against fold_interval"
            results.append(Result(title, [late], limit, info))
    bench.worker(False)
    return results


def many_matches(bench, is_poisoned):
    bench.sql("ALTER DATABASE poisoned SET vote_agg.max_teams = 10")

    def connect(**options):
        return bench.connect("poisoned", **options)

    poison = Poison(connect, EACH)
    last = MATCHES - len(poison.names) - PROBED - 1
    scripts = [VOTE.format(last=last)] * 48 + [BAD.format(kind=kind) for kind in ("row", "sum", "trigger", "teams", "lock")]
    with connect() as session, connect() as stranger:
        everybody = [*poison.names, *(f"match {n}" for n in range(last + 1))]
        elements = "SELECT jsonb_agg(jsonb_build_object('match_id', m, 'team_choice', 'home', 'country_code', 'FR')) FROM unnest(%s::text[]) m"
        session.execute(f"SELECT bulk_increment(({elements}))", (everybody,))
        bench.drain("poisoned")
        if is_poisoned:
            poison.pour(session, stranger)
        measured = probed(bench, connect, scripts)
        aside = session.execute("SELECT coalesce(set_aside, '{}') FROM vote_agg.stat_fold").fetchone()[0]
        stranger.execute("ROLLBACK")
    expected = poison.names if is_poisoned else []
    assert sorted(aside) == sorted(expected), f"set aside are {aside}"
    return measured


def probed(bench, connect, scripts):
    """Milliseconds from the commit of each probe to its notification, and the votes a second of the load beside them."""
    names = [f"probe {n}" for n in range(PROBED)]
    heard = {name: [] for name in names}
    listener = connect()
    listener.execute("LISTEN vote_agg")
    before = dict(listener.execute("SELECT match_id, total_votes FROM vote_agg.live_stats() WHERE match_id = ANY (%s)", (names,)).fetchall())

    def listen():
        for notify in listener.notifies():
            now = time.perf_counter()
            if notify.payload == "enough":
                return
            if "probe " in notify.payload:
                body = json.loads(notify.payload)
                heard[body["match"]].append((body["stats"]["total"] - before.get(body["match"], 0), now))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    length = bench.rounds * bench.seconds
    load = bench.start(scripts, seconds=length + 2, clients=16, dbname="poisoned")
    committed = {name: [] for name in names}
    with connect() as voter:
        deadline = time.monotonic() + length
        while time.monotonic() < deadline:
            name = random.choice(names)
            voter.execute("SELECT record_vote(%s, 'home')", (name,))
            committed[name].append(time.perf_counter())
            time.sleep(random.uniform(0.01, 0.08))
        load.finish()
        time.sleep(3)
        voter.execute("SELECT pg_notify('vote_agg', 'enough')")
    listening.join()
    listener.close()
    waits = [
        (heard[name][bisect.bisect_left(heard[name], (n, 0))][1] - at) * 1000
        for name in names for n, at in enumerate(committed[name], 1)
    ]
    return waits, load.tps
