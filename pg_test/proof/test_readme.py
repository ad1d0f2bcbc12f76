"""README.md and docs/: their SQL runs as it stands, in order, one session a page; and the reference leaves nothing out."""

import json
import re

import pytest

from testkit import documents
from testkit.documents import LANGUAGES, MARKS, PAGES, REFERENCE, blocks, makes, name, script

MORE = [documents.ROOT / "ARCHITECTURE.md", documents.ROOT / "CONTRIBUTING.md"]
OF_SQL = [page for page in PAGES if script(page)[0].count("\n")]

# Commands that no test can run. A command that is not here runs.
ELSEWHERE = {
    ("README.md", "make demo"),
    ("README.md", "make test"),
    ("README.md", "make && sudo make install"),
    ("docs/client.md", "npm install ./vote-agg-client-0.1.0.tgz react h3-js"),
    ("docs/relay.md", "docker build -f relay/deploy/Dockerfile -t vote-agg-relay ."),
    ("docs/relay.md", "docker run -p 3001:3001 -e DATABASE_URL=postgres://dashboard:secret@db.example.org/votes vote-agg-relay"),
}


@pytest.fixture
def page_database(cluster):
    """A database named as in the pages. Roles are the cluster's, so they go with it."""
    cluster.sql("CREATE DATABASE votes")
    yield "votes"
    cluster.sql("DROP DATABASE votes WITH (FORCE)")
    for (role,) in cluster.sql(r"SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'"):
        cluster.sql(f"DROP ROLE {role}")


@pytest.mark.parametrize("page", OF_SQL, ids=name)
def test_every_statement_runs(cluster, page_database, page):
    if not makes(page, "CREATE EXTENSION vote_agg;"):
        cluster.sql("CREATE EXTENSION vote_agg", dbname=page_database)
    text, errors = script(page)
    path = cluster.path / "page.sql"
    path.write_text(text, encoding="utf-8")
    said = cluster.run("psql", "-X", "-q", "-h", cluster.path, "-U", "postgres", "-d", page_database, "-f", path)
    assert "it does not fail" not in said
    for error in errors:
        assert error in said, f"{error}\nis not in\n{said}"
    if name(page) == "README.md":
        assert cluster.sql("SELECT total_votes FROM get_realtime_stats('final')", dbname=page_database) == [(27,)]


def test_blocks_are_of_a_known_kind():
    pages = {name(page): blocks(page) for page in PAGES}
    assert {block.language for found in pages.values() for block in found} <= LANGUAGES
    assert {block.mark for found in pages.values() for block in found} <= MARKS
    for page in PAGES:
        assert len(blocks(page)) * 2 == page.read_text(encoding="utf-8").count("\n```"), name(page)
        for block in blocks(page):
            if block.language == "json":
                for line in re.split(r"\n(?=\{)", block.text):
                    json.loads(line)


def test_what_runs_elsewhere():
    commands = {
        (name(page), line.split("    #")[0].strip())
        for page in PAGES
        for block in blocks(page)
        if block.mark == "elsewhere"
        for line in block.text.splitlines()
    }
    assert commands == ELSEWHERE


def test_links_lead_somewhere():
    for page in [*PAGES, *MORE]:
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{name(page)}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in anchors, f"{name(page)}: {target}#{anchor}"


def test_files_that_are_named_exist():
    kinds = "src|core|relay|client|sql|pg_test|testkit|bench|scripts|fixtures"
    for page in [*PAGES, *MORE]:
        for path in re.findall(rf"`((?:{kinds})/[\w/.-]+)`", page.read_text(encoding="utf-8")):
            assert (documents.ROOT / path).exists(), f"{name(page)}: {path}"


def short(text):
    """A signature as the reference writes it."""
    for long, brief in (("timestamp with time zone", "timestamptz"), ("double precision", "float8"), (" DEFAULT ", " = ")):
        text = text.replace(long, brief)
    return re.sub(r"::[\w\[\]]+", "", text)


def test_the_reference_has_every_function(db):
    rows = db.sql("""
        SELECT CASE n.nspname WHEN 'vote_agg' THEN 'vote_agg.' ELSE '' END || p.proname, pg_get_function_arguments(p.oid),
               pg_get_function_result(p.oid), p.proargnames[p.pronargs + 1:]
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg' AND d.deptype = 'e'""")
    text = REFERENCE.read_text(encoding="utf-8")
    signatures = {line for block in blocks(REFERENCE) for line in block.text.splitlines()}
    internal = set(re.findall(r"`(vote_agg\.\w+)\(", text.split("### Internal")[1].split("\n## ")[0]))
    assert internal < {function for function, *_ in rows}
    documented = set()
    for function, arguments, result, columns in rows:
        if function in internal:
            continue
        inputs = ", ".join(part for part in short(arguments).split(", ") if not part.startswith("OUT "))
        signature = f"{function}({inputs}) → {short(result).split('(')[0]}"
        assert signature in signatures, signature
        documented.add(signature)
        section = text.split(signature)[1].split("```\n", 1)[1].split("```")[0]
        assert not columns or all(f"`{column}`" in section for column in columns), (signature, columns)
    assert signatures == documented, "the reference has more than the catalog"


def test_the_reference_has_every_setting_and_view(db):
    text = REFERENCE.read_text(encoding="utf-8")
    with db.connect() as session:
        session.execute("LOAD 'vote_agg'")
        rows = session.execute(r"SELECT name FROM pg_settings WHERE name LIKE 'vote\_agg.%'").fetchall()
    settings = {setting for (setting,) in rows} | {"vote_agg.databases"}  # which is there with preloading only
    section = text.split("\n## Settings\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(vote_agg\.\w+)`", section, re.MULTILINE)) == settings
    views = db.sql("SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = 'vote_agg'::regnamespace AND relkind = 'v'")
    lines = dict(re.findall(r"^\| `vote_agg\.(\w+)` \| (.*) \|$", text.split("\n## Views\n")[1].split("\n## ")[0], re.MULTILINE))
    assert lines.keys() == {view for view, _ in views}
    for view, column in views:
        assert f"`{column}`" in lines[view], (view, column)


def test_nothing_grows_too_long():
    assert len((documents.ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160
    words = [word for word in (documents.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split() if re.search(r"\w", word)]
    assert len(words) <= 1_000
