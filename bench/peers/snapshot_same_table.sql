-- What a follower needs to start from, made of the extension's own table.
SELECT json_build_object('match', 'big', 'cells', json_agg(json_build_array(to_hex(h3_index), votes)))
FROM vote_agg.h3_aggregate WHERE match_id = 'big';
