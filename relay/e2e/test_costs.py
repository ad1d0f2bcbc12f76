"""What one address can cost: seats, requests, work, memory and names are counted, and each limit is refused with its reason."""

import concurrent.futures
import contextlib
import json
import re
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


def test_a_session_has_one_transport(new_relay):
    """The library reads the first parameter of a name. A session that began as polling while the relay took it for a WebSocket had a seat
    that no later request was found to have: it polled on after the operator had ended it."""
    relay = new_relay()
    for query in (
        "transport=polling&transport=websocket", "transport=websocket&transport=polling", "transport=websocket=x",
        "transport=polling&sid=AAAA&sid=BBBB", "EIO=3&transport=polling", "transport=polling=websocket",
    ):  # fmt: skip
        for headers in (None, dict.fromkeys(wire.UPGRADE)):
            assert status_of(relay, wire.request(f"/socket.io/?EIO=4&{query}", headers)) == 400, query
    assert wire.Client(relay).connected[0]


def test_a_seat_belongs_to_the_connection(new_relay):
    relay = new_relay(max_clients=3, max_clients_per_ip=3, max_joins=1, handshake_timeout=600)
    clients = [wire.Client(relay) for _ in range(3)]
    assert wire.Client(relay).connected == (False, {"message": "too_many_clients"})

    def still_here():
        """Answers the heartbeats that came: on a busy machine this takes longer than the relay waits for an answer."""
        for client in clients:
            client.listen(0.001)

    for number, client in enumerate(clients, 1):
        client.send("41/votes,")
        rig.eventually("it has left", lambda left=3 - number: still_here() or relay.metric("vote_relay_clients") == left)
    assert wire.Client(relay).connected[0]  # the first one gives way
    rig.eventually("its connection ends", lambda: still_here() or has_ended(clients[0]))
    assert clients[1].connect().connected[0] and clients[2].connect().connected[0]
    joins = []
    for _ in range(4):  # the rates are the connection's too
        joins += [clients[1].join("m").get("error") for _ in range(5)]
        clients[1].send("41/votes,")
        clients[1].connect()
    assert "too_many_joins" in joins


def test_a_seat_is_free_when_its_connection_is_gone(new_relay):
    """Also where it never came into the namespace, and however long it would have had for that."""
    relay = new_relay(max_clients=2, max_clients_per_ip=2, handshake_timeout=600)
    for _ in range(3):
        clients = [wire.Client(relay, namespace=False) for _ in range(2)]
        assert wire.Client(relay).connected == (False, {"message": "too_many_clients"})
        for client in clients:
            client.close()
        rig.eventually("a seat is free", lambda: wire.Client(relay).connected[0])


def test_a_session_that_polls_keeps_its_seat_whatever_it_upgrades_to(new_relay):
    """A WebSocket that ends too soon is no end of the session: it would poll on without a seat."""
    relay = new_relay(max_clients=1, max_clients_per_ip=1, handshake_timeout=600)
    _, _, greeting = rig.get(f"{relay.url}/socket.io/?EIO=4&transport=polling")
    sid = json.loads(greeting[1:])["sid"]
    for _ in range(3):
        assert status_of(relay, wire.request(f"/socket.io/?EIO=4&transport=websocket&sid={sid}")) in (101, 400)
        for _ in range(3):
            assert wire.Client(relay).connected == (False, {"message": "too_many_clients"})


def test_a_connection_outside_the_namespace_is_let_go(new_relay):
    relay = new_relay(handshake_timeout=10)
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


def test_connections_of_an_address_have_a_limit(new_relay):
    """Those that said nothing were not counted. One address could take all files of the process."""
    relay = new_relay(max_clients_per_ip=10, handshake_timeout=600)
    health = b"GET /health HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"

    def connect(source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE, source_address=(source, 0))

    def is_answered(source="127.0.0.1"):
        with connect(source) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(health)
                return connection.recv(4_096).startswith(b"HTTP/1.1 200")

    silent = [connect() for _ in range(2 * 10 + 256)]
    assert not is_answered() and is_answered("127.0.0.2")
    silent.pop().close()
    rig.eventually("there is room for one again", is_answered)
    for connection in silent[10:]:
        connection.close()
    rig.eventually("and for one that stays", lambda: is_answered() and is_answered() and is_answered())
    assert wire.Client(relay).join("m")["ok"]
    refused = re.search(r'reason="too_many_connections"} (\d+)', rig.get(relay.url + "/metrics")[2].decode())
    assert int(refused[1]) > 0
    for connection in silent[:10]:
        connection.close()


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


