"""HTTP: what it answers, when it says that nothing changed, and Server-Sent Events read by curl."""

import gzip
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
import wire
from test_guard import GUARDED, token
from testkit import rig


def vote(db, team="home", cell="872a1072bffffff", country="US", votes=1):
    db.sql("SELECT record_vote('final', %s, %s::text, %s, %s)", team, cell, country, votes)
    db.sql("SELECT vote_agg.fold()")
    rig.settle(db.connect)


def test_answers_are_the_same_from_memory_and_from_the_database(db, new_relay, swarm):
    vote(db, votes=3)
    vote(db, team="away", cell="871fb4662ffffff", country="FR")
    followed, plain = new_relay(), new_relay()
    swarm("open", name="a", url=followed.url)
    assert swarm("emit", name="a", event="match:join", data=["final"])["ok"]

    def of_one_rate(question):
        """Votes a minute grow fewer by themselves, so two answers may lie on both sides of that."""
        answers = [rig.get(f"{relay.url}/matches/final/{question}") for relay in (followed, plain)]
        first, second = bodies = [json.loads(body) for _, _, body in answers]
        return first.get("stats", {}).get("per_minute") == second.get("stats", {}).get("per_minute") and (answers, bodies)

    for question in ["stats", "aggregates", "aggregates?resolution=3", "aggregates?max_cells=1", "aggregates?min_votes=2", "countries", "timeline", "at?ts=2020-01-01T00:00:00Z", "flips", "flips?max=1"]:
        answers, bodies = rig.eventually(f"{question}, twice within the same rate", lambda question=question: of_one_rate(question))
        assert [status for status, *_ in answers] == [200, 200] and bodies[0] == bodies[1], question
        assert answers[0][1]["etag"] == answers[1][1]["etag"], question
    assert json.loads(rig.get(f"{plain.url}/matches/final/stats")[2])["stats"]["votes"] == {"home": 3, "away": 1}
    assert json.loads(rig.get(f"{plain.url}/matches/final/aggregates?max_cells=1")[2])["cells"] == [["872a1072bffffff", {"home": 3}]]
    for bad in ["aggregates?resolution=16", "aggregates?resolutoin=3", "countries?min_votes=x", "timeline?bucket=x", "at?ts=x", "at?from=now", "flips?since=x", "flips?max=0", "flips?max=1001", "flips?from=now", "geojson?bbox=1,2", f"{'x' * 3}"]:
        assert rig.get(f"{plain.url}/matches/final/{bad}")[0] in (400, 404), bad
    for nowhere in ("/socket.iox", "/socket.io%2f", "/gone"):
        status, _, body = rig.get(plain.url + nowhere)
        assert (status, json.loads(body)["error"]) == (404, "not_found"), nowhere
    has_geojson = db.sql("SELECT count(*) FROM pg_proc WHERE proname = 'get_match_geojson'")[0][0]
    status, _, body = rig.get(f"{plain.url}/matches/final/geojson")
    assert status == (200 if has_geojson else 501) and (has_geojson or b"get_match_geojson" in body)


def test_flips_of_before_are_told_as_sql_tells_them(db, new_relay):
    """Newest first, since a time, so many at the most; and only to those who may see the match."""
    relay, guarded = new_relay(), new_relay(**GUARDED)

    def told(query="", **headers):
        status, _, body = rig.get(f"{relay.url}/matches/final/flips{query}", **headers)
        assert status == 200, body
        return json.loads(body)

    assert rig.get(f"{relay.url}/matches/final/flips")[0] == 404, "nobody has voted"
    vote(db, votes=3)
    vote(db, team="away", country="FR", votes=9)
    flips = [(flip["scope"], flip["country_code"], flip["before"], flip["after"]) for flip in told()["flips"]]
    assert flips == [("match", None, "home", "away"), ("country", "FR", None, "away"), ("match", None, None, "home"), ("country", "US", None, "home")]
    seqs = [flip["seq"] for flip in told()["flips"]]
    assert told()["match"] == "final" and told()["seq"] == seqs[0] == seqs[1] > seqs[2] == seqs[3]
    assert told()["flips"] == db.sql("SELECT json_agg(f) FROM get_match_flips('final') f")[0][0]
    assert told("?max=1")["flips"] == told()["flips"][:1]
    assert told(f"?since={urllib.parse.quote(told()['flips'][0]['at'])}")["flips"] == told()["flips"][:2]
    assert told("?since=infinity")["flips"] == []
    status, headers, _ = rig.get(f"{relay.url}/matches/final/flips")
    assert rig.get(f"{relay.url}/matches/final/flips", **{"If-None-Match": headers["etag"]})[0] == 304
    vote(db, votes=99)
    assert [flip["after"] for flip in told()["flips"]] == ["home", "away", "away", "home", "home"], "a fold has made a new answer"

    for named, status in (["final"], 200), (["another"], 403):
        assert rig.get(f"{guarded.url}/matches/final/flips", Authorization=f"Bearer {token(matches=named)}")[0] == status
    assert rig.get(f"{guarded.url}/matches/final/flips")[0] == 401


