-- Everything pending into the counters: one DELETE, summed by all keys, three UPSERTs. No time line, no feed.

CREATE FUNCTION peer.fold() RETURNS void LANGUAGE sql AS $$
    WITH taken AS (
        DELETE FROM peer.pending RETURNING match_id, team_choice, h3_index, country_code, votes
    ), sums AS MATERIALIZED (
        SELECT match_id, team_choice, h3_index, country_code, sum(votes)::bigint AS votes FROM taken GROUP BY 1, 2, 3, 4
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