def test_messages_of_an_address_that_sends_too_many_wait(new_relay):
    """Each socket keeps to its own rate of events. Together they sent 5 MB, of which the relay reads 1.3 at once and 64 KiB a second."""
    relay = new_relay(max_clients_per_ip=50, **FORWARDED)
    at = {"headers": {"X-Forwarded-For": "203.0.113.7"}}
    flood, other = [wire.Client(relay, **at) for _ in range(20)], wire.Client(relay, headers={"X-Forwarded-For": "203.0.113.8"})
    for client in flood:
        client.socket.settimeout(None)
        for _ in range(4):
            client.ask("nothing", "x" * 65_000)
    rig.eventually("some have to wait", lambda: relay.metric("vote_relay_paced_reads_total") > 0)
    asked = [client.ask("match:leave", "m") for client in flood]
    assert other.join("m")["ok"], "another address is answered at once"
    for client in flood:
        client.listen(0.01)
    late = sum(number not in client.answers for client, number in zip(flood, asked, strict=True))
    assert late >= 10, f"{late} of 20 wait"
    for client in flood[:2]:
        client.close()
    assert other.emit("match:leave", "m")["left"]


def test_polls_of_an_address_that_sends_too_many_wait(new_relay):
    relay = new_relay(max_clients_per_ip=50, **FORWARDED)
    path, address = "/socket.io/?EIO=4&transport=polling", {"X-Forwarded-For": "203.0.113.7"}
    head = "POST {}&sid={} HTTP/1.1\r\nHost: relay\r\nX-Forwarded-For: {}\r\nContent-Length: {}\r\n\r\n{}"
    body, posts = "42/votes," + json.dumps(["nothing", "x" * 60_000]), []
    for _ in range(30):
        sid = json.loads(rig.get(relay.url + path, **address)[2][1:])["sid"]
        posts.append(socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE))
        posts[-1].sendall(head.format(path, sid, address["X-Forwarded-For"], len(body), body).encode())
    rig.eventually("some have to wait", lambda: relay.metric("vote_relay_paced_reads_total") > 0)
    assert wire.Client(relay, headers={"X-Forwarded-For": "203.0.113.8"}).join("m")["ok"]
    for post in posts:
        post.close()


def test_a_length_that_is_a_lie_costs_no_more_than_a_message(new_relay):
    """A request that promised 4 GB made all sockets of its address wait for a day."""
    relay = new_relay(max_clients_per_ip=50)
    path = "/socket.io/?EIO=4&transport=polling"
    sid = json.loads(rig.get(relay.url + path)[2][1:])["sid"]
    client = wire.Client(relay)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as post:
            post.sendall(f"POST {path}&sid={sid} HTTP/1.1\r\nHost: relay\r\nContent-Length: 4000000000\r\n\r\n4".encode())
            assert post.recv(4_096).split(b" ")[1] == b"413"
    assert client.join("m")["ok"] and client.join("m")["ok"]
    assert relay.metric("vote_relay_paced_reads_total") == 0


def test_a_body_that_does_not_come_ends(new_relay):
    """The library waits for it, whatever becomes of the session: an address could hold any number of connections."""
    relay = new_relay(handshake_timeout=10)
    path = "/socket.io/?EIO=4&transport=polling"
    for length in ("Content-Length: 60000\r\n\r\n4", "Transfer-Encoding: chunked\r\n\r\n1\r\n4\r\n"):
        sid = json.loads(rig.get(relay.url + path)[2][1:])["sid"]
        with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as post:
            post.sendall(f"POST {path}&sid={sid} HTTP/1.1\r\nHost: relay\r\n{length}".encode())
            assert post.recv(4_096).split(b" ")[1] == b"408"


def test_requests_are_counted_by_address(new_relay, db):
    relay = new_relay(max_requests=5, **FORWARDED)
    answers = [rig.get(f"{relay.url}/matches", **{"X-Forwarded-For": "198.51.100.1"}) for _ in range(40)]
    assert [status for status, *_ in answers[:10]] == [200] * 10
    refused = [headers for status, headers, _ in answers if status == 429]
    assert refused and all(int(headers["retry-after"]) >= 1 for headers in refused)
    assert rig.get(f"{relay.url}/matches", **{"X-Forwarded-For": "198.51.100.2"})[0] == 200
    # Only polls of a session that is there count less, whatever a query says.
    for number, path in enumerate(("matches?sid=x", "health?sid=x", "socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"), 3):
        address = {"X-Forwarded-For": f"198.51.100.{number}"}
        assert 429 in [rig.get(f"{relay.url}/{path}", **address)[0] for _ in range(40)], path


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
    for accepted, encoding in (("gzip", "gzip"), ("br", "br"), ("*", "br"), ("br;q=0, *", "gzip")):
        packed = [rig.get(f"{relay.url}/matches/final/aggregates", **{"Accept-Encoding": accepted}) for _ in range(2)]
        assert all(headers["content-encoding"] == encoding for _, headers, _ in packed) and packed[0][2] == packed[1][2]
        # One that is made anew for each request has no length that is known before.
        assert all("content-length" in headers for _, headers, _ in packed), accepted
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
        before = len(db.cluster.log_text())
        reader.close()
        rig.eventually("it is ended", lambda: waiting() == 0)
        told = db.cluster.log_text()[before:]
        assert "due to user request" in told and "due to statement timeout" not in told, told  # the server's own limit
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


