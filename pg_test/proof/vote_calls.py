"""Random calls that record votes, each with the votes that it counts."""

import json

from testkit import oracle
from testkit.oracle import Vote

TEAMS = ("home", "away", "Ünïted \"FC\" 'd'Or'")
COUNTRIES = ("FR", "DE", "BR", "XK", "ZZ")
PENTAGON = 4  # one of the twelve base cells that are pentagons; the others' children need no care
CELLS = tuple(
    [oracle.cell(base) for base in (0, PENTAGON, 121)]
    + [oracle.cell(PENTAGON, 0, 0, 0, 2), oracle.cell(9, *[6] * 15)]
    + [oracle.cell(20, 3, n % 7, n // 7, 1, 5, 0, n % 5) for n in range(40)]
)


SNAKE = ("match_id", "team_choice", "h3_index", "country_code")
CAMEL = ("matchId", "teamChoice", "h3Index", "countryCode")


def placed_vote(rng, match):
    """A vote with a cell and a country."""
    return Vote(match, rng.choice(TEAMS), rng.choice(CELLS), rng.choice(COUNTRIES), rng.choice((1, 1, 1, 7)))


def any_vote(rng, match):
    """A vote that may lack a cell, a country or both."""
    vote = placed_vote(rng, match)
    return vote._replace(cell=rng.choice((vote.cell, None)), country=rng.choice((vote.country, None)))


def record(vote):
    return "SELECT record_vote(%s, %s, %s::bigint, %s, %s)", (vote.match, vote.team, vote.cell, vote.country, vote.votes)


def record_text(vote):
    index = None if vote.cell is None else f"{vote.cell:x}"
    return "SELECT record_vote(%s, %s, %s::text, %s, %s)", (vote.match, vote.team, index, vote.country, vote.votes)


def bulk_json(votes):
    """All optional keys left out where they can be, in both spellings."""
    elements = []
    for n, vote in enumerate(votes):
        names = SNAKE if n % 2 else CAMEL
        values = (vote.match, vote.team, vote.cell and f"{vote.cell:x}", vote.country)
        element = {name: value for name, value in zip(names, values) if value is not None}
        elements.append({**element, "votes": vote.votes} if vote.votes != 1 else element)
    return "SELECT bulk_increment(%s::jsonb)", (json.dumps(elements),)


def bulk_arrays(votes):
    columns = [[getattr(vote, name) for vote in votes] for name in ("team", "cell", "country", "votes")]
    return "SELECT bulk_increment(%s, %s::text[], %s::bigint[], %s::text[], %s::bigint[])", (votes[0].match, *columns)


def in_two_steps(rng, vote):
    """One vote told by two functions: first its cell, then its country. Returns the calls and what they count."""
    resolution = rng.choice((None, rng.randint(0, oracle.resolution_of(vote.cell))))
    index = vote.cell if resolution is None else oracle.parent(vote.cell, resolution)
    name, spelled, kind = rng.choice((("increment", vote.cell, "bigint"), ("update", f"{vote.cell:x}", "text")))
    cell_call = (
        f"SELECT {name}_h3_aggregate(%s, %s::{kind}, %s, %s, %s)",
        (vote.match, spelled, resolution, vote.team, vote.votes),
    )
    country_call = (
        f"SELECT {name}_country_aggregate(%s, %s, %s, %s)",
        (vote.match, vote.country.lower(), vote.team, vote.votes),
    )
    return [cell_call, country_call], [vote._replace(cell=index, country=None), vote._replace(cell=None, in_total=False)]


def some(rng, match, vote=placed_vote):
    """One or two statements of a random kind, and the votes that they count."""
    kind = rng.randrange(5)
    if kind == 0:
        return in_two_steps(rng, placed_vote(rng, match))
    if kind < 3:
        one = vote(rng, match)
        return [(record, record_text)[kind - 1](one)], [one]
    votes = [vote(rng, match) for _ in range(rng.randint(1, 5))]
    return [(bulk_json, bulk_arrays)[kind - 3](votes)], votes


def bad(rng, match):
    """A call that is refused with 22023 after part of it may have been looked at."""
    return rng.choice(
        (
            ("SELECT record_vote(%s, 'home', %s::text)", (match, "872a1072bfffff0")),
            ("SELECT record_vote(%s, 'home', NULL::bigint, 'EU')", (match,)),
            ("SELECT record_vote(%s, 'home', NULL::bigint, NULL, 0)", (match,)),
            ("SELECT increment_h3_aggregate(%s, %s::bigint, 16, 'home')", (match, CELLS[0])),
            ("SELECT bulk_increment(%s, ARRAY['home', 'home'], ARRAY[%s, 1]::bigint[])", (match, CELLS[0])),
            ("SELECT bulk_increment(%s::jsonb)", (json.dumps([{"match_id": match, "team_choice": "home"}, {}]),)),
        )
    )
