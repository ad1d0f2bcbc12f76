"""Votes through the door: each answer says what is so, each vote counts once, and nobody votes for another."""

import json
import random
import re
import socket
import subprocess
import threading
import time
import uuid

import pytest
import wire
from doors import PARIS, SECRET, Cutter, Voter, end_backends
from test_fuzz import INPUTS, SEED, mutated
from test_guard import GUARDED, token
from testkit import rig


def test_outcomes(doors):
    doors.match()
    relay = doors.open(max_votes_per_voter=1_000)
    ann = Voter(relay, "a fan of theirs")
    assert ann.vote("home", h3_index=PARIS) == (200, {"outcome": "counted", "turn": 1})
    assert ann.vote("home", 1) == (200, {"outcome": "unchanged", "turn": 1})
    assert ann.vote("away", 2) == (200, {"outcome": "changed", "turn": 2})
    assert ann.vote("home", 1) == (200, {"outcome": "superseded", "turn": 1, "vote": {"team_choice": "away", "turn": 2}})
    status, problem = ann.vote("home", 2)
    assert (status, problem["error"], problem["sqlstate"]) == (409, "voted", "23505")
    assert ann.retract(3) == (200, {"outcome": "retracted", "turn": 3})
    assert ann.retract(3) == (200, {"outcome": "unchanged", "turn": 3})
    assert ann.vote("home", 2) == (200, {"outcome": "superseded", "turn": 2, "vote": {"team_choice": None, "turn": 3}})
    assert ann.vote("home", 4) == (200, {"outcome": "counted", "turn": 4})
    for vote, status, error in [
        ({"team_choice": "draw", "turn": 5}, 404, "unknown"),
        ({"team_choice": "home", "turn": 5, "h3_index": "872a1072bfffff0"}, 422, "invalid"),
        ({"team_choice": "home"}, 422, "invalid"),
        ({"team_choice": "home", "turn": 5, "votes": 2}, 422, "invalid"),
        (b"{", 400, "invalid"),
    ]:  # fmt: skip
        found, headers, problem = ann.request("POST", "/matches/final/votes", vote)
        assert (found, problem["error"], problem["status"], problem["type"]) == (status, error, status, "about:blank"), (vote, problem)
        assert headers["content-type"] == "application/problem+json" and problem["detail"] and problem["title"]
    assert ann.send({"team_choice": "home", "turn": 5}, **{"Content-Type": "text/plain"})[0] == 415
    assert ann.send(b" " * ((1 << 20) - 1) + b"0")[0] == 422, "as long as may be"
    with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
        head = f"POST /matches/final/votes HTTP/1.1\r\nHost: relay\r\nAuthorization: {ann.headers['Authorization']}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {(1 << 20) + 1}\r\n\r\n".encode())
        assert b" 413 " in connection.makefile("rb").readline()
    with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode())
        assert b" 400 " in connection.makefile("rb").readline()
    unknown = Voter(relay, match="cup")
    assert (unknown.vote()[0], unknown.retract()[0]) == (404, 404)
    assert doors.db.sql("SELECT 1 FROM vote_agg.live WHERE match_id = 'cup'") == [], "no address opens a match"
    doors.db.sql("SELECT close_match('final')")
    assert ann.vote("home", 4) == (200, {"outcome": "unchanged", "turn": 4})
    status, problem = ann.vote("away", 5)
    assert (status, problem["error"], problem["sqlstate"]) == (409, "closed", "55000")
    assert doors.assert_exact() == 1
    assert relay.metric("vote_relay_votes_total") >= 14
    assert not [word for word in ("fan of theirs", SECRET) if word in relay.log.read_text()]


def test_a_ballot_tells_neither_voter_nor_place(doors):
    doors.match()
    doors.match("cup")
    relay = doors.open(max_resolution=4)
    for match in ("final", "cup"):
        Voter(relay, "4711", match=match).vote("home", lat=48.8566, lng=2.3522)
    Voter(relay, "4712").vote("home", h3_index=PARIS)
    rows = doors.db.sql("SELECT match_id, voter_id, to_hex(h3_index) FROM vote_agg.ballot")
    assert {cell for *_, cell in rows} == {"841fb47ffffffff"}
    voters = {voter for _, voter, _ in rows}
    assert len(voters) == 3 and all(re.fullmatch('[0-9a-f]{32}', voter) for voter in voters), voters
    said = str([line["fields"] for line in relay.logged()])  # a time of the clock may read like a latitude
    assert "taking votes" in said and "48.85" not in said


