"""Votes at times of our choice, and the time line recounted from them."""

import datetime
from collections import Counter
from typing import NamedTuple, Optional

MINUTE = datetime.timedelta(minutes=1)
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)


class Timed(NamedTuple):
    """Votes for a team at a time; below zero where a ballot was taken back."""

    at: datetime.datetime
    team: str
    votes: int
    country: Optional[str] = None
    in_total: bool = True


def floor(at, width=MINUTE):
    return at - (at - EPOCH) % width


def record(session, match, journal):
    """Writes votes below the functions, which would read the clock; as pending rows, they are folded like any other."""
    heap = session.execute("SELECT heap FROM vote_agg.stat_pending WHERE is_current").fetchone()[0]
    with session.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO vote_agg.{heap} (votes, at, source, in_total, match_id, team_choice, country_code) VALUES (%s, %s, 0, %s, %s, %s, %s)",
            [(vote.votes, vote.at, vote.in_total, match, vote.team, vote.country) for vote in journal],
        )


def buckets(journal, width, start=None, end=None, kept_from=None):
    """What get_match_timeline must return: {(bucket, team): (votes, running total)}, all buckets between the first and last."""
    counted = [vote for vote in journal if vote.in_total]
    if not counted:
        return {}
    teams = {vote.team for vote in journal}
    bucket, last = (floor(edge(vote.at for vote in counted), width) for edge in (min, max))
    rows = {}
    while bucket <= last:
        is_kept = kept_from is None or bucket >= kept_from
        is_asked = (start is None or bucket + width > start) and (end is None or bucket < end)
        if is_kept and is_asked:
            for team in teams:
                mine = [vote for vote in counted if vote.team == team and vote.at < bucket + width]
                inside = sum(vote.votes for vote in mine if vote.at >= bucket)
                rows[bucket, team] = inside, sum(vote.votes for vote in mine)
        bucket += width
    return rows


def standing(journal, as_of):
    """What get_match_at must return: votes by (country, team), without zeros; country None is the match."""
    tally = Counter()
    for vote in journal:
        if vote.at < as_of:
            if vote.in_total:
                tally[None, vote.team] += vote.votes
            if vote.country is not None:
                tally[vote.country, vote.team] += vote.votes
    return {key: votes for key, votes in tally.items() if votes}


def read_buckets(session, match, width, start=None, end=None):
    query = "SELECT bucket_start, team_choice, votes, running_total FROM get_match_timeline(%s, %s, %s, %s)"
    rows = session.execute(query, (match, width, start, end)).fetchall()
    assert rows == sorted(rows, key=lambda row: row[0]), "in order of time"
    read = {(bucket, team): (votes, running) for bucket, team, votes, running in rows}
    assert len(read) == len(rows), "each bucket and team once"
    return read


def read_standing(session, match, ts):
    """Votes by (country, team) without zeros, and the moment that they are of."""
    query = "SELECT as_of, country_code, total_votes, votes FROM get_match_at(%s, %s)"
    rows = session.execute(query, (match, ts)).fetchall()
    assert rows[0][1] is None and None not in [country for _, country, _, _ in rows[1:]], "the match comes first"
    assert all(total == sum(votes.values()) for _, _, total, votes in rows)
    totals = [total for _, _, total, _ in rows[1:]]
    assert totals == sorted(totals, reverse=True), "then countries, biggest first"
    tally = {(country, team): n for _, country, _, votes in rows for team, n in votes.items() if n}
    (as_of,) = {as_of for as_of, *_ in rows}
    return tally, as_of
