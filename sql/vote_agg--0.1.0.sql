\echo Use "CREATE EXTENSION vote_agg" to load this file. \quit
-- Tables. Nobody but the extension's functions touches them.
--
-- Counts are bigint[] with one number a team, in the order of the match's teams (feed.teams of its newest row); a list
-- that ends early means zeros. Every per-match table has match_id in its key, so that a match can live on one shard.

CREATE SCHEMA vote_agg;
COMMENT ON SCHEMA vote_agg IS 'vote_agg: tables, views and the operator''s functions';

CREATE TABLE vote_agg.match (
    match_id text COLLATE "C" PRIMARY KEY,
    teams text[] COLLATE "C",
    opens_at timestamptz,
    closes_at timestamptz,
    closed_at timestamptz,
    finalized_at timestamptz,
    created_at timestamptz NOT NULL,
    waiting text[] COLLATE "C",
    run timestamptz,
    changes_allowed boolean NOT NULL DEFAULT true,
    ballots text COLLATE "C" NOT NULL DEFAULT 'kept' CHECK (ballots OPERATOR(pg_catalog.=) ANY ('{kept,leaving,erased}'))
);
COMMENT ON TABLE vote_agg.match IS 'Matches that were opened or closed by name';
COMMENT ON COLUMN vote_agg.match.teams IS 'The only teams that can be voted for; NULL: any';
COMMENT ON COLUMN vote_agg.match.closed_at IS 'When close_match was called';
COMMENT ON COLUMN vote_agg.match.finalized_at IS 'When every vote cast before the end was counted; the totals are final';
COMMENT ON COLUMN vote_agg.match.waiting IS 'Transactions that may hold votes from before the end; the totals are final once they are gone';
COMMENT ON COLUMN vote_agg.match.run IS 'The server run in which waiting means something';
COMMENT ON COLUMN vote_agg.match.changes_allowed IS 'May voters change their ballots?';
COMMENT ON COLUMN vote_agg.match.ballots IS 'kept, or being erased or erased after vote_agg.ballot_retention: what they counted can be verified and rebuilt no more';
CREATE INDEX match_ending ON vote_agg.match (match_id)
    WHERE finalized_at IS NULL AND (closed_at IS NOT NULL OR closes_at IS NOT NULL);
COMMENT ON INDEX vote_agg.match_ending IS 'Matches that a fold may have to finalise';

-- Two heaps take turns. No index, no constraint that reads another row: an append waits for nobody. A row without a match
-- is the anchor of the low-water mark (see ARCHITECTURE.md), no vote.
CREATE TABLE vote_agg.pending_1 (
    h3_index bigint,
    votes bigint NOT NULL,
    at timestamptz NOT NULL,
    source smallint NOT NULL,
    in_total boolean NOT NULL,
    match_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    country_code text COLLATE "C"
);
COMMENT ON TABLE vote_agg.pending_1 IS 'Votes that are not folded yet: the first of two heaps that take turns';
CREATE TABLE vote_agg.pending_2 (
    h3_index bigint,
    votes bigint NOT NULL,
    at timestamptz NOT NULL,
    source smallint NOT NULL,
    in_total boolean NOT NULL,
    match_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    country_code text COLLATE "C"
);
COMMENT ON TABLE vote_agg.pending_2 IS 'Votes that are not folded yet: the second of two heaps that take turns';

