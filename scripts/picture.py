#!/usr/bin/python3
"""Draws a match as a map: a hexagon's colour is its leader, its strength how far that team leads there.

Connects as psql does (PGHOST, PGDATABASE and so on); the role needs what vote_agg.grant_reader gives. Writes SVG.
"""

import argparse
import math
import pathlib
import sys
from collections import defaultdict
from xml.sax.saxutils import escape

import psycopg

COUNTRIES = pathlib.Path(__file__).parent.parent / "fixtures" / "countries.tsv"
WIDTH, MARGIN, HEAD, FOOT = 1200, 24, 96, 40
HEXAGON = 80  # square pixels that one should have
WORLD_KM2, AREA_0 = 510_065_622, 4_357_449  # the Earth, and the mean cell of resolution 0; each step is a seventh
# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
TIE, SEA, LAND, BORDER, INK, FAINT = "#8a8a8a", "#ffffff", "#ecebe7", "#ffffff", "#222222", "#666666"
STEPS = [0.25, 0.5, 0.75, 1.0]  # of dominance
LIGHTEST = 0.35


class World:
    """Equal Earth, so that every hexagon has the size it has (Šavrič, Patterson and Jenny, 2018, doi 10.1080/13658816.2018.1504949)."""

    A1, A2, A3, A4, M = 1.340264, -0.081106, 0.000893, 0.003796, math.sqrt(3) / 2

    def __init__(self):
        right, top = self.raw(180, 0)[0], self.raw(0, 90)[1]
        self.scale = (WIDTH - 2 * MARGIN) / (2 * right)
        self.left, self.top = right, top
        self.height = 2 * top * self.scale
        self.pixels_per_km2 = 4 * math.pi * self.scale**2 / WORLD_KM2

    def raw(self, lng, lat):
        t = math.asin(self.M * math.sin(math.radians(lat)))
        slope = 9 * self.A4 * t**8 + 7 * self.A3 * t**6 + 3 * self.A2 * t**2 + self.A1
        return math.radians(lng) * math.cos(t) / (self.M * slope), self.A4 * t**9 + self.A3 * t**7 + self.A2 * t**3 + self.A1 * t

    def __call__(self, lng, lat):
        x, y = self.raw(lng, lat)
        return MARGIN + (x + self.left) * self.scale, HEAD + (self.top - y) * self.scale


class Region:
    """A part of the world around its middle, where a degree of longitude is as long as it is on that latitude."""

    def __init__(self, west, south, east, north):
        pad = 0.1 * max(east - west, north - south) + 0.02
        west, south, east, north = west - pad, max(south - pad, -85), east + pad, min(north + pad, 85)
        self.narrow = math.cos(math.radians((south + north) / 2))
        self.scale = min((WIDTH - 2 * MARGIN) / ((east - west) * self.narrow), 900 / (north - south))
        self.height = (north - south) * self.scale
        self.west, self.north = (west + east) / 2 - (WIDTH / 2 - MARGIN) / (self.scale * self.narrow), north
        self.pixels_per_km2 = (self.scale / 111.195) ** 2

    def __call__(self, lng, lat):
        return MARGIN + (lng - self.west) * self.narrow * self.scale, HEAD + (self.north - lat) * self.scale


def rings_of(geometry):
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [ring for polygon in polygons for ring in polygon]


def path(rings, project):
    """Rings as one path; steps from corner to corner in tenths of a pixel."""
    parts = []
    for ring in rings:
        points = [tuple(round(10 * part) for part in project(lng, lat)) for lng, lat in ring]
        steps = [(x - a, y - b) for (a, b), (x, y) in zip(points, points[1:-1])]
        parts.append(f"M{points[0][0] / 10:g} {points[0][1] / 10:g}l" + " ".join(f"{x / 10:g} {y / 10:g}" for x, y in steps) + "z")
    return "".join(parts)


