import { Menu, Switch } from "@mantine/core";
import { setPaused } from "../api/live";
import { useLive } from "../api/hooks";
import { useFormats } from "../format";
import { type Word, useNamed, useWords } from "../i18n";
import { type Preferences, setPreferences, usePreferences } from "../preferences";

const MODES: Record<string, Word> = {
  connecting: "connecting", stream: "live", polling: "polling", offline: "offlineShort",
};

export function Header({ onHelp }: { onHelp: () => void }) {
  const t = useWords();
  const f = useFormats();
  const { mode, paused, updated } = useLive();
  return (
    <header className="top">
      <SystemState />
      <span className="grow" />
      <span className={`pulse ${paused ? "paused" : mode}`} role="status">
        <i aria-hidden="true" />
        {t(paused ? "paused" : MODES[mode]!)}
      </span>
      <span className="quiet updated" data-testid="updated">
        {t("lastUpdate", { time: updated ? f.clock(updated) : "--:--:--" })}
      </span>
      <button className="plain" onClick={() => setPaused(!paused)} aria-label={t(paused ? "resumeUpdates" : "pauseUpdates")} title={`${t(paused ? "resumeUpdates" : "pauseUpdates")} (p)`}>
        {paused ? "▶" : "❚❚"}
      </button>
      <button className="plain" onClick={onHelp} aria-label={t("help")} title={`${t("help")} (?)`}>
        ?
      </button>
      <Settings />
    </header>
  );
}

function SystemState() {
  const t = useWords();
  const named = useNamed();
  const f = useFormats();
  const { metrics } = useLive();
  const status = metrics?.systemStatus ?? "unknown";
  const tone = metrics?.warning ? "bad" : status === "Stable" ? "good" : status === "unknown" ? "none" : "warn";
  return (
    <div className="system">
      <strong className={`state ${tone}`} data-testid="system">
        {named(status)}
      </strong>
      {metrics && (
        <span className="why" title={metrics.statusReason}>
          {metrics.warning ?? metrics.statusReason}
          <span className="quiet"> · {t("since", { time: f.clock(metrics.statusSince) })}</span>
        </span>
      )}
    </div>
  );
}

function Settings() {
  const t = useWords();
  const chosen = usePreferences();
  return (
    <Menu position="bottom-end" closeOnItemClick={false} width={230}>
      <Menu.Target>
        <button className="plain" aria-label={t("settings")} title={t("settings")}>
          ⚙
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Choice name="theme" values={{ auto: t("system"), light: t("light"), dark: t("dark") }} />
        <Choice name="language" values={{ en: "English", es: "Español" }} />
        <Choice name="times" values={{ local: t("local"), utc: t("utc") }} />
        <Menu.Divider />
        <div className="choice">
          <Switch
            size="xs"
            label={t("shortcuts")}
            checked={chosen.shortcuts}
            onChange={(event) => setPreferences({ shortcuts: event.currentTarget.checked })}
          />
        </div>
      </Menu.Dropdown>
    </Menu>
  );
}

function Choice({ name, values }: { name: "theme" | "language" | "times"; values: Record<string, string> }) {
  const t = useWords();
  const chosen = usePreferences()[name];
  return (
    <>
      <Menu.Label>{t(name)}</Menu.Label>
      {Object.entries(values).map(([value, label]) => (
        <Menu.Item
          key={value}
          role="menuitemradio"
          aria-checked={chosen === value}
          onClick={() => setPreferences({ [name]: value } as Partial<Preferences>)}
          rightSection={chosen === value ? "✓" : null}
        >
          {label}
        </Menu.Item>
      ))}
    </>
  );
}