def test_nothing_changed_says_304_and_a_fold_changes_it(db, new_relay):
    vote(db)
    relay = new_relay()
    url = f"{relay.url}/matches/final/stats"
    status, headers, _ = rig.get(url)
    assert status == 200
    etag = headers["etag"]
    assert rig.get(url, **{"If-None-Match": etag})[0] == 304
    cache = json.loads(rig.get(f"{relay.url}/cache")[2])
    assert (cache["hits"], cache["misses"], cache["entries"]) == (1, 1, 1)
    vote(db)
    rig.eventually("the bell has rung", lambda: rig.get(url, **{"If-None-Match": etag})[0] == 200)
    assert json.loads(rig.get(url)[2])["stats"]["total"] == 2
    assert json.loads(rig.get(f"{relay.url}/cache")[2])["invalidations"] >= 1
    _, headers, body = rig.get(f"{relay.url}/metrics")
    assert b"vote_relay_cache_hits_total" in body
    assert json.loads(gzip.decompress(rig.get(f"{relay.url}/cache", **{"Accept-Encoding": "gzip"})[2]))["hits"] > 0


def test_every_answer_has_the_headers_that_proxies_and_caches_need(db, new_relay):
    vote(db)
    relay, guarded = new_relay(origins="https://a.example"), new_relay(**GUARDED)
    _, headers, _ = rig.get(f"{relay.url}/matches/final/stats")
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-cache"
    _, headers, _ = rig.get(f"{guarded.url}/matches", Authorization=f"Bearer {token(matches=['final'])}")
    assert headers["cache-control"] == "private, no-cache" and "authorization" in headers["vary"]
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,last-event-id"}
    request = urllib.request.Request(f"{relay.url}/matches/final/events", method="OPTIONS", headers=asked)
    with urllib.request.urlopen(request, timeout=rig.PATIENCE) as answer:
        assert "last-event-id" in answer.headers["access-control-allow-headers"] and int(answer.headers["access-control-max-age"]) > 0
    with urllib.request.urlopen(f"{relay.url}/matches/final/events", timeout=rig.PATIENCE) as stream:
        assert stream.headers["x-accel-buffering"] == "no"
    full = new_relay(max_clients_per_ip=1)
    with urllib.request.urlopen(f"{full.url}/matches/final/events", timeout=rig.PATIENCE):
        status, headers, _ = rig.get(f"{full.url}/matches/final/events")
        assert status == 429 and headers["retry-after"] == "1"


def test_the_list_of_matches_is_sent_once(db, new_relay):
    vote(db)
    relay = new_relay()
    _, headers, _ = rig.get(f"{relay.url}/matches")
    etag = headers["etag"]
    assert rig.get(f"{relay.url}/matches", **{"If-None-Match": etag})[::2] == (304, b"")
    db.sql("SELECT record_vote('cup', 'home')")
    rig.eventually("another match", lambda: b'"cup"' in rig.get(f"{relay.url}/matches", **{"If-None-Match": etag})[2])


def test_a_wrong_method_is_told_the_right_ones(new_relay):
    relay = new_relay(admin=f"127.0.0.1:{(port := rig.free_port())}")
    for url in (f"{relay.url}/matches", f"{relay.url}/matches/final/stats", f"{relay.url}/health", f"http://127.0.0.1:{port}/metrics"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, b"{}", method="PUT"), timeout=rig.PATIENCE)
        answer = refused.value
        assert (answer.code, answer.headers["allow"], json.loads(answer.read())["error"]) == (405, "GET,HEAD", "method"), url


