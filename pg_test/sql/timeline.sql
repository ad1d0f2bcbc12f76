-- The time line: buckets, cuts, earlier times, momentum, changes of leader. Votes with a time of our choice are written below the functions.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET timezone = 'UTC';
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE FUNCTION pg_temp.vote(match_id text, at timestamptz, team text, votes bigint DEFAULT 1, country text DEFAULT NULL, cell text DEFAULT NULL, in_total boolean DEFAULT true)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO vote_agg.pending_1 SELECT ('x' || lpad(cell, 16, '0'))::bit(64)::bigint, votes, at, 0, in_total, match_id, team, country
    FROM vote_agg.stat_pending WHERE heap = 'pending_1' AND is_current
$$;
-- nothing
SELECT * FROM get_match_timeline('line');
SELECT country_code, total_votes, votes, leader, dominance FROM get_match_at('line', '2024-07-14 20:00');
SELECT * FROM get_match_flips('line');
-- folded and pending
SELECT pg_temp.vote('line', '2024-07-14 20:00:00', 'home', 3, 'FR'), pg_temp.vote('line', '2024-07-14 20:00:59.999999', 'home', 1, 'DE');
SELECT vote_agg.fold();
SELECT pg_temp.vote('line', '2024-07-14 20:03:30', 'away', 2, 'FR');
SELECT * FROM get_match_timeline('line');
SELECT vote_agg.fold();
SELECT * FROM get_match_timeline('line', '2 minutes');
-- late for a minute that is folded, a new minute, and a country that is told later
SELECT pg_temp.vote('line', '2024-07-14 20:00:10', 'away', 5, 'FR'), pg_temp.vote('line', '2024-07-14 20:05:00', 'home', 7),
       pg_temp.vote('line', '2024-07-14 20:05:01', 'home', 7, 'BR', NULL, false);
SELECT * FROM get_match_timeline('line', '5 minutes');
SELECT vote_agg.fold();
SELECT * FROM get_match_timeline('line', '5 minutes');
SELECT count(*), sum(votes) FROM get_match_timeline('line', '1 day');
-- cut: the bucket that "from" lies in, before "to"; running totals go on
SELECT bucket_start, team_choice, votes, running_total FROM get_match_timeline('line', '1 minute', '2024-07-14 20:03:59', '2024-07-14 20:05');
SELECT count(*) FROM get_match_timeline('line', "from" => '-infinity', "to" => 'infinity');
SELECT count(*) FROM get_match_timeline('line', "from" => 'infinity');
SELECT count(*) FROM get_match_timeline('line', "to" => '-infinity');
SELECT count(*) FROM get_match_timeline('line', '36525 days');
-- as it stood: when the minute began; the future is now
SELECT * FROM get_match_at('line', '2024-07-14 20:00:59');
SELECT * FROM get_match_at('line', '2024-07-14 20:01:00');
SELECT * FROM get_match_at('line', '2024-07-14 20:05:59');
SELECT country_code, total_votes, votes FROM get_match_at('line', '2024-07-14 20:06');
SELECT country_code, total_votes FROM get_match_at('line', '-infinity');
SELECT as_of > '2024-07-14' AND as_of < 'infinity' AS is_now, country_code, total_votes FROM get_match_at('line', 'infinity');
-- a ballot that moved, and one taken back: the past stays what it was
SELECT pg_temp.vote('line', '2024-07-14 20:07', 'home', -4, 'FR'), pg_temp.vote('line', '2024-07-14 20:07', 'away', 4, 'FR'), pg_temp.vote('line', '2024-07-14 20:08', 'home', -1, 'DE');
SELECT vote_agg.fold();
SELECT * FROM get_match_timeline('line', '1 minute', '2024-07-14 20:06');
SELECT country_code, votes FROM get_match_at('line', '2024-07-14 20:07:59');
SELECT country_code, votes FROM get_match_at('line', '2024-07-14 20:09');
SELECT total_votes, votes FROM get_realtime_stats('line');
-- whole minutes of momentum are those of the time line; the clock must not pass a minute while they are compared
SELECT pg_temp.vote('momentum', date_trunc('minute', clock_timestamp()) - i * interval '1 minute', 'home', (10 ^ (7 - i))::bigint) FROM generate_series(0, 7) i;
CREATE FUNCTION pg_temp.momentum(OUT "minute agrees" boolean, OUT "five agree" boolean, OUT "some" boolean) LANGUAGE plpgsql AS $$
DECLARE
    minute timestamptz;
