"""Is a vote durable when it is acknowledged? Each way of voting, a kill under load, and a disk that forgets what was not flushed."""

import hashlib
import hmac
import threading

from bench.doors import SECRET, Redis, Voters, api, build, door, new_match, postgres_api
from bench.durable import Disk
from bench.load import SETTINGS, Bench, say
from bench.result import Result
from bench.rows_door import LIST, LISTS, SOCKETS
from testkit.cluster import Cluster

UNTIL_KILL = 3.3  # seconds, not a whole number: everysec flushes each second


def door_durable(_):
    """Acknowledged votes that are gone afterwards. With everysec, and without fsync, some must be: else the check sees nothing."""
    build()
    with Voters() as voters:
        voters("sign", count=200_000)
        lost = {
            "fastify + pg": in_postgres(voters, postgres_api, "api", lambda voter, match: voter),
            "door, HTTP": in_postgres(voters, door, "door", hashed),
            "door, Socket.IO": in_postgres(voters, door, "socket", hashed, connections=SOCKETS),
            "door, lists": in_postgres(voters, door, "list", hashed, connections=LISTS, size=LIST),
            "fastify + ioredis, AOF always": in_redis(voters, "always"),
        }
        controls = {
            "fastify + ioredis, AOF everysec": in_redis(voters, "everysec"),
            "door, HTTP, with fsync = off": in_postgres(voters, door, "door", hashed, {"fsync": "off"}),
        }
    title = "acknowledged votes that are lost with what was not flushed"
    return [
        *(Result(f"{title}: {name}", [gone], ("≤", 0), f"of {told:,}") for name, (gone, told) in lost.items()),
        *(Result(f"{title}, of which the check must see some: {name}", [gone], ("≥", 1), f"of {told:,}") for name, (gone, told) in controls.items()),
    ]


def told_until(voters, kill):
    """The voters whose votes were acknowledged before the server was killed."""
    killer = threading.Timer(UNTIL_KILL, kill)
    killer.start()
    run = voters("vote", seconds=UNTIL_KILL + 0.5, told=True)
    killer.join()
    if not run["told"]:
        raise RuntimeError(f"no vote was acknowledged: {run}")
    return [f"{number:012}" for number in run["told"]]


def in_postgres(voters, process, way, name, settings=None, **options):
    """How many acknowledged votes are lost, and of how many."""
    with Disk("pg_wal") as disk, Cluster(**{**SETTINGS, **(settings or {})}) as cluster:
        bench = Bench(cluster, 1, 1, True)
        cluster.stop()
        with disk.inserted():
            cluster.start()
        match = new_match(bench)
        with process(bench) as server:
            voters.open(server.port, way, match, **options)
            told = told_until(voters, cluster.kill)
        undone = disk.forget(cluster.data / "pg_wal")
        cluster.start()
        kept = {voter for (voter,) in bench.sql("SELECT voter_id FROM vote_agg.ballot WHERE match_id = %s", match)}
        wrong = bench.sql("SELECT check_name FROM verify_match(%s) WHERE NOT ok", match)
        assert not wrong, wrong
    gone = sum(name(voter, match) not in kept for voter in told)
    say(f"  {way}: {gone} of {len(told):,} acknowledged votes lost, {undone} writes undone")
    return gone, len(told)


def hashed(voter, match):
    """The voter's name in the ballots of this match (door/src/voter.rs)."""
    parts = (part.encode() for part in ("sub", "", voter, match))
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(SECRET.encode(), message, hashlib.sha256).digest()[:16].hex()


def in_redis(voters, appendfsync):
    with Disk("appendonlydir") as disk, Redis(appendfsync) as redis:
        redis.kill()
        with disk.inserted():
            redis.start()
        with api("redis", REDIS_PORT=str(redis.port)) as process:
            voters.open(process.port, "api", "match")
            told = told_until(voters, redis.kill)
        undone = disk.forget(redis.folder)
        redis.start()
        kept = set(redis.ask("HKEYS", "match:voters").split())
    gone = sum(voter not in kept for voter in told)
    say(f"  Redis, {appendfsync}: {gone} of {len(told):,} acknowledged votes lost, {undone} writes undone")
    return gone, len(told)
