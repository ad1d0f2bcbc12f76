"""A client gets the matches that it has joined and may see, and no other: whatever the matches are called, whatever it does."""

import random

import pytest
import wire
from test_guard import GUARDED, token
from testkit import rig

CELL = "872a1072bffffff"


def vote(db, match_id, votes=1):
    db.sql("SELECT record_vote(%s, 'home', %s, 'US', %s)", match_id, CELL, votes)


def about(event):
    """The match that an event is about."""
    return event[1].get("matchId") or event[1].get("match")


def of_matches(client):
    """The events about matches that the client got, not those about the relay itself."""
    return [event for event in client.events if not event[0].startswith("relay:")]


def test_a_match_named_like_a_room_of_another(new_relay, db):
    relay = new_relay(**GUARDED)
    names = ["final:r3", "final#match:update", "3:final", "resolution:3:final", "event:match:update:3:final", "match:final"]
    for name in ["final", *names]:
        vote(db, name)
    strangers = []
    for name in names:
        stranger = wire.Client(relay, {"token": token(matches=[name])})
        assert stranger.join("final")["error"] == "forbidden"
        assert all(stranger.join(name, **how)["ok"] for how in ({}, {"resolution": 3}, {"bundle": True}))
        strangers.append(stranger)
    followers = [wire.Client(relay, {"token": token()}) for _ in range(3)]
    for follower, how in zip(followers, ({"resolution": 3}, {"bundle": True}, {"bundle": True, "resolution": 3}), strict=True):
        assert follower.join("final", **how)["ok"]
    vote(db, "final", 7)
    rig.settle(db.connect)
    for follower in followers:
        follower.until(lambda follower=follower: any(name != "match:snapshot" for name, _ in of_matches(follower)))
    for name, stranger in zip(names, strangers, strict=True):
        vote(db, name)
        rig.settle(db.connect)
        stranger.until(lambda stranger=stranger: any(event == "match:update" for event, _ in stranger.events))
        assert {about(event) for event in of_matches(stranger)} == {name}


def test_leaving_one_match_leaves_no_other(new_relay, db):
    relay = new_relay()
    client = wire.Client(relay)
    assert client.join("cup", resolution=1)["ok"] and client.join("cup:r1")["ok"]
    assert client.emit("match:leave", {"matchId": "cup:r1"}) == {"matchId": "cup:r1", "left": True, "ok": True}
    vote(db, "cup")
    client.until(lambda: any(name == "match:stats" and about((name, body)) == "cup" for name, body in client.events))


def test_a_join_that_fails_changes_nothing(new_relay, db):
    relay = new_relay(linger=0.5, **GUARDED)
    vote(db, "final")
    rig.settle(db.connect)
    client = wire.Client(relay, {"token": token(matches=["final"])})
    epoch = client.join("final")["epoch"]
    assert client.join("final", sinceSeq=10**9, epoch=epoch)["error"] == "behind"
    vote(db, "final")
    client.until(lambda: any(name == "match:stats" for name, _ in client.events))
    assert client.emit("auth", {"token": token(matches=["other"])})["left"] == ["final"]
    client.events.clear()
    watcher = wire.Client(relay, {"token": token()})
    watcher.join("final")
    vote(db, "final")
    watcher.until(lambda: any(name == "match:stats" for name, _ in watcher.events))
    assert client.emit("match:leave", {"matchId": "final"})["left"] is False and of_matches(client) == []
    watcher.close()
    client.close()
    rig.eventually("the match is let go", lambda: relay.metric("vote_relay_matches") == 0)


def hostile_names(rng):
    """Names that could be rooms of each other, a property of objects, separators, and 200 bytes of anything."""
    family = ["a", "a:r1", "a:r3", "a#match:stats", "a:r3#match:stats", "3:a", "resolution:3:a"]
    parts = [":", "#", "::", "/", ":r3", "#match:update", "match:", "event:match:stats::", "a", "r3"]
    other = "".join(rng.choice(parts) for _ in range(rng.randint(2, 5)))
    long = "".join(chr(rng.choice([*range(0x21, 0x7F), *range(0xA1, 0x250), *range(0x4E00, 0x4F00)])) for _ in range(200))
    return sorted({*rng.sample(family, 5), "a", other, "__proto__", long.encode()[:200].decode(errors="ignore")})


