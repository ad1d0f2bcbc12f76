"""The README's SQL runs as it stands, in order, in one session."""

import pathlib
import re

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_every_statement_runs(cluster):
    blocks = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 5
    cluster.sql("CREATE DATABASE readme")
    script = "\\set ON_ERROR_STOP 1\n" + "\n".join(blocks)
    try:
        path = cluster.path / "readme.sql"
        path.write_text(script, encoding="utf-8")
        cluster.run("psql", "-X", "-q", "-h", cluster.path, "-U", "postgres", "-d", "readme", "-f", path)
        assert cluster.sql("SELECT total_votes FROM get_realtime_stats('final')", dbname="readme") == [(33,)]
    finally:
        cluster.sql("DROP DATABASE readme WITH (FORCE)")
        cluster.sql("DROP ROLE IF EXISTS web_app, dashboard")
