-- What a root asks each shard: which matches have moved, and what one of them is now. Folded votes alone: what is
-- pending comes with the next fold. Administration, so in the schema vote_agg; readers may call them.

CREATE FUNCTION vote_agg.get_heads(cursor text DEFAULT NULL,
    OUT system text, OUT timeline bigint, OUT database bigint, OUT clock timestamptz, OUT next_cursor text,
    OUT whole boolean, OUT match_ids text[], OUT epochs text[], OUT seqs bigint[], OUT purged text[])
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'get_heads_wrapper';
COMMENT ON FUNCTION vote_agg.get_heads(text) IS
'Which matches were folded or purged after cursor, the next_cursor of an earlier answer; all matches (whole) where '
'it is NULL, of another history, or older than what is remembered. One row, and which server and database answers';

CREATE FUNCTION vote_agg.get_match_rows(match_id text, epoch text DEFAULT NULL, since_seq bigint DEFAULT 0)
RETURNS json LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_rows_wrapper';
COMMENT ON FUNCTION vote_agg.get_match_rows(text, text, bigint) IS
'The folded match in one snapshot, for vote_agg.apply_pull: totals, and the cells, countries and minutes that changed '
'after since_seq of that epoch; all of them where the epoch is another or that is not remembered';
