import { useEffect, useRef, useState } from "react";
import { Problem, get } from "../api/http";
import { useLive } from "../api/hooks";
import type { LogLine, LogPage } from "../api/types";
import { useFormats } from "../format";
import { useWords } from "../i18n";
import { Note, ProblemNote, Skeleton } from "./states";

const FOLLOW_MS = 1_000;
const MOST = 5_000;

/** What the job says, as it says it; `run` begins again after a retry. */
export function Log({ id, run }: { id: string; run: string }) {
  const t = useWords();
  const f = useFormats();
  const { paused } = useLive();
  const { lines, dropped, problem } = useLines(id, run, paused);
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  if (problem) return <ProblemNote problem={problem} path={`/api/v1/jobs/${id}/logs`} />;
  if (lines === null) return <Skeleton />;
  if (!lines.length) return <Note title={t("noLogs")} />;
  const scrolled = (at: HTMLPreElement) => {
    atEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < 20;
  };
  return (
    <>
      <pre className="log" ref={box} tabIndex={0} aria-label={t("logs")} onScroll={(e) => scrolled(e.currentTarget)}>
        {lines.map((one) => (
          <div key={one.seq} className={`l-${one.level ?? one.stream}`}>
            <span className="quiet">{f.clock(one.time)} {(one.level ?? one.stream).padEnd(8)} </span>
            {one.line}
          </div>
        ))}
      </pre>
      {dropped > 0 && <p className="foot quiet">{t("dropped", { n: dropped })}</p>}
    </>
  );
}

function useLines(id: string, run: string, paused: boolean) {
  const [lines, setLines] = useState<LogLine[] | null>(null);
  const [dropped, setDropped] = useState(0);
  const [problem, setProblem] = useState<Problem | null>(null);
  const after = useRef("0");
  useEffect(() => {
    if (paused) return undefined;
    let timer = 0;
    const stop = new AbortController();
    const look = async () => {
      try {
        const page = await get<LogPage>(`/api/v1/jobs/${id}/logs?after=${after.current}&limit=1000`, stop.signal);
        setLines((known) => [...(known ?? []), ...page.items.filter((one) => !known?.some((old) => old.seq === one.seq))].slice(-MOST));
        setDropped(page.dropped);
        setProblem(null);
        after.current = String(page.nextCursor ?? page.items.at(-1)?.seq ?? after.current);
        if (page.nextCursor !== null) timer = window.setTimeout(() => void look(), page.items.length ? 50 : FOLLOW_MS);
      } catch (error) {
        if (!stop.signal.aborted && error instanceof Problem) setProblem(error);
      }
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, run, paused]);
  return { lines, dropped, problem };
}
