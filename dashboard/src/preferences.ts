// What somebody chose for their own eyes; kept in the browser.
import { useSyncExternalStore } from "react";

export interface Preferences {
  theme: "auto" | "light" | "dark";
  language: "en" | "es";
  times: "utc" | "local";
  shortcuts: boolean;
}

const KEY = "capataz.preferences";
const first: Preferences = {
  theme: "auto",
  language: navigator.language.startsWith("es") ? "es" : "en",
  times: "local",
  shortcuts: true,
};
let current = load();
const listeners = new Set<() => void>();

function load(): Preferences {
  try {
    return { ...first, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>) };
  } catch {
    return first;
  }
}

export function setPreferences(some: Partial<Preferences>): void {
  current = { ...current, ...some };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Without storage they last as long as the page.
  }
  for (const listener of listeners) listener();
}

export function preferences(): Preferences {
  return current;
}

export function usePreferences(): Preferences {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, preferences);
}
