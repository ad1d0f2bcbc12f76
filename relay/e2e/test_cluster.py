"""`make cluster`: three shards, a front, a root, a puller and a relay, in seconds."""

import os
import re
import subprocess
import sys
from collections import Counter

from scripts.proof import compare
from testkit import rig

NODES = ("shard_0", "shard_1", "shard_2", "root")


def test_it_proves_that_every_vote_is_counted_once_though_a_shard_was_killed():
    environment = {**os.environ, "DEMO_SECONDS": "3", "RELAY": str(rig.BINARY), "PYTHONPATH": str(rig.ROOT)}
    done = subprocess.run([sys.executable, "-m", "scripts.nodes"], cwd=rig.ROOT, env=environment, stdin=subprocess.DEVNULL, text=True, capture_output=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "shard_1 is back" in said and "Every vote acknowledged is counted, each once" in said, said
    # Four comparisons of four kinds, and none of nothing.
    counts = [int(text.replace(",", "")) for text in re.findall(r"^  match  .*? ([\d,]+)  ok", said, re.M)]
    assert len(counts) == 4 and min(counts) > 0 and len(set(counts[1:])) == 1, said
    for node in NODES:
        assert int(re.search(rf"^  {node} +(\d+) checks  ok$", said, re.M)[1]) > 10, said


def test_a_proof_that_something_is_wrong_says_so(capsys):
    acknowledged, more, less = ({"match": Counter(final=votes)} for votes in (10, 12, 9))
    assert compare("the same", acknowledged, acknowledged)
    assert not compare("too many", acknowledged, more) and not compare("too few", acknowledged, less)
    assert compare("as many as may be", acknowledged, more, {"match": Counter(final=2)})
    assert not compare("one more than may be", acknowledged, more, {"match": Counter(final=1)})
    assert not compare("too few", acknowledged, less, {"match": Counter(final=2)})
    assert capsys.readouterr().out.count("DIFFERS in 1") == 4
