// A payload as a form made from its type's schema, or as JSON; and the options beside it.
import { type ReactNode, useState } from "react";
import { Problem } from "../api/http";
import { type Json, parse, write } from "../api/json";
import type { JobType } from "../api/types";
import { type Word, useWords } from "../i18n";
import { type BadField, fields, shown, valueOf } from "../payload";
import { PayloadFields } from "./payload-fields";

type Named = { [name: string]: Json };

export interface PayloadEditor {
  /** The fields, and what is wrong that belongs to none of them. */
  node: ReactNode;
  /** The button that changes between form and JSON. */
  toggle: ReactNode;
  /** What was filled in; null when it cannot be, which is then said. */
  read: () => Json | null;
  /** Say what the server has against it. */
  tell: (error: unknown) => void;
}

export function usePayload(kind: JobType, before: Named): PayloadEditor {
  const t = useWords();
  const known = fields(kind.payloadSchema);
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(
      known.map((one) => [one.name, one.name in before ? shown(one.kind, before[one.name]!) : one.initial]),
    ),
  );
  const [json, setJson] = useState<string | null>(null);
  const [bad, setBad] = useState<Record<string, string>>({});

  const read = (): Json | null => {
    const wrong: Record<string, string> = {};
    const value = json === null ? fromFields() : fromText(json);
    setBad(wrong);
    return Object.keys(wrong).length ? null : value;

    function fromText(text: string): Json {
      try {
        return parse(text);
      } catch {
        wrong.json = t("badJson");
        return null;
      }
    }
    function fromFields(): Json {
      const found: Named = {};
      for (const one of known) {
        try {
          const value = valueOf(one, texts[one.name] ?? "");
          if (value !== undefined) found[one.name] = value;
        } catch (error) {
          wrong[one.name] = t(error as BadField);
        }
      }
      return found;
    }
  };
  const change = () => {
    if (json !== null) return setJson(null);
    const value = read();
    if (value !== null) setJson(write(value, 2));
  };
  const elsewhere = Object.entries(bad).filter(([name]) => json !== null || !known.some((one) => one.name === name));
  const node = (
    <>
      {json === null ? (
        <PayloadFields known={known} texts={texts} bad={bad} set={(name, text) => setTexts({ ...texts, [name]: text })} />
      ) : (
        <label>
          {t("payload")}
          <textarea className="field" rows={8} value={json} onChange={(e) => setJson(e.target.value)} spellCheck={false} />
        </label>
      )}
      {elsewhere.map(([name, message]) => (
        <p key={name} className="err" role="alert">
          {name === "json" ? "" : `${name}: `}
          {message}
        </p>
      ))}
    </>
  );
  const toggle = (
    <button type="button" className="plain" onClick={change}>
      {t(json === null ? "asJson" : "asForm")}
    </button>
  );
  return { node, toggle, read, tell: (error) => setBad(errorsOf(error)) };
}

function errorsOf(error: unknown): Record<string, string> {
  if (!(error instanceof Problem)) return { json: String(error) };
  if (!error.errors.length) return { json: error.message };
  const place = (pointer: string) => pointer.replace(/^\/payload\//, "").replace(/^\//, "");
  return Object.fromEntries(error.errors.map((one) => [place(one.pointer ?? one.parameter ?? ""), one.message]));
}

const NUMBERS = ["delay", "maxAttempts", "timeout", "maxSilence"] as const;
const TEXTS = ["queue", "priority", "tags"] as const;
export type Option = (typeof NUMBERS)[number] | (typeof TEXTS)[number];
export type Options = Partial<Record<Option, string>>;

interface OptionProps {
  kind: JobType;
  names: readonly Option[];
  values: Options;
  set: (values: Options) => void;
}

export function OptionFields({ kind, names, values, set }: OptionProps) {
  const t = useWords();
  const inherited: Options = {
    queue: kind.queue, priority: kind.priority, delay: "0", maxAttempts: String(kind.maxAttempts),
    timeout: String(kind.timeout), tags: "a, b",
  };
  return (
    <details>
      <summary>{t("options")}</summary>
      <div className="pair" style={{ marginTop: 8 }}>
        {names.map((name) => (
          <label key={name}>
            {t(name satisfies Word)}
            {name === "priority" ? (
              <select className="field" value={values.priority ?? ""} onChange={(e) => set({ ...values, priority: e.target.value })}>
                <option value="">{t(kind.priority as Word)}</option>
                {(["high", "normal", "low"] as const).filter((one) => one !== kind.priority).map((one) => <option key={one} value={one}>{t(one)}</option>)}
              </select>
            ) : (
              <input className="field" value={values[name] ?? ""} placeholder={inherited[name]} onChange={(e) => set({ ...values, [name]: e.target.value })} />
            )}
          </label>
        ))}
      </div>
    </details>
  );
}

/** The options that were filled in, as the API takes them. What is no number is for it to refuse. */
export function optionsOf(values: Options): Named {
  const found: Named = {};
  for (const [name, text] of Object.entries(values)) {
    const plain = text.trim();
    if (!plain) continue;
    if (name === "tags") found.tags = plain.split(",").map((one) => one.trim()).filter(Boolean);
    else if ((NUMBERS as readonly string[]).includes(name)) found[name] = Number.isNaN(Number(plain)) ? plain : Number(plain);
    else found[name] = plain;
  }
  return found;
}
