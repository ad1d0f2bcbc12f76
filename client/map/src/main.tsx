import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { type Address, readAddress } from "./address.js";
import { MatchesPage } from "./MatchesPage.js";
import { MatchPage } from "./MatchPage.js";
import { useTheme } from "./theme.js";
import "./style.css";

/** A token may be put into the address, or renewed there, while the page is open. */
function useAddress(): Address {
  const [address, setAddress] = useState(() => readAddress(location.search, location.hash));
  useEffect(() => {
    const follow = () => setAddress((last) => ({ ...last, token: readAddress("", location.hash).token }));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return address;
}

function Page() {
  const address = useAddress();
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
