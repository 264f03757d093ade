import "./mantine.css";
import "./style.css";
import { MantineProvider, createTheme } from "@mantine/core";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { start } from "./api/live";
import { usePreferences } from "./preferences";

const FONT = '"Inter", system-ui, sans-serif';
const theme = createTheme({
  fontFamily: FONT,
  defaultRadius: "sm",
  components: {
    // A lock on scrolling would put a style into the page, which its policy forbids.
    Modal: { defaultProps: { lockScroll: false } },
    Menu: { defaultProps: { transitionProps: { duration: 0 } } },
  },
});

function Page() {
  const chosen = usePreferences().theme;
  const { language } = usePreferences();
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  return (
    <MantineProvider
      theme={theme}
      defaultColorScheme={chosen}
      {...(chosen === "auto" ? {} : { forceColorScheme: chosen })}
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <App />
    </MantineProvider>
  );
}

start();
createRoot(document.getElementById("root")!).render(<Page />);
