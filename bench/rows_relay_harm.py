"""What bad clients and forged notifications cost the relay."""

import time

from bench.load import percentile, say
from bench.relays import Bulk, Crowd, build, private_memory, relay, rig, seq_of, steady
from bench.result import Result, median, ratios
from bench.rows_relay import probe

CLIENTS = 500


# 200 votes a tenth of a second: some 15 KB a fold.
VOTES = """SELECT bulk_increment(%s, array_agg(bench.team(i)), array_agg(bench.cell(floor(random() * 1372)::bigint)))
           FROM generate_series(1, 200) AS i"""


def fill_up(server, clients):
    """Waits until the queues of so many are full, or as long as that commonly takes; returns how many are."""
    time.sleep(8)
    return rig.eventually("they are behind", lambda: (behind := server.metric("vote_relay_behind")) >= clients and behind + 1) - 1


def relay_slow(bench):
    """Of 500 clients a tenth reads slowly and a fiftieth never; then 500 that never read, for their memory."""
    build()
    bench.worker(True)
    match = "slow"
    bench.sql("SELECT record_vote(%s, 'home')", match)
    slow, never = CLIENTS // 10, CLIENTS // 50

    def healthy_waits(is_slow):
        with relay(bench) as server, Crowd(server) as crowd:
            healthy = CLIENTS - (slow + never if is_slow else 0)
            crowd.open(healthy)
            crowd.open(CLIENTS - healthy, receive_buffer=4096)
            crowd.join(match, bundle=True)
            if is_slow:
                crowd("pace", **crowd.those(healthy, healthy + slow), bytes=4_000)
                crowd("pace", **crowd.those(healthy + slow), bytes=0)
            with Bulk(bench, match, VOTES):
                behind = fill_up(server, never if is_slow else 0)
                waits = probe(bench, crowd, match, bench.seconds, 0, healthy)
            assert server.metric("vote_relay_undelivered_total") == 0
        p99 = percentile(waits, 0.99)
        say(f"  {'with' if is_slow else 'without'} slow ones: p99 {p99:.0f} ms, {behind:.0f} behind")
        return p99

    p99 = {True: [], False: []}
    for order in bench.order(p99):
        for is_slow in order:
            p99[is_slow].append(healthy_waits(is_slow))

    grown = []
    for _ in range(bench.rounds):
        with relay(bench) as server, Crowd(server) as crowd:
            crowd.open(1)
            crowd.join(match, bundle=True)
            with Bulk(bench, match, VOTES):
                time.sleep(5)
                before = private_memory(server.process.pid)
                crowd.open(CLIENTS, receive_buffer=4096)
                crowd.join(match, 1, bundle=True)
                crowd("pace", **crowd.those(1), bytes=0)
                behind = fill_up(server, CLIENTS)
                grown.append((private_memory(server.process.pid) - before) / CLIENTS / 1024)
        say(f"  {grown[-1]:.0f} KiB a client that does not read; {behind:.0f} are behind")
    return [
        Result(
            "500 clients, 10 % slow and 2 % not reading: p99 of the others, commit to socket, against without such",
            ratios(p99[True], p99[False]),
            ("≤", 1.2),
            f"{median(p99[True]):.0f} against {median(p99[False]):.0f} ms",
        ),
        Result(f"{CLIENTS} clients that do not read: memory of each", grown, ("≤", 256), unit=" KiB"),
    ]


FORGED = [
    '{"v":1,"match":"calm","seq":999999,"prev":999998,"epoch":"x","stats":{"total":1,"votes":{"evil":1}}}',
    '{"match":"calm"', "garbage", "", "[]", '{"match":' + "[" * 3000, "x" * 7000, '{"match":"' + "y" * 5000 + '"}',
]


def relay_forged(bench):
    """10,000 forged notifications beside the usual votes: the relay's processor time against the same without."""
    build()
    bench.worker(True)
    with bench.connect() as session:
        session.execute("DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    bench.sql("SELECT record_vote('calm', 'home')")

    def measure(clients, is_forged):
        with relay(bench) as server, Crowd(server) as crowd:
            crowd.open(clients)
            crowd.join("calm", bundle=True)
            voters = steady(bench, "calm", 14, 100)
            time.sleep(2)
            before = server.cpu(), time.monotonic()
            if is_forged:
                with bench.connect(user="stranger") as stranger:
                    for n in range(1_250):
                        for payload in FORGED:
                            stranger.execute("SELECT pg_notify('vote_agg', %s)", (payload,))
                        time.sleep(max(0, before[1] + 10 * (n + 1) / 1_250 - time.monotonic()))
            else:
                time.sleep(10)
            share = (server.cpu() - before[0]) / (time.monotonic() - before[1])
            voters.finish()
            bench.drain()
            crowd.assert_all_know(seq_of(bench, "calm"))
        say(f"  {clients} clients, {'forged' if is_forged else 'calm'}: {share:.4f} of a core")
        return share

    results = []
    for clients in (1, 100):
        shares = {True: [], False: []}
        for order in bench.order(shares):
            for is_forged in order:
                shares[is_forged].append(measure(clients, is_forged))
        results.append(
            Result(
                f"10,000 forged notifications in 10 s, {clients} client{'s' * (clients > 1)}: processor time of the relay against without",
                ratios(shares[True], shares[False]),
                ("≤", 2),
                f"{median(shares[True]) * 100:.2f} against {median(shares[False]) * 100:.2f} % of a core",
            )
        )
    return results
