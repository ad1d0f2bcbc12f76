"""The relays of docs/relay.md, as they stand there, beside ours: all clients know the same in the end."""

import os
import socket

import pytest
from strangers import CurlStream, Everybody, Herd
from testkit import rig
from testkit.documents import ROOT, blocks

LONGEST = 60  # lines
MATCHES = ["final", "cup", "a match : of/many%20names"]
FOLDS = int(os.environ.get("THIN_FOLDS", 50))  # while clients come


def programs():
    """Those of the page, by language."""
    return {block.language: block.text for block in blocks(ROOT / "docs" / "relay.md") if block.mark == "relay"}


class Thin(rig.Relay):
    def __init__(self, language, dsn, log):
        super().__init__(dsn, log)
        self.language = language

    def command(self):
        node = ["env", "-C", ROOT / "relay" / "e2e", "node", "--input-type=module", "--eval"]
        run = {"js": node, "python": [ROOT / "build" / "venv" / "bin" / "python", "-c"]}
        return [*run[self.language], programs()[self.language]]

    def environment(self):
        return {"DATABASE_URL": self.dsn, "PORT": str(self.port)}

    def is_up(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


@pytest.fixture
def new_thin(db, tmp_path):
    relays = []

    def start(language):
        relays.append(Thin(language, db.url(), tmp_path / f"thin_{language}.log"))
        return relays[-1].start(is_ready=False)

    yield start
    for relay in relays:
        relay.__exit__()


def test_they_are_short():
    assert {language: text.count("\n") <= LONGEST for language, text in programs().items()} == {"js": True, "python": True}


def test_thin_relays_tell_the_same(db, new_relay, new_thin, swarm):
    ours, node, python = new_relay(), new_thin("js"), new_thin("python")
    for relay in (ours, node):
        swarm("start", urls=[relay.url], clients=[{"matchId": match} for match in MATCHES] * 3)
    streams = Herd(*(CurlStream(relay.url, match) for relay in (ours, python) for match in MATCHES))

    def fold(count):
        begun = db.sql("SELECT folds FROM vote_agg.stat_fold")[0][0]
        rig.eventually("folds", lambda: db.sql("SELECT folds FROM vote_agg.stat_fold")[0][0] >= begun + count)

    with streams:
        everybody = Everybody(swarm, streams)
        with rig.Voters(db.connect, MATCHES, crowded=["cup"]):
            rig.eventually("everybody follows", lambda: all(seq >= 1 for *_, seq, _ in everybody("heads")))
            for number in range(FOLDS // 5):  # some come while others follow
                fold(5)
                swarm("start", urls=[node.url], clients=[{"matchId": MATCHES[number % 3]}])
                streams.members.append(CurlStream(python.url, MATCHES[number % 3]))
            db.sql("SELECT pg_notify('vote_agg', 'garbage')")
            rig.eventually("the last ones follow", lambda: all(seq >= 1 for *_, seq, _ in everybody("heads")))
            rig.eventually("all hear of a fold", lambda: all(report["counts"].get("match:update", 0) > 0 for report in everybody("reports")))
        rig.assert_truth(db.connect, everybody)


def test_a_client_cannot_end_them(db, new_thin, swarm):
    node = new_thin("js")
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    swarm("open", name="a", url=node.url)
    swarm("flood", name="a", event="match:join", data=[], times=3)
    for wish in (None, {"matchId": {"toString": 1}}, {"matchId": "m\u0000"}, {"matchId": "x" * 300}):
        answer = swarm("emit", name="a", event="match:join", data=[wish])
        assert answer["error"] == "invalid", (wish, answer)
    swarm("flood", name="a", event="match:join", data=[{"matchId": "final"}], times=3)
    assert swarm("emit", name="a", event="match:join", data=[{"matchId": "final"}])["ok"]
