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
'Erases a match and all that was counted for it; returns the votes erased';
REVOKE ALL ON FUNCTION @extschema@.purge_match(text) FROM PUBLIC;
