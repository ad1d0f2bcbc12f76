// What the page says: in each of its languages, with numbers and names as people read them.
import { afterEach, describe, expect, test } from "vitest";
import { chooseLanguage, say, speak, WORDS } from "../src/language.js";
import { biggestTeams, byName, firstOf, isFound } from "../src/teams.js";
import { countryName, formatAge, formatCount, formatLead, formatPercent, formatPoints, formatTime, marginOf } from "../src/words.js";

const use = (locale: string) => speak(chooseLanguage(null, [locale]));

afterEach(() => use("en"));

describe("words", () => {
  const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([hole]) => hole).sort();

  test("no language lacks a text, has one too many, or leaves out a value", () => {
    expect(Object.keys(WORDS)).toEqual(["en", "de"]);
    for (const [name, words] of Object.entries(WORDS)) {
      expect(Object.keys(words).sort(), name).toEqual(Object.keys(WORDS.en!).sort());
      for (const [key, text] of Object.entries(words)) {
        const english = WORDS.en![key as keyof typeof words];
        const forms = (each: typeof text) => (typeof each === "string" ? [each] : [each.one, each.other]);
        for (const form of forms(text)) expect(form.trim(), `${name} ${key}`).not.toBe("");
        expect(typeof text, `${name} ${key}`).toBe(typeof english);
        expect(holes(forms(text).at(-1)!), `${name} ${key}`).toEqual(holes(forms(english).at(-1)!));
      }
    }
  });

  test("the reader's language, or the one that is asked for", () => {
    expect(chooseLanguage(null, ["fr-FR", "de-AT", "en-US"])).toEqual({ name: "de", locale: "de-AT" });
    expect(chooseLanguage("en", ["de-AT"])).toEqual({ name: "en", locale: "en" });
    expect(chooseLanguage("de", ["en-GB", "de-CH"])).toEqual({ name: "de", locale: "de-CH" });
    for (const nonsense of ["", "xx", "constructor", "../de", "__proto__"]) expect(chooseLanguage(nonsense, ["ja"])).toEqual({ name: "en", locale: "en" });
    expect(chooseLanguage("de-_", [])).toEqual({ name: "de", locale: "de" });
  });

  test("one vote, two votes", () => {
    expect([0, 1, 2, 1_234_567].map((n) => say("votes", { n }))).toEqual(["0 votes", "1 vote", "2 votes", "1,234,567 votes"]);
    use("de-DE");
    expect([0, 1, 1_234_567].map((n) => say("votes", { n }))).toEqual(["0 Stimmen", "1 Stimme", "1.234.567 Stimmen"]);
    expect(say("leadsBy", { team: "{votes}", votes: "1 Stimme" })).toBe("{votes} führt mit 1 Stimme Vorsprung");
  });

  test("numbers, shares, countries and times are the language's", () => {
    expect([formatCount(12_345), formatPercent(0.281, 1), countryName("DE"), countryName("ZZ")]).toEqual(["12,345", "28.1%", "Germany", "Unknown"]);
    expect(formatAge(185_000)).toBe("3 minutes ago");
    const now = Date.parse("2026-07-19T20:11:03");
    expect(formatTime(now, now)).toMatch(/^8:11:03\sPM$/);
    expect(formatTime(now, now + 86_400_000)).toMatch(/2026.*8:11:03/);
    use("de-DE");
    expect([formatCount(12_345), countryName("DE"), countryName("ZZ"), formatTime(now, now)]).toEqual(["12.345", "Deutschland", "Unbekannt", "20:11:03"]);
    expect(formatPercent(0.281, 1)).toMatch(/^28,1\s%$/);
    expect(formatAge(86_400_000)).toBe("gestern");
  });

  test("a lead is told in votes where points would say nothing", () => {
    const lead = (first: number, second: number) => ({ votes: { a: first, b: second }, totalVotes: first + second, leader: first === second ? null : "a", dominance: (first - second) / (first + second) });
    expect(marginOf(lead(5_000_001, 5_000_000))).toBe(1);
    expect(formatPoints(lead(5_000_001, 5_000_000).dominance)).toBe("less than 0.1 points");
    expect(formatPoints(lead(641, 359).dominance)).toBe("28.2 points");
    expect([formatLead(lead(5_000_001, 5_000_000)), formatLead(lead(641, 359)), formatLead(lead(1_004, 996), 1)]).toEqual(["+1 vote", "+28%", "+0.4%"]);
    expect([marginOf(lead(2, 0)), marginOf(lead(3, 3))]).toEqual([2, 0]);
  });
});

describe("teams", () => {
  test("the biggest first, those as big as people sort names, and none without votes", () => {
    expect(biggestTeams({ b: 2, a: 2, c: 9, none: 0, back: -1 })).toEqual(["c", "a", "b"]);
    expect(["Team 10", "Team 2", "team 1", "Émile", "Zoe", "🇫🇷 France", "فريق ٢", "Team 2"].sort(byName).filter((name) => name.startsWith("Team"))).toEqual(["Team 2", "Team 2", "Team 10"]);
    expect(["z", "ä", "a"].sort(byName)).toEqual(["a", "ä", "z"]);
  });

  test("are found without marks and capitals, by words in any order", () => {
    expect(isFound("Atlético de Madrid", "madrid ATLETICO")).toBe(true);
    expect(isFound("Atlético de Madrid", "barce")).toBe(false);
    expect(["Team 3", "Team 30", "Team 13"].map((name) => isFound(name, "TEAM 3"))).toEqual([true, true, false]);
    expect([isFound("鹿島アントラーズ", "アント"), isFound("Paris Saint-Germain", "germ")]).toEqual([true, true]);
    expect([isFound("🇫🇷 France", "🇫🇷"), isFound("Ｔｅａｍ ７", "team 7"), isFound("x", " ")]).toEqual([true, true, true]);
  });

  test("the first ones; one more takes no more room than the line that leaves it out", () => {
    expect(firstOf([1, 2, 3], 2)).toEqual({ first: [1, 2, 3], left: 0 });
    expect(firstOf([1, 2, 3, 4], 2)).toEqual({ first: [1, 2], left: 2 });
  });
});
