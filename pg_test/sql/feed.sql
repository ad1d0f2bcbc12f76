-- The feed: contiguous seq, absolute totals, resync, and notifications that fit.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT * FROM get_match_changes('feed', 0);
SELECT record_vote('feed', 'home', '872a1072bffffff', 'us', 2), record_vote('feed', 'away', NULL::text, NULL, 1);
SELECT vote_agg.fold();
SELECT record_vote('feed', 'home', '872a1072bffffff', 'fr', 3);
SELECT vote_agg.fold();
-- nothing to fold, nothing to tell
SELECT vote_agg.fold();
-- only a country: the total stays, the country is told
SELECT increment_country_aggregate('feed', 'us', 'away', 9);
SELECT vote_agg.fold();
SELECT seq, resync, (body::jsonb - 'at' - 'epoch') #- '{stats,per_minute}' AS body FROM get_match_changes('feed', 0);
SELECT seq, resync FROM get_match_changes('feed', 2);
SELECT seq, resync FROM get_match_changes('feed', 3);
-- all that changed since a seq as one message; from another history there is nothing to tell
SELECT since, (get_match_update('feed', since)::jsonb - 'at' - 'epoch') #- '{stats,per_minute}' AS body FROM unnest('{0,1,2,3,99}'::bigint[]) since;
SELECT get_match_update('unheard-of', 0);
-- a cursor from another history, and one past retention
SELECT seq, resync, body FROM get_match_changes('feed', 99);
DELETE FROM vote_agg.feed WHERE match_id = 'feed' AND seq = 1;
SELECT seq, resync, body FROM get_match_changes('feed', 0);
SELECT seq, resync FROM get_match_changes('feed', 1);
SELECT get_match_update('feed', 0) -> 'cells' AS cells;
SELECT get_match_changes('feed', -1);
SELECT get_match_changes('feed', NULL);
SELECT get_match_update('feed', -1);
SELECT get_match_update('feed', NULL);
-- every key is where the format says
SELECT string_agg(k, ' ' ORDER BY o) FROM vote_agg.feed f, json_object_keys(f.body::json) WITH ORDINALITY t(k, o) WHERE match_id = 'feed' AND seq = 3;
-- too much for a notification: the doorbell leaves the lists out
SELECT bulk_increment('feed', array_agg('home'::text), array_agg(608725946807091199 + i % 7 * (1::bigint << 30) + i / 7 % 7 * (1::bigint << 27) + i / 49 * (1::bigint << 24)))
FROM generate_series(0, 342) i;
SELECT vote_agg.fold();
SELECT seq, length(body) > 7900 AS long, (doorbell::jsonb - 'at' - 'epoch') #- '{stats,per_minute}' AS doorbell FROM vote_agg.feed WHERE match_id = 'feed' ORDER BY seq DESC LIMIT 1;
SELECT bool_and(octet_length(coalesce(doorbell, body)) <= 7900) FROM vote_agg.feed;
-- too much for a message: it says resync
SELECT bulk_increment('feed', array_agg('home'::text), array_agg(608725921037287423 + i % 7 * (1::bigint << 33) + i / 7 % 7 * (1::bigint << 30) + i / 49 % 7 * (1::bigint << 27) + i / 343 * (1::bigint << 24)))
FROM generate_series(0, 2400) i;
SELECT vote_agg.fold();
SELECT body::jsonb ? 'cells' AS cells, body::jsonb ? 'new' AS new, body::jsonb -> 'resync' AS resync FROM vote_agg.feed WHERE match_id = 'feed' ORDER BY seq DESC LIMIT 1;
SELECT u ->> 'seq' AS seq, json_array_length(u -> 'cells') AS cells, u -> 'resync' AS resync FROM get_match_update('feed', 4) u;
-- another channel
SET vote_agg.channel = 'vote_agg_test';
SELECT record_vote('feed', 'away');
SELECT vote_agg.fold();
RESET vote_agg.channel;
SELECT status, total_votes, seq FROM get_realtime_stats('feed');
-- one folds at a time, at READ COMMITTED only
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT vote_agg.fold();
ROLLBACK;
BEGIN READ ONLY;
SELECT vote_agg.fold();
ROLLBACK;
-- a rolled back fold folds nothing
SELECT record_vote('feed', 'away');
BEGIN;
SELECT vote_agg.fold();
ROLLBACK;
SELECT sum(rows) FROM vote_agg.stat_pending;
SELECT vote_agg.fold();
SELECT total_rows > 0, last_rows, last_error FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1;
-- a broken row: its match is set aside and named, with all its votes in every read, and the others are folded
SELECT record_vote('feed', 'away', NULL::text, NULL, 7), record_vote('other', 'away');
INSERT INTO vote_agg.pending_1 SELECT 1, 1, now(), 0, true, 'feed', 'home', NULL FROM vote_agg.stat_pending WHERE heap = 'pending_1' AND is_current;
SET client_min_messages = error;
SELECT vote_agg.fold();
SELECT heap, rows FROM vote_agg.stat_pending WHERE rows > 0;
SELECT set_aside, regexp_replace(last_error, '\(\d+,\d+\)', '(…)') FROM vote_agg.stat_fold;
SELECT match_id, tries, regexp_replace(reason, '\(\d+,\d+\)', '(…)'), next_try - since FROM vote_agg.stat_aside;
SELECT total_votes, seq FROM get_realtime_stats('other');
-- what comes later waits with them; nobody can say what a broken row counts
SELECT record_vote('feed', 'away'), record_vote('other', 'away');
SELECT vote_agg.fold();
SELECT heap, rows FROM vote_agg.stat_pending WHERE rows > 0;
SELECT match_id, tries FROM vote_agg.stat_aside;
SELECT total_votes FROM get_realtime_stats('feed');
SELECT match_id, total_votes FROM vote_agg.live WHERE match_id IN ('feed', 'other') ORDER BY 1;
-- gone, all is well
DELETE FROM vote_agg.pending_aside WHERE h3_index = 1;
SELECT total_votes FROM get_realtime_stats('feed');
SELECT vote_agg.fold();
SELECT set_aside, last_error FROM vote_agg.stat_fold;
SELECT total_votes FROM get_realtime_stats('feed');
SELECT sum(rows) FROM vote_agg.stat_pending;
SELECT check_name FROM verify_match('feed') WHERE NOT ok;
RESET client_min_messages;
SELECT purge_match('feed'), purge_match('other');
