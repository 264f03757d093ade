import { useState } from "react";
import { Problem, send } from "../api/http";
import { useResource } from "../api/hooks";
import type { JobType, Page, Queue, QueuePage } from "../api/types";
import { span, useFormats } from "../format";
import { useWords } from "../i18n";
import { Tree } from "../parts/bits";
import { Loaded, Note, Panel } from "../parts/states";
import { link } from "../route";

export function QueuesPage() {
  const t = useWords();
  const page = useResource<QueuePage>("/api/v1/queues", 2_000, true);
  const [told, setTold] = useState("");
  const steer = async (path: string) => {
    try {
      const state = await send<{ allPaused: string[] }>("POST", `/api/v1${path}`);
      setTold(state.allPaused.length ? `${t("pausedQueue")}: ${state.allPaused.map((one) => (one === "*" ? t("all") : one)).join(", ")}` : "");
      page.reload();
    } catch (error) {
      setTold(error instanceof Problem ? error.message : String(error));
    }
  };
  const isMissing = page.problem !== null && [404, 405].includes(page.problem.status);
  return (
    <>
      <div className="page-head">
        <h1>{t("queues")}</h1><span className="grow" />
        <button className="plain" onClick={() => void steer("/pause")}>{t("pauseAll")}</button>
        <button className="plain" onClick={() => void steer("/resume")}>{t("resumeAll")}</button>
      </div>
      <Panel title={t("queues")}>
        {told && <p className="bar" role="status">{told}</p>}
        {isMissing && !page.data ? <Fallback steer={(path) => void steer(path)} />
          : <Loaded of={page} path="/api/v1/queues">{(found) => found.items.length ? <Rows rows={found.items} steer={(path) => void steer(path)} /> : <Note title={t("noQueues")} />}</Loaded>}
      </Panel>
      {page.data && <Panel title={t("transport")}><div className="panel-body"><Tree value={page.data.transport} /></div></Panel>}
    </>
  );
}

/** Without figures, the queues that the types go to can be paused all the same. */
function Fallback({ steer }: { steer: (path: string) => void }) {
  const t = useWords();
  const types = useResource<Page<JobType>>("/api/v1/types");
  const names = [...new Set(types.data?.items.map((one) => one.queue) ?? [])].sort();
  return (
    <>
      <Note title={t("notAvailable")}><p>{t("queuesLater")}</p></Note>
      <Rows rows={names.map((name) => ({ queue: name }))} steer={steer} />
    </>
  );
}

function Rows({ rows, steer }: { rows: Queue[]; steer: (path: string) => void }) {
  const t = useWords();
  const f = useFormats();
  const figure = (value: number | string | undefined) => (value === undefined ? "–" : typeof value === "string" ? value : f.number(value));
  return (
    <div className="scroll" tabIndex={0}>
      <table data-testid="queues">
        <thead><tr><th>{t("queue")}</th><th>{t("state")}</th><th className="num">{t("depth")}</th><th className="num">{t("scheduled")}</th><th className="num">{t("inFlight")}</th>
          <th className="num">{t("oldest")}</th><th className="num">{t("managers")}</th><th>{" "}</th></tr></thead>
        <tbody>
          {rows.map((one) => {
            const path = `/queues/${encodeURIComponent(one.queue)}`;
            return (
              <tr key={one.queue}>
                <td><a href={link("orders", null, { queue: one.queue })}>{one.queue}</a></td>
                <td>{one.paused === undefined ? "–" : <span className={one.paused ? "status s-hung" : "status s-running"}>{t(one.paused ? "pausedQueue" : "open")}</span>}</td>
                <td className="num">{figure(one.pending)}</td><td className="num">{figure(one.scheduled)}</td><td className="num">{figure(one.inFlight)}</td>
                <td className="num">{one.oldestWaitSeconds ? span(one.oldestWaitSeconds * 1000) : "–"}</td>
                <td className="num" title={one.managers?.join("\n")}>{figure(one.managers?.length)}</td>
                <td><span className="acts">
                  {one.paused !== true && <button className="plain" onClick={() => steer(`${path}/pause`)} aria-label={`${t("pause")} ${one.queue}`}>{t("pause")}</button>}
                  {one.paused !== false && <button className="plain" onClick={() => steer(`${path}/resume`)} aria-label={`${t("resume")} ${one.queue}`}>{t("resume")}</button>}
                </span></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
