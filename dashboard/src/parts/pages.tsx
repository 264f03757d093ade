// Beyond the first page of a list: where one is, the address says.
import { useWords } from "../i18n";
import { setValues } from "../route";

export function Pages({ cursor, next }: { cursor: string | null; next: string | null }) {
  const t = useWords();
  if (!cursor && !next) return null;
  return (
    <div className="foot">
      {cursor && <button className="plain" onClick={() => setValues({ cursor: null })}>{t("newer")}</button>}
      <span className="grow" />
      {next && <button className="plain" onClick={() => setValues({ cursor: next })}>{t("older")}</button>}
    </div>
  );
}
