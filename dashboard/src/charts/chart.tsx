// A chart that is drawn anew only where its data changed, with a table of the same for who wants it.
import {
  ArcElement, CategoryScale, Chart, type ChartConfiguration, DoughnutController, Filler, Legend,
  LineController, LineElement, LinearScale, PointElement, Tooltip,
} from "chart.js";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { useWords } from "../i18n";
import { Note, Panel } from "../parts/states";

Chart.register(ArcElement, CategoryScale, DoughnutController, Filler, Legend, LineController, LineElement, LinearScale, PointElement, Tooltip);
Chart.defaults.animation = false;
Chart.defaults.font.family = '"Inter", system-ui, sans-serif';
Chart.defaults.font.size = 11;

export const COLOURS = ["#0d9488", "#4f7fd9", "#d98a1f", "#a866c9", "#5b9e3d", "#cf5c78", "#6b7a90", "#b39b1f", "#8a94a3"];
export const GOOD = "#2f9e62";
export const BAD = "#d5493f";

export interface Line {
  label: string;
  values: (number | null)[];
  colour?: string;
}

interface Props {
  title: string;
  hint?: string;
  labels: string[];
  lines: Line[];
  kind?: "line" | "area" | "doughnut";
  empty?: string;
  className?: string;
}

export function ChartPanel(props: Props) {
  const t = useWords();
  const [table, setTable] = useState(false);
  const isEmpty = !props.lines.some((line) => line.values.some((value) => value !== null));
  const aside = (
    <span className="row">
      <span className="quiet">{props.hint}</span>
      {!isEmpty && <button className="plain" onClick={() => setTable(!table)}>{t(table ? "asChart" : "asTable")}</button>}
    </span>
  );
  return (
    <div className={props.className}>
      <Panel title={props.title} aside={aside}>
        {isEmpty ? <div className="chart empty"><Note title={t("nothingYet")}>{props.empty && <p>{props.empty}</p>}</Note></div>
          : table ? <Figures {...props} /> : <Drawing {...props} />}
      </Panel>
    </div>
  );
}

function Figures({ labels, lines }: Props) {
  return (
    <div className="chart scroll" tabIndex={0}>
      <table>
        <thead><tr><th /> {lines.map((line) => <th className="num" key={line.label}>{line.label}</th>)}</tr></thead>
        <tbody>
          {labels.map((label, nth) => (
            <tr key={nth}><td>{label}</td>{lines.map((line) => <td className="num" key={line.label}>{line.values[nth] ?? "–"}</td>)}</tr>
          )).reverse()}
        </tbody>
      </table>
    </div>
  );
}

function Drawing({ title, labels, lines, kind = "line" }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const chart = useRef<Chart | null>(null);
  const scheme = useComputedColorScheme("light");
  useEffect(() => {
    chart.current = new Chart(canvas.current!, configuration(kind, scheme === "dark"));
    return () => chart.current?.destroy();
  }, [kind, scheme]);
  useEffect(() => {
    const drawn = chart.current;
    if (!drawn) return;
    drawn.data.labels = labels;
    drawn.data.datasets = lines.map((line, nth) => dataset(line, nth, kind)) as typeof drawn.data.datasets;
    drawn.options.plugins!.legend!.display = kind === "doughnut" || lines.length > 1;
    drawn.update("none");
  }, [labels, lines, kind, scheme]);
  const latest = kind === "doughnut" ? labels.map((label, nth) => `${label} ${lines[0]?.values[nth]}`)
    : lines.map((line) => `${line.label} ${line.values.at(-1) ?? "–"}`);
  return <div className="chart"><canvas ref={canvas} role="img" aria-label={`${title}: ${latest.join(", ")}`} /></div>;
}

function dataset(line: Line, nth: number, kind: string) {
  const colour = line.colour ?? COLOURS[nth % COLOURS.length]!;
  if (kind === "doughnut") return { data: line.values, backgroundColor: COLOURS, borderWidth: 0 };
  const last = line.values.length - 1;
  return {
    label: line.label, data: line.values, borderColor: colour, backgroundColor: `${colour}38`,
    fill: kind === "area" ? (nth ? "-1" : "origin") : false, borderWidth: 1.6, pointRadius: line.values.length < 3 ? 2 : 0, pointHitRadius: 8, tension: 0.15, spanGaps: false,
    // The last minute has not ended.
    segment: kind === "area" ? { borderDash: (at: { p1DataIndex: number }) => (at.p1DataIndex === last ? [3, 3] : undefined) } : {},
  };
}

function configuration(kind: string, dark: boolean): ChartConfiguration {
  const text = dark ? "#98a4b3" : "#5b6675";
  const line = dark ? "#2a323b" : "#e8ebef";
  const legend = { position: kind === "doughnut" ? "right" : "top", align: kind === "doughnut" ? "center" : "end", labels: { color: text, boxWidth: 8, boxHeight: 8, padding: 8 } };
  const axis = { ticks: { color: text, maxTicksLimit: 4, maxRotation: 0 }, grid: { color: line }, border: { display: false } };
  const scales = kind === "doughnut" ? {} : {
    x: { ...axis, ticks: { ...axis.ticks, maxTicksLimit: 7 }, grid: { display: false } },
    y: { ...axis, beginAtZero: true, stacked: kind === "area" },
  };
  return {
    type: kind === "doughnut" ? "doughnut" : "line",
    data: { labels: [], datasets: [] },
    options: { responsive: true, maintainAspectRatio: false, interaction: { mode: kind === "doughnut" ? "nearest" : "index", intersect: false }, plugins: { legend }, scales, ...(kind === "doughnut" ? { cutout: "62%" } : {}) },
  } as ChartConfiguration;
}
