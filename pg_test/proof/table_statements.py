"""Random statements on attached tables, and the recount that everything read must equal."""

import json

from vote_calls import CELLS, COUNTRIES, TEAMS

MATCHES = ("a", "b", "Ünïted; --")
PLAIN, PARTED = "app.plain", "app.parted"
COLUMNS = "match_id text, team app.team, h3 bigint, cc app.country, person int REFERENCES app.people ON DELETE CASCADE ON UPDATE CASCADE, note int"
SCHEMA = f"""
CREATE SCHEMA app;
CREATE DOMAIN app.team AS text CHECK (value <> 'never');
CREATE TYPE app.country AS ENUM ({", ".join(f"'{code}'" for code in (*COUNTRIES, "QQ"))});
CREATE TABLE app.people (id int PRIMARY KEY);
CREATE TABLE {PLAIN} (id bigserial, k int, {COLUMNS}, PRIMARY KEY (id, k));
CREATE TABLE {PARTED} (id bigserial, k int, {COLUMNS}, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE app.part_0 PARTITION OF {PARTED} FOR VALUES FROM (0) TO (2);
CREATE TABLE app.part_1 PARTITION OF {PARTED} FOR VALUES FROM (2) TO (4) PARTITION BY LIST (k);
CREATE TABLE app.part_1a PARTITION OF app.part_1 FOR VALUES IN (2);
CREATE TABLE app.part_1b PARTITION OF app.part_1 FOR VALUES IN (3);
ALTER SEQUENCE app.plain_id_seq RESTART 1000; -- what is below is for conflicts
ALTER SEQUENCE app.parted_id_seq RESTART 1000;
"""
ATTACH = "SELECT attach_votes(%s::regclass, team_choice => 'team', h3_index => 'h3', country_code => 'cc')"

ROWS = " UNION ALL ".join(f"SELECT match_id, team::text, h3, cc::text FROM {table}" for table in (PLAIN, PARTED))


def differences(rows):
    """A query for what is read and not in these rows of attached tables, or in them and not read: none, where all is well."""
    votes = f"({rows}) AS r WHERE match_id IS NOT NULL AND team IS NOT NULL"
    return f"""
WITH m AS MATERIALIZED (SELECT match_id FROM vote_agg.matches() AS m(match_id)),
read AS (
    SELECT m.match_id, 'total' AS what, NULL AS place, v.key AS team, v.value::bigint AS votes
    FROM m, get_realtime_stats(m.match_id) s, jsonb_each_text(s.votes) v WHERE v.value <> '0'
    UNION ALL
    SELECT m.match_id, 'cell', a.h3_index, v.key, v.value::bigint FROM m, get_match_aggregates(m.match_id) a, jsonb_each_text(a.votes) v
    UNION ALL
    SELECT m.match_id, 'country', a.country_code, v.key, v.value::bigint
    FROM m, get_country_aggregates(m.match_id) a, jsonb_each_text(a.votes) v
    UNION ALL
    SELECT m.match_id, 'timeline', NULL, t.team_choice, sum(t.votes)::bigint
    FROM m, get_match_timeline(m.match_id) t GROUP BY 1, 4 HAVING sum(t.votes) <> 0
    UNION ALL
    SELECT m.match_id, 'source', concat_ws(' ', s.h3_index, s.country_code), s.team_choice, sum(s.votes)::bigint
    FROM m, vote_agg.recount_sources(m.match_id) s GROUP BY 1, 3, 4
), found AS (
    SELECT match_id, 'total', NULL, team, count(*) FROM {votes} GROUP BY 1, 4
    UNION ALL
    SELECT match_id, 'cell', to_hex(h3), team, count(*) FROM {votes} AND h3 IS NOT NULL GROUP BY 1, 3, 4
    UNION ALL
    SELECT match_id, 'country', cc, team, count(*) FROM {votes} AND cc IS NOT NULL GROUP BY 1, 3, 4
    UNION ALL
    SELECT match_id, 'timeline', NULL, team, count(*) FROM {votes} GROUP BY 1, 4
    UNION ALL
    SELECT match_id, 'source', concat_ws(' ', h3, cc), team, count(*) FROM {votes} GROUP BY 1, 3, 4
)
(TABLE read EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE read)
"""


