-- One match stops none of the others: limits that are refused, and matches that are set aside until their cause is gone.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET client_min_messages = error;
\set SHOW_CONTEXT never

-- teams of a match: at the limit and one over it, in one call and one by one
SET vote_agg.max_teams = 3;
SELECT bulk_increment('teams', ARRAY['a', 'b', 'c', 'a']);
SELECT bulk_increment('teams', ARRAY['a', 'd']);
SELECT record_vote('teams', 'd');
SELECT cast_vote('teams', 'ann', 'd');
SELECT record_vote('teams', 'c');
SELECT bulk_increment('all or nothing', ARRAY['a', 'b', 'c', 'd']);
SELECT bulk_increment('all or nothing', ARRAY['d', 'e', 'f']);
SELECT open_match('named', ARRAY['a', 'b', 'c', 'd']);
SELECT open_match('named', ARRAY['a', 'b', 'c']);
SELECT record_vote('named', 'd');
CREATE TABLE aside_votes (match_id text, team_choice text);
SELECT attach_votes('aside_votes');
INSERT INTO aside_votes SELECT 'rows', 'team ' || n FROM generate_series(1, 4) n;
INSERT INTO aside_votes SELECT 'rows', 'team ' || n FROM generate_series(1, 3) n;
SELECT detach_votes('aside_votes');
DROP TABLE aside_votes;
SELECT vote_agg.fold(), purge_match('rows'), purge_match('named'), purge_match('all or nothing');
-- another session knows of other teams: they count
\c -
SET vote_agg.worker = off;
SET client_min_messages = error;
SELECT bulk_increment('teams', (SELECT array_agg('team ' || n) FROM generate_series(1, 8) n));
SET vote_agg.max_teams = 1;
SELECT record_vote('other', 'home'), vote_agg.fold();
SELECT set_aside FROM vote_agg.stat_fold;
SELECT reason FROM vote_agg.stat_aside;
SELECT match_id, total_votes FROM vote_agg.live WHERE match_id IN ('teams', 'other') ORDER BY 1;
SELECT total_votes, seq FROM get_realtime_stats('teams');
SET vote_agg.max_teams = 2;
SELECT vote_agg.fold(), set_aside FROM vote_agg.stat_fold;
SELECT set_aside, last_error FROM vote_agg.stat_fold;
SELECT total_votes, seq FROM get_realtime_stats('teams');
RESET vote_agg.max_teams;
SELECT purge_match('teams');

-- votes of a call: at the limit and one over it
SELECT bulk_increment('many', ARRAY['a', 'b'], NULL, NULL, ARRAY[999999999999, 1]);
SELECT bulk_increment('many', ARRAY['a', 'b'], NULL, NULL, ARRAY[999999999999, 2]);
SELECT bulk_increment('[{"match_id": "many", "team_choice": "a", "votes": 1000000000000}, {"match_id": "few", "team_choice": "a"}]');
-- sums that leave 64 bits, as nine million such calls would
INSERT INTO vote_agg.pending_1 SELECT NULL, 9000000000000000000, now(), 0, true, 'many', 'a', NULL FROM generate_series(1, 2);
SELECT record_vote('other', 'home'), vote_agg.fold();
SELECT match_id, reason FROM vote_agg.stat_aside;
SELECT * FROM get_realtime_stats('many');
SELECT match_id, total_votes FROM vote_agg.live WHERE match_id IN ('many', 'other') ORDER BY 1;
SELECT purge_match('many');
SELECT vote_agg.fold(), purge_match('few');
SELECT set_aside, last_error FROM vote_agg.stat_fold;

-- names without room in a notification, and hundreds of them

SELECT bulk_increment('poll', (SELECT array_agg('write-in candidate ' || i) FROM generate_series(1, 300) i));
SELECT open_match('long', (SELECT array_agg(rpad('team ' || i, 200, 'x')) FROM generate_series(1, 41) i));
SELECT record_vote('long', rpad('team 1', 200, 'x')), vote_agg.fold();
SELECT match_id, length(doorbell), doorbell::jsonb - 'at' - 'epoch' FROM vote_agg.feed WHERE match_id IN ('poll', 'long') ORDER BY 1;

SELECT purge_match('poll'), purge_match('long');
-- teams times cells: each in its own
SELECT bulk_increment('matrix', array_agg('t' || n), array_agg(cell)) FROM (
    SELECT row_number() OVER () AS n, cell FROM h3_neighbors(608725951823478783::bigint, 20) cell LIMIT 200) c;
