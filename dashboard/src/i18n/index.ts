import { usePreferences } from "../preferences";
import { type Word, en } from "./en";
import { es } from "./es";

export type { Word } from "./en";
export type Translate = (word: Word, values?: Record<string, string | number>) => string;

const WORDS = { en, es };

export function translate(language: "en" | "es"): Translate {
  return (word, values = {}) =>
    WORDS[language][word].replace(/\{(\w+)\}/g, (_all, name: string) => String(values[name] ?? ""));
}

/** The words in the language that was chosen. */
export function useWords(): Translate {
  return translate(usePreferences().language);
}

/** What the API names, in the language that was chosen; as it is where there is no word for it. */
export function useNamed(): (name: string) => string {
  const { language } = usePreferences();
  return (name) => (name in en ? WORDS[language][name as Word] : name.replaceAll("_", " "));
}
