import type { EventItem, Order, Worker } from "../api/types";
import { span, useFormats } from "../format";
import { useNamed, useWords } from "../i18n";
import { link } from "../route";
import { Ago, OrderLink, Status } from "./bits";
import { Note } from "./states";

export function WorkerTable({ rows }: { rows: Worker[] }) {
  const t = useWords();
  const f = useFormats();
  if (!rows.length) return <Note title={t("noWorkers")}><p>{t("noWorkersHint")}</p></Note>;
  return (
    <div className="scroll" tabIndex={0}>
      <table data-testid="workers">
        <thead>
          <tr>
            <th>{t("worker")}</th><th>{t("state")}</th><th>{t("kind")}</th><th className="num" title={t("cpuHint")}>{t("cpu")}</th>
            <th className="num">{t("ram")}</th><th className="num">{t("assigned")}</th><th>{t("order")}</th><th className="num">{t("done")}</th><th>{t("heartbeat")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.workerId} className={one.state === "lost" ? "gone" : ""}>
              <td className="mono">{one.workerId}</td>
              <td><Status of={one.state} /></td>
              <td>{one.kind}</td>
              <td className="num">{one.cpuPercent === null ? "–" : f.number(one.cpuPercent, 1)}</td>
              <td className="num" title={one.ramShared ? t("ramShared") : undefined}>{one.ramMb === null ? "–" : f.number(one.ramMb, 1)}{one.ramShared && <span className="quiet"> *</span>}</td>
              <td className="num">{one.assigned}</td>
              <td>{one.currentJob ? <><OrderLink id={one.currentJob} /> {one.currentJobStatus && <Status of={one.currentJobStatus} />}</> : "–"}</td>
              <td className="num">{f.number(one.done)}</td>
              <td><Ago at={one.lastHeartbeat} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function EventTable({ rows }: { rows: EventItem[] }) {
  const t = useWords();
  const named = useNamed();
  const f = useFormats();
  if (!rows.length) return <Note title={t("noEvents")} />;
  return (
    <div className="scroll" tabIndex={0}>
      <table data-testid="events">
        <thead><tr><th>{t("time")}</th><th>{t("event")}</th><th>{t("description")}</th></tr></thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.id}>
              <td title={one.timestamp}>{f.moment(one.timestamp)}</td>
              <td>{named(one.event)}</td>
              <td className="wide">{one.job ? <a className="calm" href={link("orders", one.job)}>{one.description}</a> : one.description}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The columns of an order that lists share. */
export function OrderHeads() {
  const t = useWords();
  return (
    <>
      <th>Id</th><th>{t("type")}</th><th>{t("priority")}</th><th>{t("status")}</th><th className="num">{t("retries")}</th>
      <th className="num">{t("execution")}</th><th>{t("worker")}</th><th>{t("created")}</th><th>{t("error")}</th>
    </>
  );
}

export function OrderCells({ of }: { of: Order }) {
  const named = useNamed();
  return (
    <>
      <td><OrderLink id={of.jobId} /></td>
      <td className="cut" title={of.type}>{of.type}</td>
      <td>{named(of.priority)}</td>
      <td><Status of={of.status} />{of.progress?.percent != null && of.status === "wip" && ` ${Math.round(of.progress.percent)} %`}</td>
      <td className="num">{of.attempts}/{of.maxAttempts}</td>
      <td className="num">{of.executionTimeMs === null ? "–" : span(of.executionTimeMs)}</td>
      <td className="mono cut">{of.worker ? of.worker.split(":").slice(1).join(":") : "–"}</td>
      <td><Ago at={of.createdOn} /></td>
      <td className="cut quiet" title={of.error?.message}>{of.error ? `${of.error.type}: ${of.error.message.split("\n")[0]}` : ""}</td>
    </>
  );
}
