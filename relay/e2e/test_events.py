"""What a match tells besides its counts: changes of the lead, its end, and its status."""

import json
import time

import rig


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
    assert {what for what, *_ in swarm("events", name="only")} == {"match:snapshot", "match:flips"}
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
