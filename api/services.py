"""What the endpoints of one application work with, and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from api.bearer import Bearer
from api.broadcaster import Broadcaster
from api.committer import Committer
from api.exposition import Exposition
from api.figures import Figures
from api.gate import Gate, Way
from api.identity import identity
from api.waiter import Waiter
from database import Database
from ledger.hints import Bell
from ledger.series import Series
from settings import Settings

NAME = "capataz"


@dataclass(slots=True)
class Services:
    """One of each for a web process; their threads start with the first request that needs them."""

    settings: Settings
    database: Database
    bell: Bell
    committer: Committer
    waiter: Waiter
    figures: Figures
    series: Series
    broadcaster: Broadcaster
    exposition: Exposition
    gate: Gate

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Services:
        """The services of one database."""
        bell = Bell(database)
        waiter, figures = Waiter(database), Figures(database)
        return cls(
            settings,
            database,
            bell,
            Committer(database, bell),
            waiter,
            figures,
            Series(database),
            Broadcaster(database, figures, waiter),
            Exposition(database, figures),
            Gate(_ways(settings, database), is_local_only=not settings.auth),
        )

    def close(self) -> None:
        """Finish what was accepted and stop the threads. Safe twice."""
        self.waiter.close()
        self.broadcaster.close()
        self.committer.close()
        self.bell.close()
        self.gate.close()


def services(app: Flask | None = None) -> Services:
    """The services of this application, or of the one that serves the current request."""
    return cast(Services, (app or current_app).extensions[NAME])


def caller() -> str:
    """Who submits: the owner of new orders and of idempotency keys, '' for nobody in particular."""
    return identity().name


def _ways(settings: Settings, database: Database) -> dict[str, Way]:
    """How callers are known, by the names that the setting has for it."""
    return {"token": Bearer(database)} if "token" in settings.auth else {}
