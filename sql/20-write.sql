-- Writing. No SECURITY DEFINER, no SET: these parse no SQL on their way, and EXECUTE on them is the permission.

CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'record_vote_wrapper';
COMMENT ON FUNCTION @extschema@.record_vote(text, text, text, text, bigint) IS
'Counts votes (1 to 10^12) for a team in the match''s total, time line, cell and country; cell and country may be NULL';
REVOKE ALL ON FUNCTION @extschema@.record_vote(text, text, text, text, bigint) FROM PUBLIC;
CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index bigint,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'record_vote_wrapper';
COMMENT ON FUNCTION @extschema@.record_vote(text, text, bigint, text, bigint) IS
'Counts votes (1 to 10^12) for a team in the match''s total, time line, cell and country; cell and country may be NULL';
REVOKE ALL ON FUNCTION @extschema@.record_vote(text, text, bigint, text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.increment_h3_aggregate(text, text, integer, text, bigint) IS
'Counts votes at the cell, coarsened to resolution (NULL: the cell''s own), and in the match''s total';
REVOKE ALL ON FUNCTION @extschema@.increment_h3_aggregate(text, text, integer, text, bigint) FROM PUBLIC;
CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index bigint, resolution integer,
    team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint) IS
'Counts votes at the cell, coarsened to resolution (NULL: the cell''s own), and in the match''s total';
REVOKE ALL ON FUNCTION @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint) FROM PUBLIC;
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.update_h3_aggregate(text, text, integer, text, bigint) IS
'The older name of increment_h3_aggregate';
REVOKE ALL ON FUNCTION @extschema@.update_h3_aggregate(text, text, integer, text, bigint) FROM PUBLIC;
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index bigint, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint) IS
'The older name of increment_h3_aggregate';
REVOKE ALL ON FUNCTION @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.increment_country_aggregate(match_id text, country_code text, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_country_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.increment_country_aggregate(text, text, text, bigint) IS
'Says from which country votes came that are counted already: they count in the country, not again in the total';
REVOKE ALL ON FUNCTION @extschema@.increment_country_aggregate(text, text, text, bigint) FROM PUBLIC;
CREATE FUNCTION @extschema@.update_country_aggregate(match_id text, country_code text, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_country_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.update_country_aggregate(text, text, text, bigint) IS
'The older name of increment_country_aggregate';
REVOKE ALL ON FUNCTION @extschema@.update_country_aggregate(text, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.bulk_increment(votes jsonb)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_jsonb_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_increment(jsonb) IS
'Counts an array of {match_id, team_choice, h3_index?, resolution?, country_code?, '
'votes?}, keys in camelCase as well, all or nothing; returns the votes counted';
REVOKE ALL ON FUNCTION @extschema@.bulk_increment(jsonb) FROM PUBLIC;
CREATE FUNCTION @extschema@.bulk_increment(match_id text, team_choices text[], h3_indexes bigint[] DEFAULT NULL,
    country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_arrays_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]) IS
'Counts votes of one match given as arrays of the same length, all or nothing; returns the votes counted';
REVOKE ALL ON FUNCTION @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]) FROM PUBLIC;
CREATE FUNCTION @extschema@.bulk_update_aggregates(votes jsonb)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_jsonb_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_update_aggregates(jsonb) IS
'The older name of bulk_increment';
REVOKE ALL ON FUNCTION @extschema@.bulk_update_aggregates(jsonb) FROM PUBLIC;
CREATE FUNCTION @extschema@.bulk_update_aggregates(match_id text, team_choices text[],
    h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'bulk_increment_arrays_wrapper';
COMMENT ON FUNCTION @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]) IS
'The older name of bulk_increment';
REVOKE ALL ON FUNCTION @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]) FROM PUBLIC;

CREATE FUNCTION @extschema@.record_votes(match_ids text[], team_choices text[], h3_indexes bigint[] DEFAULT NULL,
    country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'record_votes_wrapper';
COMMENT ON FUNCTION @extschema@.record_votes(text[], text[], bigint[], text[], bigint[]) IS
'Counts up to 10,000 votes of any matches, each with its own outcome: counted or refused';
REVOKE ALL ON FUNCTION @extschema@.record_votes(text[], text[], bigint[], text[], bigint[]) FROM PUBLIC;
