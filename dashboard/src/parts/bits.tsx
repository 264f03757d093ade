import { type Json, write } from "../api/json";
import { short, useAgo } from "../format";
import { useNamed, useWords } from "../i18n";
import { link } from "../route";

const SIGNS: Record<string, string> = {
  pending: "○", wip: "◐", completed: "●", retrieved: "✓", failed: "✕", cancelled: "⊘",
  idle: "○", busy: "◐", hung: "!", lost: "✕", draining: "◌", starting: "◌", running: "●", stopping: "◌",
};

/** A sign and a word, so that colour is never all that tells. */
export function Status({ of }: { of: string }) {
  const named = useNamed();
  return (
    <span className={`status s-${of}`}>
      <span aria-hidden="true">{SIGNS[of] ?? "·"}</span> {named(of)}
    </span>
  );
}

export function OrderLink({ id, whole = false }: { id: string; whole?: boolean }) {
  return (
    <a className="mono" href={link("orders", id)} title={id}>
      {whole ? id : short(id)}
    </a>
  );
}

export function Ago({ at }: { at: string | null }) {
  const ago = useAgo();
  return at ? (
    <time dateTime={at} title={at}>
      {ago(at)}
    </time>
  ) : (
    <>–</>
  );
}

/** A value as a tree that folds; everything in it is text. */
export function Tree({ value, name, depth = 0 }: { value: Json; name?: string; depth?: number }) {
  const t = useWords();
  const label = name === undefined ? null : <span className="key">{name}: </span>;
  const isBranch = value !== null && typeof value === "object" && !("text" in value && value.constructor !== Object);
  if (!isBranch) return <div className="leaf">{label}<span className={`v-${value === null ? "null" : typeof value}`}>{write(value)}</span></div>;
  const entries = Object.entries(value);
  const isCut = !Array.isArray(value) && "truncated" in value && "start" in value;
  if (!entries.length) return <div className="leaf">{label}{Array.isArray(value) ? "[]" : "{}"}</div>;
  return (
    <details className="tree" open={depth < 2}>
      <summary>
        {label}
        <span className="quiet">{Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`}{isCut && ` ${t("truncated")}`}</span>
      </summary>
      {entries.slice(0, 500).map(([key, one]) => (
        <Tree key={key} name={key} value={one} depth={depth + 1} />
      ))}
    </details>
  );
}