-- Written below SQL (src/ballot_box.rs): the key is the only arbiter of one voter, one vote. fillfactor: as below.
CREATE TABLE vote_agg.ballot (
    h3_index bigint,
    match_id text COLLATE "C" NOT NULL,
    voter_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    country_code text COLLATE "C",
    PRIMARY KEY (match_id, voter_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE vote_agg.ballot IS 'Where the vote of each voter counts: what is needed to move or retract it, no more';

-- fillfactor: room on its page for each row's next version.
CREATE TABLE vote_agg.h3_aggregate (
    match_id text COLLATE "C" NOT NULL,
    h3_index bigint NOT NULL,
    votes bigint[] NOT NULL,
    leader integer,
    leader_before integer
) WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.h3_aggregate IS 'Folded votes by match and cell';
COMMENT ON COLUMN vote_agg.h3_aggregate.leader IS 'The leader that was told last, by its place in the list of teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.h3_aggregate.leader_before IS 'The same before the last fold that changed this row: where they differ, that fold told of it';
CREATE INDEX h3_aggregate_key ON vote_agg.h3_aggregate (match_id, h3_index);
COMMENT ON INDEX vote_agg.h3_aggregate_key IS 'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';

CREATE TABLE vote_agg.country_aggregate (
    match_id text COLLATE "C" NOT NULL,
    country_code text COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL,
    leader integer,
    leader_before integer
) WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.country_aggregate IS 'Folded votes by match and country';
COMMENT ON COLUMN vote_agg.country_aggregate.leader IS 'The leader that was told last, by its place in the list of teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.country_aggregate.leader_before IS 'The same before the last fold that changed this row: where they differ, that fold told of it';
CREATE INDEX country_aggregate_key ON vote_agg.country_aggregate (match_id, country_code);
COMMENT ON INDEX vote_agg.country_aggregate_key IS 'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';

CREATE TABLE vote_agg.timeline (
    match_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    votes bigint[] NOT NULL,
    kept_from timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.timeline IS
'Folded votes by match and minute, by the clock of the call that recorded them. Bucket -infinity is the opening balance: the sum of what retention erased';
COMMENT ON COLUMN vote_agg.timeline.kept_from IS 'In the opening balance: where the buckets that are kept start';
CREATE INDEX timeline_key ON vote_agg.timeline (match_id, bucket);
COMMENT ON INDEX vote_agg.timeline_key IS 'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';
CREATE INDEX timeline_bucket ON vote_agg.timeline USING brin (bucket);
COMMENT ON INDEX vote_agg.timeline_bucket IS 'Finds buckets older than vote_agg.timeline_retention';

-- A table of its own and not a wider key of timeline: the chart of a match reads a row a minute, not one a minute and country.
CREATE TABLE vote_agg.country_timeline (
    match_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    country_code text COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE vote_agg.country_timeline IS 'Folded votes by match, minute and country; bucket -infinity is the opening balance of each country';
CREATE INDEX country_timeline_key ON vote_agg.country_timeline (match_id, bucket, country_code);
COMMENT ON INDEX vote_agg.country_timeline_key IS 'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';
CREATE INDEX country_timeline_bucket ON vote_agg.country_timeline USING brin (bucket);
COMMENT ON INDEX vote_agg.country_timeline_bucket IS 'Finds buckets older than vote_agg.timeline_retention';

-- A match's totals are those of its newest feed row: an append, found by a backward scan of the key, costs the same
-- however many versions an old snapshot keeps alive. An updated counter row would not.
CREATE TABLE vote_agg.feed (
    match_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL,
    at timestamptz NOT NULL,
    born timestamptz NOT NULL,
    teams text[] COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL,
    unplaced bigint[] NOT NULL,
    cells bigint NOT NULL,
    countries bigint NOT NULL,
    last_vote_at timestamptz,
    minute timestamptz NOT NULL,
    sources smallint[] NOT NULL,
    source_votes bigint[] NOT NULL,
    emptied bigint NOT NULL,
    minute_votes bigint[] NOT NULL,
    leader integer,
    lead_changes bigint NOT NULL,
    lead_changed_at timestamptz,
    lead_changed_from integer,
    lead_changed_to integer,
    body text NOT NULL,
    doorbell text,
    PRIMARY KEY (match_id, seq)
);
COMMENT ON TABLE vote_agg.feed IS 'One row a match a fold: the match''s totals and the message that tells what changed';
COMMENT ON COLUMN vote_agg.feed.seq IS 'Counts 1, 2, 3 … per match, in commit order';
COMMENT ON COLUMN vote_agg.feed.epoch IS 'Names the history that seq belongs to';
COMMENT ON COLUMN vote_agg.feed.born IS 'When the match was first folded, part of the epoch: a purged match that comes back starts a new history';
COMMENT ON COLUMN vote_agg.feed.unplaced IS 'The part of votes that has no cell';
COMMENT ON COLUMN vote_agg.feed.cells IS 'How many cells have votes';
COMMENT ON COLUMN vote_agg.feed.countries IS 'How many countries have votes';
COMMENT ON COLUMN vote_agg.feed.sources IS 'Where the votes came from: 0 calls, 1 ballots, others see vote_agg.source';
COMMENT ON COLUMN vote_agg.feed.source_votes IS 'How many votes of each source are counted';
COMMENT ON COLUMN vote_agg.feed.emptied IS 'How often a cell or country lost its last vote';
COMMENT ON COLUMN vote_agg.feed.minute IS 'The newest minute with votes';
COMMENT ON COLUMN vote_agg.feed.minute_votes IS 'Votes of that minute and of the five before it, newest first';
COMMENT ON COLUMN vote_agg.feed.leader IS 'The leader that was told last, by its place in teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.feed.lead_changes IS 'How often one team took the lead from another; when it last did, from whom and to whom are the columns after it';
COMMENT ON COLUMN vote_agg.feed.doorbell IS 'What NOTIFY carries where the body has no room';
CREATE INDEX feed_at ON vote_agg.feed USING brin (at);
COMMENT ON INDEX vote_agg.feed_at IS 'Finds rows older than vote_agg.feed_retention';

CREATE TABLE vote_agg.fold_log (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    folds bigint NOT NULL,
    total_rows bigint NOT NULL,
    last_at timestamptz,
    last_rows bigint NOT NULL,
    last_duration_ms double precision NOT NULL,
    last_lag_ms double precision NOT NULL,
    last_error text,
    last_error_at timestamptz,
    pruned_at timestamptz NOT NULL,
    current_heap smallint NOT NULL,
    drained boolean NOT NULL,
    file_1 oid NOT NULL,
    mark_1 bigint NOT NULL,
    file_2 oid NOT NULL,
    mark_2 bigint NOT NULL,
    sized bigint,
    waiting text[] COLLATE "C",
    run timestamptz
);
COMMENT ON TABLE vote_agg.fold_log IS 'One row a fold that did something; the newest is the state of pending and of the folder';
COMMENT ON COLUMN vote_agg.fold_log.last_error IS 'Why the last fold failed; NULL once one succeeded';
COMMENT ON COLUMN vote_agg.fold_log.pruned_at IS 'When rows past their time were last deleted from feed and fold_log';
COMMENT ON COLUMN vote_agg.fold_log.current_heap IS 'Which of pending_1 and pending_2 takes new votes';
COMMENT ON COLUMN vote_agg.fold_log.drained IS 'The other heap holds nothing and gets nothing until its turn comes';
COMMENT ON COLUMN vote_agg.fold_log.file_1 IS 'The file of pending_1 that mark_1 is about; another file means mark 0';
COMMENT ON COLUMN vote_agg.fold_log.mark_1 IS 'Low water: no row below this block of pending_1 counts, now or ever';
COMMENT ON COLUMN vote_agg.fold_log.sized IS 'Blocks of the current heap when the transactions of waiting held it: the next mark, once they are gone';
COMMENT ON COLUMN vote_agg.fold_log.waiting IS 'Virtual transaction ids';
COMMENT ON COLUMN vote_agg.fold_log.run IS 'The server run in which waiting means something';

-- Data that a dump carries. fold_log is about this cluster's files, so its rows stay behind.
SELECT pg_catalog.pg_extension_config_dump('vote_agg.match', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.pending_1', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.pending_2', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.ballot', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.h3_aggregate', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.country_aggregate', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.timeline', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.country_timeline', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.feed', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.fold_log', 'WHERE false');
-- Writing. No SECURITY DEFINER, no SET: these parse no SQL on their way, and EXECUTE on them is the permission.

CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index text DEFAULT NULL, country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'record_vote_wrapper';
COMMENT ON FUNCTION @extschema@.record_vote(text, text, text, text, bigint) IS
'Counts votes (1 to 10^12) for a team in the match''s total, time line, cell and country; cell and country may be NULL';
CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index bigint, country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'record_vote_bigint_wrapper';
COMMENT ON FUNCTION @extschema@.record_vote(text, text, bigint, text, bigint) IS
'Counts votes (1 to 10^12) for a team in the match''s total, time line, cell and country; cell and country may be NULL';

CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.increment_h3_aggregate(text, text, integer, text, bigint) IS
'Counts votes at the cell, coarsened to resolution (NULL: the cell''s own), and in the match''s total';
CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index bigint, resolution integer, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_bigint_wrapper';
COMMENT ON FUNCTION @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint) IS
'Counts votes at the cell, coarsened to resolution (NULL: the cell''s own), and in the match''s total';
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.update_h3_aggregate(text, text, integer, text, bigint) IS
'The older name of increment_h3_aggregate';
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index bigint, resolution integer, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_bigint_wrapper';
COMMENT ON FUNCTION @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint) IS
'The older name of increment_h3_aggregate';

CREATE FUNCTION @extschema@.increment_country_aggregate(match_id text, country_code text, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_country_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.increment_country_aggregate(text, text, text, bigint) IS
'Says from which country votes came that are counted already: they count in the country, not again in the total';
CREATE FUNCTION @extschema@.update_country_aggregate(match_id text, country_code text, team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_country_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.update_country_aggregate(text, text, text, bigint) IS
'The older name of increment_country_aggregate';

CREATE FUNCTION @extschema@.bulk_increment(votes jsonb)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_jsonb_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_increment(jsonb) IS
'Counts an array of {match_id, team_choice, h3_index?, resolution?, country_code?, votes?}, keys in camelCase as well, all or nothing; returns the votes counted';
CREATE FUNCTION @extschema@.bulk_increment(match_id text, team_choices text[], h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_arrays_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]) IS
'Counts votes of one match given as arrays of the same length, all or nothing; returns the votes counted';
CREATE FUNCTION @extschema@.bulk_update_aggregates(votes jsonb)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_jsonb_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_update_aggregates(jsonb) IS
'The older name of bulk_increment';
CREATE FUNCTION @extschema@.bulk_update_aggregates(match_id text, team_choices text[], h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_arrays_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]) IS
'The older name of bulk_increment';
-- Ballots: one voter, one vote. Like the functions of write.sql they parse no SQL, and EXECUTE on them is the permission.

CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index text DEFAULT NULL, country_code text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_wrapper';
COMMENT ON FUNCTION @extschema@.cast_vote(text, text, text, text, text) IS
'Casts a voter''s one vote in a match: counted (the first), changed (moved from where it was) or unchanged (a retry)';
CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index bigint, country_code text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_bigint_wrapper';
COMMENT ON FUNCTION @extschema@.cast_vote(text, text, text, bigint, text) IS
'Casts a voter''s one vote in a match: counted (the first), changed (moved from where it was) or unchanged (a retry)';

CREATE FUNCTION @extschema@.retract_vote(match_id text, voter_id text)
RETURNS boolean LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'retract_vote_wrapper';
COMMENT ON FUNCTION @extschema@.retract_vote(text, text) IS
'Takes a voter''s vote in a match back; false when there is none';
-- Opening and ending matches. SECURITY DEFINER, because they write tables that nobody else may touch.

CREATE FUNCTION @extschema@.open_match(match_id text, teams text[] DEFAULT NULL, opens_at timestamptz DEFAULT NULL, closes_at timestamptz DEFAULT NULL, changes_allowed boolean DEFAULT true)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'open_match_wrapper';
COMMENT ON FUNCTION @extschema@.open_match(text, text[], timestamptz, timestamptz, boolean) IS
'Opens a match, or changes an open one: teams (NULL: any) are the only names votes may have, and votes are taken from opens_at until closes_at; changes_allowed: voters may change their ballots';

CREATE FUNCTION @extschema@.close_match(match_id text)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'close_match_wrapper';
COMMENT ON FUNCTION @extschema@.close_match(text) IS
'Ends voting from the next vote on; the totals are final once every earlier transaction has ended (status final)';

CREATE FUNCTION @extschema@.purge_match(match_id text)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'purge_match_wrapper';
COMMENT ON FUNCTION @extschema@.purge_match(text) IS
'Erases a match and all that was counted for it; returns the votes erased';
-- Folding pending votes into the aggregates, and telling everyone.

CREATE FUNCTION vote_agg.add_votes(bigint[], bigint[])
RETURNS bigint[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'add_votes_wrapper';
COMMENT ON FUNCTION vote_agg.add_votes(bigint[], bigint[]) IS 'The sum of two lists of counts, team by team (internal)';

CREATE FUNCTION vote_agg.leader_after(votes bigint[], change bigint[], leader integer, margin double precision)
RETURNS integer LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'leader_after_wrapper';
COMMENT ON FUNCTION vote_agg.leader_after(bigint[], bigint[], integer, double precision) IS
'The leader that is told once change is added to votes; leader: the one told before (internal)';

CREATE FUNCTION vote_agg.unpack(packed bytea)
RETURNS TABLE (key bigint, place tid, votes bigint[]) LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'unpack_wrapper';
COMMENT ON FUNCTION vote_agg.unpack(bytea) IS 'The lists of counts that a fold passes to its statements in one value (internal)';

CREATE FUNCTION vote_agg.fold()
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS 'MODULE_PATHNAME', 'fold_wrapper';
COMMENT ON FUNCTION vote_agg.fold() IS
'Folds all pending votes that this transaction can see; returns the rows folded, 0 when somebody else is folding';

CREATE FUNCTION vote_agg.notify_feed()
RETURNS trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Only folds insert here, so only folds ever hold the notification lock. Restored rows are old news.
    PERFORM pg_catalog.pg_notify(
        coalesce(nullif(pg_catalog.current_setting('vote_agg.channel', true), ''), 'vote_agg'),
        coalesce(f.doorbell, f.body))
    FROM new_feed f
    WHERE f.at > pg_catalog.clock_timestamp() - interval '1 minute'
    ORDER BY f.match_id, f.seq;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION vote_agg.notify_feed() IS 'Sends new feed rows to the channel vote_agg.channel';
CREATE TRIGGER notify AFTER INSERT ON vote_agg.feed
    REFERENCING NEW TABLE AS new_feed FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.notify_feed();
COMMENT ON TRIGGER notify ON vote_agg.feed IS 'Sends new rows to the channel vote_agg.channel';
-- Reading: aggregates plus what is pending, in the caller's snapshot, so exact at any moment. STABLE and without a
-- transaction id, so they run on a hot standby too. SECURITY DEFINER, because nobody reads the tables directly.

CREATE FUNCTION @extschema@.get_realtime_stats(match_id text,
    OUT status text, OUT total_votes bigint, OUT votes jsonb, OUT leader text, OUT dominance double precision,
    OUT votes_per_minute bigint, OUT active_cells bigint, OUT active_countries bigint, OUT last_vote_at timestamptz,
    OUT seq bigint, OUT epoch text, OUT votes_last_minute bigint, OUT votes_last_5_minutes bigint,
    OUT lead_changes bigint, OUT last_lead_change_at timestamptz, OUT last_lead_change_from text, OUT last_lead_change_to text)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 COST 100 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_realtime_stats_wrapper';
COMMENT ON FUNCTION @extschema@.get_realtime_stats(text) IS
'The match at this moment, one row, at a cost that does not grow with its votes or cells; votes_last_minute and votes_last_5_minutes are those of the last whole minutes, lead changes those told by the last fold';

CREATE FUNCTION @extschema@.get_match_aggregates(match_id text, resolution integer DEFAULT NULL, min_votes bigint DEFAULT 1, max_cells integer DEFAULT NULL,
    bbox double precision[] DEFAULT NULL, leader text DEFAULT NULL, smooth integer DEFAULT 0)
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_aggregates_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer) IS
'The match by cell, rolled up to resolution (coarser cells stay as they are), biggest first; max_cells keeps the biggest. bbox {west, south, east, north} in degrees keeps cells whose centre is in it (west above east crosses the antimeridian), leader those where that team leads. smooth rings (0 to 5) let the neighbourhood decide who leads and by how much, where a cell d steps away weighs smooth + 1 - d; votes stay as they were counted';

CREATE FUNCTION @extschema@.get_country_aggregates(match_id text, min_votes bigint DEFAULT 1)
RETURNS TABLE (country_code text, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 200 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_country_aggregates_wrapper';
COMMENT ON FUNCTION @extschema@.get_country_aggregates(text, bigint) IS 'The match by country, biggest first';

CREATE FUNCTION @extschema@.get_match_changes(match_id text, since_seq bigint)
RETURNS TABLE (seq bigint, at timestamptz, body json, resync boolean)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_changes_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_changes(text, bigint) IS
'The feed past since_seq; where that is no longer (or not yet) known, one row with resync = true: start from a snapshot';

CREATE FUNCTION @extschema@.get_match_snapshot(match_id text, resolution integer DEFAULT NULL)
RETURNS jsonb LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_snapshot_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_snapshot(text, integer) IS
'The folded state of the match with its seq and epoch: what a follower starts from, then applying changes past that seq';

CREATE FUNCTION @extschema@.calculate_dominance(votes jsonb)
RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'calculate_dominance_wrapper';
COMMENT ON FUNCTION @extschema@.calculate_dominance(jsonb) IS
'(leader - runner-up) / total of votes by team, 0 to 1; 0 in a tie or without votes';
-- Reading the time line: votes by bucket, and the match as it stood at an earlier time. Exact like all reads (see read.sql).

CREATE FUNCTION @extschema@.get_match_timeline(match_id text, bucket interval DEFAULT '1 minute', "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (bucket_start timestamptz, team_choice text, votes bigint, running_total bigint)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_timeline_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz) IS
'Votes by bucket (whole minutes, UTC) and team, those without votes too, with the running total from the match''s beginning; from the bucket that "from" lies in, before "to"';

CREATE FUNCTION @extschema@.get_match_at(match_id text, ts timestamptz)
RETURNS TABLE (as_of timestamptz, country_code text, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 200 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_at_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_at(text, timestamptz) IS
'The match (country_code NULL) and its countries, biggest first, as they stood when the minute of ts began (as_of), by the clock of the calls that recorded votes';
-- Cells and points: pure functions, which anybody may run. Each that takes a cell as text has a twin that takes its 64 bits,
-- without a default up to that argument, so that no call is ambiguous.

CREATE FUNCTION @extschema@.h3_neighbors(h3_index text, k integer DEFAULT 1)
RETURNS SETOF text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 6 AS 'MODULE_PATHNAME', 'h3_neighbors_wrapper';
COMMENT ON FUNCTION @extschema@.h3_neighbors(text, integer) IS
'The cells up to k steps (0 to 500) away, nearest first, without the cell itself; a pentagon has five neighbours';

CREATE FUNCTION @extschema@.h3_neighbors(h3_index bigint, k integer DEFAULT 1)
RETURNS SETOF bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 6 AS 'MODULE_PATHNAME', 'h3_neighbors_bits_wrapper';
COMMENT ON FUNCTION @extschema@.h3_neighbors(bigint, integer) IS
'The cells up to k steps (0 to 500) away, nearest first, without the cell itself; a pentagon has five neighbours';

CREATE FUNCTION @extschema@.h3_parent(h3_index text, resolution integer)
RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_parent_wrapper';
COMMENT ON FUNCTION @extschema@.h3_parent(text, integer) IS 'The cell of a resolution (0 up to the cell''s own) that the cell belongs to';

CREATE FUNCTION @extschema@.h3_parent(h3_index bigint, resolution integer)
RETURNS bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_parent_bits_wrapper';
COMMENT ON FUNCTION @extschema@.h3_parent(bigint, integer) IS 'The cell of a resolution (0 up to the cell''s own) that the cell belongs to';

CREATE FUNCTION @extschema@.h3_from_lat_lng(lat double precision, lng double precision, resolution integer)
RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_from_lat_lng_wrapper';
COMMENT ON FUNCTION @extschema@.h3_from_lat_lng(double precision, double precision, integer) IS
'The cell of a resolution (0 to 15) around a point, in degrees; lat runs from -90 to 90, lng goes round the world';

CREATE FUNCTION @extschema@.h3_to_geojson(h3_index text)
RETURNS json LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_to_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.h3_to_geojson(text) IS
'The cell as a GeoJSON geometry (RFC 7946): a Polygon, or a MultiPolygon where the antimeridian cuts it';

CREATE FUNCTION @extschema@.h3_to_geojson(h3_index bigint)
RETURNS json LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_to_geojson_bits_wrapper';
COMMENT ON FUNCTION @extschema@.h3_to_geojson(bigint) IS
'The cell as a GeoJSON geometry (RFC 7946): a Polygon, or a MultiPolygon where the antimeridian cuts it';
-- Maps: the match by cell as a map wants it. Like all reads, exact at any moment (see read.sql).

CREATE FUNCTION @extschema@.get_top_cells(match_id text, n integer, team text DEFAULT NULL, by text DEFAULT 'votes')
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_top_cells_wrapper';
COMMENT ON FUNCTION @extschema@.get_top_cells(text, integer, text, text) IS
'The n first cells (NULL: all) by votes, those of a team where one is named; or by dominance, of the cells where that team leads; then by votes';

CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index text)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 14 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_cell_wrapper';
COMMENT ON FUNCTION @extschema@.get_cell(text, text) IS
'A cell (relation self), its parents up to resolution 0 (parent) and its neighbours (neighbor), each with the votes of all cells in it';

CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index bigint)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 14 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_cell_bits_wrapper';
COMMENT ON FUNCTION @extschema@.get_cell(text, bigint) IS
'A cell (relation self), its parents up to resolution 0 (parent) and its neighbours (neighbor), each with the votes of all cells in it';

CREATE FUNCTION @extschema@.get_match_geojson(match_id text, resolution integer DEFAULT NULL, min_votes bigint DEFAULT 1,
    bbox double precision[] DEFAULT NULL, territories boolean DEFAULT false)
RETURNS json LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean) IS
'The match as a GeoJSON FeatureCollection (RFC 7946): the cells that get_match_aggregates returns for the same arguments, with h3_index, resolution, votes, total, leader, dominance; or, as territories, cells that touch and have one leader as one outline, with cells, resolution, votes, total, leader, dominance';

CREATE FUNCTION @extschema@.get_match_tile(match_id text, z integer, x integer, y integer, layer text DEFAULT 'votes')
RETURNS bytea LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_tile_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_tile(text, integer, integer, integer, text) IS
'The match in a tile of the Web Mercator map, as a Mapbox vector tile 2.1 (extent 4096, buffer 64): cells of resolution 1 at zoom 0, one finer for each √7 by which the map grows, with h3_index, total, leader (none in a tie), dominance, and votes_ with a team''s name for each team; empty where no cell is';

CREATE FUNCTION @extschema@.match_tile(z integer, x integer, y integer, match_id text, layer text DEFAULT 'votes')
RETURNS bytea LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'match_tile_wrapper';
COMMENT ON FUNCTION @extschema@.match_tile(integer, integer, integer, text, text) IS
'The tile of get_match_tile for tile servers that call a function layer, f(z, x, y, …) returns bytea';
-- Attached tables: those of the application, whose rows are counted as they come, change and go.

CREATE TABLE vote_agg.source (
    relation regclass PRIMARY KEY,
    number smallint NOT NULL UNIQUE,
    state text COLLATE "C" NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY ('{filling,counting,detached}')),
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
);
COMMENT ON TABLE vote_agg.source IS 'Tables that are or were attached';
COMMENT ON COLUMN vote_agg.source.number IS 'What feed.sources calls it; no other table gets the same';
COMMENT ON COLUMN vote_agg.source.state IS 'filling: what was in it before is not counted yet; counting; detached: what was counted stays so';
COMMENT ON COLUMN vote_agg.source.last_error IS 'Why the last fill failed';

CREATE SEQUENCE vote_agg.source_number AS smallint MINVALUE 2;
COMMENT ON SEQUENCE vote_agg.source_number IS 'Numbers of sources, each used once: 0 are calls, 1 ballots';

-- The columns of pending_1: it is written and read in the same way.
CREATE TABLE vote_agg.source_delta (
    h3_index bigint,
    votes bigint NOT NULL,
    at timestamptz NOT NULL,
    source smallint NOT NULL,
    in_total boolean NOT NULL,
    match_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    country_code text COLLATE "C"
);
COMMENT ON TABLE vote_agg.source_delta IS 'What changed in attached tables that are being filled';

SELECT pg_catalog.pg_extension_config_dump('vote_agg.source', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_number', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.source_delta', '');

-- The caller's own rights decide whose table it is; so no SECURITY DEFINER.
CREATE FUNCTION @extschema@.attach_votes(source regclass, match_id name DEFAULT 'match_id', team_choice name DEFAULT 'team_choice',
    h3_index name DEFAULT NULL, country_code name DEFAULT NULL, voter_id name DEFAULT NULL,
    latitude name DEFAULT NULL, longitude name DEFAULT NULL, resolution integer DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'attach_votes_wrapper';
COMMENT ON FUNCTION @extschema@.attach_votes(regclass, name, name, name, name, name, name, name, integer) IS
'Counts a table of the caller''s, each row one vote: what is in it, and from now on every change of it; the names are those of its columns';

CREATE FUNCTION @extschema@.detach_votes(source regclass)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'detach_votes_wrapper';
COMMENT ON FUNCTION @extschema@.detach_votes(regclass) IS
'Stops counting a table of the caller''s; what was counted stays counted';

-- It runs no SQL, and needs no rights but to be called: by triggers that attach_votes made, or it refuses.
CREATE FUNCTION vote_agg.count_rows()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'count_rows_wrapper';
COMMENT ON FUNCTION vote_agg.count_rows() IS 'Counts what a statement did to an attached table';

CREATE FUNCTION vote_agg.lock_source(source oid)
RETURNS boolean LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms' AS $$
BEGIN
    -- Shorter than deadlock_timeout: a writer that has one partition and waits for another is let go, not ended.
    EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source::regclass);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION vote_agg.lock_source(oid) IS 'Locks writers out of a table and its partitions; false where that would take long (internal)';

CREATE FUNCTION vote_agg.fill(source regclass DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fill_wrapper';
COMMENT ON FUNCTION vote_agg.fill(regclass) IS
'Counts what was in an attached table before (NULL: in the next one that waits); returns its rows, NULL when there is nothing to do';

CREATE FUNCTION vote_agg.recount_sources(match_id text)
RETURNS TABLE (source smallint, team_choice text, h3_index bigint, country_code text, votes bigint)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'recount_sources_wrapper';
COMMENT ON FUNCTION vote_agg.recount_sources(text) IS
'What the attached tables hold for a match, counted anew; without those that are being filled';

CREATE FUNCTION vote_agg.attach_stats(OUT source regclass, OUT state text, OUT rows_read bigint, OUT rows_expected bigint,
    OUT percent numeric, OUT attached_at timestamptz, OUT pid integer, OUT last_error text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.relation, s.state, f.rows_read, e.rows,
           CASE WHEN f.rows_read >= e.rows THEN 100 ELSE pg_catalog.round(100.0 * f.rows_read / e.rows, 1) END,
           s.attached_at, f.pid, s.last_error
    FROM vote_agg.source s
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(c.reltuples)::bigint AS rows FROM pg_catalog.pg_class c
        WHERE c.reltuples >= 0 AND c.relkind = 'r' AND (c.oid = s.relation
            OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(s.relation) t))) AS e
    -- A fill reports as a COPY of neither direction (parameter 5); parameter 3 are its rows.
    LEFT JOIN pg_catalog.pg_stat_get_progress_info('COPY') AS p
           ON p.relid = s.relation AND p.param5 = 0 AND s.state = 'filling'
          AND p.datid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    CROSS JOIN LATERAL (SELECT p.param3 AS rows_read, p.pid) AS f
    WHERE s.state <> 'detached' AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)
    ORDER BY s.number
$$;
COMMENT ON FUNCTION vote_agg.attach_stats() IS 'Attached tables, and how far their fills are';

CREATE VIEW vote_agg.stat_attach AS
SELECT a.source, a.state, a.rows_read, a.rows_expected, a.percent, a.attached_at, a.pid, a.last_error FROM vote_agg.attach_stats() AS a;
COMMENT ON VIEW vote_agg.stat_attach IS
'Attached tables: whether what was in them before is counted, and while that is being done its rows so far, an estimate of all, and the process to cancel';

CREATE FUNCTION vote_agg.watch_tables()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'watch_tables_wrapper';
COMMENT ON FUNCTION vote_agg.watch_tables() IS
'Gives triggers to partitions that come to an attached table, takes them from those that go, refuses what would make it uncountable';
CREATE EVENT TRIGGER vote_agg_watch_tables ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'ALTER TABLE') EXECUTE FUNCTION vote_agg.watch_tables();
COMMENT ON EVENT TRIGGER vote_agg_watch_tables IS 'Keeps up with partitions of attached tables';

