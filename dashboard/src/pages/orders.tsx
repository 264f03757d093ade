import { useEffect, useMemo, useRef, useState } from "react";
import { act, isPossible } from "../api/actions";
import { Problem, query } from "../api/http";
import { useLive, useResource } from "../api/hooks";
import type { Json } from "../api/json";
import { type Action, type Metrics, type Order, type Page, STATUSES } from "../api/types";
import { useFormats } from "../format";
import { useWords } from "../i18n";
import { BulkDialog, type Wanted } from "../parts/bulk";
import { Filters, NAMES } from "../parts/filters";
import { Loaded, Note } from "../parts/states";
import { OrderCells, OrderHeads } from "../parts/tables";
import { type Route, link, setValues } from "../route";
import { NoOrders } from "./overview";

const ACTIONS: Action[] = ["cancel", "retry", "delete"];

export function OrdersPage({ route }: { route: Route }) {
  const t = useWords();
  const values = Object.fromEntries(NAMES.map((name) => [name, route.values.get(name)]));
  const status = route.values.get("status");
  const cursor = route.values.get("cursor");
  const page = useResource<Page<Order>>(`/api/v1/jobs${query({ ...values, status, cursor, limit: 50 })}`, 0, true);
  const isFiltered = Boolean(status) || Object.values(values).some(Boolean);
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const key = route.values.toString();
  useEffect(() => setChosen(new Set()), [key]);
  const filter: { [name: string]: Json } = Object.fromEntries(Object.entries(values).filter(([, value]) => value)) as never;
  if (status) filter.status = status.split(",");
  return (
    <>
      <div className="page-head"><h1>{t("orders")}</h1><span className="grow" /><a href={link("submit")}>{t("submitOrder")}</a></div>
      <section className="panel">
        <Tabs status={status} values={values} />
        <Filters key={key} values={values} isFiltered={isFiltered} />
        {(chosen.size > 0 || isFiltered) && <Bar chosen={chosen} filter={filter} isFiltered={isFiltered} ask={setWanted} />}
        <Loaded of={page} path="/api/v1/jobs">
          {(found) => <Listed page={found} address={key} isFiltered={isFiltered} cursor={cursor} chosen={chosen} setChosen={setChosen} reload={page.reload} />}
        </Loaded>
      </section>
      {wanted && <BulkDialog wanted={wanted} onClose={() => { setWanted(null); setChosen(new Set()); page.reload(); }} />}
    </>
  );
}

function Tabs({ status, values }: { status: string | null; values: Record<string, string | null> }) {
  const t = useWords();
  const f = useFormats();
  const { metrics } = useLive();
  const kept = Object.fromEntries(Object.entries(values).filter((one): one is [string, string] => Boolean(one[1])));
  // The counts are of all orders, so they are not shown where a filter would make them wrong.
  const count = (name: string | null) => (metrics && !Object.keys(kept).length ? f.number(countOf(metrics, name)) : "");
  return (
    <nav className="tabs" aria-label={t("status")}>
      {[null, ...STATUSES].map((one) => (
        <a key={one ?? ""} href={link("orders", null, { ...kept, ...(one ? { status: one } : {}) })} aria-current={status === one ? "true" : undefined}>
          {t(one ?? "all")}<b>{count(one)}</b>
        </a>
      ))}
    </nav>
  );
}

/** `completed` of the figures counts those that were retrieved too; the list does not. */
export function countOf(metrics: Metrics, status: string | null): number {
  const { tasks } = metrics;
  const counts: Record<string, number> = {
    pending: tasks.pending, wip: tasks.inProgress, completed: tasks.completed - metrics.retrieved,
    retrieved: metrics.retrieved, failed: tasks.failed, cancelled: metrics.cancelled,
  };
  return status === null ? metrics.total : (counts[status] ?? 0);
}

interface BarProps {
  chosen: Set<string>;
  filter: { [name: string]: Json };
  isFiltered: boolean;
  ask: (wanted: Wanted) => void;
}

