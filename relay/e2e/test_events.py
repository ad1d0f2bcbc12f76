"""What a match tells besides its counts: changes of the lead, its end, and its status; and folds that no message has room for."""

import json
import time

from testkit import rig


def events_of(swarm, name, event):
    return [data for what, *data in swarm("events", name=name) if what == event]


def test_flips_come_to_each_as_it_sees_the_match(db, new_relay, swarm):
    relay = new_relay()
    wishes = {"parts": {}, "bundle": {"bundle": True}, "coarse": {"resolution": 3}, "only": {"events": ["match:flips"]}}
    for name, wish in wishes.items():
        swarm("open", name=name, url=relay.url)
        assert swarm("emit", name=name, event="match:join", data=[{"matchId": "final", **wish}])["ok"]
    db.sql("SELECT record_vote('final', 'home', '872a1072bffffff', 'US', 10)")
    rig.settle(db.connect)
    db.sql("SELECT record_vote('final', 'away', '872a1072bffffff', 'US', 1000)")
    rig.settle(db.connect)
    told = [["match", None, "home", "away"], ["country", "US", "home", "away"], ["cell", "872a1072bffffff", "home", "away"]]

    def flips(name):
        if name == "bundle":
            return [update["flips"] for (update,) in events_of(swarm, name, "match:update") if "flips" in update]
        return [data["flips"] for (data,) in events_of(swarm, name, "match:flips")]

    for name in wishes:
        rig.eventually("the lead has changed", lambda name=name: len(flips(name)) == 2)
        first, second = flips(name)
        assert sorted(first, key=str) == sorted([["match", None, None, "home"], ["country", "US", None, "home"]], key=str), name
        # A cell's leader is told to those who see that cell.
        expected = told[:2] if name == "coarse" else told
        assert sorted(second, key=str) == sorted(expected, key=str), name
    assert {what for what, *_ in swarm("events", name="only")} == {"relay:welcome", "match:snapshot", "match:flips"}
    sequences = [data["seq"] for (data,) in events_of(swarm, "parts", "match:flips")]
    assert sequences == [data["seq"] for (data,) in events_of(swarm, "only", "match:flips")] and sequences[1] > sequences[0]


def test_the_end_of_a_match(db, new_relay, swarm):
    relay = new_relay()
    db.sql("SELECT open_match('final', ARRAY['home', 'away'], now() + interval '1 hour')")
    for name, wish in {"parts": {}, "bundle": {"bundle": True}}.items():
        swarm("open", name=name, url=relay.url)
        assert swarm("emit", name=name, event="match:join", data=[{"matchId": "final", **wish}])["ok"]

    def status():
        code, headers, body = rig.get(f"{relay.url}/matches/final/stats")
        assert code == 200
        return json.loads(body)["status"], headers.get("etag")

    assert status()[0] == "scheduled" == events_of(swarm, "parts", "match:snapshot")[0][0]["status"]
    db.sql("SELECT open_match('final', ARRAY['home', 'away'], now())")  # of which no fold tells, as of the clock
    rig.eventually("the match is open", lambda: status()[0] == "open")
    with db.connect() as voter:
        voter.execute("BEGIN")
        voter.execute("SELECT record_vote('final', 'home', '872a1072bffffff', 'US', 7)")
        db.sql("SELECT record_vote('final', 'away')")
        rig.eventually("a fold", lambda: status()[1] is not None)
        tag = status()[1]
        db.sql("SELECT close_match('final')")
        # Not final while a vote cast before may still come.
        rig.eventually("the match is closed", lambda: status()[0] == "closed")
        assert rig.get(f"{relay.url}/matches/final/stats", **{"If-None-Match": tag})[0] == 200
        assert not events_of(swarm, "parts", "match:closed")
        swarm("open", name="late", url=relay.url)
        assert swarm("emit", name="late", event="match:join", data=["final"])["ok"]
        rig.eventually("its snapshot", lambda: events_of(swarm, "late", "match:snapshot"))
        assert events_of(swarm, "late", "match:snapshot")[0][0]["status"] == "closed"
        voter.execute("COMMIT")
    rig.eventually("the totals are final", lambda: status()[0] == "final")
    rig.eventually("everybody is told", lambda: events_of(swarm, "parts", "match:closed"))
    rig.eventually("everybody is told", lambda: [m for (m,) in events_of(swarm, "bundle", "match:update") if m.get("final")])
    time.sleep(1)
    ((end,),) = events_of(swarm, "parts", "match:closed")
    (bundled,) = [m for (m,) in events_of(swarm, "bundle", "match:update") if m.get("final")]
    votes = {"home": 7, "away": 1}
    assert end["stats"]["votes"] == votes == bundled["stats"]["votes"] and end["seq"] == bundled["seq"]
    assert db.sql("SELECT seq, status FROM get_realtime_stats('final')") == [(end["seq"], "final")]
    swarm("open", name="later", url=relay.url)
    assert swarm("emit", name="later", event="match:join", data=["final"])["seq"] == end["seq"]
    rig.eventually("its snapshot", lambda: events_of(swarm, "later", "match:snapshot"))
    assert events_of(swarm, "later", "match:snapshot")[0][0]["status"] == "final"