DIFFERENCES = differences(ROWS)


REFUSED = "/* refused */ "
# Changes that no trigger would see, of a table that is attached. `{}` is the table.
UNSEEN = (
    "ALTER TABLE {} ALTER team TYPE text USING 'x' || team",
    "ALTER TABLE {} ALTER match_id TYPE char(40)",
    "ALTER TABLE {} ALTER cc TYPE text",
    "ALTER TABLE {} DROP COLUMN team",
    "ALTER TABLE {} DROP COLUMN h3, ADD COLUMN h3 bigint DEFAULT 608725951823478783",
    "ALTER TABLE {} RENAME COLUMN team TO side",
    "ALTER TYPE app.country RENAME VALUE 'FR' TO 'US'",
    "CREATE CAST (app.country AS text) WITH INOUT",
    "DROP DOMAIN app.team CASCADE",
    "DROP TYPE app.country CASCADE",
    "DROP TRIGGER vote_agg_update ON {}",
    "CREATE TABLE app.child () INHERITS (app.plain)",
    "ALTER TABLE app.plain SET UNLOGGED",
    "ALTER TABLE app.plain SET ACCESS METHOD app_heap",
)
# Changes that leave every vote as it is.
HARMLESS = (
    ("ALTER TABLE {} ADD COLUMN extra float8 DEFAULT random()", "ALTER TABLE {} DROP COLUMN extra"),
    ("ALTER TYPE app.country ADD VALUE IF NOT EXISTS 'IT'",),
    ("ALTER TYPE app.country RENAME TO land", "ALTER TYPE app.land RENAME TO country"),
    ("ALTER DOMAIN app.team ADD CONSTRAINT more CHECK (value <> '') NOT VALID", "ALTER DOMAIN app.team DROP CONSTRAINT more"),
    ("ALTER TABLE {} RENAME TO other", "ALTER TABLE app.other RENAME TO {short}"),
    ("CLUSTER app.plain USING plain_pkey",),
    ("CREATE INDEX more ON {} (team)", "DROP INDEX app.more"),
    ("ALTER TABLE {} ADD CONSTRAINT more CHECK (k >= 0)", "ALTER TABLE {} DROP CONSTRAINT more"),
    ("CREATE CAST (app.country AS integer) WITH INOUT", "DROP CAST (app.country AS integer)"),
)


