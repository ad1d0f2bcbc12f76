"""What one voter does at the door is no other one's matter, and what a client is told is so."""

import http.client
import json
import socket
import threading

import wire
from doors import Voter
from test_guard import token
from testkit import rig

FORWARDED = {"trusted_proxies": "127.0.0.1"}
BEFORE = "CREATE OR REPLACE FUNCTION get_vote(match_id text, voter_id text) RETURNS TABLE (team_choice text, h3_index text, country_code text, turn bigint) LANGUAGE plpgsql STABLE AS "


def in_background(act):
    """Runs it beside the test; returns the list that its result comes into, and the thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    return found, thread


def test_a_vote_that_came_too_late_holds_up_nobody(doors):
    """The vote that stands is read before a superseded one is answered; meanwhile others vote."""
    doors.match()
    relay = doors.open(votes_sessions=1, votes_timeout=rig.PATIENCE)
    assert Voter(relay).vote("home", 5)[0] == 200
    doors.db.sql(BEFORE + "$$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN QUERY SELECT 'slow', NULL::text, NULL::text, 5::bigint; END $$")
    with doors.db.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        found, late = in_background(lambda: Voter(relay).vote("away", 4))
        rig.eventually("it is looked for", lambda: doors.db.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        assert Voter(relay, "bob").vote() == (200, {"outcome": "counted", "turn": 1})
        assert not found
    late.join(rig.PATIENCE)
    assert found == [(200, {"outcome": "superseded", "turn": 4, "vote": {"team_choice": "slow", "turn": 5}})]


def test_ones_own_vote(doors):
    doors.match()
    relay = doors.open(votes="anonymous", max_resolution=4)
    ann = Voter(relay)
    own = lambda voter: voter.request("GET", "/matches/final/vote")[::2]  # noqa: E731
    assert own(ann) == (200, {"team_choice": None, "turn": None, "h3_index": None})
    ann.vote("home", lat=48.8566, lng=2.3522)
    assert own(ann) == (200, {"team_choice": "home", "turn": 1, "h3_index": "841fb47ffffffff"})
    assert own(Voter(relay, "bob"))[1]["team_choice"] is None
    ann.retract()
    assert own(ann) == (200, {"team_choice": None, "turn": 2, "h3_index": None})
    click = Voter(relay, None)
    click.send({"team_choice": "away"})
    assert own(click)[1]["team_choice"] == "away"
    doors.db.sql("SELECT close_match('final')")
    status, headers, _ = click.request("GET", "/matches/final/vote")
    assert status == 200 and headers["cache-control"] == "private, no-cache"
    click.headers = {}
    assert own(click)[1]["error"] == "key_missing"
    assert own(Voter(relay, scope="watch"))[0] == 400 and own(Voter(doors.open(), scope="watch"))[0] == 403
    status, _, problem = ann.request("GET", "/matches/final/vote?voter_id=bob")
    assert (status, problem["error"]) == (400, "invalid")
    doors.db.cluster.stop("immediate")
    status, headers, problem = ann.request("GET", "/matches/final/vote")
    assert (status, problem["error"]) == (503, "unavailable") and int(headers["retry-after"]) >= 1
    doors.db.cluster.start()
    rig.eventually("it can be read again", lambda: own(ann)[0] == 200)


def test_a_vote_has_one_meaning(doors):
    """Readers differ on which value counts where a key comes twice."""
    doors.match()
    relay = doors.open()
    ann = Voter(relay)
    twice = '{"team_choice": "home", "turn": 1, "team_choice": "away"}'
    for body in (twice, '{"turn": 2, "team_choice": "home", "teamChoice": "home"}', '{"turn": 1, "team_choice": "home", "\\u0074urn": 1}'):
        status, problem = ann.send(body.encode())
        assert (status, problem["error"]) == (422, "invalid"), (body, problem)
    assert "the key \"team_choice\" comes twice" in ann.send(twice.encode())[1]["detail"]
    status, answers = ann.send(f'[{twice}, {{"team_choice": "home", "turn": 1}}]'.encode())
    assert status == 207 and [answer["status"] for answer in answers] == [422, 200]
    client = wire.Client(relay, auth={"token": token(sub="bob", scope="vote")})
    client.send(f'42/votes,7["vote",{twice[:-1]},"match_id":"final"}}]')
    client.until(lambda: 7 in client.answers)
    assert not client.answers[7]["ok"] and (client.answers[7]["status"], client.answers[7]["error"]) == (422, "invalid")
    assert "comes twice" in client.answers[7]["detail"]
    assert doors.ballots() == [("home", 1)] and doors.assert_exact() == 1


def test_another_method_is_a_problem(doors):
    relay = doors.open()
    for path, method, allowed in [("votes", "GET", "POST,DELETE"), ("votes", "PUT", "POST,DELETE"), ("vote", "POST", "GET,HEAD")]:
        status, headers, problem = Voter(relay).request(method, f"/matches/final/{path}")
        assert (status, problem["status"], problem["error"], problem["title"]) == (405, 405, "method", "Method Not Allowed")
        assert headers["content-type"] == "application/problem+json" and set(headers["allow"].split(",")) == set(allowed.split(","))


def test_bodies_under_way_are_bounded(doors):
    """What an address begins to send, and what is read of it, takes bounded memory; a vote that finds no room may come again."""
    doors.match()
    relay = doors.open()
    ann = Voter(relay)
    head = f"POST /matches/final/votes HTTP/1.1\r\nHost: relay\r\nAuthorization: {ann.headers['Authorization']}\r\nContent-Type: application/json\r\n"
    slow = [socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) for _ in range(8)]
    for connection in slow:
        connection.sendall(f"{head}Content-Length: {1 << 20}\r\n\r\n[".encode())
    rig.eventually("there is no more room", lambda: ann.vote("home", 1)[1].get("error") == "queue_full")
    other = rig.get(f"{relay.url}/matches/final/stats")
    assert other[0] == 200, "reads go on"
    for connection in slow:
        connection.close()
    rig.eventually("there is room again", lambda: ann.vote("home", 1)[0] == 200)
    vote = {"team_choice": "home", "turn": 1, "h3_index": ""}
    spare = (8 << 10) - len(json.dumps(vote))
    assert "H3" in ann.send({**vote, "h3_index": "x" * spare})[1]["detail"]
    assert str(8 << 10) in ann.send({**vote, "h3_index": "x" * (spare + 1)})[1]["detail"]
    status, answers = ann.send([{**vote, "h3_index": None}, {"nested": [[{}] * 100] * 100}])
    assert status == 207 and [answer["status"] for answer in answers] == [200, 422]
    assert doors.assert_exact() == 1


def test_a_country_comes_with_the_connection(doors):
    doors.match()
    through, around = doors.open(trusted_proxies="127.0.0.1", country_header="CF-IPCountry"), doors.open(trusted_proxies="10.0.0.1", country_header="CF-IPCountry")
    for relay, subject, header in [(through, "a", "fr"), (through, "b", "T1"), (through, "c", "XX"), (around, "d", "DE")]:
        Voter(relay, subject).send({"team_choice": "home", "turn": 1}, **{"CF-IPCountry": header})
    socket = wire.Client(through, auth={"token": token(sub="e", scope="vote")}, headers={"CF-IPCountry": "IT"})
    assert socket.emit("vote", {"matchId": "final", "teamChoice": "home", "turn": 1})["ok"]
    assert doors.db.sql("SELECT country_code, count(*) FROM vote_agg.ballot GROUP BY 1 ORDER BY 1") == [("FR", 1), ("IT", 1), (None, 3)]


def test_limits(doors):
    doors.match()
    votes = [{"team_choice": "home", "turn": 1}] * 100
    statuses = [answer["status"] for answer in Voter(doors.open(), scope="vote:any").send(votes)[1]]
    assert statuses[:10] == [200] * 10 and 429 in statuses[10:], "five a second of one voter, ten at once"
    relay = doors.open(max_votes_per_ip=1, max_votes_per_voter=100_000)
    assert Voter(relay).send(votes)[0] == 200, "overdrawn once"
    status, headers, problem = Voter(relay, "bob").request("POST", "/matches/final/votes", votes[0])
    assert (status, problem["error"]) == (429, "too_many_votes") and int(headers["retry-after"]) > 50
    assert Voter(relay, "bob").retract()[0] == 429
    socket = wire.Client(relay, auth={"token": token(sub="bob", scope="vote")})
    assert socket.emit("vote", {"matchId": "final", **votes[0]})["error"] == "too_many_votes"
    assert Voter(relay, scope="vote:any").send(votes)[0] == 200, "a back end speaks for many"
    relay = doors.open(max_votes=49, max_votes_per_voter=100_000)
    status, problem = Voter(relay).send(votes[:99])
    assert (status, problem["error"]) == (422, "invalid") and "99 votes in one request are more than 98" in problem["detail"]
    assert Voter(relay).send(votes[:98])[0] == 200
    assert doors.assert_exact() == 1


def test_a_country_given_twice_is_none(doors):
    doors.match()
    relay = doors.open(country_header="CF-IPCountry", **FORWARDED)
    for subject, countries in [("ann", ["FR"]), ("bob", ["DE", "FR"]), ("eve", ["FR", "FR"])]:
        connection, body = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE), b'{"team_choice": "home", "turn": 1}'
        connection.putrequest("POST", "/matches/final/votes")
        for name, value in [("Authorization", f"Bearer {token(sub=subject, scope='vote')}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
            connection.putheader(name, value)
        for country in countries:
            connection.putheader("CF-IPCountry", country)
        connection.endheaders(body)
        assert connection.getresponse().status == 200
        connection.close()
    assert doors.db.sql("SELECT country_code, count(*) FROM vote_agg.ballot GROUP BY 1 ORDER BY 1") == [("FR", 1), (None, 2)]


def test_a_page_can_read_why_it_is_refused(doors):
    doors.match()
    relay = doors.open(max_requests=5, **FORWARDED)

    def refused(method, path, address, origin="https://example.org", **headers):
        for _ in range(100):
            found = rig_request(relay, method, path, {"Origin": origin, "X-Forwarded-For": address, **headers})
            if found[0] != 200 and found[0] != 401:
                return found
        raise AssertionError("never refused")

    status, headers, problem = refused("DELETE", "/matches/final/votes?turn=1", "198.51.100.1")
    while problem["error"] != "too_many_requests":
        status, headers, problem = refused("DELETE", "/matches/final/votes?turn=1", "198.51.100.1")
    assert (status, problem["status"], problem["title"]) == (429, 429, "Too Many Requests") and problem["retry_after"] >= 1
    assert headers["content-type"] == "application/problem+json" and int(headers["retry-after"]) >= 1
    assert headers["access-control-allow-origin"] == "*" and "retry-after" in headers["access-control-expose-headers"]
    status, headers, refusal = refused("GET", "/matches", "198.51.100.2")
    assert (status, refusal["error"], headers["access-control-allow-origin"]) == (429, "too_many_requests", "*") and refusal["message"]
    status, headers, problem = refused("GET", "/matches/final/vote", "198.51.100.3", **{"X-Long": "x" * 40_000})
    assert (status, problem["error"], headers["access-control-allow-origin"]) == (431, "invalid", "*")
    assert headers["content-type"] == "application/problem+json"
    status, _, problem = rig_request(relay, "GET", "/matches/final/vote?token=a&token=b", {"X-Forwarded-For": "198.51.100.4"})
    assert (status, problem["error"], problem["type"]) == (400, "invalid", "about:blank") and "twice" in problem["detail"]


def rig_request(relay, method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.headers.items()}, json.loads(answer.read() or b"null")
    connection.close()
    return found


def test_an_address_fills_its_share_of_the_queue_alone(doors):
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, votes_queue=16, votes_sessions=1, votes_timeout=rig.PATIENCE, **FORWARDED)
    address = {"X-Forwarded-For": "198.51.100.1"}
    vote = {"team_choice": "home", "turn": 1}
    assert Voter(relay).send(vote, **address)[0] == 200
    status, problem = Voter(relay).send([vote] * 5, **address)
    assert status == 422 and "5 votes in one request are more than 4" in problem["detail"], "it could never be taken"
    proxy.stall()
    waiting = [in_background(lambda n=n: Voter(relay, f"fan {n}").send(vote, **address)) for n in range(4)]
    rig.eventually("its share is full", lambda: relay.metric("vote_relay_votes_queued") == 4)
    status, problem = Voter(relay, "fan 5").send(vote, **address)
    assert (status, problem["error"]) == (503, "queue_full") and "more than 4 votes from your address" in problem["detail"]
    client = wire.Client(relay, auth={"token": token(sub="fan 6", scope="vote")}, headers=address)
    assert client.emit("vote", {"matchId": "final", **vote})["error"] == "queue_full", "over a socket too"
    waiting.append(in_background(lambda: Voter(relay, "bob").send(vote, **{"X-Forwarded-For": "198.51.100.2"})))
    waiting.append(in_background(lambda: Voter(relay, "team", scope="vote:any").send(vote, **address)))
    rig.eventually("another address has its own, and a back end needs none", lambda: relay.metric("vote_relay_votes_queued") == 6)
    proxy.flow()
    for found, thread in waiting:
        thread.join(rig.PATIENCE)
        assert found[0][0] == 200
    assert Voter(relay, "fan 5").send(vote, **address)[0] == 200
    assert doors.assert_exact() == 8
    proxy.close()


def test_a_vote_whose_client_goes_is_counted_as_such(doors):
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, votes_sessions=1, votes_timeout=rig.PATIENCE)
    assert Voter(relay).vote()[0] == 200
    proxy.stall()
    sent, thread = in_background(lambda: Voter(relay, "bob").vote())
    rig.eventually("one is on its way", lambda: relay.metric("vote_relay_votes_queued") == 1)
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
    headers = {"Authorization": f"Bearer {token(sub='eve', scope='vote')}", "Content-Type": "application/json"}
    connection.request("POST", "/matches/final/votes", json.dumps({"team_choice": "home", "turn": 1}), headers)
    rig.eventually("one waits", lambda: relay.metric("vote_relay_votes_queued") == 2)
    connection.close()
    rig.eventually("it is taken out of line", lambda: relay.metric("vote_relay_votes_queued") == 1)
    proxy.flow()
    thread.join(rig.PATIENCE)
    assert sent == [(200, {"outcome": "counted", "turn": 1})] and doors.assert_exact() == 2
    text = rig.get(f"{relay.url}/metrics")[2].decode()
    outcomes = {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("vote_relay_votes_total{")}
    assert {outcome: votes for outcome, votes in outcomes.items() if votes} == {"counted": 2, "withdrawn": 1}
    proxy.close()


def test_a_sender_without_a_session_takes_no_vote_from_one_that_has_one(doors):
    """The bell that tells of a vote rings for one sender. The one that hears it may be about to connect, for as long as that takes."""
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, votes_timeout=rig.PATIENCE)
    assert Voter(relay, "first").vote()[0] == 200
    # Whoever connects now gets no answer.
    proxy.target = silent = rig.free_port()
    listener = socket.create_server(("127.0.0.1", silent))
    for n in range(20):
        assert Voter(relay, f"fan {n}").vote()[0] == 200
    listener.close()
    assert doors.assert_exact() == 21
    proxy.close()


def commit(db):
    with db.connect(application_name="probe") as session:
        session.execute("SET synchronous_commit = on")
        session.execute("CREATE TEMP TABLE probe ()")


def test_a_session_keeps_its_durability(doors):
    """A reload that turns synchronous_commit off is not for the sessions of the door."""
    doors.match()
    relay = doors.open(votes_timeout=rig.PATIENCE)
    assert Voter(relay).vote("home", 1)[0] == 200
    with doors.db.connect() as session:
        session.execute("SET synchronous_commit = local")
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'SyncRep'"
        try:
            session.execute("ALTER SYSTEM SET synchronous_commit = off")
            session.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            session.execute("SELECT pg_reload_conf()")
            rig.eventually("commits wait", lambda: in_background(lambda: commit(doors.db)) and session.execute(waiting, ("probe",)).fetchone())
            found, thread = in_background(lambda: Voter(relay).vote("away", 2))
            rig.eventually("its commit waits for the standby", lambda: session.execute(waiting, ("vote-agg-door",)).fetchone() or found)
            assert not found
        finally:
            session.execute("ALTER SYSTEM RESET synchronous_commit")
            session.execute("ALTER SYSTEM RESET synchronous_standby_names")
            session.execute("SELECT pg_reload_conf()")
    thread.join(rig.PATIENCE)
    assert found == [(200, {"outcome": "changed", "turn": 2})]
