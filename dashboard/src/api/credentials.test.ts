import { afterEach, describe, expect, it, vi } from "vitest";

const asked: string[] = [];

/** An API that takes one token, and somebody who is asked for one. */
async function looking(answers: (string | null)[]) {
  vi.resetModules();
  asked.length = 0;
  vi.stubGlobal("fetch", async (_address: string, init: RequestInit) => {
    const shown = new Headers(init.headers).get("Authorization");
    asked.push(shown ?? "nobody");
    return new Response("", { status: shown === "Bearer cap_good" ? 200 : 401 });
  });
  const prompt = vi.fn(() => answers.shift() ?? null);
  vi.stubGlobal("prompt", prompt);
  const { fetchAs } = await import("./credentials");
  return { prompt, ask: async () => (await fetchAs("/x", {})).status };
}

afterEach(() => {
  vi.unstubAllGlobals();
  sessionStorage.clear();
});

describe("who is looking", () => {
  it("is asked once, also by many requests, and again when it was wrong", async () => {
    const { prompt, ask } = await looking(["cap_bad", " cap_good "]);
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([200, 200, 200]);
    expect(prompt).toHaveBeenCalledTimes(2);
    expect(await ask()).toBe(200);
    expect(prompt).toHaveBeenCalledTimes(2);
  });
  it("may say nothing, and is left alone", async () => {
    const { prompt, ask } = await looking([null]);
    expect(await Promise.all([ask(), ask()])).toEqual([401, 401]);
    expect(await ask()).toBe(401);
    expect(prompt).toHaveBeenCalledTimes(1);
  });
  it("is known to the same tab after a reload", async () => {
    await (await looking(["cap_good"])).ask();
    const { prompt, ask } = await looking([]);
    expect(await ask()).toBe(200);
    expect(asked).toEqual(["Bearer cap_good"]);
    expect(prompt).not.toHaveBeenCalled();
  });
});
