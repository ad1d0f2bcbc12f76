"""README.md and docs/: their SQL runs as it stands, in order, one session a page; and the reference leaves nothing out."""

import json
import re

import pytest

from testkit import documents
from testkit.documents import LANGUAGES, MARKS, PAGES, REFERENCE, blocks, makes, name, script

MORE = [documents.ROOT / "ARCHITECTURE.md", documents.ROOT / "CONTRIBUTING.md", documents.ROOT / "SECURITY.md"]
OF_SQL = [page for page in PAGES if script(page)[0].count("\n")]

# Commands that no test can run. A command that is not here runs.
ELSEWHERE = {
    ("README.md", "make demo"),
    ("README.md", "make cluster"),
    ("docs/scale.md", "make cluster"),
    ("README.md", "make test"),
    ("README.md", "make && sudo make install"),
    ("README.md", "sudo apt install ./build/deb/*.deb"),
    ("docs/client.md", "npm install ./vote-agg-client-0.2.0.tgz react h3-js"),
    ("docs/maps.md", "npm install ./vote-agg-client-0.2.0.tgz react h3-js maplibre-gl @deck.gl/geo-layers @deck.gl/maplibre"),
    ("docs/monitoring.md", "DATA_SOURCE_NAME=postgres://dashboard:secret@localhost/votes prometheus-postgres-exporter --disable-default-metrics --extend.query-path=monitoring/queries.yaml"),
    ("docs/proxies.md", "vote-agg-relay --trusted-proxies=10.0.0.10 --admin=10.0.0.11:9001"),
    ("docs/root.md", "vote-agg-relay pull --root-url=postgres://puller:secret@root.example.org/votes --shards-file=/etc/vote-agg/shards"),
    ("docs/relay.md", "curl --fail --silent --request DELETE 'http://127.0.0.1:9001/clients?sub=4711'"),
    ("README.md", "docker compose up --build"),
    ("docs/containers.md", "READER_PASSWORD=secret WRITER_PASSWORD='change me' docker compose up --build"),
    ("docs/containers.md", "docker compose exec server psql votes -c \"SELECT record_vote('final', 'home', '872a1072bffffff', 'US')\""),
    ("docs/kubernetes.md", "docker build -f packaging/images/extension.Dockerfile -t registry.example.org/vote-agg:18 ."),
    ("docs/kubernetes.md", "kubectl cnpg psql votes -- votes -c \"SELECT vote_agg.grant_reader('dashboard')\""),
    ("docs/kubernetes.md", "kubectl create secret generic vote-agg-relay --from-literal=DATABASE_URL=postgres://dashboard:secret@votes-ro/votes"),
    ("docs/kubernetes.md", "kubectl apply -f packaging/kubernetes/relay.yaml"),
    ("docs/relay.md", 'socket.emit("match:join", { matchId: "final", resolution: 7, bundle: true, area: ["841fb47ffffffff", "841fb41ffffffff"] });'),
    ("docs/relay.md", 'socket.emit("match:join", { matchId: "final", resolution: 7, bundle: true, area: next, from: area, sinceSeq, epoch });'),
}


@pytest.fixture
def page_database(cluster):
    """A database named as in the pages. Roles are the cluster's, so they go with it."""
    cluster.sql("CREATE DATABASE votes")
    yield "votes"
    # And those that a page makes beside it.
    for (database,) in cluster.sql("SELECT quote_ident(datname) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"):
        cluster.sql(f"DROP DATABASE {database} WITH (FORCE)")
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
    kinds = "src|core|relay|client|sql|pg_test|testkit|bench|scripts|fixtures|monitoring|packaging"
    for page in [*PAGES, *MORE]:
        for path in re.findall(rf"`((?:{kinds})/[\w/.-]+)`", page.read_text(encoding="utf-8")):
            assert (documents.ROOT / path).exists(), f"{name(page)}: {path}"


def short(text):
    """A signature as the reference writes it."""
    for long, brief in (("timestamp with time zone", "timestamptz"), ("double precision", "float8"), (" DEFAULT ", " = ")):
        text = text.replace(long, brief)
    return re.sub(r"::[\w\[\]]+", "", text)


FUNCTIONS = """
    SELECT CASE WHEN n.nspname LIKE 'vote\\_agg%' THEN n.nspname || '.' ELSE '' END || p.proname, pg_get_function_arguments(p.oid),
           pg_get_function_result(p.oid), p.proargnames[p.pronargs + 1:]
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname IN ('vote_agg', 'vote_agg_front') AND d.deptype = 'e'"""


def test_the_reference_has_every_function(cluster, db, new_database):
    front = new_database(cluster, extension=False)
    front.sql("CREATE EXTENSION vote_agg_front CASCADE")
    rows = db.sql(FUNCTIONS) + front.sql(FUNCTIONS)
    text = REFERENCE.read_text(encoding="utf-8")
    signatures = {line for block in blocks(REFERENCE) for line in block.text.splitlines()}
    internal = set(re.findall(r"`(vote_agg(?:_front)?\.\w+)\(", text.split("### Internal")[1].split("\n## ")[0]))
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
