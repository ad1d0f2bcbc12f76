"""The official client on a real server: what it gets when it joins, and after each fold."""

from testkit import rig


def test_snapshot_then_updates(db, new_relay, swarm):
    db.sql("SELECT record_vote('final', 'home', '872a1072bffffff', 'US', 3)")
    rig.settle(db.connect)  # or both votes may come in one fold
    relay = new_relay()
    assert swarm("open", name="a", url=relay.url) == {"connected": True, "transport": "websocket"}
    ack = swarm("emit", name="a", event="match:join", data=[{"matchId": "final"}])
    assert ack["ok"] and not ack["resumed"], ack
    db.sql("SELECT record_vote('final', 'away', '871fb4662ffffff', 'FR', 2)")
    names = ["match:snapshot", "aggregate:updated", "match:stats", "vote:new"]
    rig.eventually("the events of a fold", lambda: {name for name, *_ in swarm("events", name="a")} >= set(names))
    events = {name: data for name, data in swarm("events", name="a")}
    update = events["aggregate:updated"]
    assert update["matchId"] == "final" and update["prev"] == update["seq"] - 1
    assert update["cells"] == [["871fb4662ffffff", {"away": 2}]] and update["countries"] == [["FR", {"away": 2}]]
    assert events["match:stats"]["stats"]["votes"] == {"home": 3, "away": 2}
    assert events["vote:new"]["new"] == [["away", "871fb4662ffffff", "FR", 2]]
    assert swarm("emit", name="a", event="match:leave", data=["final"])["left"]


def test_every_way_of_following_gives_the_truth(db, new_relay, swarm):
    relay = new_relay(**rig.UNHURRIED)
    clients = [
        {"matchId": f"m{match}", "resolution": resolution, "bundle": bundle, "transports": transports}
        for match in range(3)
        for resolution in (None, 0, 3, 5)
        for bundle in (True, False)
        for transports in (["websocket"], ["polling"], ["polling", "websocket"])
    ]
    swarm("start", urls=[relay.url], clients=clients)
    rig.eventually("all have joined", lambda: relay.metric("vote_relay_joins_total") == len(clients))
    with rig.Voters(db.connect, ["m0", "m1", "m2"]):
        rig.eventually("folds", lambda: db.sql("SELECT folds FROM vote_agg.stat_fold")[0][0] > 30)
    reports = rig.assert_truth(db.connect, swarm)
    assert all(report["counts"]["join"] == 1 and report["counts"]["match:snapshot"] == 1 for report in reports)
    assert {report["counts"].get("match:update", 0) > 0 for report in reports if report["resolution"] == 3} == {True, False}
