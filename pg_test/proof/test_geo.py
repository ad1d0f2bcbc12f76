"""Cells, points and outlines against the H3 reference library, PROOF_CELLS of them: no difference at all."""

import concurrent.futures
import json
import math
import multiprocessing
import os
import random
import sys

import h3.api.basic_int as reference
import psycopg
import pytest

from testkit import harness

NEAR = 1e-9  # degrees of a great circle: close to a pole, a degree of longitude is next to nothing
CHUNK = 20_000
PROCESSES = max(2, os.cpu_count())

# For a point: its cell. For a cell: its text, a parent, its neighbours in order of their numbers, its outline.
POINTS = "SELECT n, h3_from_lat_lng(lat, lng, r) FROM unnest(%s::float8[], %s::float8[], %s::int[]) WITH ORDINALITY AS p(lat, lng, r, n)"
CELLS = """COPY (
    SELECT c, to_hex(h3_parent(c, r)), h3_parent(to_hex(c), r), (SELECT array_agg(b ORDER BY b) FROM h3_neighbors(c) AS b),
           (SELECT array_agg(('x' || lpad(t, 16, '0'))::bit(64)::bigint ORDER BY t) FROM h3_neighbors(to_hex(c)) AS t), h3_to_geojson(c)
    FROM unnest('{{{}}}'::bigint[], '{{{}}}'::int[]) AS u(c, r)) TO STDOUT"""


def wrapped(lng):
    return (lng + 180) % 360 - 180


def corners(geometry):
    """The corners of an outline, those left out that a cut or a pole added."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    points = []
    for polygon in polygons:
        assert len(polygon) == 1 and polygon[0][0] == polygon[0][-1], geometry
        points += polygon[0][:-1]
    return [(lat, lng) for lng, lat in points if abs(lng) != 180]


def is_near(found, expected):
    (lat, lng), (other_lat, other_lng) = found, expected
    # Within a kilometre of a pole the reference itself is less exact: it has latitudes from an arcsine.
    across = max(math.cos(math.radians(lat)), 1e-9)
    near = max(NEAR, math.degrees(4 * sys.float_info.epsilon) / across)
    return abs(lat - other_lat) < near and abs(wrapped(lng - other_lng)) * across < near


def same_outline(cell, geometry):
    expected = reference.cell_to_boundary(cell)
    found = corners(geometry)
    if len(found) != len(expected):
        return False
    if geometry["type"] == "Polygon" and all(map(is_near, found, expected)):
        return True
    # Cut, or around a pole: the same corners, beginning elsewhere.
    left = list(found)
    for corner in expected:
        match = next((at for at in left if is_near(at, corner)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def compare_cells(session, cells, resolutions):
    """The cells of which anything differs."""
    wrong = []
    query = CELLS.format(",".join(map(str, cells)), ",".join(map(str, resolutions)))
    with session.cursor().copy(query) as copy:
        for row in copy.rows():
            cell, parent, parent_of_text, neighbors, neighbors_of_text, geometry = row
            cell = int(cell)
            around = reference.grid_disk(cell, 1)
            around.remove(cell)
            listed = "{" + ",".join(map(str, sorted(around))) + "}"
            right = reference.cell_to_parent(cell, reference.str_to_int(parent) >> 52 & 15) == reference.str_to_int(parent)
            right &= parent == parent_of_text and neighbors == neighbors_of_text == listed
            if not (right and same_outline(cell, json.loads(geometry))):
                wrong.append(row)
    assert copy  # read to its end
    return wrong


def compare_points(session, points):
    """The cells of points (lat, lng, resolution), and the points whose cell differs."""
    lats, lngs, resolutions = (list(column) for column in zip(*points))
    rows = session.execute(POINTS, (lats, lngs, resolutions)).fetchall()
    cells = [reference.latlng_to_cell(*point) for point in points]
    assert [n for n, _ in rows] == list(range(1, len(points) + 1))
    return cells, [(point, text, cell) for point, (_, text), cell in zip(points, rows, cells) if text != f"{cell:x}"]


def compare_chunk(dsn, seed, size):
    """A chunk of random points of all resolutions, and their cells."""
    rng = random.Random(seed)
    points = [
        (math.degrees(math.asin(rng.uniform(-1, 1))), rng.uniform(-180, 180), rng.randrange(16)) for _ in range(size)
    ]
    with psycopg.connect(dsn, autocommit=True) as session:
        cells, wrong = compare_points(session, points)
        return len(cells), (wrong + compare_cells(session, cells, [rng.randint(0, r) for _, _, r in points]))[:3]


@pytest.fixture
def pure(cluster, new_database):
    return new_database(cluster)


def test_random_cells(cluster, pure):
    chunks = [(f"{harness.SEED}/{start}", min(CHUNK, harness.CELLS - start)) for start in range(0, harness.CELLS, CHUNK)]
    compared = 0
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs = [pool.submit(compare_chunk, cluster.dsn(pure.name), *chunk) for chunk in chunks]
        for job in concurrent.futures.as_completed(jobs):
            count, wrong = job.result()
            compared += count
            assert not wrong
    assert compared == harness.CELLS


def test_where_it_is_special(pure):
    """All base cells, pentagons with all around them, poles, the antimeridian, the edges of the icosahedron."""
    cells = set(reference.get_res0_cells())
    for resolution in range(16):
        for pentagon in reference.get_pentagons(resolution):
            cells |= set(reference.grid_disk(pentagon, 3))
    for resolution in range(4):  # all cells, those across edges of the icosahedron among them
        cells |= set(reference.uncompact_cells(reference.get_res0_cells(), resolution))
    edges = (0.0, 1e-12, 1e-9, 0.1, 1.0)
    lats = [sign * (90 - edge) for edge in edges for sign in (-1, 1)] + [sign * edge for edge in edges for sign in (-1, 1)]
    lngs = [sign * (180 - edge) for edge in edges for sign in (-1, 1)] + [0.0, 190.0, -190.0, 360.0, 540.0, -720.5]
    points = [(lat, lng, r) for lat in lats for lng in lngs for r in range(16)]
    rng = harness.random_for("special")
    with pure.connect() as session:
        found, wrong = compare_points(session, points)
        assert not wrong[:3]
        cells = sorted(cells | set(found))
        assert not compare_cells(session, cells, [rng.randint(0, reference.get_resolution(cell)) for cell in cells])[:3]
    assert len(cells) > 50_000


def test_wider_neighbourhoods(pure):
    rng = harness.random_for("disks")
    origins = [reference.latlng_to_cell(math.degrees(math.asin(rng.uniform(-1, 1))), rng.uniform(-180, 180), r) for r in range(16) for _ in range(10)]
    origins += [pentagon for r in (0, 1, 5, 15) for pentagon in reference.get_pentagons(r)]
    with pure.connect() as session:
        for origin in origins:
            k = rng.randint(0, 12)
            found = [cell for (cell,) in session.execute("SELECT h3_neighbors(%s::bigint, %s)", (origin, k))]
            assert sorted([*found, origin]) == sorted(reference.grid_disk(origin, k))
            near = reference.grid_disk(origin, min(k, 1))
            assert set(found[: len(near) - 1]) == set(near) - {origin}, "the nearest come first"
