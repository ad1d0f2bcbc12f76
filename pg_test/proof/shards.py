"""A front and its shards: databases of one cluster, or each in a cluster of its own."""

import psycopg

VOTERS = [f"voter {n}" for n in range(150)]
TEAMS = ("home", "away", "Ünïted \"FC\" 'd'Or'")
MATCHES = {"homed": {}, "spread": {"spread": True}, "first": {"spread": True, "changes_allowed": False}}
# Each way to read a match.
READS = (
    "SELECT status, total_votes, votes, leader, dominance FROM get_realtime_stats('{0}')",
    "SELECT * FROM get_match_aggregates('{0}')",
    "SELECT * FROM get_match_aggregates('{0}', 0, 5)",
    "SELECT * FROM get_match_aggregates('{0}', max_cells => 3)",
    "SELECT * FROM get_match_aggregates('{0}', leader => 'home')",
    "SELECT * FROM get_match_aggregates('{0}', 3, bbox => '{{-180, -90, 20, 90}}')",
    "SELECT * FROM get_country_aggregates('{0}')",
    "SELECT * FROM get_country_aggregates('{0}', 30)",
    "SELECT * FROM get_top_cells('{0}', 5)",
    "SELECT * FROM get_top_cells('{0}', NULL, 'away')",
    "SELECT * FROM get_top_cells('{0}', 5, by => 'dominance')",
    "SELECT * FROM get_top_cells('{0}', 5, 'home', 'dominance')",
    "SELECT * FROM get_cell('{0}', '80" + "29" + "fffffffffff')",
    "SELECT team_choice, sum(votes) FROM get_match_timeline('{0}') GROUP BY 1 ORDER BY 1",
    "SELECT DISTINCT ON (team_choice) team_choice, running_total FROM get_match_timeline('{0}') ORDER BY 1, bucket_start DESC",
    "SELECT country_code, total_votes, votes, leader, dominance FROM get_match_at('{0}', 'infinity')",
)


def make_shard(db):
    db.configure(auto_open="off")
    return db


def conninfo(db):
    return f"host={db.cluster.path} port={db.cluster.port} dbname={db.name}"


class Front:
    """A database with vote_agg_front whose shards are the databases `shards`, in that order; `address` says where it meets each."""

    def __init__(self, db, shards, address=conninfo):
        self.db, self.shards = db, [make_shard(shard) for shard in shards]
        db.sql("CREATE EXTENSION plproxy")
        db.sql("CREATE EXTENSION vote_agg_front")
        for number, shard in enumerate(shards):
            assert db.value("SELECT vote_agg_front.add_shard(%s)", address(shard)) == number
        self.session = db.connect()

    def rows(self, query, *params):
        # PL/Proxy drops a connection over which an error came, and says so.
        self.session.execute("SET client_min_messages = warning")
        done = self.session.execute(query, params or None)
        return done.fetchall() if done.description else []

    def value(self, query, *params):
        return self.rows(query, *params)[0][0]

    def refusal(self, query, *params):
        """The error of a statement that must fail."""
        try:
            self.rows(query, *params)
        except psycopg.Error as error:
            return error
        raise AssertionError(f"it does not fail: {query} {params}")

    def close(self):
        self.session.close()


def open_matches(front, node=None):
    for match, options in MATCHES.items():
        for rows, extra in ((front.rows, options), (node and node.sql, {"changes_allowed": options.get("changes_allowed", True)})):
            if rows:
                named = ", ".join(f"{name} => {value}" for name, value in extra.items())
                rows(f"SELECT open_match(%s, ARRAY['home', 'away', %s]{', ' if named else ''}{named})", match, TEAMS[2])


def answer(session, query, params):
    try:
        return session.execute(query, params).fetchall()
    except psycopg.Error as error:
        return error.sqlstate
