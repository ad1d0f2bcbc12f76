"""A client that looks at an area gets its cells and no others, and all the rest as everybody does; it may look elsewhere at any time.

RELAY_AREA_SECONDS makes the last test longer, RELAY_SEED repeats it.
"""

import collections
import contextlib
import http.client
import json
import os
import random
import time

import pytest
import wire
from test_guard import GUARDED, token
from testkit import rig

SECONDS = float(os.environ.get("RELAY_AREA_SECONDS", 5))
SEED = int(os.environ.get("RELAY_SEED") or random.randrange(1_000_000))
FRANCE, AMERICA = "811fbffffffffff", "812abffffffffff"
SHOWN = ["cells", "countries", "flips"]


def fold(db, **votes):
    with db.connect() as session:
        fold_in(session, **votes)


def fold_in(session, match="final", count=300, votes=1):
    ballots = [
        {"match_id": match, "team_choice": team, "h3_index": cell, "country_code": country, "votes": votes}
        for (cell, country), team in zip(rig.CELLS[:count], ["home", "away"] * count, strict=False)
    ]
    session.execute("SELECT bulk_increment(%s::jsonb)", (json.dumps(ballots),))
    rig.settle(lambda: contextlib.nullcontext(session))


def within(db, cells, area):
    with db.connect() as session:
        return rig.within(session, {cell: votes for cell, votes in cells}, area)


def body(client, event, seq):
    """What came for that seq."""
    client.until(lambda: any(name == event and data["seq"] == seq for name, data in client.events))
    return next(data for name, data in client.events if name == event and data["seq"] == seq)


@pytest.fixture
def final(db, new_relay):
    fold(db)
    db.sql("SELECT record_vote('final', 'home', h3_parent('871fb4662ffffff', 0), 'FR')")  # one that holds whole areas
    rig.settle(db.connect)
    return new_relay()


@pytest.mark.parametrize("resolution", [None, 3, 0])
def test_a_viewer_gets_the_cells_of_its_area_and_all_the_rest(db, final, resolution):
    wish = {"bundle": True, "resolution": resolution}
    everybody, viewer = wire.Client(final), wire.Client(final)
    seq = everybody.join("final", **wish)["seq"]
    answer = viewer.join("final", area=[AMERICA.upper(), FRANCE, FRANCE], **wish)
    assert (answer["ok"], answer["seq"], answer["resumed"]) == (True, seq, False)
    area = [FRANCE, AMERICA]
    whole, part = (body(client, "match:snapshot", seq) for client in (everybody, viewer))
    assert part.pop("area") == area
    assert {**part, "cells": None} == {**whole, "cells": None}
    assert dict(part["cells"]) == within(db, whole["cells"], area)
    assert 0 < len(part["cells"]) and (resolution == 0 or len(part["cells"]) < len(whole["cells"]))
    fold(db)
    whole, part = (body(client, "match:update", seq + 1) for client in (everybody, viewer))
    assert {**part, "cells": None} == {**whole, "cells": None}
    assert dict(part["cells"]) == within(db, whole["cells"], area) and part["cells"]
    # One that comes back is sent what it missed in the same form.
    late = wire.Client(final)
    assert late.join("final", area=area, sinceSeq=seq, epoch=whole["epoch"], **wish)["resumed"] is True
    assert body(late, "match:update", seq + 1) == part


