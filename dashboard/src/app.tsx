import { type ReactNode, useState } from "react";
import { useWords } from "./i18n";
import { Help } from "./parts/help";
import { Header } from "./parts/header";
import { Menu } from "./parts/menu";
import { StaleBar } from "./parts/states";
import { EventsPage } from "./pages/events";
import { OrderPage } from "./pages/order";
import { OrdersPage } from "./pages/orders";
import { Overview } from "./pages/overview";
import { QueuesPage } from "./pages/queues";
import { SchedulesPage } from "./pages/schedules";
import { SubmitPage } from "./pages/submit";
import { WorkersPage } from "./pages/workers";
import { type Route, useRoute } from "./route";
import { useShortcuts } from "./shortcuts";

export function App() {
  const t = useWords();
  const route = useRoute();
  const [help, setHelp] = useState(false);
  useShortcuts(() => setHelp((is) => !is));
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={skip}>
        {t("skip")}
      </a>
      <Menu page={route.page} />
      <div className="side">
        <Header onHelp={() => setHelp(true)} />
        <StaleBar />
        <main id="main" tabIndex={-1}>
          {pageOf(route)}
        </main>
      </div>
      <Help opened={help} onClose={() => setHelp(false)} />
    </div>
  );
}

// The address holds the state of the page, so it is not for jumping to anchors.
function skip(event: React.MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function pageOf(route: Route): ReactNode {
  switch (route.page) {
    case "orders":
      return route.id ? <OrderPage key={route.id} id={route.id} /> : <OrdersPage route={route} />;
    case "submit":
      return <SubmitPage key={route.values.toString()} route={route} />;
    case "queues":
      return <QueuesPage />;
    case "workers":
      return <WorkersPage />;
    case "schedules":
      return <SchedulesPage />;
    case "events":
      return <EventsPage route={route} />;
    default:
      return <Overview />;
  }
}
