// A form made from the schema of a payload, and the payload made from what was filled in.
import { ExactNumber, type Json, parse, write } from "./api/json";
import type { Schema } from "./api/types";

export interface Field {
  name: string;
  kind: "number" | "integer" | "text" | "switch" | "choice" | "json";
  required: boolean;
  nullable: boolean;
  description: string;
  choices: Json[];
  initial: string;
}

export function fields(schema: Schema): Field[] {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => field(name, one, schema));
}

function field(name: string, given: Schema, root: Schema): Field {
  const whole = resolved(given, root);
  const options = (whole.anyOf ?? [whole]).map((one) => resolved(one, root));
  const real = options.filter((one) => one.type !== "null");
  const types = new Set(real.map((one) => one.type));
  const choices = real.find((one) => one.enum)?.enum ?? [];
  let kind: Field["kind"] = "json";
  if (choices.length) kind = "choice";
  else if ([...types].every((type) => type === "integer")) kind = "integer";
  else if (types.has("number") && [...types].every((type) => ["number", "integer", "string"].includes(type ?? ""))) kind = "number";
  else if (types.size === 1 && types.has("string")) kind = "text";
  else if (types.size === 1 && types.has("boolean")) kind = "switch";
  const initial = whole.default;
  return {
    name, kind, choices,
    required: root.required?.includes(name) ?? false,
    nullable: real.length < options.length,
    description: whole.description ?? "",
    initial: initial === undefined || initial === null ? "" : shown(kind, initial),
  };
}

function resolved(schema: Schema, root: Schema): Schema {
  const name = schema.$ref?.split("/").pop();
  return name ? { ...(root.$defs?.[name] ?? {}), ...schema } : schema;
}

/** A value as its field shows it. */
export function shown(kind: Field["kind"], value: Json): string {
  if (kind === "text" && typeof value === "string") return value;
  return value === null && kind !== "json" ? "" : write(value);
}

const NUMBER = /^[+-]?\d+(\.\d+)?$/;

export type BadField = "required" | "notNumber" | "badJson";

/** The value of what was filled in; undefined leaves it to the job. Throws a BadField. */
export function valueOf(one: Field, text: string): Json | undefined {
  const plain = text.trim();
  if (!plain && one.kind !== "switch" && !(one.kind === "text" && one.required)) {
    if (one.required && !one.nullable) throw "required" satisfies BadField;
    return one.required ? null : undefined;
  }
  switch (one.kind) {
    case "text":
      return text;
    case "switch":
      return text === "true";
    case "number":
    case "integer":
      if (!NUMBER.test(plain)) throw "notNumber" satisfies BadField;
      return new ExactNumber(plain.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1"));
    default:
      try {
        return parse(plain);
      } catch {
        throw "badJson" satisfies BadField;
      }
  }
}
