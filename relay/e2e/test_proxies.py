"""Two relays behind nginx and HAProxy as docs/proxies.md has them, and everybody's clients through both."""

import json
import subprocess

import pytest
import wire
from proxies import Proxy
from strangers import CurlStream, Everybody, Herd, Page, PythonSocket
from testkit import rig

ADDRESSES = [f"127.0.0.{n}" for n in range(2, 18)]
SWARM = rig.ROOT / "relay" / "e2e" / "swarm.mjs"
TRUSTING = {"trusted_proxies": "127.0.0.1", "drain": 2}


def curl(*arguments):
    done = subprocess.run(["curl", "--silent", "--show-error", "--fail", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def relays(new_relay):
    return [new_relay(**TRUSTING) for _ in range(2)]


@pytest.fixture(params=["nginx", "haproxy"])
def proxy(request, relays, tmp_path):
    with Proxy(request.param, tmp_path / request.param, relays) as proxy:
        yield proxy


@pytest.fixture(params=["nginx", "haproxy"])
def patient_proxy(request, relays, tmp_path):
    with Proxy(request.param, tmp_path / request.param, relays, is_patient=True) as proxy:
        yield proxy


def followed(swarm):
    return all(seq >= 1 and connected for *_, seq, connected in swarm("heads"))


def test_clients_that_poll_stay_at_one_relay(db, relays, patient_proxy, swarm):
    proxy = patient_proxy
    db.sql("SELECT record_vote('final', 'home')")
    polling = [{"matchId": "final", "transports": ["polling"], "address": address} for address in ADDRESSES]
    upgraded = [{"matchId": "final", "transports": ["polling", "websocket"], "address": address} for address in ADDRESSES]
    swarm("start", urls=[proxy.url], clients=polling + upgraded)
    rig.eventually("all follow", lambda: followed(swarm))
    shares = [relay.metric("vote_relay_clients") for relay in relays]
    assert sum(shares) == len(polling + upgraded) and min(shares) > 0, shares
    for _ in range(5):
        db.sql("SELECT record_vote('final', 'away')")
        rig.settle(db.connect)
    reports = rig.assert_truth(db.connect, swarm)
    assert [(report["counts"]["join"], report["counts"].get("connect_error")) for report in reports] == [(1, None)] * 32


def test_an_event_stream_comes_as_it_is_written(db, relays, proxy):
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    with Herd(CurlStream(proxy.url, "final")) as herd:
        rig.eventually("the snapshot comes", lambda: herd("heads")[0][2] == 1)
        db.sql("SELECT record_vote('final', 'home')")
        rig.assert_truth(db.connect, herd)
        assert herd("reports")[0]["counts"] == {"match:snapshot": 1, "match:update": 1}


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_limits_go_by_the_client(new_relay, tmp_path, name):
    relays = [new_relay(max_clients_per_ip=1, **TRUSTING) for _ in range(2)]
    hiding = {"X-Forwarded-For": "198.51.100.7"}  # a client that writes the header itself hides nothing
    with Proxy(name, tmp_path / name, relays, is_patient=True) as proxy:
        clients = [wire.Client(proxy, headers=hiding, address=address) for address in (*ADDRESSES[:2], ADDRESSES[0])]
        refused = False, {"message": "too_many_clients_from_your_address"}
        assert [client.connected[0] for client in clients[:2]] == [True, True] and clients[2].connected == refused


def test_tls_ends_at_the_proxy(db, relays, proxy):
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    trust = ["--cacert", proxy.certificate]
    assert json.loads(curl(*trust, f"{proxy.tls_url}/matches/final/stats"))["stats"]["total"] == 1
    with rig.Swarm("env", f"NODE_EXTRA_CA_CERTS={proxy.certificate}", "node", SWARM) as swarm:
        ways = (["websocket"], ["polling"], ["polling", "websocket"])
        swarm("start", urls=[proxy.tls_url], clients=[{"matchId": "final", "transports": way} for way in ways])
        with Herd(CurlStream(proxy.tls_url, "final", arguments=trust)) as herd:
            everybody = Everybody(swarm, herd)
            rig.eventually("all follow", lambda: followed(everybody))
            db.sql("SELECT record_vote('final', 'home')")
            rig.assert_truth(db.connect, everybody)


def test_a_relay_that_ends_is_replaced(db, relays, proxy, swarm):
    db.sql("SELECT record_vote('final', 'home')")
    clients = [{"matchId": "final", "transports": way, "address": address} for address in ADDRESSES[:8] for way in (["polling"], ["websocket"])]
    swarm("start", urls=[proxy.url], clients=clients)
    rig.eventually("all follow", lambda: followed(swarm))
    relays[0].stop()
    rig.eventually("all are at the other relay", lambda: relays[1].metric("vote_relay_clients") == len(clients) and followed(swarm))
    relays[0].start()
    relays[1].kill()
    db.sql("SELECT record_vote('final', 'home')")
    rig.eventually("all are back", lambda: relays[0].metric("vote_relay_clients") == len(clients) and followed(swarm))
    rig.assert_truth(db.connect, swarm)


MATCHES = ["final", "cup", "league"]


def test_everybody_at_once(db, relays, tmp_path, swarm):
    """The official client in three ways, python-socketio in three, curl, and EventSource in Chromium, through both proxies, while
    a relay is stopped and another one killed."""
    with Proxy("nginx", tmp_path / "nginx", relays) as nginx, Proxy("haproxy", tmp_path / "haproxy", relays) as haproxy:
        both = (nginx, haproxy)
        ways = (["websocket"], ["polling"], ["polling", "websocket"])
        official = [
            {"matchId": match, "resolution": resolution, "bundle": bundle, "transports": way, "address": ADDRESSES[n]}
            for n, (match, way, resolution, bundle) in enumerate((m, w, r, b) for m in MATCHES for w in ways for r, b in ((None, True), (3, False)))
            if n < len(ADDRESSES)
        ]
        for proxy in both:
            swarm("start", urls=[proxy.url], clients=official)
        python = [PythonSocket(proxy.url, match, 3, way) for proxy in both for match, way in zip(MATCHES, (["websocket"], ["polling"], None), strict=True)]
        curls = [CurlStream(proxy.url, match, resolution, ["--interface", address])
                 for proxy in both for address, (match, resolution) in zip(ADDRESSES, ((m, r) for m in MATCHES for r in (None, 1)), strict=False)]  # fmt: skip
        page = Page([{"url": proxy.url, "matchId": match} for proxy in both for match in MATCHES])
        sockets = len(official) * 2 + len(python)
        with Herd(*python, *curls) as herd, page:
            everybody = Everybody(swarm, herd, page)
            with rig.Voters(db.connect, MATCHES, crowded=["cup"]):
                rig.eventually("everybody follows", lambda: followed(everybody))
                assert min(relay.metric("vote_relay_clients") for relay in relays) > 0
                relays[0].stop()
                rig.eventually("everybody is at the other relay", lambda: relays[1].metric("vote_relay_clients") >= sockets)
                relays[0].start()
                relays[1].kill()
                rig.eventually("everybody is back", lambda: relays[0].metric("vote_relay_clients") >= sockets)
                relays[1].start()
            reports = rig.assert_truth(db.connect, everybody)
            assert len(reports) == sockets + len(curls) + 2 * len(MATCHES)
            total = {match: db.sql("SELECT total_votes FROM get_realtime_stats(%s)", match)[0][0] for match in MATCHES}
            for proxy in both:
                for match in MATCHES:
                    stats = json.loads(curl("--compressed", f"{proxy.url}/matches/{match}/stats"))["stats"]
                    assert stats["total"] == total[match]
