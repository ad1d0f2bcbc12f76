-- The root of many nodes: each shard is a source. A puller outside asks the shards and hands on what they say; here the
-- difference to what they said before becomes pending votes, and the rest is any fold's.

CREATE TABLE vote_agg.shard (
    name text COLLATE "C" PRIMARY KEY,
    number smallint NOT NULL UNIQUE,
    incarnation bigint NOT NULL DEFAULT 1,
    system text COLLATE "C",
    timeline bigint,
    database bigint,
    followed_at timestamptz NOT NULL,
    left_at timestamptz,
    seen_at timestamptz,
    skew_ms double precision,
    waiting bigint,
    last_error text,
    last_error_at timestamptz
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.shard IS 'Nodes whose votes are counted here too';
COMMENT ON COLUMN vote_agg.shard.number IS 'What feed.sources calls it; no other source gets the same';
COMMENT ON COLUMN vote_agg.shard.incarnation IS
'Counts purges, so that what was asked for before one is not applied after it';
COMMENT ON COLUMN vote_agg.shard.system IS 'The cluster that answered last; an older time line of it is refused';
COMMENT ON COLUMN vote_agg.shard.left_at IS
'When unfollow was called: the end of a match does not wait for it any more';
COMMENT ON COLUMN vote_agg.shard.seen_at IS 'When a puller last had an answer';

CREATE UNIQUE INDEX shard_database ON vote_agg.shard (system, database) WHERE left_at IS NULL;
COMMENT ON INDEX vote_agg.shard_database IS 'One database is one shard: under two names its votes would count twice';

-- fillfactor: as for aggregates, each row's next version has room on its page.
CREATE TABLE vote_agg.shard_head (
    match_id text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    epoch text COLLATE "C",
    seq bigint NOT NULL,
    teams text[] COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL,
    unplaced bigint[] NOT NULL,
    sources smallint[] NOT NULL,
    source_votes bigint[] NOT NULL,
    is_final boolean NOT NULL,
    applied_at timestamptz NOT NULL,
    alarm text,
    PRIMARY KEY (match_id, shard)
) USING heap WITH (fillfactor = 25);
COMMENT ON TABLE vote_agg.shard_head IS
'How far each match of each shard is applied, and what the shard said of it then';
COMMENT ON COLUMN vote_agg.shard_head.epoch IS 'NULL: the shard has nothing of the match (any more)';
COMMENT ON COLUMN vote_agg.shard_head.teams IS 'As the shard numbers them: its counts are in this order';
COMMENT ON COLUMN vote_agg.shard_head.sources IS 'The sources of the shard, by its own numbers';
COMMENT ON COLUMN vote_agg.shard_head.is_final IS 'Has the shard said that no vote of the match can come any more?';
COMMENT ON COLUMN vote_agg.shard_head.alarm IS
'What the shard said after the match was final here, which was not counted';

CREATE TABLE vote_agg.mirror (
    match_id text COLLATE "C" NOT NULL,
    key bigint NOT NULL,
    shard smallint NOT NULL,
    kind smallint NOT NULL,
    votes bigint[] NOT NULL,
    PRIMARY KEY (match_id, shard, kind, key)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.mirror IS 'What each shard has of a match, as it was applied: the next difference is to this';
COMMENT ON COLUMN vote_agg.mirror.kind IS '0 cells, 1 countries, 2 minutes, 3 minutes of countries';

SELECT pg_catalog.pg_extension_config_dump('vote_agg.shard', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.shard_head', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.mirror', '');

CREATE FUNCTION vote_agg.follow(shard text)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'follow_wrapper';
COMMENT ON FUNCTION vote_agg.follow(text) IS
'Makes this database the root of a shard, under a name that the puller uses: its votes are counted here too, and no '
'match is final here before the shards say so';

CREATE FUNCTION vote_agg.unfollow(shard text)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'unfollow_wrapper';
COMMENT ON FUNCTION vote_agg.unfollow(text) IS
'Takes nothing more from a shard. What it brought stays counted, and no match waits for it; follow takes it up again';

CREATE FUNCTION vote_agg.apply_pull(shard text, incarnation bigint, epoch text, seq bigint, rows json,
    OUT outcome text, OUT next_incarnation bigint, OUT next_epoch text, OUT next_seq bigint)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS 'MODULE_PATHNAME', 'apply_pull_wrapper';
COMMENT ON FUNCTION vote_agg.apply_pull(text, bigint, text, bigint, json) IS
'Counts what a shard says of a match (get_match_rows), if incarnation, epoch and seq are still those it was asked '
'with: applied, behind (others are; nothing changed), or alarm (the match is final; nothing counted), and what to '
'ask with next';

CREATE FUNCTION vote_agg.get_shard(shard text, OUT number smallint, OUT incarnation bigint,
    OUT match_ids text[], OUT epochs text[], OUT seqs bigint[])
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1 SECURITY DEFINER SET search_path = pg_catalog,
    pg_temp AS $$
    SELECT s.number, s.incarnation, h.match_ids, h.epochs, h.seqs FROM vote_agg.shard s CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(d.match_id ORDER BY d.match_id), '{}'),
               coalesce(array_agg(d.epoch ORDER BY d.match_id), '{}'),
               coalesce(array_agg(d.seq ORDER BY d.match_id), '{}')
        FROM vote_agg.shard_head d WHERE d.shard = s.number) AS h(match_ids, epochs, seqs)
    WHERE s.name = $1 AND s.left_at IS NULL
