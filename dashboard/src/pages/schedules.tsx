import { useState } from "react";
import { Problem, send } from "../api/http";
import { useResource } from "../api/hooks";
import type { Page, Schedule } from "../api/types";
import { useFormats } from "../format";
import { useWords } from "../i18n";
import { Ago, OrderLink } from "../parts/bits";
import { Loaded, Note, Panel } from "../parts/states";

const EXAMPLE = `-H 'Content-Type: application/json' -d '{"expression": "30 2 * * *", "type": "add", "payload": {"num1": 1, "num2": 2}}'`;

export function SchedulesPage() {
  const t = useWords();
  const page = useResource<Page<Schedule>>("/api/v1/schedules?limit=200", 5_000);
  const [told, setTold] = useState("");
  const act = async (one: Schedule, what: string) => {
    try {
      await send("POST", `/api/v1/schedules/${encodeURIComponent(one.name)}/${what}`);
      setTold("");
      page.reload();
    } catch (error) {
      setTold(error instanceof Problem ? error.message : String(error));
    }
  };
  return (
    <>
      <div className="page-head"><h1>{t("schedules")}</h1></div>
      <Panel title={t("schedules")}>
        {told && <p className="bar" role="alert">{told}</p>}
        <Loaded of={page} path="/api/v1/schedules">
          {(found) => found.items.length ? <Rows rows={found.items} act={(one, what) => void act(one, what)} /> : (
            <Note title={t("noSchedules")}><p>{t("noSchedulesHint")}</p><code>curl -X PUT {window.location.origin}/api/v1/schedules/nightly {EXAMPLE}</code></Note>
          )}
        </Loaded>
      </Panel>
    </>
  );
}

function Rows({ rows, act }: { rows: Schedule[]; act: (one: Schedule, what: string) => void }) {
  const t = useWords();
  const f = useFormats();
  return (
    <div className="scroll" tabIndex={0}>
      <table data-testid="schedules">
        <thead><tr><th>{t("name")}</th><th>{t("enabled")}</th><th>{t("when")}</th><th>{t("type")}</th><th>{t("queue")}</th><th>{t("lastFire")}</th><th>{t("nextRuns")}</th><th>{" "}</th></tr></thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.name}>
              <td>{one.name}</td>
              <td><input type="checkbox" role="switch" aria-label={`${one.name}: ${t("enabled")}`} checked={one.enabled} onChange={() => act(one, one.enabled ? "pause" : "resume")} /></td>
              <td><span className="mono">{one.expression}</span> <span className="quiet">{one.timezone}</span></td>
              <td>{one.type}</td><td>{one.queue}</td>
              <td>{one.lastFire ? <Ago at={one.lastFire} /> : t("neverFired")} {one.lastJobId && <OrderLink id={one.lastJobId} />}</td>
              <td title={one.nextRuns.join("\n")}>{one.nextRuns[0] ? <><Ago at={one.nextRuns[0]} /> <span className="quiet">{one.nextRuns.slice(0, 3).map(f.moment).join(" · ")}</span></> : "–"}</td>
              <td><button className="plain" onClick={() => act(one, "run")}>{t("runNow")}</button></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