function Bar({ chosen, filter, isFiltered, ask }: BarProps) {
  const t = useWords();
  const what = chosen.size ? [...chosen] : filter;
  return (
    <div className="bar" data-testid="bar">
      <strong>{chosen.size ? t("selected", { n: chosen.size }) : isFiltered && t("allMatching")}</strong>
      {ACTIONS.map((action) => (
        <button key={action} className="plain" onClick={() => ask({ action, what })}>{t(action)}</button>
      ))}
    </div>
  );
}

interface ListedProps {
  page: Page<Order>;
  address: string;
  isFiltered: boolean;
  cursor: string | null;
  chosen: Set<string>;
  setChosen: (ids: Set<string>) => void;
  reload: () => void;
}

function Listed({ page, address, isFiltered, cursor, chosen, setChosen, reload }: ListedProps) {
  const t = useWords();
  const f = useFormats();
  const { rows, waiting, show, hold } = useCalmRows(page.items, address, chosen.size > 0);
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  if (!rows.length && !page.items.length && !cursor && !page.nextCursor)
    return isFiltered ? (
      <Note title={t("noMatch")}><a href={link("orders")}>{t("clearFilters")}</a></Note>
    ) : <NoOrders />;
  const all = rows.length > 0 && rows.every((one) => chosen.has(one.jobId));
  return (
    <>
      {waiting > 0 && <div className="bar"><button className="plain" onClick={show}>{t("newRows", { n: waiting })}</button></div>}
      <div className="scroll" onPointerEnter={() => hold(true)} onPointerLeave={() => hold(false)}>
        <table data-rows data-testid="orders">
          <thead><tr>
            <th><input type="checkbox" aria-label={t("selectAll")} checked={all} onChange={() => setChosen(all ? new Set() : new Set(rows.map((one) => one.jobId)))} /></th>
            <OrderHeads /><th>{" "}</th>
          </tr></thead>
          <tbody>
            {rows.map((one) => (
              <tr key={one.jobId}>
                <td><input type="checkbox" aria-label={t("selectOne", { id: one.jobId })} checked={chosen.has(one.jobId)} onChange={() => toggle(one.jobId)} /></td>
                <OrderCells of={one} />
                <td><RowActions order={one} done={reload} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {page.searchedTo && <p className="foot quiet">{t("noMatchHint", { time: f.moment(page.searchedTo) })}</p>}
      <div className="foot">
        {cursor && <button className="plain" onClick={() => setValues({ cursor: null })}>{t("newer")}</button>}
        <span className="grow" />
        {page.nextCursor && <button className="plain" onClick={() => setValues({ cursor: page.nextCursor })}>{t("older")}</button>}
      </div>
    </>
  );
}

/** Rows that change in place, but neither come nor go while somebody points at them or has chosen some. */
function useCalmRows(items: Order[], address: string, isChoosing: boolean) {
  const [held, hold] = useState(false);
  const shown = useRef<{ address: string; ids: string[] | null; known: Map<string, Order> }>({ address, ids: null, known: new Map() });
  const [, redraw] = useState(0);
  return useMemo(() => {
    const now = shown.current;
    if (now.address !== address) Object.assign(now, { address, ids: null, known: new Map() });
    for (const one of items) now.known.set(one.jobId, one);
    if (now.ids === null || !(held || isChoosing)) now.ids = items.map((one) => one.jobId);
    const ids = now.ids;
    const rows = ids.map((id) => now.known.get(id)).filter((one): one is Order => one !== undefined);
    const waiting = items.filter((one) => !ids.includes(one.jobId)).length;
    const show = () => {
      now.ids = null;
      hold(false);
      redraw((count) => count + 1);
    };
    return { rows, waiting, show, hold };
  }, [items, address, held, isChoosing]);
}

function RowActions({ order, done }: { order: Order; done: () => void }) {
  const t = useWords();
  const [told, setTold] = useState("");
  const go = (action: Action) =>
    act(action, order.jobId).then(done, (error: unknown) => setTold(error instanceof Problem ? error.message : String(error)));
  return (
    <span className="acts">
      {ACTIONS.slice(0, 2).filter((action) => isPossible(action, order.status)).map((action) => (
        <button key={action} className="plain" data-act={action} onClick={() => void go(action)}>{t(action)}</button>
      ))}
      {told && <span role="alert" className="quiet">{told}</span>}
    </span>
  );
}
