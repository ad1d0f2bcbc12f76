-- What somebody who knows PostgreSQL well would build instead: one row a counter, keys in C collation, pages with room
-- for HOT updates.

CREATE SCHEMA peer;

-- The floor: what it costs to write a vote down at all.
CREATE TABLE peer.bare (
    match_id text COLLATE "C",
    team_choice text COLLATE "C",
    h3_index bigint,
    country_code text COLLATE "C",
    at timestamptz
);

-- The same for one vote a voter: the key refuses a second one.
CREATE TABLE peer.ballot (
    match_id text COLLATE "C",
    voter_id text COLLATE "C",
    team_choice text COLLATE "C",
    h3_index bigint,
    country_code text COLLATE "C",
    PRIMARY KEY (match_id, voter_id)
);

CREATE TABLE peer.cell_votes (
    match_id text COLLATE "C",
    h3_index bigint,
    team_choice text COLLATE "C",
    votes bigint NOT NULL,
    PRIMARY KEY (match_id, h3_index, team_choice)
) WITH (fillfactor = 80);

CREATE TABLE peer.country_votes (
    match_id text COLLATE "C",
    country_code text COLLATE "C",
    team_choice text COLLATE "C",
    votes bigint NOT NULL,
    PRIMARY KEY (match_id, country_code, team_choice)
) WITH (fillfactor = 50);

CREATE TABLE peer.match_votes (
    match_id text COLLATE "C",
    team_choice text COLLATE "C",
    votes bigint NOT NULL,
    PRIMARY KEY (match_id, team_choice)
) WITH (fillfactor = 50);

-- Cells with their votes as they are sent, for those who keep them so.
CREATE TABLE peer.cell_json (
    match_id text COLLATE "C",
    h3_index text COLLATE "C",
    votes jsonb NOT NULL,
    PRIMARY KEY (match_id, h3_index)
);

-- Votes waiting for peer.fold.
CREATE TABLE peer.pending (
    match_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    h3_index bigint,
    country_code text COLLATE "C",
    votes bigint NOT NULL,
    at timestamptz NOT NULL
);