BEGIN
    LOOP
        minute := date_trunc('minute', clock_timestamp());
        SELECT s.votes_last_minute = (SELECT sum(votes) FROM get_match_timeline('momentum', "from" => minute - interval '1 minute', "to" => minute)),
               s.votes_last_5_minutes = (SELECT sum(votes) FROM get_match_timeline('momentum', "from" => minute - interval '5 minutes', "to" => minute)),
               s.votes_last_minute < s.votes_last_5_minutes
        INTO "minute agrees", "five agree", "some" FROM get_realtime_stats('momentum') s;
        EXIT WHEN minute = date_trunc('minute', clock_timestamp());
    END LOOP;
END $$;
SELECT * FROM pg_temp.momentum();
SELECT vote_agg.fold();
SELECT * FROM pg_temp.momentum();
-- changes of leader: of the match, of countries, of cells; a hair is no news
CREATE FUNCTION pg_temp.fold_flips(OUT stats json, OUT flips json) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vote_agg.fold();
    SELECT body::json -> 'stats' -> 'votes', body::json -> 'flips' INTO stats, flips FROM vote_agg.feed WHERE match_id = 'flip' ORDER BY seq DESC LIMIT 1;
END $$;
SELECT record_vote('flip', 'home', '872a1072bffffff', 'FR', 1);
SELECT * FROM pg_temp.fold_flips();
SELECT record_vote('flip', 'away', '872a1072bffffff', 'FR', 1);
SELECT * FROM pg_temp.fold_flips();
SELECT record_vote('flip', 'away', '872a1072bffffff', 'FR', 1);
SELECT * FROM pg_temp.fold_flips();
SELECT leader, lead_changes, last_lead_change_at, last_lead_change_from, last_lead_change_to FROM get_realtime_stats('flip');
-- a clear lead is; pending, it is told by the fold
SELECT record_vote('flip', 'away', '872a1072bffffff', 'FR', 1), record_vote('flip', 'home', '871fb4662ffffff', 'DE', 9);
SELECT leader, lead_changes FROM get_realtime_stats('flip');
SELECT * FROM pg_temp.fold_flips();
SELECT record_vote('flip', 'away', NULL::text, 'DE', 99);
SELECT * FROM pg_temp.fold_flips();
SELECT leader, lead_changes, last_lead_change_at = (SELECT max(at) FROM vote_agg.feed WHERE match_id = 'flip') AS at, last_lead_change_from, last_lead_change_to FROM get_realtime_stats('flip');
-- every vote taken back: nobody leads; then a first leader again, which changes no lead
SELECT pg_temp.vote('flip', now(), 'home', -1, 'FR', '872a1072bffffff'), pg_temp.vote('flip', now(), 'away', -3, 'FR', '872a1072bffffff'),
       pg_temp.vote('flip', now(), 'home', -9, 'DE', '871fb4662ffffff'), pg_temp.vote('flip', now(), 'away', -99, 'DE');
