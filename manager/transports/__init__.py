"""How a manager learns that orders wait: it asks the database, or a broker carries their ids."""
