"""The one oracle: a journal of votes, summed in Python, against everything that the read functions return.

Nothing here uses the extension's own arithmetic: a cell's parent is computed from the layout of an H3 index.
"""

import contextlib
from collections import Counter
from typing import NamedTuple, Optional

from psycopg.pq import TransactionStatus

NATIVE = None
RESOLUTIONS = (NATIVE, 5, 0)


class Vote(NamedTuple):
    """Votes for a team. Not `in_total`: this only says where votes came from that are counted already."""

    match: str
    team: str
    cell: Optional[int] = None
    country: Optional[str] = None
    votes: int = 1
    in_total: bool = True


def cell(base, *digits):
    """The H3 cell of a base cell (0 to 121) and its digits (0 to 6), one a resolution; unused digits are 7."""
    index = 1 << 59 | len(digits) << 52 | base << 45
    for position in range(15):
        index |= (digits[position] if position < len(digits) else 7) << 3 * (14 - position)
    return index


def resolution_of(index):
    return index >> 52 & 0xF


def parent(index, resolution):
    return index & ~(0xF << 52) | resolution << 52 | (1 << 3 * (15 - resolution)) - 1


def rolled_up(index, resolution):
    """The cell at `resolution`; one that is coarser stays as it is."""
    return index if resolution is NATIVE or resolution_of(index) <= resolution else parent(index, resolution)


def expected(match, journal, folded=False):
    """What must be read for `match`: votes by (what, where, team)."""
    tally = Counter()
    journal = [vote for vote in journal if vote.match == match]
    for vote in journal:
        if vote.in_total:
            tally["total", None, vote.team] += vote.votes
            tally["timeline", None, vote.team] += vote.votes
            tally["at", None, vote.team] += vote.votes
        if vote.cell is not None:
            for resolution in RESOLUTIONS:
                tally[f"cells {resolution}", f"{rolled_up(vote.cell, resolution):x}", vote.team] += vote.votes
        if vote.country is not None:
            tally["countries", vote.country, vote.team] += vote.votes
            tally["at", vote.country, vote.team] += vote.votes
    tally["active cells", None, None] = len({vote.cell for vote in journal} - {None})
    tally["active countries", None, None] = len({vote.country for vote in journal} - {None})
    if folded:
        tally += state(tally)
    return tally


def state(tally):
    """The part of a tally that a snapshot or a follower of the feed holds."""
    names = {"total": "state total", f"cells {NATIVE}": "state cells", "countries": "state countries"}
    return Counter({(names[what], where, team): n for (what, where, team), n in tally.items() if what in names})


def observed(session, match, folded=False):
    """What the read functions return for `match`, in one snapshot."""
    tally = Counter()
    with one_snapshot(session):
        stats = session.execute(
            "SELECT total_votes, votes, leader, dominance, active_cells, active_countries FROM get_realtime_stats(%s)", (match,)
        ).fetchall()
        for total, votes, leader, dominance, cells, countries in stats:
            add(tally, "total", None, total, votes, leader, dominance)
            tally["active cells", None, None] += cells
            tally["active countries", None, None] += countries
        for resolution in RESOLUTIONS:
            query = "SELECT h3_index, total_votes, votes, leader, dominance FROM get_match_aggregates(%s, %s)"
            for row in session.execute(query, (match, resolution)):
                add(tally, f"cells {resolution}", *row)
        for row in session.execute(
            "SELECT country_code, total_votes, votes, leader, dominance FROM get_country_aggregates(%s)", (match,)
        ):
            add(tally, "countries", *row)
        query = "SELECT team_choice, sum(votes)::bigint FROM get_match_timeline(%s) GROUP BY 1"
        for team, votes in session.execute(query, (match,)):
            tally["timeline", None, team] += votes
        # A time to come is now.
        query = "SELECT country_code, total_votes, votes, leader, dominance FROM get_match_at(%s, 'infinity')"
        for row in session.execute(query, (match,)):
            add(tally, "at", *row)
        if folded:
            snapshot = session.execute("SELECT get_match_snapshot(%s)", (match,)).fetchone()[0]
            tally += state_of(snapshot["stats"]["votes"], snapshot["cells"], snapshot["countries"])
    return tally


def state_of(votes, cells, countries):
    """The tally of a state as messages and snapshots spell it: pairs of a place and its votes by team."""
    tally = Counter({("state total", None, team): n for team, n in votes.items()})
    for what, pairs in (("state cells", cells), ("state countries", countries)):
        for where, by_team in pairs:
            for team, n in by_team.items():
                tally[what, where, team] += n
    return tally


def add(tally, what, where, total, votes, leader, dominance):
    """Adds one row that a read function returned, after checking that its columns agree with each other."""
    assert total == sum(votes.values()), (what, where, total, votes)
    first, second = (sorted(votes.values(), reverse=True) + [0, 0])[:2]
    assert leader == (max(votes, key=votes.get) if first > second else None), (what, where, votes, leader)
    assert abs(dominance - ((first - second) / total if total else 0)) < 1e-4, (what, where, votes, dominance)
    for team, n in votes.items():
        tally[what, where, team] += n


@contextlib.contextmanager
def one_snapshot(session):
    """A repeatable read transaction, or the one that the session is in."""
    if session.info.transaction_status != TransactionStatus.IDLE:
        yield
        return
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        session.execute("ROLLBACK")


def compare(right, found):
    """Both ways: what is missing and what is too much. Equal when empty."""
    both = {"missing": right - found, "too much": found - right}
    return {kind: dict(difference) for kind, difference in both.items() if difference}


def differences(session, match, journal, folded=False):
    """Empty when all that is read for `match` equals the journal; `folded`: the snapshot too, once nothing is pending."""
    return compare(expected(match, journal, folded), observed(session, match, folded))
