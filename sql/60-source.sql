-- Attached tables: those of the application, whose rows are counted as they come, change and go.

CREATE TABLE vote_agg.source (
    relation regclass PRIMARY KEY,
    number smallint NOT NULL UNIQUE,
    state text COLLATE "C" NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY ('{filling,live,detached}')),
    match_column name NOT NULL,
    team_column name NOT NULL,
    cell_column name,
    country_column name,
    voter_column name,
    latitude_column name,
    longitude_column name,
    resolution smallint,
    attached_at timestamptz NOT NULL,
    last_error text
) USING heap;
COMMENT ON TABLE vote_agg.source IS 'Tables that are or were attached';
COMMENT ON COLUMN vote_agg.source.number IS 'What feed.sources calls it; no other table gets the same';
COMMENT ON COLUMN vote_agg.source.state IS
'filling: what was in it before is not counted yet; live; detached: what was counted stays so';
COMMENT ON COLUMN vote_agg.source.last_error IS 'Why the last fill failed';

CREATE SEQUENCE vote_agg.source_number AS smallint MINVALUE 2;
COMMENT ON SEQUENCE vote_agg.source_number IS 'Numbers of sources, each used once: 0 are calls, 1 ballots';

-- The columns of pending_1, and two more: it is written and read in the same way.
CREATE TABLE vote_agg.source_delta (
    LIKE vote_agg.pending_1,
    relation oid NOT NULL,
    block bigint NOT NULL
) USING heap;
ALTER TABLE vote_agg.source_delta REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.source_delta IS 'What changed in attached tables that are being filled, and where';

CREATE TABLE vote_agg.source_sum (LIKE vote_agg.source_delta) USING heap;
ALTER TABLE vote_agg.source_sum REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.source_sum IS 'What fills have counted so far; block means nothing here';

CREATE TABLE vote_agg.source_part (
    relation regclass PRIMARY KEY,
    source smallint NOT NULL,
    file oid NOT NULL,
    blocks bigint NOT NULL,
    rows bigint NOT NULL
) USING heap;
COMMENT ON TABLE vote_agg.source_part IS
'How far fills are: tables and partitions that are counted in part or as a whole';
COMMENT ON COLUMN vote_agg.source_part.file IS 'The file that this is about; in another one nothing is counted yet';
COMMENT ON COLUMN vote_agg.source_part.blocks IS
'How many from the first on are counted; 4294967295: all, and those to come';
COMMENT ON COLUMN vote_agg.source_part.rows IS 'The rows that were in them';

CREATE TABLE vote_agg.erased (LIKE vote_agg.pending_1) USING heap;
ALTER TABLE vote_agg.erased REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.erased IS
'What rows of final matches said that were erased from attached tables, in sums: their votes stay counted';

SELECT pg_catalog.pg_extension_config_dump('vote_agg.source', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_number', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.erased', '');
-- How far fills are is about files, and so is what changed meanwhile: in another database they begin again.
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_delta', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_sum', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_part', 'WHERE false');

