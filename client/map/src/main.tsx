import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { type Address, readAddress } from "./address.js";
import { type Embed, readEmbed } from "./embed.js";
import { chooseLanguage, marksOf, say, speak } from "./language.js";
import { MatchesPage } from "./MatchesPage.js";
import { MatchPage, WHOLE } from "./MatchPage.js";
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
    <button type="button" className="theme" onClick={toggle} aria-label={say(theme === "dark" ? "useLight" : "useDark")}>
      {theme === "dark" ? "☀" : "☾"}
    </button>
  );
  const { match } = address;
  return match === null
    ? <MatchesPage token={address.token} theme={theme}>{button}</MatchesPage>
    : <MatchPage {...address} match={match} theme={theme} parts={WHOLE}>{button}</MatchPage>;
}

/** The match in a frame of another page. */
function Frame({ embed }: { embed: Embed }) {
  const address = useAddress();
  const [theme] = useTheme(embed.theme);
  useEffect(() => {
    for (const [name, colour] of embed.colours) document.documentElement.style.setProperty(`--${name}`, colour);
  }, [embed]);
  return <MatchPage {...address} match={address.match ?? ""} theme={theme} parts={embed.parts} isEmbedded />;
}

const embed = readEmbed(location.pathname, location.search);
const language = chooseLanguage(new URLSearchParams(location.search).get("lang"), navigator.languages);
speak(language);
Object.assign(document.documentElement, marksOf(language));

createRoot(document.getElementById("root")!).render(<StrictMode>{embed ? <Frame embed={embed} /> : <Page />}</StrictMode>);
