"""The door to the database: transactions, what is repeated, and what counts as away."""

from __future__ import annotations

import gc
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database import Database, DatabaseAway, Sql, Transaction
from tests.ledger import evidence

POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SQLITE_ONLY = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ADD = Sql("INSERT INTO queue (name, created_on) VALUES (:name, :n)")
COUNT_UP = Sql("UPDATE queue SET created_on = created_on + 1 WHERE name = :name")
READ = Sql("SELECT created_on FROM queue WHERE name = :name")
LOCK = Sql("SELECT 1 FROM queue WHERE name = :name FOR UPDATE")
NAMES = Sql("SELECT name FROM queue ORDER BY name")
PID = Sql("SELECT pg_backend_pid()")
KILL = Sql("SELECT pg_terminate_backend(:pid)")


def add(database: Database, *names: str) -> None:
    database.write(lambda tx: tx.many(ADD, [{"name": name, "n": 0} for name in names]))


def names(database: Database) -> list[str]:
    return [name for (name,) in database.read(NAMES)]


def value(database: Database, name: str) -> int:
    return int(database.read(READ, {"name": name})[0][0])


def test_a_write_commits_and_answers(database: Database) -> None:
    def work(transaction: Transaction) -> str:
        transaction.run(ADD, {"name": "a", "n": 1})
        assert transaction.rows(READ, {"name": "a"}) == [(1,)], "it sees its own writes"
        return "done"

    assert database.write(work) == "done"
    assert names(database) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_the_work_raises_rolls_it_back(database: Database, error: type[BaseException]) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run(ADD, {"name": "a", "n": 1})
        raise error("enough")

    with pytest.raises(error, match="enough"):
        database.write(work)
    assert names(database) == []
    add(database, "b")
    assert names(database) == ["b"]


