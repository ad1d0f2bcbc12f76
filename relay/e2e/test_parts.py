"""A bundle has the lists that its client asked for; all else is as the feed has it."""

import http.client
import json

import pytest
import wire
from testkit import rig

HEAD = {"v", "match", "seq", "prev", "epoch", "at", "stats"}
SHOWN = ["cells", "countries", "flips"]  # what the client and the map read


def fold(db, count=200):
    votes = [
        {"match_id": "final", "team_choice": team, "h3_index": cell, "country_code": country}
        for (cell, country), team in zip(rig.CELLS[:count], ["home", "away"] * count, strict=False)
    ]
    db.sql("SELECT bulk_increment(%s::jsonb)", json.dumps(votes))
    rig.settle(db.connect)


def updates(client):
    client.until(lambda: any(name == "match:update" for name, _ in client.events))
    return [body for name, body in client.events if name == "match:update"]


@pytest.mark.parametrize("resolution", [None, 3])
def test_each_client_gets_the_lists_that_it_asked_for(db, new_relay, resolution):
    relay = new_relay()
    fold(db)
    wishes = {
        "all": {}, "each": {"parts": ["cells", "countries", "new", "flips"]}, "shown": {"parts": SHOWN}, "new": {"parts": ["new"]},
        "none": {"parts": []},
    }  # fmt: skip
    clients = {name: wire.Client(relay) for name in wishes}
    for name, client in clients.items():
        assert client.join("final", bundle=True, resolution=resolution, **wishes[name])["ok"]
    separate = wire.Client(relay)
    assert separate.join("final", resolution=resolution)["ok"]
    fold(db)
    bodies = {name: updates(client)[0] for name, client in clients.items()}
    whole = bodies["all"]
    assert HEAD | {"cells", "countries", "new"} <= set(whole) <= HEAD | {"cells", "countries", "new", "flips"}
    for name, wish in wishes.items():
        expected = {key: whole[key] for key in whole if key in HEAD or key in wish.get("parts", whole)}
        assert bodies[name] == expected, name
    separate.until(lambda: {"aggregate:updated", "match:stats", "vote:new"} <= {name for name, _ in separate.events})
    parts = dict(separate.events)
    assert (parts["aggregate:updated"]["cells"], parts["vote:new"]["new"]) == (whole["cells"], whole["new"])
    # A client that comes back is sent what it missed in the same form.
    for name, wish in wishes.items():
        late = wire.Client(relay)
        answer = late.join("final", bundle=True, resolution=resolution, sinceSeq=whole["prev"], epoch=whole["epoch"], **wish)
        assert answer["resumed"] is True
        missed = updates(late)
        assert [body["seq"] for body in missed] == list(range(whole["seq"], answer["seq"] + 1)) and missed[0] == bodies[name]


@pytest.mark.parametrize("resolution", [None, 3])
def test_what_nobody_reads_is_two_fifths_of_the_bytes(db, new_relay, resolution):
    relay = new_relay()
    fold(db)
    whole, shown = wire.Client(relay), wire.Client(relay)
    assert whole.join("final", bundle=True, resolution=resolution)["ok"]
    assert shown.join("final", bundle=True, resolution=resolution, parts=SHOWN)["ok"]
    fold(db)
    sizes = [len(json.dumps(updates(client)[0], separators=(",", ":"))) for client in (shown, whole)]
    assert sizes[0] <= 0.6 * sizes[1], sizes


def test_an_event_stream_has_the_lists_that_it_asked_for(db, new_relay):
    relay = new_relay()
    fold(db)
    streams = {}
    for name, query in {"all": "", "shown": "parts=cells,countries,flips", "none": "resolution=3&parts="}.items():
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
        connection.request("GET", f"/matches/final/events?{query}")
        streams[name] = connection.getresponse()
        assert streams[name].status == 200
    fold(db)

    def update(stream):
        while b"event: match:update" not in (line := stream.readline()):
            assert line, "the stream has ended"
        while not (line := stream.readline()).startswith(b"data:"):
            pass
        return json.loads(line.removeprefix(b"data:"))

    bodies = {name: update(stream) for name, stream in streams.items()}
    assert "new" in bodies["all"] and set(bodies["none"]) == HEAD
    assert bodies["shown"] == {key: value for key, value in bodies["all"].items() if key != "new"}


def test_parts_that_are_none_are_refused(db, new_relay):
    relay = new_relay()
    client = wire.Client(relay)
    for wish, words in [
        ({"bundle": True, "parts": ["cells", "stats"]}, 'not "stats"'),
        ({"bundle": True, "parts": "cells"}, "array"),
        ({"bundle": True, "parts": [1]}, "cells, countries, new, flips"),
        ({"parts": ["cells"]}, "bundle"),
        ({"events": ["match:stats"], "parts": []}, "bundle"),
        ({"bundle": True, "events": [], "parts": []}, "not both"),
    ]:
        answer = client.join("final", **wish)
        assert answer["error"] == "invalid" and words in answer["message"], (wish, answer)
    for query, words in [("parts=cells,stats", "stats"), ("part=cells", "part"), ("resolution=x", "resolution"), ("resolution=16", "15")]:
        status, _, body = rig.get(f"{relay.url}/matches/final/events?{query}")
        assert status == 400 and words in json.loads(body)["message"], query
    assert client.join("final", bundle=True, parts=None)["ok"]
