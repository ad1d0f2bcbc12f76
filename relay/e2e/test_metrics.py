"""What the relay says of itself to Prometheus: in both formats, by the rules of its own checker."""

import http.client
import re
import subprocess

import wire
from testkit import rig

PROMTOOL = rig.ROOT / "build" / "promtool"
OPEN = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"  # as Prometheus asks


def scrape(relay, accept="text/plain;version=0.0.4"):
    status, headers, body = rig.get(f"{relay.url}/metrics", Accept=accept)
    assert status == 200
    return headers["content-type"], body.decode()


def kinds(text):
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


def test_metrics_keep_the_rules_of_prometheus(db, new_relay):
    relay = new_relay(origins="https://vote.example.org")
    db.sql("SELECT record_vote('final', 'home')")
    rig.settle(db.connect)
    client = wire.Client(relay)
    client.join("final")
    assert rig.get(f"{relay.url}/matches", Origin="https://elsewhere.example.org")[0] == 403
    for path in ("matches", "matches/final/stats", "matches/final/timeline"):
        assert rig.get(f"{relay.url}/{path}")[0] == 200
    kind, text = scrape(relay)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    of = kinds(text)
    assert of["vote_relay_feed_messages_total"] == "counter" and of["vote_relay_clients"] == of["vote_relay_streams"] == "gauge"
    for name in ("lag", "join_duration", "statement_duration", "answer_duration"):
        assert of[f"vote_relay_{name}_seconds"] == "histogram"
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"} <= set(of)
    assert re.search(r'^vote_relay_build_info\{version="\d+\.\d+\.\d+[^"]*"\} 1$', text, re.MULTILINE)
    assert re.search(r'^vote_relay_answer_duration_seconds_count\{kind="timeline"\} 1$', text, re.MULTILINE)
    assert re.search(r"^vote_relay_join_duration_seconds_count 1$", text, re.MULTILINE)


def test_the_reader_chooses_the_format(db, new_relay):
    relay = new_relay()
    kind, text = scrape(relay, OPEN)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8" and text.endswith("# EOF\n")
    plain_kind, plain = scrape(relay, "*/*")
    assert plain_kind.startswith("text/plain; version=0.0.4") and "# EOF" not in plain
    names = {name.removesuffix("_total") for name in kinds(plain)}
    assert names == set(kinds(text))


def test_the_process_is_told_as_it_is(db, new_relay):
    relay = new_relay()
    resident = relay.metric("process_resident_memory_bytes")
    assert abs(resident - relay.memory()) < 32 << 20
    files = min(relay.metric("process_open_fds") for _ in range(20))  # some have connections of before, that are about to end
    clients = [wire.Client(relay) for _ in range(20)]
    assert relay.metric("process_open_fds") >= files + 20
    assert relay.metric("process_cpu_seconds_total") <= relay.cpu() + 0.1
    assert len(clients) == 20


def test_event_streams_are_counted(db, new_relay):
    relay = new_relay()
    streams = []
    for _ in range(3):
        streams.append(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=rig.PATIENCE))
        streams[-1].request("GET", "/matches/final/events")
        assert streams[-1].getresponse().status == 200
    assert (relay.metric("vote_relay_streams"), relay.metric("vote_relay_clients")) == (3, 0)
    streams[0].close()
    rig.eventually("it has gone", lambda: relay.metric("vote_relay_streams") == 2)
