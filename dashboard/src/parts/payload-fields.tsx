import { useWords } from "../i18n";
import { write } from "../api/json";
import type { Field } from "../payload";

interface Props {
  known: Field[];
  texts: Record<string, string>;
  bad: Record<string, string>;
  set: (name: string, text: string) => void;
}

export function PayloadFields({ known, texts, bad, set }: Props) {
  return known.map((one) => <One key={one.name} of={one} text={texts[one.name] ?? ""} bad={bad[one.name]} set={(text) => set(one.name, text)} />);
}

function One({ of, text, bad, set }: { of: Field; text: string; bad: string | undefined; set: (text: string) => void }) {
  const t = useWords();
  const id = `field-${of.name}`;
  const common = { id, className: `field ${bad ? "bad" : ""}`, value: text, "aria-invalid": Boolean(bad), "aria-describedby": `${id}-more` };
  return (
    <div>
      <label className="name" htmlFor={id}>{of.name}{of.required && <span className="quiet"> {t("required")}</span>}</label>
      {of.kind === "switch" ? <input id={id} type="checkbox" checked={text === "true"} onChange={(e) => set(String(e.target.checked))} style={{ justifySelf: "start" }} />
        : of.kind === "choice" ? <select {...common} onChange={(e) => set(e.target.value)}><option value="" />{of.choices.map((one) => <option key={write(one)} value={write(one)}>{write(one)}</option>)}</select>
        : of.kind === "json" ? <textarea {...common} rows={4} spellCheck={false} onChange={(e) => set(e.target.value)} />
        : <input {...common} style={{ width: "100%" }} inputMode={of.kind === "text" ? "text" : "decimal"} onChange={(e) => set(e.target.value)} />}
      <span id={`${id}-more`} className={bad ? "err" : "quiet"} role={bad ? "alert" : undefined}>{bad ?? of.description}</span>
    </div>
  );
}
