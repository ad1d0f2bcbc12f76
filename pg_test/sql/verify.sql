-- a match proved and, where its votes have a source, counted again; each kind of damage is found and mended
LOAD 'vote_agg';
SET vote_agg.worker = off;
SELECT * FROM verify_match('v');
SELECT rebuild_match('v');
SELECT cast_vote('v', 'voter ' || i, (ARRAY['home', 'away', 'draw'])[i % 3 + 1], (ARRAY['872a1072bffffff', '872a10728ffffff', '85283473fffffff', '8f2a1072b59b0db', NULL])[i % 5 + 1], (ARRAY['fr', 'de', NULL])[i % 3 + 1]) AS cast, count(*)
FROM generate_series(1, 60) i GROUP BY 1;
SELECT * FROM verify_match('v');
SELECT vote_agg.fold();
SELECT cast_vote('v', 'voter ' || i, 'home', '872a1072bffffff') AS cast, count(*) FROM generate_series(1, 30) i GROUP BY 1 ORDER BY 1;
SELECT * FROM verify_match('v');
SELECT rebuild_match('v');
SELECT check_name, expected, found, detail FROM verify_match('v') WHERE NOT ok;
SELECT body::jsonb -> 'resync' AS resync, body::jsonb ? 'cells' AS cells, seq, prev FROM vote_agg.feed, LATERAL (SELECT body::jsonb -> 'prev' AS prev) p WHERE match_id = 'v' ORDER BY seq DESC LIMIT 1;
SELECT vote_agg.fold();
CREATE TEMP TABLE good AS SELECT s.total_votes, s.votes, s.active_cells, s.active_countries, (SELECT jsonb_agg(c ORDER BY h3_index) FROM get_match_aggregates('v') c) AS cells, (SELECT jsonb_agg(c ORDER BY country_code) FROM get_country_aggregates('v') c) AS countries FROM get_realtime_stats('v') s;
SELECT total_votes, votes, active_cells, active_countries, jsonb_array_length(cells) AS cells, countries FROM good;
-- damage of every kind
CREATE FUNCTION damage(what text) RETURNS TABLE (check_name text, expected bigint, found bigint, detail text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE what;
    RETURN QUERY SELECT v.check_name, v.expected, v.found, v.detail FROM verify_match('v') v WHERE NOT v.ok;
    PERFORM rebuild_match('v');
    ASSERT (SELECT bool_and(ok) FROM verify_match('v')), what;
    ASSERT NOT EXISTS (TABLE good EXCEPT SELECT s.total_votes, s.votes, s.active_cells, s.active_countries, (SELECT jsonb_agg(c ORDER BY h3_index) FROM get_match_aggregates('v') c), (SELECT jsonb_agg(c ORDER BY country_code) FROM get_country_aggregates('v') c) FROM get_realtime_stats('v') s), what;
END
$$;
\set SHOW_CONTEXT never
SELECT * FROM damage($$UPDATE vote_agg.h3_aggregate SET votes[1] = votes[1] + 1 WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$UPDATE vote_agg.h3_aggregate SET votes = ARRAY[votes[3], votes[2], votes[1]] WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$DELETE FROM vote_agg.h3_aggregate WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$INSERT INTO vote_agg.h3_aggregate SELECT * FROM vote_agg.h3_aggregate WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$UPDATE vote_agg.h3_aggregate SET h3_index = 1 WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$UPDATE vote_agg.h3_aggregate SET h3_index = h3_index - (1::bigint << 24) WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$UPDATE vote_agg.h3_aggregate SET votes = votes || 7::bigint WHERE h3_index = 608725951823478783$$);
SELECT * FROM damage($$UPDATE vote_agg.country_aggregate SET votes[2] = -1 WHERE country_code = 'FR'$$);
SELECT * FROM damage($$UPDATE vote_agg.country_aggregate SET country_code = 'XX' WHERE country_code = 'FR'$$);
SELECT * FROM damage($$DELETE FROM vote_agg.country_aggregate$$);
SELECT * FROM damage($$DELETE FROM vote_agg.timeline$$);
SELECT * FROM damage($$UPDATE vote_agg.timeline SET votes[1] = 1000$$);
SELECT check_name, expected, found FROM damage($$INSERT INTO vote_agg.timeline SELECT match_id, '-infinity', votes, date_trunc('minute', now()) FROM vote_agg.timeline LIMIT 1$$);
SELECT check_name, expected, found FROM damage($$INSERT INTO vote_agg.timeline SELECT match_id, '-infinity', votes FROM vote_agg.timeline LIMIT 1$$);
SELECT check_name, expected, found FROM damage($$UPDATE vote_agg.country_timeline SET votes[1] = 1000$$);
SELECT check_name, expected, found FROM damage($$DELETE FROM vote_agg.country_timeline$$);
SELECT check_name, expected, found FROM damage($$UPDATE vote_agg.country_timeline SET country_code = 'XX' WHERE country_code = 'FR'$$);
SELECT * FROM damage($$UPDATE vote_agg.feed SET votes[1] = votes[1] + 1 WHERE seq = (SELECT max(seq) FROM vote_agg.feed)$$);
SELECT * FROM damage($$UPDATE vote_agg.feed SET unplaced[1] = unplaced[1] + 1 WHERE seq = (SELECT max(seq) FROM vote_agg.feed)$$);
SELECT * FROM damage($$UPDATE vote_agg.feed SET cells = cells + 1, countries = 0 WHERE seq = (SELECT max(seq) FROM vote_agg.feed)$$);
SELECT * FROM damage($$UPDATE vote_agg.feed SET source_votes = '{7}' WHERE seq = (SELECT max(seq) FROM vote_agg.feed)$$);
SELECT * FROM damage($$UPDATE vote_agg.feed SET body = replace(body, '"away":', '"away":1') WHERE seq = (SELECT max(seq) FROM vote_agg.feed)$$);
-- damage to what is pending, mended too
SELECT cast_vote('v', 'late', 'home'), retract_vote('v', 'late');
SELECT * FROM damage($$DELETE FROM vote_agg.pending_1 WHERE votes < 0$$);
-- votes of calls: what is left to check, and no rebuild
SELECT record_vote('v', 'home', '872a1072bffffff', 'fr', 5);
SELECT * FROM verify_match('v');
\set VERBOSITY default
SELECT rebuild_match('v');
\echo :SQLSTATE
SELECT vote_agg.fold();
SELECT rebuild_match('v');
SELECT rebuild_match(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rebuild_match('v');
ROLLBACK;
SELECT purge_match('v');
-- ballots past their time are erased by the next fold once the match is final; what that gives up is said
SELECT cast_vote('kept', 'ann', 'home'), cast_vote('gone', 'ann', 'home'), cast_vote('gone', 'bob', 'away'), close_match('gone');
SELECT vote_agg.fold();
SELECT vote_agg.fold();
SELECT match_id, status FROM vote_agg.live ORDER BY 1;
ALTER SYSTEM SET vote_agg.ballot_retention = 0;
SELECT pg_reload_conf(), pg_sleep(0.3);
\c
LOAD 'vote_agg';
SET vote_agg.worker = off;
SELECT current_setting('vote_agg.ballot_retention');
SELECT vote_agg.fold();
SELECT vote_agg.fold();
SELECT match_id, voter_id FROM vote_agg.ballot;
SELECT match_id, ballots FROM vote_agg.match;
SELECT * FROM verify_match('gone') WHERE check_name ~ 'recount|remembers';
SELECT rebuild_match('gone');
SELECT bool_and(ok), rebuild_match('kept') FROM verify_match('kept');
ALTER SYSTEM RESET vote_agg.ballot_retention;
SELECT pg_reload_conf();
SELECT purge_match('gone'), purge_match('kept');
-- attached tables: what no trigger saw is found, and mended
CREATE TABLE "Poll" (id integer PRIMARY KEY, m text, team text, cell bigint, land text) PARTITION BY RANGE (id);
CREATE TABLE poll_1 PARTITION OF "Poll" FOR VALUES FROM (1) TO (100);
CREATE TABLE poll_2 PARTITION OF "Poll" FOR VALUES FROM (100) TO (200);
SELECT attach_votes('"Poll"', match_id => 'm', team_choice => 'team', h3_index => 'cell', country_code => 'land');
INSERT INTO "Poll" SELECT i, 'poll', (ARRAY['a', 'b'])[i % 2 + 1], 608725951823478783, 'fr' FROM generate_series(1, 150) i;
SELECT cast_vote('poll', 'ann', 'a', NULL::text, 'de');
SELECT check_name, expected, found, ok, detail FROM verify_match('poll') WHERE check_name !~ 'parents';
SET session_replication_role = replica;
DELETE FROM "Poll" WHERE id > 140;
INSERT INTO "Poll" VALUES (1000 / 10, 'poll', 'c', NULL, 'it') ON CONFLICT DO NOTHING;
RESET session_replication_role;
SELECT check_name, expected, found, detail FROM verify_match('poll') WHERE NOT ok;
SELECT rebuild_match('poll');
SELECT check_name, expected, found, detail FROM verify_match('poll') WHERE NOT ok;
ALTER TABLE poll_1 DISABLE TRIGGER USER;
UPDATE poll_1 SET land = 'es' WHERE id = 1;
ALTER TABLE poll_1 ENABLE TRIGGER USER;
SELECT check_name, expected, found, detail FROM verify_match('poll') WHERE NOT ok;
SELECT rebuild_match('poll'), (SELECT bool_and(ok) FROM verify_match('poll'));
SELECT bool_and(ok) FROM verify_match('poll');
ALTER TABLE "Poll" DETACH PARTITION poll_2;
SELECT check_name, expected, found, detail FROM verify_match('poll') WHERE NOT ok;
SELECT rebuild_match('poll');
SELECT bool_and(ok) FROM verify_match('poll');
SELECT total_votes, votes FROM get_realtime_stats('poll');
-- detached: its votes are remembered no more
SELECT detach_votes('"Poll"');
SELECT check_name, expected, found, ok, detail FROM verify_match('poll') WHERE check_name ~ 'recount|remembers';
SELECT rebuild_match('poll');
DROP TABLE "Poll", poll_2;
SELECT purge_match('poll');
