"""The proof of a demonstration: what was sent beside what is counted, key by key."""

import json
import sys
import time
import urllib.request
from collections import Counter, defaultdict

from scripts.fans import MATCH
from scripts.service import PATIENCE

SHOWN = 5  # differences, should there be any


def by_kind(total, votes, countries, cells):
    """Counts to compare, each by its key; `countries` and `cells` are pairs of a name and its votes by team."""
    return {
        "match": Counter({MATCH: total}),
        "team": Counter(votes),
        "country and team": Counter({(name, team): n for name, teams in countries for team, n in teams.items()}),
        "cell and team": Counter({(name, team): n for name, teams in cells for team, n in teams.items()}),
    }


def choices_by_kind(journal):
    """`journal`: votes by team, cell and country."""
    teams, countries, cells = Counter(), defaultdict(Counter), defaultdict(Counter)
    for (team, h3_index, country_code), votes in journal.items():
        teams[team] += votes
        countries[country_code][team] += votes
        cells[h3_index][team] += votes
    return by_kind(teams.total(), teams, countries.items(), cells.items())


def read_ballots(*clusters):
    """What the ballots say, one a voter. No reader sees them, so the superuser looks."""
    query = "SELECT team_choice, to_hex(h3_index), country_code, count(*) FROM vote_agg.ballot WHERE match_id = %s GROUP BY 1, 2, 3"
    found = Counter()
    for cluster in clusters:
        found += Counter({tuple(choice): votes for *choice, votes in cluster.sql(query, MATCH)})
    return choices_by_kind(found)


def read_totals(session):
    """What the read functions say."""
    total, votes = session.execute("SELECT total_votes, votes FROM get_realtime_stats(%s)", [MATCH]).fetchone()
    countries = session.execute("SELECT country_code, votes FROM get_country_aggregates(%s)", [MATCH]).fetchall()
    cells = session.execute("SELECT h3_index, votes FROM get_match_aggregates(%s)", [MATCH]).fetchall()
    return by_kind(total, votes, countries, cells)


def read_pending(viewer):
    return viewer.execute("SELECT sum(rows)::bigint AS rows FROM vote_agg.stat_pending").fetchone()[0]


def read_counted(viewer):
    """What the read functions say, and how much of it is still pending."""
    with viewer.transaction():
        return read_totals(viewer), read_pending(viewer)


def read_followed(viewer):
    """What a follower of the feed knows, once nothing is pending any more."""
    until = time.monotonic() + PATIENCE
    while read_pending(viewer):
        if time.monotonic() > until:
            fold = viewer.execute("SELECT * FROM vote_agg.stat_fold").fetchone()
            sys.exit(f"Votes are still pending after {PATIENCE} seconds: {fold}")
        time.sleep(0.02)
    (state,) = viewer.execute("SELECT get_match_snapshot(%s) AS state", [MATCH]).fetchone()
    return by_kind(state["stats"]["total"], state["stats"]["votes"], state["countries"], state["cells"])


def read_relayed(address):
    """What the relay answers over HTTP, read after the feed has caught up."""

    def answer(what):
        with urllib.request.urlopen(f"{address}/matches/{MATCH}/{what}", timeout=PATIENCE) as reply:
            return json.load(reply)

    stats = answer("stats")["stats"]
    return by_kind(stats["total"], stats["votes"], answer("countries")["countries"], answer("aggregates")["cells"])


def compare(title, sent, counted, unknown=None, of="sent"):
    """Prints what was sent beside what is counted; true when they are the same. What is `unknown` may be counted beside it or not."""
    print(f"\n{title}\n  {'by':<18} {'keys':>7} {of:>12} {'counted':>12}")
    same = True
    for kind, wanted in sent.items():
        found, doubtful = counted[kind], unknown[kind] if unknown else Counter()
        wrong = sorted(key for key in wanted.keys() | found.keys() if not wanted[key] <= found[key] <= wanted[key] + doubtful[key])
        verdict = f"DIFFERS in {len(wrong):,}" if wrong else "ok"
        more = found.total() - wanted.total()
        remark = f", with {more:,} of the {doubtful.total():,} whose outcome is unknown" if doubtful and not wrong else ""
        print(f"  {kind:<18} {len(wanted):>7,} {wanted.total():>12,} {found.total():>12,}  {verdict}{remark}")
        for key in wrong[:SHOWN]:
            print(f"    {key}: {of} {wanted[key]:,}, counted {found[key]:,}")
        same = same and not wrong
    return same
