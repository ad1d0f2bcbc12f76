// A vote a request into Redis, with the script that counts it. REDIS_PORT says where.
import { readFileSync } from "node:fs";
import Redis from "ioredis";
import { serve } from "./app.mjs";

const redis = new Redis(Number(process.env.REDIS_PORT), { enableAutoPipelining: true });
redis.defineCommand("castVote", { numberOfKeys: 5, lua: readFileSync(new URL("../vote.lua", import.meta.url), "utf8") });

await serve(async (match, { voter_id, team_choice, h3_index, country_code }) => {
  const keys = ["voters", "teams", "cells", "countries", "feed"].map((name) => `${match}:${name}`);
  const isNew = await redis.castVote(...keys, voter_id, team_choice, h3_index, country_code);
  return isNew ? "counted" : "unchanged";
});
