import { Suspense, lazy } from "react";
import { useLive, useResource } from "../api/hooks";
import type { Order, Page, Series } from "../api/types";
import { span, useFormats } from "../format";
import { useWords } from "../i18n";
import { Loaded, Note, Panel, Skeleton } from "../parts/states";
import { EventTable, OrderCells, OrderHeads, WorkerTable } from "../parts/tables";
import { link } from "../route";

const MOST_WORKERS = 8;
// A third of all script: what it draws on is laid out without waiting for it.
const Charts = lazy(() => import("../charts/overview"));

export function Overview() {
  const t = useWords();
  const { workers, events } = useLive();
  const orders = useResource<Page<Order>>("/api/v1/jobs?limit=10", 0, true);
  const rows = workers?.items ?? [];
  return (
    <>
      <div className="page-head"><h1>{t("overview")}</h1></div>
      <Cards />
      <Suspense fallback={<div className="charts-soon" />}><Charts /></Suspense>
      <Panel title={t("workers")} aside={<a href={link("workers")}>{t("seeAll")}{rows.length > MOST_WORKERS && ` (${rows.length})`}</a>}>
        {workers ? <WorkerTable rows={rows.slice(0, MOST_WORKERS)} /> : <Skeleton />}
      </Panel>
      <Panel title={t("newest")} aside={<a href={link("orders")}>{t("seeAll")}</a>}>
        <Loaded of={orders}>
          {(page) => (page.items.length ? (
            <div className="scroll" tabIndex={0}><table data-testid="newest"><thead><tr><OrderHeads /></tr></thead>
              <tbody>{page.items.map((one) => <tr key={one.jobId}><OrderCells of={one} /></tr>)}</tbody></table></div>
          ) : <NoOrders />)}
        </Loaded>
      </Panel>
      <Panel title={t("events")} aside={<a href={link("events")}>{t("seeAll")}</a>}>
        {workers ? <EventTable rows={events.slice(0, 10)} /> : <Skeleton />}
      </Panel>
    </>
  );
}

export function NoOrders() {
  const t = useWords();
  return (
    <Note title={t("noOrders")}>
      <p>{t("noOrdersHint")} </p>
      <code>curl -X POST {window.location.origin}/api/v1/add/1/2</code>
      <a href={link("submit")}>{t("submitOrder")}</a>
    </Note>
  );
}

function Cards() {
  const t = useWords();
  const f = useFormats();
  const { metrics } = useLive();
  const series = useResource<Series>("/api/v1/series?minutes=60", 10_000);
  if (!metrics) return <div className="cards"><Skeleton rows={2} /></div>;
  const all = metrics.workers.active + metrics.workers.idle;
  const spread = series.data?.runMs;
  const cards: [string, string, string][] = [
    [t("total"), f.number(metrics.total), t("completedTotal", { n: f.number(metrics.tasks.completed) })],
    [t("activeWorkers"), f.number(metrics.workers.active), t("ofWorkers", { n: all })],
    [t("pendingOrders"), f.number(metrics.tasks.pending), metrics.tasks.pending && metrics.oldestPendingSeconds != null
      ? t("oldestWait", { time: span(metrics.oldestPendingSeconds * 1000) }) : t("inProgress", { n: f.number(metrics.tasks.inProgress) })],
    [t("meanExecution"), metrics.averageExecutionTimeMs === null ? "–" : span(metrics.averageExecutionTimeMs),
      spread ? t("p", { p50: span(spread.p50), p95: span(spread.p95) }) : ""],
    [t("perMinute"), f.number(metrics.processedPerMinute), t("inProgress", { n: f.number(metrics.tasks.inProgress) })],
    [t("failedTotal"), f.number(metrics.tasks.failed), t("uptime", { time: metrics.uptime })],
  ];
  return (
    <dl className="cards" data-testid="cards">
      {cards.map(([name, figure, more]) => (
        <div className="card" key={name}><dt>{name}</dt><dd className="big">{figure}</dd><dd className="quiet">{more}</dd></div>
      ))}
    </dl>
  );
}
