"""The benchmark of the two engines: a year of flights and its copies, on Postgres and on Spark."""
