import { Button } from "@mantine/core";
import { useState } from "react";
import { send } from "../api/http";
import { useResource } from "../api/hooks";
import { type Json, write } from "../api/json";
import { refresh } from "../api/live";
import type { JobType, Order, OrderDetail, Page } from "../api/types";
import { useWords } from "../i18n";
import { OrderLink, Status, Tree } from "../parts/bits";
import { OptionFields, type Options, optionsOf, usePayload } from "../parts/payload-editor";
import { Loaded, Note, Panel } from "../parts/states";
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

const OPTIONS = ["queue", "priority", "delay", "maxAttempts", "timeout", "tags"] as const;

function OrderForm({ kind, source }: { kind: JobType; source: OrderDetail | null }) {
  const t = useWords();
  const payload = usePayload(kind, (source?.payload ?? {}) as { [name: string]: Json });
  const [options, setOptions] = useState<Options>(
    source ? { queue: source.queue, priority: source.priority, tags: source.tags.join(", ") } : {},
  );
  const [made, setMade] = useState<Order | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const value = payload.read();
    if (value === null) return;
    setBusy(true);
    const copyOf: { [name: string]: Json } = source ? { copyOf: source.jobId } : {};
    try {
      // One key for each press, so that a repeat of the browser's makes no second order.
      const key = { "Idempotency-Key": unique() };
      setMade(await send<Order>("POST", "/api/v1/jobs", { type: kind.type, payload: value, ...copyOf, ...optionsOf(options) }, key));
      refresh();
    } catch (error) {
      payload.tell(error);
    }
    setBusy(false);
  };
  return (
    <form onSubmit={(event) => void submit(event)} className="form">
      {payload.node}
      <OptionFields kind={kind} names={OPTIONS} values={options} set={setOptions} />
      <div className="row">
        <Button type="submit" size="xs" loading={busy}>{t("submitOrder")}</Button>
        {payload.toggle}
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

/** Also where the page came by plain HTTP, and the browser gives no randomUUID. */
function unique(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}