def test_figures_are_for_the_operator(new_relay):
    def statuses(url):
        return [rig.get(f"{url}/{path}")[0] for path in ("health", "ready", "metrics", "cache")]

    assert statuses(new_relay().url) == [200] * 4
    assert statuses(new_relay(**GUARDED).url) == [200, 200, 404, 404]
    port = rig.free_port()
    relay = new_relay(admin=f"127.0.0.1:{port}")
    assert statuses(relay.url) == [200, 200, 404, 404] and statuses(f"http://127.0.0.1:{port}") == [200] * 4
    assert rig.get(f"http://127.0.0.1:{port}/matches/final/stats")[0] == 404


def events(text):
    return [dict(re.findall(r"^(event|id|data): (.*)$", block, re.M)) for block in text.split("\n\n") if "data:" in block]


def test_events_by_curl_resume_where_they_ended(db, new_relay):
    vote(db)
    relay = new_relay()
    url = f"{relay.url}/matches/final/events"

    def read(folds, *args):
        with subprocess.Popen(["curl", "-sN", "--max-time", "60", *args, url], stdout=subprocess.PIPE, text=True) as curl:
            text = ""
            while len(events(text)) < 1 + folds:
                if len(events(text)) and folds:
                    vote(db)
                while not text.endswith("\n\n"):
                    text += next(curl.stdout)  # an end of the stream is no answer
                text += next(curl.stdout)
            curl.kill()
        return events(text)

    first = read(2)
    assert [event["event"] for event in first] == ["match:snapshot", "match:update", "match:update"]
    seqs = [json.loads(event["data"])["seq"] for event in first]
    assert seqs == list(range(seqs[0], seqs[0] + 3)) and first[-1]["id"].endswith(f"-{seqs[-1]}")
    vote(db)
    again = read(0, "-H", f"Last-Event-ID: {first[-1]['id']}")
    assert again[0]["event"] == "match:update" and json.loads(again[0]["data"])["prev"] == seqs[-1]
    assert read(0, "-H", "Last-Event-ID: nonsense-1")[0]["event"] == "match:snapshot"


def test_the_map_is_served_from_a_folder_and_loads_nothing_from_elsewhere(db, new_relay, tmp_path):
    (tmp_path / "map" / "assets").mkdir(parents=True)
    (tmp_path / "map" / "index.html").write_text("<title>map</title>")
    (tmp_path / "map" / "assets" / "page-1a2b.js").write_text("plain")
    (tmp_path / "map" / "assets" / "page-1a2b.js.br").write_bytes(b"compressed")
    relay = new_relay(map_dir=tmp_path / "map")
    status, headers, body = rig.get(f"{relay.url}/?match=final")
    assert (status, body) == (200, b"<title>map</title>") and headers["content-type"] == "text/html"
    assert headers["cache-control"] == "no-cache" and headers["x-content-type-options"] == "nosniff"
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and "http" not in str(policy)
    for encoding, expected in [("br", b"compressed"), ("identity", b"plain")]:
        status, headers, body = rig.get(f"{relay.url}/assets/page-1a2b.js", **{"Accept-Encoding": encoding})
        assert (status, body) == (200, expected) and headers["cache-control"].endswith("immutable")
    for path in ["/assets/gone.js", "/gone", "/../Cargo.toml", "/assets/%2e%2e/%2e%2e/secret"]:
        status, headers, _ = rig.get(f"{relay.url}{path}")
        assert status == 404 and headers["cache-control"] == "no-cache", path
    # What else there is stays in front of it.
    assert rig.get(f"{relay.url}/health")[2] == b"ok\n" and json.loads(rig.get(f"{relay.url}/matches")[2]) == {"matches": []}


def test_without_a_folder_the_page_says_how_to_get_one(db, new_relay, tmp_path):
    status, _, body = rig.get(f"{new_relay().url}/")
    assert status == 404 and json.loads(body)["error"] == "no_map" and "--map-dir" in json.loads(body)["message"]
    refused = subprocess.run([rig.BINARY, f"--map-dir={tmp_path}", f"--database-url={db.url()}", "--port=0"], capture_output=True, text=True, timeout=rig.PATIENCE)
    assert refused.returncode == 1 and "has no index.html" in refused.stderr


