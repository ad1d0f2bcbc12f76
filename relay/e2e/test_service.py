"""Manners of a service: forged bells, slow clients, ending, a second client library, folding from here."""

import concurrent.futures
import json
import pathlib
import resource
import socket
import subprocess
import threading
import time

import pytest
from testkit import rig

ROOT = pathlib.Path(__file__).parents[2]


def test_forged_notifications_do_nothing(db, new_relay, swarm):
    relay = new_relay()
    swarm("open", name="a", url=relay.url)
    swarm("emit", name="a", event="match:join", data=["final"])
    with rig.Voters(db.connect, ["final"], threads=1):
        rig.eventually("folds", lambda: len(swarm("events", name="a")) > 20)
        began, cpu = time.monotonic(), relay.cpu()
        time.sleep(3)
        calm = (relay.cpu() - cpu) / (time.monotonic() - began)
    rig.settle(db.connect)
    ((seq,),) = db.sql("SELECT seq FROM get_realtime_stats('final')")
    rig.eventually("the last fold", lambda: [data["seq"] for name, data in swarm("events", name="a") if name == "match:stats"][-1:] == [seq])
    swarm("emit", name="a", event="match:leave", data=["nothing"])  # its answer comes after what was sent before
    before = swarm("events", name="a")
    forged = [
        '{"v":1,"match":"final","seq":999999,"prev":999998,"epoch":"x","stats":{"total":1,"votes":{"evil":1}}}',
        '{"match":"final"', "garbage", "", "[]", '{"match":' + "[" * 3000, "x" * 7000, '{"match":"' + "y" * 5000 + '"}',
    ]
    began, cpu = time.monotonic(), relay.cpu()
    with db.connect(user="stranger") as stranger:
        for n in range(1_250):
            for payload in forged:
                stranger.execute("SELECT pg_notify('vote_agg', %s)", (payload,))
    time.sleep(1)
    loud = (relay.cpu() - cpu) / (time.monotonic() - began)
    print(f"share of a core: {calm:.3f} with folds, {loud:.3f} under forged notifications")
    assert swarm("events", name="a") == before
    polls = relay.metric("vote_relay_polls_total")
    assert polls < (time.monotonic() - began) * 25 + 500, "looks are bounded however often the bell rings"
    db.sql("SELECT record_vote('final', 'home')")
    rig.eventually("the truth still comes", lambda: len(swarm("events", name="a")) > len(before))


def test_what_is_freed_goes_back_to_the_system(new_relay):
    """The allocator finds its settings by a symbol's name: without them no thread does so."""
    tasks = pathlib.Path(f"/proc/{new_relay().process.pid}/task")
    rig.eventually("jemalloc's thread", lambda: any("jemalloc" in (task / "comm").read_text() for task in tasks.iterdir()))


def test_the_limit_of_open_files_is_raised(new_relay):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        few, many = new_relay(max_clients=1_000), new_relay(max_clients=2_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def limit(relay):
        lines = pathlib.Path(f"/proc/{relay.process.pid}/limits").read_text().splitlines()
        return next(int(line.split()[3]) for line in lines if line.startswith("Max open files"))

    assert limit(few) >= 1_200 and limit(many) == hard
    assert "limit of open files" in many.log.read_text() and "limit of open files" not in few.log.read_text()


def test_what_rings_for_matches_that_nobody_follows_costs_no_look(db, new_relay, swarm):
    relay = new_relay()
    swarm("start", urls=[relay.url], clients=[{"matchId": "final"}])
    rig.settle(db.connect)
    polls, rings, began = (relay.metric("vote_relay_polls_total"), relay.metric("vote_relay_doorbells_total"), time.monotonic())
    while relay.metric("vote_relay_doorbells_total") < rings + 20:
        db.sql("SELECT record_vote('other', 'home')")
        db.sql("SELECT vote_agg.fold()")
    looks = relay.metric("vote_relay_polls_total") - polls
    assert looks <= (time.monotonic() - began) / 2 + 2, "one every two seconds, however often it rings"
    db.sql("SELECT record_vote('final', 'home')")
    rig.assert_truth(db.connect, swarm)


def frame(text):
    data = text.encode()
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


def connect(relay):
    """A client of bare frames, which has just been told that it is connected."""
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE)
    client.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame("40/votes,")
    )
    hear(client, b"40/votes")
    return client


def hear(client, expected):
    heard = b""
    while expected not in heard:
        heard += client.recv(1024) or pytest.fail(f"the connection ended after {heard}")


def test_a_client_may_join_as_soon_as_it_is_connected(db, new_relay):
    relay = new_relay(max_clients_per_ip=2_000)

    def join(_):
        with connect(relay) as client:
            client.sendall(frame('42/votes,1["match:join","final"]'))
            hear(client, b"43/votes,1[")

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(join, range(1_000)))


