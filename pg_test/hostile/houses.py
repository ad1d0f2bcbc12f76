"""The matrix: each line is a neighbour, a setting or a clock among which the suites must give what they give without it.

A new neighbour is one more line. `red` names suites that fail there today; mending the cause takes the name away.
"""

from testkit.house import PLAIN, SUITES, House, combined

TWIN = "CREATE FUNCTION public.{0} LANGUAGE sql AS $f$ SELECT {1} $f$"
ROLE, TABLESPACE = "CREATE ROLE neighbour", "CREATE TABLESPACE neighbour LOCATION ''"
AUDIT = "CREATE TABLE audit (at timestamptz, what text); CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN INSERT INTO public.audit VALUES (now(), TG_TABLE_NAME); RETURN NULL; END $f$"
AUDITED = "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON vote_agg.{0} FOR EACH ROW EXECUTE FUNCTION public.audit_row()"
COMPILED = {"jit": "on", "jit_above_cost": "0"}
# A plan kind that is off counts as very dear, and so dear a plan would be compiled, for seconds.
INTERPRETED = {"jit": "off"}
HOUR, YEAR = 3_600, 31_536_000
# They update or delete in tables of their own that have no replica identity, which a publication refuses.
UPDATED = ("source", "watch", "erase", "attach-fill", "attach-truncate", "attach-write")
# They attach tables of their own, which must be heaps.
ATTACHED = ("source", "watch", "erase", "verify", "aside", "status", "neighbours", "attach-fill", "attach-label", "attach-truncate", "attach-write", "rebuild-truncate")
# Names, sums and numbers of teams that no message or no bigint holds. A call that refuses them is right, too.
POISON = "PERFORM {0}; EXCEPTION WHEN program_limit_exceeded OR invalid_parameter_value OR numeric_value_out_of_range THEN NULL"
NAMES = "bulk_increment('poison', array_agg('a team with a name as long as a name may be ' || repeat('x', 150) || n)) FROM generate_series(1, 300) n"
MANY = "bulk_increment('poison', array_agg('team ' || n % 900), array_agg(('x' || lpad(h3_from_lat_lng(n % 90, n % 180, 5), 16, '0'))::bit(64)::bigint)) FROM generate_series(1, 3000) n"