-- The caller's own rights decide whose table it is; so no SECURITY DEFINER.
CREATE FUNCTION @extschema@.attach_votes(source regclass, match_id name DEFAULT 'match_id',
    team_choice name DEFAULT 'team_choice',
    h3_index name DEFAULT NULL, country_code name DEFAULT NULL, voter_id name DEFAULT NULL,
    latitude name DEFAULT NULL, longitude name DEFAULT NULL, resolution integer DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'attach_votes_wrapper';
COMMENT ON FUNCTION @extschema@.attach_votes(regclass, name, name, name, name, name, name, name, integer) IS
'Counts a table of the caller''s, each row one vote: what is in it, and from '
'now on every change of it; the names are those of its columns, resolution is 0 to 15';
REVOKE ALL ON FUNCTION
    @extschema@.attach_votes(regclass, name, name, name, name, name, name, name, integer) FROM PUBLIC;

CREATE FUNCTION @extschema@.detach_votes(source regclass)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'detach_votes_wrapper';
COMMENT ON FUNCTION @extschema@.detach_votes(regclass) IS
'Stops counting a table of the caller''s; what was counted stays counted';
REVOKE ALL ON FUNCTION @extschema@.detach_votes(regclass) FROM PUBLIC;

CREATE FUNCTION vote_agg.erasure(source regclass, keys jsonb)
RETURNS text LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    form text := 'Pass an object of columns and values, such as {"id": 7}, or an array of such objects.';
    listed jsonb := CASE jsonb_typeof(keys) WHEN 'object' THEN jsonb_build_array(keys) ELSE keys END;
    one record;
    names text[];
    missing text;
    definition text;
    condition text;
BEGIN
    IF jsonb_typeof(listed) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = form,
            MESSAGE = format('keys must be an object or an array of objects, not a %s', jsonb_typeof(keys));
    ELSIF jsonb_array_length(listed) > 10000 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', HINT = 'Call it again for the rest.',
            MESSAGE = format('%s keys are too many: a call takes at most 10000', jsonb_array_length(listed));
    END IF;
    FOR one IN
        SELECT k.number, wrong.key AS wrong, jsonb_typeof(wrong.value) AS given, ARRAY(
                   SELECT o FROM jsonb_object_keys(CASE jsonb_typeof(k.value) WHEN 'object' THEN k.value END) AS o
                   ORDER BY o COLLATE "C") AS names
        FROM jsonb_array_elements(listed) WITH ORDINALITY AS k(value, number)
        LEFT JOIN LATERAL (
            SELECT e.key, e.value FROM jsonb_each(CASE jsonb_typeof(k.value) WHEN 'object' THEN k.value END) AS e
            WHERE jsonb_typeof(e.value) NOT IN ('string', 'number', 'boolean')
            LIMIT 1) AS wrong ON true
        ORDER BY k.number
    LOOP
        names := coalesce(names, one.names);
        IF one.names = '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = form,
                MESSAGE = format('key %s names no column', one.number);
        ELSIF one.names <> names THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Erase by other columns in a call of its own.',
                MESSAGE = format('key %s names other columns than key 1', one.number);
        ELSIF one.wrong IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass text, a number or a boolean.',
                MESSAGE = format('key %s: the value of column %s is %s', one.number, to_json(one.wrong),
                    CASE one.given WHEN 'null' THEN 'null' ELSE 'an ' || one.given END);
        END IF;
    END LOOP;
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT min(c.name) FILTER (WHERE a.attname IS NULL),
           string_agg(format('%I %s', c.name, format_type(a.atttypid, -1)), ', '),
           string_agg(format('t.%1$I = k.%1$I', c.name), ' AND ')
    INTO missing, definition, condition
    FROM unnest(names) AS c(name)
    LEFT JOIN pg_attribute a ON a.attrelid = source AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column', HINT = 'Name columns of the table.',
            MESSAGE = format('column %s of table %s does not exist', to_json(missing), source);
    END IF;
    RETURN format('DELETE FROM %s AS t USING jsonb_to_recordset(CASE jsonb_typeof($1) WHEN ''object'' '
        'THEN jsonb_build_array($1) ELSE $1 END) AS k(%s) WHERE %s', source, definition, condition);
END
$$;
COMMENT ON FUNCTION vote_agg.erasure(regclass, jsonb) IS
'The statement that deletes the rows of these keys, which are its parameter; NULL: there is no key (internal)';

CREATE FUNCTION vote_agg.erase_rows(source regclass, keys jsonb)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'erase_rows_wrapper';
COMMENT ON FUNCTION vote_agg.erase_rows(regclass, jsonb) IS
'Deletes rows of an attached table of the caller''s that are votes of final matches, whose numbers stay; a key is an '
'object of columns and values, keys are one or an array of them; returns how many rows were deleted';

-- It runs no SQL, and needs no rights but to be called: by triggers that attach_votes made, or it refuses.
CREATE FUNCTION vote_agg.count_rows()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'count_rows_wrapper';
COMMENT ON FUNCTION vote_agg.count_rows() IS 'Counts what a statement did to an attached table';

CREATE FUNCTION vote_agg.lock_source(source oid)
RETURNS boolean LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog,
    pg_temp SET lock_timeout = '300ms' AS $$
BEGIN
    -- Shorter than deadlock_timeout: a writer that has one partition and waits for another is let go, not ended.
    EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source::regclass);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION vote_agg.lock_source(oid) IS
'Locks writers out of a table and its partitions; false where that would take long (internal)';

CREATE FUNCTION vote_agg.fill(source regclass DEFAULT NULL, parts integer DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fill_wrapper';
COMMENT ON FUNCTION vote_agg.fill(regclass, integer) IS
'Counts what was in an attached table before (NULL: in the next one that waits), or so many parts of it '
'(NULL: all that are left); returns the rows that it read, NULL when there is nothing to do';

CREATE FUNCTION vote_agg.recount_sources(match_id text)
RETURNS TABLE (source smallint, team_choice text, h3_index bigint, country_code text, votes bigint)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'recount_sources_wrapper';
COMMENT ON FUNCTION vote_agg.recount_sources(text) IS
'What the attached tables hold for a match, counted anew; without those that are being filled';

CREATE FUNCTION vote_agg.attach_stats(OUT source regclass, OUT state text, OUT rows_read bigint,
    OUT rows_expected bigint,
    OUT percent numeric, OUT rows_kept bigint, OUT attached_at timestamptz, OUT pid integer, OUT last_error text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 SECURITY DEFINER SET search_path = pg_catalog,
    pg_temp AS $$
    SELECT s.relation, s.state, f.rows_read, e.rows,
           CASE WHEN f.rows_read >= e.rows THEN 100 ELSE pg_catalog.round(100.0 * f.rows_read / e.rows, 1) END,
           k.rows, s.attached_at, f.pid, s.last_error
    FROM vote_agg.source s
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(c.reltuples)::bigint AS rows FROM pg_catalog.pg_class c
        WHERE c.reltuples >= 0 AND c.relkind = 'r' AND (c.oid = s.relation
            OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(s.relation) t))) AS e
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(p.rows)::bigint AS rows FROM vote_agg.source_part p WHERE p.source = s.number) AS k
    -- A fill reports as a COPY of neither direction (parameter 5); parameter 3 are its rows, those of the parts before
    -- too.
    LEFT JOIN pg_catalog.pg_stat_get_progress_info('COPY') AS p
           ON p.relid = s.relation AND p.param5 = 0 AND s.state = 'filling'
          AND p.datid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    CROSS JOIN LATERAL (SELECT coalesce(p.param3, k.rows) AS rows_read, p.pid) AS f
    WHERE s.state <> 'detached' AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)
    ORDER BY s.number
