import { useMemo, useRef } from "react";
import { useLive, useResource } from "../api/hooks";
import type { Series } from "../api/types";
import { useFormats } from "../format";
import { useWords } from "../i18n";
import { BAD, COLOURS, ChartPanel, GOOD, type Line } from "./chart";

const MOST_WORKERS = 8;
const MOST_TYPES = 6;

export default function Charts() {
  const series = useResource<Series>("/api/v1/series?minutes=60", 10_000);
  const own = useOwnSamples(series.problem?.status === 404);
  return series.data ? <FromSeries series={series.data} /> : <FromHere samples={own} known={series.problem?.status === 404} />;
}

function FromSeries({ series }: { series: Series }) {
  const t = useWords();
  const f = useFormats();
  const clock = (moment: string) => f.clock(moment).slice(0, 5);
  const shown = useMemo(() => {
    const minutes = series.processed.map((one) => clock(one.minute));
    const types = grouped(series.types, t("others"));
    return {
      minutes,
      times: series.usage.times.map(clock),
      cpu: top(series.usage.workers.map((one) => ({ label: worker(one.workerId), values: one.cpuPercent }))),
      ram: top(series.usage.workers.map((one) => ({ label: worker(one.workerId), values: one.ramMb }))),
      processed: [
        { label: t("completed"), values: series.processed.map((one) => one.completed), colour: GOOD },
        { label: t("failed"), values: series.processed.map((one) => one.failed), colour: BAD },
      ],
      types: types.map((one) => one.type),
      shares: [{ label: "", values: types.map((one) => one.processed) }],
      waits: [
        { label: t("wait"), values: series.processed.map((one) => one.waitMs?.p95 ?? null), colour: COLOURS[2]! },
        { label: t("run"), values: series.processed.map((one) => one.runMs?.p95 ?? null), colour: COLOURS[1]! },
      ],
    };
  }, [series, t, f]);
  const hour = t("lastHour");
  return (
    <div className="grid">
      <ChartPanel className="w4" title={t("minuteChart")} hint={hour} labels={shown.minutes} lines={shown.processed} kind="area" />
      <ChartPanel className="w4" title={t("timesChart")} hint="ms" labels={shown.minutes} lines={shown.waits} />
      <ChartPanel className="w4" title={t("typeChart")} hint={hour} labels={shown.types} lines={shown.shares} kind="doughnut" />
      <ChartPanel className="w6" title={t("cpuChart")} hint={hour} labels={shown.times} lines={shown.cpu} />
      <ChartPanel className="w6" title={t("ramChart")} hint={hour} labels={shown.times} lines={shown.ram} />
    </div>
  );
}

interface Sample {
  at: number;
  processed: number;
  cpu: Map<string, number | null>;
  ram: Map<string, number | null>;
}

/** What was seen since the page was opened, for servers that keep no history: a look every 5 s. */
function useOwnSamples(wanted: boolean): Sample[] {
  const { metrics, workers } = useLive();
  const samples = useRef<Sample[]>([]);
  const last = samples.current.at(-1);
  if (wanted && metrics && workers && (!last || Date.now() - last.at >= 5_000)) {
    const rows = workers.items.filter((one) => one.state !== "lost");
    const next: Sample = {
      at: Date.now(),
      processed: metrics.processedPerMinute,
      cpu: new Map(rows.map((one) => [one.workerId, one.cpuPercent])),
      ram: new Map(rows.map((one) => [one.workerId, one.ramMb])),
    };
    samples.current = [...samples.current, next].slice(-360);
  }
  return samples.current;
}

function FromHere({ samples, known }: { samples: Sample[]; known: boolean }) {
  const t = useWords();
  const f = useFormats();
  const lines = useMemo(() => {
    const ids = [...new Set(samples.flatMap((one) => [...one.cpu.keys()]))];
    const of = (name: "cpu" | "ram") => top(ids.map((id) => ({ label: worker(id), values: samples.map((one) => one[name].get(id) ?? null) })));
    return {
      labels: samples.map((one) => f.clock(one.at)),
      processed: [{ label: t("minuteChart"), values: samples.map((one) => one.processed), colour: GOOD }],
      cpu: of("cpu"),
      ram: of("ram"),
    };
  }, [samples, t, f]);
  const hint = known ? t("sinceOpened") : "";
  const empty = known ? t("noSeries") : t("loading");
  return (
    <div className="grid">
      <ChartPanel className="w4" title={t("minuteChart")} hint={hint} labels={lines.labels} lines={lines.processed} empty={empty} />
      <ChartPanel className="w4" title={t("cpuChart")} hint={hint} labels={lines.labels} lines={lines.cpu} empty={empty} />
      <ChartPanel className="w4" title={t("ramChart")} hint={hint} labels={lines.labels} lines={lines.ram} empty={empty} />
      <ChartPanel className="w6" title={t("timesChart")} labels={[]} lines={[]} empty={known ? t("noTimes") : t("loading")} />
      <ChartPanel className="w6" title={t("typeChart")} labels={[]} lines={[]} empty={known ? t("noTypes") : t("loading")} />
    </div>
  );
}

/** The busiest few; which ones, by what they reached. */
function top(lines: Line[]): Line[] {
  const peak = (line: Line) => Math.max(-1, ...line.values.map((value) => value ?? -1));
  return [...lines].sort((a, b) => peak(b) - peak(a)).slice(0, MOST_WORKERS);
}

/** The largest types, and all the rest as one. */
export function grouped(types: Series["types"], others: string): { type: string; processed: number }[] {
  const named = types.filter((one) => one.type !== "*");
  const first = named.slice(0, MOST_TYPES);
  const rest = [...named.slice(MOST_TYPES), ...types.filter((one) => one.type === "*")];
  const sum = rest.reduce((total, one) => total + one.processed, 0);
  return sum ? [...first, { type: others, processed: sum }] : first;
}

function worker(id: string): string {
  return id.split(":").slice(1).join(":") || id;
}
