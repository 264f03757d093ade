import { render } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { write } from "./api/json";
import type { Metrics, OrderDetail } from "./api/types";
import { grouped } from "./charts/overview";
import { span } from "./format";
import { en } from "./i18n/en";
import { es } from "./i18n/es";
import { countOf } from "./pages/orders";
import { curl } from "./pages/order";
import { Tree } from "./parts/bits";
import { fields, valueOf } from "./payload";
import { read } from "./route";

const SUM = {
  properties: {
    num1: { anyOf: [{ type: "integer" }, { type: "number" }] },
    many: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    fatal: { type: "boolean", default: false },
  },
  required: ["num1"],
};

describe("the form of a payload", () => {
  const [num1, many, fatal] = fields(SUM);
  it("knows the kinds of fields", () => {
    expect([num1!.kind, many!.kind, fatal!.kind]).toEqual(["number", "integer", "switch"]);
  });
  it("keeps numbers as they were typed, and says what is wrong", () => {
    expect(write(valueOf(num1!, "12345678901234567890.50")!)).toBe("12345678901234567890.50");
    expect(valueOf(many!, "")).toBeUndefined();
    expect(() => valueOf(num1!, "1e3")).toThrow("notNumber");
    expect(() => valueOf(num1!, "")).toThrow("required");
  });
});

describe("what is shown", () => {
  it("has the same places in every language", () => {
    const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
    for (const word of Object.keys(en) as (keyof typeof en)[]) expect(places(es[word]), word).toEqual(places(en[word]));
  });
  it("tells lengths of time in the unit that tells most", () => {
    expect([5, 1500, 45_000, 300_000, 7_200_000].map(span)).toEqual(["5 ms", "1.5 s", "45 s", "5 min", "2 h"]);
  });
  it("counts the completed without the retrieved, as the list does", () => {
    const metrics = { tasks: { completed: 10 }, retrieved: 4 } as Metrics;
    expect(countOf(metrics, "completed")).toBe(6);
  });
  it("puts small types together", () => {
    const types = Array.from({ length: 8 }, (_, n) => ({ type: `t${n}`, processed: 10 - n, share: 0 }));
    expect(grouped(types, "others").at(-1)).toEqual({ type: "others", processed: 7 });
  });
  it("reads the address", () => {
    expect(read("#/orders/a%2Fb?status=failed")).toMatchObject({ page: "orders", id: "a/b" });
  });
  it("quotes for a shell", () => {
    expect(curl({ type: "t", payload: { a: "it's" }, tags: [] } as unknown as OrderDetail)).toContain(`it'\\''s`);
  });
  it("shows markup in values as text", () => {
    const { container } = render(<Tree value={{ "<b>": ["<img src=x onerror=alert(1)>"] }} />);
    expect(container.querySelector("img, b")).toBeNull();
    expect(container.textContent).toContain("onerror");
  });
});
