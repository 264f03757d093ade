import { useState } from "react";
import { act, isPossible } from "../api/actions";
import { Problem, address } from "../api/http";
import { useResource } from "../api/hooks";
import { write } from "../api/json";
import type { Action, Attempt, OrderDetail, Why } from "../api/types";
import { span, useFormats } from "../format";
import { useNamed, useWords } from "../i18n";
import { OrderLink, Status, Tree } from "../parts/bits";
import { Log } from "../parts/log";
import { Loaded, Note, Panel } from "../parts/states";
import { link } from "../route";

export function OrderPage({ id }: { id: string }) {
  const t = useWords();
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  const order = useResource<OrderDetail>(path, 2_000, true);
  const isGone = order.problem?.status === 404;
  return (
    <>
      <div className="page-head"><a href={link("orders")}>{t("orders")}</a><span className="quiet">/</span><h1 className="mono">{id}</h1></div>
      {isGone ? <div className="panel"><Note title={t("gone")}><p>{t("goneHint")}</p></Note></div>
        : <Loaded of={order} path={path}>{(data) => <Detail order={data} reload={order.reload} />}</Loaded>}
    </>
  );
}

function Detail({ order, reload }: { order: OrderDetail; reload: () => void }) {
  const t = useWords();
  return (
    <>
      <Head order={order} reload={reload} />
      {["pending", "wip", "failed"].includes(order.status) && <Reasons id={order.jobId} />}
      {order.error && (
        <Panel title={t("error")}>
          <div className="panel-body" data-testid="error">
            <p><strong className="s-failed">{order.error.type}</strong> {order.error.message}</p>
            <Traceback text={order.error.traceback} />
          </div>
        </Panel>
      )}
      <div className="grid">
        <div className="w6"><Panel title={t("payload")}><div className="panel-body"><Tree value={order.payload} /></div></Panel></div>
        <div className="w6"><Panel title={t("result")}><div className="panel-body" data-testid="result"><Tree value={order.result} /></div></Panel></div>
      </div>
      <Panel title={t("history")}>{order.history.length ? <History rows={order.history} /> : <Note title={t("noHistory")} />}</Panel>
      <Panel title={t("logs")}><Log id={order.jobId} run={`${order.status}${order.history.length}`} /></Panel>
    </>
  );
}

function Head({ order, reload }: { order: OrderDetail; reload: () => void }) {
  const t = useWords();
  const f = useFormats();
  const named = useNamed();
  const [told, setTold] = useState("");
  const go = (action: Action) =>
    act(action, order.jobId).then(
      () => (action === "delete" ? (window.location.hash = link("orders")) : reload()),
      (error: unknown) => setTold(error instanceof Problem ? error.message : String(error)),
    );
  const copy = async () => {
    await navigator.clipboard.writeText(curl(order));
    setTold(t("copied"));
  };
  const at = (moment: string | null) => (moment ? <time title={moment} dateTime={moment}>{f.moment(moment)}</time> : "–");
  const facts: [string, React.ReactNode][] = [
    [t("status"), <span key="s" data-testid="status"><Status of={order.status} /></span>], [t("type"), order.type], [t("queue"), order.queue], [t("priority"), named(order.priority)],
    [t("retries"), `${order.attempts}/${order.maxAttempts}`], [t("execution"), order.executionTimeMs === null ? "–" : span(order.executionTimeMs)],
    [t("worker"), <span key="w" className="mono">{order.worker ?? "–"}</span>], [t("created"), at(order.createdOn)], [t("runAt"), at(order.runAt)],
    [t("startedOn"), at(order.startedOn)], [t("completedOn"), at(order.completedOn)], [t("tags"), order.tags.join(", ") || "–"],
  ];
  if (order.copyOf) facts.push([t("copyOf"), <OrderLink key="c" id={order.copyOf} />]);
  if (order.schedule) facts.push([t("schedule"), order.schedule]);
  const actions = (["cancel", "retry", "delete"] as const).filter((action) => isPossible(action, order.status));
  const aside = (
    <span className="acts">
      {actions.map((action) => <button key={action} className="plain" onClick={() => void go(action)}>{t(action)}</button>)}
      <a className="plain" href={link("submit", null, { from: order.jobId })}>{t("runAgain")}</a>
      <button className="plain" onClick={() => void copy()}>{t("copyCurl")}</button>
    </span>
  );
  return (
    <Panel title={t("details")} aside={aside}>
      {told && <p className="bar" role="status">{told}</p>}
      <dl className="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {order.progress && order.status === "wip" && (
        <div className="foot"><span>{t("progress")}</span><span className="meter"><i style={{ width: `${order.progress.percent ?? 0}%` }} /></span>
          <span>{order.progress.percent ?? "–"} % {order.progress.message}</span></div>
      )}
    </Panel>
  );
}

function Reasons({ id }: { id: string }) {
  const t = useWords();
  const why = useResource<Why>(`/api/v1/jobs/${id}/why`, 4_000, true);
  if (!why.data?.reasons.length) return null;
  return (
    <Panel title={t("why")}>
      <ul className="line">
        {why.data.reasons.map((one) => (
          <li key={one.code} style={{ display: "block" }}>{one.message}{one.remedy && <span className="quiet"> — {one.remedy}</span>}</li>
        ))}
      </ul>
    </Panel>
  );
}

function History({ rows }: { rows: Attempt[] }) {
  const t = useWords();
  const f = useFormats();
  const named = useNamed();
  return (
    <ol className="line" data-testid="history">
      {rows.map((one) => (
        <li key={one.lease}>
          <strong>{t("attempt", { n: one.number })}</strong>
          <span className={`status s-${one.outcome === "error" ? "failed" : one.outcome === "running" ? "wip" : one.outcome}`}>{named(one.outcome).toLowerCase()}</span>
          <span>
            {one.startedOn && f.moment(one.startedOn)}
            {one.startedOn && one.endedOn && ` · ${span(Date.parse(one.endedOn) - Date.parse(one.startedOn))}`} <span className="mono quiet">{one.worker}</span>
            {one.error && <div>{one.error.type}: {one.error.message}</div>}
          </span>
          <Traceback text={one.error?.traceback} />
        </li>
      ))}
    </ol>
  );
}

function Traceback({ text }: { text: string | null | undefined }) {
  const t = useWords();
  if (!text) return null;
  return <details><summary className="quiet">{t("traceback")}</summary><pre tabIndex={0}>{text}</pre></details>;
}

/** The command that submits the same again. */
export function curl(order: OrderDetail): string {
  const { type, payload, queue, priority, maxAttempts, tags } = order;
  const body = write({ type, payload, queue, priority, maxAttempts, tags });
  const quoted = `'${body.replaceAll("'", `'\\''`)}'`;
  return `curl -sS ${address("/api/v1/jobs")} -H 'Content-Type: application/json' -d ${quoted}`;
}
