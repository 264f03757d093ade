// What is going on, kept in one place: by the stream where there is one, else by polling.
//
// One tab of the browser reads the stream and tells the others; the next takes over when it goes.
import { Problem, address, get } from "./http";
import { parse } from "./json";
import { type Frame, FrameReader } from "./sse";
import type { EventItem, Metrics, Page, WorkerPage } from "./types";

export type Mode = "connecting" | "stream" | "polling" | "offline";

export interface LiveState {
  mode: Mode;
  paused: boolean;
  updated: number | null;
  metrics: Metrics | null;
  workers: WorkerPage | null;
  events: EventItem[];
  /** Grows when orders have moved; lists look at it to know when to ask again. */
  moves: number;
  moved: string | null;
  problem: Problem | null;
}

const POLL_MS = 2_000;
// A stream with nothing to tell beats every 15 s.
export const BEAT_MS = 20_000;
const SILENCE_MS = 40_000;
const AGAIN_MS = 1_000;
const NO_STREAM_MS = 60_000;
const MOST_EVENTS = 200;
// Between tabs only: the one that reads the stream has lost it; one that is new asks where it is.
const LOST: Frame = { event: "lost", id: null, data: "" };
const HELLO: Frame = { event: "hello", id: null, data: "" };

const state: LiveState = {
  mode: "connecting",
  paused: false,
  updated: null,
  metrics: null,
  workers: null,
  events: [],
  moves: 0,
  moved: null,
  problem: null,
};
let shown: LiveState = { ...state };
const listeners = new Set<() => void>();
let lastId: string | null = null;
let reads = false;
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("capataz");

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function snapshot(): LiveState {
  return shown;
}

function change(some: Partial<LiveState>): void {
  Object.assign(state, some);
  // Paused means that nothing on the page moves; what comes meanwhile is kept.
  shown = state.paused ? { ...shown, paused: true, mode: state.mode } : { ...state };
  for (const listener of listeners) listener();
}

export function setPaused(paused: boolean): void {
  change({ paused });
  if (!paused) void poll();
}

/** Ask for all of it now, such as after something was done here. */
export function refresh(): void {
  void poll();
}

export function start(): void {
  if (channel) channel.onmessage = (message: MessageEvent<Frame>) => listen(channel, message.data);
  channel?.postMessage(HELLO);
  void poll();
  setInterval(() => {
    const age = state.updated === null ? Infinity : Date.now() - state.updated;
    if (state.mode !== "stream" || age > BEAT_MS) void poll(1);
  }, POLL_MS);
  document.addEventListener("visibilitychange", () => state.mode !== "stream" && void poll());
  if (navigator.locks) {
    void navigator.locks.request("capataz-stream", follow);
  } else void follow();
}

function listen(others: BroadcastChannel, frame: Frame): void {
  if (frame.event !== HELLO.event) accept(frame);
  else if (reads) others.postMessage({ event: "heartbeat", id: lastId, data: "" });
}

async function follow(): Promise<never> {
  for (;;) {
    let pause = AGAIN_MS;
    try {
      await read();
    } catch (error) {
      pause = error instanceof Problem && error.status > 0 ? NO_STREAM_MS : AGAIN_MS;
      if (error instanceof Problem && error.status === 503) pause = AGAIN_MS * 10;
    }
    reads = false;
    tell(LOST);
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function read(): Promise<void> {
  const stop = new AbortController();
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (lastId !== null) headers["Last-Event-ID"] = lastId;
  const response = await fetch(address("/api/v1/stream"), { headers, signal: stop.signal });
  if (!response.ok || !response.body) throw new Problem(response.status, response.statusText);
  reads = true;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const frames = new FrameReader();
  for (;;) {
    const watch = setTimeout(() => stop.abort(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(watch));
    if (done) return;
    frames.take(value).forEach(tell);
  }
}

/** Take a frame in, and let the other tabs of this browser do so. */
function tell(frame: Frame): void {
  accept(frame);
  channel?.postMessage(frame);
}

/** Take a frame into what is known. */
export function accept(frame: Frame): void {
  if (frame.id !== null) lastId = frame.id;
  const heard = { mode: "stream" as const, updated: Date.now(), problem: null };
  switch (frame.event) {
    case "metrics":
      return change({ ...heard, metrics: parse<Metrics>(frame.data) });
    case "workers":
      return change({ ...heard, workers: parse<WorkerPage>(frame.data) });
    case "event":
      return change({ ...heard, events: merged([parse<EventItem>(frame.data)], state.events) });
    case "job": {
      const moved = parse<{ jobId: string }>(frame.data).jobId;
      return change({ ...heard, moves: state.moves + 1, moved });
    }
    case "reset":
      change({ ...heard, moves: state.moves + 1, moved: null });
      return void poll();
    case LOST.event:
      return void (state.mode === "stream" && change({ mode: "polling" }));
    default:
      return change(heard);
  }
}

/** The newest first, each once. */
export function merged(fresh: EventItem[], known: EventItem[]): EventItem[] {
  const ids = new Set(fresh.map((one) => one.id));
  return [...fresh, ...known.filter((one) => !ids.has(one.id))]
    .sort((a, b) => b.timestamp.localeCompare(a.timestamp))
    .slice(0, MOST_EVENTS);
}

let polling = false;

async function poll(maxAge = 0): Promise<void> {
  if (polling || document.hidden) return;
  polling = true;
  try {
    const [metrics, workers, events] = await Promise.all([
      get<Metrics>("/api/v1/metrics"),
      get<WorkerPage>("/api/v1/workers", undefined, maxAge),
      get<Page<EventItem>>("/api/v1/events?limit=50", undefined, maxAge),
    ]);
    change({
      mode: state.mode === "stream" ? "stream" : "polling",
      updated: Date.now(),
      metrics,
      workers,
      events: merged(events.items, state.events),
      moves: state.mode === "stream" ? state.moves : state.moves + 1,
      moved: null,
      problem: null,
    });
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, String(error));
    change({ problem, mode: problem.status ? state.mode : "offline" });
  } finally {
    polling = false;
  }
}