def test_a_broken_statement_rolls_back_and_leaves_the_door_open(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run(ADD, {"name": "a", "n": 1})
        transaction.run(Sql("SELECT no_such_column FROM queue"))

    with pytest.raises(Exception, match="no_such_column") as broken:
        database.write(work)
    assert not isinstance(broken.value, DatabaseAway)
    assert names(database) == []


def test_a_session_may_hold_reads_and_writes(database: Database) -> None:
    with database.session() as outer:
        add(database, "a")
        assert names(database) == ["a"]
        with database.session() as inner:
            assert inner is outer, "one connection a thread"
        assert names(database) == ["a"]
    assert names(database) == ["a"]


def test_statements_take_text_of_any_kind(database: Database) -> None:
    odd = "50% :name ' \" \\ é 💡 ::text %s"
    add(database, odd)
    assert names(database) == [odd]
    assert database.read(Sql("SELECT name FROM queue WHERE name LIKE '50% :%'")) == [(odd,)]


def test_both_clocks_tell_milliseconds(database: Database) -> None:
    ((first,),) = database.read(Sql("SELECT {now}"))
    ((second,),) = database.read(Sql("SELECT {now}"))
    assert isinstance(first, int)
    assert 0 <= second - first < 60_000
    assert 1_700_000_000_000 < first < 10_000_000_000_000


@pytest.mark.parametrize("place", ["folder/missing.db", "file/below.db", "", "/proc/capataz.db"])
def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    database = Database(f"sqlite:///{tmp_path / place}")
    with pytest.raises(DatabaseAway):
        database.read(Sql("SELECT 1"))
    with pytest.raises(DatabaseAway):
        add(database, "a")
    database.close()


def test_a_server_that_does_not_answer_is_away() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        database = Database(f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/none")
        with pytest.raises(DatabaseAway, match="refused"):
            database.read(Sql("SELECT 1"))
        with pytest.raises(DatabaseAway, match="refused"):
            add(database, "a")
        database.close()


@POSTGRES_ONLY
def test_a_database_that_does_not_exist_is_away(database: Database) -> None:
    other = Database(f"{database.url}_not")
    with pytest.raises(DatabaseAway, match="does not exist"):
        other.read(Sql("SELECT 1"))
    other.close()


@POSTGRES_ONLY
def test_a_deadlock_is_repeated(database: Database) -> None:
    add(database, "a", "b")
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def work(first: str, second: str) -> None:
        mine: list[str] = []

        def body(transaction: Transaction) -> None:
            tries.append(first)
            transaction.rows(LOCK, {"name": first})
            if not mine:
                mine.append(first)
                both_hold_one.wait(10)
            transaction.rows(LOCK, {"name": second})
            transaction.many(COUNT_UP, [{"name": first}, {"name": second}])

        database.write(body)

    evidence.at_once([lambda: work("a", "b"), lambda: work("b", "a")])
    assert len(tries) == 3, "one of the two was chosen to end, and began again"
    assert (value(database, "a"), value(database, "b")) == (2, 2)


@POSTGRES_ONLY
def test_a_serialization_failure_is_repeated(database: Database) -> None:
    add(database, "a")
    tries: list[int] = []

    def body(transaction: Transaction) -> None:
        transaction.run(Sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        transaction.rows(READ, {"name": "a"})
        tries.append(1)
        if len(tries) == 1:
            evidence.at_once([lambda: database.write(lambda tx: tx.run(COUNT_UP, {"name": "a"}))])
        transaction.run(COUNT_UP, {"name": "a"})

    database.write(body)
    assert (len(tries), value(database, "a")) == (2, 2)


@POSTGRES_ONLY
def test_a_deadlock_that_never_ends_is_told(database: Database) -> None:
    tries: list[int] = []

    def body(transaction: Transaction) -> None:
        tries.append(1)
        transaction.run(
            Sql("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'deadlock_detected'; END $$")
        )

    with pytest.raises(psycopg.errors.DeadlockDetected):
        database.write(body)
    assert 10 <= len(tries) <= 50
    add(database, "a")


def kill(database: Database, pid: int) -> None:
    """End that connection, from another one."""
    other = Database(database.url)
    assert other.read(KILL, {"pid": pid}) == [(True,)]
    gone = Sql("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    while other.read(gone, {"pid": pid}) != [(0,)]:
        pass
    other.close()


@POSTGRES_ONLY
@pytest.mark.parametrize("writes", [True, False], ids=["write", "read"])
def test_a_connection_that_died_idle_is_replaced(database: Database, writes: bool) -> None:
    ((pid,),) = database.read(PID)
    assert database.read(PID) == [(pid,)], "the pool gives the same one again"
    kill(database, pid)
    ask = database.write(lambda tx: tx.rows(PID)) if writes else database.read(PID)
    assert ask != [(pid,)]
    assert database.read(PID) == ask


@POSTGRES_ONLY
def test_every_idle_connection_that_died_is_replaced(database: Database) -> None:
    gate = threading.Barrier(5)

    def pid(_: Any = None) -> int:
        with database.session():
            gate.wait(10)
            return int(database.read(PID)[0][0])

    pids = evidence.at_once([pid] * 5)
    assert len(set(pids)) == 5
    for dead in pids:
        kill(database, dead)
    fresh = evidence.at_once([pid] * 5)
    assert not set(fresh) & set(pids)
    add(database, "a")


@POSTGRES_ONLY
def test_a_connection_that_dies_in_a_transaction_is_away_and_nothing_is_half_done(
    database: Database,
) -> None:
    def body(transaction: Transaction) -> None:
        transaction.run(ADD, {"name": "a", "n": 0})
        kill(database, transaction.rows(PID)[0][0])
        transaction.run(ADD, {"name": "b", "n": 0})

    with pytest.raises(DatabaseAway):
        database.write(body)
    assert names(database) == []
    add(database, "c")
    assert names(database) == ["c"]


@POSTGRES_ONLY
def test_a_server_that_lets_nothing_be_written_is_away(database: Database) -> None:
    """A standby after a failover, or a host whose disk is full."""

    def work(transaction: Transaction) -> None:
        transaction.run(Sql("SET TRANSACTION READ ONLY"))
        transaction.run(Sql("INSERT INTO queue (name, created_on) VALUES ('x', 0)"))

    with pytest.raises(DatabaseAway, match="ReadOnly"):
        database.write(work)


@POSTGRES_ONLY
def test_a_fork_does_not_end_our_connections(database: Database) -> None:
    before = database.read(PID)
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(Exception):
            database.close()
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert database.read(PID) == before, "it is the same connection"


@POSTGRES_ONLY
def test_a_closed_database_opens_again_when_asked(database: Database) -> None:
    add(database, "a")
    database.close()
    database.close()
    assert names(database) == ["a"]


@SQLITE_ONLY
def test_eight_threads_writing_lose_nothing(database: Database) -> None:
    add(database, "a")

    def work() -> None:
        for _ in range(200):
            database.write(lambda tx: tx.run(COUNT_UP, {"name": "a"}))

    evidence.at_once([work] * 8)
    assert value(database, "a") == 1600


@SQLITE_ONLY
def test_a_thread_that_ends_leaves_no_file_open(database: Database) -> None:
    add(database, "a")

    def files() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    def in_four_threads() -> int:
        evidence.at_once([lambda: database.write(lambda tx: tx.run(COUNT_UP, {"name": "a"}))] * 4)
        return files()

    # SQLite itself keeps some until the last connection has gone, and uses them again: as many as
    # there were connections at once.
    first = in_four_threads()
    assert max(in_four_threads() for _ in range(20)) <= first + 4
    assert value(database, "a") == 84


@SQLITE_ONLY
def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    add(database, "a")

    def body(transaction: Transaction) -> None:
        transaction.run(COUNT_UP, {"name": "a"})
        assert evidence.at_once([lambda: value(database, "a")]) == [0]

    database.write(body)
    assert value(database, "a") == 1