def test_nobody_votes_for_another(doors):
    doors.match()
    relay = doors.open(auth="required")
    vote = {"team_choice": "home", "turn": 1}
    now = int(time.time())
    for what, sent, status, error in [
        ("none", None, 401, "token_missing"),
        ("forged", token(key="another secret of the tests, long too", sub="ann", scope="vote"), 401, "token_invalid"),
        ("expired", token(exp=now - 60, sub="ann", scope="vote"), 401, "token_expired"),
        ("of another issuer", token(iss="else", sub="ann", scope="vote"), 401, "token_issuer"),
        ("to watch", token(sub="ann"), 403, "scope"),
        ("to watch, in words", token(sub="ann", scope="watch votes"), 403, "scope"),
        ("of nobody", token(scope="vote"), 403, "no_subject"),
        ("of an empty name", token(scope="vote", sub=""), 403, "no_subject"),
        ("of another match", token(sub="ann", scope="vote", matches=["cup"]), 403, "forbidden"),
    ]:
        bad = Voter(relay)
        bad.headers = {"Authorization": f"Bearer {sent}"} if sent else {}
        found, problem = bad.send(vote)
        assert (found, problem["error"]) == (status, error), (what, problem)
        assert bad.retract(1)[0] == status, what
        # A key is no right either, where tokens are.
        assert bad.send(vote, **{"Idempotency-Key": str(uuid.uuid4())})[0] == status, what
    ann = Voter(relay)
    for body in ({**vote, "voter_id": "bob"}, {**vote, "voterId": "bob"}, {**vote, "country_code": "DE"}):
        assert ann.send(body)[0] == 403
    status, _, problem = Voter(relay, scope="vote:any").request("DELETE", "/matches/final/votes?turn=1&voter_id=bob")
    assert (status, problem["error"]) == (400, "invalid") and "POST" in problem["hint"], "a name in an address ends in a log"
    assert ann.send({**vote, "match_id": "cup"})[0] == 422
    assert doors.ballots() == [] and doors.assert_exact() == 0


def test_a_back_end_names_voters(doors):
    doors.match()
    relay = doors.open(max_votes_per_ip=1)
    team = Voter(relay, "the back end", scope="vote:any")
    votes = [{"team_choice": "home", "turn": 1, "voter_id": f"fan {n}", "country_code": "FR"} for n in range(1_000)]
    status, answers = team.send(votes)
    assert status == 200 and answers == [{"outcome": "counted", "turn": 1, "status": 200}] * 1_000
    assert Voter(relay, "fan 7").vote("home", 1)[1]["outcome"] == "unchanged", "the same fan with a token of the same issuer"
    status, answers = team.send([votes[0], {**votes[1], "team_choice": "draw", "turn": 2}, {**votes[2], "h3_index": "x"}, {**votes[3], "turn": 2, "team_choice": None}])
    assert (status, [answer["status"] for answer in answers]) == (207, [200, 404, 422, 200])
    assert [answer.get("outcome") for answer in answers] == ["unchanged", None, None, "retracted"]
    assert team.send([*votes, votes[0]])[0] == 422
    # One voter more than once: in the order of the list.
    status, answers = team.send([{"team_choice": choice, "turn": turn, "voter_id": "eve"} for turn, choice in enumerate(("home", "away", None), 1)])
    assert [answer["outcome"] for answer in answers] == ["counted", "changed", "retracted"]
    assert doors.assert_exact() == 999
    assert doors.db.sql("SELECT DISTINCT country_code FROM vote_agg.ballot WHERE team_choice = 'home'") == [("FR",)]


