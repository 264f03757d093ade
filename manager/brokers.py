"""What a manager has of the broker that its settings name, if they name one."""

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


def make_transport(settings: Settings, name: str) -> Transport | None:
    """The transport of the manager of that name; None where managers only ask the database."""
    # A client that is not needed is not loaded.
    if settings.transport == "nats":
        from manager.transports.nats import NatsTransport
        from manager.transports.nats_link import NatsLink

        return NatsTransport(NatsLink(settings.nats_url, f"capataz {name}"))
    if settings.transport == "rabbitmq":
        from manager.transports.rabbitmq import RabbitMQ

        return RabbitMQ(settings.rabbitmq_url, f"capataz {name}")
    return None


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


class Post:
    """The intake and the observer of a manager, on the broker of its transport."""

    def __init__(self, core: Core, bell: Bell, transport: Transport | None) -> None:
        self._duties: tuple[Duty, ...] = ()
        self._transport = transport
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
        if self._transport is not None:
            self._transport.close()