class Model:
    """A client beside what it should have joined and what its token covers."""

    def __init__(self, relay, operator, subject, names, rng):
        self.relay, self.operator, self.subject, self.names, self.rng = relay, operator, subject, names, rng
        self.joined, self.client, self.kicked = set(), None, []
        self.reconnect()

    def some(self):
        return self.rng.sample(self.names, self.rng.randint(1, len(self.names)))

    def reconnect(self):
        if self.client and self.client not in self.kicked:
            self.client.close()
        self.covered, self.joined = set(self.some()), set()
        self.client = wire.Client(self.relay, {"token": self.token()})

    def token(self):
        return token(sub=self.subject, matches=sorted(self.covered))

    def kick(self):
        """Whatever it has asked for at that moment, it gets nothing afterwards. It comes back as another client."""
        if self.rng.random() < 0.5:
            self.client.ask("match:join", {"matchId": self.rng.choice(self.names)})
        sockets, streams = self.operator.kick(self.subject)
        assert sockets >= 1 and streams == 0  # the relay may not have noticed yet that it closed the one before
        self.client.until(lambda: ("relay:closing", {"reason": "kicked"}) in self.client.events)
        self.client.events.clear()
        self.kicked.append(self.client)
        self.reconnect()

    def step(self):
        do = self.rng.choice([self.join] * 5 + [self.leave] * 2 + [self.renew, self.reconnect, self.fail, self.cross, self.kick])
        do()

    def join(self):
        name = self.rng.choice(self.names)
        how = {"resolution": self.rng.choice([None, 1, 3]), **self.rng.choice([{}, {"bundle": True}, {"events": ["match:stats"]}])}
        answer = self.client.join(name, **how)
        assert answer["ok"] == (name in self.covered), (name, answer)
        self.joined |= {name} & self.covered

    def fail(self):
        """A join that comes too early changes nothing."""
        name = self.rng.choice(self.names)
        answer = self.client.join(name, resolution=99)
        assert not answer["ok"], answer

    def leave(self):
        name = self.rng.choice(self.names)
        assert self.client.emit("match:leave", {"matchId": name})["left"] == (name in self.joined)
        self.joined -= {name}

    def cross(self):
        """A leave that follows a join at once: the client is out, whatever the join says."""
        name = self.rng.choice(self.names)
        numbers = [self.client.ask("match:join", {"matchId": name}), self.client.ask("match:leave", {"matchId": name})]
        self.client.until(lambda: all(number in self.client.answers for number in numbers))
        self.joined -= {name}

    def renew(self):
        covered = set(self.some())
        left = self.client.emit("auth", {"token": token(sub=self.subject, matches=sorted(covered))})["left"]
        assert set(left) == self.joined - covered
        self.covered = covered
        self.joined &= covered

    def check(self, changed):
        """What has come since the last check is about joined matches, and each that changed is among it."""
        self.client.emit("match:leave", {"matchId": "nothing of this name"})
        updates = [event for event in of_matches(self.client) if event[0] != "match:snapshot"]
        self.client.events.clear()
        for client in self.kicked:
            client.listen(0.01)
            assert not of_matches(client), client.events
        self.kicked = [client for client in self.kicked if not client.is_closed]
        found = {about(event) for event in updates}
        assert found == self.joined & changed, (found, self.joined & changed, self.covered)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_clients_do(new_relay, db, seed):
    rng = random.Random(seed)
    print("seed", seed)
    operator = wire.Operator(rig.free_port())
    relay = new_relay(max_joins=10_000, max_events=10_000, admin=operator.address, **GUARDED)
    names = hostile_names(rng)
    for name in names:
        vote(db, name)
    rig.settle(db.connect)
    watcher = wire.Client(relay, {"token": token()})
    watcher.join("watched", bundle=True)
    models = [Model(relay, operator, f"user {number}", names, rng) for number in range(4)]
    for _ in range(30):
        for model in models:
            for _ in range(rng.randint(1, 6)):
                model.step()
            model.client.events.clear()
        changed = set(rng.sample(names, rng.randint(1, len(names))))
        for name in changed:
            vote(db, name)
        rig.settle(db.connect)
        for _ in range(2):  # the second fold comes with a later look, after everything of the first one was sent
            watcher.events.clear()
            vote(db, "watched")
            rig.settle(db.connect)
            watcher.until(lambda: any(name == "match:update" for name, _ in watcher.events))
        for model in models:
            model.check(changed)
