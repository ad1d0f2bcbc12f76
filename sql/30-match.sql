-- Opening and ending matches. SECURITY DEFINER, because they write tables that nobody else may touch.

CREATE FUNCTION @extschema@.open_match(match_id text, teams text[] DEFAULT NULL, opens_at timestamptz DEFAULT NULL,
    closes_at timestamptz DEFAULT NULL, changes_allowed boolean DEFAULT true)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'open_match_wrapper';
COMMENT ON FUNCTION @extschema@.open_match(text, text[], timestamptz, timestamptz, boolean) IS
'Opens a match, or changes an open one: teams (NULL: any) are the only names votes may have, and votes '
'are taken from opens_at until closes_at; changes_allowed: voters may change their ballots';
REVOKE ALL ON FUNCTION @extschema@.open_match(text, text[], timestamptz, timestamptz, boolean) FROM PUBLIC;

CREATE FUNCTION @extschema@.close_match(match_id text)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'close_match_wrapper';
COMMENT ON FUNCTION @extschema@.close_match(text) IS
'Ends voting from the next vote on; the totals are final once every earlier transaction has ended (status final)';
REVOKE ALL ON FUNCTION @extschema@.close_match(text) FROM PUBLIC;

CREATE FUNCTION @extschema@.purge_match(match_id text)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'purge_match_wrapper';
COMMENT ON FUNCTION @extschema@.purge_match(text) IS
'Erases a match and all that was counted for it; returns the votes erased. In an open match, '
'ballots on which voters are at work stay';
REVOKE ALL ON FUNCTION @extschema@.purge_match(text) FROM PUBLIC;

-- One match on many shards.

CREATE FUNCTION vote_agg.shard_of(voter_id text, shards integer)
RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shard_of_wrapper';
COMMENT ON FUNCTION vote_agg.shard_of(text, integer) IS
'The shard, from 0, that has the ballots of a voter where a match is on so many (1 to 1024)';

CREATE FUNCTION vote_agg.place_match(match_id text, shard integer, shards integer, teams text[] DEFAULT NULL,
    opens_at timestamptz DEFAULT NULL, closes_at timestamptz DEFAULT NULL, changes_allowed boolean DEFAULT true)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'place_match_wrapper';
COMMENT ON FUNCTION vote_agg.place_match(text, integer, integer, text[], timestamptz, timestamptz, boolean) IS
'open_match on one of many shards: this one, from 0, takes the ballots of its own voters only; one past the last takes '
'none. A match keeps its place';

-- What a front reads to know where a match is.
CREATE FUNCTION vote_agg.placements(wanted text DEFAULT NULL)
RETURNS TABLE (match_id text, shard integer, shards integer, teams text[], opens_at timestamptz,
    closes_at timestamptz, changes_allowed boolean, is_open boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.match_id, m.shard, m.shards, m.teams, m.opens_at, m.closes_at, m.changes_allowed,
           m.closed_at IS NULL AND m.ended_at IS NULL AND m.finalized_at IS NULL
    FROM vote_agg.match m
    WHERE $1 IS NULL OR m.match_id OPERATOR(pg_catalog.=) $1 COLLATE "C"
$$;
COMMENT ON FUNCTION vote_agg.placements(text) IS
'The matches that were opened here by name (NULL: all), and which of many shards this one is for each; '
'is_open: they have not ended';