def test_keys_count_clicks(doors):
    doors.match()
    relay = doors.open(votes="anonymous", auth="optional")
    click = Voter(relay, None)
    assert click.send({"team_choice": "home"}) == (200, {"outcome": "counted", "turn": 1})
    assert click.send({"team_choice": "home"}) == (200, {"outcome": "unchanged", "turn": 1})
    assert click.send({"team_choice": "away"})[0] == 409, "a key is one vote, although the match allows changes"
    assert (click.vote("away", 2)[0], click.retract(1)[0], click.send([{"team_choice": "home"}] * 2)[0]) == (422, 422, 422)
    assert click.send([{"team_choice": "home"}])[1][0]["outcome"] == "unchanged"
    for key in (None, "", "short", "x" * 201, "no spaces in a key please"):
        assert click.send({"team_choice": "home"}, **{"Idempotency-Key": key})[0] == 400, key
    with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
        keys = "".join(f"Idempotency-Key: {uuid.uuid4()}\r\n" for _ in range(2))
        connection.sendall(f'POST /matches/final/votes HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n{keys}Content-Length: 22\r\n\r\n{{"team_choice":"home"}}'.encode())
        assert b" 400 " in connection.makefile("rb").readline(), "of two keys nobody can tell which one votes"
    assert Voter(relay).vote()[1]["outcome"] == "counted", "with a token"
    assert doors.assert_exact() == 2


def test_votes_over_a_socket(doors, new_relay):
    doors.match()
    relay = doors.open()
    ann = wire.Client(relay, auth={"token": token(sub="ann", scope="vote", matches=["final", "cup"])})
    vote = {"matchId": "final", "teamChoice": "home", "h3Index": PARIS, "turn": 1}
    assert ann.emit("vote", vote) == {"ok": True, "outcome": "counted", "turn": 1}
    assert ann.emit("vote", vote) == {"ok": True, "outcome": "unchanged", "turn": 1}
    assert Voter(relay).vote("home", 1)[1]["outcome"] == "unchanged", "the same voter over HTTP"
    assert ann.emit("vote", {**vote, "turn": 2, "teamChoice": None})["outcome"] == "retracted"
    assert ann.emit("vote", vote)["vote"] == {"team_choice": None, "turn": 2}
    for bad, status, error in [
        ({**vote, "matchId": "other"}, 403, "forbidden"), ({**vote, "matchId": "cup"}, 404, "unknown"), ({**vote, "voterId": "bob"}, 403, "forbidden"),
        ({**vote, "turn": 0}, 422, "invalid"), ("final", 422, "invalid"), (None, 422, "invalid"), ([vote], 422, "invalid"), ({}, 422, "invalid"),
    ]:  # fmt: skip
        answer = ann.emit("vote", bad)
        assert (answer["ok"], answer["status"], answer["error"]) == (False, status, error), (bad, answer)
    watcher = wire.Client(relay, auth={"token": token(sub="bob")})
    assert watcher.emit("vote", vote)["error"] == "scope"
    closed = wire.Client(new_relay(**GUARDED), auth={"token": token(sub="ann", scope="vote")})
    assert closed.emit("vote", vote)["error"] == "unknown_event"
    assert doors.assert_exact() == 0


BODIES = [
    {"team_choice": "home", "turn": 1, "h3_index": PARIS}, {"teamChoice": None, "turn": 2}, {"team_choice": "away", "turn": 3, "voter_id": "bob"},
    [{"team_choice": "home", "turn": 4}, {"team_choice": "away", "turn": 5, "lat": 1.5, "lng": -2.5}],
]  # fmt: skip