@pytest.mark.parametrize("resolution", [None, 3])
def test_it_looks_elsewhere_without_a_gap(db, final, resolution):
    wish = {"bundle": True, "resolution": resolution, "parts": SHOWN}
    everybody, viewer = wire.Client(final), wire.Client(final)
    seq = everybody.join("final", **wish)["seq"]
    epoch = viewer.join("final", area=[FRANCE], **wish)["epoch"]
    fold(db)
    whole = dict(body(everybody, "match:snapshot", seq)["cells"])
    for cell, votes in body(everybody, "match:update", seq + 1)["cells"]:
        whole[cell] = votes
    body(viewer, "match:update", seq + 1)
    known = set(within(db, whole.items(), [FRANCE]))
    for area, before in (([AMERICA], [FRANCE]), ([FRANCE, AMERICA], [AMERICA]), (None, [FRANCE, AMERICA]), ([AMERICA], None), ([FRANCE], [AMERICA])):
        seen = len(viewer.events)
        # Of a seq before the last fold: that comes once more, as the area before has it.
        answer = viewer.join("final", area=area, sinceSeq=seq, epoch=epoch, **{"from": before}, **wish)
        assert (answer["ok"], answer["resumed"], answer["seq"]) == (True, True, seq + 1)
        (missed, update), (name, arrived) = viewer.events[seen:]
        assert (missed, name) == ("match:update", "match:area")
        assert {cell for cell, _ in update["cells"]} <= (known if before else set(whole))
        head = {"v": 1, "match": "final", "seq": seq + 1, "epoch": epoch, "resolution": resolution, "area": area}
        assert {**arrived, "cells": None} == {**head, "cells": None}
        now = set(within(db, whole.items(), area))
        assert dict(arrived["cells"]) == {cell: whole[cell] for cell in now - known}
        known = now
    fold(db)
    assert {cell for cell, _ in body(viewer, "match:update", seq + 2)["cells"]} <= known
    # The same area is nothing new, and a seq of another history is of no use.
    seen = len(viewer.events)
    assert viewer.join("final", area=[FRANCE], sinceSeq=seq + 2, epoch=epoch, **{"from": [FRANCE]}, **wish)["resumed"] is True
    assert viewer.events[seen:] == []
    assert viewer.join("final", area=[AMERICA], sinceSeq=seq + 2, epoch="other", **{"from": [FRANCE]}, **wish)["resumed"] is False
    assert viewer.events[-1][0] == "match:snapshot" and viewer.events[-1][1]["area"] == [AMERICA]


def test_a_snapshot_for_everybody_is_one_of_its_area_for_a_viewer(db, final):
    viewers = {area: wire.Client(final) for area in (FRANCE, AMERICA)}
    for area, viewer in viewers.items():
        assert viewer.join("final", bundle=True, area=[area])["ok"]
    with stream(final, f"?area={FRANCE}") as reader:
        first = data_of(reader, b"match:snapshot")

        def told_anew():
            """What SQL says, once all heard of purge and fold as one. A relay that looks between them tells the fold as an update."""
            for viewer in viewers.values():
                viewer.events.clear()
            db.sql("SELECT purge_match('final')")
            fold(db)
            with db.connect() as session:
                now = rig.truth(session, "final", None)
            for viewer in viewers.values():
                viewer.until(lambda viewer=viewer: any(is_of(data, now) for _, data in viewer.events))
            return all([name for name, _ in viewer.events] == ["match:snapshot"] for viewer in viewers.values()) and now

        now = rig.eventually("a snapshot with votes for everybody", told_anew)
        cells = {cell: dict(votes) for cell, votes in now["cells"].items()}
        for area, viewer in viewers.items():
            ((_, last),) = viewer.events
            assert last["area"] == [area]
            assert {cell for cell, _ in last["cells"]} == set(within(db, cells.items(), [area]))
        while not is_of(again := data_of(reader, b"match:snapshot"), now):
            assert again["area"] == [FRANCE]
        assert again["epoch"] != first["epoch"] and again["area"] == first["area"] == [FRANCE]
        assert {cell for cell, _ in again["cells"]} == set(within(db, cells.items(), [FRANCE]))


def is_of(data, truth):
    return (data.get("epoch"), data.get("seq")) == (truth["epoch"], truth["seq"])


def stream(relay, query="", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE)
    connection.request("GET", f"/matches/final/events{query}", headers=headers)
    return connection.getresponse()


def data_of(reader, event):
    """The data of the next event of that name, which names its id before."""
    for word in (b"event: " + event, b"data: "):
        while not (line := reader.readline()).startswith(word):
            assert line, f"the stream has ended without {word}"
    return json.loads(line[6:])


def test_a_stream_of_an_area(db, final):
    everybody = wire.Client(final)
    seq = everybody.join("final", bundle=True)["seq"]
    with stream(final, f"?area={AMERICA},{FRANCE}&parts=cells") as reader:
        first = data_of(reader, b"match:snapshot")
        assert (first["seq"], first["area"]) == (seq, [FRANCE, AMERICA])
        fold(db)
        update = data_of(reader, b"match:update")
    whole = body(everybody, "match:update", seq + 1)
    assert dict(update["cells"]) == within(db, whole["cells"], [FRANCE, AMERICA]) and "countries" not in update
    with stream(final, f"?area={AMERICA},{FRANCE}&parts=cells", **{"Last-Event-ID": f"{whole['epoch']}-{seq}"}) as reader:
        assert data_of(reader, b"match:update") == update