CREATE FUNCTION vote_agg.before_drop()
RETURNS event_trigger LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'before_drop_wrapper';
COMMENT ON FUNCTION vote_agg.before_drop() IS 'Locks the attached tables before the extension is dropped, so that no writer is waited for in a circle';
CREATE EVENT TRIGGER vote_agg_before_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION') EXECUTE FUNCTION vote_agg.before_drop();
COMMENT ON EVENT TRIGGER vote_agg_before_drop IS 'Locks attached tables before ours';

CREATE FUNCTION vote_agg.forget_dropped()
RETURNS event_trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM vote_agg.source s WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)) THEN
        WITH gone AS (
            DELETE FROM vote_agg.source s
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation) RETURNING s.number)
        DELETE FROM vote_agg.source_delta d USING gone WHERE d.source = gone.number;
    END IF;
END
$$;
COMMENT ON FUNCTION vote_agg.forget_dropped() IS 'Forgets attached tables that are dropped; what was counted stays counted';
CREATE EVENT TRIGGER vote_agg_forget_dropped ON sql_drop EXECUTE FUNCTION vote_agg.forget_dropped();
COMMENT ON EVENT TRIGGER vote_agg_forget_dropped IS 'Forgets attached tables that are dropped';
-- Proof on demand: a match counted again from what remembers its votes, by SQL that shares nothing with the code that counts.

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
        SELECT FROM vote_agg.match m WHERE m.match_id OPERATOR(pg_catalog.=) $1 AND m.ballots OPERATOR(pg_catalog.<>) 'kept')
    UNION ALL
    SELECT s.number, s.relation::pg_catalog.text FROM vote_agg.source s WHERE s.state OPERATOR(pg_catalog.=) 'counting'
