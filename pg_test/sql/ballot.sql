-- one voter, one vote: counted, unchanged, changed, retracted; in pending and folded
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET TimeZone = 'UTC';
CREATE TEMP VIEW stats AS SELECT total_votes, votes, active_cells, active_countries FROM get_realtime_stats('b');
CREATE TEMP VIEW cells AS SELECT h3_index, votes FROM get_match_aggregates('b', NULL, 0) ORDER BY 1;
CREATE TEMP VIEW countries AS SELECT country_code, votes FROM get_country_aggregates('b', 0) ORDER BY 1;
-- nothing yet
SELECT retract_vote('b', 'ann');
TABLE stats;
-- the first vote, the same again, another one
SELECT cast_vote('b', 'ann', 'home', '872a1072bffffff', 'fr');
SELECT cast_vote('b', 'ann', 'home', 608725951823478783::bigint, 'FR');
TABLE stats;
SELECT cast_vote('b', 'ann', 'away', '871fb4662ffffff', 'de');
TABLE stats;
TABLE cells;
TABLE countries;
-- folded, then changed: the old cell and country have none
SELECT vote_agg.fold();
TABLE stats;
SELECT cast_vote('b', 'ann', 'away', '871fb4662ffffff'), cast_vote('b', 'ann', 'away'), cast_vote('b', 'ann', 'away', NULL, 'de');
TABLE stats;
SELECT cast_vote('b', 'ann', 'home', '872a1072bffffff', 'fr');
TABLE stats;
SELECT vote_agg.fold();
TABLE stats;
TABLE cells;
TABLE countries;
SELECT body::jsonb -> 'cells' AS cells, body::jsonb -> 'countries' AS countries, body::jsonb -> 'new' AS new FROM vote_agg.feed WHERE match_id = 'b' ORDER BY seq DESC LIMIT 1;
SELECT get_match_snapshot('b') -> 'cells' AS cells, get_match_snapshot('b') -> 'countries' AS countries;
-- only the voter, in the match, decides
SELECT cast_vote('b', 'bob', 'home'), cast_vote('b2', 'ann', 'home');
TABLE stats;
-- several in one transaction, with a savepoint; nothing of what is rolled back stays
BEGIN;
SELECT cast_vote('b', 'bob', 'away', '872a1072bffffff');
SAVEPOINT s;
SELECT cast_vote('b', 'bob', 'home', '872a1072bffffff'), cast_vote('b', 'cid', 'away'), retract_vote('b', 'ann');
TABLE stats;
ROLLBACK TO s;
TABLE stats;
SELECT cast_vote('b', 'ann', 'away');
ROLLBACK;
TABLE stats;
-- retracted, pending and folded, and cast again
SELECT retract_vote('b', 'bob'), retract_vote('b', 'bob'), retract_vote('b', 'ann');
TABLE stats;
SELECT vote_agg.fold();
TABLE stats;
TABLE cells;
SELECT cast_vote('b', 'bob', 'home', '872a1072bffffff');
TABLE stats;
SELECT vote_agg.fold();
TABLE stats;
SELECT * FROM vote_agg.ballot WHERE match_id LIKE 'b%' ORDER BY match_id, voter_id;
-- bulk: the same rules in element order, duplicates too; returns the votes newly counted
SELECT bulk_increment('[]'::jsonb);
SELECT bulk_increment('[{"match_id": "b", "voter_id": "bob", "team_choice": "home", "h3_index": "872a1072bffffff"},
    {"match_id": "b", "voterId": "dan", "team_choice": "home", "votes": 1}, {"matchId": "b", "voter_id": "dan", "teamChoice": "away"},
    {"match_id": "b", "team_choice": "away", "votes": 3}, {"match_id": "b2", "voter_id": "dan", "team_choice": "home", "h3_index": "872a1072bffffff", "resolution": 3},
    {"match_id": "b", "voter_id": null, "team_choice": "home"}]');
