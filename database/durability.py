"""How far this database keeps what it has acknowledged through a power cut."""

from __future__ import annotations

from database import Database, Sql

SETTINGS = Sql(
    sqlite="""
    SELECT 'SQLite', sqlite_version(),
        'journal_mode', (SELECT journal_mode FROM pragma_journal_mode),
        'synchronous', CASE (SELECT synchronous FROM pragma_synchronous)
            WHEN 0 THEN 'off' WHEN 1 THEN 'normal' WHEN 2 THEN 'full' ELSE 'extra' END""",
    postgres="""
    SELECT 'PostgreSQL', current_setting('server_version'), 'fsync', current_setting('fsync'),
        'synchronous_commit', current_setting('synchronous_commit'),
        'full_page_writes', current_setting('full_page_writes')""",
)
UNSAFE = {"off", "normal", "memory"}
RISK = "a power cut can lose orders that were accepted"


def durability(database: Database) -> str:
    """The server or library and what it does at a commit, with a warning where that is too little.

    Raises `DatabaseAway`.
    """
    kind, version, *rest = map(str, database.read(SETTINGS)[0])
    modes = dict(zip(rest[::2], rest[1::2], strict=True))
    text = ", ".join(f"{name}={mode}" for name, mode in modes.items())
    risk = f": {RISK}" if UNSAFE.intersection(modes.values()) else ""
    return f"{kind} {version}, {text}{risk}"
