// What goes wrong in one part of the page, such as a script that cannot be had, stays there.
import { Component, type ReactNode } from "react";
import { useWords } from "../i18n";
import { Note } from "./states";

export class Guard extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? <Failed /> : this.props.children;
  }
}

function Failed() {
  const t = useWords();
  return (
    <div className="panel" role="alert">
      <Note title={t("failedToLoad")} tone="bad">
        <button className="plain" onClick={() => window.location.reload()}>{t("tryAgain")}</button>
      </Note>
    </div>
  );
}
