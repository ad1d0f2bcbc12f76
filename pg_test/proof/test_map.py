"""GeoJSON by an independent validator, vector tiles by an independent decoder, both against the numbers of SQL."""

import math

import h3.api.basic_int as reference
import mapbox_vector_tile
import psycopg
import pytest
import shapely
from shapely import affinity
from shapely.geometry import Polygon, box, shape

from testkit import harness
from worldwide_match import WorldwideMatch, all_cells, random_cell, standing

RESOLUTIONS = (1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 10, 11, 12, 13, 13, 14, 15, 15, 15, 15, 15)  # by zoom, as documented
TILES = 200
EXTENT, BUFFER = 4096, 64


def spherical_area(geometry):
    """The area on the unit sphere, edges being arcs of great circles, or lying along a pole."""

    def under(a, b):
        (lng, lat), (next_lng, next_lat) = ([math.radians(degrees) for degrees in corner] for corner in (a, b))
        if abs(a[1]) == abs(b[1]) == 90:
            return (next_lng - lng) * math.copysign(1, lat)
        s, t = math.tan(lat / 2), math.tan(next_lat / 2)
        return 2 * math.atan2(math.tan((next_lng - lng) / 2) * (s + t), 1 + s * t)

    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return -sum(under(a, b) for polygon in polygons for ring in polygon for a, b in zip(ring, ring[1:]))


def features(db, call, *params):
    """The features of a FeatureCollection, each a valid, counterclockwise part of the map."""
    collection = db.value(f"SELECT {call}", *params)
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        geometry = shape(feature["geometry"])
        assert feature["type"] == "Feature" and geometry.is_valid, (feature, shapely.is_valid_reason(geometry))
        assert box(-180, -90, 180, 90).covers(geometry)
        for part in getattr(geometry, "geoms", [geometry]):
            assert part.exterior.is_ccw and not any(hole.is_ccw for hole in part.interiors), "RFC 7946, 3.1.6"
    return collection["features"]


def test_every_cell_is_valid_and_has_its_area(still):
    rng = harness.random_for("geojson")
    around = [cell for r in (1, 5, 7) for pentagon in reference.get_pentagons(r) for cell in reference.grid_disk(pentagon, 1)]
    meridian = [reference.latlng_to_cell(lat / 10, 180, r) for lat in range(-899, 900, 7) for r in (3, 5, 8)]
    poles = [reference.latlng_to_cell(lat, 0, r) for lat in (-90, 90) for r in range(10)]
    for name, cells in {
        "res 0": all_cells(0),
        "res 1": all_cells(1),
        "res 3": all_cells(3),
        "mixed": around + meridian + poles + [random_cell(rng, 0, 9) for _ in range(5_000)],
    }.items():
        worldwide = WorldwideMatch(still, name).vote(rng, cells)
        still.settle()
        found = features(still, "get_match_geojson(%s)", name)
        assert len(found) == len(worldwide.votes)
        total = 0
        for feature in found:
            cell, properties = int(feature["id"], 16), feature["properties"]
            votes = worldwide.votes[cell]
            leader, dominance = standing(votes)
            assert properties.pop("dominance") == pytest.approx(dominance)
            assert properties == {
                "h3_index": feature["id"], "resolution": reference.get_resolution(cell),
                "votes": dict(votes), "total": votes.total(), "leader": leader,
            }
            area = spherical_area(feature["geometry"])
            assert area == pytest.approx(reference.cell_area(cell, "rads^2"), rel=1e-5), feature
            total += area
        if name.startswith("res"):
            assert total == pytest.approx(4 * math.pi, rel=1e-9), "the whole sphere"


def test_geojson_takes_the_same_filters_as_the_rows(still):
    rng = harness.random_for("filters")
    worldwide = WorldwideMatch(still, "filters").vote(rng, [random_cell(rng, 2, 9) for _ in range(3_000)])
    for resolution, least, bbox in ((3, 1, None), (5, 4, None), (None, 1, [160.0, -50.0, -120.0, 60.0]), (2, 3, [-20.0, -90.0, 60.0, 30.0])):
        collection = features(still, "get_match_geojson('filters', %s, %s, %s::float8[])", resolution, least, bbox)
        rows = worldwide.read(", %(r)s, %(least)s, bbox => %(box)s::float8[]", r=resolution, least=least, box=bbox)
        assert {int(f["id"], 16): f["properties"]["total"] for f in collection} == {cell: row[0] for cell, row in rows.items()}
        assert rows
    assert features(still, "get_match_geojson('filters', min_votes => 1000000)") == []
    assert features(still, "get_match_geojson('no such match')") == []


