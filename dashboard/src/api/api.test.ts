import { describe, expect, it } from "vitest";
import { merged } from "./live";
import { ExactNumber, write } from "./json";
import { FrameReader } from "./sse";
import type { EventItem } from "./types";

describe("JSON", () => {
  it("writes exact numbers bare, and lays out what is to be read", () => {
    expect(write({ n: new ExactNumber("1.50"), s: "</script>" })).toBe('{"n":1.50,"s":"</script>"}');
    expect(write({ a: [1] }, 2)).toBe('{\n  "a": [\n    1\n  ]\n}');
  });
});

describe("frames", () => {
  it("come whole however they are cut", () => {
    const reader = new FrameReader();
    const text = 'retry: 2000\n\n: hello\nevent: job\nid: 7-1\ndata: {"a":\ndata: 1}\n\nevent: heartbeat\ndata: {}\n\n';
    const found = [...text].flatMap((letter) => reader.take(letter));
    expect(found).toEqual([
      { event: "job", id: "7-1", data: '{"a":\n1}' },
      { event: "heartbeat", id: null, data: "{}" },
    ]);
  });
});

describe("events", () => {
  const event = (id: string, second: number) => ({ id, timestamp: `2030-01-31T12:00:0${second}.000Z` }) as EventItem;
  it("are shown once, the newest first", () => {
    const found = merged([event("b", 2), event("c", 3)], [event("b", 2), event("a", 1)]);
    expect(found.map((one) => one.id)).toEqual(["c", "b", "a"]);
  });
});
