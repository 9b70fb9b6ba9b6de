"""The second warehouse: Spark loads the same lake with the same checks, and dbt builds the same marts, as Delta tables.

It runs in an environment of its own, `.venv-spark`; ``sluice.lakehouse.process`` starts it from the others.
"""