SELECT * FROM pg_temp.fold_flips();
SELECT record_vote('flip', 'home', '872a1072bffffff', 'FR', 1);
SELECT * FROM pg_temp.fold_flips();
SELECT leader, lead_changes, last_lead_change_from, last_lead_change_to FROM get_realtime_stats('flip');
-- the margin is a setting of the session that folds
SET vote_agg.flip_margin = 0;
SELECT record_vote('flip', 'away', '872a1072bffffff', 'FR', 2);
SELECT * FROM pg_temp.fold_flips();
SET vote_agg.flip_margin = 10;
SELECT record_vote('flip', 'home', '872a1072bffffff', 'FR', 90);
SELECT * FROM pg_temp.fold_flips();
SELECT record_vote('flip', 'home', '872a1072bffffff', 'FR', 20);
SELECT * FROM pg_temp.fold_flips();
SET vote_agg.flip_margin = -1;
RESET vote_agg.flip_margin;
-- more cells than a message holds: their changes are left out, those of match and countries are not
SELECT bulk_increment('flip', array_agg('third'::text), array_agg(608725921037287423 + i % 7 * (1::bigint << 33) + i / 7 % 7 * (1::bigint << 30) + i / 49 % 7 * (1::bigint << 27) + i / 343 * (1::bigint << 24)),
    array_agg('FR'::text)) FROM generate_series(0, 2400) i;
SELECT * FROM pg_temp.fold_flips();
SELECT body::jsonb ? 'cells' AS cells FROM vote_agg.feed WHERE match_id = 'flip' ORDER BY seq DESC LIMIT 1;
-- what was announced is kept, with the time of its message: of the match and of countries
SELECT seq, scope, country_code, before, after, at = (SELECT m.at FROM vote_agg.feed m WHERE m.match_id = 'flip' AND m.seq = f.seq) AS at FROM get_match_flips('flip') f;
CREATE TEMP VIEW told AS SELECT f.seq, e ->> 0 AS scope, e ->> 1 AS country_code, e ->> 2 AS before, e ->> 3 AS after
FROM vote_agg.feed f, json_array_elements(f.body::json -> 'flips') e WHERE f.match_id = 'flip' AND e ->> 0 <> 'cell';
CREATE TEMP VIEW kept AS SELECT seq, scope, country_code, before, after FROM get_match_flips('flip', max_rows => 1000);
(TABLE told EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE told);
-- the newest ones; since a time, that time too; votes that wait tell nothing
SELECT seq, scope FROM get_match_flips('flip', NULL, 1);
SELECT seq, scope, country_code FROM get_match_flips('flip', max_rows => 4);
SELECT min(seq), max(seq), count(*) FROM get_match_flips('flip', (SELECT at FROM vote_agg.feed WHERE match_id = 'flip' AND seq = 5));
SELECT min(seq) FROM get_match_flips('flip', (SELECT at + interval '1 microsecond' FROM vote_agg.feed WHERE match_id = 'flip' AND seq = 5), 1000);
SELECT count(*), (SELECT count(*) FROM get_match_flips('flip', 'infinity')) AS none FROM get_match_flips('flip', '-infinity');
SELECT record_vote('flip', 'fourth', NULL::text, 'FR', 99999);
SELECT max(seq), count(*) FROM get_match_flips('flip');
-- refused
SELECT * FROM get_match_flips(NULL);
SELECT * FROM get_match_flips('');
SELECT * FROM get_match_flips('flip', max_rows => NULL);
SELECT * FROM get_match_flips('flip', max_rows => 0);
SELECT * FROM get_match_flips('flip', max_rows => 1001);
SELECT count(*) > 0 AS some FROM get_match_flips('flip', max_rows => 1000);
SELECT * FROM get_match_timeline('line', '30 seconds');
SELECT * FROM get_match_timeline('line', '2000000000 days');
SELECT * FROM get_match_timeline('line', '36526 days');
SELECT * FROM get_match_timeline(NULL);
SELECT * FROM get_match_at('line', NULL);
SELECT * FROM get_match_at('', now());
-- purged with the rest
SELECT purge_match('line'), purge_match('momentum') > 0 AS purged, purge_match('flip');
SELECT count(*) FROM vote_agg.timeline;
SELECT count(*) FROM vote_agg.country_timeline;
SELECT count(*) FROM vote_agg.flip;