def test_what_is_no_area_is_refused_and_changes_nothing(db, final):
    viewer = wire.Client(final)
    assert viewer.join("final", bundle=True, area=[FRANCE])["ok"]
    seq, seen = viewer.events[-1][1]["seq"], len(viewer.events)
    children = [cell for (cell,) in db.sql("SELECT DISTINCT h3_parent(n, 4) FROM h3_neighbors('841fb47ffffffff', 12) n")][:257]
    assert len(children) == 257
    number = "area must name 1 to 256 cells, not "
    for wish, message in (
        ({"area": []}, number + "0"),
        ({"area": children}, number + "257"),
        ({"area": FRANCE}, "area must be an array of H3 cells, or null for all cells"),
        ({"area": [FRANCE, "811fbfffffffff"]}, 'area: invalid H3 cell: "811fbfffffffff"'),
        ({"area": [FRANCE, None]}, 'area must be an array of H3 cells as text, such as "832a10fffffffff"'),
        ({"area": [FRANCE], "from": [FRANCE] * 257}, "from must name 1 to 256 cells, not 257"),
        ({"area": [FRANCE], "bundle": False}, "an area goes with bundle: true"),
    ):
        answer = viewer.join("final", **{"bundle": True, **wish})
        assert (answer["error"], answer["message"]) == ("invalid", message), wish
    for query, message in ((f"?area={','.join(children)}", number + "257"), ("?area=", number + "0"), ("?area=x", 'area: invalid H3 cell: "x"')):
        with stream(final, query) as answer:
            assert (answer.status, json.loads(answer.read())["message"]) == (400, message)
    assert viewer.join("final", bundle=True, area=children[:256], resolution=5)["ok"]
    assert viewer.join("final", bundle=True, area=[FRANCE])["ok"]
    del viewer.events[:seen]
    fold(db)
    assert {cell for cell, _ in body(viewer, "match:update", seq + 1)["cells"]} < {cell for cell, _ in rig.CELLS}


def counted(reports):
    """What came to all of them, by name."""
    return sum((collections.Counter(report["counts"]) for report in reports), collections.Counter())


def test_a_viewer_is_a_member_like_any_other(db, new_relay):
    fold(db)
    relay = new_relay(**GUARDED, max_rooms=1)
    leaver, expired, moved = (wire.Client(relay, {"token": token()}) for _ in range(3))
    for viewer in (leaver, expired, moved):
        assert viewer.join("final", bundle=True, area=[FRANCE])["ok"]
    assert moved.join("cup", bundle=True, area=[FRANCE])["error"] == "too_many_rooms"
    assert leaver.emit("match:leave", {"matchId": "final"})["left"] is True
    assert moved.emit("auth", {"token": token(matches=["cup"])})["left"] == ["final"]
    assert moved.join("final", bundle=True, area=[AMERICA], sinceSeq=1, epoch="e", **{"from": [FRANCE]})["error"] == "forbidden"
    expired.ask("auth", {"token": token(exp=int(time.time()) + 2)})
    rig.eventually("its token ends", lambda: not expired.read(0.1) and expired.is_closed)
    assert expired.events[-1] == ("relay:closing", {"reason": "token_expired"})
    before = [len(viewer.events) for viewer in (leaver, expired, moved)]
    witness = wire.Client(relay, {"token": token()})
    seq = witness.join("final", bundle=True, area=[FRANCE])["seq"]
    fold(db)
    body(witness, "match:update", seq + 1)
    for viewer in (leaver, moved):
        viewer.emit("match:leave", {"matchId": "nothing"})  # its answer comes after what was sent before
    assert all(name != "match:update" for viewer, seen in zip((leaver, expired, moved), before, strict=True) for name, _ in viewer.events[seen:])


def test_a_viewer_that_does_not_read_gets_a_snapshot_of_its_area(db, new_relay):
    relay = new_relay(client_buffer=32, slow_timeout=60)
    fold(db, count=4_000)
    viewer = wire.Client(relay, receive_buffer=4_096)
    area = [cell for (cell,) in db.sql("SELECT DISTINCT h3_parent(c, 0) FROM unnest(%s::text[]) c", [cell for cell, _ in rig.CELLS])]
    assert viewer.join("final", bundle=True, area=sorted(area))["ok"]

    with db.connect() as session:

        def is_behind():
            fold_in(session, count=1_900)
            viewer.pong()
            return relay.metric("vote_relay_slow_total")

        rig.eventually("it is behind", is_behind)
    viewer.until(lambda: [name for name, _ in viewer.events].count("match:snapshot") == 2)
    with db.connect() as session:
        now = rig.truth(session, "final", None)
    # A fold may have come after the snapshot.
    viewer.until(lambda: viewer.events[-1][1].get("seq") == now["seq"])
    last = max(n for n, (name, _) in enumerate(viewer.events) if name == "match:snapshot")
    snapshot, *later = [data for _, data in viewer.events[last:]]
    assert snapshot["area"] == sorted(area) and [data["seq"] for data in later] == list(range(snapshot["seq"] + 1, now["seq"] + 1))
    assert dict(rig.tuple_of(pair) for data in (snapshot, *later) for pair in data["cells"]) == now["cells"]


