import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { readAddress } from "./address.js";
import { MatchesPage } from "./MatchesPage.js";
import { MatchPage } from "./MatchPage.js";
import { useTheme } from "./theme.js";
import "./style.css";

const address = readAddress(location.search, location.hash);

function Page() {
  const [theme, toggle] = useTheme();
  const button = (
    <button type="button" className="theme" onClick={toggle} aria-label={`Use ${theme === "dark" ? "light" : "dark"} colours`}>
      {theme === "dark" ? "☀" : "☾"}
    </button>
  );
  const { match } = address;
  return match === null
    ? <MatchesPage token={address.token} theme={theme}>{button}</MatchesPage>
    : <MatchPage {...address} match={match} theme={theme}>{button}</MatchPage>;
}

createRoot(document.getElementById("root")!).render(<StrictMode><Page /></StrictMode>);
