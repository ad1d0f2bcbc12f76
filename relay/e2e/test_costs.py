"""What one address can cost: seats, requests, work, memory and names are counted, and each limit is refused with its reason."""

import concurrent.futures
import json
import socket
import time

import wire
from testkit import rig

FORWARDED = {"trusted_proxies": "127.0.0.1"}


def status_of(relay, request):
    """The status of the answer to a request as it is."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
        connection.sendall(request)
        return int(connection.recv(65536).split(b" ")[1])


def has_ended(client):
    client.listen(0.05)
    return client.is_closed


def test_an_upgrade_without_its_headers_is_refused(new_relay):
    relay = new_relay()
    for missing in wire.UPGRADE:
        assert status_of(relay, wire.request(headers={missing: None})) == 400, missing
    assert status_of(relay, wire.request(version="1.0")) == 400
    assert status_of(relay, wire.request(headers={"Connection": "keep-alive, Upgrade"})) == 101


def test_a_seat_belongs_to_the_connection(new_relay):
    relay = new_relay(max_clients=3, max_clients_per_ip=3, max_joins=1, handshake_timeout=600)
    clients = [wire.Client(relay) for _ in range(3)]
    assert wire.Client(relay).connected == (False, {"message": "too_many_clients"})
    for number, client in enumerate(clients, 1):
        client.send("41/votes,")
        rig.eventually("it has left", lambda left=3 - number: relay.metric("vote_relay_clients") == left)
    assert wire.Client(relay).connected[0]  # the first one gives way
    rig.eventually("its connection ends", lambda: has_ended(clients[0]))
    assert clients[1].connect().connected[0] and clients[2].connect().connected[0]
    joins = []
    for _ in range(4):  # the rates are the connection's too
        joins += [clients[1].join("m").get("error") for _ in range(5)]
        clients[1].send("41/votes,")
        clients[1].connect()
    assert "too_many_joins" in joins


def test_a_connection_outside_the_namespace_is_let_go(new_relay):
    relay = new_relay(handshake_timeout=1)
    client = wire.Client(relay)
    client.send("41/votes,")
    rig.eventually("it ends", lambda: has_ended(client))


def test_above_the_limit_some_are_told_and_the_rest_refused(new_relay):
    relay = new_relay(max_clients_per_ip=1, handshake_timeout=60)
    one = wire.Client(relay)
    told = [wire.Client(relay, namespace=False) for _ in range(16)]
    assert status_of(relay, wire.request()) == 429
    for client in told:
        assert client.connect().connected == (False, {"message": "too_many_clients_from_your_address"})
    rig.eventually("they end", lambda: all(has_ended(client) for client in told))
    assert one.join("m")["ok"]


def test_a_network_of_ipv6_is_one_address(new_relay):
    relay = new_relay(max_clients_per_ip=2, **FORWARDED)
    clients = [wire.Client(relay, headers={"X-Forwarded-For": f"2001:db8::{n:x}"}) for n in range(3)]
    assert [client.connected[0] for client in clients] == [True, True, False]
    assert wire.Client(relay, headers={"X-Forwarded-For": "2001:db8:0:1::1"}).connected[0]


def test_heads_and_epochs_are_short(new_relay):
    relay = new_relay()
    many = {f"X-{n}": "h" for n in range(64)}
    rest = len(wire.request(headers={"X-Long": ""}).split(b"\r\n", 1)[1]) + len("/socket.io/?EIO=4&transport=websocket") - 2
    assert status_of(relay, wire.request(headers={"X-Long": "h" * (32_768 - rest)})) == 101
    assert status_of(relay, wire.request(headers={"X-Long": "h" * (32_769 - rest)})) == 431
    assert status_of(relay, wire.request(headers={"X-Long": "h" * 300_000})) == 431
    assert status_of(relay, wire.request(headers=many)) == 431
    client = wire.Client(relay, headers={"X-Long": "h" * 30_000})
    assert client.join("m", sinceSeq=1, epoch="e" * 64)["ok"]
    refused = client.join("m", sinceSeq=1, epoch="e" * 65)
    assert refused["error"] == "invalid" and "64" in refused["message"] and "65" in refused["message"]


def test_requests_are_counted_by_address(new_relay, db):
    relay = new_relay(max_requests=5, **FORWARDED)
    answers = [rig.get(f"{relay.url}/matches", **{"X-Forwarded-For": "198.51.100.1"}) for _ in range(40)]
    assert [status for status, *_ in answers[:10]] == [200] * 10
    refused = [headers for status, headers, _ in answers if status == 429]
    assert refused and all(int(headers["retry-after"]) >= 1 for headers in refused)
    assert rig.get(f"{relay.url}/matches", **{"X-Forwarded-For": "198.51.100.2"})[0] == 200


def test_work_is_charged_to_the_address_that_asks(new_relay, db):
    db.sql(rig.CROWD, "final")
    rig.settle(db.connect)
    relay = new_relay(max_requests=100_000, **FORWARDED)
    client = wire.Client(relay)
    client.join("final")

    def ask(number):
        return rig.get(f"{relay.url}/matches/final/aggregates?min_votes={number}", **{"X-Forwarded-For": "198.51.100.1"})

    def is_refused(numbers):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, numbers))
        assert {status for status, *_ in answers} <= {200, 429}
        return [(headers, body) for status, headers, body in answers if status == 429]

    blocks = (range(block, block + 200) for block in range(1, 10**9, 200))
    refused = rig.eventually("the address has spent its share", lambda: is_refused(next(blocks)))
    headers, body = refused[0]
    assert json.loads(body)["error"] == "busy" and int(headers["retry-after"]) >= 1
    other = {"X-Forwarded-For": "198.51.100.2"}
    assert rig.get(f"{relay.url}/matches/final/stats", **other)[0] == 200


def test_an_answer_is_compressed_once(new_relay, db):
    db.sql(rig.CROWD, "final")
    rig.settle(db.connect)
    relay = new_relay()
    plain = rig.get(f"{relay.url}/matches/final/aggregates")
    packed = [rig.get(f"{relay.url}/matches/final/aggregates", **{"Accept-Encoding": "gzip"}) for _ in range(2)]
    assert all(headers["content-encoding"] == "gzip" for _, headers, _ in packed) and packed[0][2] == packed[1][2]
    assert len(packed[0][2]) < len(plain[2]) / 2 and "content-encoding" not in plain[1]


def test_a_time_line_has_a_length(new_relay, db):
    relay = new_relay()
    db.sql("SELECT record_vote('long', 'home')")
    rig.settle(db.connect)
    db.sql("UPDATE vote_agg.timeline SET bucket = bucket - interval '30 days' WHERE match_id = 'long'")
    db.sql("SELECT record_vote('long', 'home')")
    rig.settle(db.connect)
    status, _, body = rig.get(f"{relay.url}/matches/long/timeline?from=-infinity&to=infinity")
    rows = db.sql("SELECT count(*) FROM get_match_timeline('long', '1 minute', '-infinity', 'infinity')")[0][0]
    assert rows > 10_080 and status == 400 and "10080" in json.loads(body)["message"]
    assert rig.get(f"{relay.url}/matches/long/timeline?bucket=1%20hour&from=-infinity&to=infinity")[0] == 200


def test_statements_end_when_nobody_waits(new_relay, db):
    relay = new_relay(database_sessions=2)
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)

    def waiting():
        return db.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay' AND wait_event_type = 'Lock'")[0][0]

    with db.connect() as locker:
        locker.execute("BEGIN; LOCK TABLE vote_agg.timeline IN ACCESS EXCLUSIVE MODE")
        reader = socket.create_connection(("127.0.0.1", relay.port))
        reader.sendall(b"GET /matches/final/timeline HTTP/1.1\r\nHost: relay\r\n\r\n")
        rig.eventually("the statement waits", lambda: waiting() == 1)
        reader.close()
        rig.eventually("it is cancelled", lambda: waiting() == 0, patience=12)  # the server's own limit is 14 s
        assert rig.get(f"{relay.url}/matches/final/stats")[0] == 200
        locker.execute("ROLLBACK")


def test_a_client_that_does_not_read_gets_few_copies(new_relay, db):
    db.sql(rig.CROWD, "final")
    rig.settle(db.connect)
    relay = new_relay(max_joins=1_000, max_events=1_000)
    client = wire.Client(relay, receive_buffer=4096)
    numbers = [client.ask("match:join", {"matchId": "final"}) for _ in range(60)]
    rig.eventually("all have arrived", lambda: relay.metric("vote_relay_joins_total") + relay.metric("vote_relay_refused_total") >= 60)
    client.until(lambda: all(number in client.answers for number in numbers))
    refused = [client.answers[number] for number in numbers if not client.answers[number]["ok"]]
    assert refused and {answer["error"] for answer in refused} == {"slow"}
    assert client.join("final")["ok"]  # it has read


def test_unknown_matches_are_told_counted_and_heard(new_relay, db):
    relay = new_relay(max_rooms=2_000, max_joins=10_000, max_events=10_000)
    status, _, body = rig.get(f"{relay.url}/matches/coming/stats")
    assert status == 404 and json.loads(body)["error"] == "unknown"
    client = wire.Client(relay)
    assert client.join("coming", bundle=True)["unknown"] is True
    refused = []
    for number in range(1_000):
        answer = client.join(f"unknown {number}")
        refused += [] if answer["ok"] else [(number, answer["error"])]
    assert refused == [(999, "too_many_unknown")]  # with `coming` a thousand are followed
    db.sql("SELECT record_vote('coming', 'home')")
    client.until(lambda: any(name == "match:update" and body["match"] == "coming" for name, body in client.events))
    assert client.join("one more")["ok"]  # one of them exists now
    assert rig.get(f"{relay.url}/matches/coming/stats")[0] == 200
    assert "unknown" not in client.join("coming")


def test_the_rate_falls_without_a_fold(new_relay, db):
    relay = new_relay()
    client = wire.Client(relay)
    client.join("final")
    db.sql("SELECT record_vote('final', 'home', NULL::text, NULL, 5000)")
    rig.settle(db.connect)

    def rate():
        status, headers, body = rig.get(f"{relay.url}/matches/final/stats")
        return status == 200 and (json.loads(body)["stats"]["per_minute"], headers.get("etag"))

    before = rig.eventually("the rate is known", lambda: (found := rate()) and found[0] == 5000 and found[1] and found)
    db.sql("UPDATE vote_agg.timeline SET bucket = bucket - interval '10 minutes'")
    after = rig.eventually("the rate falls", lambda: (found := rate()) and found[0] == 0 and found)
    assert before[1] != after[1]
    late = wire.Client(relay)
    late.join("final")
    late.until(lambda: any(name == "match:snapshot" for name, _ in late.events))
    assert [body["stats"]["per_minute"] for name, body in late.events if name == "match:snapshot"] == [0]


def test_a_reader_that_stops_loses_its_seat(new_relay, db):
    relay = new_relay(slow_timeout=1, max_clients_per_ip=1)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", relay.port))
    stuck.sendall(b"GET /matches/final/events HTTP/1.1\r\nHost: relay\r\n\r\n")
    rig.eventually("the stream is open", lambda: any("event stream" in line["fields"]["message"] for line in relay.logged()))
    assert status_of(relay, b"GET /matches/final/events HTTP/1.1\r\nHost: relay\r\n\r\n") == 429

    def is_free():
        db.sql(rig.CROWD, "final")
        rig.settle(db.connect)
        time.sleep(0.1)
        return status_of(relay, b"GET /matches/final/events HTTP/1.1\r\nHost: relay\r\n\r\n") == 200

    rig.eventually("the seat is free", is_free)
    stuck.close()
