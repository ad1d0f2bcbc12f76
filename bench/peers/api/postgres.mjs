// A vote a request into vote_agg: a pool, and a prepared statement. The variables of libpq say where.
import pg from "pg";
import { serve } from "./app.mjs";

const pool = new pg.Pool({ max: Number(process.env.POOL ?? 20) });
const text = "SELECT cast_vote($1, $2, $3, $4::text, $5) AS outcome";

await serve(async (match, { voter_id, team_choice, h3_index, country_code }) => {
  const { rows } = await pool.query({ name: "cast", text, values: [match, voter_id, team_choice, h3_index, country_code] });
  return rows[0].outcome;
});
