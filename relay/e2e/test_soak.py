"""Clients that come and go, much faster than people do: memory and descriptors stay as they are.

RELAY_SOAK_SECONDS says how long, SOAK_SEED which lives. The clock decides when to look, never what is found. A cut of seconds, as in
`make test`, sees descriptors and some kilobytes a life; minutes see what grows by less.
"""

import itertools
import os
import pathlib
import random
import socket
import threading
import time

import wire
from testkit import rig

SECONDS = float(os.environ.get("RELAY_SOAK_SECONDS", 25))
SEED = int(os.environ.get("SOAK_SEED") or random.randrange(1_000_000))
THREADS = 4
WARM_UP = 1 / 3
ROUND = 60  # lives of each thread between two looks
MATCHES = ["final", "cup", "league"]
SOUND = {b"200", b"429"}  # all of them together may ask for more than the relay does for all
BLOCKS = 6
LONGER = (0, 30, 60, 90)  # seconds: an allocator keeps what it once had, and comes to a level later where lives are few


class Lives:
    """Clients in one thread, one after the other, of every kind."""

    def __init__(self, relay, seed):
        self.relay, self.rng = relay, random.Random(seed)

    @property
    def address(self):
        """One of many: one address alone may not cost the relay so much. The relay keeps accounts of the addresses that it met, up to a
        number; so these are few enough to have come in the warm-up."""
        return f"127.7.{self.rng.randrange(128)}.1"

    def round(self):
        for _ in range(ROUND):
            self.rng.choice((self.polite, self.abrupt, self.resuming, self.stream, self.polling, self.reader, self.silent))()

    def client(self, **more):
        return wire.Client(self.relay, address=self.address, **more)

    def match(self):
        return self.rng.choice(MATCHES)

    def join(self, client, match, **wish):
        answer = client.join(match, **wish)
        assert answer["ok"] or answer["error"] == "busy", answer
        return answer

    def polite(self):
        client = self.client()
        for match in self.rng.sample(MATCHES, 2):
            self.join(client, match, resolution=self.rng.choice((None, 0, 3)), bundle=self.rng.random() < 0.5)
        client.listen(self.rng.uniform(0, 0.05))
        client.emit("match:leave", {"matchId": match})
        client.send("41/votes,")
        client.close()

    def abrupt(self):
        client = self.client()
        client.ask("match:join", {"matchId": self.match(), "bundle": True})
        client.close()

    def silent(self):
        self.client(namespace=self.rng.random() < 0.5).close()

    def resuming(self):
        client, match = self.client(), self.match()
        known = self.join(client, match, bundle=True)
        client.close()
        client = self.client()
        since = {"sinceSeq": known["seq"], "epoch": known["epoch"]} if known["ok"] else {}
        self.join(client, match, bundle=True, **since)
        client.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.relay.port), timeout=rig.PATIENCE, source_address=(self.address, 0))

    def stream(self):
        with self.connect() as connection:
            connection.sendall(f"GET /matches/{self.match()}/events HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
            assert connection.recv(65536)[9:12] in SOUND

    def polling(self):
        where = f"{self.relay.url}/socket.io/?EIO=4&transport=polling"
        sid = rig.get(where)[2].split(b'"sid":"')[1].split(b'"')[0].decode()
        for packet in ("40/votes,", f'42/votes,1["match:join","{self.match()}"]', "1"):
            with self.connect() as connection:
                head = f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(packet)}\r\n\r\n"
                connection.sendall((head + packet).encode())
                if connection.recv(4096)[9:12] != b"200":
                    return  # it came too late: its time to join is over
            if packet == "40/votes,":  # from its answer on, the client may speak
                status, body = 200, b""
                while status == 200 and b"40/votes," not in body:
                    status, _, body = rig.get(f"{where}&sid={sid}")

    def reader(self):
        what = self.rng.choice(("stats", "aggregates?resolution=2", f"aggregates?min_votes={self.rng.randrange(50)}", "timeline", "flips", "geojson?resolution=1"))
        encoding = self.rng.choice(("br", "gzip", "identity"))
        status, _, _ = rig.get(f"{self.relay.url}/matches/{self.match()}/{what}", **{"Accept-Encoding": encoding})
        assert str(status).encode() in SOUND


def descriptors(relay):
    return len(list(pathlib.Path(f"/proc/{relay.process.pid}/fd").iterdir()))


def grows(memory):
    """Its least rises from each block to the next. What an allocator holds goes up and down by megabytes, for minutes at a time, so a line
    through it has a slope without any leak. A leak goes up only."""
    size = len(memory) // BLOCKS
    least = [min(memory[n : n + size]) for n in range(len(memory) % BLOCKS, len(memory), size)]
    return all(one < next for one, next in itertools.pairwise(least))


def test_a_leak_is_seen_beside_what_an_allocator_does():
    chance = random.Random(1)
    level = [25e6 + chance.uniform(-2e6, 2e6) for _ in range(60)]
    assert not grows(level) and not grows(sorted(level)[:30] + level[30:]), "at the begin it comes to its level"
    assert grows([one + 240 * 1_500 * n for n, one in enumerate(level)]), "1,500 bytes a life"


def test_nothing_grows(db, new_relay):
    for match in MATCHES:
        db.sql("SELECT record_vote(%s, 'home')", match)
    limits = {"max_requests": 1_000_000, "max_joins": 1_000, "max_events": 1_000, "max_clients_per_ip": 20_000}
    relay = new_relay(linger=3, handshake_timeout=30, **limits)
    print(f"SOAK_SEED={SEED}")
    threads = [Lives(relay, f"{SEED}/{n}") for n in range(THREADS)]
    points, failures, lives, longer = [], [], 0, list(LONGER)

    def run(one):
        try:
            one.round()
        except Exception as failure:
            failures.append(failure)

    began = time.monotonic()
    with rig.Voters(db.connect, MATCHES, threads=1):
        while True:
            running = [threading.Thread(target=run, args=(one,)) for one in threads]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
            assert not failures, failures
            lives += ROUND * THREADS
            rig.eventually("all have gone", lambda: relay.metric("vote_relay_clients") == relay.metric("vote_relay_streams") == 0)
            # A connection that has just ended may be counted still: the fewest of some looks are those that stay.
            points.append((lives, relay.memory(), min(descriptors(relay) for _ in range(20) if time.sleep(0.02) is None)))
            settled = points[int(len(points) * WARM_UP) :]
            if len(settled) >= BLOCKS and time.monotonic() - began > SECONDS + longer[0]:
                is_growing = grows([memory for _, memory, _ in settled])
                if not is_growing or not longer[1:]:
                    break
                del longer[0]
    print(f"{lives} lives: {settled[0][1] / 1e6:.1f} MB, then {settled[-1][1] / 1e6:.1f} MB")
    print(f"descriptors {settled[0][2]} to {settled[-1][2]}")
    assert not is_growing, points
    fds = [fd for *_, fd in settled]
    assert max(fds[len(fds) // 2 :]) <= max(fds[: len(fds) // 2]) + 2, fds
