-- Maps in plain SQL. Parents by bit arithmetic: the resolution is in bits 52 to 55, digits below it are set to 7.
CREATE FUNCTION peer.roll_up(of_match text, resolution integer)
RETURNS TABLE (h3_index text, total_votes bigint, votes jsonb, leader text, dominance double precision) LANGUAGE sql STABLE AS $$
    SELECT to_hex(parent), sum(team_votes)::bigint, jsonb_object_agg(team_choice, team_votes),
           CASE WHEN max(team_votes) > coalesce(max(team_votes) FILTER (WHERE place = 2), 0) THEN max(team_choice) FILTER (WHERE place = 1) END,
           ((max(team_votes) - coalesce(max(team_votes) FILTER (WHERE place = 2), 0)) / sum(team_votes))::double precision
    FROM (SELECT parent, team_choice, sum(cell_votes)::bigint AS team_votes,
                 row_number() OVER (PARTITION BY parent ORDER BY sum(cell_votes) DESC) AS place
          FROM (SELECT c.h3_index & ~(15::bigint << 52) | (resolution::bigint << 52) | (1::bigint << 3 * (15 - resolution)) - 1 AS parent,
                       c.team_choice, c.votes AS cell_votes
                FROM peer.cell_votes c WHERE c.match_id = of_match) AS cells
          GROUP BY parent, team_choice) AS teams
    GROUP BY parent ORDER BY sum(team_votes) DESC
$$;

-- Outlines as a table keeps them.
CREATE TABLE peer.outlines (h3_index bigint PRIMARY KEY, geometry json NOT NULL);

CREATE FUNCTION peer.geojson(of_match text) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT json_build_object('type', 'FeatureCollection', 'features', json_agg(json_build_object(
                'type', 'Feature', 'id', to_hex(cell.h3_index), 'geometry', o.geometry, 'properties', json_build_object(
                    'h3_index', to_hex(cell.h3_index), 'resolution', cell.h3_index >> 52 & 15, 'votes', cell.votes, 'total', cell.total,
                    'leader', CASE WHEN cell.first > cell.second THEN cell.leader END,
                    'dominance', (cell.first - cell.second) / cell.total))))
            FROM (SELECT t.h3_index, sum(t.votes) AS total, json_object_agg(t.team_choice, t.votes) AS votes,
                         max(t.votes) FILTER (WHERE t.place = 1) AS first, coalesce(max(t.votes) FILTER (WHERE t.place = 2), 0) AS second,
                         max(t.team_choice) FILTER (WHERE t.place = 1) AS leader
                  FROM (SELECT c.h3_index, c.team_choice, c.votes,
                               row_number() OVER (PARTITION BY c.h3_index ORDER BY c.votes DESC) AS place
                        FROM peer.cell_votes c WHERE c.match_id = of_match) AS t
                  GROUP BY t.h3_index) AS cell
            JOIN peer.outlines o USING (h3_index));
END
$$;