# Those that go together, first.
NEIGHBOURS = [
    # Publications and replication.
    House("publication of all tables", before="CREATE PUBLICATION house_all FOR ALL TABLES", without=UPDATED),
    House("publication of our schema", server={"wal_level": "logical"}, after="DROP PUBLICATION IF EXISTS house_schema; CREATE PUBLICATION house_schema FOR TABLES IN SCHEMA vote_agg"),
    House("logical decoding", server={"wal_level": "logical", "max_replication_slots": 60}, before="SELECT pg_create_logical_replication_slot('d' || oid, 'test_decoding') FROM pg_database WHERE datname = current_database()", alone=True),
    House("whole rows as identity", after="ALTER TABLE vote_agg.match REPLICA IDENTITY FULL; ALTER TABLE vote_agg.feed REPLICA IDENTITY FULL; ALTER TABLE vote_agg.pending_1 REPLICA IDENTITY FULL; ALTER TABLE vote_agg.ballot REPLICA IDENTITY FULL"),
    # Other people's objects.
    House("index that came and went", after="CREATE INDEX neighbour_1 ON vote_agg.pending_1 (match_id); CREATE INDEX neighbour_2 ON vote_agg.pending_2 (match_id); CREATE INDEX neighbour_3 ON vote_agg.ballot (team_choice); DROP INDEX vote_agg.neighbour_1, vote_agg.neighbour_2, vote_agg.neighbour_3"),
    House("analyzed and clustered", after="ANALYZE vote_agg.pending_1, vote_agg.ballot, vote_agg.feed; CLUSTER vote_agg.feed USING feed_pkey"),
    House("extended statistics", after="CREATE STATISTICS vote_agg.neighbour ON match_id, team_choice FROM vote_agg.pending_1"),
    House("event triggers", before="CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM count(*) FROM pg_event_trigger_ddl_commands(); END $f$; CREATE FUNCTION audit_drops() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM count(*) FROM pg_event_trigger_dropped_objects(); END $f$; CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit(); CREATE EVENT TRIGGER audit_drops ON sql_drop EXECUTE FUNCTION audit_drops()", alone=True),
    House("functions of the same name", before=TWIN.format("now() RETURNS timestamptz", "'epoch'::timestamptz") + "; " + TWIN.format("sum(bigint[]) RETURNS bigint", "0::bigint")),
    House("extensions in the same schema", before="CREATE EXTENSION citext; CREATE EXTENSION intarray; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION isn; CREATE EXTENSION earthdistance CASCADE; CREATE EXTENSION btree_gist; CREATE EXTENSION tablefunc"),
    House("triggers on our tables", before=AUDIT, after=f"{AUDITED.format('match')}; {AUDITED.format('feed')}; {AUDITED.format('h3_aggregate')}; {AUDITED.format('country_aggregate')}; {AUDITED.format('source')}", without=("surface",)),
    House("row security on our tables", after="ALTER TABLE vote_agg.match ENABLE ROW LEVEL SECURITY; ALTER TABLE vote_agg.feed FORCE ROW LEVEL SECURITY; ALTER TABLE vote_agg.feed ENABLE ROW LEVEL SECURITY; ALTER TABLE vote_agg.pending_1 ENABLE ROW LEVEL SECURITY", alone=True),
    House("storage of a DBA", after="ALTER TABLE vote_agg.feed SET (fillfactor = 50, autovacuum_enabled = off), ALTER body SET STORAGE EXTERNAL; ALTER TABLE vote_agg.pending_1 SET (vacuum_truncate = off, user_catalog_table = on); ALTER TABLE vote_agg.match ALTER match_id SET STATISTICS 10000"),
    House("another owner of the database", once=ROLE, before="DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO neighbour', current_database()); END $$; ALTER SCHEMA public OWNER TO neighbour", alone=True),
    # Defaults for new tables.
    House("another tablespace", server={"allow_in_place_tablespaces": "on"}, once=TABLESPACE, before="GRANT CREATE ON TABLESPACE neighbour TO PUBLIC", sessions={"default_tablespace": "neighbour"}, without=("source",), alone=True),
    House("moved to another tablespace", server={"allow_in_place_tablespaces": "on"}, once=TABLESPACE, after="ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE neighbour; ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE neighbour", alone=True),
    House("another default access method", before="CREATE ACCESS METHOD neighbour TYPE TABLE HANDLER heap_tableam_handler", sessions={"default_table_access_method": "neighbour"}, without=ATTACHED, alone=True),
    House("lz4", sessions={"default_toast_compression": "lz4"}),
    # What the database says for the application's own sessions.
    House("role", once=ROLE, database={"role": "neighbour"}, alone=True),
    House("search path", database={"search_path": "nowhere"}),
    House("statement timeout", database={"statement_timeout": "1ms"}),
    House("lock timeout", database={"lock_timeout": "1ms"}),
    House("idle session timeout", database={"idle_session_timeout": "1ms"}),
    House("idle in transaction timeout", database={"idle_in_transaction_session_timeout": "1ms"}),
    House("transaction timeout", database={"transaction_timeout": "1ms"}, since=17, alone=True),
    House("read only", database={"default_transaction_read_only": "on"}),
    House("deferrable", sessions={"default_transaction_deferrable": "on"}),
    House("serializable worker", database={"default_transaction_isolation": "serializable"}),
    House("exit on error", database={"exit_on_error": "on"}),
    House("replica", database={"session_replication_role": "replica"}),
    House("synchronous commit off", sessions={"synchronous_commit": "off"}),
    House("loaded by each session", sessions={"session_preload_libraries": "vote_agg"}),
    House("client encoding", database={"client_encoding": "SQL_ASCII"}),
    House("temporary tables elsewhere", sessions={"temp_tablespaces": "pg_default", "check_function_bodies": "off", "lo_compat_privileges": "on"}),
    House("row security off", sessions={"row_security": "off"}),
    House("local time", database={"TimeZone": "Asia/Kathmandu", "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard"}),
    House("array nulls off", database={"array_nulls": "off"}),
    House("null equals null", sessions={"transform_null_equals": "on"}),
    House("quoted identifiers", database={"quote_all_identifiers": "on"}),
    House("rounded floats", database={"extra_float_digits": "-15"}),
    House("escaped strings", database={"standard_conforming_strings": "off", "bytea_output": "escape", "backslash_quote": "on"}),
    # Plans.
    House("compiled plans of the worker", database={**COMPILED, "jit_inline_above_cost": "0", "jit_optimize_above_cost": "0"}, alone=True),
    House("compiled plans", sessions={**COMPILED, "jit_inline_above_cost": "-1", "jit_optimize_above_cost": "-1"}, alone=True),
    # Settings of ours that a session made before the library came are lost, with a WARNING, where a parallel plan loads it.
    House("parallel plans", sessions={"force_parallel_mode": "on", "min_parallel_table_scan_size": "0", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}, until=15, alone=True, red=("isolation",)),
    House("parallel plans, as they are called since 16", sessions={"debug_parallel_query": "on", "min_parallel_table_scan_size": "0", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}, since=16, alone=True),
    House("no index scans", sessions={"enable_indexscan": "off", "enable_bitmapscan": "off", "enable_indexonlyscan": "off", "enable_tidscan": "off", **INTERPRETED}, alone=True),
    House("no nested loops", sessions={"enable_nestloop": "off", "enable_material": "off", "enable_hashagg": "off", **INTERPRETED}, alone=True),
    House("no sequential scans", sessions={"enable_seqscan": "off", "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", **INTERPRETED}, alone=True),
    House("joins as written", sessions={"join_collapse_limit": "1", "from_collapse_limit": "1", "geqo_threshold": "2", "enable_partitionwise_join": "on", "enable_partitionwise_aggregate": "on"}, alone=True),
    House("generic plans", sessions={"plan_cache_mode": "force_generic_plan"}, alone=True),
    House("little memory", sessions={"work_mem": "64kB", "logical_decoding_work_mem": "64kB", "temp_buffers": "800kB"}, alone=True),
    # Libraries and the server.
    House("auto_explain", server={"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_nested_statements": "on"}),
    House("pgaudit", server={"shared_preload_libraries": "pgaudit", "pgaudit.log": "all", "pgaudit.log_parameter": "on", "pgaudit.log_relation": "on"}),
    House("pg_stat_statements", server={"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}),
    House("tracked to the last", server={"track_functions": "all", "track_io_timing": "on", "track_wal_io_timing": "on", "compute_query_id": "on"}),
    House("logged to the last", server={"log_statement": "all", "log_duration": "on", "log_lock_waits": "on", "debug_print_plan": "on", "log_error_verbosity": "verbose"}, alone=True),
    House("untracked", server={"track_activities": "off", "track_counts": "off", "update_process_title": "off"}, only=SUITES, without=("aside",), alone=True),
    House("little shared memory", server={"shared_buffers": "1MB", "wal_buffers": "64kB", "max_locks_per_transaction": "10", "max_files_per_process": "64", "max_stack_depth": "100kB"}, alone=True),
    House("WAL that is checked", server={"wal_consistency_checking": "all", "wal_log_hints": "on", "wal_compression": "on", "archive_mode": "on", "archive_command": "false"}, alone=True),
    # Its launcher starts a worker, which folds what the tests fold themselves; and it brings a setting of its own.
    House("preloaded", server={"shared_preload_libraries": "vote_agg"}, only=("proof",), alone=True),
    House("preloaded for others", server={"shared_preload_libraries": "vote_agg", "vote_agg.databases": "postgres"}, without=("surface",), alone=True),
    House("no slot for a worker", server={"max_worker_processes": "1"}, alone=True),
    House("no WAL for standbys", server={"wal_level": "minimal", "max_wal_senders": "0"}, alone=True),
    House("commit timestamps", server={"track_commit_timestamp": "on"}),
    House("snapshots too old", server={"old_snapshot_threshold": "1min"}, until=16, alone=True),
    House("vacuum without pause", server={"autovacuum_naptime": "1s", "autovacuum_vacuum_threshold": "0", "autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_insert_threshold": "0", "autovacuum_vacuum_insert_scale_factor": "0", "autovacuum_vacuum_cost_delay": "0", "vacuum_freeze_min_age": "0"}),
    House("no vacuum", server={"autovacuum": "off"}, alone=True),
    # Languages.
    House("ICU", create="TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'sv-u-co-search' LOCALE 'C.UTF-8'", alone=True),
    House("C", create="TEMPLATE template0 LOCALE 'C'", alone=True),
    House("LATIN1", create="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", without=("vote", "errors", "feed"), alone=True),
    # What becomes of databases and schemas.
    House("copy of another database", arrives="CREATE DATABASE {new} TEMPLATE {old}", only=("isolation", "proof"), alone=True),
    House("renamed database", arrives="ALTER DATABASE {old} RENAME TO {new}", only=("isolation", "proof"), alone=True),
    House("renamed schema", after="ALTER SCHEMA public RENAME TO behind; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC", sessions={"search_path": "public, behind"}, only=("isolation",), alone=True),
    # Somebody's sessions and matches.
    House("old snapshot", guests=("BEGIN ISOLATION LEVEL REPEATABLE READ;; SELECT count(*) FROM pg_class",)),
    House("held match rows", guests=("SELECT open_match('held');; BEGIN;; SELECT FROM vote_agg.match WHERE match_id = 'held' FOR UPDATE",)),
    House("held feed rows", guests=("SELECT record_vote('held', 'home');; SELECT vote_agg.fold();; BEGIN;; SELECT FROM vote_agg.feed WHERE match_id = 'held' FOR UPDATE;; SELECT FROM vote_agg.timeline WHERE match_id = 'held' FOR UPDATE;; SELECT FROM vote_agg.fold_log FOR UPDATE",)),
    House("dump under way", guests=("BEGIN ISOLATION LEVEL REPEATABLE READ;; LOCK TABLE vote_agg.match, vote_agg.feed, vote_agg.ballot, vote_agg.h3_aggregate, vote_agg.country_aggregate, vote_agg.timeline, vote_agg.source, vote_agg.history IN ACCESS SHARE MODE",)),
    House("listener in a transaction", guests=("LISTEN vote_agg;; BEGIN;; SELECT now()",)),
    House("advisory locks", guests=("SELECT pg_advisory_lock(n), pg_advisory_lock(n, n) FROM generate_series(0, 999) n",)),
    House("many cells of many teams", guests=(f"DO $$ BEGIN {POISON.format(MANY)}; END $$",)),
    House("long names of teams", guests=(f"DO $$ BEGIN {POISON.format(NAMES)}; END $$",)),
    # Clocks.
    House("clock a year ahead", clock=(YEAR,), alone=True),
    House("clock after 2038", clock=(15 * YEAR,), alone=True),
    House("clock a year back", clock=(-YEAR,), alone=True),
    House("clock that jitters", clock=(0, 2, -1, 1), alone=True),
    House("clock that steps", clock=(0, HOUR, 0, -HOUR), alone=True),
]

EVERYTHING = [
    combined("everything in the tests' own sessions", [house for house in NEIGHBOURS if not house.of_worker]),
    combined("everything", NEIGHBOURS, only=("proof",)),
]
ALL = [PLAIN, *NEIGHBOURS, *EVERYTHING]
NAMED = {house.name: house for house in ALL}
