// Who is looking, where the API asks: a token, kept by this tab for as long as it is open.
import { translate } from "../i18n";
import { preferences } from "../preferences";

const KEY = "capataz.token";
let token = sessionStorage.getItem(KEY) ?? "";
let declined = false;

/** A request as whoever is looking; asks who that is when the API wants to know. */
export async function fetchAs(address: string, init: RequestInit): Promise<Response> {
  for (;;) {
    const tried = token;
    const headers = new Headers(init.headers);
    if (tried) headers.set("Authorization", `Bearer ${tried}`);
    const response = await fetch(address, { ...init, headers });
    if (response.status !== 401 || !hasAnother(tried)) return response;
  }
}

/** Whether there is a token other than the one that was refused; many requests ask but once. */
function hasAnother(tried: string): boolean {
  if (token !== tried) return true;
  if (declined) return false;
  const given = window.prompt(translate(preferences().language)("whoAreYou"))?.trim() ?? "";
  declined = given === "";
  if (declined) return false;
  token = given;
  sessionStorage.setItem(KEY, token);
  return true;
}
