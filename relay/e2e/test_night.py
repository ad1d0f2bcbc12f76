"""A bad night: the database is away, a relay ends, clients come back."""

import http.client
import json
import signal
import socket

import pytest
import wire
from test_costs import has_ended, status_of
from testkit import rig

CELL = "872a1072bffffff"


def vote(db, votes=1):
    db.sql("SELECT record_vote('final', 'home', %s, 'US', %s)", CELL, votes)
    rig.settle(db.connect)


@pytest.fixture
def proxy(db):
    proxy = rig.Proxy(db.cluster.tcp_port)
    yield proxy
    proxy.close()


def stream_of(relay):
    """An event stream: the connection and the answer, which may begin when the match can be read."""
    stream = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
    stream.request("GET", "/matches/final/events")
    answer = stream.getresponse()
    assert answer.status == 200
    return stream, answer


def line_with(answer, word):
    """Reads a stream up to a line with that word."""
    while word not in (line := answer.readline()):
        assert line, f"the stream has ended without {word}"


def told(client):
    """What the client was last told of staleness; None where nothing was."""
    client.listen(0.05)
    return ([body["since"] for name, body in client.events if name == "relay:stale"] or [None])[-1]


def test_clients_are_told_that_the_database_is_away(new_relay, db, proxy):
    vote(db)
    relay = new_relay(dsn=db.url(port=proxy.port))
    client = wire.Client(relay)
    client.until(lambda: client.events)
    assert client.events[:1] == [("relay:welcome", {"window": 3000})] and client.join("final")["ok"]
    stream, answer = stream_of(relay)
    assert answer.getheader("x-accel-buffering") == "no"
    proxy.stall()
    proxy.cut()
    since = rig.eventually("it is told", lambda: told(client))
    assert since.endswith("Z")
    line_with(answer, b"relay:stale")
    assert json.loads(answer.readline().removeprefix(b"data: ")) == {"since": since}
    late = wire.Client(relay)
    rig.eventually("who comes later is told too", lambda: told(late) == since)
    proxy.flow()
    rig.eventually("all is well again", lambda: told(client) is None)
    vote(db)
    client.until(lambda: any(name == "match:stats" for name, _ in client.events))
    stream.close()


def test_a_relay_is_ready_once_its_clients_know_that_the_loss_is_over(new_relay, db, proxy):
    """A client that a balancer sends there as soon as it is ready hears nothing of the loss."""
    relay = new_relay(dsn=db.url(port=proxy.port))
    client = wire.Client(relay)
    for _ in range(3):
        proxy.stall()
        proxy.cut()
        rig.eventually("it is told", lambda: told(client))
        proxy.flow()
        rig.eventually("it is ready", lambda: rig.get(f"{relay.url}/ready")[0] == 200)
        assert told(wire.Client(relay)) is None
        rig.eventually("all know", lambda: told(client) is None)


def test_a_relay_without_its_database_sends_clients_elsewhere(new_relay, db, proxy):
    vote(db)
    relay = new_relay(dsn=db.url(port=proxy.port), stale_timeout=3)
    client, (_, answer) = wire.Client(relay), stream_of(relay)
    proxy.stall()
    proxy.cut()
    rig.eventually("it is sent away", lambda: has_ended(client))
    assert client.events[-1] == ("relay:closing", {"reason": "stale", "window": 3000})
    assert status_of(relay, wire.request()) == 503
    while answer.readline():  # the stream ends too
        pass
    proxy.flow()
    rig.eventually("clients may come again", lambda: status_of(relay, wire.request()) == 101)


