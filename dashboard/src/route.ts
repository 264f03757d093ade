// The address is the state of the page: #/orders?status=failed
import { useMemo, useSyncExternalStore } from "react";

export interface Route {
  page: string;
  id: string | null;
  values: URLSearchParams;
}

export function read(hash: string): Route {
  const [path = "", text = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page = "", id] = path.split("/");
  return { page: page || "overview", id: id ? decodeURIComponent(id) : null, values: new URLSearchParams(text) };
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(
    (changed) => {
      window.addEventListener("hashchange", changed);
      return () => window.removeEventListener("hashchange", changed);
    },
    () => window.location.hash,
  );
  return useMemo(() => read(hash), [hash]);
}

export function link(page: string, id?: string | null, values?: Record<string, string>): string {
  const path = id ? `#/${page}/${encodeURIComponent(id)}` : `#/${page}`;
  const text = new URLSearchParams(values).toString();
  return text ? `${path}?${text}` : path;
}

/** Change some values of the address; null takes one out. */
export function setValues(some: Record<string, string | null>, replace = false): void {
  const route = read(window.location.hash);
  for (const [name, value] of Object.entries(some)) {
    if (value === null || value === "") route.values.delete(name);
    else route.values.set(name, value);
  }
  const hash = link(route.page, route.id, Object.fromEntries(route.values));
  if (!replace) window.location.hash = hash;
  else {
    window.history.replaceState(null, "", hash);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  }
}
