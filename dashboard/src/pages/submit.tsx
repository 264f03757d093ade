import { Button } from "@mantine/core";
import { useState } from "react";
import { Problem, send } from "../api/http";
import { useResource } from "../api/hooks";
import { type Json, parse, write } from "../api/json";
import { refresh } from "../api/live";
import type { JobType, Order, OrderDetail, Page } from "../api/types";
import { useWords } from "../i18n";
import { OrderLink, Status, Tree } from "../parts/bits";
import { PayloadFields } from "../parts/payload-fields";
import { Loaded, Note, Panel } from "../parts/states";
import { type BadField, fields, shown, valueOf } from "../payload";
import { type Route, link, setValues } from "../route";

export function SubmitPage({ route }: { route: Route }) {
  const t = useWords();
  const from = route.values.get("from");
  const types = useResource<Page<JobType>>("/api/v1/types");
  const source = useResource<OrderDetail>(from ? `/api/v1/jobs/${encodeURIComponent(from)}` : null);
  return (
    <>
      <div className="page-head"><h1>{t(from ? "runAgain" : "submitOrder")}</h1>{from && <OrderLink id={from} whole />}</div>
      <Loaded of={types} path="/api/v1/types">
        {(page) => from ? <Loaded of={source} path="/api/v1/jobs">{(order) => <Chosen types={page.items} name={order.type} source={order} />}</Loaded>
          : <Chosen types={page.items} name={route.values.get("type") ?? page.items[0]?.type ?? ""} source={null} />}
      </Loaded>
    </>
  );
}

function Chosen({ types, name, source }: { types: JobType[]; name: string; source: OrderDetail | null }) {
  const t = useWords();
  const kind = types.find((one) => one.type === name);
  return (
    <Panel title={t("submitOrder")}>
      <div className="form">
        {source && <p className="quiet">{t("runAgainHint")} {write(source.payload).includes('"***"') && t("masked")}</p>}
        <label>
          {t("type")}
          <select className="field" value={name} disabled={source !== null} onChange={(e) => setValues({ type: e.target.value }, true)}>
            {types.map((one) => <option key={one.type}>{one.type}</option>)}
          </select>
          <span className="quiet">{kind?.description}</span>
        </label>
        {kind ? <OrderForm key={name} kind={kind} source={source} /> : <Note title={t("notAvailable")} />}
      </div>
    </Panel>
  );
}

interface Options {
  queue: string;
  priority: string;
  delay: string;
  maxAttempts: string;
  tags: string;
}

