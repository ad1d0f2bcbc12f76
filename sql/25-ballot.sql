-- Ballots: one voter, one vote. Like the functions of 20-write.sql they parse no SQL, and EXECUTE on them is the
-- permission.

CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_wrapper';
COMMENT ON FUNCTION @extschema@.cast_vote(text, text, text, text, text) IS
'Casts a voter''s one vote in a match: counted (the first), changed (moved from where it was) or unchanged (a retry)';
REVOKE ALL ON FUNCTION @extschema@.cast_vote(text, text, text, text, text) FROM PUBLIC;
CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index bigint,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_wrapper';
COMMENT ON FUNCTION @extschema@.cast_vote(text, text, text, bigint, text) IS
'Casts a voter''s one vote in a match: counted (the first), changed (moved from where it was) or unchanged (a retry)';
REVOKE ALL ON FUNCTION @extschema@.cast_vote(text, text, text, bigint, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.retract_vote(match_id text, voter_id text)
RETURNS boolean LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'retract_vote_wrapper';
COMMENT ON FUNCTION @extschema@.retract_vote(text, text) IS
'Takes a voter''s vote in a match back; false when there is none';
REVOKE ALL ON FUNCTION @extschema@.retract_vote(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.cast_votes(match_ids text[], voter_ids text[], team_choices text[],
    h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, turns bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'cast_votes_wrapper';
COMMENT ON FUNCTION @extschema@.cast_votes(text[], text[], text[], bigint[], text[], bigint[]) IS
'Casts the votes of up to 10,000 voters, each with its own outcome: counted, changed, unchanged, superseded (the '
'ballot keeps a higher turn), busy (send it again) or refused';
REVOKE ALL ON FUNCTION @extschema@.cast_votes(text[], text[], text[], bigint[], text[], bigint[]) FROM PUBLIC;

CREATE FUNCTION @extschema@.retract_votes(match_ids text[], voter_ids text[], turns bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'retract_votes_wrapper';
COMMENT ON FUNCTION @extschema@.retract_votes(text[], text[], bigint[]) IS
'Takes the votes of up to 10,000 voters back, each with its own outcome: retracted, unchanged (there was none), '
'superseded, busy or refused';
REVOKE ALL ON FUNCTION @extschema@.retract_votes(text[], text[], bigint[]) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_vote(match_id text, voter_id text)
RETURNS TABLE (team_choice text, h3_index text, country_code text, turn bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT b.team_choice, pg_catalog.to_hex(b.h3_index), b.country_code, b.turn
    FROM vote_agg.ballot b
    WHERE b.match_id OPERATOR(pg_catalog.=) $1 COLLATE "C" AND b.voter_id OPERATOR(pg_catalog.=) $2 COLLATE "C"
$$;
COMMENT ON FUNCTION @extschema@.get_vote(text, text) IS
'A voter''s own vote in a match; team_choice is NULL where it was retracted with a turn';
REVOKE ALL ON FUNCTION @extschema@.get_vote(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.check_door(fingerprint text)
RETURNS boolean LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 OPERATOR(pg_catalog.!~) '^[0-9a-f]{64}$' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a fingerprint has 64 hexadecimal digits';
    END IF;
    -- A standby may ask too, where there is a row.
    IF NOT EXISTS (SELECT FROM vote_agg.door) THEN
        INSERT INTO vote_agg.door (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING;
    END IF;
    RETURN EXISTS (SELECT FROM vote_agg.door d WHERE d.fingerprint OPERATOR(pg_catalog.=) $1 COLLATE "C");
END
$$;
COMMENT ON FUNCTION @extschema@.check_door(text) IS
'Whether a relay''s voter key is the one that this database knows; the first one asked about is';
REVOKE ALL ON FUNCTION @extschema@.check_door(text) FROM PUBLIC;