def test_no_mutated_request_votes_for_another(doors):
    doors.match()
    relay, rng = doors.open(max_requests=1_000_000, max_votes_per_ip=100_000, max_votes_per_voter=100_000), random.Random(SEED)
    bearer = token(sub="ann", scope="vote")
    print(f"FUZZ_SEED={SEED}")
    statuses = set()
    for _ in range(INPUTS // 3):
        body = json.dumps(rng.choice(BODIES)).encode()
        in_body = rng.random() < 0.8
        if in_body:
            body = mutated(rng, body)
        head = f"POST /matches/final/votes HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/json\r\n"
        data = f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", relay.port), timeout=rig.PATIENCE) as connection:
            connection.sendall(data if in_body else mutated(rng, data))
            connection.shutdown(socket.SHUT_WR)
            statuses.add(connection.makefile("rb").readline()[9:12])
    assert len(statuses) > 4, statuses
    ballots = doors.db.sql("SELECT match_id, voter_id FROM vote_agg.ballot")
    Voter(relay).vote("home", 1 << 60)
    assert doors.db.sql("SELECT match_id, voter_id FROM vote_agg.ballot") == ballots and len(ballots) == 1
    doors.assert_exact()


def test_a_relay_without_a_door(db, new_relay):
    relay = new_relay(**GUARDED)
    status, problem = Voter(relay).vote()
    assert (status, problem["error"]) == (404, "not_found")


@pytest.mark.parametrize("word, times, outcome", [(b"home", 3, "counted"), (b"counted", 1, "unchanged")], ids=["before the commit", "after it"])
def test_a_lost_answer_is_asked_for_again(doors, word, times, outcome):
    doors.match()
    proxy = Cutter(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, votes_timeout=rig.PATIENCE)
    proxy.after(word, times)
    assert Voter(relay).vote() == (200, {"outcome": outcome, "turn": 1})
    assert proxy.times == 0 and doors.assert_exact() == 1
    assert relay.metric("vote_relay_votes_repeated_total") == times
    proxy.close()


def test_a_commit_that_waits_for_its_standby_is_not_acknowledged(doors):
    doors.match()
    relay = doors.open(votes_timeout=rig.PATIENCE)
    with doors.db.connect() as session:
        # A session of the door's own, that waits.
        def waiting(other_than=0):
            return session.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'vote-agg-door' AND wait_event = 'SyncRep' AND pid <> %s", (other_than,)
            ).fetchone()

        session.execute("SET synchronous_commit = local")
        session.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        session.execute("SELECT pg_reload_conf()")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(Voter(relay).vote()), daemon=True)
        try:
            rig.eventually("new commits wait", lambda: session.execute("SHOW synchronous_standby_names").fetchone()[0])
            thread.start()
            (first,) = rig.eventually("its commit waits", waiting)
            session.execute("SELECT pg_cancel_backend(%s)", (first,))  # the commit succeeds now, with a warning
            rig.eventually("the door asks again, and waits again", lambda: waiting(first))
            assert not answers
        finally:
            session.execute("ALTER SYSTEM RESET synchronous_standby_names")
            session.execute("SELECT pg_reload_conf()")
        thread.join(rig.PATIENCE)
    assert answers == [(200, {"outcome": "unchanged", "turn": 1})]
    assert doors.assert_exact() == 1


def test_a_busy_voter_holds_up_nobody(doors):
    doors.match()
    relay = doors.open(votes_timeout=rig.PATIENCE)
    team = Voter(relay, scope="vote:any")
    team.send([{"team_choice": "home", "turn": 1, "voter_id": f"fan {n}"} for n in range(10)])
    answers = []
    with doors.db.connect() as holder:
        holder.autocommit = False
        voter = holder.execute("SELECT voter_id FROM vote_agg.ballot LIMIT 1").fetchone()[0]
        holder.execute("SELECT cast_vote('final', %s, 'away')", (voter,))
        votes = [{"team_choice": "away", "turn": 2, "voter_id": f"fan {n}"} for n in range(10)]
        thread = threading.Thread(target=lambda: answers.append(Voter(relay, scope="vote:any").send(votes)), daemon=True)
        thread.start()
        rig.eventually("nine of ten have moved", lambda: doors.ballots().count(("away", 2)) == 9)
        rig.eventually("the tenth is asked for again", lambda: relay.metric("vote_relay_votes_busy_total") >= 3)
        assert Voter(relay, "somebody else").vote()[0] == 200 and not answers
        holder.rollback()
    thread.join(rig.PATIENCE)
    assert answers[0][0] == 200 and doors.ballots().count(("away", 2)) == 10
    assert doors.assert_exact() == 11


