-- What is often written to count a table of votes: a trigger that adds each row to its counters.

CREATE TABLE peer.table_bare (match_id text, team_choice text, h3_index bigint, country_code text);
CREATE TABLE peer.table_counted (LIKE peer.table_bare);
CREATE TABLE peer.table_attached (LIKE peer.table_bare);

CREATE FUNCTION peer.count_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO peer.cell_votes AS c VALUES (NEW.match_id, NEW.h3_index, NEW.team_choice, 1)
    ON CONFLICT (match_id, h3_index, team_choice) DO UPDATE SET votes = c.votes + 1;
    INSERT INTO peer.country_votes AS c VALUES (NEW.match_id, NEW.country_code, NEW.team_choice, 1)
    ON CONFLICT (match_id, country_code, team_choice) DO UPDATE SET votes = c.votes + 1;
    INSERT INTO peer.match_votes AS c VALUES (NEW.match_id, NEW.team_choice, 1)
    ON CONFLICT (match_id, team_choice) DO UPDATE SET votes = c.votes + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_row AFTER INSERT ON peer.table_counted FOR EACH ROW EXECUTE FUNCTION peer.count_row();
