"""Running the programs of strangers: a checkout, an environment, and walls around both."""