def join_many(relay, count):
    """The answers to joins of so many names that nobody knows, 40 a client: its queue has room for their snapshots and answers."""
    clients = [wire.Client(relay) for _ in range(count // 40)]
    asked = [(client, client.ask("match:join", {"matchId": f"unknown {number}"})) for number, client in enumerate(clients * 40)]
    for client, number in asked:
        client.until(lambda client=client, number=number: number in client.answers)
    return [client.answers[number] for client, number in asked]


def test_unknown_matches_are_told_counted_and_heard(new_relay, db):
    relay = new_relay(max_rooms=2_000, max_joins=10_000, max_events=10_000)
    status, _, body = rig.get(f"{relay.url}/matches/coming/stats")
    assert status == 404 and json.loads(body)["error"] == "unknown"
    client = wire.Client(relay)
    assert client.join("coming", bundle=True)["unknown"] is True
    answers = join_many(relay, 1_000)
    refused = [answer["error"] for answer in answers if not answer["ok"]]
    assert refused == ["too_many_unknown"]  # with `coming` a thousand are followed
    client = wire.Client(relay)  # the other one had to answer pings meanwhile
    assert client.join("coming", bundle=True)["unknown"] is True
    db.sql("SELECT record_vote('coming', 'home')")
    rig.settle(db.connect)
    client.until(lambda: any(name == "match:update" and body["match"] == "coming" for name, body in client.events))
    assert client.join("one more")["ok"]  # one of them exists now
    assert rig.get(f"{relay.url}/matches/coming/stats")[0] == 200
    assert "unknown" not in client.join("coming")


def test_a_match_is_not_let_go_while_somebody_joins_it(new_relay, db):
    """Whether a name exists is asked for once a second. A relay that keeps a match no longer than its followers let go of it meanwhile."""
    relay = new_relay(linger=0.001, max_joins=1_000, max_events=1_000)
    client = wire.Client(relay)
    for number in range(4):
        answer = client.join(f"nobody's {number}")
        assert answer["ok"] and answer["unknown"], answer
        client.emit("match:leave", {"matchId": f"nobody's {number}"})


def test_names_that_nobody_knows_are_asked_for_together(new_relay, db):
    relay = new_relay(max_joins=10_000, max_events=10_000, max_rooms=1_000, database_sessions=2)
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    reads, began = relay.metric("vote_relay_reads_total"), time.monotonic()
    assert all(answer["unknown"] for answer in join_many(relay, 400))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: rig.get(f"{relay.url}/matches/none {number}/{('stats', 'geojson')[number % 2]}".replace(" ", "%20")), range(400)))
    assert {status for status, *_ in answers} == {404}
    assert relay.metric("vote_relay_reads_total") - reads <= time.monotonic() - began + 1, "one a second"
    # A match that exists is told from them, also while its votes are still to be folded.
    db.sql(f"ALTER DATABASE {db.name} SET vote_agg.worker = off")
    client = wire.Client(relay)
    assert client.join("unknown 7")["unknown"] and "unknown" not in client.join("final")
    assert rig.get(f"{relay.url}/matches/final/stats")[0] == 200
    with db.connect() as session:
        session.execute("SELECT record_vote('unknown 7', 'home')")
        status, _, body = rig.get(f"{relay.url}/matches/unknown%207/stats")
        assert (status, json.loads(body)["stats"]["total"]) == (200, 1)
        session.execute("SELECT vote_agg.fold()")
    client.until(lambda: any(name == "match:stats" and body["matchId"] == "unknown 7" for name, body in client.events))


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


def test_every_question_is_answered(new_relay, db):
    """While a client's free slots are counted none is free. An answer that another thread gave then was lost."""
    names = [f"match {number}" for number in range(20)]
    db.sql("SELECT record_vote(id, 'home') FROM unnest(%s::text[]) id", names)
    rig.settle(db.connect)
    relay = new_relay(max_joins=100_000, max_events=100_000)
    clients = [wire.Client(relay) for _ in range(2)]
    for _ in range(400):
        asked = [(client, client.ask("match:join", {"matchId": name})) for name in names for client in clients]
        for client, number in asked:
            client.until(lambda client=client, number=number: number in client.answers, patience=rig.PATIENCE / 6)
            assert client.answers.pop(number)["ok"]
