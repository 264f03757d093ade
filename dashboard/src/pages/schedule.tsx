// Making a schedule, or changing one: when, and which orders.
import { Button } from "@mantine/core";
import { useState } from "react";
import { send } from "../api/http";
import { useResource } from "../api/hooks";
import type { Json } from "../api/json";
import type { JobType, Page, Schedule } from "../api/types";
import { useFormats } from "../format";
import { useWords } from "../i18n";
import { OptionFields, type Options, optionsOf, usePayload } from "../parts/payload-editor";
import { Loaded, Panel } from "../parts/states";
import { link } from "../route";

/** No schedule can be named so. */
export const NEW = "~new";
const OPTIONS = ["queue", "priority", "maxAttempts", "timeout", "maxSilence", "tags"] as const;

export function SchedulePage({ name }: { name: string }) {
  const t = useWords();
  const isNew = name === NEW;
  const path = `/api/v1/schedules/${encodeURIComponent(name)}`;
  const types = useResource<Page<JobType>>("/api/v1/types");
  const schedule = useResource<Schedule>(isNew ? null : path);
  return (
    <>
      <div className="page-head">
        <a href={link("schedules")}>{t("schedules")}</a>
        <span className="quiet">/</span>
        <h1>{isNew ? t("newSchedule") : name}</h1>
      </div>
      <Loaded of={types} path="/api/v1/types">
        {(page) => isNew ? <Plan types={page.items} before={null} />
          : <Loaded of={schedule} path={path}>{(found) => <Plan types={page.items} before={found} />}</Loaded>}
      </Loaded>
    </>
  );
}

function Plan({ types, before }: { types: JobType[]; before: Schedule | null }) {
  const t = useWords();
  const [plan, setPlan] = useState({
    name: before?.name ?? "",
    expression: before?.expression ?? "",
    timezone: before?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    type: before?.type ?? types[0]?.type ?? "",
  });
  const set = (some: Partial<typeof plan>) => setPlan({ ...plan, ...some });
  const kind = types.find((one) => one.type === plan.type);
  return (
    <Panel title={t(before ? "editSchedule" : "newSchedule")}>
      <div className="form">
        <Text label={t("name")} value={plan.name} disabled={before !== null} set={(name) => set({ name })} />
        <Text label={t("when")} hint={t("whenHint")} value={plan.expression} set={(expression) => set({ expression })} />
        <Text label={t("timezone")} value={plan.timezone} list="zones" set={(timezone) => set({ timezone })} />
        <datalist id="zones">{Intl.supportedValuesOf("timeZone").map((one) => <option key={one} value={one} />)}</datalist>
        <label>
          {t("type")}
          <select className="field" value={plan.type} onChange={(e) => set({ type: e.target.value })}>
            {types.map((one) => <option key={one.type}>{one.type}</option>)}
            {!kind && <option>{plan.type}</option>}
          </select>
          <span className="quiet">{kind?.description ?? t("noSuchType")}</span>
        </label>
      </div>
      {kind && <Rest key={kind.type} kind={kind} plan={plan} before={before} />}
    </Panel>
  );
}

interface TextProps {
  label: string;
  hint?: string;
  value: string;
  list?: string;
  disabled?: boolean;
  set: (text: string) => void;
}

function Text({ label, hint, value, list, disabled = false, set }: TextProps) {
  return (
    <label>
      {label}
      <input className="field" value={value} disabled={disabled} list={list} onChange={(e) => set(e.target.value)} spellCheck={false} />
      {hint && <span className="quiet">{hint}</span>}
    </label>
  );
}

interface RestProps {
  kind: JobType;
  plan: { name: string; expression: string; timezone: string; type: string };
  before: Schedule | null;
}

function Rest({ kind, plan, before }: RestProps) {
  const t = useWords();
  const f = useFormats();
  const isSame = before?.type === kind.type;
  const payload = usePayload(kind, (isSame ? before.payload : {}) as { [name: string]: Json });
  // What is left out goes back to its default, so what there is stays filled in.
  const [options, setOptions] = useState<Options>(isSame ? optionTexts(before) : {});
  const [saved, setSaved] = useState<Schedule | null>(null);
  const [sure, setSure] = useState(false);
  const path = `/api/v1/schedules/${encodeURIComponent(plan.name.trim())}`;
  const save = async (event: React.FormEvent) => {
    event.preventDefault();
    setSaved(null);
    const value = payload.read();
    if (value === null) return;
    const { expression, timezone, type } = plan;
    const body = { expression: expression.trim(), timezone: timezone.trim(), type, payload: value, ...optionsOf(options) };
    try {
      setSaved(before ? await send<Schedule>("PUT", path, body) : await send<Schedule>("POST", "/api/v1/schedules", { name: plan.name.trim(), ...body }));
    } catch (error) {
      payload.tell(error);
    }
  };
  const remove = async () => {
    if (!sure) return setSure(true);
    try {
      await send("DELETE", path);
      window.location.hash = link("schedules");
    } catch (error) {
      payload.tell(error);
    }
  };
  return (
    <form className="form" onSubmit={(event) => void save(event)}>
      {payload.node}
      <OptionFields kind={kind} names={OPTIONS} values={options} set={setOptions} />
      <div className="row">
        <Button type="submit" size="xs">{t("save")}</Button>
        {payload.toggle}
        <span className="grow" />
        {before && <button type="button" className="plain danger" onClick={() => void remove()}>{t(sure ? "deleteSure" : "delete")}</button>}
      </div>
      <div role="status" data-testid="saved">
        {saved && (
          <>
            <p>{t("saved")} <a href={link("schedules")}>{t("schedules")}</a></p>
            <p className="quiet">{t("nextRuns")}: {saved.nextRuns.map(f.moment).join(" · ") || "–"}</p>
          </>
        )}
      </div>
    </form>
  );
}

function optionTexts(of: Schedule): Options {
  const { queue, priority, maxAttempts, timeout, maxSilence, tags } = of;
  return {
    queue, priority, maxAttempts: String(maxAttempts), timeout: String(timeout),
    maxSilence: maxSilence === null ? "" : String(maxSilence), tags: tags.join(", "),
  };
}
