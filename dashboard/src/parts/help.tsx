import { Modal } from "@mantine/core";
import { type Word, useWords } from "../i18n";
import { GO } from "../shortcuts";

const KEYS: [string, Word][] = [
  ["j  k", "keyMove"], ["Enter", "keyOpen"], ["x", "keySelect"], ["r  c", "keyAct"],
  ["/", "keySearch"], ["p", "keyPause"], ["?", "keyHelp"], ["Esc", "keyEsc"],
];

export function Help({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const t = useWords();
  return (
    <Modal opened={opened} onClose={onClose} title={t("help")} closeButtonProps={{ "aria-label": t("close") }}>
      <dl className="keys">
        {Object.entries(GO).map(([key, page]) => (
          <div key={key}>
            <dt><kbd>g</kbd> <kbd>{key}</kbd></dt>
            <dd>{t("keyGo")} {t(page as Word)}</dd>
          </div>
        ))}
        {KEYS.map(([keys, word]) => (
          <div key={word}>
            <dt>{keys.split("  ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{t(word)}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
