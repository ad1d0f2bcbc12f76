-- Proof on demand: a match counted again from what remembers its votes, by SQL that shares nothing with the code that
-- counts.

CREATE FUNCTION vote_agg.is_cell(h3_index bigint)
RETURNS boolean LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'is_cell_wrapper';
COMMENT ON FUNCTION vote_agg.is_cell(bigint) IS 'Is this number an H3 cell? (internal)';

CREATE FUNCTION vote_agg.is_country(country_code text)
RETURNS boolean LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'is_country_wrapper';
COMMENT ON FUNCTION vote_agg.is_country(text) IS 'Is this text a country code as it is stored? (internal)';

CREATE FUNCTION vote_agg.recountable(match_id text)
RETURNS TABLE (source smallint, name text)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT 1::smallint, 'ballots' WHERE NOT EXISTS (
        SELECT FROM vote_agg.match m
        WHERE m.match_id OPERATOR(pg_catalog.=) $1 AND m.ballots OPERATOR(pg_catalog.<>) 'kept')
    UNION ALL
    SELECT s.number, s.relation::pg_catalog.text FROM vote_agg.source s WHERE s.state OPERATOR(pg_catalog.=) 'live'
    UNION ALL
    SELECT s.number, pg_catalog.concat('shard ', s.name) FROM vote_agg.shard s
$$;
COMMENT ON FUNCTION vote_agg.recountable(text) IS 'The sources whose votes in a match can be counted again (internal)';

