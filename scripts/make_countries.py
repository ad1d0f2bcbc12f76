#!/usr/bin/python3
"""Makes fixtures/countries.tsv: outlines of the world's countries, from Natural Earth, for scripts/picture.py.

The outlines come from a pinned package, so the file comes out the same every time. Run scripts/setup first.
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
COUNTRIES = ROOT / "fixtures" / "countries.tsv"
PACKAGES = ["geopandas==0.14.4", "pyshp==3.1.6"]  # the last with the outlines in it, and a reader of their format
DIGITS = 1  # a tenth of a degree: a third of a pixel on the picture


def rings(shape):
    """The rings of a country as text, points that fall together once only."""
    starts = [*shape.parts, len(shape.points)]
    for start, end in zip(starts, starts[1:]):
        points = [f"{lng:.{DIGITS}f} {lat:.{DIGITS}f}" for lng, lat in shape.points[start:end]]
        kept = [point for point, before in zip(points, [None, *points]) if point != before]
        if len(kept) > 3:
            yield ",".join(kept)


def main():
    with tempfile.TemporaryDirectory() as site:
        subprocess.run([ROOT / "build/venv/bin/pip", "install", "--quiet", "--no-deps", "--target", site, *PACKAGES], check=True)
        sys.path.insert(0, site)
        import shapefile

        lines = ["name\trings"]
        with shapefile.Reader(str(pathlib.Path(site, "geopandas/datasets/naturalearth_lowres/naturalearth_lowres"))) as reader:
            for country in reader.iterShapeRecords():
                lines.append(f"{country.record['name']}\t{';'.join(rings(country.shape))}")
    COUNTRIES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{COUNTRIES}: {len(lines) - 1} countries")


if __name__ == "__main__":
    main()