def test_the_list_of_matches(db, new_relay):
    relay = new_relay()
    assert json.loads(rig.get(f"{relay.url}/matches")[2]) == {"matches": []}
    vote(db, votes=3)
    vote(db, team="away")
    db.sql("SELECT record_vote('cup', 'red', NULL::text, NULL, 5), open_match('derby', ARRAY['a', 'b'], now() + interval '1 hour')")
    db.sql("SELECT close_match('cup')")

    def listed():
        matches = json.loads(rig.get(f"{relay.url}/matches")[2])["matches"]
        return matches if len(matches) == 3 and matches[-1]["match"] == "cup" else None

    # It is kept for some seconds. Those that are over come last.
    final, derby, cup = rig.eventually("all three are listed", listed)
    assert [final["match"], derby["match"], cup["match"]] == ["final", "derby", "cup"]
    assert (final["votes"], final["total"], final["leader"], final["dominance"], final["status"]) == ({"home": 3, "away": 1}, 4, "home", 0.5, "open")
    assert (derby["status"], derby["votes"], derby["leader"], derby["last_vote_at"]) == ("scheduled", {"a": 0, "b": 0}, None, None)
    assert cup["status"] in ("closed", "final") and cup["total"] == 5

    guarded = new_relay(**GUARDED)
    assert rig.get(f"{guarded.url}/matches")[0] == 401
    for matches, expected in [(None, ["final", "derby", "cup"]), (["cup", "other"], ["cup"]), ([], [])]:
        status, _, body = rig.get(f"{guarded.url}/matches", Authorization=f"Bearer {token(matches=matches)}")
        assert (status, [each["match"] for each in json.loads(body)["matches"]]) == (200, expected)


def test_a_match_whose_sums_leave_64_bits_is_not_in_the_list(db, new_relay):
    vote(db)
    insert = "INSERT INTO vote_agg.pending_1 (votes, at, source, in_total, match_id, team_choice) SELECT 9e18, now(), 0, true, 'evil', 'a' FROM generate_series(1, 2)"
    db.sql(insert)
    assert db.sql("SELECT match_id, total_votes FROM vote_agg.live ORDER BY 1") == [("evil", None), ("final", 1)]
    relay = new_relay()
    assert [each["match"] for each in json.loads(rig.get(f"{relay.url}/matches")[2])["matches"]] == ["final"]


def test_geojson_says_304_until_a_fold_changes_it(db, new_relay, swarm):
    vote(db, votes=3)
    vote(db, team="away", cell="871fb4662ffffff", country="FR")
    followed, plain = new_relay(), new_relay()
    swarm("open", name="a", url=followed.url)
    assert swarm("emit", name="a", event="match:join", data=["final"])["ok"]
    for relay in (followed, plain):
        url = f"{relay.url}/matches/final/geojson"
        status, headers, body = rig.get(url)
        assert status == 200 and json.loads(body) == db.sql("SELECT get_match_geojson('final')")[0][0]
        tag = {"If-None-Match": headers["etag"]}
        assert rig.get(url, **tag)[0::2] == (304, b"")
        assert rig.get(f"{url}?resolution=2", **tag)[0] == 304, "the same state of the match"
        coarse = json.loads(rig.get(f"{url}?resolution=2&min_votes=2&bbox=-80,30,-60,50")[2])
        assert coarse == db.sql("SELECT get_match_geojson('final', 2, 2, '{-80,30,-60,50}')")[0][0] and len(coarse["features"]) == 1
        assert rig.get(f"{url}?bbox=10,20,5")[0] == 400 == rig.get(f"{url}?resolution=x")[0]
        vote(db)
        changed = rig.eventually("the fold is in it", lambda: (got := rig.get(url, **tag))[0] == 200 and got)
        assert json.loads(changed[2]) == db.sql("SELECT get_match_geojson('final')")[0][0]
        assert changed[1]["etag"] != headers["etag"]