def test_a_full_queue_is_told_before_anything_is_sent(doors):
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, votes_queue=4, votes_timeout=3, votes_sessions=1)
    assert Voter(relay, "first").vote()[0] == 200
    proxy.stall()
    answers = {}

    def vote(name):
        # One address speaks for all.
        answers[name] = Voter(relay, name, scope="vote:any").request("POST", "/matches/final/votes", {"team_choice": "home", "turn": 1})

    threads = [threading.Thread(target=vote, args=(f"fan {n}",), daemon=True) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(rig.PATIENCE)
    errors = [problem["error"] for *_, problem in answers.values()]
    assert set(errors) <= {"queue_full", "not_sent", "unknown_outcome"} and errors.count("queue_full") >= 8, errors
    assert all(int(headers["retry-after"]) >= 1 for _, headers, _ in answers.values())
    assert all(status == {"unknown_outcome": 504}.get(problem["error"], 503) for status, _, problem in answers.values())
    proxy.flow()
    rig.eventually("the queue is empty", lambda: relay.metric("vote_relay_votes_queued") == 0)
    unknown = [name for name, (status, *_) in answers.items() if status == 504]
    assert doors.assert_exact() <= 1 + len(unknown), "503: never counted"
    for name in answers:
        outcome = Voter(relay, name).vote()[1]["outcome"]
        assert outcome == "counted" or name in unknown, (name, outcome)
    assert doors.assert_exact() == 13
    proxy.close()


def test_the_database_comes_back_in_time(doors):
    doors.match()
    relay = doors.open(votes_timeout=rig.PATIENCE)
    assert Voter(relay).vote()[0] == 200
    answers = []
    doors.db.cluster.stop("immediate")
    thread = threading.Thread(target=lambda: answers.append(Voter(relay, "bob").vote()), daemon=True)
    thread.start()
    rig.eventually("the vote waits", lambda: relay.metric("vote_relay_votes_queued") == 1)
    doors.db.cluster.start()
    thread.join(rig.PATIENCE)
    assert answers[0][0] == 200 and doors.assert_exact() == 2


KILLS = 20
VOTERS = 24
TURNS = 12


def test_every_vote_counts_once_whatever_ends(doors):
    """Sessions end under load, and a door; two doors serve the same voters, and each voter sends again until he knows."""
    doors.match()
    relays = [doors.open(max_votes_per_voter=100_000), doors.open(max_votes_per_voter=100_000)]
    relays[0].starts = 1
    deadline, stopped, wrong = time.monotonic() + rig.PATIENCE, threading.Event(), []

    def vote(number):
        for turn in range(1, TURNS + 1):
            voter = Voter(relays[(number + turn) % 2], f"fan {number}")
            team = ("home", "away")[(number + turn) % 2]
            status, answer = voter.insist(team, turn, deadline)
            if status != 200 or answer["outcome"] not in ("counted", "changed", "unchanged"):
                wrong.append((number, turn, status, answer))
            if number % 2:  # a retry that comes late
                status, answer = Voter(relays[turn % 2], f"fan {number}").insist(team if turn < 2 else "home", max(1, turn - 1), deadline)
                # What stands is told where the session lives to tell it.
                if turn > 1 and (answer.get("outcome"), answer.get("vote", {"turn": turn})["turn"]) != ("superseded", turn):
                    wrong.append((number, turn, status, answer))

    def kill():
        killed = 0
        while not stopped.is_set() or killed < KILLS:
            killed += end_backends(doors.db)
            time.sleep(0.02)
            if killed >= KILLS // 2 and relays[0].starts == 1:
                relays[0].kill()
                relays[0].starts += 1
                relays[0].start()

    threads = [threading.Thread(target=vote, args=(number,), daemon=True) for number in range(VOTERS)]
    killer = threading.Thread(target=kill, daemon=True)
    for thread in (*threads, killer):
        thread.start()
    for thread in threads:
        thread.join(rig.PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong, wrong[:5]
    stopped.set()
    assert doors.assert_exact() == VOTERS
    teams = [("home", "away")[(number + TURNS) % 2] for number in range(VOTERS)]
    assert doors.ballots() == sorted((team, TURNS) for team in teams)


def test_a_stop_answers_what_was_taken(doors):
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, drain=60, votes_timeout=rig.PATIENCE)
    assert Voter(relay, "first").vote()[0] == 200
    proxy.stall()
    answers = []
    late, early = Voter(relay, "late"), threading.Thread(target=lambda: answers.append(Voter(relay, "early").vote()), daemon=True)
    assert late.vote(team="home", turn=1, h3_index="x")[0] == 422
    early.start()
    rig.eventually("the vote waits", lambda: relay.metric("vote_relay_votes_queued") == 1)
    relay.process.terminate()
    rig.eventually("it takes no more", lambda: rig.get(f"{relay.url}/ready")[0] == 503)
    rig.eventually("votes are refused", lambda: late.vote("home", 1)[1].get("error") == "shutting_down")
    proxy.flow()
    early.join(rig.PATIENCE)
    assert answers == [(200, {"outcome": "counted", "turn": 1})]
    assert doors.assert_exact() == 2
    relay.kill()
    proxy.close()


def test_a_stop_tells_what_nobody_will_know(doors):
    """The database does not come back before the end: a vote that is under way may count, one behind it surely does not."""
    doors.match()
    proxy = rig.Proxy(doors.db.cluster.tcp_port)
    relay = doors.open(port=proxy.port, drain=8, votes_timeout=rig.PATIENCE)
    assert Voter(relay, "ann").vote("home", 1)[0] == 200
    proxy.stall()
    answers = {}

    def vote(turn):
        answers[turn] = Voter(relay, "ann").vote("away", turn)

    threads = []
    for turn in (2, 3):
        threads.append(threading.Thread(target=vote, args=(turn,), daemon=True))
        threads[-1].start()
        rig.eventually("the vote is taken", lambda n=len(threads): relay.metric("vote_relay_votes_queued") == n)
    relay.process.terminate()
    for thread in threads:
        thread.join(rig.PATIENCE)
    found = {turn: (status, answer["error"]) for turn, (status, answer) in answers.items()}
    assert found == {2: (504, "unknown_outcome"), 3: (503, "not_sent")}
    relay.kill()
    proxy.close()


def refused(doors, **flags):
    """What a relay says that does not start."""
    relay = rig.Relay(doors.db.url(), doors.folder / "refused.log", **doors.flags(**flags))
    environment = {"PATH": "/usr/bin", **relay.environment()}
    ended = subprocess.run(relay.command(), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=rig.PATIENCE)
    assert ended.returncode == 1, ended.stdout
    return ended.stdout


def test_another_secret_is_refused(doors):
    doors.match()
    relay = doors.open()
    assert Voter(relay).vote()[1]["outcome"] == "counted"
    assert "another voter key" in refused(doors, secret=SECRET + "!")
    other = doors.open(secret=SECRET)
    assert Voter(other).vote()[1]["outcome"] == "unchanged"


def test_a_door_that_cannot_be_right_does_not_open(doors):
    for flags, why in [
        ({"voter_key_file": None}, "VOTER_KEY_FILE"),
        ({"secret": "x" * 31}, "31 bytes, at least 32"),
        ({"voter_key_file": "/nowhere/key"}, "VOTER_KEY_FILE: /nowhere/key"),
        ({"auth": "off"}, "AUTH is off"),
        ({"country_header": "x-country"}, "TRUSTED_PROXIES"),
        ({"user": "stranger"}, "42501"),
    ]:
        assert why in refused(doors, **flags), flags
    doors.db.sql("SELECT vote_agg.grant_writer('stranger')")
    assert "vote_agg.auto_open is on" in refused(doors, user="stranger")
    doors.db.sql(f"ALTER ROLE door IN DATABASE {doors.db.name} SET synchronous_commit = off")
    assert "synchronous_commit is off" in refused(doors)
    doors.db.sql("DROP EXTENSION vote_agg")
    doors.db.sql(f"ALTER ROLE door IN DATABASE {doors.db.name} RESET synchronous_commit")
    assert "no extension vote_agg" in refused(doors)
