-- What a follower needs to start from, made of a table that keeps cells as text and votes as jsonb: nothing to convert.
SELECT json_build_object('match', 'big', 'cells', json_agg(json_build_array(h3_index, votes)))
FROM peer.cell_json WHERE match_id = 'big';