SELECT vote_agg.fold();
SELECT total_votes, active_cells FROM get_realtime_stats('matrix');
SELECT count(*), sum(total_votes), max(total_votes) FROM get_match_aggregates('matrix');
SELECT check_name FROM verify_match('matrix') WHERE NOT ok;
-- numbers that a read of cells holds: at the limit and one over it, rolled up, and pending
SET vote_agg.max_read = 20100;
SELECT count(*) FROM get_match_aggregates('matrix');
SET vote_agg.max_read = 20099;
SELECT count(*) FROM get_match_aggregates('matrix');
SELECT get_match_snapshot('matrix');
SELECT get_match_geojson('matrix');
SELECT count(*) FROM get_top_cells('matrix', 1);
SELECT total_votes FROM get_realtime_stats('matrix');
SET vote_agg.max_read = 400;
SELECT sum(total_votes) FROM get_match_aggregates('matrix', 0);
SELECT length(get_match_tile('matrix', 0, 0, 0)) > 0;
SET vote_agg.max_read = 199;
SELECT sum(total_votes) FROM get_match_aggregates('matrix', 0);
SET vote_agg.max_read = 3;
SELECT bulk_increment('wide', ARRAY['a', 'b', 'c']), record_vote('wide', 'c', '872a1072bffffff');
SELECT total_votes FROM get_match_aggregates('wide');
SET vote_agg.max_read = 2;
SELECT total_votes FROM get_match_aggregates('wide');
RESET vote_agg.max_read;
SELECT purge_match('wide');
-- of time lines, countries, messages and all matches: at the limit and one over it
SET vote_agg.max_read = 6;
SELECT bulk_increment('lines', ARRAY['a', 'b', 'c'], NULL, ARRAY['FR', 'FR', 'FR']), record_vote('lines', 'c', NULL::text, 'DE');
SELECT sum(votes) FROM get_match_timeline('lines', '1 day');
SELECT sum(total_votes) FROM get_match_at('lines', 'infinity') WHERE country_code IS NOT NULL;
SELECT sum(total_votes) FROM get_country_aggregates('lines');
SELECT vote_agg.fold();
SELECT sum(votes) FROM get_match_timeline('lines', '1 day');
SELECT sum(total_votes) FROM get_match_at('lines', 'infinity') WHERE country_code IS NOT NULL;
SELECT sum(total_votes) FROM get_country_aggregates('lines');
SELECT json_array_length(get_match_update('lines', 0)->'countries');
UPDATE vote_agg.timeline SET bucket = bucket - interval '30 days' WHERE match_id = 'lines';
SELECT record_vote('lines', 'c'), vote_agg.fold();
SELECT sum(votes) FROM get_match_timeline('lines', '1 day', '-infinity', now() - interval '2 days');
SELECT sum(votes), max(running_total) FROM get_match_timeline('lines', '1 day', now() - interval '1 hour');
SET vote_agg.max_read = 5;
SELECT sum(votes) FROM get_match_timeline('lines', '1 day');
SELECT sum(votes) FROM get_match_timeline('lines', '36525 days');
SELECT sum(total_votes) FROM get_match_at('lines', 'infinity');
SELECT sum(total_votes) FROM get_country_aggregates('lines');
SELECT get_match_snapshot('lines');
SELECT get_match_update('lines', 0);
SELECT body, resync FROM get_match_changes('lines', 0);
SELECT total_votes FROM get_realtime_stats('lines');
SET vote_agg.max_read = 2;
SELECT match_id FROM vote_agg.live WHERE match_id = 'lines';
RESET vote_agg.max_read;
SELECT count(body), bool_or(resync) FROM get_match_changes('lines', 0);
SELECT match_id FROM vote_agg.live WHERE match_id = 'lines';
SELECT purge_match('lines');
SELECT purge_match('matrix');

-- somebody's trigger on a table of ours
CREATE FUNCTION no_hexagon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.match_id = 'hexagon' THEN RAISE EXCEPTION 'no hexagon'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER no_hexagon BEFORE INSERT ON vote_agg.feed FOR EACH ROW EXECUTE FUNCTION no_hexagon();
SELECT record_vote('hexagon', 'home', '872a1072bffffff', 'us'), record_vote('other', 'home'), vote_agg.fold();
SELECT set_aside, last_error FROM vote_agg.stat_fold;
SELECT total_votes, active_cells, seq FROM get_realtime_stats('hexagon');
-- one that is set aside is not final, whoever else is
SELECT close_match('hexagon'), close_match('other');
SELECT vote_agg.fold() >= 0 FROM generate_series(1, 3);
SELECT match_id, status FROM vote_agg.live WHERE match_id IN ('hexagon', 'other') ORDER BY 1;
DROP TRIGGER no_hexagon ON vote_agg.feed;
DROP FUNCTION no_hexagon();
SELECT vote_agg.fold();
SELECT vote_agg.fold() FROM generate_series(1, 2);
SELECT set_aside, last_error FROM vote_agg.stat_fold;
SELECT status, total_votes, active_cells, seq FROM get_realtime_stats('hexagon');
SELECT check_name FROM verify_match('hexagon') WHERE NOT ok;
SELECT count(*) FROM vote_agg.aside;
SELECT purge_match('hexagon'), purge_match('other');

-- a transaction that holds folds up is named, and cannot be prepared
BEGIN;
SELECT purge_match('nobody');
SELECT held_by = 'process ' || pg_backend_pid() AS held_by_me, held_since = now() AS since_now FROM vote_agg.stat_fold;
PREPARE TRANSACTION 'aside';
BEGIN;
SAVEPOINT s;
SELECT purge_match('nobody');
ROLLBACK TO s;
PREPARE TRANSACTION 'aside';
ROLLBACK PREPARED 'aside';
SELECT held_by FROM vote_agg.stat_fold;
