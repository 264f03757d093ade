// JSON whose numbers travel unharmed: what a double cannot hold is kept as it was written.

export class ExactNumber {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

export type Json = null | boolean | number | string | ExactNumber | Json[] | { [name: string]: Json };

type Reviver = (name: string, value: unknown, context?: { source?: string }) => unknown;
const parseWith = JSON.parse as (text: string, reviver: Reviver) => unknown;

/** Like JSON.parse; a number that would be rounded comes as an ExactNumber. */
export function parse<T = Json>(text: string): T {
  return parseWith(text, (_name, value, context) => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    return String(value) === context.source || sameNumber(value, context.source)
      ? value
      : new ExactNumber(context.source);
  }) as T;
}

// 0.10 and 1.0 lose nothing but zeros.
function sameNumber(value: number, source: string): boolean {
  if (/[eE]/.test(source)) return true;
  const plain = source.includes(".") ? source.replace(/\.?0+$/, "") : source;
  return String(value) === plain;
}

/** The JSON text of a value, with exact numbers as they were written. */
export function write(value: Json, indent = 0, depth = 0): string {
  if (value instanceof ExactNumber) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((one) => write(one, indent, depth + 1))]
    : [
        "{",
        "}",
        Object.entries(value).map(
          ([name, one]) => `${JSON.stringify(name)}:${indent ? " " : ""}${write(one, indent, depth + 1)}`,
        ),
      ];
  if (!parts.length) return `${open}${close}`;
  if (!indent) return `${open}${parts.join(",")}${close}`;
  const margin = "\n" + " ".repeat(indent * (depth + 1));
  return `${open}${margin}${parts.join(`,${margin}`)}\n${" ".repeat(indent * depth)}${close}`;
}
