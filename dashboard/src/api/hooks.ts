import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Problem, get } from "./http";
import { type LiveState, snapshot, subscribe } from "./live";

export function useLive(): LiveState {
  return useSyncExternalStore(subscribe, snapshot);
}

export interface Resource<T> {
  data: T | null;
  problem: Problem | null;
  reload: () => void;
}

/** The answer to a GET, asked again when orders move (at most every second) or every so many ms. */
export function useResource<T>(path: string | null, everyMs = 0, onMoves = false): Resource<T> {
  const [found, setFound] = useState<{ path: string | null; data: T | null }>({ path, data: null });
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asked, setAsked] = useState(0);
  const { moves, paused } = useLive();
  const last = useRef(0);
  const reload = useCallback(() => setAsked((count) => count + 1), []);
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    last.current = Date.now();
    get<T>(path, stop.signal)
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
    const timer = setInterval(() => !document.hidden && reload(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, paused, isMissing, reload]);
  useEffect(() => {
    if (!onMoves || paused || !moves) return undefined;
    const timer = setTimeout(reload, Math.max(0, last.current + 1_000 - Date.now()));
    return () => clearTimeout(timer);
  }, [moves, onMoves, paused, reload]);
  return { data: found.path === path ? found.data : null, problem, reload };
}