def test_territories(still):
    """They cover what their cells cover, hang together, touch no other of the same leader, and keep the sums."""
    rng = harness.random_for("territories")
    for name, cells in {"world": all_cells(2), "thin": rng.sample(sorted(all_cells(3)), 20_000)}.items():
        worldwide = WorldwideMatch(still, name).vote(rng, cells)
        found = features(still, "get_match_geojson(%s, territories => true)", name)
        leads = {cell: standing(votes)[0] for cell, votes in worldwide.votes.items()}
        groups, seen = [], set()
        for cell in leads:
            if cell not in seen:
                group, border = {cell}, [cell]
                while border:
                    near = [n for n in reference.grid_disk(border.pop(), 1) if n in leads and leads[n] == leads[cell] and n not in group]
                    group.update(near)
                    border += near
                groups.append(group)
                seen |= group
        expected = sorted(
            (str(leads[next(iter(g))]), len(g), sum(worldwide.votes[c].total() for c in g), sum(reference.cell_area(c, "rads^2") for c in g))
            for g in groups
        )
        shown = sorted(
            (str(p["leader"]), p["cells"], p["total"], spherical_area(f["geometry"])) for f in found for p in [f["properties"]]
        )
        assert len(shown) == len(expected)
        for a, b in zip(shown, expected):
            assert a[:3] == b[:3] and a[3] == pytest.approx(b[3], rel=1e-6)
        areas = [shape(feature["geometry"]) for feature in found]
        assert shapely.area(areas).sum() == pytest.approx(shapely.unary_union(areas).area, rel=1e-9), "none overlap"
        assert sum(p["total"] for p in (f["properties"] for f in found)) == sum(v.total() for v in worldwide.votes.values())


def project(lat, lng):
    """Web Mercator: the map is the square from 0 to 1."""
    lat = math.radians(max(-89.9, min(89.9, lat)))
    return (lng + 180) / 360, (1 - math.asinh(math.tan(lat)) / math.pi) / 2


class Drawn:
    """Cells as polygons of the map, once for each time that one may show; those around a pole are left out."""

    def __init__(self, cells):
        self.of, polygons = [], []
        for cell in cells:
            corners = list(reference.cell_to_boundary(cell))
            for i in range(1, len(corners)):
                lat, lng = corners[i]
                corners[i] = (lat, lng + 360 * round((corners[i - 1][1] - lng) / 360))
            if abs(corners[-1][1] - corners[0][1]) < 180:
                self.of += [cell] * 3
                polygons += [Polygon([project(lat, lng + turn) for lat, lng in corners]) for turn in (-360, 0, 360)]
        self.polygons = shapely.STRtree(polygons)

    def parts(self, z, x, y):
        """The part of each cell in a tile with its buffer, in the tile's units, by cell."""
        n, parts = 2**z, {}
        reach = BUFFER / EXTENT
        square = box((x - reach) / n, (y - reach) / n, (x + 1 + reach) / n, (y + 1 + reach) / n)
        for place in self.polygons.query(square, predicate="intersects"):
            part = self.polygons.geometries[place].intersection(square)
            moved = affinity.affine_transform(part, [n * EXTENT, 0, 0, n * EXTENT, -x * EXTENT, -y * EXTENT])
            parts[self.of[place]] = parts.get(self.of[place], Polygon()).union(moved)
        return parts