class Writer:
    """Makes statements; knows which partitions there are, and what the server can do."""

    def __init__(self, rng, version=150_000):
        self.rng, self.version, self.made, self.next_person = rng, version, set(), 0

    def row(self):
        rng = self.rng
        return {
            "k": rng.choice((0, 1, 2, 3, *self.made)),
            "match_id": rng.choice((*MATCHES, *MATCHES, None)),
            "team": rng.choice((*TEAMS, *TEAMS, None)),
            "h3": rng.choice((None, rng.choice(CELLS))),
            "cc": rng.choice((None, *COUNTRIES)),
            "person": None,
            "note": rng.randrange(10),
        }

    def some(self, id="id"):
        """A condition that some rows meet."""
        share = self.rng.choice((2, 5, 20))
        return f"{id} % {share} = {self.rng.randrange(share)}"

    def place(self):
        """A table, or a partition of it with what its rows must have."""
        return self.rng.choice(
            ((PLAIN, None), (PLAIN, None), (PARTED, None), (PARTED, None), ("app.part_0", (0, 1)), ("app.part_1", (2, 3)), ("app.part_1a", (2,)))
            + tuple((f"app.part_{k}", (k,)) for k in self.made)
        )

    def statements(self):
        """One or two statements with their arguments."""
        return self.rng.choice(
            (self.insert,) * 6
            + (self.insert_select, self.upsert, self.upsert, self.merge, self.merge, self.merge, self.copy, self.chain)
            + (self.update,) * 6
            + (self.delete,) * 3
            + (self.person, self.person, self.shrink)
            + ((self.truncate, self.partition, self.unseen, self.harmless) if self.rng.randrange(6) == 0 else ())
        )()

    def values(self, rows):
        names = list(rows[0])
        row = "(" + ", ".join(["%s"] * len(names)) + ")"
        return f"({', '.join(names)}) VALUES " + ", ".join([row] * len(rows)), [value for one in rows for value in one.values()]

    def rows(self, ks):
        rows = [self.row() for _ in range(self.rng.choice((1, 1, 1, 2, 7)))]
        return [row | {"k": self.rng.choice(ks)} for row in rows] if ks else rows

    def insert(self):
        table, ks = self.place()
        sql, args = self.values(self.rows(ks))
        yield f"INSERT INTO {table} {sql}", args

    def insert_select(self):
        table = self.rng.choice((PLAIN, PARTED))
        yield f"INSERT INTO {table} (k, match_id, team, h3, cc, note) SELECT k %% 4, match_id, team, h3, cc, note FROM {PLAIN} WHERE {self.some().replace('%', '%%')} LIMIT 20", []

    def upsert(self):
        table = self.rng.choice((PLAIN, PARTED))
        rows = [self.row() | {"id": n} for n in self.rng.sample(range(1, 60), 3)]
        sql, args = self.values(rows)
        action = self.rng.choice(("NOTHING", "UPDATE SET team = excluded.team, h3 = NULL", "UPDATE SET match_id = excluded.match_id WHERE r.note > 4"))
        yield f"INSERT INTO {table} AS r {sql} ON CONFLICT (id, k) DO {action}", args

    def merge(self):
        """Any set of actions; rows move to other partitions where their key is among what is set."""
        rng = self.rng
        table, ks = rng.choice(((PLAIN, None), (PARTED, None), (PARTED, None), ("app.part_1", (2, 3))))
        new = [self.row() | {"id": n} for n in rng.sample(range(1, 60), 6)]
        if ks:
            new = [row | {"k": rng.choice(ks)} for row in new]
        sets = ", ".join(f"{name} = n.{name}" for name in rng.sample(("k", "team", "cc", "match_id", "h3", "note"), rng.randrange(1, 5)))
        actions = [
            f"WHEN MATCHED AND n.note > 6 THEN {rng.choice(('DELETE', 'DO NOTHING'))}",
            f"WHEN MATCHED THEN UPDATE SET {sets}",
            "WHEN NOT MATCHED AND n.note < 8 THEN INSERT (id, k, match_id, team, h3, cc, note)"
            " VALUES (n.id, n.k, n.match_id, n.team, n.h3, n.cc, n.note)",
        ]
        if self.version >= 170_000:
            by_source = rng.choice(("DELETE", "UPDATE SET k = 3 - t.k" if ks is None else "UPDATE SET k = 5 - t.k"))
            actions.append(f"WHEN NOT MATCHED BY SOURCE AND t.id %% 40 = {rng.randrange(40)} AND t.k BETWEEN 0 AND 3 THEN {by_source}")
        some = rng.sample(range(len(actions)), rng.randrange(1, len(actions) + 1))
        sql = (
            f"MERGE INTO {table} t USING jsonb_to_recordset(%s) AS n (id bigint, k int, match_id text, team text, h3 bigint,"
            f" cc app.country, note int) ON t.id = n.id {rng.choice(('', 'AND t.k = n.k'))} {' '.join(actions[i] for i in sorted(some))}"
        )
        if self.version >= 170_000 and rng.randrange(3) == 0:
            sql = f"WITH merged AS ({sql} RETURNING t.id) SELECT count(*) FROM {rng.choice(('merged', 'app.people'))}"
        yield sql, [json.dumps(new)]

    def copy(self):
        table, ks = self.place()
        yield f"COPY {table} (k, match_id, team, h3, cc, person, note) FROM STDIN", [tuple(row.values()) for row in self.rows(ks)]

    def chain(self):
        """Several changes of tables in one statement."""
        row = self.row()
        yield (
            f"WITH gone AS (DELETE FROM {PLAIN} WHERE {self.some()} AND note = %s RETURNING *), more AS (UPDATE {PARTED} SET note = 1, team = %s"
            f" WHERE {self.some()} RETURNING *) INSERT INTO {PARTED} (k, match_id, team, h3, cc) SELECT 1, match_id, team, h3, cc FROM gone"
        ).replace(" % ", " %% "), [row["note"], row["team"]]

    def update(self):
        table, ks = self.place()
        row = self.row()
        names = self.rng.sample(("k", "match_id", "team", "h3", "cc", "note", "id"), self.rng.choice((1, 1, 2, 4)))
        if ks:
            row["k"] = self.rng.choice(ks)
        sets = ", ".join("id = id + 100000" if name == "id" else f"{name} = %s" for name in names)
        yield f"UPDATE {table} SET {sets} WHERE {self.some().replace('%', '%%')}", [row[name] for name in names if name != "id"]

    def delete(self):
        table, _ = self.place()
        yield f"DELETE FROM {table} WHERE {self.some()} AND note < 5", []

    def shrink(self):
        """Keeps the tables small."""
        table = self.rng.choice((PLAIN, PARTED))
        yield f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} ORDER BY random() LIMIT (SELECT greatest(0, count(*) - 150) FROM {table}))", []

    def person(self):
        """Rows that go, or change, with the row that they refer to."""
        self.next_person += 1
        table = self.rng.choice((PLAIN, PARTED))
        yield "INSERT INTO app.people VALUES (%s)", [self.next_person]
        yield f"UPDATE {table} SET person = %s WHERE {self.some().replace('%', '%%')}", [self.next_person]
        if self.rng.randrange(2):
            yield "UPDATE app.people SET id = -id WHERE id = %s", [self.next_person]
        yield "DELETE FROM app.people WHERE abs(id) = %s", [self.next_person - self.rng.randrange(3)]

    def truncate(self):
        table, _ = self.place()
        yield f"TRUNCATE {self.rng.choice((table, f'{PLAIN}, {PARTED}'))}", []

    def unseen(self):
        """A change that is refused."""
        yield REFUSED + self.rng.choice(UNSEEN).format(self.rng.choice((PLAIN, PARTED))), []

    def harmless(self):
        table = self.rng.choice((PLAIN, PARTED))
        for sql in self.rng.choice(HARMLESS):
            yield sql.format(table, short=table.partition(".")[2]), []

    def partition(self):
        """A new partition, made or attached, or one that goes when it is empty."""
        k = self.rng.randrange(10, 14)
        if k in self.made:
            self.made.remove(k)
            yield f"TRUNCATE app.part_{k}", []
            if self.rng.randrange(2):
                yield f"ALTER TABLE {PARTED} DETACH PARTITION app.part_{k}", []
            yield f"DROP TABLE app.part_{k}", []
            return
        bounds = f"FOR VALUES FROM ({k}) TO ({k + 1})"
        if self.rng.randrange(2):
            yield f"CREATE TABLE app.part_{k} PARTITION OF {PARTED} {bounds}", []
        else:
            columns = "note int, gone int, cc app.country, h3 bigint, k int NOT NULL, person int, team app.team, match_id text, id bigint NOT NULL"
            yield f"CREATE TABLE app.part_{k} ({columns})", []
            yield f"ALTER TABLE app.part_{k} DROP COLUMN gone, ALTER id SET DEFAULT nextval('app.parted_id_seq')", []
            yield f"ALTER TABLE {PARTED} ATTACH PARTITION app.part_{k} {bounds}", []
        self.made.add(k)
