// What stands where there is nothing (yet), or no more.
import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { Problem } from "../api/http";
import { BEAT_MS, refresh } from "../api/live";
import { type Resource, useLive } from "../api/hooks";
import { span, useNow } from "../format";
import { useWords } from "../i18n";

const STALE_MS = 10_000;

export function Note({ title, children, tone = "" }: { title: string; children?: ReactNode; tone?: string }) {
  return (
    <div className={`note ${tone}`}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Skeleton({ rows = 4 }: { rows?: number }) {
  const t = useWords();
  return (
    <div className="skeleton" role="status" aria-label={t("loading")}>
      {Array.from({ length: rows }, (_, nth) => (
        <i key={nth} />
      ))}
    </div>
  );
}

export function ProblemNote({ problem, path, again }: { problem: Problem; path?: string; again?: () => void }) {
  const t = useWords();
  if (problem.status === 401 || problem.status === 403)
    return <Note title={t("forbidden")}><p>{t("forbiddenHint")}</p></Note>;
  if (problem.status === 404)
    return <Note title={t("notAvailable")}><p>{t("notAvailableHint", { path: path ?? "" })}</p></Note>;
  return (
    <Note title={t("failedToLoad")} tone="bad">
      <p>
        {problem.status === 0 ? t("offline") : `${problem.status}: ${problem.message}`}
        {problem.requestId && ` (${t("request", { id: problem.requestId })})`}
      </p>
      {again && <Button size="xs" variant="default" onClick={again}>{t("tryAgain")}</Button>}
    </Note>
  );
}

/** What was loaded, or why there is nothing; old data stays when a later look fails. */
export function Loaded<T>({ of, path, children }: { of: Resource<T>; path?: string; children: (data: T) => ReactNode }) {
  if (of.data !== null) return <>{children(of.data)}</>;
  if (of.problem) return <ProblemNote problem={of.problem} {...(path ? { path } : {})} again={of.reload} />;
  return <Skeleton />;
}

export function StaleBar() {
  const t = useWords();
  const now = useNow();
  const { mode, updated, problem, paused } = useLive();
  const age = updated === null ? 0 : now - updated;
  const isStale = age > (mode === "stream" ? BEAT_MS + STALE_MS : STALE_MS) && !paused;
  if (!problem && !isStale) return null;
  const told = problem?.status ? `${problem.status}: ${problem.message}` : problem ? t("offline") : "";
  return (
    <div className="stale" role="alert">
      {told} {updated !== null && isStale && t("stale", { time: span(age) })}
      <button className="plain" onClick={refresh}>{t("tryAgain")}</button>
    </div>
  );
}

export function Panel({ title, aside, children, id }: { title: ReactNode; aside?: ReactNode; children: ReactNode; id?: string }) {
  return (
    <section className="panel" id={id}>
      <div className="panel-head">
        <h2>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}
