import { useEffect, useState } from "react";
import type { Theme } from "./colour.js";

const KEY = "vote-map-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    // Some browsers keep nothing for anybody.
    return null;
  }
}

function choose(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds as long as the page.
  }
}

/** The system's theme until another is chosen; what is chosen is kept. `fixed`: this one, whatever was chosen. */
export function useTheme(fixed: Theme | null = null): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(() => fixed ?? chosen() ?? (system.matches ? "dark" : "light"));
  useEffect(() => {
    const follow = () => fixed ?? chosen() ?? setTheme(system.matches ? "dark" : "light");
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, [fixed]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    choose(next);
    setTheme(next);
  };
  return [theme, toggle];
}
