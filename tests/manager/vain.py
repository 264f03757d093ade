"""A trigger in the database that makes every claim take nothing, without an error."""

from __future__ import annotations

from database import Database, Sql, Transaction

VAIN = (
    Sql(
        sqlite="""
        CREATE TRIGGER vain BEFORE UPDATE ON job_order WHEN OLD.status = 'pending'
        BEGIN SELECT RAISE(IGNORE); END""",
        postgres="""
        CREATE FUNCTION vain() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'""",
    ),
    Sql(
        sqlite="SELECT 1",
        postgres="""
        CREATE TRIGGER vain BEFORE UPDATE ON job_order FOR EACH ROW WHEN (OLD.status = 'pending')
        EXECUTE FUNCTION vain()""",
    ),
)
FRUITFUL = Sql(sqlite="DROP TRIGGER vain", postgres="DROP TRIGGER vain ON job_order")


def no_claim_takes(database: Database) -> None:
    """From now on whatever is claimed stays pending."""

    def work(transaction: Transaction) -> None:
        for statement in VAIN:
            transaction.run(statement)

    database.write(work)


def claims_take_again(database: Database) -> None:
    database.write(lambda transaction: transaction.run(FRUITFUL))