def test_an_event_stream_waits_for_a_match_that_cannot_be_read(new_relay, db, proxy):
    """Browsers give a stream up for good that an error answers."""
    vote(db)
    relay = new_relay(dsn=db.url(port=proxy.port))
    proxy.stall()
    proxy.cut()
    stream, answer = stream_of(relay)
    line_with(answer, b"relay:stale")
    assert json.loads(answer.readline().removeprefix(b"data: "))["since"].endswith("Z")
    proxy.flow()
    line_with(answer, b"match:snapshot")
    vote(db)
    line_with(answer, b"match:update")
    stream.close()


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"]], ids="+".join)
def test_clients_that_begin_with_polling_are_sent_elsewhere(new_relay, swarm, transports):
    """Such a session has one connection after the other: the one that it began with is not the one to end."""
    relay = new_relay(drain=120)
    swarm("open", name="a", url=relay.url, options={"transports": transports})
    rig.eventually("it uses its last transport", lambda: swarm("transport", name="a") == transports[-1])
    relay.process.send_signal(signal.SIGTERM)
    rig.eventually("it is told", lambda: ["relay:closing", {"reason": "draining", "window": 3000}] in swarm("events", name="a"))
    # A lost transport, after which clients connect again by themselves.
    end = rig.eventually("it loses its connection", lambda: (last := swarm("events", name="a")[-1])[0] == "disconnect" and last)
    assert end[1].startswith("transport") and relay.process.poll() is None
    relay.kill()


def test_a_relay_that_ends_is_unready_before_it_is_gone(new_relay):
    relay = new_relay(drain=25)
    clients = [wire.Client(relay) for _ in range(4)]
    relay.process.send_signal(signal.SIGTERM)
    rig.eventually("it is not ready", lambda: rig.get(f"{relay.url}/ready")[0] == 503)
    assert status_of(relay, wire.request()) == 503
    for client in clients:
        rig.eventually("it is told to go", lambda client=client: has_ended(client))
        assert client.events[-1] == ("relay:closing", {"reason": "draining", "window": 3000})
    assert relay.process.wait(timeout=rig.PATIENCE) == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", relay.port))


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"], ["websocket"]])
def test_a_client_is_sent_away_however_it_came(new_relay, swarm, transports):
    relay = new_relay(drain=30)
    assert swarm("open", name="a", url=relay.url, options={"transports": transports})["connected"]
    rig.eventually("it is upgraded", lambda: swarm("transport", name="a") == transports[-1])
    relay.process.send_signal(signal.SIGTERM)
    rig.eventually("it has gone", lambda: not swarm("connected", name="a"))
    assert relay.process.poll() is None  # it did not wait for the relay's own end, which some clients take for good
    farewell = ["relay:closing", {"reason": "draining", "window": 3000}]
    assert swarm("events", name="a")[-2:] == [farewell, ["disconnect", "transport error" if transports == ["polling"] else "transport close"]]


@pytest.mark.parametrize("resolution", [None, 3])
def test_a_client_resumes_at_any_resolution(new_relay, db, resolution):
    how = {"bundle": True, "resolution": resolution}
    relay = new_relay()
    for _ in range(3):
        vote(db)
    first = wire.Client(relay)
    known = first.join("final", **how)
    first.close()
    rig.eventually("its room is gone", lambda: relay.metric("vote_relay_clients") == 0)
    vote(db, 5)
    vote(db, 7)
    since = {"sinceSeq": known["seq"], "epoch": known["epoch"]}
    for where in (relay, new_relay()):  # where it was, and where nobody was yet
        client = wire.Client(where)
        assert client.join("final", **how, **since)["resumed"] is True

        def heard(client=client):
            return [body for name, body in client.events if name == "match:update"]

        client.until(lambda: heard() and heard()[-1]["stats"]["total"] == 15)  # the answer to a join may come first
        updates = heard()
        assert not any(name == "match:snapshot" for name, _ in client.events)
        assert [update["seq"] for update in updates] == list(range(known["seq"] + 1, updates[-1]["seq"] + 1))
        assert updates[0]["prev"] == known["seq"]
        cells = dict(map(tuple, (pair for update in updates for pair in update["cells"])))
        truth = rig.truth(db.connect(), "final", resolution)
        assert {cell: tuple(sorted(votes.items())) for cell, votes in cells.items()} == truth["cells"]
