import { useLive } from "../api/hooks";
import { useWords } from "../i18n";
import { Ago, Status } from "../parts/bits";
import { Panel, Skeleton } from "../parts/states";
import { WorkerTable } from "../parts/tables";

export function WorkersPage() {
  const t = useWords();
  const { workers } = useLive();
  return (
    <>
      <div className="page-head"><h1>{t("workers")}</h1><span className="quiet">{workers?.items.length}</span></div>
      <Panel title={t("workers")} aside={<span className="quiet">* {t("ramShared")}</span>}>
        {workers ? <WorkerTable rows={workers.items} /> : <Skeleton />}
      </Panel>
      <Panel title={t("managers")}>
        {workers ? (
          <div className="scroll" tabIndex={0}>
            <table>
              <thead><tr><th>{t("manager")}</th><th>{t("state")}</th><th>{t("host")}</th><th className="num">PID</th><th>{t("version")}</th>
                <th className="num">{t("slots")}</th><th>{t("transport")}</th><th>{t("serves")}</th><th>{t("proof")}</th><th>{t("started")}</th><th>{t("heartbeat")}</th></tr></thead>
              <tbody>
                {workers.managers.map((one) => (
                  <tr key={one.managerId} className={one.state === "lost" ? "gone" : ""}>
                    <td className="mono">{one.managerId}</td><td><Status of={one.state} /></td><td>{one.host}</td><td className="num">{one.pid}</td><td>{one.version}</td>
                    <td className="num">{one.slots}</td><td>{one.transport}</td><td>{one.queues?.join(", ") ?? t("all")}</td><td>{one.proof}</td>
                    <td><Ago at={one.startedOn} /></td><td><Ago at={one.lastHeartbeat} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : <Skeleton />}
      </Panel>
    </>
  );
}
