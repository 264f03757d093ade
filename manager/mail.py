"""The messages of the broker that the settings name, if they do: taken in, and counted."""

from __future__ import annotations

from ledger.hints import Bell
from manager.core import Core
from manager.intake import duty as intake
from manager.intake.duty import Intake
from manager.intake.mailbox import Mailbox
from manager.observer import TICK_SECONDS, Observer
from manager.supervisor import Duty
from manager.transports.base import Transport
from settings import Settings


def make_mailbox(settings: Settings, name: str) -> Mailbox | None:
    """Where messages that ask for orders arrive, on a connection of its own."""
    if settings.transport == "nats":
        from manager.intake.nats import NatsMailbox
        from manager.transports.nats_link import NatsLink

        return NatsMailbox(NatsLink(settings.nats_url, f"capataz intake {name}"))
    if settings.transport == "rabbitmq":
        from manager.intake.rabbitmq import RabbitMailbox
        from manager.transports.rabbit_link import RabbitLink

        return RabbitMailbox(RabbitLink(settings.rabbitmq_url, f"capataz intake {name}"))
    return None


class Mail:
    """The intake and the observer of a manager, on the broker of its transport."""

    def __init__(self, core: Core, bell: Bell, transport: Transport | None) -> None:
        self._duties: tuple[Duty, ...] = ()
        self._intake: Intake | None = None
        mailbox = make_mailbox(core.settings, core.name)
        if mailbox is None or transport is None:
            return
        self._intake = Intake(core.settings, core.database, core.name, mailbox, bell.ring)
        observer = Observer(core.database, core.name, transport, mailbox)
        self._duties = (
            Duty("intake", self._intake.tick, intake.TICK_SECONDS, alone=True),
            Duty("observer", observer.tick, TICK_SECONDS, alone=True),
        )

    @property
    def duties(self) -> tuple[Duty, ...]:
        """What it does again and again."""
        return self._duties

    def close(self) -> None:
        """Leave the broker. Safe twice."""
        if self._intake is not None:
            self._intake.close()