$$;
COMMENT ON FUNCTION vote_agg.attach_stats() IS 'Attached tables, and how far their fills are';

CREATE VIEW vote_agg.stat_attach AS
SELECT a.source, a.state, a.rows_read, a.rows_expected, a.percent, a.rows_kept, a.attached_at, a.pid,
    a.last_error FROM vote_agg.attach_stats() AS a;
COMMENT ON VIEW vote_agg.stat_attach IS
'Attached tables: whether what was in them before is counted, and while that is being done its rows so '
'far, an estimate of all, those of parts that are done and stay so, and the process to cancel';

CREATE FUNCTION vote_agg.watch_tables()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'watch_tables_wrapper';
COMMENT ON FUNCTION vote_agg.watch_tables() IS
'Gives triggers to partitions that come to an attached table, takes them '
'from those that go, refuses what would make it uncountable';
CREATE EVENT TRIGGER vote_agg_watch_tables ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'ALTER TABLE', 'ALTER TYPE', 'CREATE CAST')
    EXECUTE FUNCTION vote_agg.watch_tables();
COMMENT ON EVENT TRIGGER vote_agg_watch_tables IS
'Keeps up with partitions of attached tables, and with the types of their columns';

CREATE FUNCTION vote_agg.watch_rewrites()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'watch_rewrites_wrapper';
COMMENT ON FUNCTION vote_agg.watch_rewrites() IS
'Refuses that counted columns of attached tables get other values unseen';
CREATE EVENT TRIGGER vote_agg_watch_rewrites ON table_rewrite EXECUTE FUNCTION vote_agg.watch_rewrites();
COMMENT ON EVENT TRIGGER vote_agg_watch_rewrites IS 'Keeps the values of counted columns as they were counted';

CREATE FUNCTION vote_agg.watch_drops()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'watch_drops_wrapper';
COMMENT ON FUNCTION vote_agg.watch_drops() IS
'Refuses to drop counted columns, keys, casts and triggers of attached tables, whatever they would go with';
CREATE EVENT TRIGGER vote_agg_watch_drops ON sql_drop EXECUTE FUNCTION vote_agg.watch_drops();
COMMENT ON EVENT TRIGGER vote_agg_watch_drops IS 'Keeps what the counting of attached tables stands on';

CREATE FUNCTION vote_agg.before_drop()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'before_drop_wrapper';
COMMENT ON FUNCTION vote_agg.before_drop() IS
'Locks the attached tables before the extension is dropped, so that no writer is waited for in a circle';
CREATE EVENT TRIGGER vote_agg_before_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION') EXECUTE FUNCTION vote_agg.before_drop();
COMMENT ON EVENT TRIGGER vote_agg_before_drop IS 'Locks attached tables before ours';

CREATE FUNCTION vote_agg.forget_dropped()
RETURNS event_trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog,
    pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM vote_agg.source s
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)) THEN
        WITH gone AS (
            DELETE FROM vote_agg.source s
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation) RETURNING s.number)
        , delta AS (DELETE FROM vote_agg.source_delta d USING gone WHERE d.source = gone.number)
        , part AS (DELETE FROM vote_agg.source_part p USING gone WHERE p.source = gone.number)
        , erased AS (DELETE FROM vote_agg.erased e USING gone WHERE e.source = gone.number)
        DELETE FROM vote_agg.source_sum s USING gone WHERE s.source = gone.number;
    END IF;
END
$$;
COMMENT ON FUNCTION vote_agg.forget_dropped() IS
'Forgets attached tables that are dropped; what was counted stays counted';
CREATE EVENT TRIGGER vote_agg_forget_dropped ON sql_drop EXECUTE FUNCTION vote_agg.forget_dropped();
COMMENT ON EVENT TRIGGER vote_agg_forget_dropped IS 'Forgets attached tables that are dropped';