$$;
COMMENT ON FUNCTION vote_agg.recountable(text) IS 'The sources whose votes in a match can be counted again (internal)';

CREATE FUNCTION vote_agg.recount(match_id text)
RETURNS TABLE (source smallint, team_choice text, h3_index bigint, country_code text, votes bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT 1::smallint, b.team_choice, b.h3_index, b.country_code, pg_catalog.count(*)
    FROM vote_agg.ballot b WHERE b.match_id OPERATOR(pg_catalog.=) $1 GROUP BY 2, 3, 4
    UNION ALL
    SELECT s.source, s.team_choice, s.h3_index, s.country_code, s.votes FROM vote_agg.recount_sources($1) s
$$;
COMMENT ON FUNCTION vote_agg.recount(text) IS 'What the sources of a match add up to (internal)';

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
        ('team', ''), ('no cell', CASE WHEN r.h3_index IS NULL THEN '' END), ('cell', r.h3_index::text), ('country', r.country_code)
    ) AS k(kind, key) WHERE k.key IS NOT NULL
    GROUP BY 1, 2, 3
), difference AS (
    SELECT kind, count(*) AS keys, min(concat_ws(' ', kind, CASE kind WHEN 'cell' THEN to_hex(key::bigint) ELSE nullif(key, '') END, team) || ': ' || coalesce(r.votes, 0) || ', not ' || coalesce(c.votes, 0)) AS example
    FROM (SELECT * FROM counted WHERE kind NOT LIKE '%minute') c FULL JOIN recounted r USING (kind, key, team)
    WHERE c.votes IS DISTINCT FROM r.votes GROUP BY kind
), line AS (
    SELECT coalesce(sum(c.votes), 0) AS expected, coalesce(sum(m.votes), 0) AS found, count(*) FILTER (WHERE c.votes IS DISTINCT FROM m.votes) AS keys,
           min(concat_ws(' ', key, team)) FILTER (WHERE c.votes IS DISTINCT FROM m.votes) AS example
    FROM (SELECT * FROM counted WHERE kind = 'country') c FULL JOIN (SELECT * FROM counted WHERE kind = 'country minute') m USING (key, team)
), twice AS (
    SELECT coalesce(sum(n - 1), 0) AS rows, min(what) AS example FROM (
        SELECT 'cell ' || to_hex(h.h3_index) AS what, count(*) AS n FROM vote_agg.h3_aggregate h WHERE h.match_id = $1 GROUP BY 1
        UNION ALL SELECT 'country ' || c.country_code, count(*) FROM vote_agg.country_aggregate c WHERE c.match_id = $1 GROUP BY 1
        UNION ALL SELECT 'minute ' || t.bucket, count(*) FROM vote_agg.timeline t WHERE t.match_id = $1 GROUP BY 1
        UNION ALL SELECT concat('minute ', t.bucket, ' in ', t.country_code), count(*) FROM vote_agg.country_timeline t WHERE t.match_id = $1 GROUP BY 1) AS k
    WHERE n > 1
), wrong AS (
    SELECT count(*) AS rows, min(c.kind || ' ' || CASE c.kind WHEN 'cell' THEN to_hex(c.key::bigint) ELSE c.key END || ': ' || c.votes) AS example FROM counted c
    WHERE c.votes < 0 OR c.team IS NULL OR (c.kind = 'cell' AND NOT vote_agg.is_cell(c.key::bigint)) OR (c.kind LIKE 'country%' AND NOT vote_agg.is_country(c.key))
), place AS (
    SELECT f.kind, count(*) AS n FROM folded f
    WHERE f.kind IN ('cell', 'country') AND (SELECT sum(v) FROM unnest(f.votes) AS v) > 0 GROUP BY f.kind
), cell AS MATERIALIZED (
    SELECT c.key::bigint AS cell, (c.key::bigint >> 52 & 15)::integer AS resolution, c.votes
    FROM counted c WHERE c.kind = 'cell' AND (SELECT rows FROM wrong) = 0
), parent AS (
    -- A parent keeps the digits down to its resolution; 7 (three bits set) fills the rest (https://h3geo.org/docs/core-library/h3Indexing).
    SELECT r.resolution, CASE WHEN c.resolution <= r.resolution THEN c.cell ELSE
               (c.cell & ~(15::bigint << 52)) | (r.resolution::bigint << 52) | ((1::bigint << (3 * (15 - r.resolution))) - 1) END AS cell,
           sum(c.votes) AS votes
    FROM cell c, generate_series(0, 15) AS r(resolution)
    WHERE r.resolution < (SELECT max(x.resolution) FROM cell x) GROUP BY 1, 2
), asked AS (
    SELECT r.resolution, a.h3_index, a.total_votes
    FROM (SELECT DISTINCT p.resolution FROM parent p) AS r, @extschema@.get_match_aggregates($1, r.resolution) AS a
), rolled AS (
    SELECT resolution, sum(p.votes) AS expected, sum(a.total_votes) AS found, count(*) FILTER (WHERE p.votes IS DISTINCT FROM a.total_votes) AS keys
    FROM (SELECT p.resolution, lpad(to_hex(p.cell), 15, '0') AS h3_index, p.votes FROM parent p WHERE p.votes <> 0) AS p
    FULL JOIN asked a USING (resolution, h3_index) GROUP BY resolution
), checks(position, check_name, expected, found, ok, detail) AS (
    SELECT 1, 'one row a cell, country and minute', 0, t.rows, t.rows = 0, t.example FROM twice t
    UNION ALL SELECT 2, 'no count below zero, no unknown team, cell or country', 0, w.rows, w.rows = 0, w.example FROM wrong w
    UNION ALL SELECT 3, 'time line = teams', t.teams, t.minutes, NOT EXISTS (SELECT FROM by_team x WHERE x.minutes <> x.teams), NULL FROM by_team t WHERE t.is_all
    UNION ALL SELECT 4, 'time lines of countries = countries', l.expected, l.found, l.keys = 0, l.example FROM line l
    UNION ALL SELECT 5, 'cells and votes without one = teams', t.teams, t.cells, NOT EXISTS (SELECT FROM by_team x WHERE x.cells <> x.teams), NULL FROM by_team t WHERE t.is_all
    UNION ALL SELECT 6, 'countries <= teams', t.teams, t.countries, NOT EXISTS (SELECT FROM by_team x WHERE x.countries > x.teams), NULL FROM by_team t WHERE t.is_all
    UNION ALL SELECT 7, 'number of ' || k.name || ' with votes', coalesce(p.n, 0), k.n, coalesce(p.n, 0) = k.n, NULL
        FROM head h, LATERAL (VALUES ('cell', 'cells', h.cells), ('country', 'countries', h.countries)) AS k(kind, name, n) LEFT JOIN place p USING (kind)
    UNION ALL SELECT 8, 'message = teams', (SELECT sum(v) FROM unnest(h.votes) AS v), (h.body::json #>> '{stats,total}')::numeric,
        NOT EXISTS (SELECT FROM unnest(h.teams, h.votes) AS t(team, votes) WHERE (h.body::json #> '{stats,votes}' ->> t.team)::numeric IS DISTINCT FROM t.votes), NULL FROM head h
    UNION ALL SELECT 9, 'seq without a gap', max(f.seq) - min(f.seq) + 1, count(*), max(f.seq) - min(f.seq) + 1 = count(*), NULL FROM vote_agg.feed f WHERE f.match_id = $1 HAVING count(*) > 0
    UNION ALL SELECT 20 + r.resolution, 'parents = children at resolution ' || r.resolution, coalesce(r.expected, 0), coalesce(r.found, 0), r.keys = 0, NULL FROM rolled r
    UNION ALL SELECT 40 + r.source, r.name || ' recounted', coalesce(x.votes, 0), coalesce(s.votes, 0), coalesce(x.votes, 0) = coalesce(s.votes, 0), NULL
        FROM recountable r LEFT JOIN (SELECT x.source, sum(x.votes) AS votes FROM recount x GROUP BY 1) AS x USING (source) LEFT JOIN source s USING (source)
        WHERE x.votes IS NOT NULL OR s.votes IS NOT NULL
    UNION ALL SELECT 40000, 'votes that nothing remembers', NULL, l.votes, true, 'They cannot be recounted, nor the match rebuilt.' FROM lost l WHERE l.votes <> 0
    UNION ALL SELECT 40001 + k.position, k.name || ' that differ from the recount', 0, coalesce(d.keys, 0), d.keys IS NULL, d.example
        FROM (VALUES (0, 'team', 'teams'), (1, 'cell', 'cells'), (2, 'no cell', 'teams without a cell'), (3, 'country', 'countries')) AS k(position, kind, name)
        LEFT JOIN difference d USING (kind) WHERE (SELECT l.votes FROM lost l) = 0 AND EXISTS (SELECT FROM counted)
)
SELECT c.check_name, c.expected::bigint, c.found::bigint, c.ok, c.detail FROM checks c ORDER BY c.position, c.check_name
$$;
COMMENT ON FUNCTION @extschema@.verify_match(text) IS
'Checks that a match adds up, one row a check: totals, time line, cells at every resolution, countries, and a recount of ballots and attached tables';

CREATE FUNCTION @extschema@.rebuild_match(match_id text)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'rebuild_match_wrapper';
COMMENT ON FUNCTION @extschema@.rebuild_match(text) IS
'Counts a match again from its ballots and attached tables, at once for readers and while votes go on; returns its votes. Refused where a vote has no source';
-- Views for people: one row each thing, made for \watch.

CREATE FUNCTION vote_agg.matches()
RETURNS SETOF text LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'matches_wrapper';
COMMENT ON FUNCTION vote_agg.matches() IS 'Every match that was opened or has votes';

CREATE VIEW vote_agg.live AS
SELECT m.match_id, s.status, s.total_votes, s.votes, s.leader, pg_catalog.round(s.dominance::numeric, 4) AS dominance,
       s.votes_per_minute, s.active_cells, s.active_countries, s.last_vote_at
FROM vote_agg.matches() AS m(match_id)
CROSS JOIN LATERAL @extschema@.get_realtime_stats(m.match_id) AS s
ORDER BY s.total_votes DESC, m.match_id;
COMMENT ON VIEW vote_agg.live IS 'Every match at this moment';

CREATE FUNCTION vote_agg.pending_stats(OUT heap text, OUT is_current boolean, OUT rows bigint, OUT bytes bigint, OUT low_water_bytes bigint, OUT oldest_at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 2 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pending_stats_wrapper';
COMMENT ON FUNCTION vote_agg.pending_stats() IS 'What is pending in each of the two heaps';

CREATE VIEW vote_agg.stat_pending AS
SELECT p.heap, p.is_current, p.rows, p.bytes, p.low_water_bytes, p.oldest_at FROM vote_agg.pending_stats() AS p;
COMMENT ON VIEW vote_agg.stat_pending IS
'What is pending: visible rows, the heap''s size on disk, how much of it lies below low water, the oldest row';

CREATE VIEW vote_agg.stat_fold AS
SELECT coalesce(f.folds, 0) AS folds, coalesce(f.total_rows, 0) AS rows, f.last_at AS last_fold_at, f.last_rows,
       f.last_duration_ms, f.last_lag_ms AS lag_ms, w.pid AS worker_pid, f.last_error, f.last_error_at
FROM (VALUES (1)) AS one(row)
LEFT JOIN LATERAL (SELECT * FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1) AS f ON true
LEFT JOIN LATERAL (
    -- The worker holds this lock as long as it lives; 21 is its class in locks of the extension.
    SELECT l.pid FROM pg_catalog.pg_locks l
    WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.objsubid OPERATOR(pg_catalog.=) 21 AND l.granted
      AND l.database OPERATOR(pg_catalog.=) (
          SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    LIMIT 1) AS w ON true;
COMMENT ON VIEW vote_agg.stat_fold IS
'The folder: folds and rows so far, the last fold''s rows, duration and lag (age of its oldest vote when it was done), the worker''s process, the last error';
COMMENT ON COLUMN vote_agg.stat_fold.lag_ms IS 'Age in milliseconds of the oldest vote of the last fold when that fold was done';
COMMENT ON COLUMN vote_agg.stat_fold.worker_pid IS 'Process id of the background worker of this database; NULL: none is running';
-- Rights. Nothing is executable by PUBLIC but pure functions; a DBA hands out two sets.

CREATE FUNCTION vote_agg.grant_reader(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'GRANT USAGE ON SCHEMA vote_agg, @extschema@ TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT SELECT ON vote_agg.live, vote_agg.stat_fold, vote_agg.stat_pending, vote_agg.stat_attach TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT EXECUTE ON FUNCTION
        @extschema@.get_realtime_stats(text), @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer),
        @extschema@.get_top_cells(text, integer, text, text), @extschema@.get_cell(text, text), @extschema@.get_cell(text, bigint),
        @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean),
        @extschema@.get_match_tile(text, integer, integer, integer, text), @extschema@.match_tile(integer, integer, integer, text, text),
        @extschema@.get_country_aggregates(text, bigint), @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz),
        @extschema@.get_match_at(text, timestamptz),
        @extschema@.get_match_changes(text, bigint), @extschema@.get_match_snapshot(text, integer),
        vote_agg.matches(), vote_agg.pending_stats(), vote_agg.attach_stats() TO ' || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_reader(name) IS 'Lets a role call the read functions and select from the views';

CREATE FUNCTION vote_agg.grant_writer(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'GRANT USAGE ON SCHEMA @extschema@ TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT EXECUTE ON FUNCTION
        @extschema@.record_vote(text, text, text, text, bigint), @extschema@.record_vote(text, text, bigint, text, bigint),
        @extschema@.increment_h3_aggregate(text, text, integer, text, bigint), @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint),
        @extschema@.update_h3_aggregate(text, text, integer, text, bigint), @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint),
        @extschema@.increment_country_aggregate(text, text, text, bigint), @extschema@.update_country_aggregate(text, text, text, bigint),
        @extschema@.bulk_increment(jsonb), @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]),
        @extschema@.bulk_update_aggregates(jsonb), @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]),
        @extschema@.cast_vote(text, text, text, text, text), @extschema@.cast_vote(text, text, text, bigint, text),
        @extschema@.retract_vote(text, text)
        TO ' || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_writer(name) IS 'Lets a role call the functions that record votes';

