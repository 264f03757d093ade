import { type Word, useWords } from "../i18n";
import { link } from "../route";

const PAGES: [Word, string][] = [
  ["overview", "M3 3h6v8H3zM11 3h6v5h-6zM11 10h6v7h-6zM3 13h6v4H3z"],
  ["orders", "M4 4h12v2.5H4zM4 8.8h12v2.5H4zM4 13.6h12V16H4z"],
  ["submit", "M9 3h2v6h6v2h-6v6H9v-6H3V9h6z"],
  ["queues", "M3 4h14v3H3zM5 8.5h10v3H5zM7 13h6v3H7z"],
  ["workers", "M10 3a3.2 3.2 0 1 1 0 6.4A3.2 3.2 0 0 1 10 3zM4 17c0-3.6 2.6-6 6-6s6 2.4 6 6z"],
  ["schedules", "M10 2.5a7.5 7.5 0 1 1 0 15 7.5 7.5 0 0 1 0-15zM9 6v5l3.8 2.3.9-1.5L10.8 10V6z"],
  ["events", "M4 3h2v14H4zM8 4h9v2H8zM8 9h9v2H8zM8 14h9v2H8z"],
];

export function Menu({ page }: { page: string }) {
  const t = useWords();
  return (
    <nav className="rail" aria-label={t("mainMenu")}>
      <a className="brand" href={link("overview")}>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="7" fill="#0f766e" />
          <path d="M22 11.5a7 7 0 1 0 0 9" fill="none" stroke="#fff" strokeWidth="3.4" strokeLinecap="round" />
          <circle cx="22.5" cy="16" r="2.3" fill="#fff" />
        </svg>
        <span>Capataz</span>
      </a>
      {PAGES.map(([name, shape]) => (
        <a key={name} href={link(name)} aria-current={page === name ? "page" : undefined}>
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d={shape} fill="currentColor" fillRule="evenodd" />
          </svg>
          <span>{t(name)}</span>
        </a>
      ))}
    </nav>
  );
}
