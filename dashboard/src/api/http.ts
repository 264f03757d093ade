// Requests, and errors as the API tells them.
import { type Json, parse, write } from "./json";

export interface FieldError {
  pointer?: string;
  parameter?: string;
  message: string;
}

/** What went wrong; status 0 is a server that cannot be reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly errors: FieldError[] = [],
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

/** The address of a path of the API, below wherever the page was served from. */
export function address(path: string): string {
  return new URL(`.${path}`, new URL(".", document.baseURI)).href;
}

/** `maxAge`: an answer that somebody was given so many seconds ago will do. */
export async function get<T>(path: string, signal?: AbortSignal, maxAge = 0): Promise<T> {
  const headers: Record<string, string> = maxAge ? { "Cache-Control": `max-age=${maxAge}` } : {};
  return request<T>("GET", path, undefined, { signal, headers });
}

export async function send<T>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: Json,
  headers?: Record<string, string>,
): Promise<T> {
  return request<T>(method, path, body, { headers });
}

interface Options {
  signal?: AbortSignal | undefined;
  headers?: Record<string, string>;
}

async function request<T>(
  method: string,
  path: string,
  body: Json | undefined,
  { signal, headers = {} }: Options,
): Promise<T> {
  const init: RequestInit = { method, headers: { Accept: "application/json", ...headers } };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = write(body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(address(path), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "");
  }
  const text = await response.text();
  if (!response.ok) throw problem(response, text);
  return (text ? parse(text) : null) as T;
}

function problem(response: Response, text: string): Problem {
  const id = response.headers.get("X-Request-Id");
  try {
    const told = parse<{ detail?: string; title?: string; errors?: FieldError[] }>(text);
    return new Problem(response.status, told.detail ?? told.title ?? "", told.errors ?? [], id);
  } catch {
    return new Problem(response.status, response.statusText, [], id);
  }
}

/** `?name=value&…` of what is not empty. */
export function query(values: Record<string, string | number | null | undefined>): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") found.set(name, String(value));
  }
  const text = found.toString();
  return text ? `?${text}` : "";
}