-- A shard tells cells and countries apart. So rows of countries are taken out again without one.
CREATE FUNCTION vote_agg.recount_shards(match_id text)
RETURNS TABLE (source smallint, team_choice text, h3_index bigint, country_code text, votes bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    WITH held AS (
        SELECT m.shard, m.kind, m.key, h.teams[v.number] AS team, v.votes
        FROM vote_agg.shard_head h JOIN vote_agg.mirror m ON m.match_id = h.match_id AND m.shard = h.shard
        CROSS JOIN LATERAL unnest(m.votes) WITH ORDINALITY AS v(votes, number)
        WHERE h.match_id = $1 AND m.kind IN (0, 1) AND v.votes <> 0
    )
    SELECT l.shard, l.team, l.key, NULL::text, l.votes FROM held l WHERE l.kind = 0
    UNION ALL
    SELECT l.shard, l.team, NULL, chr((l.key / 256)::integer) || chr((l.key % 256)::integer), l.votes
    FROM held l WHERE l.kind = 1
    UNION ALL
    SELECT l.shard, l.team, NULL, NULL, -l.votes FROM held l WHERE l.kind = 1
    UNION ALL
    SELECT h.shard, h.teams[v.number], NULL, NULL, v.votes
    FROM vote_agg.shard_head h CROSS JOIN LATERAL unnest(h.unplaced) WITH ORDINALITY AS v(votes, number)
    WHERE h.match_id = $1 AND v.votes <> 0
$$;
COMMENT ON FUNCTION vote_agg.recount_shards(text) IS 'What the shards said of a match last, as votes (internal)';

CREATE FUNCTION vote_agg.recount(match_id text)
RETURNS TABLE (source smallint, team_choice text, h3_index bigint, country_code text, votes bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT 1::smallint, b.team_choice, b.h3_index, b.country_code, pg_catalog.count(*)
    FROM vote_agg.ballot b
    WHERE b.match_id OPERATOR(pg_catalog.=) $1 AND b.team_choice IS NOT NULL GROUP BY 2, 3, 4
    UNION ALL
    SELECT s.source, s.team_choice, s.h3_index, s.country_code, s.votes FROM vote_agg.recount_sources($1) s
    UNION ALL
    SELECT e.source, e.team_choice, e.h3_index, e.country_code, pg_catalog.sum(e.votes)::bigint
    FROM vote_agg.erased e JOIN vote_agg.source l ON l.number = e.source AND l.state = 'live'
    WHERE e.match_id OPERATOR(pg_catalog.=) $1 GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT s.source, s.team_choice, s.h3_index, s.country_code, s.votes FROM vote_agg.recount_shards($1) s
$$;
COMMENT ON FUNCTION vote_agg.recount(text) IS 'What the sources of a match add up to (internal)';

-- Bound when it is made, so that the extension's schema can be renamed.
CREATE FUNCTION vote_agg.rolled_up(match_id text, resolution integer)
RETURNS TABLE (h3_index text, total_votes bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000 COST 1000 SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.h3_index, a.total_votes FROM @extschema@.get_match_aggregates($1, $2) AS a;
END;
COMMENT ON FUNCTION vote_agg.rolled_up(text, integer) IS 'Cells of a match, rolled up to a resolution (internal)';

CREATE FUNCTION @extschema@.verify_match(match_id text)
RETURNS TABLE (check_name text, expected bigint, found bigint, ok boolean, detail text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20 COST 100000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH head AS (
    SELECT f.* FROM vote_agg.feed f WHERE f.match_id = $1 ORDER BY f.seq DESC LIMIT 1
), team AS (
    SELECT t.team, t.number FROM head, unnest(head.teams) WITH ORDINALITY AS t(team, number)
), pending AS MATERIALIZED (
    SELECT * FROM vote_agg.pending_1 p WHERE p.match_id = $1
    UNION ALL SELECT * FROM vote_agg.pending_2 p WHERE p.match_id = $1
    UNION ALL SELECT * FROM vote_agg.pending_aside p WHERE p.match_id = $1
), folded AS (
    SELECT 'team' AS kind, '' AS key, h.votes FROM head h
    UNION ALL SELECT 'no cell', '', h.unplaced FROM head h
    UNION ALL SELECT 'cell', h.h3_index::text, h.votes FROM vote_agg.h3_aggregate h WHERE h.match_id = $1
    UNION ALL SELECT 'country', c.country_code, c.votes FROM vote_agg.country_aggregate c WHERE c.match_id = $1
    UNION ALL SELECT 'minute', '', t.votes FROM vote_agg.timeline t WHERE t.match_id = $1
    UNION ALL SELECT 'country minute', t.country_code, t.votes FROM vote_agg.country_timeline t WHERE t.match_id = $1
), counted AS MATERIALIZED (
    SELECT c.kind, c.key, c.team, sum(c.votes) AS votes FROM (
        SELECT f.kind, f.key, t.team, v.votes
        FROM folded f, unnest(f.votes) WITH ORDINALITY AS v(votes, number) LEFT JOIN team t USING (number)
        UNION ALL
        SELECT k.kind, k.key, p.team_choice, p.votes
        FROM pending p, LATERAL (VALUES
            ('team', '', p.in_total), ('minute', '', p.in_total), ('no cell', '', p.in_total AND p.h3_index IS NULL),
            ('cell', p.h3_index::text, p.h3_index IS NOT NULL), ('country', p.country_code, p.country_code IS NOT NULL),
            ('country minute', p.country_code, p.country_code IS NOT NULL)
        ) AS k(kind, key, counts) WHERE k.counts) AS c
    GROUP BY c.kind, c.key, c.team HAVING sum(c.votes) <> 0
), by_team AS MATERIALIZED (
    SELECT grouping(c.team) = 1 AS is_all,
           coalesce(sum(c.votes) FILTER (WHERE c.kind = 'team'), 0) AS teams,
           coalesce(sum(c.votes) FILTER (WHERE c.kind = 'minute'), 0) AS minutes,
           coalesce(sum(c.votes) FILTER (WHERE c.kind IN ('cell', 'no cell')), 0) AS cells,
           coalesce(sum(c.votes) FILTER (WHERE c.kind = 'country'), 0) AS countries
    FROM counted c GROUP BY GROUPING SETS ((), (c.team))
), source AS MATERIALIZED (
    SELECT s.source, sum(s.votes) AS votes FROM (
        SELECT s.source, s.votes FROM head h, unnest(h.sources, h.source_votes) AS s(source, votes)
        UNION ALL SELECT p.source, p.votes FROM pending p) AS s
    GROUP BY s.source
), recountable AS MATERIALIZED (
    SELECT r.source, r.name FROM vote_agg.recountable($1) r
), recount AS MATERIALIZED (
    SELECT * FROM vote_agg.recount($1) r WHERE r.source IN (SELECT k.source FROM recountable k)
), lost AS (
    SELECT coalesce(sum(s.votes), 0) AS votes FROM source s WHERE s.source NOT IN (SELECT k.source FROM recountable k)
), recounted AS MATERIALIZED (
    SELECT k.kind, k.key, r.team_choice AS team, sum(r.votes) AS votes
    FROM recount r, LATERAL (VALUES
        ('team', ''), ('no cell', CASE WHEN r.h3_index IS NULL THEN '' END),
        ('cell', r.h3_index::text), ('country', r.country_code)
    ) AS k(kind, key) WHERE k.key IS NOT NULL
    GROUP BY 1, 2, 3 HAVING sum(r.votes) <> 0
), difference AS (
    SELECT kind, count(*) AS keys,
           min(concat_ws(' ', kind, CASE kind WHEN 'cell' THEN to_hex(key::bigint) ELSE nullif(key, '') END, team)
               || ': ' || coalesce(r.votes, 0) || ', not ' || coalesce(c.votes, 0)) AS example
    FROM (SELECT * FROM counted WHERE kind NOT LIKE '%minute') c
    FULL JOIN recounted r USING (kind, key, team)
    WHERE c.votes IS DISTINCT FROM r.votes GROUP BY kind
), line AS (
    SELECT coalesce(sum(c.votes), 0) AS expected, coalesce(sum(m.votes), 0) AS found,
           count(*) FILTER (WHERE c.votes IS DISTINCT FROM m.votes) AS keys,
           min(concat_ws(' ', key, team)) FILTER (WHERE c.votes IS DISTINCT FROM m.votes) AS example
    FROM (SELECT * FROM counted WHERE kind = 'country') c
    FULL JOIN (SELECT * FROM counted WHERE kind = 'country minute') m USING (key, team)
), twice AS (
    SELECT coalesce(sum(n - 1), 0) AS rows, min(what) AS example FROM (
        SELECT 'cell ' || to_hex(h.h3_index) AS what, count(*) AS n
        FROM vote_agg.h3_aggregate h WHERE h.match_id = $1 GROUP BY 1
        UNION ALL SELECT 'country ' || c.country_code, count(*)
        FROM vote_agg.country_aggregate c WHERE c.match_id = $1 GROUP BY 1
        UNION ALL SELECT 'minute ' || t.bucket, count(*)
        FROM vote_agg.timeline t WHERE t.match_id = $1 GROUP BY 1
        UNION ALL SELECT concat('minute ', t.bucket, ' in ', t.country_code), count(*)
        FROM vote_agg.country_timeline t WHERE t.match_id = $1 GROUP BY 1) AS k
    WHERE n > 1
), wrong AS (
    SELECT count(*) AS rows,
           min(c.kind || ' ' || CASE c.kind WHEN 'cell' THEN to_hex(c.key::bigint) ELSE c.key END || ': ' || c.votes)
               AS example
    FROM counted c
    WHERE c.votes < 0 OR c.team IS NULL
       OR (c.kind = 'cell' AND NOT vote_agg.is_cell(c.key::bigint))
       OR (c.kind LIKE 'country%' AND NOT vote_agg.is_country(c.key))
), place AS (
    SELECT f.kind, count(*) AS n FROM folded f
    WHERE f.kind IN ('cell', 'country') AND (SELECT sum(v) FROM unnest(f.votes) AS v) > 0 GROUP BY f.kind
), cell AS MATERIALIZED (
    SELECT c.key::bigint AS cell, (c.key::bigint >> 52 & 15)::integer AS resolution, c.votes
    FROM counted c WHERE c.kind = 'cell' AND (SELECT rows FROM wrong) = 0
), parent AS (
    -- A parent keeps the digits down to its resolution; 7 (three bits set) fills the rest
    -- (https://h3geo.org/docs/core-library/h3Indexing).
    SELECT r.resolution,
           CASE WHEN c.resolution <= r.resolution THEN c.cell
                ELSE (c.cell & ~(15::bigint << 52)) | (r.resolution::bigint << 52)
                     | ((1::bigint << (3 * (15 - r.resolution))) - 1) END AS cell,
           sum(c.votes) AS votes
    FROM cell c, generate_series(0, 15) AS r(resolution)
    WHERE r.resolution < (SELECT max(x.resolution) FROM cell x) GROUP BY 1, 2
), asked AS (
    SELECT r.resolution, a.h3_index, a.total_votes
    FROM (SELECT DISTINCT p.resolution FROM parent p) AS r, vote_agg.rolled_up($1, r.resolution) AS a
), rolled AS (
    SELECT resolution, sum(p.votes) AS expected, sum(a.total_votes) AS found,
           count(*) FILTER (WHERE p.votes IS DISTINCT FROM a.total_votes) AS keys
    FROM (SELECT p.resolution, lpad(to_hex(p.cell), 15, '0') AS h3_index, p.votes FROM parent p WHERE p.votes <> 0) AS p
    FULL JOIN asked a USING (resolution, h3_index) GROUP BY resolution
), checks(position, check_name, expected, found, ok, detail) AS (
    SELECT 1, 'one row a cell, country and minute', 0, t.rows, t.rows = 0, t.example FROM twice t
    UNION ALL
    SELECT 2, 'no count below zero, no unknown team, cell or country', 0, w.rows, w.rows = 0, w.example FROM wrong w
    UNION ALL
    SELECT 3, 'time line = teams', t.teams, t.minutes,
           NOT EXISTS (SELECT FROM by_team x WHERE x.minutes <> x.teams), NULL
    FROM by_team t WHERE t.is_all
    UNION ALL
    SELECT 4, 'time lines of countries = countries', l.expected, l.found, l.keys = 0, l.example FROM line l
    UNION ALL
    SELECT 5, 'cells and votes without one = teams', t.teams, t.cells,
           NOT EXISTS (SELECT FROM by_team x WHERE x.cells <> x.teams), NULL
    FROM by_team t WHERE t.is_all
    UNION ALL
    SELECT 6, 'countries <= teams', t.teams, t.countries,
           NOT EXISTS (SELECT FROM by_team x WHERE x.countries > x.teams), NULL
    FROM by_team t WHERE t.is_all
    UNION ALL
    SELECT 7, 'number of ' || k.name || ' with votes', coalesce(p.n, 0), k.n, coalesce(p.n, 0) = k.n, NULL
    FROM head h, LATERAL (VALUES ('cell', 'cells', h.cells), ('country', 'countries', h.countries)) AS k(kind, name, n)
    LEFT JOIN place p USING (kind)
    UNION ALL
    SELECT 8, 'message = teams', (SELECT sum(v) FROM unnest(h.votes) AS v),
           (h.body::json #>> '{stats,total}')::numeric, NOT EXISTS (
               SELECT FROM unnest(h.teams, h.votes) AS t(team, votes)
               WHERE (h.body::json #> '{stats,votes}' ->> t.team)::numeric IS DISTINCT FROM t.votes), NULL
    FROM head h
    UNION ALL
    SELECT 9, 'seq without a gap', max(f.seq) - min(f.seq) + 1, count(*), max(f.seq) - min(f.seq) + 1 = count(*), NULL
    FROM vote_agg.feed f WHERE f.match_id = $1 HAVING count(*) > 0
    UNION ALL
    SELECT 20 + r.resolution, 'parents = children at resolution ' || r.resolution, coalesce(r.expected, 0),
           coalesce(r.found, 0), r.keys = 0, NULL
    FROM rolled r
    UNION ALL
    SELECT 40 + r.source, r.name || ' recounted', coalesce(x.votes, 0), coalesce(s.votes, 0),
           coalesce(x.votes, 0) = coalesce(s.votes, 0), NULL
    FROM recountable r
    LEFT JOIN (SELECT x.source, sum(x.votes) AS votes FROM recount x GROUP BY 1) AS x USING (source)
    LEFT JOIN source s USING (source)
    WHERE x.votes IS NOT NULL OR s.votes IS NOT NULL
    UNION ALL
    SELECT 40 + r.source, r.name || ' erased', NULL, e.votes, true,
           'Their rows were deleted by vote_agg.erase_rows. Their votes stay counted.'
    FROM recountable r
    JOIN (SELECT e.source, sum(e.votes) AS votes FROM vote_agg.erased e WHERE e.match_id = $1 GROUP BY 1) AS e
        USING (source)
    UNION ALL
    SELECT 40000, 'votes that nothing remembers', NULL, l.votes, true,
           'They cannot be recounted, nor the match rebuilt.'
    FROM lost l WHERE l.votes <> 0
    UNION ALL
    SELECT 40001 + k.position, k.name || ' that differ from the recount', 0, coalesce(d.keys, 0), d.keys IS NULL,
           d.example
    FROM (VALUES (0, 'team', 'teams'), (1, 'cell', 'cells'), (2, 'no cell', 'teams without a cell'),
                 (3, 'country', 'countries')) AS k(position, kind, name)
    LEFT JOIN difference d USING (kind)
    WHERE (SELECT l.votes FROM lost l) = 0 AND EXISTS (SELECT FROM counted)
)
SELECT c.check_name, c.expected::bigint, c.found::bigint, c.ok, c.detail FROM checks c ORDER BY c.position, c.check_name
$$;
COMMENT ON FUNCTION @extschema@.verify_match(text) IS
'Checks that a match adds up, one row a check: totals, time line, cells at every '
'resolution, countries, and a recount of ballots, attached tables and shards';
REVOKE ALL ON FUNCTION @extschema@.verify_match(text) FROM PUBLIC;

CREATE FUNCTION @extschema@.rebuild_match(match_id text)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'rebuild_match_wrapper';
COMMENT ON FUNCTION @extschema@.rebuild_match(text) IS
'Counts a match again from its ballots and attached tables, at once for readers and '
'while votes go on; returns its votes. Refused where a vote has no source';
REVOKE ALL ON FUNCTION @extschema@.rebuild_match(text) FROM PUBLIC;
