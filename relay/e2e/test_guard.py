"""Nobody gets in, or gets more, than settings allow; and who tries does not disturb the others."""

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import time

import pytest
from testkit import rig

KEY = "a secret of the tests that is long enough"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key=KEY, header=None, digest=hashlib.sha256, **claims):
    claims = {"exp": int(time.time()) + 600, "aud": "votes", "iss": "tests", **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.new(key.encode(), signed.encode(), digest).digest())}"


def bad_tokens():
    now = int(time.time())
    good = token()
    head, body, signature = good.split(".")
    none = {"alg": "none"}
    other_body = b64(json.dumps({"exp": now + 600, "aud": "votes", "iss": "tests", "matches": ["secret"]}).encode())
    return {
        "none algorithm, no signature": token(header=none).rsplit(".", 1)[0] + ".",
        "none algorithm, signed": token(header=none),
        "None algorithm": token(header={"alg": "None"}),
        "NONE algorithm": token(header={"alg": "NONE"}).rsplit(".", 1)[0] + ".",
        "no algorithm": token(header={"typ": "JWT"}),
        "algorithm null": token(header={"alg": None}),
        "algorithm a list": token(header={"alg": ["HS256"]}),
        "HS384": token(header={"alg": "HS384"}, digest=hashlib.sha384),
        "HS512": token(header={"alg": "HS512"}, digest=hashlib.sha512),
        "says HS384, signed HS256": token(header={"alg": "HS384"}),
        "RS256 with the secret": token(header={"alg": "RS256"}),
        "ES256 with the secret": token(header={"alg": "ES256"}),
        "EdDSA with the secret": token(header={"alg": "EdDSA"}),
        "PS256 with the secret": token(header={"alg": "PS256"}),
        "unknown algorithm": token(header={"alg": "XX"}),
        "lower case algorithm": token(header={"alg": "hs256"}),
        "key in the header": token(key="x" * 40, header={"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"x" * 40)}}),
        "key at an address": token(key="x" * 40, header={"alg": "HS256", "jku": "http://127.0.0.1/key"}),
        "expired": token(exp=now - 60),
        "expired long ago": token(exp=0),
        "expiry negative": token(exp=-1),
        "no expiry": token(exp=None),
        "expiry text": token(exp="tomorrow"),
        "expiry a list": token(exp=[now + 600]),
        "not yet": token(nbf=now + 600),
        "not yet, text": token(nbf="later"),
        "other audience": token(aud="shop"),
        "no audience": token(aud=None),
        "audience empty": token(aud=""),
        "audiences without ours": token(aud=["shop", "mail"]),
        "other issuer": token(iss="else"),
        "no issuer": token(iss=None),
        "other key": token(key="another secret of the tests, long too"),
        "empty key": token(key=""),
        "key with a newline": token(key=KEY + "\n"),
        "no signature": f"{head}.{body}",
        "empty signature": f"{head}.{body}.",
        "signature cut": good[:-2],
        "signature of another body": f"{head}.{other_body}.{signature}",
        "body cut": f"{head}.{body[:-3]}.{signature}",
        "header cut": f"{head[:-3]}.{body}.{signature}",
        "four parts": good + ".x",
        "one part": head,
        "dots": "..",
        "a word": "token",
        "with a space": good.replace(".", " .", 1),
        "not base64": "!" + good,
        "matches a word": token(matches="final"),
        "matches numbers": token(matches=[1, 2]),
        "twice": good + good,
        "huge": "x" * 20_000,
        "a number": 12345,
        "an object": {"token": good},
        "a list": [good],
        "empty": "",
    }


GUARDED = {"auth": "required", "jwt_key": KEY, "jwt_audience": "votes", "jwt_issuer": "tests"}


def test_bad_tokens(new_relay, swarm, db):
    db.sql("SELECT record_vote('final', 'home')")
    relay = new_relay(**GUARDED)
    assert swarm("open", name="good", url=relay.url, options={"auth": {"token": token()}})["connected"]
    assert swarm("open", name="header", url=relay.url, options={"extraHeaders": {"authorization": f"Bearer {token()}"}})["connected"]
    bad = bad_tokens()
    assert len(bad) >= 40
    for what, sent in bad.items():
        answer = swarm("open", name="bad", url=relay.url, options={"auth": {"token": sent}})
        assert not answer["connected"] and answer["error"].startswith("token_"), (what, answer)
        if isinstance(sent, str) and sent.isascii() and len(sent) < 8000:
            assert rig.get(f"{relay.url}/matches/final/stats", Authorization=f"Bearer {sent}")[0] == 401, what
    assert not swarm("open", name="bad", url=relay.url)["connected"]
    assert rig.get(f"{relay.url}/matches/final/stats")[0] == 401
    assert rig.get(f"{relay.url}/matches/final/stats", Authorization=f"Bearer {token()}")[0] == 200
    assert swarm("emit", name="good", event="match:join", data=["final"])["ok"]
    text = relay.log.read_text()
    assert KEY not in text and token().split(".")[2] not in text and "127.0.0.1" not in text.replace("127.0.0.1:", "")


def test_tokens_name_matches_and_end(new_relay, swarm):
    relay = new_relay(**GUARDED)
    assert swarm("open", name="a", url=relay.url, options={"auth": {"token": token(matches=["one", "two"])}})["connected"]
    assert swarm("open", name="b", url=relay.url, options={"auth": {"token": token(matches=["one"])}})["connected"]
    for name in "ab":
        assert swarm("emit", name=name, event="match:join", data=["one"])["ok"]
        assert swarm("emit", name=name, event="match:join", data=["three"])["error"] == "forbidden"
    assert swarm("emit", name="a", event="match:join", data=["two"])["ok"]
    assert swarm("emit", name="a", event="auth", data=[{"token": "nonsense"}])["error"] == "token_invalid"
    renewed = swarm("emit", name="a", event="auth", data=[{"token": token(matches=["two"])}])
    assert renewed == {"ok": True, "left": ["one"]}
    swarm("flood", name="b", event="auth", data=[{"token": token(matches=["one"], exp=int(time.time()) + 2)}], times=1)
    gone = rig.eventually("the expired one is sent away", lambda: [e for e in swarm("events", name="b") if e[0] == "disconnect"])
    assert gone == [["disconnect", "io server disconnect"]]
    assert ["relay:closing", {"reason": "token_expired"}] in swarm("events", name="b")
    assert swarm("connected", name="a") and swarm("emit", name="a", event="match:join", data=["one"])["error"] == "forbidden"


def test_keys_that_cannot_be_right_stop_the_start(db, tmp_path):
    for flags, word in [
        ({"auth": "required"}, "key"),
        ({"auth": "required", "jwt_key": "short"}, "32"),
        ({"auth": "required", "jwt_key": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"}, "secret"),
        ({"auth": "required", "jwt_algorithm": "rs256", "jwt_key": KEY}, "JWT_KEY"),
        ({"jwt_key": KEY}, "AUTH is off"),
        ({"origins": "example.org"}, "origin"),
    ]:
        relay = rig.Relay(db.url(), tmp_path / "bad.log", **flags)
        with pytest.raises(AssertionError, match=word):
            relay.start()
        assert relay.process.returncode == 1


def test_origins(new_relay, swarm, db):
    db.sql("SELECT record_vote('m', 'home')")
    relay = new_relay(origins="https://vote.example.org")
    good = {"extraHeaders": {"origin": "https://vote.example.org"}}
    bad = {"extraHeaders": {"origin": "https://vote.example.org.evil.org"}}
    for transport in ("websocket", "polling"):
        assert swarm("open", name="good", url=relay.url, options={**good, "transports": [transport]})["connected"]
        assert not swarm("open", name="bad", url=relay.url, options={**bad, "transports": [transport]})["connected"]
    for question, kind in (("stats", "application/json"), ("vote", "application/problem+json")):
        status, headers, body = rig.get(f"{relay.url}/matches/m/{question}", Origin="https://evil.org")
        assert (status, headers["content-type"], json.loads(body)["error"]) == (403, kind, "origin")
    status, headers, _ = rig.get(f"{relay.url}/matches/m/stats", Origin="https://vote.example.org")
    assert status == 200 and headers["access-control-allow-origin"] == "https://vote.example.org"
    assert relay.log.read_text().count("https://evil.org") == 1, "told once"


def test_requests_of_foreign_pages_are_counted(new_relay):
    relay = new_relay(origins="https://vote.example.org", max_requests=5)
    evil = [rig.get(f"{relay.url}/matches/m/stats", Origin="https://evil.org")[0] for _ in range(60)]
    assert evil[0] == 403 and 429 in evil


def test_limits(new_relay, swarm):
    relay = new_relay(max_clients_per_ip=3, max_rooms=2, max_joins=5, max_events=20)
    for name in "abc":
        assert swarm("open", name=name, url=relay.url)["connected"]
    assert swarm("open", name="d", url=relay.url)["error"] == "too_many_clients_from_your_address"
    swarm("close", name="c")
    rig.eventually("a seat is free", lambda: swarm("open", name="d", url=relay.url)["connected"])
    joins = [swarm("emit", name="a", event="match:join", data=[f"m{n}"]) for n in range(3)]
    assert [join.get("error") for join in joins] == [None, None, "too_many_rooms"]
    assert swarm("emit", name="b", event="match:join", data=["m"])["ok"]
    rig.eventually("too many", lambda: swarm("emit", name="b", event="match:join", data=["m"]).get("error") == "too_many_joins")
    swarm("flood", name="d", event="match:leave", data=["m"], times=500)
    rig.eventually("the flood is cut off", lambda: not swarm("connected", name="d"))
    assert ["relay:closing", {"reason": "too_many_events"}] in swarm("events", name="d")
    assert swarm("connected", name="a") and swarm("connected", name="b")


def test_nonsense_is_refused_in_words(new_relay, swarm):
    relay = new_relay(max_joins=1000, max_events=1000)
    assert swarm("open", name="a", url=relay.url)["connected"]
    ok = {"matchId": "m"}
    for data in [
        None, 7, [], {}, "", {"matchId": 7}, {"matchId": ""}, {"matchId": "x" * 201}, {"matchId": "a\nb"}, {**ok, "resolution": 16},
        {**ok, "resolution": -1}, {**ok, "resolution": 1.5}, {**ok, "resolution": "3"}, {**ok, "sinceSeq": -1}, {**ok, "sinceSeq": "1"},
        {**ok, "sinceSeq": 1, "epoch": 1}, {**ok, "events": "vote:new"}, {**ok, "events": ["vote:old"]}, {**ok, "bundle": "yes"},
        {**ok, "bundle": True, "events": ["vote:new"]},
    ]:
        assert swarm("emit", name="a", event="match:join", data=[data])["error"] == "invalid", data
    assert swarm("emit", name="a", event="match:joins", data=[])["error"] == "unknown_event"
    assert swarm("emit", name="a", event="match:join", data=["'; DROP TABLE vote_agg.feed; --"])["ok"]


def test_malformed_packets_harm_nobody(new_relay, swarm):
    relay = new_relay()
    assert swarm("open", name="good", url=relay.url)["connected"]
    swarm("emit", name="good", event="match:join", data=["m"])
    path = "/socket.io/?EIO=4&transport=polling"
    opened = json.loads(rig.get(relay.url + path)[2][1:])
    for body in [b"", b"9", b"4", b"40", b"40/votes", b"42/votes,", b"42/votes,[", b"42/votes,[1]", b"42/votes,[\"match:join\"]", b"\xff\xfe",
                 b"451-", b"4599999-[\"x\"]", b"42/nowhere,[\"x\"]", b"43/votes,99999999999999999999[]", b"4" * 70_000, "42/votés,é".encode(), b"\x1e" * 100]:
        request = f"POST {path}&sid={opened['sid']} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as raw:
            raw.sendall(request + body)
            assert raw.recv(100).startswith(b"HTTP/1.1 "), body[:20]
        if rig.get(f"{relay.url}{path}&sid=nowhere")[0] != 200:
            opened = json.loads(rig.get(relay.url + path)[2][1:])
    for raw in [b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /socket.io/ HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n"]:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
            connection.sendall(raw)
    # The longest message is a limit of each transport.
    swarm("open", name="big", url=relay.url)
    swarm("flood", name="big", event="match:join", data=["x" * 100_000], times=1)
    rig.eventually("too big a message ends its sender", lambda: not swarm("connected", name="big"))
    assert swarm("emit", name="good", event="match:join", data=["m"])["ok"]
    assert relay.process.poll() is None


def test_who_does_not_come_to_the_point_is_disconnected(new_relay, swarm):
    relay = new_relay(handshake_timeout=5)
    swarm("open", name="good", url=relay.url)
    swarm("emit", name="good", event="match:join", data=["m"])
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Filler: "
    upgrade = (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    def seconds_until_the_end(first, drop):
        """Says `first`, then a byte now and then, until the other side ends it."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=0.2) as slow:
            slow.sendall(first)
            while time.monotonic() - began < rig.PATIENCE:
                try:
                    slow.sendall(drop)
                    if slow.recv(4096) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - began

    for first, drop in [(b"", b""), (head, b""), (head, b"x"), (upgrade, b"")]:
        assert 1 < seconds_until_the_end(first, drop) < rig.PATIENCE, (first, drop)
    many = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(200)]
    for one in many:
        with contextlib.suppress(ConnectionError):
            one.sendall(head)
    assert rig.get(f"{relay.url}/health")[0] == 200
    for one in many:
        one.settimeout(rig.PATIENCE)
        with contextlib.suppress(ConnectionError):
            assert not one.recv(4096).startswith(b"HTTP/1.1 200")
        one.close()
    assert swarm("connected", name="good") and swarm("emit", name="good", event="match:join", data=["m"])["ok"]
