import { useState } from "react";
import { useResource } from "../api/hooks";
import type { JobType, Page } from "../api/types";
import { type Word, useWords } from "../i18n";
import { link, setValues } from "../route";

/** What the list is filtered by, besides the status; the same names in the address and the API. */
export const NAMES = ["q", "type", "priority", "queue", "worker", "tag", "createdAfter", "createdBefore"] as const;
const TEXTS: [(typeof NAMES)[number], Word][] = [["queue", "queue"], ["worker", "worker"], ["tag", "tag"]];
const TIMES: [(typeof NAMES)[number], Word][] = [["createdAfter", "createdAfter"], ["createdBefore", "createdBefore"]];

export function Filters({ values, isFiltered }: { values: Record<string, string | null>; isFiltered: boolean }) {
  const t = useWords();
  const types = useResource<Page<JobType>>("/api/v1/types");
  const set = (name: string, value: string) => setValues({ [name]: value, cursor: null });
  return (
    <div className="filters">
      <Text className="search" name="q" value={values.q ?? ""} label={t("search")} set={set} />
      <select className="field" aria-label={t("type")} value={values.type ?? ""} onChange={(e) => set("type", e.target.value)}>
        <option value="">{t("type")}: {t("any")}</option>
        {types.data?.items.map((one) => <option key={one.type}>{one.type}</option>)}
      </select>
      <select className="field" aria-label={t("priority")} value={values.priority ?? ""} onChange={(e) => set("priority", e.target.value)}>
        <option value="">{t("priority")}: {t("any")}</option>
        {(["high", "normal", "low"] as const).map((one) => <option key={one} value={one}>{t(one)}</option>)}
      </select>
      {TEXTS.map(([name, word]) => <Text key={name} name={name} value={values[name] ?? ""} label={t(word)} set={set} />)}
      {TIMES.map(([name, word]) => (
        <label className="row quiet" key={name}>
          {t(word)}
          <input className="field" type="datetime-local" defaultValue={local(values[name] ?? null)}
            onBlur={(e) => e.target.value !== local(values[name] ?? null) && set(name, e.target.value ? new Date(e.target.value).toISOString() : "")} />
        </label>
      ))}
      {isFiltered && <a href={link("orders")}>{t("clearFilters")}</a>}
    </div>
  );
}

interface TextProps {
  name: string;
  value: string;
  label: string;
  className?: string;
  set: (name: string, value: string) => void;
}

/** Takes effect on Enter or when left, so that nothing is asked for at each letter. */
function Text({ name, value, label, className = "", set }: TextProps) {
  const [text, setText] = useState(value);
  const done = () => text !== value && set(name, text);
  return (
    <input className={`field ${className}`} placeholder={label} aria-label={label} value={text} size={12} {...(name === "q" ? { "data-search": true } : {})}
      onChange={(e) => setText(e.target.value)} onBlur={done} onKeyDown={(e) => e.key === "Enter" && done()} />
  );
}

function local(moment: string | null): string {
  if (!moment) return "";
  const at = new Date(moment);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
