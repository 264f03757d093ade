import { render } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { write } from "./api/json";
import type { Metrics, OrderDetail, Series } from "./api/types";
import { grouped, trimmed } from "./charts/overview";
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
  it("begins charts where something was", () => {
    const quiet = { minute: "", completed: 0, failed: 0, runMs: null, waitMs: null };
    const series = {
      processed: [...Array<typeof quiet>(40).fill(quiet), { ...quiet, completed: 1 }, ...Array<typeof quiet>(19).fill(quiet)],
      usage: {
        seconds: 10,
        times: Array<string>(120).fill(""),
        workers: [{ workerId: "w", cpuPercent: Array<null>(120).fill(null), ramMb: [...Array<null>(118).fill(null), 1, 2] }],
      },
    } as unknown as Series;
    const shown = trimmed(series);
    expect([shown.processed.length, shown.processed[0]!.completed]).toEqual([20, 1]);
    expect([shown.usage.times.length, shown.usage.workers[0]!.ramMb.length]).toEqual([10, 10]);
    const empty = trimmed({ ...series, processed: Array(60).fill(quiet), usage: { ...series.usage, workers: [] } } as unknown as Series);
    expect([empty.processed.length, empty.usage.times.length]).toEqual([10, 10]);
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