REVOKE ALL ON FUNCTION
    @extschema@.record_vote(text, text, text, text, bigint), @extschema@.record_vote(text, text, bigint, text, bigint),
    @extschema@.increment_h3_aggregate(text, text, integer, text, bigint), @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint),
    @extschema@.update_h3_aggregate(text, text, integer, text, bigint), @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint),
    @extschema@.increment_country_aggregate(text, text, text, bigint), @extschema@.update_country_aggregate(text, text, text, bigint),
    @extschema@.bulk_increment(jsonb), @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]),
    @extschema@.bulk_update_aggregates(jsonb), @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]),
    @extschema@.cast_vote(text, text, text, text, text), @extschema@.cast_vote(text, text, text, bigint, text),
    @extschema@.retract_vote(text, text),
    @extschema@.open_match(text, text[], timestamptz, timestamptz, boolean), @extschema@.close_match(text), @extschema@.purge_match(text),
    @extschema@.get_realtime_stats(text), @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer),
    @extschema@.get_top_cells(text, integer, text, text), @extschema@.get_cell(text, text), @extschema@.get_cell(text, bigint),
    @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean),
    @extschema@.get_match_tile(text, integer, integer, integer, text), @extschema@.match_tile(integer, integer, integer, text, text),
    @extschema@.get_country_aggregates(text, bigint), @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz),
    @extschema@.get_match_at(text, timestamptz),
    @extschema@.get_match_changes(text, bigint), @extschema@.get_match_snapshot(text, integer),
    @extschema@.verify_match(text), @extschema@.rebuild_match(text),
    @extschema@.attach_votes(regclass, name, name, name, name, name, name, name, integer), @extschema@.detach_votes(regclass)
FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA vote_agg FROM PUBLIC;
