import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { type View, VoteMap } from "vote-agg-client/map";
import "vote-agg-client/map.css";

const query = new URLSearchParams(location.search);
const europe: View = { zoom: 3.4, latitude: 49, longitude: 8 };

function Page() {
  const [cell, setCell] = useState("");
  return (
    <>
      <h1>The cup</h1>
      <VoteMap
        matchId={query.get("match") ?? "final"} url={query.get("relay")!} view={europe} theme="light" lang={query.get("lang") ?? undefined} colors={{ away: "#c2185b" }}
        label="Votes of the cup" style={{ height: 560 }} onCell={(next) => setCell(next ? `${next.leader ?? "Nobody"} leads in ${next.h3Index}` : "")}
      />
      <p id="cell">{cell}</p>
    </>
  );
}

// @ts-expect-error a match has a name
export const nameless = <VoteMap url="" />;

createRoot(document.getElementById("root")!).render(<StrictMode><Page /></StrictMode>);
