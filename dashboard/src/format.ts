import { useEffect, useMemo, useState } from "react";
import { useWords } from "./i18n";
import { usePreferences } from "./preferences";

/** A length of time in the unit that tells it best. */
export function span(ms: number): string {
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export function short(id: string): string {
  return id.length > 14 ? `…${id.slice(-8)}` : id;
}

export interface Formats {
  number: (value: number, places?: number) => string;
  clock: (moment: string | number) => string;
  moment: (moment: string) => string;
}

export function useFormats(): Formats {
  const { language, times } = usePreferences();
  return useMemo(() => {
    const zone = times === "utc" ? { timeZone: "UTC" } : {};
    const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
    const clock = new Intl.DateTimeFormat(language, { ...time, ...zone });
    const day = new Intl.DateTimeFormat(language, { day: "2-digit", month: "short", ...time, ...zone });
    return {
      number: (value, places = 0) =>
        value.toLocaleString(language, { maximumFractionDigits: places, useGrouping: true }),
      clock: (moment) => clock.format(new Date(moment)),
      moment: (moment) => day.format(new Date(moment)),
    };
  }, [language, times]);
}

/** The time now, told again every so often. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** "2 s ago", "in 5 min". */
export function useAgo(): (moment: string) => string {
  const t = useWords();
  const now = useNow();
  return (moment) => {
    const ms = now - Date.parse(moment);
    if (Math.abs(ms) < 500) return t("now");
    const time = span(Math.abs(ms) < 10_000 ? Math.round(Math.abs(ms) / 1000) * 1000 : Math.abs(ms));
    return t(ms > 0 ? "ago" : "inTime", { time: time.replace(".0 s", " s") });
  };
}
