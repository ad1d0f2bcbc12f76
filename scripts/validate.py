"""Checks an installation before an event: database, relay and what comes between, in a match of its own that it erases again.

One line a check, ok or what is wrong; the exit status is 1 where anything is. The role of DATABASE_URL needs what
`vote_agg.grant_writer`, `vote_agg.grant_reader` and EXECUTE on the functions that open, close, verify and purge matches give.
"""

import argparse
import json
import pathlib
import secrets
import statistics
import sys
import threading
import time
import traceback
import urllib.parse

import psycopg

from testkit import rig

SESSIONS, CLIENTS, BULK = 32, 50, 100_000
CELL, COUNTRY = "872a1072bffffff", "US"


class Site:
    """Where everything is, and the match that checks vote in."""

    def __init__(self, args):
        self.database_url, self.url, self.token, self.log = args.database_url, args.ws_url.rstrip("/"), args.token, args.log
        self.admin_url = (args.admin_url or args.ws_url).rstrip("/")
        self.match = f"vote_agg validation {secrets.token_hex(6)}"

    def connect(self):
        return psycopg.connect(self.database_url, autocommit=True)

    def sql(self, query, *params):
        with self.connect() as session:
            done = session.execute(query, params or None)
            return done.fetchall() if done.description else []

    def get(self, path, token=True):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and token else {}
        return rig.get(f"{self.url}{path}", **headers)

    def figures(self, path):
        return rig.get(f"{self.admin_url}{path}")

    def path(self, what):
        return f"/matches/{urllib.parse.quote(self.match, safe='')}/{what}"

    def options(self, token=True):
        return {"auth": {"token": self.token}} if self.token and token else {}

    def is_folded(self):
        """Whether the feed has told of all votes so far."""
        folded = "SELECT total_votes = (get_match_snapshot(match_id) -> 'stats' ->> 'total')::bigint FROM get_realtime_stats(%s), (VALUES (%s)) AS v(match_id)"
        return self.sql(folded, self.match, self.match)[0][0]

    def total(self):
        return self.sql("SELECT total_votes FROM get_realtime_stats(%s)", self.match)[0][0]


def functions(site):
    """Every function answers."""
    m = site.match
    calls = [
        ("SELECT record_vote(%s, 'home', %s::text, %s)", m, CELL, COUNTRY),
        ("SELECT increment_h3_aggregate(%s, %s::text, 7, 'away')", m, CELL),
        ("SELECT increment_country_aggregate(%s, %s, 'away')", m, COUNTRY),
        ("SELECT bulk_increment(%s::jsonb)", json.dumps([{"match_id": m, "team_choice": "home", "h3_index": CELL, "votes": 2}])),
        ("SELECT bulk_increment(%s, ARRAY['home', 'away'])", m),
        ("SELECT cast_vote(%s, 'a voter', 'home', %s::text, %s)", m, CELL, COUNTRY),
        ("SELECT cast_vote(%s, 'a voter', 'away', %s::text, %s)", m, CELL, COUNTRY),
        ("SELECT retract_vote(%s, 'a voter')", m),
        ("SELECT * FROM cast_votes(ARRAY[%s], '{a voter}', '{home}', turns => '{1}')", m),
        ("SELECT * FROM retract_votes(ARRAY[%s], '{a voter}', '{2}')", m),
        ("SELECT * FROM get_vote(%s, 'a voter')", m),
        ("SELECT * FROM record_votes(ARRAY[%s], '{home}')", m),
        *((f"SELECT * FROM {name}(%s)", m) for name in ("get_realtime_stats", "get_match_aggregates", "get_country_aggregates", "get_match_timeline", "get_match_flips")),
        ("SELECT * FROM get_match_changes(%s, 0)", m),
        ("SELECT get_match_snapshot(%s), get_match_update(%s, 0), get_match_geojson(%s), get_match_tile(%s, 3, 2, 3)", m, m, m, m),
        ("SELECT * FROM get_top_cells(%s, 3)", m),
        ("SELECT * FROM get_cell(%s, %s::text)", m, CELL),
        ("SELECT h3_neighbors(%s, 1), h3_parent(%s, 3), h3_from_lat_lng(40.69, -74.04, 7)", CELL, CELL),
        ("SELECT calculate_dominance('{\"home\": 3, \"away\": 1}')",),
    ]
    for call, *params in calls:
        site.sql(call, *params)
    # 1 + 1 + 2 + 2 + 1; what came by country alone says where a vote came from that is counted already.
    assert site.total() == 7, f"the votes add up to {site.total()}, not 7"
    return f"{len(calls)} calls"


