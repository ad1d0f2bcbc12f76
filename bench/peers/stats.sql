-- A match's totals by summing its cells.
SELECT team_choice, sum(votes) FROM peer.cell_votes WHERE match_id = 'big' GROUP BY team_choice;
