// The reader's language: the page's words, and numbers, times and names as that language writes them.
import { cloneElement, Fragment, isValidElement, type ReactNode } from "react";
import { de } from "./words/de.js";
import { en, type Text, type Words } from "./words/en.js";

export const WORDS: Readonly<Record<string, Words>> = { en, de };

export interface Language {
  /** The page's words are in this one. */
  readonly name: string;
  /** Numbers, times and names go by this one: the same language, as in the reader's country. */
  readonly locale: string;
}

const languageOf = (locale: string) => locale.toLowerCase().split("-")[0]!;

/** The language that is asked for (`?lang=`), else the first of the reader's that the page speaks, else English. */
export function chooseLanguage(asked: string | null, wanted: readonly string[]): Language {
  for (const locale of [...(asked ? [asked] : []), ...wanted]) {
    const name = languageOf(locale);
    if (!Object.hasOwn(WORDS, name)) continue;
    const own = wanted.find((each) => languageOf(each) === name) ?? locale;
    try {
      return { name, locale: Intl.getCanonicalLocales(own)[0]! };
    } catch {
      return { name, locale: name };
    }
  }
  return { name: "en", locale: "en" };
}

let words: Words = en;
let plural = new Intl.PluralRules("en");
let locale = "en";
const listeners = new Set<() => void>();

/** Speaks a language from now on. */
export function speak(language: Language): void {
  words = WORDS[language.name]!;
  locale = language.locale;
  plural = new Intl.PluralRules(locale);
  for (const listener of listeners) listener();
}

/** Languages that are written from right to left. */
const FROM_RIGHT = new Set(["ar", "fa", "he", "ur"]);

/** What tells a browser of a language, and which way it runs. */
export const marksOf = ({ name, locale }: Language) => ({ lang: locale, dir: FROM_RIGHT.has(name) ? "rtl" : "ltr" });

/** What is made for the current locale, made again for another one. */
export function localized<T>(make: (locale: string) => T): () => T {
  let made: T | undefined;
  listeners.add(() => (made = undefined));
  return () => (made ??= make(locale));
}

const whole = localized((locale) => new Intl.NumberFormat(locale));

export type Key = keyof Words;
export type Values<T> = Readonly<Record<string, T>>;

function textOf(key: Key, n: unknown): string {
  const text: Text = words[key];
  if (typeof text === "string") return text;
  return plural.select(typeof n === "number" ? n : 2) === "one" ? text.one : text.other;
}

/** The text, with its values; numbers as the language writes them. */
export function say(key: Key, values: Values<string | number> = {}): string {
  return textOf(key, values.n).replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]!;
    return typeof value === "number" ? whole().format(value) : value;
  });
}

/** The same with values that are elements. Names stand apart, so that one from right to left turns nothing else around. */
export function tell(key: Key, values: Values<ReactNode>): ReactNode {
  return textOf(key, values.n).split(/(\{\w+\})/).map((part, i) => {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    const value = name === undefined ? part : values[name];
    if (typeof value === "number") return whole().format(value);
    return isValidElement(value) ? cloneElement(value, { key: i }) : <Fragment key={i}>{value}</Fragment>;
  });
}