function OrderForm({ kind, source }: { kind: JobType; source: OrderDetail | null }) {
  const t = useWords();
  const known = fields(kind.payloadSchema);
  const before = (source?.payload ?? {}) as { [name: string]: Json };
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(known.map((one) => [one.name, one.name in before ? shown(one.kind, before[one.name]!) : one.initial])));
  const [json, setJson] = useState<string | null>(null);
  const [options, setOptions] = useState<Options>({ queue: source?.queue ?? "", priority: source?.priority ?? "", delay: "", maxAttempts: "", tags: source?.tags.join(", ") ?? "" });
  const [bad, setBad] = useState<Record<string, string>>({});
  const [made, setMade] = useState<Order | null>(null);
  const [busy, setBusy] = useState(false);

  const payload = (): Json | null => {
    const wrong: Record<string, string> = {};
    let value: { [name: string]: Json } = {};
    if (json !== null) {
      try {
        value = parse(json);
      } catch {
        wrong.json = t("badJson");
      }
    } else {
      for (const one of known) {
        try {
          const found = valueOf(one, texts[one.name] ?? "");
          if (found !== undefined) value[one.name] = found;
        } catch (error) {
          wrong[one.name] = t(error as BadField);
        }
      }
    }
    setBad(wrong);
    return Object.keys(wrong).length ? null : value;
  };
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const value = payload();
    if (value === null) return;
    setBusy(true);
    try {
      // One key for each press, so that a repeat of the browser's makes no second order.
      setMade(await send<Order>("POST", "/api/v1/jobs", body(kind.type, value, options, source?.jobId), { "Idempotency-Key": unique() }));
      refresh();
    } catch (error) {
      setBad(errorsOf(error));
    }
    setBusy(false);
  };
  const toJson = () => {
    if (json !== null) return setJson(null);
    const value = payload();
    if (value !== null) setJson(write(value, 2));
  };
  return (
    <form onSubmit={(event) => void submit(event)} style={{ display: "grid", gap: 12 }}>
      {json === null ? <PayloadFields known={known} texts={texts} bad={bad} set={(name, text) => setTexts({ ...texts, [name]: text })} />
        : <label>{t("payload")}<textarea className="field" rows={8} value={json} onChange={(e) => setJson(e.target.value)} spellCheck={false} /></label>}
      {Object.entries(bad).filter(([name]) => json !== null || !known.some((one) => one.name === name)).map(([name, message]) => <p key={name} className="err" role="alert">{name === "json" ? "" : `${name}: `}{message}</p>)}
      <details>
        <summary>{t("options")}</summary>
        <div className="pair" style={{ marginTop: 8 }}>
          {(Object.keys(options) as (keyof Options)[]).map((name) => (
            <label key={name}>{t(name)}
              <input className="field" value={options[name]} placeholder={placeholder(kind, name)} onChange={(e) => setOptions({ ...options, [name]: e.target.value })} />
            </label>
          ))}
        </div>
      </details>
      <div className="row">
        <Button type="submit" size="xs" loading={busy}>{t("submitOrder")}</Button>
        <button type="button" className="plain" onClick={toJson}>{t(json === null ? "asJson" : "asForm")}</button>
      </div>
      {made && <Outcome id={made.jobId} />}
    </form>
  );
}

function Outcome({ id }: { id: string }) {
  const t = useWords();
  const order = useResource<OrderDetail>(`/api/v1/jobs/${id}`, 500, true);
  return (
    <section aria-live="polite" data-testid="outcome" className="panel">
      <div className="panel-body">
        <p className="row">{t("orderSubmitted")} <OrderLink id={id} /> {order.data && <Status of={order.data.status} />}</p>
        {order.data?.error && <p className="err">{order.data.error.type}: {order.data.error.message}</p>}
        {["completed", "retrieved"].includes(order.data?.status ?? "") && <div className="big-result" data-testid="sum"><Tree value={order.data!.result} /></div>}
        <a href={link("orders", id)}>{t("openOrder")}</a>
      </div>
    </section>
  );
}

function body(type: string, payload: Json, options: Options, copyOf?: string): Json {
  const found: { [name: string]: Json } = { type, payload, ...(copyOf ? { copyOf } : {}) };
  for (const name of ["queue", "priority"] as const) if (options[name].trim()) found[name] = options[name].trim();
  for (const name of ["delay", "maxAttempts"] as const) {
    const text = options[name].trim();
    if (text) found[name] = Number.isNaN(Number(text)) ? text : Number(text);
  }
  const tags = options.tags.split(",").map((one) => one.trim()).filter(Boolean);
  if (tags.length) found.tags = tags;
  return found;
}

function placeholder(kind: JobType, name: keyof Options): string {
  return { queue: kind.queue, priority: kind.priority, delay: "0", maxAttempts: String(kind.maxAttempts), tags: "a, b" }[name];
}

function errorsOf(error: unknown): Record<string, string> {
  if (!(error instanceof Problem)) return { json: String(error) };
  if (!error.errors.length) return { json: error.message };
  return Object.fromEntries(error.errors.map((one) => [(one.pointer ?? one.parameter ?? "").replace(/^\/payload\//, "").replace(/^\//, ""), one.message]));
}

/** Also where the page came by plain HTTP, and the browser gives no randomUUID. */
function unique(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}
