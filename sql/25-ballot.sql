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
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_bigint_wrapper';
COMMENT ON FUNCTION @extschema@.cast_vote(text, text, text, bigint, text) IS
'Casts a voter''s one vote in a match: counted (the first), changed (moved from where it was) or unchanged (a retry)';
REVOKE ALL ON FUNCTION @extschema@.cast_vote(text, text, text, bigint, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.retract_vote(match_id text, voter_id text)
RETURNS boolean LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'retract_vote_wrapper';
COMMENT ON FUNCTION @extschema@.retract_vote(text, text) IS
'Takes a voter''s vote in a match back; false when there is none';
REVOKE ALL ON FUNCTION @extschema@.retract_vote(text, text) FROM PUBLIC;