def test_what_a_viewer_does_not_read_is_bounded_in_bytes(db, new_relay):
    """Its part of a fold is a copy of its own. A queue of 1,024 of them would be 60 MB a client."""
    relay = new_relay(client_buffer=1_024, slow_timeout=600)
    fold(db, count=1_900)
    viewer, reader = wire.Client(relay, receive_buffer=4_096), wire.Client(relay)
    area = [cell for (cell,) in db.sql("SELECT DISTINCT h3_parent(c, 0) FROM unnest(%s::text[]) c", [cell for cell, _ in rig.CELLS])]
    assert viewer.join("final", bundle=True, area=area)["ok"] and reader.join("final", bundle=True, area=area)["ok"]
    with db.connect() as session:
        for seq in range(2, 152):  # some 10 MB
            fold_in(session, count=1_900)
            body(reader, "match:update", seq)  # it has read all before the next fold, so it is never behind
            viewer.pong()
    assert [data["seq"] for name, data in reader.events if name == "match:update"] == list(range(2, 152))
    assert relay.metric("vote_relay_slow_total") >= 1  # it may fall behind the snapshot too


def areas_of(db, count, chance):
    """Around cities at random, of one cell of resolution 0 to some hundred small ones; now and then no area."""
    query = "SELECT array_agg(DISTINCT n) FROM h3_parent(%s::text, %s) AS p, LATERAL (SELECT h3_neighbors(p, %s) UNION SELECT p) AS a(n)"
    areas = []
    for _ in range(count):
        resolution, cell = chance.choice([0, 1, 2, 3, 4, 5]), chance.choice(rig.CELLS[:300])[0]
        ((area,),) = db.sql(query, cell, resolution, chance.choice([1, 2, 4]))
        areas.append(sorted(area))
    return [*areas, None]


def test_areas_are_what_sql_says_whatever_moves_and_breaks(db, tmp_path):
    print(f"RELAY_SEED={SEED}")
    chance = random.Random(SEED)
    areas = areas_of(db, 40, chance)
    relays = [rig.Relay(db.url(), tmp_path / f"area_{n}.log", slow_timeout=60, max_joins=100, max_events=200) for n in range(2)]
    clients = [
        {"matchId": f"m{n % 3}", "resolution": (None, 3, 5)[n // 3 % 3], "area": chance.choice(areas), "parts": SHOWN} for n in range(45)
    ]
    try:
        for relay in relays:
            relay.start()
        with rig.Swarm() as swarm:
            swarm("start", urls=[relay.url for relay in relays], clients=clients)
            with rig.Voters(db.connect, ["m0", "m1", "m2"], threads=2, seed=SEED, crowded=["m0"]):
                rig.eventually("everybody follows", lambda: all(seq >= 1 for *_, seq, _ in swarm("heads")))
                end, moves = time.monotonic() + SECONDS, 0
                counts = collections.Counter()
                while time.monotonic() < end or min(moves / 20, counts["match:area"] / 101, counts["resumed"] / 101) < 1:
                    assert time.monotonic() < end + rig.PATIENCE, (counts, moves)
                    moves += 1
                    swarm("move", areas={n: chance.choice(areas) for n in range(len(clients)) if chance.random() < 0.3})
                    if chance.random() < 0.15:
                        swarm("drop", every=chance.randint(2, 6), offset=chance.randrange(6))
                    if chance.random() < 0.01:
                        db.sql("SELECT purge_match('m1')")
                    time.sleep(chance.uniform(0, 0.1))
                    if moves % 20 == 0:
                        counts = counted(swarm("reports"))
            last = {n: chance.choice(areas) for n in range(len(clients))}
            swarm("move", areas=last)
            wanted = [last[n] for n in range(len(clients))]
            rig.eventually("all look there", lambda: [report["state"]["area"] for report in swarm("reports")] == wanted)
            reports = rig.assert_truth(db.connect, swarm)
        counts = counted(reports)
        print(counts, moves)
        assert counts["match:update"] > len(clients)
        for relay in relays:
            assert "panicked" not in relay.log.read_text()
    finally:
        for relay in relays:
            relay.__exit__()
