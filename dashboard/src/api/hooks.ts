import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Problem, get } from "./http";
import { type LiveState, snapshot, subscribe } from "./live";

// A little longer than the age that an answer may have: so it was made after what moved.
const MOVES_MS = 1_050;

export function useLive(): LiveState {
  return useSyncExternalStore(subscribe, snapshot);
}

export interface Resource<T> {
  data: T | null;
  problem: Problem | null;
  reload: () => void;
}

/**
 * The answer to a GET, asked again when orders move (at most every second) or every so many ms. Where
 * the page asks by itself, what another page was just told will do; what somebody does here is seen.
 */
export function useResource<T>(path: string | null, everyMs = 0, onMoves = false): Resource<T> {
  const [found, setFound] = useState<{ path: string | null; data: T | null }>({ path, data: null });
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asked, setAsked] = useState({ times: 0, maxAge: 0 });
  const { moves, paused } = useLive();
  const waits = useRef<ReturnType<typeof setTimeout> | null>(null);
  const moved = useRef(0);
  const acted = useRef(0);
  const ask = useCallback((wanted: number) => {
    // What others were told before something was done here must not come back after it.
    const maxAge = Date.now() - acted.current > wanted * 1_000 ? wanted : 0;
    setAsked(({ times }) => ({ times: times + 1, maxAge }));
  }, []);
  const reload = useCallback(() => {
    acted.current = Date.now();
    ask(0);
  }, [ask]);
  const maxAge = Math.max(1, Math.round(everyMs / 1000));
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    get<T>(path, stop.signal, asked.maxAge)
      .then((data) => {
        setFound({ path, data });
        setProblem(null);
      })
      .catch((error: unknown) => {
        if (!stop.signal.aborted) setProblem(error instanceof Problem ? error : new Problem(0, ""));
      });
    return () => stop.abort();
  }, [path, asked]);
  const isMissing = problem?.status === 404;
  useEffect(() => {
    if (!everyMs || paused || isMissing) return undefined;
    const timer = setInterval(() => !document.hidden && ask(maxAge), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, maxAge, paused, isMissing, ask]);
  const wait = useCallback(() => {
    const began = Date.now();
    waits.current = setTimeout(() => {
      waits.current = null;
      ask(1);
      if (moved.current > began) wait();
    }, MOVES_MS);
  }, [ask]);
  useEffect(() => {
    if (paused) {
      clearTimeout(waits.current ?? undefined);
      waits.current = null;
    }
    if (!onMoves || paused || !moves) return;
    moved.current = Date.now();
    if (waits.current === null) wait();
  }, [moves, onMoves, paused, wait]);
  useEffect(() => () => clearTimeout(waits.current ?? undefined), []);
  return { data: found.path === path ? found.data : null, problem, reload };
}
