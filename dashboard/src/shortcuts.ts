import { useEffect, useRef } from "react";
import { setPaused, snapshot } from "./api/live";
import { preferences } from "./preferences";

export const GO: Record<string, string> = {
  o: "overview", j: "orders", n: "submit", q: "queues", w: "workers", s: "schedules", e: "events",
};

/** Single keys, where nothing is being written; rows are those of the table marked `data-rows`. */
export function useShortcuts(onHelp: () => void): void {
  const help = useRef(onHelp);
  help.current = onHelp;
  useEffect(() => {
    let going = 0;
    const press = (event: KeyboardEvent) => {
      if (!preferences().shortcuts || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest("input, textarea, select, [contenteditable], [role=dialog], [role=menu]")) return;
      const now = Date.now();
      if (event.key === "g") going = now;
      else if (now - going < 1500 && GO[event.key]) {
        window.location.hash = `#/${GO[event.key]}`;
        going = 0;
      } else if (!act(event.key, () => help.current())) return;
      event.preventDefault();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

function act(key: string, help: () => void): boolean {
  switch (key) {
    case "?":
      help();
      return true;
    case "/":
      return search();
    case "p":
      setPaused(!snapshot().paused);
      return true;
    case "j":
      return move(1);
    case "k":
      return move(-1);
    case "x":
      return inRow("input[type=checkbox]");
    case "r":
      return inRow("[data-act=retry]");
    case "c":
      return inRow("[data-act=cancel]");
    default:
      return false;
  }
}

function search(): boolean {
  const box = document.querySelector<HTMLInputElement>("[data-search]");
  box?.focus();
  box?.select();
  return box !== null;
}

function move(step: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-rows] tbody tr")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  row?.querySelector<HTMLElement>("a")?.focus();
  return row !== undefined;
}

function inRow(selector: string): boolean {
  const row = document.activeElement?.closest("[data-rows] tr");
  const found = row?.querySelector<HTMLElement>(selector);
  found?.click();
  return found !== undefined && found !== null;
}
