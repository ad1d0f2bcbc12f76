"""The operator ends all that one subject holds: DELETE /clients at the admin address."""

import http.client

import pytest
import wire
from test_costs import has_ended
from test_guard import GUARDED, token
from test_night import line_with
from testkit import rig
from wire import Operator


@pytest.fixture
def operated(new_relay):
    """Starts a relay with an operator."""

    def start(**flags):
        operator = Operator(rig.free_port())
        return new_relay(admin=operator.address, **flags), operator

    return start


def stream(relay, **claims):
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
    connection.request("GET", "/matches/final/events", headers={"Authorization": f"Bearer {token(**claims)}"})
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def test_all_of_a_subject_goes_and_nothing_else(db, operated):
    relay, operator = operated(**GUARDED)
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    subjects = ["ann", "ann", "bob", "Ann", "ann ", "", None]
    clients = [wire.Client(relay, {"token": token(sub=subject)}) for subject in subjects]
    for client in clients:
        assert client.join("final", bundle=True)["ok"]
    streams = [stream(relay, sub=subject) for subject in ("ann", "bob")]
    assert operator.kick("nobody") == (0, 0)
    assert operator.kick("ann") == (2, 1)
    db.sql("SELECT record_vote('final', 'away')")
    rig.settle(db.connect)
    for client in clients[:2]:
        rig.eventually("it ends", lambda client=client: has_ended(client))
        assert client.events[-1] == ("relay:closing", {"reason": "kicked"})
        assert not any(name == "match:update" for name, _ in client.events), "nothing comes after the operator was answered"
    for client in clients[2:]:
        client.until(lambda client=client: any(name == "match:update" for name, _ in client.events))
    while streams[0].readline():  # to its end
        pass
    line_with(streams[1], b"match:update")
    assert operator.kick("ann") == (0, 0) and operator.kick("") == (1, 0)
    # A token that is still valid lets its bearer in again.
    assert wire.Client(relay, {"token": token(sub="ann")}).join("final")["ok"]


def test_the_subject_is_that_of_the_token_that_counts_now(db, operated):
    relay, operator = operated(**GUARDED)
    client = wire.Client(relay, {"token": token(sub="ann")})
    assert client.emit("auth", {"token": token(sub="bob")})["ok"]
    assert operator.kick("ann") == (0, 0) and operator.kick("bob") == (1, 0)
    number = wire.Client(relay, {"token": token(sub=4711)})
    assert operator.kick("4711") == (1, 0)
    rig.eventually("it ends", lambda: has_ended(number))


def test_a_client_that_polls_goes_too(db, operated, swarm):
    relay, operator = operated(**GUARDED)
    options = {"transports": ["polling"], "auth": {"token": token(sub="ann")}}
    assert swarm("open", name="a", url=relay.url, options=options)["transport"] == "polling"
    assert swarm("emit", name="a", event="match:join", data=["final"])["ok"]
    assert operator.kick("ann") == (1, 0)
    rig.eventually("it is told", lambda: ["relay:closing", {"reason": "kicked"}] in swarm("events", name="a"))
    rig.eventually("it ends", lambda: swarm("events", name="a")[-1][0] == "disconnect")


def test_only_the_operator_may(db, operated, new_relay):
    relay, operator = operated(**GUARDED)
    client = wire.Client(relay, {"token": token(sub="ann")})
    assert operator.ask()[0] == 400 == operator.ask(sub="ann", all="true")[0]
    status, body = operator.ask(sub=["bob", "ann"])
    assert status == 400 and body["message"] == 'parameter "sub" is there twice: pass it once'
    assert operator.ask("GET", sub="ann")[0] == 405
    for port in (relay.port, new_relay(**GUARDED).port):
        assert Operator(port).ask("DELETE", sub="ann")[0] in (404, 405)
    assert client.join("final")["ok"]
    _, unguarded = operated()
    status, body = unguarded.ask(sub="ann")
    assert status == 400 and "auth" in body["message"]
