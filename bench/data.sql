-- Places and votes that both sides of a benchmark are fed with.

CREATE SCHEMA bench;

-- A resolution 7 cell for each n from 0 to 7^7 - 1: the seven digits of n in base 7 are the cell's digits, below base
-- cell 21, which is no pentagon, so that every one of them is valid.
CREATE FUNCTION bench.cell(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT x'0872a00000ffffff'::bigint
         + ((n % 7) << 24) + ((n / 7 % 7) << 27) + ((n / 49 % 7) << 30) + ((n / 343 % 7) << 33)
         + ((n / 2401 % 7) << 36) + ((n / 16807 % 7) << 39) + ((n / 117649 % 7) << 42)
$$;

CREATE FUNCTION bench.country(n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('{FR,DE,BR,US,JP,KR,GB,ES,IT,PT,NL,AR,MX,CA,NG,EG,MA,SN,SA,IN,ID,AU,NZ,ZA}'::text[])[1 + n / 343 % 24]
$$;

CREATE FUNCTION bench.team(n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN n % 2 = 0 THEN 'home' ELSE 'away' END
$$;

-- Votes for places drawn at random, the same ones each time; team_of_cell: each cell votes for one team only.
CREATE FUNCTION bench.votes(howmany bigint, cells bigint, team_of_cell boolean DEFAULT false)
RETURNS TABLE (team_choice text, h3_index bigint, country_code text) LANGUAGE sql AS $$
    SELECT setseed(0.42);
    SELECT bench.team(CASE WHEN team_of_cell THEN n ELSE i + n END), bench.cell(n), bench.country(n)
    FROM (SELECT i, floor(random() * cells)::bigint AS n FROM generate_series(1, howmany) AS i OFFSET 0) AS draw
$$;

-- What bulk calls are given. Stored uncompressed: unpacking is not what is measured.
CREATE TABLE bench.documents (name text PRIMARY KEY, doc jsonb);
CREATE TABLE bench.arrays (name text PRIMARY KEY, teams text[], cells bigint[], countries text[]);
ALTER TABLE bench.documents ALTER doc SET STORAGE EXTERNAL;
ALTER TABLE bench.arrays ALTER teams SET STORAGE EXTERNAL, ALTER cells SET STORAGE EXTERNAL, ALTER countries SET STORAGE EXTERNAL;

CREATE FUNCTION bench.make_document(name text, howmany bigint, cells bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO bench.documents
    SELECT name, jsonb_agg(jsonb_build_object('match_id', name, 'team_choice', v.team_choice,
                                              'h3_index', to_hex(v.h3_index), 'country_code', v.country_code))
    FROM bench.votes(howmany, cells) AS v
$$;

CREATE FUNCTION bench.make_arrays(name text, howmany bigint, cells bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO bench.arrays
    SELECT name, array_agg(v.team_choice), array_agg(v.h3_index), array_agg(v.country_code) FROM bench.votes(howmany, cells) AS v
$$;

-- Votes of two teams in distinct cells around points drawn evenly from a part of the sphere, for us and for the peers.
CREATE FUNCTION bench.spread(of_match text, cells integer, resolution integer, west float8, south float8, east float8, north float8)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.42);
    INSERT INTO peer.cell_votes
    SELECT of_match, cell.h3_index, team.name, 1 + (random() * 9)::bigint
    FROM (SELECT DISTINCT ('x' || lpad(h3_from_lat_lng(degrees(asin(sind(south) + random() * (sind(north) - sind(south)))),
                                                       west + random() * (east - west), resolution), 16, '0'))::bit(64)::bigint AS h3_index
          FROM generate_series(1, cells + cells / 20)) AS cell, unnest(ARRAY['home', 'away']) AS team(name);
    DELETE FROM peer.cell_votes v WHERE v.match_id = of_match AND v.h3_index NOT IN (
        SELECT c.h3_index FROM peer.cell_votes c WHERE c.match_id = of_match GROUP BY c.h3_index ORDER BY c.h3_index % 1009, c.h3_index LIMIT cells);
    PERFORM bulk_increment(of_match, array_agg(v.team_choice), array_agg(v.h3_index), NULL, array_agg(v.votes))
    FROM peer.cell_votes v WHERE v.match_id = of_match;
END
$$;
