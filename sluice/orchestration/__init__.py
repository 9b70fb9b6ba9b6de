"""Airflow's side of the platform: operators, retry rule, DAG factory and REST client.

Only this package and ``dags/`` import Airflow. ``rest``, ``follow`` and ``history`` do without it, for the CLI.
"""