def compare_tile(tile, z, x, y, rows, drawn):
    """Every cell that shows in the tile is there, with its numbers and its outline, and no other; returns how many."""
    decoded = mapbox_vector_tile.decode(tile, default_options={"y_coord_down": True}) if tile else {}
    assert decoded.keys() <= {"votes"}
    layer = decoded.get("votes", {"features": [], "extent": EXTENT, "version": 2})
    assert (layer["extent"], layer["version"]) == (EXTENT, 2)
    found = {int(feature["properties"]["h3_index"], 16): feature for feature in layer["features"]}
    assert len(found) == len(layer["features"])
    inner, outer = box(0, 0, EXTENT, EXTENT), box(-BUFFER, -BUFFER, EXTENT + BUFFER, EXTENT + BUFFER)
    parts = drawn.parts(z, x, y)
    missing = [f"{cell:x}" for cell in parts.keys() - found.keys() if parts[cell].intersection(inner).area > 4]
    assert not missing
    for cell, feature in found.items():
        total, votes, leader, dominance = rows[cell]
        properties = feature["properties"]
        assert properties.pop("h3_index") == f"{cell:x}" and properties.pop("dominance") == pytest.approx(dominance)
        assert properties.pop("leader", None) == leader and properties.pop("total") == total
        assert properties == {f"votes_{team}": n for team, n in votes.items()}
        geometry = shape(feature["geometry"])
        assert geometry.is_valid and outer.covers(geometry) and geometry.area > 0, (f"{cell:x}", shapely.is_valid_reason(geometry))
        assert cell not in drawn.of or parts[cell].hausdorff_distance(geometry) < 1.5, f"{cell:x}"
    return len(found)


def test_tiles_show_the_same_numbers(still):
    rng = harness.random_for("tiles")
    worldwide = WorldwideMatch(still, "tiles")
    town = reference.grid_disk(reference.latlng_to_cell(48.85, 2.35, 9), 25)
    fiji = reference.grid_disk(reference.latlng_to_cell(-17, 180, 7), 15)
    poles = [reference.latlng_to_cell(lat, 0, r) for lat in (-90, 90) for r in (1, 3)]
    worldwide.vote(rng, [random_cell(rng, 2, 9) for _ in range(4_000)] + town + fiji + poles)
    still.settle()
    worldwide.vote(rng, rng.sample(town, 200))  # pending
    rows, drawn, shown, empty = {}, {}, 0, 0
    for n in range(TILES):
        z = n % 15
        x, y = rng.randrange(2**z), rng.randrange(2**z)
        if n % 3:  # where somebody voted
            lat, lng = reference.cell_to_latlng(rng.choice((rng.choice(town), rng.choice(fiji), rng.choice(sorted(worldwide.votes)))))
            x, y = (min(2**z - 1, int(share * 2**z)) for share in project(max(-85, min(85, lat)), lng))
        resolution = RESOLUTIONS[z]
        if resolution not in rows:
            rows[resolution] = worldwide.read(", %(resolution)s", resolution=resolution)
            drawn[resolution] = Drawn(rows[resolution])
        tile = still.value("SELECT get_match_tile('tiles', %s, %s, %s)", z, x, y)
        count = compare_tile(tile, z, x, y, rows[resolution], drawn[resolution])
        shown += count
        empty += tile == b""
        assert (count == 0) == (tile == b"")
    assert shown > 5_000 and 5 < empty < TILES // 2


def test_a_tile_server_can_call_it(still):
    """The contract of a function layer: arguments named z, x, y come first, all by name, bytea comes out."""
    still.sql("SELECT record_vote('layer', 'home', '872a1072bffffff')")
    (names,) = still.sql("""SELECT p.proargnames FROM pg_proc p WHERE p.proname = 'match_tile' AND p.prorettype = 'bytea'::regtype
        AND p.proargnames[1:3] = '{z,x,y}' AND p.proargtypes::text LIKE '23 23 23 %'""")[0]
    assert names == ["z", "x", "y", "match_id", "layer"]
    tile = still.value("SELECT match_tile(z => %s, x => %s, y => %s, match_id => %s, layer => 'fans')", 0, 0, 0, "layer")
    assert mapbox_vector_tile.decode(tile)["fans"]["features"][0]["properties"]["total"] == 1
    assert still.value("SELECT match_tile(0, 0, 0, 'nothing')") == b""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="x must be between 0 and 2\\^z - 1, not 2"):
        still.value("SELECT get_match_tile('layer', 1, 2, 0)")
