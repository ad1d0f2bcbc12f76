import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { formatAggregateForMap, type CellCollection } from "vote-agg-client/geo";
import { useVoteSocket } from "vote-agg-client/react";

function Score({ matchId, url }: { matchId: string; url: string }) {
  const { stats, connected, aggregates } = useVoteSocket({ matchId, url });
  const map: CellCollection = formatAggregateForMap(aggregates, "geojson");
  // @ts-expect-error geometries are typed
  const nonsense: number | undefined = map.features[0]?.geometry;
  return <p>{stats?.leader ?? "Nobody"} leads, {stats?.totalVotes ?? 0} votes from {map.features.length} cells{nonsense && ""}{connected ? "" : " (connecting…)"}</p>;
}

const url = new URLSearchParams(location.search).get("relay")!;
createRoot(document.getElementById("root")!).render(<StrictMode><Score matchId="final" url={url} /></StrictMode>);
