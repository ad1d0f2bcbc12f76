"""Boxes, smoothing, top cells and a cell's surroundings against the same computed from the votes that were cast."""

from collections import Counter

import h3.api.basic_int as reference
import psycopg
import pytest

from testkit import harness
from worldwide_match import TEAMS, WorldwideMatch, is_in, random_cell, standing

BOX = ", %(resolution)s, bbox => %(box)s::float8[]"


@pytest.fixture
def worldwide(still):
    """Folded votes on cells of many resolutions, and pending ones on some of the same cells and others."""
    rng = harness.random_for("cells")
    worldwide = WorldwideMatch(still, "world")
    around = reference.grid_disk(reference.get_pentagons(5)[3], 6) + reference.grid_disk(reference.latlng_to_cell(-17, 180, 6), 8)
    worldwide.vote(rng, [random_cell(rng, 0, 9) for _ in range(6_000)] + around)
    still.settle()
    worldwide.vote(rng, rng.sample(sorted(worldwide.votes), 300) + [random_cell(rng, 0, 15) for _ in range(300)])
    assert still.pending() > 500
    return worldwide


def random_box(rng):
    south, north = sorted(rng.uniform(-90, 90) for _ in range(2))
    return rng.choice((
        [rng.uniform(-180, 180), south, rng.uniform(-180, 180), north],
        [rng.uniform(160, 180), south, rng.uniform(-180, -160), north],
        [-180, rng.uniform(60, 90), 180, 90],
        [-180, -90, 180, 90],
        [lng := rng.uniform(-170, 160), lat := rng.uniform(-80, 70), lng + rng.uniform(0, 9), lat + rng.uniform(0, 9)],
    ))


def test_a_box_holds_the_cells_whose_centre_is_in_it(worldwide):
    rng, found_any = harness.random_for("boxes"), 0
    for resolution in (None, 0, 1, 3, 5, 9, 15):
        rolled = worldwide.rolled_up(resolution)
        for _ in range(25):
            box = random_box(rng)
            expected = {cell: (votes.total(), dict(votes), *standing(votes)) for cell, votes in rolled.items() if is_in(box, cell)}
            found = worldwide.read(BOX, resolution=resolution, box=box)
            assert found.keys() == expected.keys(), (resolution, box)
            for cell, (total, votes, leader, dominance) in expected.items():
                assert found[cell][:3] == [total, votes, leader] and abs(found[cell][3] - dominance) < 1e-12
            found_any += len(found)
    assert found_any > 10_000


def test_boxes_side_by_side_add_up(worldwide):
    total = sum(votes.total() for votes in worldwide.votes.values())
    for resolution in (None, 2):
        boxes = [[w, s, w + 30, s + 30] for w in range(-180, 180, 30) for s in range(-90, 90, 30)]
        assert sum(row[0] for box in boxes for row in worldwide.read(BOX, resolution=resolution, box=box).values()) == total


def test_filters_after_each_other(worldwide):
    rolled = worldwide.rolled_up(3)
    for team in TEAMS:
        found = worldwide.read(", 3, 5, leader => %(team)s", team=team)
        assert found.keys() == {cell for cell, votes in rolled.items() if standing(votes)[0] == team and votes.total() >= 5}
    assert worldwide.read(", leader => 'nobody'") == {}
    most = worldwide.read(", 3, max_cells => 7")
    assert sorted((row[0] for row in most.values()), reverse=True) == sorted((v.total() for v in rolled.values()), reverse=True)[:7]


@pytest.mark.parametrize("rings", (0, 1, 3))
def test_neighbours_decide_who_leads(worldwide, rings):
    for resolution, box in ((2, None), (5, [150, -60, -150, 60]), (None, [-180, -40, -160, 10])):
        rolled = worldwide.rolled_up(resolution)
        found = worldwide.read(BOX + ", smooth => %(rings)s", resolution=resolution, box=box, rings=rings)
        assert found.keys() == {cell for cell in rolled if box is None or is_in(box, cell)} and found
        for cell, (total, votes, leader, dominance) in found.items():
            assert (total, votes) == (rolled[cell].total(), dict(rolled[cell])), "votes stay as they were counted"
            around = Counter()
            for distance in range(rings + 1):
                for near in reference.grid_ring(cell, distance):
                    around += Counter({team: n * (rings + 1 - distance) for team, n in rolled.get(near, {}).items()})
            expected = standing(around)
            assert leader == expected[0] and abs(dominance - expected[1]) < 1e-12, cell