$$;
COMMENT ON FUNCTION vote_agg.get_shard(text) IS
'How far a shard is applied: what a puller begins with. No row: it is not followed';

CREATE FUNCTION vote_agg.note_shard(shard text, clock timestamptz, waiting bigint, error text DEFAULT NULL)
RETURNS text[] LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE vote_agg.shard s SET
        seen_at = CASE WHEN $2 IS NULL THEN s.seen_at ELSE clock_timestamp() END,
        skew_ms = CASE WHEN $2 IS NULL THEN s.skew_ms ELSE 1000 * extract(epoch FROM $2 - clock_timestamp()) END,
        waiting = $3, last_error = left($4, 1000),
        last_error_at = CASE WHEN $4 IS NULL THEN s.last_error_at ELSE clock_timestamp() END
    WHERE s.name = $1;
    SELECT coalesce(array_agg(m.match_id), '{}') FROM vote_agg.match m
    JOIN vote_agg.shard s ON s.name = $1 AND s.left_at IS NULL
    LEFT JOIN vote_agg.shard_head h ON h.match_id = m.match_id AND h.shard = s.number
    WHERE m.closed_at IS NOT NULL AND m.finalized_at IS NULL AND (h.epoch IS NULL AND h.is_final IS NOT TRUE)
$$;
COMMENT ON FUNCTION vote_agg.note_shard(text, timestamptz, bigint, text) IS
'What a puller says of a shard: its clock (NULL: no answer), how many matches wait to be applied, the last error. '
'Returns matches whose end waits for the shard though it has never named them: it may not have them';

CREATE FUNCTION vote_agg.shards_are_final(match_id text)
RETURNS boolean LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM vote_agg.shard) THEN true ELSE (
        SELECT pg_catalog.count(*) > 0 AND bool_and(coalesce(h.is_final, false))
        FROM vote_agg.shard s LEFT JOIN vote_agg.shard_head h ON h.match_id = $1 AND h.shard = s.number
        WHERE s.left_at IS NULL) END
$$;
COMMENT ON FUNCTION vote_agg.shards_are_final(text) IS
'Has every shard said that no vote of the match can come any more? True where none is followed (internal)';

CREATE VIEW vote_agg.stat_shards AS
SELECT s.name AS shard, s.number AS source, s.followed_at, s.left_at, s.seen_at,
       extract(epoch FROM
           pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) coalesce(s.seen_at, s.followed_at))::double precision
           AS lag_s,
       s.skew_ms, s.waiting, h.matches, h.alarms, s.system, s.timeline, s.last_error, s.last_error_at
FROM vote_agg.shard AS s CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS matches, pg_catalog.count(d.alarm) AS alarms
    FROM vote_agg.shard_head d WHERE d.shard OPERATOR(pg_catalog.=) s.number) AS h;
COMMENT ON VIEW vote_agg.stat_shards IS
'The shards that this root follows: when a puller last had an answer, how far the shard''s clock is ahead, matches '
'that wait to be applied, matches that it brought, and those that changed there after they were final here';
