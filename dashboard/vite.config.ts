import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// Compressed once here, rather than at each request; and how much that is.
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir }, bundle) {
      const sizes = { first: 0, later: 0, fonts: 0 };
      for (const [name, part] of Object.entries(bundle)) {
        const file = join(dir ?? "dist", name);
        const text = readFileSync(file);
        const packed = /\.(js|css|svg)$/.test(name) ? gzipSync(text, { level: 9 }) : text;
        if (packed !== text) writeFileSync(`${file}.gz`, packed);
        const isLater = part.type === "chunk" && part.isDynamicEntry;
        sizes[name.endsWith("woff2") ? "fonts" : isLater ? "later" : "first"] += packed.length;
      }
      const [first, later, fonts] = Object.values(sizes).map((size) => Math.round(size / 1024));
      console.log(`as sent: ${first} KiB before it shows, then ${later} KiB for charts; fonts ${fonts} KiB`);
    },
  };
}

// Everything is relative, so that the page also works below a path of a proxy.
export default defineConfig({
  base: "./",
  plugins: [react(), compressed()],
  build: {
    // A strict policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
