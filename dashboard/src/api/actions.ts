// What can be done to orders: to one, to those that were chosen, to all that match.
import { Problem, get, send } from "./http";
import type { Json } from "./json";
import { refresh } from "./live";
import type { Action, BulkAction, OrderDetail, Status } from "./types";

const FROM: Record<Action, readonly Status[]> = {
  cancel: ["pending", "wip"],
  retry: ["failed", "cancelled"],
  delete: ["completed", "retrieved", "failed", "cancelled"],
};

export function isPossible(action: Action, status: Status): boolean {
  return FROM[action].includes(status);
}

export async function act(action: Action, id: string): Promise<void> {
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  await (action === "delete" ? send("DELETE", path) : send<OrderDetail>("POST", `${path}/${action}`));
  refresh();
}

export interface Progress {
  done: number;
  total: number;
  refused: number;
  why: string;
}

/** One after the other, telling how far it is; what is refused does not stop the rest. */
export async function actOnEach(action: Action, ids: string[], tell: (now: Progress) => void): Promise<void> {
  const now = { done: 0, total: ids.length, refused: 0, why: "" };
  for (const id of ids) {
    try {
      await act(action, id);
      now.done += 1;
    } catch (error) {
      now.refused += 1;
      now.why = error instanceof Problem ? error.message : String(error);
    }
    tell({ ...now });
  }
}

export async function actOnAll(action: Action, filter: { [name: string]: Json }, dryRun: boolean): Promise<BulkAction> {
  return send<BulkAction>("POST", "/api/v1/jobs/actions", { action, filter, dryRun });
}

/** Wait until an action has ended, telling how far it is. */
export async function follow(first: BulkAction, tell: (now: BulkAction) => void): Promise<BulkAction> {
  let now = first;
  tell(now);
  while (now.state !== "done") {
    await new Promise((done) => setTimeout(done, 500));
    now = await get<BulkAction>(`/api/v1/jobs/actions/${now.actionId}`);
    tell(now);
  }
  refresh();
  return now;
}