def test_a_client_that_does_not_read_gets_a_snapshot_when_it_does(db, new_relay, swarm):
    relay = new_relay(client_buffer=32, slow_timeout=600)
    swarm("start", urls=[relay.url], clients=[{"matchId": "final"}])
    sleeper = connect(relay)
    sleeper.sendall(frame('42/votes,["match:join",{"matchId":"final","bundle":true}]'))
    rig.eventually("both have joined", lambda: relay.metric("vote_relay_joins_total") == 2)
    votes = json.dumps([{"match_id": "final", "team_choice": "home", "h3_index": cell} for cell, _ in rig.CELLS[:1900]])

    received = bytearray()
    reader = threading.Thread(target=drain, args=[sleeper, received], daemon=True)
    with db.connect() as session:

        def fold_much():
            """Some 60 kB for everybody: the buffers of the system hold many folds. The heartbeat is answered without reading it."""
            session.execute("SELECT bulk_increment(%s::jsonb)", (votes,))
            session.execute("SELECT vote_agg.fold()")
            sleeper.sendall(frame("3"))

        rig.eventually("one falls behind", lambda: (fold_much(), relay.metric("vote_relay_behind") == 1)[1])
        reader.start()
        rig.eventually(
            "it is given a snapshot once it reads", lambda: (fold_much(), relay.metric("vote_relay_slow_resumed_total") > 0)[1]
        )
    assert relay.metric("vote_relay_undelivered_total") == 0
    rig.assert_truth(db.connect, swarm)
    rig.eventually("the rest has come", lambda: received.count(b'"match:snapshot"') >= 2)
    sleeper.shutdown(socket.SHUT_RDWR)
    reader.join()
    sleeper.close()


def drain(sock, received):
    """Reads all there is, as fast as it comes, until the connection ends."""
    while data := sock.recv(1 << 20):
        received += data


def test_ending_sends_clients_elsewhere_and_takes_seconds(db, new_relay, swarm):
    one, two = new_relay(), new_relay()
    swarm("start", urls=[one.url], clients=[{"matchId": "final"}] * 20)
    rig.eventually("all are there", lambda: all(connected for *_, connected in swarm("heads")))
    swarm("open", name="a", url=one.url)
    with subprocess.Popen(["curl", "-sN", f"{one.url}/matches/final/events"], stdout=subprocess.PIPE) as curl:
        rig.eventually("the stream is open", lambda: relay_has(one, "event stream opened"))
        assert one.stop() < rig.PATIENCE and one.process.returncode == 0
        curl.wait(timeout=rig.PATIENCE)
    # A lost transport, after which clients connect again by themselves; not a goodbye, after which they don't.
    welcome, closing, *end = rig.eventually("the client knows", lambda: (got := swarm("events", name="a")) and got[-1][0] == "disconnect" and got)
    assert end == [["disconnect", "transport close"]] and welcome == ["relay:welcome", {"window": 3000}]
    assert closing == ["relay:closing", {"reason": "draining", "window": 3000}]
    again = rig.Relay(db.url(), one.log, port=one.port)
    with again:
        rig.eventually("all are back", lambda: all(connected for *_, connected in swarm("heads")))
        db.sql("SELECT record_vote('final', 'home')")
        rig.assert_truth(db.connect, swarm)
    assert two.process.poll() is None


def relay_has(relay, text):
    return any(line["fields"]["message"] == text for line in relay.logged())


def test_folds_where_no_worker_does(db, new_relay, swarm):
    db.sql(f"ALTER DATABASE {db.name} SET vote_agg.worker = off")
    db.sql("GRANT EXECUTE ON FUNCTION vote_agg.fold() TO relay")
    relay = new_relay(fold="true")
    swarm("open", name="a", url=relay.url)
    swarm("emit", name="a", event="match:join", data=["final"])
    db.sql("SELECT record_vote('final', 'home')")
    rig.eventually("it is folded", lambda: any(name == "match:stats" for name, *_ in swarm("events", name="a")))


PYTHON_CLIENT = """
import json, sys, socketio
client, seen = socketio.Client(), []

def hear(data):  # each in a thread of its own, so the snapshot may come last
    seen.append(data["seq"])
    if len(seen) == 2:
        client.disconnect()

client.on("match:snapshot", hear, namespace="/votes")
client.on("match:update", hear, namespace="/votes")
client.connect(sys.argv[1], namespaces=["/votes"], transports=[sys.argv[2]], wait_timeout=60)
ack = client.call("match:join", {"matchId": "final", "bundle": True}, namespace="/votes", timeout=60)
print(json.dumps(ack), flush=True)
client.wait()
print(json.dumps(sorted(seen)), flush=True)
"""


def test_python_socketio(db, new_relay):
    db.sql("SELECT record_vote('final', 'home')")
    db.sql("SELECT vote_agg.fold()")
    relay = new_relay()
    for transport in ("websocket", "polling"):
        command = [ROOT / "build" / "venv" / "bin" / "python", "-c", PYTHON_CLIENT, relay.url, transport]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert json.loads(client.stdout.readline())["ok"]
            db.sql("SELECT record_vote('final', 'away')")
            seen = json.loads(client.stdout.readline())
            assert len(seen) == 2 and seen[1] == seen[0] + 1
            assert client.wait(timeout=rig.PATIENCE) == 0
