"""The step from 0.1.0: a database that took it is what a new one is, object by object, and counts what it counted."""

import concurrent.futures
import json
import pathlib
import re
import subprocess

import psycopg
import pytest

from testkit import cluster as clusters
from testkit.harness import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "sql" / "vote_agg--0.1.0.sql"
HERE = ROOT / "pg_test" / "upgrade"
WANTED = re.search(r"default_version = '(.*)'", (ROOT / "vote_agg.control").read_text())[1]

MEMBERS = """SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE e.extname = 'vote_agg' AND d.deptype = 'e'"""
ACL = "(SELECT array_agg(concat_ws(' ', coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC'), x.privilege_type, x.is_grantable) ORDER BY 1) FROM aclexplode({}) x)"
# What the extension is: each query gives the name of an object and all that it has.
OBJECTS = {
    "functions": f"""SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proowner = e.extowner, {ACL.format("coalesce(p.proacl, acldefault('f', p.proowner))")},
        obj_description(p.oid, 'pg_proc') FROM pg_proc p JOIN ({MEMBERS}) m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid, pg_extension e
        WHERE e.extname = 'vote_agg'""",
    "relations": f"""SELECT c.oid::regclass::text, c.relkind, c.relreplident, c.relpersistence, c.reloptions, a.amname, {ACL.format("c.relacl")},
        obj_description(c.oid, 'pg_class'), CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
        (SELECT to_jsonb(s) - 'seqrelid' FROM pg_sequence s WHERE s.seqrelid = c.oid),
        c.oid IN (SELECT objid FROM ({MEMBERS}) m)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam WHERE n.nspname LIKE 'vote\\_agg%'""",
    "columns": f"""SELECT a.attrelid::regclass || '.' || a.attname, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
        a.attcollation::regcollation::text, a.attnotnull, a.attstattarget, a.attstorage, a.attcompression, {ACL.format("a.attacl")},
        pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE n.nspname LIKE 'vote\\_agg%' AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": """SELECT x.conrelid::regclass || '.' || x.conname, pg_get_constraintdef(x.oid), x.convalidated, obj_description(x.oid, 'pg_constraint')
        FROM pg_constraint x JOIN pg_namespace n ON n.oid = x.connamespace WHERE n.nspname LIKE 'vote\\_agg%'""",
    "indexes": """SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'vote\\_agg%'""",
    "event triggers": """SELECT t.evtname, t.evtevent, t.evttags, t.evtfoid::regprocedure::text, t.evtenabled, obj_description(t.oid, 'pg_event_trigger')
        FROM pg_event_trigger t""",
    "schemas": f"""SELECT n.nspname, {ACL.format("n.nspacl")}, obj_description(n.oid, 'pg_namespace') FROM pg_namespace n WHERE n.nspname LIKE 'vote\\_agg%'""",
    "extension": """SELECT e.extname, e.extversion, e.extrelocatable, e.extnamespace::regnamespace::text, obj_description(e.oid, 'pg_extension'),
        (SELECT array_agg(c.id::regclass || ' ' || c.condition ORDER BY 1) FROM unnest(e.extconfig, e.extcondition) c(id, condition))
        FROM pg_extension e WHERE e.extname = 'vote_agg'""",
}


def surface(db):
    """Every object of the extension, by its kind and name."""
    found = {(kind, row[0]): row[1:] for kind, query in OBJECTS.items() for row in db.sql(query)}
    assert len(found) > 250
    return found


def differences(one, other):
    return {key: (one.get(key), other.get(key)) for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """A library with the functions of 0.1.0 that do nothing: that version was never released, and nobody has its library. A control
    file of that version alone names it, and goes at the end."""
    names = sorted(set(re.findall(r"'MODULE_PATHNAME', '(\w+)'", SCRIPT.read_text())))
    path = tmp_path_factory.mktemp("stub")
    path.chmod(0o755)
    source = path / "vote_agg_0_1_0.c"
    functions = "".join(f"PG_FUNCTION_INFO_V1({name});\nDatum {name}(PG_FUNCTION_ARGS) {{ fcinfo->isnull = fcinfo->context == NULL; return (Datum) 0; }}\n" for name in names)
    source.write_text(f'#include "postgres.h"\n#include "fmgr.h"\nPG_MODULE_MAGIC;\n{functions}')
    asked = [clusters.BIN / "pg_config", "--includedir-server", "--sharedir"]
    include, share = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split("\n")[:2]
    library = path / "vote_agg_0_1_0.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", "-o", library, source], check=True)
    for folder in [path, *path.parents]:
        if folder.stat().st_uid == path.stat().st_uid and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    control = pathlib.Path(share) / "extension" / "vote_agg--0.1.0.control"
    control.write_text(f"module_pathname = '{library}'\n")
    yield
    control.unlink()


@pytest.fixture
def old(stub, new_database, cluster):
    """A database of 0.1.0 as its own fold, ballots and attached tables left it."""
    db = new_database(cluster, extension=False)
    db.configure(worker="off")
    db.sql("CREATE EXTENSION vote_agg VERSION '0.1.0'")
    with db.connect() as session:
        session.execute("SET session_replication_role = replica")
        session.execute((HERE / "0.1.0.sql").read_text())
    return db


def update(db):
    db.sql("ALTER EXTENSION vote_agg UPDATE")


def test_it_is_what_a_new_one_is(old, new_database, cluster):
    new = new_database(cluster)
    wanted = surface(new)
    update(old)
    assert not differences(surface(old), wanted)
    # Each of these would be an object that the step forgot.
    for forgotten in (
        "COMMENT ON FUNCTION retract_vote(text, text) IS NULL",
        "GRANT EXECUTE ON FUNCTION retract_vote(text, text) TO PUBLIC",
        "ALTER TABLE vote_agg.ballot DROP COLUMN turn",
        "ALTER EXTENSION vote_agg DROP FUNCTION check_door(text); DROP FUNCTION check_door(text)",
        "ALTER TABLE vote_agg.feed ALTER COLUMN body SET STATISTICS 7",
        "ALTER TABLE vote_agg.timeline RESET (fillfactor)",
    ):
        with old.connect() as session, session.transaction(force_rollback=True):
            session.execute(forgotten)
            found = {(kind, row[0]): row[1:] for kind, query in OBJECTS.items() for row in session.execute(query).fetchall()}
            assert differences(found, wanted), forgotten


def test_it_counts_what_it_counted(old):
    # The state of a table whose rows are counted has another name now.
    before = json.loads((HERE / "0.1.0.json").read_text().replace(" counting\"", " live\""))
    feed = old.sql("SELECT match_id, seq, epoch, body FROM vote_agg.feed ORDER BY 1, 2")
    update(old)
    assert old.sql("SELECT match_id, seq, epoch, body FROM vote_agg.feed ORDER BY 1, 2") == feed and feed
    for query, rows in before.items():
        assert [row[0] for row in old.sql(query)] == rows, query
    old.settle()
    for query, rows in before.items():
        assert [row[0] for row in old.sql(query)] == rows, query
    assert old.pending() == 0


# A table that was being attached: 0.1.0 made these triggers, and has counted nothing of it yet.
FILLING = """
CREATE TABLE late (id int, match_id text, team_choice text);
INSERT INTO late SELECT n, 'late', 'home' FROM generate_series(1, 50) n;
CREATE TRIGGER vote_agg_insert AFTER INSERT ON late REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
CREATE TRIGGER vote_agg_update AFTER UPDATE ON late REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION vote_agg.count_rows();
CREATE TRIGGER vote_agg_delete AFTER DELETE ON late REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
CREATE TRIGGER vote_agg_truncate BEFORE TRUNCATE ON late FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
INSERT INTO vote_agg.source (relation, number, state, match_column, team_column, attached_at)
    VALUES ('late', nextval('vote_agg.source_number'), 'filling', 'match_id', 'team_choice', now());
INSERT INTO late VALUES (51, 'late', 'away');
INSERT INTO vote_agg.source_delta (votes, at, source, in_total, match_id, team_choice)
    SELECT 1, now(), number, true, 'late', 'away' FROM vote_agg.source WHERE relation = 'late'::regclass;
"""


def test_it_goes_on(old):
    old.sql(FILLING)
    for role in ("step_reader", "step_writer"):
        old.sql(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    old.sql("SELECT vote_agg.grant_reader('step_reader'), vote_agg.grant_writer('step_writer')")
    seq, epoch = old.sql("SELECT seq, epoch FROM vote_agg.feed WHERE match_id = 'rows' ORDER BY seq DESC LIMIT 1")[0]
    before = old.value("SELECT votes FROM vote_agg.feed WHERE match_id = 'rows' ORDER BY seq DESC LIMIT 1")
    update(old)
    with old.connect() as session:
        session.execute("INSERT INTO plain VALUES (1001, 'rows', 'home')")
        session.execute("INSERT INTO late VALUES (52, 'late', 'away')")
        while session.execute("SELECT vote_agg.fill()").fetchone()[0] is not None:
            pass
        session.execute("UPDATE parted SET id = 30 WHERE id = 110")  # to the other partition
        session.execute("SET ROLE step_writer")
        assert session.execute("SELECT array_agg(outcome) FROM cast_votes('{poll}', '{a new voter}', '{yes}', turns => '{1}')").fetchone()[0] == ["counted"]
        session.execute("SET ROLE step_reader")
        session.execute("SELECT * FROM vote_agg.stat_aside, vote_agg.status()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT record_vote('final', 'home')")
    old.settle()
    for match in ("poll", "rows", "late"):
        assert not old.sql("SELECT check_name, expected, found FROM verify_match(%s) WHERE NOT ok", match), match
    eventually("the end that was waited for is final", lambda: old.sql("SELECT vote_agg.fold()") and old.value("SELECT status FROM get_realtime_stats('ending')") == "final")
    assert old.value("SELECT votes FROM get_realtime_stats('late')") == {"home": 50, "away": 2}
    now = old.sql("SELECT seq, epoch, votes FROM vote_agg.feed WHERE match_id = 'rows' ORDER BY seq DESC LIMIT 1")[0]
    assert now[0] > seq and now[1] != epoch and sum(now[2]) >= sum(before) + 1
    states = dict(old.sql("SELECT check_name, state FROM vote_agg.status()"))
    assert states.pop("settings", "ok") and set(states.values()) == {"ok"}, states


def test_a_writer_of_an_attached_table_and_the_step_wait_in_one_order(old):
    """The step waits for the writer, who then needs a table of ours: that must not be locked yet."""
    with old.connect() as dba, concurrent.futures.ThreadPoolExecutor(1) as pool, old.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE parted IN ROW EXCLUSIVE MODE")
        step = pool.submit(dba.execute, "ALTER EXTENSION vote_agg UPDATE")
        waits = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
        eventually("the step waits", lambda: old.value(waits, dba.info.backend_pid) == 1)
        writer.execute("LOCK TABLE vote_agg.pending_1 IN ROW EXCLUSIVE MODE NOWAIT")
        writer.execute("COMMIT")
        step.result()
    assert old.value("SELECT extversion FROM pg_extension WHERE extname = 'vote_agg'") == WANTED


def test_a_step_that_fails_changes_nothing(old):
    before = surface(old)
    rows = old.sql("SELECT count(*) FROM vote_agg.ballot")
    with old.connect() as session, pytest.raises(psycopg.errors.ActiveSqlTransaction), session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("ALTER EXTENSION vote_agg UPDATE")
    for what in ("vote_agg.live", "vote_agg.ballot"):
        old.sql(f"CREATE VIEW mine AS SELECT match_id FROM {what}")
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            update(old)
        old.sql("DROP VIEW mine")
    assert not differences(surface(old), before) and old.sql("SELECT count(*) FROM vote_agg.ballot") == rows
    update(old)
    assert old.value("SELECT extversion FROM pg_extension WHERE extname = 'vote_agg'") == WANTED