TABLE stats;
SELECT * FROM vote_agg.ballot WHERE match_id LIKE 'b%' ORDER BY match_id, voter_id;
SELECT votes, source, team_choice FROM vote_agg.pending_1 WHERE match_id = 'b' ORDER BY 2, 3, 1;
SELECT bulk_increment('[{"match_id": "b", "voter_id": "eve", "team_choice": "home"}, {"match_id": "b", "voter_id": "eve", "team_choice": "home", "votes": 2}]');
SELECT bulk_increment('[{"match_id": "b", "voter_id": "eve", "team_choice": "home"}, {"match_id": "b", "voter_id": "", "team_choice": "home"}]');
SELECT bulk_increment('[{"match_id": "b", "voter_id": 7, "team_choice": "home"}]');
TABLE stats;
-- where a vote may not be changed the first stands
SELECT open_match('fixed', ARRAY['home', 'away'], NULL, NULL, false);
SELECT cast_vote('fixed', 'ann', 'home', NULL, 'fr'), cast_vote('fixed', 'ann', 'home', NULL, 'FR');
\set SHOW_CONTEXT never
SELECT cast_vote('fixed', 'ann', 'away', NULL, 'fr');
\echo :SQLSTATE
SELECT cast_vote('fixed', 'ann', 'home');
\echo :SQLSTATE
SELECT retract_vote('fixed', 'ann');
\echo :SQLSTATE
SELECT retract_vote('fixed', 'nobody');
\echo :SQLSTATE
SELECT bulk_increment('[{"match_id": "fixed", "voter_id": "bob", "team_choice": "home"}, {"match_id": "fixed", "voter_id": "bob", "team_choice": "home"}, {"match_id": "fixed", "voter_id": "bob", "team_choice": "away"}]');
\echo :SQLSTATE
SELECT cast_vote('fixed', 'cid', 'draw');
\echo :SQLSTATE
SELECT open_match('fixed', NULL, NULL, NULL, NULL);
\echo :SQLSTATE
-- values
SELECT cast_vote(NULL, 'ann', 'home');
\echo :SQLSTATE
SELECT cast_vote('b', NULL, 'home');
\echo :SQLSTATE
SELECT cast_vote('b', '', 'home');
\echo :SQLSTATE
SELECT cast_vote('b', repeat('x', 201), 'home');
\echo :SQLSTATE
SELECT cast_vote('b', E'a\nb', 'home');
\echo :SQLSTATE
SELECT cast_vote('b', 'ann', NULL);
\echo :SQLSTATE
SELECT cast_vote('b', 'ann', 'home', 'nowhere');
\echo :SQLSTATE
SELECT cast_vote('b', 'ann', 'home', 5::bigint);
\echo :SQLSTATE
SELECT cast_vote('b', 'ann', 'home', NULL::text, 'xx');
\echo :SQLSTATE
SELECT retract_vote('b', NULL);
\echo :SQLSTATE
SELECT retract_vote(NULL, 'ann');
\echo :SQLSTATE
SELECT total_votes, votes FROM get_realtime_stats('fixed');
-- not after the end, and a team that is not allowed any more can still be left
SELECT open_match('b', ARRAY['away', 'third']);
SELECT cast_vote('b', 'bob', 'home', '872a1072bffffff');
SELECT cast_vote('b', 'bob', 'third');
SELECT close_match('b');
\set VERBOSITY terse
SELECT cast_vote('b', 'bob', 'third');
SELECT retract_vote('b', 'bob');
\set VERBOSITY default
TABLE stats;
-- a purge erases the ballots
SELECT purge_match('b'), purge_match('b2'), purge_match('fixed');
SELECT count(*) FROM vote_agg.ballot;
SELECT cast_vote('b', 'bob', 'third');
SELECT purge_match('b');
-- a changed table is not passed over
CREATE INDEX hurdle ON vote_agg.ballot (voter_id);
SELECT cast_vote('b', 'bob', 'third');
DROP INDEX vote_agg.hurdle;
SELECT cast_vote('b', 'bob', 'third'), purge_match('b');
