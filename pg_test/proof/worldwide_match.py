"""Matches with votes all over the world, and the same computed by the H3 reference library."""

import math
from collections import Counter, defaultdict

import h3.api.basic_int as reference

TEAMS = ("home", "away", "third \"3\"")


def random_cell(rng, low, high):
    """A cell around a point drawn evenly from the sphere."""
    lat = math.degrees(math.asin(rng.uniform(-1, 1)))
    return reference.latlng_to_cell(lat, rng.uniform(-180, 180), rng.randint(low, high))


def all_cells(resolution):
    return reference.uncompact_cells(reference.get_res0_cells(), resolution)


class WorldwideMatch:
    """A match; `votes` is what was cast, by cell and team."""

    def __init__(self, db, match):
        self.db, self.match, self.votes = db, match, defaultdict(Counter)

    def vote(self, rng, cells):
        """Casts a few votes in each cell, in one call."""
        ballots = [(rng.choice(TEAMS), cell, rng.choice((1, 1, 2, 7))) for cell in cells]
        teams, places, numbers = (list(column) for column in zip(*ballots))
        self.db.sql("SELECT bulk_increment(%s, %s, %s::bigint[], NULL, %s::bigint[])", self.match, teams, places, numbers)
        for team, cell, number in ballots:
            self.votes[cell][team] += number
        return self

    def rolled_up(self, resolution=None):
        """Votes by cell and team; cells coarser than `resolution` stay as they are."""
        rolled = defaultdict(Counter)
        for cell, votes in self.votes.items():
            if resolution is not None and reference.get_resolution(cell) > resolution:
                cell = reference.cell_to_parent(cell, resolution)
            rolled[cell] += votes
        return rolled

    def read(self, arguments="", **values):
        """Rows of get_match_aggregates by cell: total, votes, leader, dominance."""
        if box := values.get("box"):
            values["box"] = [float(degrees) for degrees in box]
        query = f"SELECT h3_index, total_votes, votes, leader, dominance FROM get_match_aggregates(%(match)s{arguments})"
        with self.db.connect() as session:
            rows = session.execute(query, {"match": self.match, **values}).fetchall()
        found = {int(cell, 16): rest for cell, *rest in rows}
        assert len(found) == len(rows)
        return found


def standing(votes):
    """Leader and dominance of votes by team."""
    (first, most), (_, next_most) = (votes + Counter()).most_common(2) + [(None, 0)] * (2 - min(2, len(votes + Counter())))
    if most == next_most:
        return None, 0.0
    return first, (most - next_most) / sum(votes.values())


def is_in(box, cell):
    """Is the cell's centre in the box?"""
    west, south, east, north = box
    lat, lng = reference.cell_to_latlng(cell)
    return south <= lat <= north and (west <= lng <= east if west <= east else lng >= west or lng <= east)