def test_top_cells(worldwide):
    def top(arguments):
        return worldwide.db.sql(f"SELECT h3_index, total_votes, votes, leader, dominance FROM get_top_cells('world', {arguments})")

    by_votes = sorted(worldwide.votes.items(), key=lambda item: (-item[1].total(), item[0]))
    assert [int(row[0], 16) for row in top("20")] == [cell for cell, _ in by_votes[:20]]
    assert len(top("NULL")) == len(worldwide.votes) and top("0") == []
    team = TEAMS[2].replace("'", "''")
    by_team = sorted(((v[TEAMS[2]], c) for c, v in worldwide.votes.items() if v[TEAMS[2]]), key=lambda item: (-item[0], item[1]))
    assert [int(row[0], 16) for row in top(f"30, '{team}'")] == [cell for _, cell in by_team[:30]]
    led = {c: v for c, v in worldwide.votes.items() if standing(v)[0] == "home"}
    by_lead = sorted(led, key=lambda c: (-standing(led[c])[1], -led[c]["home"], c))
    assert [int(row[0], 16) for row in top("40, 'home', 'dominance'")] == by_lead[:40]
    assert top("5, 'nobody'") == [] and top("5, 'nobody', 'dominance'") == []
    by_all = sorted(worldwide.votes, key=lambda c: (-standing(worldwide.votes[c])[1], -worldwide.votes[c].total(), c))
    assert [int(row[0], 16) for row in top("40, by => 'dominance'")] == by_all[:40]


def test_a_cell_in_its_surroundings(worldwide):
    rng = harness.random_for("surroundings")
    cells = rng.sample(sorted(worldwide.votes), 40) + [reference.get_pentagons(5)[3], reference.latlng_to_cell(-17, 180, 6)]
    cells += [reference.get_pentagons(0)[0], reference.latlng_to_cell(10, 10, 15)]
    below = {r: {} for r in range(16)}
    for cell, votes in worldwide.votes.items():
        for r in range(reference.get_resolution(cell) + 1):
            below[r].setdefault(reference.cell_to_parent(cell, r), Counter()).update(votes)
    with worldwide.db.connect() as session:
        for cell in cells:
            own = reference.get_resolution(cell)
            expected = [("self", cell)] + [("parent", reference.cell_to_parent(cell, r)) for r in range(own - 1, -1, -1)]
            expected += [("neighbor", near) for near in sorted(reference.grid_ring(cell, 1))]
            rows = session.execute("SELECT * FROM get_cell('world', %s::bigint)", (cell,)).fetchall()
            assert rows == session.execute("SELECT * FROM get_cell('world', %s)", (f"{cell:x}",)).fetchall()
            assert [(row[0], int(row[1], 16)) for row in rows] == expected
            for _, text, resolution, total, votes, leader, dominance in rows:
                counted = below[resolution].get(int(text, 16), Counter())
                assert (total, votes, leader) == (counted.total(), dict(counted), standing(counted)[0])
                assert abs(dominance - standing(counted)[1]) < 1e-12


def test_reads_stay_exact_while_votes_are_folded(db):
    """Whoever reads a box sees each vote once, pending or folded: totals only grow, and the same within one snapshot."""
    rng = harness.random_for("moving")
    cells = reference.grid_disk(reference.latlng_to_cell(48.8, 2.3, 8), 10)
    box = "{1, 47, 4, 50}"

    def voter(stop):
        with db.connect() as session:
            while not stop.is_set():
                session.execute("SELECT record_vote('moving', %s, %s::bigint)", (rng.choice(TEAMS), rng.choice(cells)))

    def reader(stop):
        last, reads = 0, 0
        with db.connect() as session:
            session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not stop.is_set() or reads < 50:
                with session.transaction():
                    (stats,) = session.execute("SELECT total_votes FROM get_realtime_stats('moving')").fetchone()
                    for total in (
                        f"SELECT coalesce(sum(total_votes), 0) FROM get_match_aggregates('moving', bbox => '{box}')",
                        f"SELECT coalesce(sum(total_votes), 0) FROM get_match_aggregates('moving', 5, bbox => '{box}')",
                        f"SELECT coalesce(sum((f->'properties'->>'total')::bigint), 0) FROM json_array_elements(get_match_geojson('moving', bbox => '{box}')->'features') f",
                        f"SELECT total_votes FROM get_cell('moving', '{reference.cell_to_parent(cells[0], 0):x}') WHERE relation = 'self'",
                    ):
                        assert session.execute(total).fetchone()[0] == stats, total
                assert stats >= last
                last, reads = stats, reads + 1

    with harness.running(voter, voter, reader) as stop:
        harness.eventually("folds go on", lambda: db.value("SELECT count(*) FROM vote_agg.feed") > 20)
        stop.set()
