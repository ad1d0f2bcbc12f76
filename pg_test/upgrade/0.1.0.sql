
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE TABLE public.parted (
    id integer,
    match_id text,
    team_choice text
)
PARTITION BY RANGE (id);

CREATE TABLE public.parted_1 (
    id integer,
    match_id text,
    team_choice text
);

CREATE TABLE public.parted_2 (
    id integer,
    match_id text,
    team_choice text
);

CREATE TABLE public.plain (
    id integer NOT NULL,
    match_id text,
    team_choice text,
    country_code text
);

ALTER TABLE ONLY public.parted ATTACH PARTITION public.parted_1 FOR VALUES FROM (0) TO (100);

ALTER TABLE ONLY public.parted ATTACH PARTITION public.parted_2 FOR VALUES FROM (100) TO (200);

INSERT INTO public.parted_1 VALUES (80, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (81, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (82, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (83, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (84, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (85, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (86, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (87, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (88, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (89, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (90, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (91, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (92, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (93, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (94, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (95, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (96, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (97, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (98, 'rows', 'away');
INSERT INTO public.parted_1 VALUES (99, 'rows', 'away');

INSERT INTO public.parted_2 VALUES (100, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (101, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (102, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (103, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (104, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (105, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (106, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (107, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (108, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (109, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (110, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (111, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (112, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (113, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (114, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (115, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (116, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (117, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (118, 'rows', 'away');
INSERT INTO public.parted_2 VALUES (119, 'rows', 'away');

INSERT INTO public.plain VALUES (7, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (8, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (9, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (10, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (11, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (12, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (13, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (14, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (15, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (16, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (17, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (18, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (19, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (20, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (21, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (22, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (23, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (24, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (25, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (26, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (27, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (28, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (29, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (30, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (31, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (32, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (33, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (34, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (35, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (36, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (37, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (38, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (39, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (40, 'rows', 'home', NULL);
INSERT INTO public.plain VALUES (1, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (2, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (3, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (4, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (5, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (6, 'rows', 'draw', NULL);
INSERT INTO public.plain VALUES (77, 'rows', 'home', 'FR');

INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 24', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 42', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 25', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 8', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 28', 'yes', NULL);
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 4', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 17', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 29', 'yes', 'US');
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 13', 'yes', 'US');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 2', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 27', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 11', 'no', NULL);
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 5', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 19', 'no', NULL);
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 12', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608692973017759743, 'poll', 'voter 6', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608692973017759743, 'poll', 'voter 30', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 22', 'no', 'US');
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 9', 'yes', NULL);
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 21', 'yes', 'FR');
INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 1', 'no', NULL);
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 15', 'no', 'US');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 26', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608725951823478783, 'poll', 'voter 14', 'yes', NULL);
INSERT INTO vote_agg.ballot VALUES (NULL, 'poll', 'voter 18', 'no', 'FR');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 23', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 33', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608692973017759743, 'poll', 'voter 34', 'yes', 'JP');
INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 31', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608543704398954495, 'poll', 'voter 20', 'no', 'JP');
INSERT INTO vote_agg.ballot VALUES (608753480382808063, 'poll', 'voter 44', 'no', 'JP');

INSERT INTO vote_agg.country_aggregate VALUES ('over', 'US', '{5}', 0, NULL);
INSERT INTO vote_agg.country_aggregate VALUES ('ending', 'DE', '{18,0}', 0, 0);
INSERT INTO vote_agg.country_aggregate VALUES ('final', 'FR', '{69,65,44}', 0, 0);
INSERT INTO vote_agg.country_aggregate VALUES ('final', 'JP', '{71,89,22}', 1, 1);
INSERT INTO vote_agg.country_aggregate VALUES ('final', 'US', '{73,71,61}', NULL, NULL);
INSERT INTO vote_agg.country_aggregate VALUES ('poll', 'FR', '{7,8}', NULL, NULL);
INSERT INTO vote_agg.country_aggregate VALUES ('poll', 'US', '{2,2}', 0, 0);
INSERT INTO vote_agg.country_aggregate VALUES ('rows', 'FR', '{1,0,0}', 0, NULL);

INSERT INTO vote_agg.country_timeline VALUES ('ending', '2026-11-28 09:32:00+00', 'DE', '{6,0}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:32:00+00', 'FR', '{38,26,11}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:32:00+00', 'JP', '{17,23,0}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:32:00+00', 'US', '{40,34,0}');
INSERT INTO vote_agg.country_timeline VALUES ('over', '2026-11-28 09:32:00+00', 'US', '{5}');
INSERT INTO vote_agg.country_timeline VALUES ('poll', '2026-11-28 09:32:00+00', 'FR', '{4,2}');
INSERT INTO vote_agg.country_timeline VALUES ('poll', '2026-11-28 09:32:00+00', 'US', '{4,2}');
INSERT INTO vote_agg.country_timeline VALUES ('ending', '2026-11-28 09:33:00+00', 'DE', '{12,0}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:33:00+00', 'FR', '{31,39,33}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:33:00+00', 'JP', '{54,66,22}');
INSERT INTO vote_agg.country_timeline VALUES ('final', '2026-11-28 09:33:00+00', 'US', '{33,37,61}');
INSERT INTO vote_agg.country_timeline VALUES ('poll', '2026-11-28 09:33:00+00', 'FR', '{3,6}');
INSERT INTO vote_agg.country_timeline VALUES ('poll', '2026-11-28 09:33:00+00', 'US', '{-2,0}');
INSERT INTO vote_agg.country_timeline VALUES ('rows', '2026-11-28 09:33:00+00', 'FR', '{1,0,0}');

INSERT INTO vote_agg.feed VALUES ('ending', 1, '48bea0ef', '2026-11-28 09:32:12.782103+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{3,0}', '{3}', 0, 1, '2026-11-28 09:32:12.778817+00', '2026-11-28 09:32:00+00', '{0}', '{3}', 0, '{3,0,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":1,"prev":0,"epoch":"48bea0ef","at":"2026-11-28T09:32:12.782Z","stats":{"total":3,"votes":{"a":3,"b":0},"leader":"a","dominance":1.0,"per_minute":3},"cells":[],"countries":[["DE",{"a":3}]],"new":[["a",null,"DE",3]],"flips":[["match",null,null,"a"],["country","DE",null,"a"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 1, 'f960a13c', '2026-11-28 09:32:12.782103+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{45,71,23}', '{13,12,9}', 4, 3, '2026-11-28 09:32:12.761283+00', '2026-11-28 09:32:00+00', '{0}', '{139}', 0, '{139,0,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":1,"prev":0,"epoch":"f960a13c","at":"2026-11-28T09:32:12.782Z","stats":{"total":139,"votes":{"home":45,"draw":71,"away":23},"leader":"draw","dominance":0.1871,"per_minute":139},"cells":[["871fb4662ffffff",{"draw":14}],["8728308b1ffffff",{"home":5,"draw":20,"away":7}],["872a1072bffffff",{"home":9,"draw":14,"away":7}],["872ba10a9ffffff",{"home":18,"draw":11}]],"countries":[["FR",{"home":15,"draw":10,"away":6}],["JP",{"draw":22}],["US",{"home":17,"draw":23}]],"new":[["home",null,"FR",8],["home",null,"US",5],["home","8728308b1ffffff",null,5],["home","872a1072bffffff","US",9],["home","872ba10a9ffffff",null,8],["home","872ba10a9ffffff","FR",7],["home","872ba10a9ffffff","US",3],["draw",null,null,9],["draw",null,"US",3],["draw","871fb4662ffffff","US",14],["draw","8728308b1ffffff","JP",14],["draw","8728308b1ffffff","US",6],["draw","872a1072bffffff",null,6],["draw","872a1072bffffff","FR",8],["draw","872ba10a9ffffff",null,1],["draw","872ba10a9ffffff","FR",2],["draw","872ba10a9ffffff","JP",8],["away",null,null,3],["away",null,"FR",6],["away","8728308b1ffffff",null,7],["away","872a1072bffffff",null,7]],"flips":[["match",null,null,"draw"],["country","JP",null,"draw"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 1, 'f19837b1', '2026-11-28 09:32:12.782103+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{5,8}', '{0,2}', 4, 2, '2026-11-28 09:32:12.778519+00', '2026-11-28 09:32:00+00', '{1}', '{13}', 0, '{13,0,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"poll","seq":1,"prev":0,"epoch":"f19837b1","at":"2026-11-28T09:32:12.782Z","stats":{"total":13,"votes":{"yes":5,"no":8},"leader":"no","dominance":0.2308,"per_minute":13},"cells":[["871fb4662ffffff",{"yes":2}],["8728308b1ffffff",{"yes":1}],["872a1072bffffff",{"yes":1,"no":1}],["872ba10a9ffffff",{"yes":1,"no":5}]],"countries":[["FR",{"yes":2,"no":2}],["US",{"no":1}]],"new":[["yes","871fb4662ffffff",null,1],["yes","871fb4662ffffff","FR",1],["yes","8728308b1ffffff","FR",1],["yes","872a1072bffffff",null,1],["yes","872ba10a9ffffff",null,1],["no",null,null,2],["no","872a1072bffffff",null,1],["no","872ba10a9ffffff",null,2],["no","872ba10a9ffffff","FR",2],["no","872ba10a9ffffff","US",1]],"flips":[["country","US",null,"no"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 1, '0686b2dd', '2026-11-28 09:32:12.782103+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{39,40,1}', '{39,40,1}', 0, 0, '2026-11-28 09:32:12.779724+00', '2026-11-28 09:32:00+00', '{2,3}', '{40,40}', 0, '{80,0,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":1,"prev":0,"epoch":"0686b2dd","at":"2026-11-28T09:32:12.782Z","stats":{"total":80,"votes":{"home":39,"away":40,"draw":1},"leader":"away","dominance":0.0125,"per_minute":80},"cells":[],"countries":[],"new":[["home",null,null,39],["away",null,null,40],["draw",null,null,1]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('ending', 2, '48bea0ef', '2026-11-28 09:32:52.854229+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{6,0}', '{6}', 0, 1, '2026-11-28 09:32:52.844731+00', '2026-11-28 09:32:00+00', '{0}', '{6}', 0, '{6,0,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":2,"prev":1,"epoch":"48bea0ef","at":"2026-11-28T09:32:52.854Z","stats":{"total":6,"votes":{"a":6,"b":0},"leader":"a","dominance":1.0,"per_minute":6},"cells":[],"countries":[["DE",{"a":6}]],"new":[["a",null,"DE",3]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 2, 'f960a13c', '2026-11-28 09:32:52.854229+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{116,128,42}', '{17,28,18}', 4, 3, '2026-11-28 09:32:52.834851+00', '2026-11-28 09:32:00+00', '{0}', '{286}', 0, '{286,0,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":2,"prev":1,"epoch":"f960a13c","at":"2026-11-28T09:32:52.854Z","stats":{"total":286,"votes":{"home":116,"draw":128,"away":42},"leader":"draw","dominance":0.042,"per_minute":286},"cells":[["871fb4662ffffff",{"home":14,"draw":14}],["8728308b1ffffff",{"home":33,"draw":25,"away":7}],["872a1072bffffff",{"home":28,"draw":29,"away":12}],["872ba10a9ffffff",{"home":24,"draw":32,"away":5}]],"countries":[["FR",{"home":38,"draw":26,"away":11}],["JP",{"home":17,"draw":23}],["US",{"home":40,"draw":34}]],"new":[["home",null,null,4],["home","871fb4662ffffff","JP",9],["home","871fb4662ffffff","US",5],["home","8728308b1ffffff",null,4],["home","8728308b1ffffff","FR",9],["home","8728308b1ffffff","JP",3],["home","8728308b1ffffff","US",12],["home","872a1072bffffff","FR",8],["home","872a1072bffffff","JP",5],["home","872a1072bffffff","US",6],["home","872ba10a9ffffff","FR",6],["draw",null,null,9],["draw",null,"FR",7],["draw","8728308b1ffffff",null,5],["draw","872a1072bffffff",null,15],["draw","872ba10a9ffffff","FR",9],["draw","872ba10a9ffffff","JP",1],["draw","872ba10a9ffffff","US",11],["away",null,null,9],["away","872a1072bffffff",null,5],["away","872ba10a9ffffff","FR",5]],"flips":[["country","FR",null,"home"],["cell","872ba10a9ffffff","home","draw"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('over', 1, '1987763d', '2026-11-28 09:32:52.854229+00', '2026-11-28 09:32:52.854229+00', '{home}', '{5}', '{5}', 0, 1, '2026-11-28 09:32:52.845235+00', '2026-11-28 09:32:00+00', '{0}', '{5}', 0, '{5,0,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"over","seq":1,"prev":0,"epoch":"1987763d","at":"2026-11-28T09:32:52.854Z","stats":{"total":5,"votes":{"home":5},"leader":"home","dominance":1.0,"per_minute":5},"cells":[],"countries":[["US",{"home":5}]],"new":[["home",null,"US",5]],"flips":[["match",null,null,"home"],["country","US",null,"home"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('ending', 6, '48bea0ef', '2026-11-28 09:33:33.12819+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{18,0}', '{18}', 0, 1, '2026-11-28 09:33:33.080541+00', '2026-11-28 09:33:00+00', '{0}', '{18}', 0, '{12,6,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":6,"prev":5,"epoch":"48bea0ef","at":"2026-11-28T09:33:33.128Z","stats":{"total":18,"votes":{"a":18,"b":0},"leader":"a","dominance":1.0,"per_minute":14},"cells":[],"countries":[["DE",{"a":18}]],"new":[["a",null,"DE",3]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 2, 'f19837b1', '2026-11-28 09:32:52.854229+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{10,6}', '{0,2}', 4, 2, '2026-11-28 09:32:52.844588+00', '2026-11-28 09:32:00+00', '{1}', '{16}', 0, '{16,0,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"poll","seq":2,"prev":1,"epoch":"f19837b1","at":"2026-11-28T09:32:52.854Z","stats":{"total":16,"votes":{"yes":10,"no":6},"leader":"yes","dominance":0.25,"per_minute":16},"cells":[["871fb4662ffffff",{"yes":3,"no":2}],["8728308b1ffffff",{"yes":2,"no":1}],["872a1072bffffff",{"yes":2,"no":1}],["872ba10a9ffffff",{"yes":3}]],"countries":[["FR",{"yes":4,"no":2}],["US",{"yes":4,"no":2}]],"new":[["yes","871fb4662ffffff","FR",-1],["yes","871fb4662ffffff","US",2],["yes","8728308b1ffffff","US",1],["yes","872a1072bffffff","FR",1],["yes","872ba10a9ffffff",null,-1],["yes","872ba10a9ffffff","FR",2],["yes","872ba10a9ffffff","US",1],["no",null,null,-2],["no",null,"FR",2],["no","871fb4662ffffff",null,1],["no","871fb4662ffffff","US",1],["no","8728308b1ffffff",null,1],["no","872a1072bffffff",null,-1],["no","872a1072bffffff","US",1],["no","872ba10a9ffffff",null,-2],["no","872ba10a9ffffff","FR",-2],["no","872ba10a9ffffff","US",-1]],"flips":[["match",null,null,"yes"],["cell","872ba10a9ffffff","no","yes"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 2, '0686b2dd', '2026-11-28 09:32:52.854229+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{38,40,2}', '{38,40,2}', 0, 0, '2026-11-28 09:32:52.850332+00', '2026-11-28 09:32:00+00', '{2,3}', '{40,40}', 0, '{80,0,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":2,"prev":1,"epoch":"0686b2dd","at":"2026-11-28T09:32:52.854Z","stats":{"total":80,"votes":{"home":38,"away":40,"draw":2},"leader":"away","dominance":0.025,"per_minute":80},"cells":[],"countries":[],"new":[["home",null,null,-1],["draw",null,null,1]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('over', 2, '1987763d', '2026-11-28 09:32:52.879926+00', '2026-11-28 09:32:52.854229+00', '{home}', '{5}', '{5}', 0, 1, '2026-11-28 09:32:52.845235+00', '2026-11-28 09:32:00+00', '{0}', '{5}', 0, '{5,0,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"over","seq":2,"prev":1,"epoch":"1987763d","at":"2026-11-28T09:32:52.879Z","stats":{"total":5,"votes":{"home":5},"leader":"home","dominance":1.0,"per_minute":5},"cells":[],"countries":[],"new":[],"final":true}', NULL);
INSERT INTO vote_agg.feed VALUES ('ending', 3, '48bea0ef', '2026-11-28 09:33:32.963403+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{9,0}', '{9}', 0, 1, '2026-11-28 09:33:32.962528+00', '2026-11-28 09:33:00+00', '{0}', '{9}', 0, '{3,6,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":3,"prev":2,"epoch":"48bea0ef","at":"2026-11-28T09:33:32.963Z","stats":{"total":9,"votes":{"a":9,"b":0},"leader":"a","dominance":1.0,"per_minute":5},"cells":[],"countries":[["DE",{"a":9}]],"new":[["a",null,"DE",3]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 3, 'f960a13c', '2026-11-28 09:33:32.963403+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{147,161,85}', '{17,38,27}', 4, 3, '2026-11-28 09:33:32.936311+00', '2026-11-28 09:33:00+00', '{0}', '{393}', 0, '{107,286,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":3,"prev":2,"epoch":"f960a13c","at":"2026-11-28T09:33:32.963Z","stats":{"total":393,"votes":{"home":147,"draw":161,"away":85},"leader":"draw","dominance":0.0356,"per_minute":235},"cells":[["871fb4662ffffff",{"home":24,"draw":23,"away":8}],["8728308b1ffffff",{"home":41,"draw":30,"away":18}],["872a1072bffffff",{"home":41,"draw":29,"away":24}],["872ba10a9ffffff",{"home":24,"draw":41,"away":8}]],"countries":[["FR",{"home":45,"draw":32,"away":19}],["JP",{"home":31,"draw":32}],["US",{"home":48,"draw":43,"away":10}]],"new":[["home","871fb4662ffffff",null,2],["home","871fb4662ffffff","JP",6],["home","871fb4662ffffff","US",2],["home","8728308b1ffffff","JP",2],["home","8728308b1ffffff","US",6],["home","872a1072bffffff","FR",7],["home","872a1072bffffff","JP",6],["draw",null,"FR",3],["draw",null,"JP",7],["draw","871fb4662ffffff","US",9],["draw","8728308b1ffffff","FR",3],["draw","8728308b1ffffff","JP",2],["draw","872ba10a9ffffff",null,9],["away",null,null,9],["away","871fb4662ffffff",null,2],["away","871fb4662ffffff","US",6],["away","8728308b1ffffff",null,6],["away","8728308b1ffffff","FR",5],["away","872a1072bffffff",null,8],["away","872a1072bffffff","US",4],["away","872ba10a9ffffff","FR",3]],"flips":[["cell","8728308b1ffffff","draw","home"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 3, 'f19837b1', '2026-11-28 09:33:32.963403+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{8,14}', '{3,6}', 4, 2, '2026-11-28 09:33:32.960029+00', '2026-11-28 09:33:00+00', '{1}', '{22}', 0, '{6,16,0,0,0,0}', 1, 1, '2026-11-28 09:33:32.963403+00', 0, 1, '{"v":1,"match":"poll","seq":3,"prev":2,"epoch":"f19837b1","at":"2026-11-28T09:33:32.963Z","stats":{"total":22,"votes":{"yes":8,"no":14},"leader":"no","dominance":0.2727,"per_minute":13},"cells":[["871fb4662ffffff",{"yes":1}],["8728308b1ffffff",{"yes":2,"no":4}],["872a1072bffffff",{"no":2}],["872ba10a9ffffff",{"yes":2,"no":2}]],"countries":[["FR",{"yes":3,"no":2}],["US",{"yes":3,"no":8}]],"new":[["yes",null,null,2],["yes",null,"US",1],["yes","871fb4662ffffff",null,-1],["yes","871fb4662ffffff","FR",1],["yes","871fb4662ffffff","US",-2],["yes","872a1072bffffff",null,-1],["yes","872a1072bffffff","FR",-1],["yes","872ba10a9ffffff","FR",-1],["no",null,null,1],["no",null,"US",3],["no","871fb4662ffffff",null,-1],["no","871fb4662ffffff","US",-1],["no","8728308b1ffffff",null,1],["no","8728308b1ffffff","US",2],["no","872a1072bffffff","US",1],["no","872ba10a9ffffff",null,1],["no","872ba10a9ffffff","US",1]],"flips":[["match",null,"yes","no"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 3, '0686b2dd', '2026-11-28 09:33:32.963403+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{37,40,3}', '{37,40,3}', 0, 0, '2026-11-28 09:33:32.963007+00', '2026-11-28 09:33:00+00', '{2,3}', '{40,40}', 0, '{0,80,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":3,"prev":2,"epoch":"0686b2dd","at":"2026-11-28T09:33:32.963Z","stats":{"total":80,"votes":{"home":37,"away":40,"draw":3},"leader":"away","dominance":0.0375,"per_minute":36},"cells":[],"countries":[],"new":[["home",null,null,-1],["draw",null,null,1]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('ending', 4, '48bea0ef', '2026-11-28 09:33:33.017854+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{12,0}', '{12}', 0, 1, '2026-11-28 09:33:33.010517+00', '2026-11-28 09:33:00+00', '{0}', '{12}', 0, '{6,6,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":4,"prev":3,"epoch":"48bea0ef","at":"2026-11-28T09:33:33.017Z","stats":{"total":12,"votes":{"a":12,"b":0},"leader":"a","dominance":1.0,"per_minute":8},"cells":[],"countries":[["DE",{"a":12}]],"new":[["a",null,"DE",3]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 4, 'f960a13c', '2026-11-28 09:33:33.017854+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{183,211,119}', '{30,43,51}', 4, 3, '2026-11-28 09:33:33.00615+00', '2026-11-28 09:33:00+00', '{0}', '{513}', 0, '{227,286,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":4,"prev":3,"epoch":"f960a13c","at":"2026-11-28T09:33:33.017Z","stats":{"total":513,"votes":{"home":183,"draw":211,"away":119},"leader":"draw","dominance":0.0546,"per_minute":355},"cells":[["871fb4662ffffff",{"home":27,"draw":37,"away":8}],["8728308b1ffffff",{"home":48,"draw":35,"away":18}],["872a1072bffffff",{"home":41,"draw":39,"away":34}],["872ba10a9ffffff",{"home":37,"draw":57,"away":8}]],"countries":[["FR",{"home":45,"draw":39,"away":28}],["JP",{"home":39,"draw":59,"away":9}],["US",{"home":56,"draw":49,"away":24}]],"new":[["home",null,"JP",5],["home",null,"US",8],["home","871fb4662ffffff",null,3],["home","8728308b1ffffff",null,4],["home","8728308b1ffffff","JP",3],["home","872ba10a9ffffff",null,13],["draw",null,"FR",5],["draw","871fb4662ffffff",null,10],["draw","871fb4662ffffff","JP",4],["draw","8728308b1ffffff","JP",5],["draw","872a1072bffffff","JP",5],["draw","872a1072bffffff","US",5],["draw","872ba10a9ffffff","FR",2],["draw","872ba10a9ffffff","JP",13],["draw","872ba10a9ffffff","US",1],["away",null,null,2],["away",null,"FR",9],["away",null,"JP",9],["away",null,"US",4],["away","872a1072bffffff","US",10]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 4, 'f19837b1', '2026-11-28 09:33:33.017854+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{8,16}', '{1,6}', 4, 2, '2026-11-28 09:33:33.01038+00', '2026-11-28 09:33:00+00', '{1}', '{24}', 0, '{8,16,0,0,0,0}', 1, 1, '2026-11-28 09:33:32.963403+00', 0, 1, '{"v":1,"match":"poll","seq":4,"prev":3,"epoch":"f19837b1","at":"2026-11-28T09:33:33.017Z","stats":{"total":24,"votes":{"yes":8,"no":16},"leader":"no","dominance":0.3333,"per_minute":15},"cells":[["871fb4662ffffff",{"yes":3,"no":1}],["8728308b1ffffff",{"no":4}],["872a1072bffffff",{"yes":2,"no":3}],["872ba10a9ffffff",{"yes":2,"no":2}]],"countries":[["FR",{"yes":3,"no":5}],["US",{"no":6}]],"new":[["yes",null,null,-1],["yes",null,"US",-1],["yes","871fb4662ffffff",null,2],["yes","8728308b1ffffff","FR",-1],["yes","8728308b1ffffff","US",-1],["yes","872a1072bffffff",null,1],["yes","872a1072bffffff","FR",1],["yes","872ba10a9ffffff",null,1],["yes","872ba10a9ffffff","US",-1],["no",null,null,1],["no",null,"US",-1],["no","871fb4662ffffff",null,1],["no","8728308b1ffffff","FR",1],["no","8728308b1ffffff","US",-1],["no","872a1072bffffff","FR",2],["no","872a1072bffffff","US",-1],["no","872ba10a9ffffff",null,-1],["no","872ba10a9ffffff","US",1]],"flips":[["cell","8728308b1ffffff","yes","no"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 4, '0686b2dd', '2026-11-28 09:33:33.017854+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{36,40,4}', '{36,40,4}', 0, 0, '2026-11-28 09:33:33.010795+00', '2026-11-28 09:33:00+00', '{2,3}', '{40,40}', 0, '{0,80,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":4,"prev":3,"epoch":"0686b2dd","at":"2026-11-28T09:33:33.017Z","stats":{"total":80,"votes":{"home":36,"away":40,"draw":4},"leader":"away","dominance":0.05,"per_minute":35},"cells":[],"countries":[],"new":[["home",null,null,-1],["draw",null,null,1]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('ending', 5, '48bea0ef', '2026-11-28 09:33:33.055405+00', '2026-11-28 09:32:12.782103+00', '{a,b}', '{15,0}', '{15}', 0, 1, '2026-11-28 09:33:33.05482+00', '2026-11-28 09:33:00+00', '{0}', '{15}', 0, '{9,6,0,0,0,0}', 0, 0, NULL, NULL, NULL, '{"v":1,"match":"ending","seq":5,"prev":4,"epoch":"48bea0ef","at":"2026-11-28T09:33:33.055Z","stats":{"total":15,"votes":{"a":15,"b":0},"leader":"a","dominance":1.0,"per_minute":11},"cells":[],"countries":[["DE",{"a":15}]],"new":[["a",null,"DE",3]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 5, 'f960a13c', '2026-11-28 09:33:33.055405+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{212,284,151}', '{30,53,57}', 4, 3, '2026-11-28 09:33:33.033946+00', '2026-11-28 09:33:00+00', '{0}', '{647}', 0, '{361,286,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":5,"prev":4,"epoch":"f960a13c","at":"2026-11-28T09:33:33.055Z","stats":{"total":647,"votes":{"home":212,"draw":284,"away":151},"leader":"draw","dominance":0.1113,"per_minute":489},"cells":[["871fb4662ffffff",{"home":27,"draw":56,"away":8}],["8728308b1ffffff",{"home":61,"draw":68,"away":27}],["872a1072bffffff",{"home":49,"draw":45,"away":43}],["872ba10a9ffffff",{"home":45,"draw":62,"away":16}]],"countries":[["FR",{"home":53,"draw":59,"away":33}],["JP",{"home":55,"draw":78,"away":9}],["US",{"home":57,"draw":61,"away":37}]],"new":[["home","8728308b1ffffff",null,4],["home","8728308b1ffffff","JP",8],["home","8728308b1ffffff","US",1],["home","872a1072bffffff","FR",8],["home","872ba10a9ffffff","JP",8],["draw",null,null,4],["draw",null,"JP",6],["draw","871fb4662ffffff",null,9],["draw","871fb4662ffffff","FR",5],["draw","871fb4662ffffff","US",5],["draw","8728308b1ffffff",null,9],["draw","8728308b1ffffff","FR",9],["draw","8728308b1ffffff","JP",8],["draw","8728308b1ffffff","US",7],["draw","872a1072bffffff","FR",6],["draw","872ba10a9ffffff","JP",5],["away",null,null,6],["away","8728308b1ffffff",null,5],["away","8728308b1ffffff","US",4],["away","872a1072bffffff","US",9],["away","872ba10a9ffffff",null,3],["away","872ba10a9ffffff","FR",5]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 5, 'f19837b1', '2026-11-28 09:33:33.055405+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{13,10}', '{2,3}', 4, 2, '2026-11-28 09:33:33.054692+00', '2026-11-28 09:33:00+00', '{1}', '{23}', 0, '{7,16,0,0,0,0}', 1, 1, '2026-11-28 09:33:32.963403+00', 0, 1, '{"v":1,"match":"poll","seq":5,"prev":4,"epoch":"f19837b1","at":"2026-11-28T09:33:33.055Z","stats":{"total":23,"votes":{"yes":13,"no":10},"leader":"yes","dominance":0.1304,"per_minute":14},"cells":[["871fb4662ffffff",{"yes":4,"no":3}],["8728308b1ffffff",{"yes":1,"no":1}],["872a1072bffffff",{"yes":4,"no":3}],["872ba10a9ffffff",{"yes":2}]],"countries":[["FR",{"yes":7,"no":5}],["US",{"yes":3,"no":1}]],"new":[["yes",null,null,-1],["yes",null,"FR",1],["yes",null,"US",1],["yes","871fb4662ffffff","FR",1],["yes","8728308b1ffffff","US",1],["yes","872a1072bffffff","FR",1],["yes","872a1072bffffff","US",1],["yes","872ba10a9ffffff",null,-1],["yes","872ba10a9ffffff","FR",1],["no",null,null,-1],["no",null,"FR",-1],["no",null,"US",-1],["no","871fb4662ffffff",null,1],["no","871fb4662ffffff","FR",1],["no","8728308b1ffffff",null,-1],["no","8728308b1ffffff","FR",-1],["no","8728308b1ffffff","US",-1],["no","872a1072bffffff","FR",1],["no","872a1072bffffff","US",-1],["no","872ba10a9ffffff","US",-2]],"flips":[["country","US","no","yes"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 5, '0686b2dd', '2026-11-28 09:33:33.055405+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{35,40,5}', '{35,40,5}', 0, 0, '2026-11-28 09:33:33.055123+00', '2026-11-28 09:33:00+00', '{2,3}', '{40,40}', 0, '{0,80,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":5,"prev":4,"epoch":"0686b2dd","at":"2026-11-28T09:33:33.055Z","stats":{"total":80,"votes":{"home":35,"away":40,"draw":5},"leader":"away","dominance":0.0625,"per_minute":35},"cells":[],"countries":[],"new":[["home",null,null,-1],["draw",null,null,1]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('final', 6, 'f960a13c', '2026-11-28 09:33:33.12819+00', '2026-11-28 09:32:12.782103+00', '{home,draw,away}', '{260,313,205}', '{30,53,76}', 4, 3, '2026-11-28 09:33:33.067019+00', '2026-11-28 09:33:00+00', '{0}', '{778}', 0, '{492,286,0,0,0,0}', 1, 0, NULL, NULL, NULL, '{"v":1,"match":"final","seq":6,"prev":5,"epoch":"f960a13c","at":"2026-11-28T09:33:33.128Z","stats":{"total":778,"votes":{"home":260,"draw":313,"away":205},"leader":"draw","dominance":0.0681,"per_minute":620},"cells":[["871fb4662ffffff",{"home":44,"draw":56,"away":15}],["8728308b1ffffff",{"home":71,"draw":80,"away":27}],["872a1072bffffff",{"home":49,"draw":48,"away":60}],["872ba10a9ffffff",{"home":66,"draw":76,"away":27}]],"countries":[["FR",{"home":69,"draw":65,"away":44}],["JP",{"home":71,"draw":89,"away":22}],["US",{"home":73,"draw":71,"away":61}]],"new":[["home","871fb4662ffffff","JP",10],["home","871fb4662ffffff","US",7],["home","8728308b1ffffff","JP",6],["home","8728308b1ffffff","US",4],["home","872ba10a9ffffff","FR",16],["home","872ba10a9ffffff","US",5],["draw","8728308b1ffffff","FR",6],["draw","8728308b1ffffff","JP",6],["draw","872a1072bffffff","JP",3],["draw","872ba10a9ffffff",null,2],["draw","872ba10a9ffffff","JP",2],["draw","872ba10a9ffffff","US",10],["away",null,"JP",2],["away",null,"US",17],["away","871fb4662ffffff","FR",2],["away","871fb4662ffffff","JP",5],["away","872a1072bffffff","FR",9],["away","872a1072bffffff","JP",6],["away","872a1072bffffff","US",2],["away","872ba10a9ffffff",null,6],["away","872ba10a9ffffff","US",5]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('poll', 6, 'f19837b1', '2026-11-28 09:33:33.12819+00', '2026-11-28 09:32:12.782103+00', '{yes,no}', '{13,13}', '{4,3}', 4, 2, '2026-11-28 09:33:33.080382+00', '2026-11-28 09:33:00+00', '{1}', '{26}', 0, '{10,16,0,0,0,0}', 1, 1, '2026-11-28 09:33:32.963403+00', 0, 1, '{"v":1,"match":"poll","seq":6,"prev":5,"epoch":"f19837b1","at":"2026-11-28T09:33:33.128Z","stats":{"total":26,"votes":{"yes":13,"no":13},"leader":null,"dominance":0.0,"per_minute":17},"cells":[["871fb4662ffffff",{"yes":1,"no":3}],["8728308b1ffffff",{"yes":2,"no":1}],["872a1072bffffff",{"yes":5,"no":5}],["872ba10a9ffffff",{"yes":1,"no":1}]],"countries":[["FR",{"yes":7,"no":8}],["US",{"yes":2,"no":2}]],"new":[["yes",null,null,1],["yes",null,"FR",1],["yes","871fb4662ffffff",null,-2],["yes","871fb4662ffffff","FR",-1],["yes","8728308b1ffffff","FR",2],["yes","8728308b1ffffff","US",-1],["yes","872a1072bffffff",null,2],["yes","872a1072bffffff","FR",-1],["yes","872ba10a9ffffff","FR",-1],["no",null,null,-1],["no",null,"FR",1],["no","8728308b1ffffff",null,-1],["no","8728308b1ffffff","FR",1],["no","872a1072bffffff","FR",1],["no","872a1072bffffff","US",1],["no","872ba10a9ffffff",null,1]],"flips":[["cell","871fb4662ffffff","yes","no"]]}', NULL);
INSERT INTO vote_agg.feed VALUES ('rows', 6, '0686b2dd', '2026-11-28 09:33:33.12819+00', '2026-11-28 09:32:12.782103+00', '{home,away,draw}', '{35,40,6}', '{35,40,6}', 0, 1, '2026-11-28 09:33:33.089993+00', '2026-11-28 09:33:00+00', '{2,3}', '{41,40}', 0, '{1,80,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '{"v":1,"match":"rows","seq":6,"prev":5,"epoch":"0686b2dd","at":"2026-11-28T09:33:33.128Z","stats":{"total":81,"votes":{"home":35,"away":40,"draw":6},"leader":"away","dominance":0.0617,"per_minute":36},"cells":[],"countries":[["FR",{"home":1}]],"new":[["home",null,null,-1],["home",null,"FR",1],["draw",null,null,1]],"flips":[["country","FR",null,"home"]]}', NULL);

INSERT INTO vote_agg.h3_aggregate VALUES ('poll', 608543704398954495, '{1,3}', 1, 0);
INSERT INTO vote_agg.h3_aggregate VALUES ('poll', 608692973017759743, '{2,1}', 1, 1);
INSERT INTO vote_agg.h3_aggregate VALUES ('poll', 608725951823478783, '{5,5}', 1, 1);
INSERT INTO vote_agg.h3_aggregate VALUES ('poll', 608753480382808063, '{1,1}', 0, 0);
INSERT INTO vote_agg.h3_aggregate VALUES ('final', 608543704398954495, '{44,56,15}', 1, 1);
INSERT INTO vote_agg.h3_aggregate VALUES ('final', 608692973017759743, '{71,80,27}', 0, 0);
INSERT INTO vote_agg.h3_aggregate VALUES ('final', 608725951823478783, '{49,48,60}', 0, 0);
INSERT INTO vote_agg.h3_aggregate VALUES ('final', 608753480382808063, '{66,76,27}', 1, 1);

INSERT INTO vote_agg.match VALUES ('poll', '{yes,no}', NULL, NULL, NULL, NULL, '2026-11-28 09:32:12.73903+00', NULL, NULL, true, 'kept');
INSERT INTO vote_agg.match VALUES ('over', NULL, NULL, NULL, '2026-11-28 09:32:52.845917+00', '2026-11-28 09:32:52.879926+00', '2026-11-28 09:32:52.845917+00', NULL, NULL, true, 'kept');
INSERT INTO vote_agg.match VALUES ('ending', '{a,b}', NULL, NULL, '2026-11-28 09:33:33.124556+00', NULL, '2026-11-28 09:32:12.739853+00', '{4/19}', '2026-11-28 09:32:12.044505+00', true, 'kept');

INSERT INTO vote_agg.pending_1 VALUES (NULL, 2, '2026-11-28 09:33:33.122567+00', 0, true, 'ending', 'b', 'DE');
INSERT INTO vote_agg.pending_1 VALUES (NULL, 1, '2026-11-28 09:33:33.145067+00', 0, true, 'final', 'away', NULL);
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, 1, '2026-11-28 09:33:33.149834+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 9, '2026-11-28 09:33:33.157864+00', 0, true, 'final', 'home', 'US');
INSERT INTO vote_agg.pending_1 VALUES (NULL, -1, '2026-11-28 09:33:33.15828+00', 1, true, 'poll', 'no', 'FR');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 1, '2026-11-28 09:33:33.15828+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (NULL, 9, '2026-11-28 09:33:33.158499+00', 0, true, 'final', 'draw', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 1, '2026-11-28 09:33:33.158744+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 9, '2026-11-28 09:33:33.158851+00', 0, true, 'final', 'away', 'FR');
INSERT INTO vote_agg.pending_1 VALUES (608692973017759743, 1, '2026-11-28 09:33:33.15897+00', 1, true, 'poll', 'yes', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, 1, '2026-11-28 09:33:33.159061+00', 0, true, 'final', 'away', NULL);
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, -1, '2026-11-28 09:33:33.159171+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608753480382808063, 1, '2026-11-28 09:33:33.159171+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, 2, '2026-11-28 09:33:33.162822+00', 0, true, 'final', 'away', 'US');
INSERT INTO vote_agg.pending_1 VALUES (608692973017759743, -1, '2026-11-28 09:33:33.166019+00', 1, true, 'poll', 'no', 'FR');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 1, '2026-11-28 09:33:33.166019+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608543704398954495, 8, '2026-11-28 09:33:33.166152+00', 0, true, 'final', 'away', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608753480382808063, 1, '2026-11-28 09:33:33.166264+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, 6, '2026-11-28 09:33:33.166358+00', 0, true, 'final', 'away', NULL);
INSERT INTO vote_agg.pending_1 VALUES (608725951823478783, -1, '2026-11-28 09:33:33.166465+00', 1, true, 'poll', 'yes', NULL);
INSERT INTO vote_agg.pending_1 VALUES (608692973017759743, 1, '2026-11-28 09:33:33.166465+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608692973017759743, 6, '2026-11-28 09:33:33.166556+00', 0, true, 'final', 'home', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608692973017759743, -1, '2026-11-28 09:33:33.166668+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608753480382808063, 1, '2026-11-28 09:33:33.166668+00', 1, true, 'poll', 'no', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (NULL, 7, '2026-11-28 09:33:33.170227+00', 0, true, 'final', 'away', 'JP');
INSERT INTO vote_agg.pending_1 VALUES (608753480382808063, 1, '2026-11-28 09:33:33.17041+00', 1, true, 'poll', 'no', 'JP');

INSERT INTO vote_agg.source VALUES ('public.plain', 2, 'counting', 'match_id', 'team_choice', NULL, 'country_code', NULL, NULL, NULL, NULL, '2026-11-28 09:32:12.68951+00', NULL);
INSERT INTO vote_agg.source VALUES ('public.parted', 3, 'counting', 'match_id', 'team_choice', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-28 09:32:12.696153+00', NULL);

INSERT INTO vote_agg.timeline VALUES ('ending', '2026-11-28 09:32:00+00', '{6,0}', NULL);
INSERT INTO vote_agg.timeline VALUES ('final', '2026-11-28 09:32:00+00', '{116,128,42}', NULL);
INSERT INTO vote_agg.timeline VALUES ('over', '2026-11-28 09:32:00+00', '{5}', NULL);
INSERT INTO vote_agg.timeline VALUES ('poll', '2026-11-28 09:32:00+00', '{10,6}', NULL);
INSERT INTO vote_agg.timeline VALUES ('rows', '2026-11-28 09:32:00+00', '{38,40,2}', NULL);
INSERT INTO vote_agg.timeline VALUES ('ending', '2026-11-28 09:33:00+00', '{12,0}', NULL);
INSERT INTO vote_agg.timeline VALUES ('final', '2026-11-28 09:33:00+00', '{144,185,163}', NULL);
INSERT INTO vote_agg.timeline VALUES ('poll', '2026-11-28 09:33:00+00', '{3,7}', NULL);
INSERT INTO vote_agg.timeline VALUES ('rows', '2026-11-28 09:33:00+00', '{-3,0,4}', NULL);

SELECT pg_catalog.setval('vote_agg.source_number', 3, true);

ALTER TABLE ONLY public.plain
    ADD CONSTRAINT plain_pkey PRIMARY KEY (id);

CREATE TRIGGER vote_agg_delete AFTER DELETE ON public.parted REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_delete ON public.parted DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_delete AFTER DELETE ON public.parted_1 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_delete ON public.parted_1 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_delete AFTER DELETE ON public.parted_2 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_delete ON public.parted_2 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_delete AFTER DELETE ON public.plain REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_delete ON public.plain DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_insert AFTER INSERT ON public.parted REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_insert ON public.parted DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_insert AFTER INSERT ON public.parted_1 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_insert ON public.parted_1 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_insert AFTER INSERT ON public.parted_2 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_insert ON public.parted_2 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_insert AFTER INSERT ON public.plain REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_insert ON public.plain DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_truncate BEFORE TRUNCATE ON public.parted FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_truncate ON public.parted DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_truncate BEFORE TRUNCATE ON public.parted_1 FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_truncate ON public.parted_1 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_truncate BEFORE TRUNCATE ON public.parted_2 FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_truncate ON public.parted_2 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_truncate BEFORE TRUNCATE ON public.plain FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_truncate ON public.plain DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_update AFTER UPDATE ON public.parted REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_update ON public.parted DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_update AFTER UPDATE ON public.parted_1 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_update ON public.parted_1 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_update AFTER UPDATE ON public.parted_2 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_update ON public.parted_2 DEPENDS ON EXTENSION vote_agg;

CREATE TRIGGER vote_agg_update AFTER UPDATE ON public.plain REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
ALTER TRIGGER vote_agg_update ON public.plain DEPENDS ON EXTENSION vote_agg;
