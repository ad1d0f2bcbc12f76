// The HTTP side that both APIs share: a vote a request, as fastify's documentation teaches. PORT says where.
import Fastify from "fastify";

const vote = {
  type: "object",
  required: ["team_choice", "voter_id"],
  properties: {
    team_choice: { type: "string" },
    voter_id: { type: "string" },
    h3_index: { type: "string" },
    country_code: { type: "string" },
  },
};
const outcome = { type: "object", properties: { outcome: { type: "string" } } };

export async function serve(cast) {
  const app = Fastify();
  app.post("/matches/:match/votes", { schema: { body: vote, response: { 200: outcome } } }, async ({ params, body }) => ({
    outcome: await cast(params.match, body),
  }));
  await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
}
