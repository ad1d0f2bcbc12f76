"""Votes a second through the door against what others would put in its place: everything on one machine, the voters too."""

import functools

from bench.doors import CONNECTIONS, Redis, Voters, api, assert_counted, build, door, new_match, pace, postgres_api
from bench.load import say
from bench.result import Result, median, ratios

SOCKETS = 1_000
LIST = 100  # votes in a request of a back end
LISTS = 32  # connections of back ends
PIPELINE = 16
TOKENS = 100_000  # a second of a round: more voters than these get their tokens meanwhile


def door_votes(bench):
    """Each way of voting once a round, all with voters that have not voted before."""
    build()
    with Voters() as voters:
        voters("sign", count=TOKENS * bench.seconds)
        ways = {
            "door": lambda: ours(bench, voters, "door"),
            "api": lambda: postgres(bench, voters),
            "redis": lambda: redis_alone(bench, "always"),
            "redis_api": lambda: redis_api(bench, voters),
            "sockets": lambda: ours(bench, voters, "socket", connections=SOCKETS),
            "lists": lambda: ours(bench, voters, "list", connections=LISTS, size=LIST),
            "pipelines": lambda: redis_alone(bench, "always", PIPELINE),
            "everysec": lambda: redis_alone(bench, "everysec"),
        }
        paces = alternate(bench, ways)
    mid = {name: f"{median(values):,.0f}" for name, values in paces.items()}
    return [
        Result(
            f"votes through the door, HTTP, {CONNECTIONS} connections that stay, each voter with a token, against fastify + pg with cast_vote",
            ratios(paces["door"], paces["api"]),
            ("≥", 6),
            f"{mid['door']} against {mid['api']} votes/s, whose API looks at no token",
        ),
        Result(
            "the same against redis-benchmark, AOF always",
            ratios(paces["door"], paces["redis"]),
            ("≥", 1),
            f"against {mid['redis']} votes/s; with AOF everysec, which loses acknowledged votes, {mid['everysec']}",
        ),
        Result(
            "the same against fastify + ioredis in front of that Redis",
            ratios(paces["door"], paces["redis_api"]),
            ("≥", 4),
            f"against {mid['redis_api']} votes/s",
        ),
        Result(
            f"votes through the door, Socket.IO, {SOCKETS:,} sockets with acknowledgements, against redis-benchmark, AOF always",
            ratios(paces["sockets"], paces["redis"]),
            ("≥", 1.3),
            f"{mid['sockets']} against {mid['redis']} votes/s",
        ),
        Result(
            f"votes through the door, {LIST} a request of a back end, against redis-benchmark with pipelines of {PIPELINE}, AOF always",
            ratios(paces["lists"], paces["pipelines"]),
            ("≥", 1),
            f"{mid['lists']} against {mid['pipelines']} votes/s",
        ),
    ]


def alternate(bench, ways):
    """Votes/s of each way by round."""
    paces = {name: [] for name in ways}
    for order in bench.order(ways):
        for name in order:
            bench.worker(True)
            bench.sql("CHECKPOINT")
            paces[name].append(ways[name]())
            bench.drain()
            say(f"  {name}: {paces[name][-1]:,.0f} votes/s")
    return paces


def ours(bench, voters, way, **options):
    with door(bench) as relay:
        return pace(vote(bench, voters, relay.port, way, **options))


def vote(bench, voters, port, way, seconds=None, rate=None, **options):
    """A run of votes in a match of its own, all of which the database counts."""
    match = new_match(bench)
    voters.open(port, way, match, **options)
    run = voters.vote(seconds or bench.seconds, rate=rate)
    assert_counted(bench, match, run)
    return run


def postgres(bench, voters):
    with postgres_api(bench) as process:
        return pace(vote(bench, voters, process.port, "api"))


@functools.cache
def calibrated(appendfsync, pipeline):
    """Votes a second, about: redis-benchmark wants to know how many there are, not for how long."""
    with Redis(appendfsync) as redis:
        return redis.benchmark(50_000, pipeline)


def redis_alone(bench, appendfsync, pipeline=1):
    votes = int(calibrated(appendfsync, pipeline) * bench.seconds)
    with Redis(appendfsync) as redis:
        return redis.benchmark(votes, pipeline)


def redis_api(bench, voters):
    with Redis("always") as redis, api("redis", REDIS_PORT=str(redis.port)) as process:
        voters.open(process.port, "api", "match")
        run = voters.vote(bench.seconds)
        if (found := int(redis.ask("HLEN", "match:voters"))) != run["counted"]:
            raise RuntimeError(f"{run['counted']} votes were acknowledged, Redis has {found}")
        return pace(run)


def door_slow_disk(bench):
    """The same votes over HTTP where a flush takes 1 ms longer, as on the network disks of clouds: the sleep stands in for the disk."""
    build()

    def slowed(voters):
        bench.cluster.configure(commit_delay=1000, commit_siblings=0)
        bench.cluster.reload()
        try:
            return ours(bench, voters, "door")
        finally:
            bench.cluster.configure(commit_delay=0, commit_siblings=5)
            bench.cluster.reload()

    with Voters() as voters:
        voters("sign", count=TOKENS * bench.seconds)
        paces = alternate(bench, {"as it is": lambda: ours(bench, voters, "door"), "slowed": lambda: slowed(voters)})
    return [
        Result(
            "votes through the door, HTTP, where a flush takes 1 ms longer, against where it does not",
            ratios(paces["slowed"], paces["as it is"]),
            ("≥", 0.9),
            f"{median(paces['slowed']):,.0f} against {median(paces['as it is']):,.0f} votes/s",
        )
    ]
