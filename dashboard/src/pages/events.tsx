import { useState } from "react";
import { query } from "../api/http";
import { useLive, useResource } from "../api/hooks";
import type { EventItem, Page } from "../api/types";
import { useNamed, useWords } from "../i18n";
import { Pages } from "../parts/pages";
import { Loaded, Panel } from "../parts/states";
import { EventTable } from "../parts/tables";
import { type Route, setValues } from "../route";

export const KINDS = [
  "submitted", "claimed", "completed", "retrieved", "retrying", "failed", "cancelled", "retried", "deleted",
  "rescued", "crashed", "handed_back", "unknown_type", "late_result_discarded", "queue_paused", "queue_resumed",
  "manager_started", "manager_stopped", "manager_lost", "database_away", "worker_added", "worker_removed",
  "worker_replaced", "worker_lost", "schedule_created", "schedule_changed", "schedule_deleted", "schedule_paused",
  "schedule_resumed", "schedule_fired", "schedule_run", "schedule_missed", "retention_deleted", "audit_found",
  "levels_corrected", "broker_away", "broker_back", "messages_refused", "project_created", "project_changed",
  "project_run", "project_deleted",
];

export function EventsPage({ route }: { route: Route }) {
  const t = useWords();
  const named = useNamed();
  const { events } = useLive();
  const kind = route.values.get("kind");
  const cursor = route.values.get("cursor");
  const follows = !kind && !cursor;
  const [worker, setWorker] = useState(route.values.get("worker") ?? "");
  const page = useResource<Page<EventItem>>(`/api/v1/events${query({ kind, cursor, worker: route.values.get("worker"), limit: 100 })}`, 0, !cursor);
  return (
    <>
      <div className="page-head"><h1>{t("events")}</h1>{follows && <span className="quiet">{t("followed")}</span>}</div>
      <Panel title={t("events")}>
        <div className="filters">
          <select className="field" aria-label={t("event")} value={kind ?? ""} onChange={(e) => setValues({ kind: e.target.value, cursor: null })}>
            <option value="">{t("allKinds")}</option>
            {KINDS.map((one) => <option key={one} value={one}>{named(one)}</option>)}
          </select>
          <input className="field search" data-search placeholder={t("worker")} aria-label={t("worker")} value={worker}
            onChange={(e) => setWorker(e.target.value)} onKeyDown={(e) => e.key === "Enter" && setValues({ worker, cursor: null })} />
        </div>
        <Loaded of={page} path="/api/v1/events">
          {(found) => (
            <>
              <EventTable rows={follows && !route.values.get("worker") ? newest(events, found.items) : found.items} />
              <Pages cursor={cursor} next={found.nextCursor} />
            </>
          )}
        </Loaded>
      </Panel>
    </>
  );
}

/** What the stream has told lately before what the page had. */
function newest(live: EventItem[], page: EventItem[]): EventItem[] {
  const first = page[0]?.timestamp ?? "";
  return [...live.filter((one) => one.timestamp > first), ...page];
}
