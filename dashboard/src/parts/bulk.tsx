// Doing something to many orders: how many they are, a confirmation, and how far it is.
import { Button, Modal } from "@mantine/core";
import { useEffect, useState } from "react";
import { actOnAll, actOnEach, follow } from "../api/actions";
import { Problem } from "../api/http";
import type { Json } from "../api/json";
import type { Action } from "../api/types";
import { useWords } from "../i18n";

export interface Wanted {
  action: Action;
  /** Those that were chosen, or a filter of the list. */
  what: string[] | { [name: string]: Json };
}

export function BulkDialog({ wanted, onClose }: { wanted: Wanted; onClose: () => void }) {
  const t = useWords();
  const { action, what } = wanted;
  const [total, setTotal] = useState(Array.isArray(what) ? what.length : null);
  const [told, setTold] = useState("");
  const [state, setState] = useState<"asked" | "working" | "done">("asked");
  const [typed, setTyped] = useState("");
  useEffect(() => {
    if (Array.isArray(what)) return;
    let gone = false;
    actOnAll(action, what, true)
      .then((first) => follow(first, () => undefined))
      .then((counted) => !gone && setTotal(counted.total ?? 0))
      .catch((error: unknown) => !gone && setTold(error instanceof Problem && [404, 405].includes(error.status) ? t("noBulk") : String((error as Error).message)));
    return () => {
      gone = true;
    };
    // Counted once, when the dialog opens.
  }, []);
  const isSure = action !== "delete" || typed === String(total);
  const go = async () => {
    setState("working");
    try {
      if (Array.isArray(what))
        await actOnEach(action, what, (now) =>
          setTold(t("working", { done: now.done, total: now.total }) + (now.refused ? ` · ${t("refused", { n: now.refused, why: now.why })}` : "")));
      else await follow(await actOnAll(action, what, false), (now) => setTold(t("working", { done: now.done, total: now.total ?? "…" })));
    } catch (error) {
      setTold((error as Error).message);
    }
    setState("done");
  };
  return (
    <Modal opened onClose={onClose} closeOnClickOutside={state !== "working"} closeButtonProps={{ "aria-label": t("close") }}
      title={t("confirmMany", { action: t(action), n: total ?? "…" })}>
      {total === null && !told && <p className="quiet">{t("counting")} …</p>}
      {action === "delete" && total !== null && state === "asked" && (
        <label>
          {t("confirmTyped", { n: total })}{" "}
          <input className="field" value={typed} onChange={(e) => setTyped(e.target.value)} inputMode="numeric" data-autofocus />
        </label>
      )}
      <p role="status" data-testid="bulk">{told}</p>
      <div className="row" style={{ marginTop: 14, justifyContent: "flex-end" }}>
        <Button size="xs" variant="default" onClick={onClose}>{t(state === "done" ? "close" : "back")}</Button>
        {state !== "done" && (
          <Button size="xs" color={action === "delete" ? "red" : "blue"} disabled={!total || !isSure} loading={state === "working"} onClick={() => void go()}>
            {t(action)} {total ?? ""}
          </Button>
        )}
      </div>
    </Modal>
  );
}
