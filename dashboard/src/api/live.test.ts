import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { accept, setPaused, snapshot, subscribe } from "./live";
import type { Frame } from "./sse";

const frame = (event: string, data: unknown, id: string | null = null): Frame => ({ event, data: JSON.stringify(data), id });
const asked = vi.fn(() => Promise.reject(new TypeError("no network here")));

beforeEach(() => vi.stubGlobal("fetch", asked));
afterEach(() => {
  setPaused(false);
  vi.unstubAllGlobals();
  asked.mockClear();
});

describe("what the stream tells", () => {
  it("is live from the first frame, and takes over figures and workers as they come", () => {
    accept(frame("metrics", { total: 3 }));
    accept(frame("workers", { items: [{ workerId: "w/1" }], managers: [] }));
    expect(snapshot()).toMatchObject({ mode: "stream", metrics: { total: 3 }, problem: null });
    expect(snapshot().workers?.items[0]?.workerId).toBe("w/1");
  });

  it("says that orders moved, so that lists ask again", () => {
    const before = snapshot().moves;
    accept(frame("job", { jobId: "a", status: "completed" }, "7-1"));
    expect(snapshot()).toMatchObject({ moves: before + 1, moved: "a" });
  });

  it("reads everything anew after a reset", () => {
    const before = snapshot().moves;
    accept(frame("reset", {}, "9-0"));
    expect(snapshot().moves).toBe(before + 1);
    expect(asked).toHaveBeenCalled();
  });

  it("is no longer live once the tab that reads it has lost it", () => {
    accept(frame("heartbeat", {}));
    expect(snapshot().mode).toBe("stream");
    accept(frame("lost", ""));
    expect(snapshot().mode).toBe("polling");
  });

  it("changes nothing on a page that is paused, and all of it afterwards", () => {
    accept(frame("metrics", { total: 1 }));
    setPaused(true);
    const seen = vi.fn();
    const stop = subscribe(seen);
    accept(frame("metrics", { total: 2 }));
    expect(snapshot().metrics?.total).toBe(1);
    setPaused(false);
    expect(snapshot().metrics?.total).toBe(2);
    stop();
  });
});
