-- Many votes in one statement: summed by all keys first, then three UPSERTs, each in key order against deadlocks.
-- The cell is converted after summing, that is once a sum and not once a vote.

CREATE FUNCTION peer.bulk_json(a_votes jsonb)
RETURNS void LANGUAGE sql AS $$
    WITH sums AS MATERIALIZED (
        SELECT match_id, team_choice, ('x' || lpad(h3_index, 16, '0'))::bit(64)::bigint AS h3_index, country_code,
               sum(coalesce(votes, 1))::bigint AS votes
        FROM jsonb_to_recordset(a_votes) AS v(match_id text, team_choice text, h3_index text, country_code text, votes bigint)
        GROUP BY match_id, team_choice, v.h3_index, country_code
    ), cells AS (
        INSERT INTO peer.cell_votes AS c SELECT match_id, h3_index, team_choice, sum(votes) FROM sums
        WHERE h3_index IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (match_id, h3_index, team_choice) DO UPDATE SET votes = c.votes + excluded.votes
    ), countries AS (
        INSERT INTO peer.country_votes AS c SELECT match_id, country_code, team_choice, sum(votes) FROM sums
        WHERE country_code IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (match_id, country_code, team_choice) DO UPDATE SET votes = c.votes + excluded.votes
    )
    INSERT INTO peer.match_votes AS m SELECT match_id, team_choice, sum(votes) FROM sums GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (match_id, team_choice) DO UPDATE SET votes = m.votes + excluded.votes
$$;

CREATE FUNCTION peer.bulk_arrays(a_match text, a_teams text[], a_cells bigint[], a_countries text[])
RETURNS void LANGUAGE sql AS $$
    WITH sums AS MATERIALIZED (
        SELECT team_choice, h3_index, country_code, count(*) AS votes
        FROM unnest(a_teams, a_cells, a_countries) AS v(team_choice, h3_index, country_code)
        GROUP BY 1, 2, 3
    ), cells AS (
        INSERT INTO peer.cell_votes AS c SELECT a_match, h3_index, team_choice, sum(votes) FROM sums
        WHERE h3_index IS NOT NULL GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (match_id, h3_index, team_choice) DO UPDATE SET votes = c.votes + excluded.votes
    ), countries AS (
        INSERT INTO peer.country_votes AS c SELECT a_match, country_code, team_choice, sum(votes) FROM sums
        WHERE country_code IS NOT NULL GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (match_id, country_code, team_choice) DO UPDATE SET votes = c.votes + excluded.votes
    )
    INSERT INTO peer.match_votes AS m SELECT a_match, team_choice, sum(votes) FROM sums GROUP BY 2 ORDER BY 2
    ON CONFLICT (match_id, team_choice) DO UPDATE SET votes = m.votes + excluded.votes
$$;

-- What many write first.
CREATE FUNCTION peer.bulk_loop(a_votes jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    FOR v IN SELECT * FROM jsonb_to_recordset(a_votes)
             AS v(match_id text, team_choice text, h3_index text, country_code text) LOOP
        PERFORM peer.record_vote(v.match_id, v.team_choice, ('x' || lpad(v.h3_index, 16, '0'))::bit(64)::bigint, v.country_code);
    END LOOP;
END
$$;