def atomic(site):
    """Many sessions at once lose nothing, and cells, countries and totals add up."""
    each, before, failures = 50, site.total(), []

    def vote(number):
        try:
            with site.connect() as session:
                for n in range(each):
                    session.execute("SELECT record_vote(%s, %s, %s::text, %s)", (site.match, ("home", "away")[n % 2], CELL, COUNTRY))
        except psycopg.Error as error:
            failures.append(f"session {number}: {error}")

    threads = [threading.Thread(target=vote, args=(n,)) for n in range(SESSIONS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    assert not failures, failures[0]
    counted = site.total() - before
    assert counted == SESSIONS * each, f"{counted} of {SESSIONS * each} votes were counted"
    wrong = site.sql("SELECT * FROM verify_match(%s) AS v WHERE NOT v.ok", site.match)
    assert not wrong, f"verify_match: {wrong}"
    return f"{SESSIONS} sessions, {counted / seconds:,.0f} votes/s, connecting included"


def bulk(site):
    """A hundred thousand votes in one call."""
    votes = [{"match_id": site.match, "team_choice": ("home", "away")[n % 2], "h3_index": cell, "country_code": country} for n, (cell, country) in
             zip(range(BULK), rig.CELLS * (BULK // len(rig.CELLS) + 1), strict=False)]
    before, began = site.total(), time.monotonic()
    counted = site.sql("SELECT bulk_increment(%s::jsonb)", json.dumps(votes))[0][0]
    seconds = time.monotonic() - began
    assert counted == site.total() - before == BULK, f"{counted} votes were counted, the total grew by {site.total() - before}"
    return f"{BULK:,} votes in {seconds * 1000:.0f} ms"


def errors(site):
    """What is wrong is refused by its SQLSTATE and leaves nothing behind."""
    other = f"{site.match} closed"
    site.sql("SELECT open_match(%s, ARRAY['red'])", other)
    cases = [
        ("22023", "SELECT record_vote(%s, 'home', '872a1072bfffff0'::text)", site.match),
        ("22023", "SELECT record_vote(%s, 'home', NULL::text, 'QQ')", site.match),
        ("22023", "SELECT record_vote(%s, '')", site.match),
        ("22023", "SELECT record_vote(%s, 'home', NULL::text, NULL, 0)", site.match),
        ("22023", "SELECT increment_h3_aggregate(%s, %s::text, 16, 'home')", site.match, CELL),
        ("42704", "SELECT record_vote(%s, 'blue')", other),
    ]
    before = site.total()
    try:
        for state, call, *params in cases:
            refuse(site, state, call, *params)
        site.sql("SELECT close_match(%s)", other)
        refuse(site, "55000", "SELECT record_vote(%s, 'red')", other)
    finally:
        site.sql("SELECT purge_match(%s)", other)
    assert site.total() == before, "a refused call was counted"
    return f"{len(cases) + 1} cases"


def refuse(site, state, call, *params):
    try:
        site.sql(call, *params)
    except psycopg.Error as error:
        assert error.sqlstate == state, f"{call} failed with {error.sqlstate} instead of {state}: {error}"
    else:
        raise AssertionError(f"{call} was not refused")


def port(site):
    """The relay is there and follows the feed."""
    for path, ask in [("/health", site.get), ("/ready", site.get), ("/metrics", site.figures), ("/cache", site.figures)]:
        status, _, body = ask(path)
        hint = "; pass ADMIN_URL where the relay has an address of its own for it" if status == 404 else ""
        assert status == 200, f"{path} answers {status}{hint}: {body[:200].decode(errors='replace')}"
    return site.url


def auth(site):
    """Clients get in with a token where one is needed, and not with a bad one."""
    with rig.Swarm() as swarm:
        without = swarm("open", name="without", url=site.url)
        bad = swarm("open", name="bad", url=site.url, options={"auth": {"token": "e30.e30.e30"}})
        if site.token:
            good = swarm("open", name="good", url=site.url, options=site.options())
            assert good["connected"], f"the token is refused: {good}"
            assert not bad["connected"], "a bad token is let in"
            return "tokens are " + ("optional" if without["connected"] else "required")
        assert without["connected"], f"no client gets in without a token: {without}; pass TOKEN"
        return "no token is needed" if bad["connected"] else "tokens are optional"


def limits(site):
    """Nonsense and messages that are too long are refused, and nobody else is disturbed."""
    with rig.Swarm() as swarm:
        for name in ("good", "bad"):
            assert swarm("open", name=name, url=site.url, options=site.options())["connected"], "cannot connect"
        for data in ({"matchId": ""}, {"matchId": site.match, "resolution": 16}):
            answer = swarm("emit", name="bad", event="match:join", data=[data])
            assert answer.get("error") == "invalid", f"a join with {data} is answered by {answer}"
        swarm("flood", name="bad", event="match:join", data=["x" * 2_000_000], times=1)
        rig.eventually("a message of 2 MB ends its sender", lambda: not swarm("connected", name="bad"))
        answer = swarm("emit", name="good", event="match:join", data=[site.match])
        assert answer.get("ok"), f"a sound join is answered by {answer}"
    return ""


def clients(site):
    """Fifty clients receive the same updates and end up with what SQL says; gives the time that votes took to them."""
    with rig.Swarm() as swarm:
        wishes = [{"matchId": site.match, "resolution": (None, 3)[n % 2], "bundle": n % 4 < 2, **site.options()} for n in range(CLIENTS)]
        swarm("start", urls=[site.url], clients=wishes)
        rig.eventually("everybody has a snapshot", lambda: all(seq >= 0 for *_, seq, _ in swarm("heads")))
        waits = []
        with site.connect() as session:
            for _ in range(20):
                total = site.total() + 1
                session.execute("SELECT record_vote(%s, 'home', %s::text, %s)", (site.match, CELL, COUNTRY))
                began = time.monotonic()
                rig.eventually("the vote is with all clients", lambda total=total: min(swarm("totals")) >= total)
                waits.append((time.monotonic() - began) * 1000)
            rig.eventually("nothing is pending", site.is_folded)
            reports = rig.assert_knows(session, swarm)
    updates = {report["counts"].get("match:update", 0) + report["counts"].get("aggregate:updated", 0) for report in reports}
    assert len(updates) == 1, f"some clients received {min(updates)} updates, others {max(updates)}"
    return f"commit to all {CLIENTS} clients: median {statistics.median(waits):.0f} ms, longest {max(waits):.0f} ms; {updates.pop()} updates each"


def snapshot(site):
    """What the relay answers over HTTP is what SQL says."""
    status, _, body = site.get(site.path("aggregates"))
    assert status == 200, f"{site.path('aggregates')} answers {status}: {body[:200]}"
    of_relay = sorted((cell, sorted(votes.items())) for cell, votes in json.loads(body)["cells"])
    of_sql = sorted((cell, sorted(votes.items())) for cell, votes in site.sql("SELECT h3_index, votes FROM get_match_aggregates(%s)", site.match))
    assert of_relay == of_sql, f"{len(of_relay)} cells by the relay, {len(of_sql)} by SQL, and they differ"
    return f"{len(of_sql):,} cells"


def cache(site):
    """Answers are kept, and dropped as soon as a fold changed the match."""

    def counted():
        return json.loads(site.figures("/cache")[2])

    def seen():
        return json.loads(site.get(site.path("stats"))[2])["stats"]["total"]

    before, total = counted(), seen()
    for _ in range(5):
        assert seen() == total
    after = counted()
    hits = after["hits"] - before["hits"]
    assert hits >= 4, f"5 answers to the same question, {hits} of them from memory"
    site.sql("SELECT record_vote(%s, 'home')", site.match)
    rig.eventually("the answer has the vote", lambda: seen() == total + 1)
    return f"{after['entries']} answers kept, {counted()['invalidations'] - before['invalidations']} dropped"


def logs(site):
    """Each operation of a client is counted and, where the relay's log (JSON) is at hand, logged."""

    def count():
        lines = site.figures("/metrics")[2].decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith("vote_relay_joins_total "))

    joins, size = count(), site.log.stat().st_size if site.log else 0
    with rig.Swarm() as swarm:
        assert swarm("open", name="a", url=site.url, options=site.options())["connected"], "cannot connect"
        for event in ("match:join", "match:leave"):
            assert swarm("emit", name="a", event=event, data=[site.match])["ok"], event
    assert count() == joins + 1, f"one join moved the counter from {joins} to {count()}"
    if not site.log:
        return "counted; pass LOG=FILE to look into the log too"

    def missing():
        with site.log.open(encoding="utf-8") as log:
            log.seek(size)
            messages = [json.loads(line)["fields"]["message"] for line in log if line.startswith("{") and line.endswith("\n")]
        return [what for what in ("client connected", "joined", "left", "client disconnected") if what not in messages]

    rig.eventually("connecting, joining, leaving and disconnecting are logged", lambda: not missing())
    return "4 operations"


CHECKS = (functions, atomic, bulk, errors, port, auth, limits, clients, snapshot, cache, logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True, help="of the server itself, not of a pooler")
    parser.add_argument("--ws-url", required=True, help="of the relay: http://host:3001")
    parser.add_argument("--admin-url", help="where the relay serves /metrics and /cache, if not at the same address")
    parser.add_argument("--token", help="a token for any match, where the relay asks for one")
    parser.add_argument("--log", type=pathlib.Path, help="the relay's log, written with LOG_FORMAT=json, where it is at hand")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args()
    site, failed = Site(args), 0
    try:
        for check in CHECKS:
            try:
                result = {"check": check.__name__, "ok": True, "about": check(site)}
            except (AssertionError, OSError, psycopg.Error, ValueError, KeyError) as error:
                result = {"check": check.__name__, "ok": False, "about": str(error).strip().split("\n")[0] or traceback.format_exc(limit=1)}
                failed += 1
            print(json.dumps(result) if args.json else f"{'ok   ' if result['ok'] else 'WRONG'} {check.__doc__.splitlines()[0]} {result['about']}", flush=True)
            if check is port and not result["ok"]:
                break  # there is no relay to look at
    finally:
        try:
            site.sql("SELECT purge_match(%s)", site.match)
        except psycopg.Error as error:
            print(f"{site.match!r} could not be erased: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
