-- From 0.1.0, in three parts:
--
-- 1. This half sets the tables of 0.1.0 aside, and drops what the install script makes anew.
-- 2. The install script of today runs, with CREATE OR REPLACE FUNCTION. So a database that took the step is what a new one is.
--    A function that keeps its result is replaced: what depends on it stays, and so do rights on it.
-- 3. The second half takes the rows over.

-- The statements below must see every row, so each needs a snapshot of its own.
DO $$
BEGIN
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = 'the update of vote_agg needs a transaction that is READ COMMITTED',
            DETAIL = 'A snapshot from before its locks may miss votes.',
            HINT = 'Begin with BEGIN ISOLATION LEVEL READ COMMITTED, or run ALTER EXTENSION by itself.';
    END IF;
END
$$;

-- Attached tables first, which get triggers at the end. A writer locks its table before ours, and so does this step: else each
-- might wait for the other.
DO $$
DECLARE
    attached regclass;
BEGIN
    FOR attached IN
        SELECT s.relation FROM vote_agg.source s JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) s.relation
        WHERE s.state OPERATOR(pg_catalog.<>) 'detached' ORDER BY s.relation
    LOOP
        EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', attached);
    END LOOP;
END
$$;

-- Votes wait from here to the end, and are recorded then. A prepared transaction with votes has to end first.
LOCK TABLE vote_agg.match, vote_agg.source, vote_agg.source_delta, vote_agg.pending_1, vote_agg.pending_2, vote_agg.ballot,
    vote_agg.h3_aggregate, vote_agg.country_aggregate, vote_agg.timeline, vote_agg.country_timeline, vote_agg.feed,
    vote_agg.fold_log IN ACCESS EXCLUSIVE MODE;

-- Roles that were given the rights of readers or writers; they get those of the new version at the end.
DO $$
BEGIN
    PERFORM pg_catalog.set_config('vote_agg_upgrade.roles', coalesce((
        SELECT pg_catalog.jsonb_agg(DISTINCT ARRAY[r.rolname::text, p.proname::text])
        FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
        CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
        JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE a.grantee <> p.proowner AND p.proname IN ('matches', 'retract_vote'))::text, '[]'), true);
END
$$;

DROP EVENT TRIGGER vote_agg_watch_tables;
DROP EVENT TRIGGER vote_agg_before_drop;
DROP EVENT TRIGGER vote_agg_forget_dropped;
DROP VIEW vote_agg.live, vote_agg.stat_pending, vote_agg.stat_fold, vote_agg.stat_attach;
-- These have another result now, or other arguments.
DROP FUNCTION @extschema@.get_match_snapshot(text, integer);
DROP FUNCTION vote_agg.attach_stats();
DROP FUNCTION vote_agg.fill(regclass);
DROP FUNCTION vote_agg.unpack(bytea);

-- Their names, and those of their indexes and sequences, are wanted for the new ones.
CREATE SCHEMA vote_agg_0_1_0;
DO $$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        SELECT c.oid, c.relname, c.relkind FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
        WHERE c.relkind IN ('r', 'S')
    LOOP
        -- What it says about dumps goes with its membership.
        EXECUTE pg_catalog.format('ALTER EXTENSION vote_agg DROP %s vote_agg.%I',
            CASE relation.relkind WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END, relation.relname);
        EXECUTE pg_catalog.format('ALTER %s vote_agg.%I SET SCHEMA vote_agg_0_1_0',
            CASE relation.relkind WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END, relation.relname);
    END LOOP;
END
$$;
