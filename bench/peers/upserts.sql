-- One vote, three counters. The match's row, which everybody wants, comes last: its lock is held for the commit only.

CREATE FUNCTION peer.record_vote(a_match text, a_team text, a_cell bigint, a_country text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO peer.cell_votes AS c VALUES (a_match, a_cell, a_team, 1)
    ON CONFLICT (match_id, h3_index, team_choice) DO UPDATE SET votes = c.votes + 1;
    INSERT INTO peer.country_votes AS c VALUES (a_match, a_country, a_team, 1)
    ON CONFLICT (match_id, country_code, team_choice) DO UPDATE SET votes = c.votes + 1;
    INSERT INTO peer.match_votes AS m VALUES (a_match, a_team, 1)
    ON CONFLICT (match_id, team_choice) DO UPDATE SET votes = m.votes + 1;
END
$$;

-- The same, and everybody is told.
CREATE FUNCTION peer.record_vote_notify(a_match text, a_team text, a_cell bigint, a_country text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM peer.record_vote(a_match, a_team, a_cell, a_country);
    PERFORM pg_notify('peer_votes', json_build_object('match', a_match, 'team', a_team,
                                                      'cell', to_hex(a_cell), 'country', a_country)::text);
END
$$;