def test_a_name_that_is_no_text_is_refused_as_all_else_is(db, new_relay):
    relay = new_relay()
    for what in ("stats", "events"):
        status, _, body = rig.get(f"{relay.url}/matches/%ff/{what}")
        assert status == 400 and json.loads(body)["error"] == "invalid", what


def test_a_parameter_that_is_there_twice_is_refused(db, new_relay):
    vote(db)
    relay = new_relay()
    for path, name in [
        ("matches?token=a&token=a", "token"),
        ("matches/final/stats?token=&token=", "token"),
        ("matches/final/aggregates?resolution=3&min_votes=1&resolution=4", "resolution"),
        ("matches/final/countries?min_votes=1&min_v%6Ftes=1", "min_votes"),
        ("matches/final/timeline?from=infinity&from=-infinity", "from"),
        ("matches/final/geojson?bbox=1,2,3,4&bbox=x", "bbox"),
        ("matches/final/flips?max=1&max=1", "max"),
        ("matches/final/events?resolution=2&resolution=3", "resolution"),
        ("matches/final/stats?x&x", "x"),
    ]:
        status, _, body = rig.get(f"{relay.url}/{path}")
        assert (status, json.loads(body)) == (400, {"error": "invalid", "message": f'parameter "{name}" is there twice: pass it once'}), path


def test_a_relay_below_a_path(db, new_relay, swarm, tmp_path):
    vote(db)
    (tmp_path / "index.html").write_text("<p>map")
    relay = new_relay(path_prefix="/live/", map_dir=tmp_path)
    below = f"{relay.url}/live"
    assert rig.get(f"{below}/ready")[0] == rig.get(f"{relay.url}/ready")[0] == 200
    assert rig.get(f"{below}/matches/final/stats")[2] == rig.get(f"{relay.url}/matches/final/stats")[2]
    assert rig.get(f"{below}/")[2] == b"<p>map"
    head = subprocess.run(["curl", "-si", f"{below}?match=final"], check=True, text=True, stdout=subprocess.PIPE).stdout.lower()
    assert " 308 " in head and "\nlocation: /live/?match=final" in head
    for path in ("lively/matches", "live/live/matches", "live//matches"):
        assert rig.get(f"{relay.url}/{path}")[0] == 404, path
    for name, transport in (("socket", "websocket"), ("poll", "polling")):
        options = {"path": "/live/socket.io/", "transports": [transport]}
        assert swarm("open", name=name, url=relay.url, options=options)["transport"] == transport
        assert swarm("emit", name=name, event="match:join", data=["final"])["ok"]
    with subprocess.Popen(["curl", "-sN", "-m", "120", f"{below}/matches/final/events"], text=True, stdout=subprocess.PIPE) as curl:
        assert any(line == "event: match:snapshot\n" for line in curl.stdout)
        curl.kill()


def test_the_page_says_where_it_may_be_framed(db, new_relay, tmp_path):
    (tmp_path / "index.html").write_text("<p>map")
    for given, told in [({}, "'self'"), ({"frame_ancestors": "none"}, "'none'"), ({"frame_ancestors": "https://a.example,self"}, "https://a.example 'self'")]:
        relay = new_relay(map_dir=tmp_path, **given)
        status, headers, body = rig.get(f"{relay.url}/embed?match=final")
        policy = rig.get(f"{relay.url}/")[1]["content-security-policy"]
        assert (status, body, headers["content-security-policy"]) == (200, b"<p>map", policy)
        assert policy.endswith(f"; frame-ancestors {told}") and policy.startswith("default-src 'none'; ")


def test_clients_of_an_undeclared_proxy_count_as_one_and_it_is_named(db, new_relay):
    relay = new_relay(max_clients_per_ip=1)
    forwarded = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(3)]
    first = wire.Client(relay, headers=forwarded[0])
    assert first.connected[0]
    assert wire.Client(relay, headers=forwarded[1]).connected == (False, {"message": "too_many_clients_from_your_address"})
    rig.get(f"{relay.url}/matches", **forwarded[2])
    assert relay.metric("vote_relay_undeclared_proxy_requests_total") == 3
    named = [line["fields"] for line in relay.logged() if "TRUSTED_PROXIES" in line["fields"]["message"]]
    assert [fields["proxy"] for fields in named] == ["127.0.0.1"]