def mixed(colour, share):
    """The colour thinned with white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def strength(dominance):
    """The step of a dominance, and how strong the colour is then."""
    step = next(i for i, limit in enumerate(STEPS) if dominance <= limit)
    return step, LIGHTEST + (1 - LIGHTEST) * step / (len(STEPS) - 1)


def view_of(cells):
    """The whole world, or the part where the cells are."""
    points = [point for feature in cells for ring in rings_of(feature["geometry"]) for point in ring]
    if not points:
        return World()
    lngs, lats = zip(*points)
    box = min(lngs), min(lats), max(lngs), max(lats)
    return Region(*box) if box[2] - box[0] < 90 and box[3] - box[1] < 60 else World()


def read(session, match):
    """The standing, the view and the cells of one moment."""
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with session.transaction():
        votes, total = session.execute("SELECT votes, total_votes FROM get_realtime_stats(%s)", [match]).fetchone()
        where = "SELECT get_match_geojson(%s, %s)->'features'"
        for known in (3, 6, 9, 12, 15):  # coarse cells show roughly where the match is, finer ones where in there
            view = view_of(session.execute(where, [match, known]).fetchone()[0])
            resolution = min(range(16), key=lambda r: abs(math.log(AREA_0 / 7**r * view.pixels_per_km2 / HEXAGON)))
            if resolution <= known:
                break
        return votes, total, view, resolution, session.execute(where, [match, resolution]).fetchone()[0]


def countries(view):
    lines = COUNTRIES.read_text(encoding="utf-8").splitlines()[1:]
    rings = [[tuple(map(float, point.split())) for point in ring.split(",")] for line in lines for ring in line.split("\t")[1].split(";")]
    return path(rings, view)


def globe(view):
    """The rim of the map."""
    sides = [(180 * side, lat * side) for side in (1, -1) for lat in range(-90, 91, 3)]
    return path([[*sides, sides[0]]], view)


def legend(votes, total, colours, steps):
    """The standing of the teams, each with its share and its range of strengths."""
    x, parts = MARGIN, []
    for team, number in sorted(votes.items(), key=lambda item: -item[1])[: len(COLOURS)]:
        share = f"{number:,} · {number / total:.1%}" if total else "0"
        parts += [
            f'<rect x="{x + 16 * i}" y="54" width="16" height="12" fill="{mixed(colours[team], strength(limit)[1])}"/>'
            for i, limit in enumerate(steps)
        ]
        parts.append(f'<text x="{x + 72}" y="65"><tspan class="team">{escape(team)}</tspan> {share}</text>')
        x += 100 + 9 * len(f"{team} {share}")
    parts.append(f'<rect x="{x}" y="54" width="16" height="12" fill="{TIE}"/><text x="{x + 24}" y="65">tie</text>')
    ends = ", ".join(f"{100 * limit:g}" for limit in steps)
    parts.append(f'<text x="{WIDTH - MARGIN}" y="34" class="faint" text-anchor="end">pale to strong: leads by up to {ends} % of the votes</text>')
    return parts


def draw(session, match):
    """The picture as SVG."""
    votes, total, view, resolution, cells = read(session, match)
    colours = dict(zip(votes, COLOURS + [TIE] * len(votes)))
    classes = defaultdict(list)
    for feature in cells:
        leader, dominance = feature["properties"]["leader"], feature["properties"]["dominance"]
        fill = mixed(colours[leader], strength(dominance)[1]) if leader is not None else TIE
        classes[fill] += rings_of(feature["geometry"])
    height = math.ceil(HEAD + view.height + FOOT)
    scale = AREA_0 / 7**resolution
    about = f"{len(cells):,} hexagons of H3 resolution {resolution}, about {scale:,.{0 if scale > 10 else 3}f} km² each · country outlines: Natural Earth"
    clip = f'<clipPath id="map"><rect x="{MARGIN}" y="{HEAD}" width="{WIDTH - 2 * MARGIN}" height="{view.height:.0f}"/></clipPath>'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>Votes of the match {escape(match)} by place</title>",
        f"<style>text{{font:15px system-ui,'DejaVu Sans',sans-serif;fill:{INK}}}.head{{font-size:22px;font-weight:600}}"
        f".team{{font-weight:600}}.faint{{font-size:13px;fill:{FAINT}}}</style>{clip}",
        f'<rect width="{WIDTH}" height="{height}" fill="{SEA}"/>',
        f'<text x="{MARGIN}" y="34" class="head">{escape(match)}: {total:,} votes</text>',
        *legend(votes, total, colours, STEPS),
        '<g clip-path="url(#map)">',
        *([f'<path d="{globe(view)}" fill="#f4f7fa"/>'] if isinstance(view, World) else []),
        f'<defs><path id="land" d="{countries(view)}" stroke-linejoin="round"/></defs><use href="#land" fill="{LAND}"/>',
        f'<g stroke="{BORDER}" stroke-width=".4" stroke-linejoin="round">',
        *(f'<path d="{path(rings, view)}" fill="{fill}"/>' for fill, rings in sorted(classes.items())),
        f'</g><use href="#land" fill="none" stroke="{INK}" stroke-opacity=".35" stroke-width=".6"/></g>',
        f'<text x="{MARGIN}" y="{height - 14}" class="faint">{about}</text>',
        "</svg>",
        "",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("match")
    parser.add_argument("file", type=pathlib.Path, help="the SVG file to write")
    args = parser.parse_args()
    try:
        with psycopg.connect(autocommit=True) as session:
            args.file.write_text(draw(session, args.match), encoding="utf-8")
    except (OSError, psycopg.Error) as error:
        sys.exit(str(error))
    print(f"{args.file}: {args.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
