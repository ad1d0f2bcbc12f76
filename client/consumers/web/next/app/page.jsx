// A server component, with the page's live part below it.
import { calculateDominance } from "vote-agg-client";
import { Score } from "./score";

export const dynamic = "force-dynamic";

export default function Page() {
  return <main data-dominance={calculateDominance({ home: 3, away: 1 })}><Score matchId="final" url={process.env.RELAY_URL} /></main>;
}
