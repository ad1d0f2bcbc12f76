"""Clients know exactly what the database knows, whatever breaks meanwhile.

RELAY_CLIENTS, RELAY_MATCHES, RELAY_LISTENS, RELAY_RESTARTS, RELAY_KILLS and RELAY_SEED make it longer, or the same again.
"""

import os
import random
import time

import psycopg
from testkit import rig
from testkit.cluster import Cluster

CLIENTS = int(os.environ.get("RELAY_CLIENTS", 200))
MATCHES = int(os.environ.get("RELAY_MATCHES", 20))
LISTENS = int(os.environ.get("RELAY_LISTENS", 6))
RESTARTS = int(os.environ.get("RELAY_RESTARTS", 2))  # the last one is a failover
KILLS = int(os.environ.get("RELAY_KILLS", 2))
SEED = int(os.environ.get("RELAY_SEED") or random.randrange(1_000_000))


class Servers:
    """A primary and its synchronous standby, in front of which a proxy always leads to the one that takes votes."""

    def __init__(self, name):
        self.name = name
        self.primary = Cluster(listen_addresses="'127.0.0.1'", port=rig.free_port()).start()
        self.primary.sql(f"CREATE DATABASE {name}")
        self.primary.sql("CREATE EXTENSION vote_agg", dbname=name)
        self.primary.sql("CREATE ROLE relay LOGIN")
        self.primary.sql("SELECT vote_agg.grant_reader('relay')", dbname=name)
        self.current = self.primary
        self.proxy = rig.Proxy(self.primary.port)
        path = self.primary.path / "standby"
        source = ("-h", self.primary.path, "-p", self.primary.port, "-U", "postgres")
        self.primary.run("pg_basebackup", *source, "-D", path / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.standby = Cluster(path, listen_addresses="'127.0.0.1'", port=rig.free_port()).start()
        self.primary.configure(synchronous_standby_names="'*'", synchronous_commit="on")
        self.primary.reload()
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        rig.eventually("the standby streams", lambda: self.primary.sql(state)[0][0])

    def connect(self):
        return self.current.connect(self.name)

    def restart(self):
        self.current.restart("immediate" if random.random() < 0.5 else "fast")

    def fail_over(self):
        self.primary.kill()
        self.standby.run("pg_ctl", "-D", self.standby.data, "-w", "promote")
        self.current = self.standby
        self.proxy.target = self.standby.port
        self.proxy.cut()

    def terminate_listeners(self):
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'vote-agg-relay' AND datname = current_database()"
        try:
            self.current.sql(kill, dbname=self.name)
        except psycopg.OperationalError:
            pass

    def close(self):
        self.proxy.close()
        self.standby.__exit__()
        self.primary.__exit__()


def clients_of(count):
    return [
        {
            "matchId": f"m{n % MATCHES}",
            "resolution": (None, 3, 1)[n // MATCHES % 3],
            "bundle": n % 4 != 3,
            "transports": ["polling", "websocket"] if n % 10 == 9 else ["websocket"],
        }
        for n in range(count)
    ]


def test_nothing_is_missed_whatever_breaks(tmp_path):
    print(f"RELAY_SEED={SEED}")
    chance = random.Random(SEED)
    servers = Servers("truth")
    # Two relays that share nothing but the database; clients move between them.
    dsn = f"postgres://relay@127.0.0.1:{servers.proxy.port}/truth"
    relays = [rig.Relay(dsn, tmp_path / f"relay_{n}.log", slow_timeout=60) for n in range(2)]
    epochs = set()

    def drop(swarm):
        swarm("drop", every=chance.randint(3, 9), offset=chance.randrange(9))

    def stall():
        servers.proxy.stall()
        time.sleep(chance.uniform(0.2, 2))
        servers.proxy.flow()

    def delay():
        servers.proxy.delay = chance.choice([0, 0, 0.02, 0.1])

    def kill_relay():
        relay = chance.choice(relays)
        relay.kill()
        time.sleep(chance.uniform(0, 0.5))
        relay.start(is_ready=False)

    def fail_over():
        epochs.update(epoch for _, epoch, *_ in swarm("heads"))
        servers.fail_over()

    breaks = [servers.terminate_listeners] * LISTENS + [kill_relay] * KILLS + [servers.restart] * (RESTARTS - 1)
    breaks += [stall] * 3 + [servers.proxy.cut] * 3 + [delay] * 4
    chance.shuffle(breaks)
    breaks.insert(len(breaks) * 2 // 3, fail_over)
    try:
        for relay in relays:
            relay.start()
        with rig.Swarm() as swarm:
            swarm("start", urls=[relay.url for relay in relays], clients=clients_of(CLIENTS))
            with rig.Voters(servers.connect, [f"m{n}" for n in range(MATCHES)], threads=3, seed=SEED, crowded=["m0", "m1"]):
                rig.eventually("everybody follows", lambda: all(seq >= 1 for *_, seq, _ in swarm("heads")))
                for number, break_it in enumerate(breaks):
                    print(f"{time.monotonic():.1f} {break_it.__name__}", flush=True)
                    break_it()
                    drop(swarm)
                    time.sleep(chance.uniform(0.2, 1.2))
                    broken = [report["faults"] for report in swarm("reports") if report["faults"]] if number % 5 == 0 else []
                    assert not broken, broken[:3]
            servers.proxy.delay = 0
            reports = rig.assert_truth(servers.connect, swarm)
        counts = {name: sum(report["counts"].get(name, 0) for report in reports) for report in reports for name in report["counts"]}
        print(counts)
        assert counts["resumed"] > 0 and counts["match:snapshot"] > CLIENTS and counts["match:update"] > 10 * CLIENTS
        assert not epochs & {report["state"]["epoch"] for report in reports}, "the failover began new histories"
        for relay in relays:
            assert "panicked" not in relay.log.read_text()
    finally:
        for relay in relays:
            relay.__exit__()
        servers.close()
