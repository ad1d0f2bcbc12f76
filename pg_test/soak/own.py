"""Random calls of our functions beside sqlsmith's: each argument is one of a few values of its type, right and wrong ones."""

import psycopg

FUNCTIONS = """
SELECT p.proname, n.nspname, p.pronargs - p.pronargdefaults, ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) t)
FROM pg_catalog.pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
WHERE p.prorettype::regtype::text NOT IN ('trigger', 'event_trigger') ORDER BY p.oid
"""
NOTHING_OF_IT = """{"v": 1, "system": "1", "timeline": 1, "database": 1, "match": "FR", "epoch": null, "seq": 0, "since": 0, "whole": true,
"teams": [], "votes": [], "unplaced": [], "sources": [], "cells": [], "countries": [], "minutes": [], "country_minutes": [], "kept_from": null,
"last_vote_at": null, "at": 0, "opened": null, "final": false}"""  # what a shard says (core/src/shard/rows.rs)
JSON = ('[{"matchId": "FR", "teamChoice": "home"}]', '{"home": 1, "away": 2}', '{"home": -1}', '{"match_id": "FR"}', '{"match": "FR", "layer": "votes"}', "[]", "null", '{"match_id": "attached"}', NOTHING_OF_IT)
VALUES = {
    "text": ("open", "closed", "FR", "FR", "US", "872a1072bffffff", "872a1072bffffff", "home", "votes", "dominance", "attached", "", "x" * 201, "nowhere", "a" * 64),
    "bigint": ("0", "1", "2", "100", "608247482345586687", "608247482345586687", "-1", "1000000000001"),
    "integer": ("0", "0", "1", "1", "2", "7", "7", "16", "-1", "1000000"),
    "smallint": ("0", "1", "-1"),
    "double precision": ("0.5", "40.7", "-74", "91", "NaN"),
    "text[]": ("{home,away}", "{FR,872a1072bffffff,home}", "{home}", "{}", "{home,NULL}"),
    "bigint[]": ("{1,2}", "{0,1}", "{608247482345586687}", "{1}", "{}", "{9223372036854775807,9223372036854775807}", "{0,9223372036854775807}"),
    "double precision[]": ("{-180,-90,180,90}", "{0,0,10,10}", "{1}"),
    "jsonb": JSON,
    "json": JSON,
    "timestamp with time zone": ("now", "tomorrow", "yesterday", "-infinity"),
    "interval": ("1 minute", "1 day", "1 month", "0"),
    "boolean": ("true", "false"),
    "regclass": ("smith.attachable", "smith.attachable", "smith.counted", "smith.words"),
    "oid": ("1", "smith.attachable"),
    "name": ("match_id", "team_choice", "smith", "nobody"),
    "bytea": ("", "\\x01"),
}
# What a call may stand in: much is refused in the last two.
MODES = ("BEGIN", "BEGIN", "BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ")
# These can refuse nothing: they take no argument, or any, and write nothing.
TAKES_ALL = {
    "matches", "live_stats", "pending_stats", "attach_stats", "fold_holder", "lock_holders", "stop_worker", "is_cell", "is_country",
    "is_restoring", "get_vote", "unpack", "status", "library_version", "unfit_settings", "stopped_triggers", "oldest_snapshot", "placements",
}

# These change a row that another call of theirs changes; in a transaction with an older snapshot that is refused.
UPDATES = {
    "open_match", "place_match", "close_match", "new_history", "attach_votes", "detach_votes", "fill", "follow", "unfollow", "note_shard",
}


def literal(value, kind):
    if value is None:
        return "NULL::" + kind
    return "'" + value.replace("'", "''") + "'::" + ("regclass::oid" if kind == "oid" and value != "1" else kind)


def call(function, rng):
    """A call of it with random arguments, of which those with a default may be missing."""
    name, schema, least, kinds = function
    kinds = kinds[:rng.randint(least, len(kinds))]
    values = [literal(None if rng.random() < 0.1 else rng.choice(VALUES[kind]), kind) for kind in kinds]
    return f"SELECT * FROM {schema}.{name}({', '.join(values)})"


def caller(calls, user, rng):
    """A job that calls one function after the other, and notes refusals."""

    def run(stop):
        with calls.database.cluster.connect(calls.database.name, user=user, options="-c statement_timeout=5s -c lock_timeout=5s") as session:
            functions = session.execute(FUNCTIONS).fetchall()
            while not stop.is_set():
                function = rng.choice(functions)
                mode = rng.choice(MODES)
                session.execute(mode)
                try:
                    session.execute(call(function, rng))
                    session.execute("COMMIT")
                    state = "00000"
                except psycopg.Error as error:
                    state = error.sqlstate
                    if state is None:
                        raise  # the server went away
                    session.execute("ROLLBACK")
                is_older = mode.endswith("REPEATABLE READ")
                assert state != "40001" or is_older and function[0] in UPDATES, f"{function[0]} could not be serialized after {mode}"
                calls.note(function[0], state)

    return run
