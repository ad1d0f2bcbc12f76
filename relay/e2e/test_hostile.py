"""One hostile address: 2,000 sockets that join and do not read, and 200 requests at a time. HOSTILE_SECONDS makes it longer.

What it costs the others in time, `make bench` says (relay_hostile).
"""

import json
import os
import subprocess
import time

from testkit import rig

HOSTILE = rig.BINARY.parent / "examples" / "hostile"
SECONDS = float(os.environ.get("HOSTILE_SECONDS", 12))
MORE = 300e6  # bytes


def test_a_hostile_address_costs_little(db, new_relay, swarm):
    for match in ("final", "cup"):
        db.sql(rig.CROWD, match)
    rig.settle(db.connect)
    relay = new_relay()
    resolutions = (None, 3, 1)
    swarm("start", urls=[relay.url], clients=[{"matchId": match, "resolution": r} for match in ("final", "cup") for r in resolutions * 3])
    with rig.Voters(db.connect, ["final", "cup"], crowded=["cup"]):
        rig.eventually("they follow", lambda: all(seq >= 1 for *_, seq, _ in swarm("heads")))
        before = relay.memory()
        attack = [HOSTILE, "attack", str(relay.port), "127.0.0.66", "2000", "200", str(SECONDS), "final", "cup"]
        with subprocess.Popen(attack, stdout=subprocess.PIPE, text=True) as hostile:
            most = before
            while hostile.poll() is None:
                most = max(most, relay.memory())
                status, _, body = rig.get(f"{relay.url}/matches/final/stats")
                assert status == 200, body
                time.sleep(0.05)
            came = json.loads(hostile.stdout.read())
        print(came, f"{(most - before) / 1e6:.0f} MB more")
        assert hostile.returncode == 0 and came["429"] > 0 and came["held"] > 1_000, came
        assert most - before <= MORE, (before, most)
    reports = rig.assert_truth(db.connect, swarm)
    assert [report["counts"]["join"] for report in reports] == [1] * len(reports)  # nobody lost the connection