def test_folds_that_no_message_has_room_for(db, new_relay, swarm):
    """Everybody hears of each of them, one after the other, and gets no snapshot but the first."""
    relay = new_relay(**rig.UNHURRIED)
    clients = [
        {"matchId": "crowd", "resolution": resolution, "bundle": bundle, "transports": [transport]}
        for resolution in (None, 3, 5, 9)
        for bundle in (True, False)
        for transport in ("websocket", "polling")
    ]
    db.sql(rig.CROWD, "crowd")
    rig.settle(db.connect)
    swarm("start", urls=[relay.url], clients=clients)
    swarm("open", name="flips", url=relay.url)
    assert swarm("emit", name="flips", event="match:join", data=[{"matchId": "crowd", "events": ["match:flips"]}])["ok"]
    rig.eventually("everybody has a snapshot", lambda: all(seq > 0 for *_, seq, _ in swarm("heads")))
    first = db.sql("SELECT seq FROM get_realtime_stats('crowd')")[0][0]
    with db.connect() as session:
        for n in range(40):
            session.execute(rig.CROWD, ("crowd",))
            # Some share a fold with the next ones, some have one of their own, whatever a fold takes.
            if n % 5 in (2, 4):
                rig.settle(db.connect)
            # One that has room, and a change of the lead in it: each outweighs all before.
            if n % 5 == 4:
                team, votes = ("home" if n % 2 else "away"), 100_000 * (n // 5 + 1)
                session.execute("SELECT record_vote('crowd', %s, '872a1072bffffff', 'US', %s)", (team, votes))
                rig.settle(db.connect)
            time.sleep(0.05)
    reports = rig.assert_truth(db.connect, swarm)
    folds = db.sql("SELECT seq, body FROM get_match_changes('crowd', %s)", first)
    assert sum("cells" not in body for _, body in folds) > 10 and any("cells" in body for _, body in folds)
    for report in reports:
        updates = report["counts"].get("match:update", report["counts"].get("aggregate:updated"))
        assert (report["counts"]["match:snapshot"], updates) == (1, len(folds)), report["counts"]
    told = [[seq, body["flips"]] for seq, body in folds if "flips" in body]
    heard = [[data["seq"], data["flips"]] for (data,) in events_of(swarm, "flips", "match:flips")]
    assert heard == told and len(told) > 1


def test_a_rebuilt_match_is_told_anew(db, new_relay, swarm):
    relay = new_relay()
    ballots = "jsonb_build_object('match_id', 'm', 'team_choice', 'home', 'h3_index', to_hex(cell), 'voter_id', to_hex(cell))"
    db.sql(f"SELECT bulk_increment(jsonb_agg({ballots})) FROM ({rig.CROWDED} LIMIT 3000) c")
    rig.settle(db.connect)
    swarm("start", urls=[relay.url], clients=[{"matchId": "m", "resolution": resolution} for resolution in (None, 3)])
    rig.eventually("everybody has a snapshot", lambda: all(seq > 0 for *_, seq, _ in swarm("heads")))
    # A row that counts a cell nobody voted in: only a rebuild removes it, and nothing remembers that it was there.
    db.sql("UPDATE vote_agg.h3_aggregate SET h3_index = h3_index + (1::bigint << 39) WHERE h3_index = (SELECT min(h3_index) FROM vote_agg.h3_aggregate)")
    db.sql("SELECT rebuild_match('m')")
    reports = rig.assert_truth(db.connect, swarm)
    assert [report["counts"]["match:snapshot"] for report in reports] == [2, 2]
