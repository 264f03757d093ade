// Server-Sent Events over fetch: it tells the status of a refusal, and resumes where we say.

export interface Frame {
  event: string;
  data: string;
  id: string | null;
}

/** Cuts text that comes in pieces into frames. */
export class FrameReader {
  private rest = "";

  take(piece: string): Frame[] {
    this.rest += piece;
    const blocks = this.rest.split(/\r?\n\r?\n/);
    this.rest = blocks.pop() ?? "";
    return blocks.map(frame).filter((one): one is Frame => one !== null);
  }
}

function frame(block: string): Frame | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }
  return data.length || id !== null ? { event, data: data.join("\n"), id } : null;
}
